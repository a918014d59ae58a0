"""A training that was killed goes on from its own checkpoint, which is gone once it has ended."""

import gc
import os
import signal
import sys
import textwrap

import cloudpickle
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._engine.checkpoints import Checkpoints
from proxyhpo._records.run_id import RunId
from proxyhpo.errors import TrainingFailedError
from proxyhpo.executors import InProcessExecutor, ProcessExecutor
from tests import scripts
from tests.studies import sorted_outcomes

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

N_EPOCHS = 4


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train_with(log, kill):
    """A training that keeps checkpoints, and is killed once, on the full network, in the middle."""

    def train(network, config, checkpoint_dir):
        file = checkpoint_dir / "checkpoint.pt"
        optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"], momentum=0.9)
        losses = []
        if file.exists():
            state = torch.load(file)
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["rng"])
            losses = state["losses"]
        with log.open("a") as lines:
            print(f"{checkpoint_dir.name} from {len(losses)}", file=lines)
        yield from losses
        for epoch in range(len(losses), N_EPOCHS):
            loss = network(torch.rand(8, 6)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rng": torch.get_rng_state(),
                "losses": losses,
            }
            torch.save(state, file)
            if epoch == 1 and "rung-1" in checkpoint_dir.name and kill.exists():
                kill.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield losses[-1]

    return train


def study(folder, train=None, **options):
    return ProxyHPO(
        build,
        train or train_with(folder / "log", folder / "kill"),
        {"lr": Float(1e-3, 0.1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        searcher="random",
        progress=False,
        finalists=1,
        **options,
    )


def begun(folder):
    return (folder / "log").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    result = study(folder).run(3)
    assert len(begun(folder)) == 4
    assert all(line.endswith("from 0") for line in begun(folder))
    return sorted_outcomes(result)


def assert_it_went_on(folder, result, undisturbed):
    first, again = begun(folder)[-2:]
    name = first.removesuffix(" from 0")
    assert again == f"{name} from 2"
    assert len(begun(folder)) == 5
    assert sorted_outcomes(result) == undisturbed
    assert not (folder / "study.db-checkpoints").exists()


SCRIPT = """
    import sys
    from pathlib import Path
    from tests.engine.test_checkpoints import study
    folder = Path(sys.argv[1])
    study(folder, store=folder / "study.db").run(3)
"""


def test_a_killed_study_resumes_from_the_checkpoint(tmp_path, undisturbed):
    (tmp_path / "kill").touch()
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    with scripts.start(script, tmp_path) as killed:
        assert killed.wait(240) == -signal.SIGKILL
    (left,) = (tmp_path / "study.db-checkpoints").iterdir()
    assert begun(tmp_path)[-1] == f"{left.name} from 0"
    result = study(tmp_path, store=tmp_path / "study.db").run(3)
    assert_it_went_on(tmp_path, result, undisturbed)


def test_a_training_whose_worker_died_resumes_from_the_checkpoint(tmp_path, undisturbed):
    (tmp_path / "kill").touch()
    executor = ProcessExecutor(1)
    hpo = study(tmp_path, store=tmp_path / "study.db", executor=executor, max_retries=1)
    result = hpo.run(3)
    assert_it_went_on(tmp_path, result, undisturbed)
    assert result.cost.rungs[1].retried == 1
    assert result.cost.rungs[1].seconds > sum(r.seconds for r in result.leaderboard())


def test_without_a_store_the_folder_is_a_temporary_one(tmp_path):
    folders = []

    def train(network, config, checkpoint_dir):
        assert list(checkpoint_dir.iterdir()) == []
        (checkpoint_dir / "file").touch()
        folders.append(checkpoint_dir)
        return config["lr"]

    hpo = study(tmp_path, train)
    assert not hpo.run(2).failures
    assert len(set(folders)) == 3
    assert not any(folder.exists() for folder in folders)
    assert folders[0].parents[1].is_dir()
    del hpo
    gc.collect()
    assert not folders[0].parents[1].exists()


def test_a_failed_training_leaves_no_folder(tmp_path):
    def train(network, config, checkpoint_dir):
        (checkpoint_dir / "file").touch()
        yield 1.0
        raise RuntimeError

    result = study(tmp_path, train, store=tmp_path / "study.db").run(2)
    assert len(result.failures) == 2
    assert not (tmp_path / "study.db-checkpoints").exists()


def test_a_training_that_takes_no_folder_gets_none(tmp_path):
    def train(network, config):
        assert not (tmp_path / "study.db-checkpoints").exists()
        return config["lr"]

    assert not study(tmp_path, train, store=tmp_path / "study.db").run(2).failures


def test_a_worker_elsewhere_says_what_is_missing(tmp_path):
    def train(network, config, checkpoint_dir):
        yield 1.0

    class Elsewhere(InProcessExecutor):
        def submit(self, job):
            job.checkpoint_dir.rmdir()
            super().submit(job)

    hpo = study(tmp_path, train, store=tmp_path / "study.db", executor=Elsewhere())
    with pytest.raises(TrainingFailedError, match="shares with its workers"):
        hpo.run(5)


def run_id(trial, rung=0, replicate=0):
    return RunId(trial, rung, replicate)


class TestCheckpoints:
    def test_a_training_finds_its_own_again(self, tmp_path):
        checkpoints = Checkpoints(tmp_path / "root")
        folder = checkpoints.make(run_id(3, 1))
        (folder / "file").write_text("mine")
        assert checkpoints.make(run_id(3, 1)) == folder
        assert Checkpoints(tmp_path / "root").make(run_id(3, 1)) == folder
        assert (folder / "file").read_text() == "mine"
        others = {checkpoints.make(run) for run in [run_id(3, 0), run_id(1, 3), run_id(3, 1, 1)]}
        assert len(others | {folder}) == 4

    def test_the_last_one_takes_the_root_with_it(self, tmp_path):
        checkpoints = Checkpoints(tmp_path / "root")
        first, second = (
            checkpoints.make(run_id(0)),
            checkpoints.make(run_id(1)),
        )
        (first / "deep").mkdir()
        (first / "deep" / "file").touch()
        checkpoints.drop(run_id(0))
        assert not first.exists()
        assert second.exists()
        checkpoints.drop(run_id(0))
        checkpoints.drop(run_id(1))
        assert not (tmp_path / "root").exists()
        checkpoints.drop(run_id(1))

    def test_what_others_left_is_removed_and_what_is_strange_is_not(self, tmp_path):
        checkpoints = Checkpoints(tmp_path / "root")
        checkpoints.keep([])
        kept, dropped = (
            checkpoints.make(run_id(0)),
            checkpoints.make(run_id(1)),
        )
        strange = tmp_path / "root" / "notes"
        strange.mkdir()
        checkpoints.keep([run_id(0)])
        assert kept.exists()
        assert not dropped.exists()
        checkpoints.keep([])
        assert not kept.exists()
        assert strange.exists()

    def test_a_folder_that_cannot_be_removed_is_logged(self, tmp_path, caplog):
        checkpoints = Checkpoints(tmp_path / "root")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        checkpoints.make(run_id(1)).rmdir()
        (tmp_path / "root" / "trial-1-rung-0").symlink_to(elsewhere)
        checkpoints.drop(run_id(1))
        assert elsewhere.exists()
        assert "could not remove" in caplog.text

    @pytest.mark.parametrize("number", ["../..", "a", None])
    def test_names_are_made_of_whole_numbers(self, tmp_path, number):
        with pytest.raises((TypeError, ValueError)):
            Checkpoints(tmp_path).make(run_id(number))

"""Whole studies over worker processes: what they do must not depend on where trainings run."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout

import cloudpickle
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._store import read_study
from proxyhpo.executors import ProcessExecutor
from tests import scripts
from tests.studies import sorted_outcomes
from tests.waiting import PATIENCE, is_alive, wait_until, wait_until_gone

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETHAL = 1.1e-3


def build():
    return nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )


def train(network, config):
    optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
    for _ in range(3):
        loss = network(torch.rand(8, 6)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def train_and_die(network, config):
    yield from train(network, config)
    if config["lr"] < LETHAL:
        os.kill(os.getpid(), signal.SIGKILL)
    yield 0.5


def study(train=train, **options):
    options = {"searcher": "random", "progress": False, "stopper": None, **options}
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-3, 0.1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        proxies=True,
        **options,
    )


def test_a_study_over_workers_is_the_study_in_this_process():
    here = study().run(8, finalists=2)
    there = study(executor=ProcessExecutor(2)).run(8, finalists=2)
    assert sorted_outcomes(there) == sorted_outcomes(here)
    assert there.best_config == here.best_config
    parameters = zip(
        there.best_network().parameters(), here.best_network().parameters(), strict=True
    )
    assert all(torch.equal(*pair) for pair in parameters)


def test_a_dead_worker_is_a_failed_record_and_the_search_continues():
    executor = ProcessExecutor(1)
    result = study(train_and_die, transfer="identity", executor=executor).run(12, finalists=1)
    failed = [record for record in result.records if record.state == "failed"]
    doomed = [trial.number for trial in result.history.trials if trial.config["lr"] < LETHAL]
    assert len(doomed) > 0
    assert {record.trial for record in failed if record.rung == 0} == set(doomed)
    assert all("SIGKILL" in record.reason for record in failed)
    assert result.best_value == 0.5


SCRIPT = """
    # A script as users write it, without `if __name__ == "__main__"`.
    import json, os, signal, sys, time
    from pathlib import Path
    import torch
    from torch import nn
    from proxyhpo import Float, ProxyHPO
    from proxyhpo.executors import ProcessExecutor

    folder, held, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    DATA = torch.rand(16, 6, generator=torch.Generator().manual_seed(3))

    def build():
        return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 2))

    def is_held():
        # Once so many trainings have begun, all wait until there is a file "go".
        begun = len((folder / "begun").read_text().split())
        return begun >= held and not (folder / "go").exists()

    def train(network, config):
        with (folder / "begun").open("a") as file:
            print(os.getpid(), file=file)
        optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
        for step in range(4):
            loss = network(DATA).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            while is_held():
                time.sleep(0.02)
                yield loss.item()  # so that it can be ended
            if (folder / "kill").exists():
                (folder / "kill").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield loss.item()

    result = ProxyHPO(
        build,
        train,
        {"lr": Float(1e-3, 0.1, log=True)},
        example_inputs=DATA,
        direction="minimize",
        searcher="random",
        stopper=None,  # whom one would stop depends on how many trainings run at a time
        progress=False,
        executor=ProcessExecutor(workers) if workers else None,
        max_retries=1,
        store=folder / "study.db",
        proxies=True,
        repeats=0,
    ).run(10, finalists=2)
    print(json.dumps(sorted((r.rung, r.trial, r.config["lr"], r.value) for r in result.records)))
"""


NEVER = 10_000


def written(folder):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    return script


def start(folder, *, held=NEVER, workers=2, **options):
    """Starts the script in a process of its own; all trainings wait once so many have begun."""
    return scripts.start(written(folder), folder, held, workers, **options)


def records(script):
    answer = script.stdout.read()
    assert script.wait(PATIENCE) == 0
    return json.loads(answer)


def records_here(folder):
    """The records of the script when it is run in this process, without workers."""
    script = written(folder)
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(io.StringIO()) as answer:
        patched.setattr(sys, "argv", [str(script), str(folder), str(NEVER), "0"])
        runpy.run_path(str(script), run_name="__main__")
    return json.loads(answer.getvalue())


def begun(folder):
    """The process ids of all trainings that have begun."""
    file = folder / "begun"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The records of the script's study, trained in its own process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    answer = records_here(folder)
    assert len(answer) == len(begun(folder)) == 12
    return answer


def test_a_study_that_is_killed_is_resumed_and_nothing_is_lost(tmp_path, uninterrupted):
    with start(tmp_path, held=5) as script:
        wait_until(lambda: len(begun(tmp_path)) >= 5)
        script.kill()
    wait_until_gone(*begun(tmp_path))
    (tmp_path / "kill").touch()  # a worker, once, whose trial is tried again
    with start(tmp_path, workers=1) as script:
        assert records(script) == uninterrupted
    assert not (tmp_path / "kill").exists()
    # Run twice: what two workers had in their hands, and what the dead one had.
    assert len(begun(tmp_path)) <= 12 + 2 + 1


def interrupt(script):
    """Sends SIGINT, and waits until the study says that it has heard it."""
    script.send_signal(signal.SIGINT)
    assert any("Ctrl-C again to stop now" in line for line in script.stderr)


def test_one_ctrl_c_finishes_the_running_trainings_and_nothing_runs_twice(tmp_path, uninterrupted):
    with start(tmp_path, held=5, stderr=subprocess.PIPE) as script:
        wait_until(lambda: len(begun(tmp_path)) >= 5)
        interrupt(script)
        (tmp_path / "go").touch()
        some = records(script)
    assert len(some) == len(begun(tmp_path)) < 12
    assert all(record in uninterrupted for record in some)
    assert not any(map(is_alive, begun(tmp_path)))
    assert records_here(tmp_path) == uninterrupted
    assert len(begun(tmp_path)) == 12


def test_ctrl_c_twice_keeps_what_there_is_and_leaves_no_worker(tmp_path, uninterrupted):
    with start(tmp_path, held=5, workers=1, stderr=subprocess.PIPE) as script:
        wait_until(lambda: len(begun(tmp_path)) == 5)
        interrupt(script)  # two signals at once may arrive as one
        script.send_signal(signal.SIGINT)
        some = records(script)
    assert len(some) in {3, 4}  # the fifth begins before the end of the fourth is stored
    assert_it_goes_on(tmp_path, some, uninterrupted)


def test_sigterm_keeps_what_there_is_and_leaves_no_worker(tmp_path, uninterrupted):
    with start(tmp_path, held=5, workers=1) as script:
        wait_until(lambda: len(begun(tmp_path)) == 5)
        script.terminate()
        assert script.wait(PATIENCE) == 143
    assert not (tmp_path / "study.db-wal").exists(), "the store has been closed"
    _, events = read_study(tmp_path / "study.db")
    some = [body for kind, body in events if kind == "record"]
    assert len(some) in {3, 4}  # the fifth begins before the end of the fourth is stored
    assert_it_goes_on(tmp_path, some, uninterrupted)


def assert_it_goes_on(folder, some, uninterrupted):
    """No worker is left, and what had ended is not run again."""
    wait_until_gone(*begun(folder))
    before = len(begun(folder))
    (folder / "go").touch()
    assert records_here(folder) == uninterrupted
    assert len(begun(folder)) == before + 12 - len(some)

"""Resumed = uninterrupted: nothing that had finished is lost or run again."""

import random
import textwrap
import time

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, Int, ProxyHPO, Rung
from proxyhpo._store import SQLiteStore
from proxyhpo.errors import StoreLockedError, StudyMismatchError
from tests import scripts
from tests.studies import sorted_outcomes

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "layers": Int(1, 4),
    "optimizer": Choice(["sgd", "adam"]),
    "momentum": Float(0, 0.9, step=0.1, when=("optimizer", "sgd")),
}
LADDER = [Rung(0.25, keep=3), Rung(0.5, keep=2), Rung(1)]
SEARCHERS = ["random", "grid", "tpe", "bayesian"]


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    noise = torch.rand(()).item()
    yield noise
    yield noise - config["lr"] - config.get("momentum", 0.5)


def study(path, *, train=train, space=SPACE, ladder=LADDER, searcher="random", **options):
    return ProxyHPO(
        build,
        train,
        space,
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        progress=False,
        store=path,
        ladder=ladder,
        searcher=searcher,
        stopper=None,
        **options,
    )


def run_in_parts(made, n_trials, stops, path):
    """The result of a study that was stopped after these numbers of records, and resumed."""

    def stopping(record):
        count.append(record)
        if len(count) in stops:
            hpo.stop()

    count = []
    for _ in range(len(stops) + 1):
        hpo = made(store=path, callbacks=[stopping])
        result = hpo.run(n_trials)
    assert not result.interrupted
    return result


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_interrupted_at_every_report_and_resumed_equals_uninterrupted(searcher, tmp_path):
    uninterrupted = study(None, searcher=searcher).run(14)
    trained = []

    def interrupting(network, config):
        for value in train(network, config):
            if random.Random(len(trained)).random() < 0.4:
                trained.append("interrupted")
                raise KeyboardInterrupt
            yield value
        trained.append("finished")

    runs = 0
    while True:
        result = study(tmp_path / "study.db", train=interrupting, searcher=searcher).run(14)
        runs += 1
        if not result.interrupted:
            break
    assert runs > 3
    assert sorted_outcomes(result) == sorted_outcomes(uninterrupted)
    assert result.best_config == uninterrupted.best_config
    assert trained.count("finished") == len(result.records)
    for name, tensor in uninterrupted.best_network().state_dict().items():
        assert torch.equal(result.best_network().state_dict()[name], tensor)


SCRIPT = textwrap.dedent("""
    import sys, time
    from tests.engine import test_resume as the

    def train(network, config):
        print("start", flush=True)
        for value in the.train(network, config):
            time.sleep(0.02)
            yield value

    callbacks = [lambda record: print("done", flush=True)]
    the.study(sys.argv[1], train=train, callbacks=callbacks).run(12)
    time.sleep(1000)  # until it is killed
""")


def run_and_kill(script, path, seconds):
    """Runs a study and kills it so many seconds after its first lines."""
    lines = []
    with scripts.start(script, path) as process:
        for line in process.stdout:
            lines.append(line.strip())
            if len(lines) == 3:
                time.sleep(seconds)
                process.kill()
    return lines


def test_killed_at_any_moment_and_resumed_equals_uninterrupted(tmp_path):
    script, path = tmp_path / "script.py", tmp_path / "study.db"
    script.write_text(SCRIPT)
    moments = random.Random(3)
    lines = [
        line for _ in range(2) for line in run_and_kill(script, path, moments.uniform(0, 0.15))
    ]
    resumed = []
    with pytest.warns(UserWarning, match="source of train has changed") as warned:
        result = study(path, callbacks=[resumed.append]).run(12)
    assert [warning.filename for warning in warned] == [__file__]  # it points at the call of run
    assert sorted_outcomes(result) == sorted_outcomes(study(None).run(12))
    # A record may be stored whose callback was killed; none is ever run twice.
    done = lines.count("done") + len(resumed)
    assert len(result.records) - 2 <= done <= len(result.records)


def test_a_second_writer_is_refused(tmp_path):
    path = tmp_path / "study.db"

    def intruding(network, config):
        with pytest.raises(StoreLockedError):
            study(path).run(3)
        return 1.0

    result = study(path, train=intruding).run(1)
    assert not result.failures


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": {**SPACE, "lr": Float(1e-4, 2, log=True)}}, "lr"),
        ({"seed": 7}, "seed"),
        ({"searcher": "tpe"}, "searcher"),
        ({"ladder": [Rung(0.25, keep=3), Rung(1)]}, "ladder"),
        ({"transfer": "identity"}, "transfer"),
        ({"version": 2}, "version"),
        ({"steps": 2}, "steps"),
        ({"pretrained": True}, "pretrained"),
    ],
)
def test_another_study_is_refused_and_the_difference_named(options, words, tmp_path):
    path = tmp_path / "study.db"
    study(path).run(1)
    with pytest.raises(StudyMismatchError, match=words):
        study(path, **options).run(2)


def test_how_many_climb_may_change(tmp_path):
    path = tmp_path / "study.db"
    study(path, ladder=[Rung(0.5, keep=1), Rung(1)]).run(4)
    result = study(path, ladder=[Rung(0.5, keep=3), Rung(1)]).run(4)
    assert len(result.leaderboard(1)) == 3


def test_a_changed_training_function_warns(tmp_path):
    def other(network, config):
        return 2.0

    study(tmp_path / "study.db").run(1)
    with pytest.warns(UserWarning, match="source of train has changed"):
        study(tmp_path / "study.db", train=other).run(2)


def test_weights_that_a_kill_left_behind_are_dropped(tmp_path, monkeypatch):
    path, folder = tmp_path / "study.db", tmp_path / "study.db-weights"

    def killed(store, name):
        raise ConnectionAbortedError(name)

    def better_and_better(network, config):
        return config["lr"]

    def enqueued():
        hpo = study(path, train=better_and_better, space={"lr": Float(0, 1)}, ladder=[Rung(1)])
        for rate in (0.1, 0.2, 0.3, 0.4, 0.5):
            hpo.enqueue({"lr": rate})
        return hpo

    def weights(*trials):
        return {f"trial-{trial}-rung-0.pt" for trial in trials}

    with monkeypatch.context() as patched, pytest.raises(ConnectionAbortedError):
        patched.setattr(SQLiteStore, "drop_weights", killed)
        enqueued().run(5)
    assert {file.name for file in folder.iterdir()} == weights(0, 1, 2, 3)
    (folder / "trial-4-rung-0.tmp").write_bytes(b"PK")
    (folder / "mine.pt").write_bytes(b"PK")
    result = enqueued().result
    assert {file.name for file in folder.iterdir()} == weights(1, 2, 3) | {"mine.pt"}
    assert result.best_network()(torch.zeros(8, 6)).shape == (8, 2)
    assert enqueued().run(5).best_config == {"lr": 0.5}
    assert {file.name for file in folder.iterdir()} == weights(2, 3, 4) | {"mine.pt"}

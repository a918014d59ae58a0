"""What becomes of a study whose trainings fail."""

from pathlib import Path

import pytest

from proxyhpo import Rung
from proxyhpo.errors import NotClimbedError, TrainingFailedError
from tests.studies import quality, study, width


@pytest.mark.parametrize(
    ("kind", "reason", "has_traceback"),
    [
        ("raise", "RuntimeError: boom", True),
        ("exit", "SystemExit", True),
        ("nan", "report 2 was nan", False),
        ("inf", "report 2 was inf", False),
        ("nothing", "reported no value", True),
    ],
)
def test_a_failed_training_is_a_record_and_the_search_continues(kind, reason, has_traceback):
    calls = []

    def train(network, config):
        calls.append(config)
        if len(calls) == 2:
            if kind == "nothing":
                return
            yield 0.5
            if kind == "raise":
                raise RuntimeError("boom")
            if kind == "exit":
                raise SystemExit(3)
            yield float(kind)
        yield quality(config)

    result = study(train).run(5)
    [failed] = result.failures
    assert failed.trial == 1
    assert failed.value is None
    assert reason in failed.reason
    assert (failed.traceback is not None) == has_traceback
    assert failed.trained_config == calls[1]
    assert sum(record.rung == 0 for record in result.records) == 5


def test_five_exceptions_from_the_start_end_the_study_with_the_first():
    calls = []

    def train(network, config):
        calls.append(1)
        raise ValueError(f"mistake {len(calls)}")

    with pytest.raises(TrainingFailedError, match="mistake 1") as caught:
        study(train).run(20)
    assert len(calls) == 5
    frames = {Path(frame.path).name for frame in caught.traceback[1:]}
    shown = {"_validation.py", "_hpo.py", "_handle.py"}  # arguments are checked on the way
    assert frames == shown, "the engine's frames say nothing to a user"


def test_nan_from_the_start_does_not_end_the_study():
    def train(network, config):
        return float("nan") if config["momentum"] > 0.2 else 1.0

    result = study(train).run(30)
    assert len(result.failures) > 10
    assert result.best_value == 1.0


def test_a_failed_finalist_is_replaced_by_the_next_in_line():
    def train(network, config):
        if width(network) == 32 and len(big) < 2:
            big.append(config)
            raise RuntimeError("only the full network fails")
        return quality(config)

    big = []
    result = study(train).run(8, finalists=2)
    ranked = [record.trial for record in result.leaderboard(0)]
    entered = [record.trial for record in result.records if record.rung == 1]
    assert sorted(entered) == sorted(ranked[:4])
    assert [r.state for r in result.records if r.rung == 1] == ["failed"] * 2 + ["finished"] * 2


def test_finalists_are_replaced_at_most_as_often_as_there_are_places():
    def train(network, config):
        if width(network) == 32:
            raise RuntimeError("never")
        return quality(config)

    result = study(train).run(10, finalists=2)
    assert sum(record.rung == 1 for record in result.records) == 4
    with pytest.raises(
        NotClimbedError, match=r"all 4 trainings of the full network failed.*RuntimeError: never"
    ):
        _ = result.best_config


def test_a_training_without_reports_ends_the_study_early():
    def train(network, config, budget):
        yield from [1.0] * round(2 * budget)

    with pytest.raises(TrainingFailedError, match=r"reported no value.*budget=0.1, does it round"):
        study(train, ladder=[Rung(0.5, budget=0.1, keep=2), Rung(1)]).run(20)

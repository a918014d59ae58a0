"""Trainings that are ended early: which, when, and what becomes of them."""

import statistics
from collections import Counter

import pytest
import torch

from proxyhpo import Rung
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.stoppers import ASHAStopper, MedianStopper, Stopper
from tests.engine.stopping import (
    BOTH,
    STEPS,
    EndAllButTheFirst,
    Interleaving,
    at,
    curve,
    study,
    train,
)
from tests.studies import sorted_outcomes


def test_a_stopped_training_is_a_record_of_what_it_reported():
    ended = Counter()

    def closing(network, config):
        ended["begun"] += 1
        try:
            yield from train(network, config)
            ended["through"] += 1
        finally:
            ended["closed"] += 1

    result = study(train=closing, **BOTH).run(30)
    stopped = at(result, 0, "stopped")
    assert 5 < len(stopped) < 25
    for record in stopped:
        n = len(record.reports)
        assert 1 <= n < STEPS
        assert list(record.values) == [-curve(record.config, step) for step in range(1, n + 1)]
        assert [report.metrics["step"] for report in record.reports] == list(range(1, n + 1))
        assert (record.value, record.loss) == (record.values[-1], -record.values[-1])
        assert record.metrics == {"step": n, "seconds": 2.0 * n}
        assert record.training_seconds == pytest.approx(2.0 * n)
        assert record.overhead_seconds > 0
        assert (record.reason, record.traceback) == (None, None)
    assert ended["begun"] == ended["closed"] == len(result.records)
    assert ended["through"] == len(at(result, 0, "finished")) + len(at(result, 1, "finished"))


def test_searchers_see_its_last_loss_and_it_climbs_after_those_that_finished():
    def run(finalists):
        return study(stopper=ASHAStopper(reduction=4), finalists=finalists).run(16)

    n_finished = len(at(run(1), 0, "finished"))
    result = run(n_finished + 2)
    stopped = {record.trial: record.loss for record in at(result, 0, "stopped")}
    observed = [loss for _, loss in result.history.observed()]
    assert len(stopped) > 2
    usual = statistics.median(record.loss for record in at(result, 0, "finished"))
    assert all(observed[trial] == max(loss, usual) for trial, loss in stopped.items())
    climbed = {record.trial for record in result.records if record.rung == 1}
    finished = {record.trial for record in at(result, 0, "finished")}
    assert climbed == finished | set(sorted(stopped, key=stopped.__getitem__)[:2])


def test_a_stopped_finalist_never_becomes_the_best():
    result = study(finalist_stopper=EndAllButTheFirst()).run(12)
    [finished] = at(result, 1, "finished")
    stopped = at(result, 1, "stopped")
    assert len(stopped) == 3  # and no others are promoted instead
    assert result.best_record == finished
    assert result.leaderboard()[0] == finished
    assert not result.interrupted
    assert result.best_network() is not None


def test_stoppers_have_rungs_of_their_own():
    result = study(stopper=EndAllButTheFirst()).run(8)
    assert len(at(result, 0, "stopped")) == 7
    assert len(at(result, 1, "finished")) == 4
    plain = study(ladder=[Rung(1)], finalists=None, finalist_stopper=EndAllButTheFirst()).run(8)
    assert len(at(plain, 0, "stopped")) == 7


def test_peers_are_those_that_had_ended_well_at_the_same_rung():
    seen = []

    class Looking(Stopper):
        def should_stop(self, losses, peers):
            seen.append((len(losses), [list(peer) for peer in peers]))
            return False

    def failing(network, config):
        yield from train(network, config)
        if config["x"] > 0.6:
            yield float("nan")

    result = study(train=failing, stopper=Looking()).run(9)
    failed = at(result, 0, "failed")
    assert 0 < len(failed) < 8
    asked = [peers for step, peers in seen if step == 1]
    ended, expected = [], []
    for record in result.records:
        if record.rung == 0:
            if ended:
                expected.append(list(ended))
            if record.state == "finished":
                ended.append([-value for value in record.values])
    assert asked == expected
    # No peer has got further than that.
    assert max(step for step, _ in seen) == STEPS - 1


def test_a_training_that_is_as_long_as_any_before_it_is_let_to_its_end():
    lengths = iter((2, 5, 5))

    def growing(network, config):
        for step in range(next(lengths)):
            yield float(step)

    class FromTheSecondStepOn(Stopper):
        def should_stop(self, losses, peers):
            return len(losses) >= 2

    result = study(
        train=growing, ladder=[Rung(1)], finalists=None, finalist_stopper=FromTheSecondStepOn()
    ).run(3)
    assert [len(record.reports) for record in result.records] == [2, 5, 2]


def test_without_a_stopper_no_training_is_stopped():
    result = study(executor=Interleaving(0)).run(12)
    assert {record.state for record in result.records} == {"finished"}


def test_by_default_the_median_rule_holds_where_there_is_a_rung_for_it():
    automatic = study(stopper="auto").run(20)
    assert sorted_outcomes(automatic) == sorted_outcomes(study(stopper="median").run(20))
    assert at(automatic, 0, "stopped")
    top = study(stopper="auto", ladder=[Rung(1)], finalists=None).run(20)
    assert not at(top, 0, "stopped")
    controlled = study(stopper="auto", controls=2).run(20)
    assert not at(controlled, 0, "stopped")
    study(stopper="auto", executor=Deaf(0))  # hears of no report, so that no training is stopped


def test_controls_and_checks_are_trained_to_the_end():
    result = study(
        stopper=MedianStopper(min_peers=2), finalist_stopper=EndAllButTheFirst(), controls=3
    ).run(20)
    assert len(at(result, 1, "finished")) == 4  # the first finalist, and the controls
    check = study(stopper=EndAllButTheFirst(), finalist_stopper=EndAllButTheFirst()).check(4)
    assert check.fidelity.n == 4


def test_the_caller_who_owns_the_loop_can_ask():
    hpo = study(stopper=MedianStopper(min_peers=2), finalist_stopper="lagging")
    n_stopped = 0
    while (asked := hpo.ask(12)) is not None:
        values = []
        for step in range(1, STEPS + 1):
            values.append(-curve(asked.config, step))
            if stopped := asked.should_stop(values):
                break
        n_stopped += stopped
        record = hpo.tell(asked, values, seconds=2.0 * len(values), stopped=stopped)
        assert record.state == ("stopped" if stopped else "finished")
    assert n_stopped > 2
    run = study(stopper=MedianStopper(min_peers=2), finalist_stopper="lagging").run(12)
    assert sorted_outcomes(hpo.result) == sorted_outcomes(run)
    with study() as other:
        asked = other.ask()
        assert not asked.should_stop([0.0] * 3)
        for values in ([], [float("nan")], 0.5, torch.tensor(0.5), [None], "loss"):
            with pytest.raises(
                ArgumentError, match="should_stop: values must be a sequence of finite"
            ):
                asked.should_stop(values)


class Deaf(Interleaving):
    streams = False


def test_what_cannot_be_is_refused_before_any_training():
    optuna = pytest.importorskip("optuna")
    for options, error, message in [
        ({"stopper": "median", "executor": Deaf(0)}, ArgumentError, "stopper cannot be used with"),
        ({"finalist_stopper": "asha", "executor": Deaf(0)}, ArgumentError, "finalist_stopper cann"),
        (
            {"stopper": "median", "ladder": [Rung(1)], "finalists": None},
            ArgumentError,
            "use finalist_stopper=",
        ),
        ({"stopper": "medain"}, UnknownNameError, "unknown stopper 'medain'; did you mean 'median"),
        ({"finalist_stopper": MedianStopper}, TypeError, r"such as MedianStopper\(\)"),
        ({"finalist_stopper": 3}, TypeError, "finalist_stopper must be a name or an instance"),
        (
            {"stopper": optuna.pruners.MedianPruner()},
            TypeError,
            "Optuna's.*'asha', 'lagging', 'median'",
        ),
        ({"pruner": optuna.pruners.MedianPruner()}, TypeError, r"use stopper= for that"),
        ({"pruner": MedianStopper()}, TypeError, r"is a stopper.* use stopper= for that"),
    ]:
        with pytest.raises(error, match=message):
            study(train=never, **options)


def never(network, config):
    raise AssertionError("nothing may be trained")
    yield

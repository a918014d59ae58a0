"""Trainings that are ended early: which, when, and what becomes of them."""

import random
import statistics
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace

import cloudpickle
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Report, Rung
from proxyhpo._engine.climb import climb
from proxyhpo._engine.limits import Limits
from proxyhpo._engine.stopping import Stoppers
from proxyhpo._runs import Died, Finished, Outcome, Reported
from proxyhpo.errors import ArgumentError, StudyMismatchError, UnknownNameError
from proxyhpo.executors import ProcessExecutor
from proxyhpo.stoppers import ASHAStopper, MedianStopper, Stopper
from tests import scripts
from tests.engine.test_climb import Executor, Study, finished
from tests.executors.light import light
from tests.studies import sorted_outcomes

# Workers cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

STEPS = 9
BOTH = {"stopper": MedianStopper(min_peers=2), "finalist_stopper": "lagging"}


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def curve(config, step):
    """Falls to the distance from .3, and the faster the higher ``pace`` is."""
    return abs(config["x"] - 0.3) + 1 / (1 + config["pace"] * step)


def train(network, config):
    for step in range(1, STEPS + 1):
        yield {"value": -curve(config, step), "step": step, "seconds": 2.0 * step}


def study(path=None, *, train=train, **options):
    options = {"searcher": "random", "finalists": 4, "stopper": None, **options}
    return ProxyHPO(
        build,
        train,
        {"x": Float(0, 1), "pace": Float(0.1, 10, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        progress=False,
        transfer="identity",
        store=path,
        proxies=True,
        **options,
    )


def at(result, rung, state):
    return [r for r in result.records if (r.rung, r.state) == (rung, state)]


class Interleaving:
    """Three places; which training reports next is drawn by lot.

    Each one is trained to its end when it is handed out, and what it reported arrives bit by bit,
    as from a worker.
    """

    capacity, ahead, streams = 3, 0, True

    def __init__(self, seed, interrupt_after=None):
        self.lots = random.Random(seed)
        self.left = interrupt_after

    def start(self, work, hear):
        self.work, self.hear, self.running = work, hear, {}

    def submit(self, job):
        messages = []
        outcome = self.work.run(job, lambda _, reported: messages.append(reported))
        self.running[job.id] = job, messages, outcome, []

    def wait_any(self, timeout=None):
        while True:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            run = self.lots.choice(sorted(self.running))
            job, messages, outcome, heard = self.running[run]
            if not messages:
                del self.running[run]
                return Finished(job, outcome)
            heard.append(messages.pop(0))
            if self.hear(job, heard[-1]):
                del self.running[run]
                return Finished(job, Outcome.of_stopped(heard))

    def drain(self):
        pass

    def shutdown(self):
        self.running.clear()


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


class EndAllButTheFirst(Stopper):
    """Breaks the contract, so that the best may be ended too."""

    def should_stop(self, losses, peers):
        return True


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


@pytest.mark.parametrize("ordered", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(ordered, tmp_path):
    def executor(seed, interrupt_after=None):
        made = Interleaving(seed, interrupt_after)
        made.capacity = 3 if ordered else 1
        return made

    expected = study(executor=executor(0), ordered=ordered, **BOTH).run(20)
    assert at(expected, 0, "stopped")
    for attempt in range(60):
        interrupting = executor(attempt, interrupt_after=40 if ordered else 23)
        options = {"executor": interrupting, "ordered": ordered, **BOTH}
        result = study(tmp_path / "study.db", **options).run(20)
        if not result.interrupted:
            break
    assert attempt > 3
    assert sorted_outcomes(result) == sorted_outcomes(expected)
    assert result.best_config == expected.best_config


def test_in_order_it_does_not_matter_who_reports_first():
    results = [
        study(executor=Interleaving(seed), ordered=True, **BOTH).run(20) for seed in range(3)
    ]
    assert at(results[0], 0, "stopped")
    assert sorted_outcomes(results[0]) == sorted_outcomes(results[1]) == sorted_outcomes(results[2])


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
        for values in ([], [float("nan")]):
            with pytest.raises(ArgumentError, match="should_stop: values must be finite numbers"):
                asked.should_stop(values)


def test_a_stopper_is_part_of_what_a_store_is_recognised_by(tmp_path):
    study(tmp_path / "a.db", stopper="median").run(2)
    with pytest.raises(StudyMismatchError, match=r"strategies\.stopper\.settings\.min_peers"):
        study(tmp_path / "a.db", stopper=MedianStopper(min_peers=9)).run(2)
    with pytest.raises(StudyMismatchError, match=r"strategies\.stopper: .* given nothing"):
        study(tmp_path / "a.db").run(2)
    with pytest.raises(StudyMismatchError, match=r"strategies\.finalist_stopper: stored nothing"):
        study(tmp_path / "a.db", stopper="median", finalist_stopper="asha").run(2)


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


def test_over_worker_processes_in_order_it_is_the_same_study():
    def at_two(executor):
        executor.capacity = 2
        return executor

    there = study(train=light(train), executor=ProcessExecutor(2), ordered=True, **BOTH).run(12)
    here = study(executor=at_two(Interleaving(1)), ordered=True, **BOTH).run(12)
    assert at(there, 0, "stopped")
    assert sorted_outcomes(there) == sorted_outcomes(here)


SCRIPT = """
    import sys, time
    from tests.engine import test_stopping as the

    def train(network, config):
        print("begun", flush=True)
        for report in the.train(network, config):
            time.sleep(0.01)
            yield report

    the.study(sys.argv[1], train=train, **the.BOTH).run(16)
    time.sleep(1000)  # until it is killed
"""


def test_killed_within_a_training_and_resumed_equals_uninterrupted(tmp_path):
    script, path = tmp_path / "script.py", tmp_path / "study.db"
    script.write_text(textwrap.dedent(SCRIPT))
    with scripts.start(script, path) as run:
        for n_begun, _ in enumerate(run.stdout, 1):
            if n_begun == 8:
                time.sleep(0.04)
                run.kill()
    with pytest.warns(UserWarning, match="source of train has changed"):
        resumed = study(path, **BOTH).run(16)
    expected = study(**BOTH).run(16)
    assert len(at(expected, 0, "stopped")) > 4
    assert sorted_outcomes(resumed) == sorted_outcomes(expected)
    assert resumed.best_config == expected.best_config


def test_a_training_that_is_tried_again_begins_its_curve_anew():
    told = []

    class Telling(Stopper):
        def should_stop(self, losses, peers):
            told.append(list(losses))
            return False

    class Known(Study):
        top = 1

        def __init__(self):
            super().__init__()
            self.state = self
            self.ended, self.entered = [{}], [{0: 0, 1: 1}]

        def finish(self, job, outcome):
            record = super().finish(job, outcome)
            self.ended[0][job.id.trial] = replace(record, reports=outcome.reports)
            return record

    def reported(value):
        return Reported(Report(value), 1.0)

    def events(job):
        if job.id.trial == 0:
            yield Finished(job, Outcome(reports=(Report(1.0),) * 9))
        yield reported(5.0)
        yield Died(job, "killed", 1.0)
        yield reported(4.0)
        yield reported(3.0)
        yield finished(job)

    scripts = {}

    def script(job):
        return next(scripts.setdefault(job.id, events(job)))

    climb(Known(), None, Executor(script), Limits(2, max_retries=1), stoppers=Stoppers(Telling()))
    assert told == [[5.0], [4.0], [4.0, 3.0]]

"""The same trainings are ended early, however a study is interrupted or its reports arrive."""

import textwrap
import time
from dataclasses import replace

import pytest

from proxyhpo import Report
from proxyhpo._engine.climb import climb
from proxyhpo._engine.limits import Limits
from proxyhpo._engine.stopping import Stoppers
from proxyhpo._runs import Died, Finished, Outcome, Reported
from proxyhpo.errors import StudyMismatchError
from proxyhpo.executors import ProcessExecutor
from proxyhpo.stoppers import MedianStopper, Stopper
from tests import scripts
from tests.engine.stopping import BOTH, Interleaving, at, study, train
from tests.engine.test_climb import Executor, Study, finished
from tests.executors.light import light
from tests.studies import sorted_outcomes


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


def test_a_stopper_is_part_of_what_a_store_is_recognised_by(tmp_path):
    study(tmp_path / "a.db", stopper="median").run(2)
    with pytest.raises(StudyMismatchError, match=r"strategies\.stopper\.settings\.min_peers"):
        study(tmp_path / "a.db", stopper=MedianStopper(min_peers=9)).run(2)
    with pytest.raises(StudyMismatchError, match=r"strategies\.stopper: .* given nothing"):
        study(tmp_path / "a.db").run(2)
    with pytest.raises(StudyMismatchError, match=r"strategies\.finalist_stopper: stored nothing"):
        study(tmp_path / "a.db", stopper="median", finalist_stopper="asha").run(2)


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
    from tests.engine import stopping as the

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


def test_a_training_that_is_tried_again_starts_a_new_curve():
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

from collections import deque
from types import SimpleNamespace

import pytest

from proxyhpo._engine import limits
from proxyhpo._engine.climb import climb
from proxyhpo._engine.limits import Limits
from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo._runs import Died, Finished, Job, Outcome, Reported, RunId
from proxyhpo.errors import TrainingFailedError


class Study:
    """Hands out rung-0 jobs only, and remembers what was finished."""

    def __init__(self, predicted=0.0):
        self.parts = SimpleNamespace(loss=lambda value: value)
        self.history = History()
        self.outlook = SimpleNamespace(
            timing=SimpleNamespace(is_measured=True), predicted_seconds=lambda workers: predicted
        )
        self.died = []

    def next_job(self, decide_n_trials, affords):
        if len(self.history.trials) >= decide_n_trials():
            return None
        trial = self.history.add_trial({"x": len(self.history.trials)})
        return Job(RunId(trial, 0), {}, {}, 0.5, 1, 0)

    def next_batch(self, decide_n_trials, size, affords):
        jobs = [self.next_job(decide_n_trials, affords) for _ in range(size)]
        return [job for job in jobs if job is not None]

    def finish(self, job, outcome):
        state = "failed" if outcome.value is None else "finished"
        record = Record(
            job.id.trial, 0, 0, {}, {}, state, outcome.value, outcome.value,
            reason=outcome.reason, traceback=outcome.traceback,
        )  # fmt: skip
        self.history.add_record(record)
        return record

    def deaths(self, job):
        return self.died.count(job.id)

    def retry(self, job, reason, seconds):
        self.died.append(job.id)


class Executor:
    """Plays a script: job → its reports and its end, one after the other."""

    streams = True

    def __init__(self, script, capacity=1, ahead=0):
        self.script, self.capacity, self.ahead = script, capacity, ahead
        self.queue, self.most = deque(), 0
        self.started = self.stopped = 0

    def start(self, work, hear):
        self.started += 1
        self.hear = hear

    def submit(self, job):
        self.queue.append(job)
        self.most = max(self.most, len(self.queue))

    def wait_any(self, timeout=None):
        job, heard = self.queue[0], []
        while isinstance(event := self.script(job), Reported):
            heard.append(event)
            if self.hear(job, event):
                event = Finished(job, Outcome.of_stopped(heard))
                break
        self.queue.popleft()
        return event

    def drain(self):
        raise AssertionError("there was no interrupt")

    def shutdown(self):
        self.stopped += 1


def finished(job, value=1.0, **failure):
    return Finished(job, Outcome(reports=(Report(value),), **failure))


@pytest.mark.parametrize(("capacity", "ahead"), [(1, 0), (3, 0), (2, 1)])
def test_keeps_every_place_taken_until_all_trials_have_ended(capacity, ahead):
    study, executor = Study(), Executor(finished, capacity, ahead)
    climb(study, None, executor, Limits(7))
    assert len(study.history.records) == 7
    assert executor.most == capacity + ahead
    assert (executor.started, executor.stopped) == (1, 1)


def test_a_death_is_a_failure_unless_it_may_be_tried_again():
    deaths = []

    def script(job):
        if job.id.trial == 1 and len(deaths) < 2:
            deaths.append(job)
            return Died(job, "killed by signal 9", 0.5)
        return finished(job)

    study = Study()
    climb(study, None, Executor(script), Limits(3, max_retries=2))
    assert [record.state for record in study.history.records] == ["finished"] * 3
    deaths.clear()
    study = Study()
    climb(study, None, Executor(script), Limits(3, max_retries=0))
    assert [record.state for record in study.history.records] == [
        "finished",
        "failed",
        "finished",
    ]
    assert study.history.records[1].reason == "killed by signal 9"


def test_the_executor_is_shut_down_whatever_happens():
    def script(job):
        raise KeyboardInterrupt

    executor = Executor(script)
    with pytest.raises(KeyboardInterrupt):
        climb(Study(), None, executor, Limits(3))
    assert executor.stopped == 1


def test_an_executor_whose_start_is_interrupted_is_shut_down_as_well():
    class Interrupted(Executor):
        def start(self, work, hear):
            super().start(work, hear)
            raise KeyboardInterrupt

    executor = Interrupted(finished)
    with pytest.raises(KeyboardInterrupt):
        climb(Study(), None, executor, Limits(3))
    assert (executor.started, executor.stopped) == (1, 1)


def test_exceptions_in_a_row_from_the_start_end_the_study():
    def script(job):
        return finished(job, reason="ValueError: x", traceback=f"Traceback {job.id.trial}")

    study = Study()
    with pytest.raises(TrainingFailedError, match="Traceback 0"):
        climb(study, None, Executor(script), Limits(20))
    assert len(study.history.records) == 5


def test_deaths_from_the_start_do_not():
    """A dead worker, or one out of time, is a record and never a lost study."""
    study = Study()
    climb(study, None, Executor(lambda job: Died(job, "timed out after 1 s", 1.0)), Limits(7))
    assert [record.state for record in study.history.records] == ["failed"] * 7
    assert {record.reason for record in study.history.records} == {"timed out after 1 s"}
    assert not any(record.traceback for record in study.history.records)


@pytest.mark.parametrize("relief", [{"value": 2.0}, {"reason": "report 1 was nan"}])
def test_exceptions_not_in_a_row_do_not(relief):
    def script(job):
        if job.id.trial % 5 == 4:
            return finished(job, **relief)
        return finished(job, reason="ValueError: x", traceback="Traceback")

    study = Study()
    climb(study, None, Executor(script), Limits(19))  # one below the limit for any failures
    assert len(study.history.records) == 19


def test_callbacks_see_each_record_and_may_end_the_climb():
    seen = []
    climb(
        Study(), None, Executor(finished), Limits(20),
        callbacks=[seen.append], stopping=lambda: len(seen) >= 3,
    )  # fmt: skip
    assert [record.trial for record in seen] == [0, 1, 2]


def test_every_record_is_a_line_of_the_log_with_its_fields(caplog):
    def script(job):
        if job.id.trial == 1:
            return finished(job, reason="ValueError: x", traceback="Traceback")
        return finished(job)

    with caplog.at_level("INFO", logger="proxyhpo"):
        climb(Study(), None, Executor(script), Limits(3))
    assert [line.levelname for line in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert [line.trial for line in caplog.records] == [0, 1, 2]
    failed = caplog.records[1]
    assert (failed.state, failed.reason, failed.traceback) == (
        "failed",
        "ValueError: x",
        "Traceback",
    )
    assert "trial 1 at rung 0 failed: ValueError: x" in failed.getMessage()


class Time:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Time()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_no_trial_begins_when_the_time_left_is_needed_for_the_climb(clock):
    def script(job):
        clock.now += 1
        return finished(job)

    study = Study(predicted=4.0)
    climb(study, None, Executor(script), Limits(100, timeout=10))
    # After 5 trials 5 s are left, which is what 4 s may become.
    assert len(study.history.trials) == 6


def test_a_training_that_is_running_when_time_is_up_is_ended(clock):
    def script(job):
        clock.now += 1
        return Reported(Report(1.0), clock.now)

    study, executor = Study(), Executor(script)
    climb(study, None, executor, Limits(100, timeout=10))
    assert executor.stopped == 1
    assert not study.history.records


def test_in_order_nothing_begins_before_the_whole_batch_has_ended():
    study, seen = Study(), []

    def script(job):
        seen.append((job.id.trial, len(study.history.trials)))
        return finished(job)

    climb(study, None, Executor(script, capacity=3), Limits(7, ordered=True))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 6), (4, 6), (5, 6), (6, 7)]

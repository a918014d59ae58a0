"""The contract of every executor, as tests: subclass it and provide the fixture.

::

    class TestMyExecutor(ExecutorContract):
        @pytest.fixture(scope="class")
        @classmethod
        def executor(cls):
            return MyExecutor()
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from proxyhpo._runs import Finished, Job, Outcome, Reported, unheard
from proxyhpo._seeding import preserved_random_state
from proxyhpo.executors import Executor, InProcessExecutor
from proxyhpo.testing._trainings import PATIENCE, Heard, drain, job, run, work

__all__ = ["ExecutorContract"]


class ExecutorContract:
    """The tests. ``executor`` must be a fixture with class scope."""

    @pytest.fixture(scope="class")
    @classmethod
    def heard(cls) -> Heard:
        """Receives the reports of all trainings of ``started``."""
        return Heard()

    @pytest.fixture(scope="class")
    @classmethod
    def started(cls, executor: Executor, heard: Heard) -> Iterator[Executor]:
        """The executor, started with the work of :func:`work`."""
        with preserved_random_state():
            executor.start(work(), heard)
            yield executor
            executor.shutdown()

    def test_outcomes_are_those_of_a_training_in_this_process(self, started: Executor) -> None:
        """Values, reports, metrics, weights and scaled updates are equal, bit for bit."""
        proxy = job(density=0.5)
        jobs = [proxy, job(keep_weights=True), job(), job("raise"), job(seed=6)]
        here = InProcessExecutor()
        here.start(work(), unheard)
        for one, there, expected in zip(jobs, run(started, *jobs), run(here, *jobs), strict=True):
            assert isinstance(there, Outcome)
            assert isinstance(expected, Outcome)
            assert (there.value, there.reports) == (expected.value, expected.reports)
            assert there.reason == expected.reason
            assert there.correction == expected.correction
            if one is proxy:  # half of the hidden units are left
                assert there.correction is not None
                assert (there.correction.smallest, there.correction.largest) == (0.5**0.5, 2.0)
            else:
                assert there.correction is None
            assert (there.weights is None) == (expected.weights is None)
            for name, tensor in (expected.weights or {}).items():
                assert there.weights is not None
                assert torch.equal(there.weights[name], tensor)

    def test_a_training_leaves_nothing_behind(self, started: Executor) -> None:
        """What it changes for the whole process, the next one does not see."""
        later = [job(), job("look")]
        polluting, *rest = run(started, job("pollute"), *later)
        assert isinstance(polluting, Outcome)
        assert polluting.reason is None
        here = InProcessExecutor()
        here.start(work(), unheard)
        for there, expected in zip(rest, run(here, *later), strict=True):
            assert isinstance(there, Outcome)
            assert isinstance(expected, Outcome)
            assert (there.reason, there.reports) == (None, expected.reports)

    def test_reports_stream_in_order(self, started: Executor, heard: Heard) -> None:
        """Each report arrives once, before the end, with the training time so far."""
        jobs = [job(), job(), job()]
        for one, outcome in zip(jobs, run(started, *jobs), strict=True):
            assert isinstance(outcome, Outcome)
            reported = heard.reports.get(one.id, [])
            if started.streams:
                assert tuple(each.report for each in reported) == outcome.reports
                assert [each.report.metrics["step"] for each in reported] == [0, 1, 2]
                seconds = [each.seconds for each in reported]
                assert seconds == sorted(seconds)
            else:
                assert reported == []

    def test_a_stopped_training_is_closed_and_silent(
        self, started: Executor, heard: Heard, tmp_path: Path
    ) -> None:
        """Its outcome has the reports so far, its ``finally`` runs, and its worker is free."""
        if not started.streams:
            pytest.skip("the executor does not stream reports")
        endless = job("go on", file=tmp_path / "closed")
        heard.until = lambda one, reports: one == endless and len(reports) == 5
        others = [job() for _ in range(started.capacity + 1)]
        stopped, *outcomes = run(started, endless, *others)
        assert isinstance(stopped, Outcome)
        assert stopped.stopped
        assert [*stopped.reports] == [each.report for each in heard.reports[endless.id]]
        assert len(stopped.reports) == 5
        assert (stopped.value, stopped.reason) == (0.0, None)
        assert stopped.seconds == heard.reports[endless.id][-1].seconds
        for outcome in outcomes:
            assert isinstance(outcome, Outcome)
            assert not outcome.stopped
            assert len(outcome.reports) == 3
        end = time.monotonic() + PATIENCE
        while not (tmp_path / "closed").exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert (tmp_path / "closed").exists()

    @pytest.mark.parametrize(
        ("then", "reason"),
        [
            ("raise", "ValueError: as told"),
            ("raise unpicklable", "Unpicklable: cannot travel"),
            ("exit", "SystemExit: 3"),
        ],
    )
    def test_a_failure_is_an_outcome(self, started: Executor, then: str, reason: str) -> None:
        """The outcome has the reason, the traceback and the earlier reports; the next job runs."""
        failed, after = run(started, job(then), job())
        assert isinstance(failed, Outcome)
        assert failed.value is None
        assert len(failed.reports) == 3
        assert failed.reason == reason
        assert failed.traceback is not None
        assert "_trainings.py" in failed.traceback
        assert isinstance(after, Outcome)
        assert after.value is not None

    def test_without_a_job_there_is_nothing_to_wait_for(self, started: Executor) -> None:
        """``wait_any`` returns None without waiting."""
        assert started.wait_any() is None
        assert started.wait_any(PATIENCE) is None

    def test_after_drain_running_jobs_finish_and_no_others_start(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """``wait_any`` then returns None, until the executor is started again."""
        running = 0

        def drained(_job: Job, reports: list[Reported]) -> bool:
            nonlocal running
            if len(reports) == 1 and not running:
                running = executor.drain()
            return False

        executor.start(work(), Heard(drained))
        jobs = [job(file=tmp_path / str(number)) for number in range(executor.capacity + 3)]
        try:
            for one in jobs[:-1]:
                executor.submit(one)
            ends = [executor.wait_any(PATIENCE)]
            first = not running  # no report arrived before the first end
            running = running or executor.drain()
            executor.submit(jobs[-1])
            ends += drain(executor)
            ended = {jobs.index(end.job) for end in ends if isinstance(end, Finished)}
            assert 1 <= len(ended) <= running + first
            assert {int(file.name) for file in tmp_path.iterdir()} == ended
            assert len(jobs) - 1 not in ended
            assert executor.wait_any(PATIENCE) is None
        finally:
            executor.shutdown()

    def test_it_can_be_started_again(self, executor: Executor) -> None:
        """It may be started with other work, also while an earlier training still runs.

        What the listener raises is an error of the study, not of the training that reports. It
        passes through ``wait_any``.
        """

        class NowError(Exception):
            pass

        def interrupted(_job: Job, _reported: Reported) -> bool:
            raise NowError

        executor.start(work(), interrupted)
        if executor.streams:
            executor.submit(job("go on"))
            with pytest.raises(NowError):
                executor.wait_any(PATIENCE)
        executor.shutdown()
        executor.shutdown()
        executor.start(work(lambda _network, _config: 7.0), unheard)
        try:
            (outcome,) = run(executor, job())
            assert isinstance(outcome, Outcome)
            assert outcome.value == 7.0
        finally:
            executor.shutdown()

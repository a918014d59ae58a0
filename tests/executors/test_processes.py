"""Worker processes: what a training does to one costs that training alone."""

import os
import signal
import textwrap
from pathlib import Path

import pytest

from proxyhpo._runs import Died, Outcome, unheard
from proxyhpo.executors import ProcessExecutor
from proxyhpo.testing._trainings import Heard, run
from tests import scripts
from tests.executors.actions import does, started
from tests.waiting import PATIENCE, wait_until, wait_until_gone


@pytest.fixture(scope="module")
def heard():
    """Hears the trainings of ``one``."""
    return Heard()


@pytest.fixture(scope="module")
def one(heard):
    """One worker with a short patience, for whatever a test does to it."""
    executor = ProcessExecutor(1, ahead=0, grace=1.0, devices=["cpu"])
    with started(executor, heard=heard):
        yield executor


@pytest.fixture
def ending(heard):
    """Has a training of ``one`` ended after its first report."""
    jobs = []
    heard.until = lambda job, reports: job in jobs
    yield jobs.append
    heard.until = unheard


def begin(executor, heard, *jobs):
    """Submits the jobs, waits for a report of each, and returns their workers' process ids."""
    for each in jobs:
        executor.submit(each)

    def all_have_reported():
        assert executor.wait_any(0.05) is None
        return all(each.id in heard.reports for each in jobs)

    wait_until(all_have_reported)
    return [pid_of(heard, each) for each in jobs]


def pid_of(heard, job):
    return int(heard.reports[job.id][0].report.metrics["pid"])


def values(outcome):
    return tuple(report.value for report in outcome.reports)


def metrics(outcome):
    return outcome.reports[-1].metrics


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("SIGKILL", "the worker was killed by SIGKILL (possibly out of memory)"),
        ("segfault", "the worker was killed by SIGSEGV"),
        ("exit", "the worker exited with code 3"),
    ],
)
def test_a_worker_that_dies_is_named_and_replaced(one, how, reason):
    died, after = run(one, does("die", how), does("nothing"))
    assert isinstance(died, Died)
    assert died.reason == reason
    assert died.seconds >= 0
    assert after.value == 2.0


def test_a_worker_that_dies_between_two_jobs_is_not_missed(one):
    (before,) = run(one, does("nothing"))
    os.kill(int(metrics(before)["pid"]), signal.SIGKILL)
    (after,) = run(one, does("nothing"))
    assert after.value == 2.0
    assert metrics(after)["pid"] != metrics(before)["pid"]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("eat_memory", "memory"),
        ("run_out_of_cuda_memory", "CUDA out of memory"),
        ("ask", "EOFError"),
    ],
)
def test_what_only_raises_costs_no_worker(one, action, reason):
    failed, after = run(one, does(action), does("nothing"))
    assert isinstance(failed, Outcome)
    assert failed.value is None
    assert reason in failed.reason
    assert after.value == 2.0


def test_a_worker_is_warm_and_has_one_thread(one):
    first, second = run(one, does("nothing"), does("nothing"))
    assert metrics(first)["pid"] == metrics(second)["pid"] != os.getpid()
    assert metrics(first)["threads"] == 1


def test_a_worker_sees_only_its_device(one):
    (outcome,) = run(one, does("see_devices"))
    assert values(outcome) == (1.0, 1.0, 2.0)


def test_what_a_training_spoils_is_put_back(one):
    spoiled, after, other = run(
        one, does("spoil"), does("look_around", Path.cwd()), does("use_torch")
    )
    assert values(spoiled) == (1.0, 0.0, 2.0)
    assert values(after) == (1.0, 1.0, 2.0)
    assert values(other) == (1.0, 1.0, 1.0, 1.0, 1.0, 2.0)
    assert metrics(after)["threads"] == metrics(other)["threads"] == 1
    assert metrics(spoiled)["pid"] == metrics(after)["pid"] == metrics(other)["pid"]


def test_a_child_that_comes_out_of_the_training_says_nothing(one):
    first, second = run(one, does("fork_and_come_back"), does("nothing"))
    assert values(first) == values(second) == (1.0, 0.0, 2.0)
    assert metrics(first)["pid"] == metrics(second)["pid"]


def test_data_loaders_have_workers_of_their_own(one):
    (outcome,) = run(one, does("load_data"))
    assert values(outcome) == (1.0, 28.0, 2.0)


def test_a_training_that_yields_after_being_closed_costs_no_worker(one, heard, ending):
    stubborn = does("hold_on")
    ending(stubborn)
    stopped, after = run(one, stubborn, does("nothing"))
    assert stopped.stopped
    assert metrics(after)["pid"] == pid_of(heard, stubborn)


def test_a_training_that_does_not_stop_is_killed_without_a_record(one, heard, ending):
    deaf = does("sleep_when_closed")
    heard.until = lambda job, reports: job == deaf and len(reports) == 2
    stopped, other = run(one, deaf, does("nothing"))
    assert (stopped.stopped, values(stopped), stopped.reason) == (True, (1.0, 0.0), None)
    assert other.value == 2.0
    wait_until_gone(pid_of(heard, deaf))


def test_waiting_has_an_end(one, heard, ending):
    long = does("chatter")
    begin(one, heard, long)
    assert one.wait_any(0) is None
    assert one.wait_any(0.05) is None
    ending(long)
    assert one.wait_any(PATIENCE).outcome.stopped


def test_workers_ignore_ctrl_c(one, heard, ending, tmp_path):
    long = does("note_closing", tmp_path / "file")
    (pid,) = begin(one, heard, long)
    os.kill(pid, signal.SIGINT)
    known = len(heard.reports[long.id])

    def reports_arrive():
        assert one.wait_any(0.05) is None
        return len(heard.reports[long.id]) >= known + 5

    wait_until(reports_arrive)
    ending(long)
    assert one.wait_any(PATIENCE).outcome.stopped


def test_a_training_that_takes_too_long_is_killed():
    with started(ProcessExecutor(2, trial_timeout=3.0)) as executor:
        hung = [does("chatter"), does("hold_the_interpreter")]
        *late, after = run(executor, *hung, does("nothing"))
    for died in late:
        assert isinstance(died, Died)
        assert died.reason == "timed out after 3 s"
        assert died.seconds >= 3
    assert after.value == 2.0


def test_shutdown_kills_what_does_not_listen_and_what_was_left_behind(tmp_path):
    heard = Heard()
    with started(ProcessExecutor(1, grace=1.0), heard=heard) as executor:
        (left,) = run(executor, does("leave_a_child", tmp_path / "child"))
        assert left.value == 2.0
        pids = begin(executor, heard, does("sleep"))
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    wait_until_gone(*pids, child)


SCRIPT = """
    # A script without `if __name__ == "__main__"`, whose functions use what it defines.
    import os, sys, time
    import torch
    from proxyhpo.evaluators import TrainingEvaluator
    from proxyhpo.executors import ProcessExecutor
    from proxyhpo.testing._trainings import job, work

    OFFSET = torch.tensor(40.0)

    def train(network, config):
        print("in a worker")
        sys.stdout.close()
        if config["file"]:
            yield 0.0
            return
        if os.fork() == 0:
            time.sleep(1000)
        yield {"value": OFFSET + 2, "pid": os.getpid()}
        time.sleep(1000)

    def hear(job, reported):
        if reported.report.metrics:
            print(int(reported.report.value), int(reported.report.metrics["pid"]), flush=True)
            time.sleep(1000)

    executor = ProcessExecutor(1)
    executor.start(work(train), hear)
    executor.submit(job(file="closes what it has printed to"))
    executor.submit(job())
    while True:
        executor.wait_any()
"""


def test_a_worker_prints_and_ends_with_a_study_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    with scripts.start(script) as study:
        first, second, third = (study.stdout.readline().split() for _ in range(3))
        assert first == second == ["in", "a", "worker"]
        value, pid = map(int, third)
        assert value == 42
        (child,) = children(pid)
        study.kill()
        wait_until_gone(pid, child)


def children(pid):
    return map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split())

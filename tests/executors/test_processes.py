"""Worker processes: what a training does to one costs that training alone."""

import ctypes
import os
import resource
import signal
import sys
import textwrap
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import cloudpickle
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import proxyhpo.executors._processes
from proxyhpo._runs import Died, Outcome, unheard
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors import ProcessExecutor
from proxyhpo.testing._trainings import Heard, job, run, work
from tests import scripts
from tests.executors.light import light_work

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ENDLESS = 10_000


def train(network, config):
    yield {"value": 1.0, "pid": os.getpid()}
    action, _, argument = config["file"].partition(" ")
    yield from ACTIONS[action](argument)
    yield {"value": 2.0, "pid": os.getpid(), "threads": torch.get_num_threads()}


def sleep(_):
    time.sleep(ENDLESS)
    yield 0.0


def sleep_when_closed(_):
    with suppress(GeneratorExit):
        yield 0.0
    time.sleep(ENDLESS)  # whether it was told to end before this or is told now
    yield 0.0


def chatter(_):
    while True:
        yield 0.0


def hold_the_interpreter(_):
    # One call into C that never gives other threads of the process a turn.
    yield float(sum(range(10**12)))


def hold_on(_):
    while True:
        with suppress(GeneratorExit):
            yield 0.0
            time.sleep(0.01)


def die(how):
    if how == "exit":
        os._exit(3)
    elif how == "segfault":
        ctypes.string_at(0)
    else:
        os.kill(os.getpid(), getattr(signal, how))
    yield 0.0


def eat_memory(_):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (used * resource.getpagesize() + 2**28, hard))
    try:
        yield float(torch.ones(2**29).sum())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run_out_of_cuda_memory(_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    yield 0.0


def fork_and_come_back(_):
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    yield 0.0


def leave_a_child(file):
    child = os.fork()
    if child == 0:
        time.sleep(ENDLESS)
        os._exit(0)
    Path(file).write_text(str(child), encoding="utf-8")
    yield 0.0


def spoil(_):
    sys.stdout.close()
    sys.stderr = None
    os.close(1)
    os.chdir("/")
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    yield 0.0


def look_around(directory):
    print("can print")  # noqa: T201
    print("here too", file=sys.stderr)  # noqa: T201
    os.write(1, b"and here\n")
    yield float(Path.cwd() == Path(directory))


def use_torch(_):
    yield float(torch.get_default_dtype() == torch.float32)
    yield float(torch.is_grad_enabled())
    yield float(not torch.are_deterministic_algorithms_enabled())
    yield float(torch.tensor(1e-39) * 1 == 0)  # a denormal


def load_data(_):
    data = TensorDataset(torch.arange(8.0))
    yield sum(float(batch.sum()) for (batch,) in DataLoader(data, batch_size=2, num_workers=2))


def ask(_):
    yield float(input())


def see_devices(_):
    yield float(os.environ["CUDA_VISIBLE_DEVICES"] == "")


def note_closing(file):
    try:
        while True:
            time.sleep(0.01)
            yield 0.0
    finally:
        Path(file).write_text("closed", encoding="utf-8")


def nothing(_):
    yield 0.0


ACTIONS = {
    function.__name__: function
    for function in (
        sleep, sleep_when_closed, chatter, hold_the_interpreter, hold_on, die, eat_memory,
        run_out_of_cuda_memory, fork_and_come_back, leave_a_child, spoil, look_around, use_torch,
        load_data, ask, see_devices, note_closing, nothing,
    )
}  # fmt: skip


def does(action, argument=""):
    return job(file=f"{action} {argument}")


@contextmanager
def started(executor, what=train, heard=unheard):
    executor.start(light_work(what), heard)
    try:
        yield executor
    finally:
        executor.shutdown()


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
    end = time.monotonic() + 240
    while not all(each.id in heard.reports for each in jobs):
        assert executor.wait_any(0.05) is None
        assert time.monotonic() < end
    return [pid_of(heard, each) for each in jobs]


def pid_of(heard, job):
    return int(heard.reports[job.id][0].report.metrics["pid"])


def values(outcome):
    return tuple(report.value for report in outcome.reports)


def metrics(outcome):
    return outcome.reports[-1].metrics


def is_alive(pid):
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")")[1].split()[0] != "Z"
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(*pids, seconds=240):
    end = time.monotonic() + seconds
    while any(map(is_alive, pids)):
        assert time.monotonic() < end, "a process lives on"
        time.sleep(0.05)


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
    assert one.wait_any(240).outcome.stopped


def test_workers_ignore_ctrl_c(one, heard, ending, tmp_path):
    long = does("note_closing", tmp_path / "file")
    (pid,) = begin(one, heard, long)
    os.kill(pid, signal.SIGINT)
    known = len(heard.reports[long.id])
    end = time.monotonic() + 240
    while len(heard.reports[long.id]) < known + 5:
        assert one.wait_any(0.05) is None
        assert time.monotonic() < end
    ending(long)
    assert one.wait_any(240).outcome.stopped


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


def test_work_that_cannot_travel_is_refused_and_named():
    lock = __import__("threading").Lock()

    def locked(network, config):
        with lock:
            yield 1.0

    with pytest.raises(ArgumentError, match=r"evaluator \(TrainingEvaluator\) cannot be sent"):
        ProcessExecutor(1).start(work(locked), unheard)


class Loads:
    """Calls a function where it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self, network, config):
        yield 1.0


def test_work_that_cannot_be_loaded_ends_the_study_with_the_reason():
    absent = Loads(__import__, "no_such_module_anywhere")
    with started(ProcessExecutor(1), absent) as executor:
        executor.submit(does("nothing"))
        with pytest.raises(ExecutorError, match="no_such_module_anywhere"):
            executor.wait_any(240)


def test_workers_that_die_before_any_training_end_the_study(monkeypatch):
    monkeypatch.setattr(proxyhpo.executors._processes, "STARTS_TO_GIVE_UP", 2)
    with started(ProcessExecutor(1), Loads(os._exit, 9)) as executor:
        executor.submit(does("nothing"))
        with pytest.raises(ExecutorError, match=r"2 workers in a row .* exited with code 9"):
            executor.wait_any(240)


def test_an_interrupted_start_leaves_no_worker(monkeypatch):
    workers = []

    class Interrupted(proxyhpo.executors._processes.WorkerProcess):
        def __init__(self, *arguments, **options):
            if workers:
                raise KeyboardInterrupt
            super().__init__(*arguments, **options)
            workers.append(self)

    monkeypatch.setattr(proxyhpo.executors._processes, "WorkerProcess", Interrupted)
    executor = ProcessExecutor(2)
    with pytest.raises(KeyboardInterrupt):
        executor.start(work(train), unheard)
    executor.shutdown()
    wait_until_gone(workers[0]._process.pid)


def test_workers_that_hang_before_any_training_end_the_study(monkeypatch):
    monkeypatch.setattr(proxyhpo.executors._processes, "STARTS_TO_GIVE_UP", 2)
    monkeypatch.setattr(proxyhpo.executors._processes, "START_SECONDS", 0.5)
    executor = ProcessExecutor(1, trial_timeout=0.1)
    with started(executor, Loads(time.sleep, ENDLESS)):
        executor.submit(does("nothing"))
        with pytest.raises(
            ExecutorError, match=r"2 workers in a row .* within 0\.5 s: does loading"
        ):
            executor.wait_any(240)


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

"""Ray: the contract, and the faults that its tasks survive. Skipped where Ray is absent."""

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._runs import Died, unheard
from proxyhpo.callbacks import Callback
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors import RayExecutor, _ray_core
from proxyhpo.executors._ray_tasks import RayTask, kept_local
from proxyhpo.testing import ExecutorContract
from proxyhpo.testing._trainings import Heard, job, run, work
from tests.executors.light import light_work

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ray.*")

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def instance():
    """An executor that has started Ray itself; those of the other tests find it and leave it."""
    assert not ray.is_initialized()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ray._private.ray_constants, "RAY_LOG_TO_DRIVER", False)
        executor = RayExecutor()
        executor.start(light_work(train), unheard)
    yield executor
    executor.shutdown()
    assert not ray.is_initialized()


@pytest.mark.usefixtures("instance")
class TestRayExecutor(ExecutorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls):
        return RayExecutor()


def train(network, config):
    yield {"value": 1.0, "pid": os.getpid(), "threads": torch.get_num_threads()}
    if config["file"] == "sleep":
        time.sleep(10_000)
    elif config["file"]:
        os.kill(os.getpid(), getattr(signal, config["file"]))
    yield {"value": 2.0, "pid": os.getpid(), "threads": torch.get_num_threads()}


@pytest.fixture(scope="module")
def heard():
    """Hears the trainings of ``two``."""
    return Heard()


@pytest.fixture(scope="module")
def two(instance, heard):
    executor = RayExecutor(grace=1.0, trial_timeout=6.0)
    executor.start(light_work(train), heard)
    yield executor
    executor.shutdown()
    assert ray.is_initialized()


def test_capacity_is_what_the_nodes_have_room_for(two):
    cpus = ray.cluster_resources()["CPU"]
    assert two.capacity == cpus
    assert RayExecutor(num_cpus=0.5).capacity == 2 * cpus
    assert RayExecutor(workers=7).capacity == 7


def test_a_worker_that_dies_costs_its_job(two):
    died, other, after = run(two, job(file="SIGKILL"), job(), job())
    assert isinstance(died, Died)
    assert "WorkerCrashedError" in died.reason
    assert other.value == after.value == 2.0
    assert other.reports[-1].metrics["threads"] == 1


def test_a_training_that_takes_too_long_is_killed(two):
    late, other = run(two, job(file="sleep"), job())
    assert isinstance(late, Died)
    assert late.reason == "timed out after 6 s"
    assert late.seconds >= 6
    assert other.value == 2.0


def test_a_training_that_does_not_stop_is_killed_without_a_record(two, heard):
    deaf = job(file="sleep")
    heard.until = lambda one, reports: one == deaf
    stopped, *others = run(two, deaf, job(), job(), job())
    assert stopped.stopped
    assert [report.value for report in stopped.reports] == [1.0]
    assert [other.value for other in others] == [2.0] * 3


def cannot_load():
    raise ModuleNotFoundError("no such module there")


class Unloadable:
    def __reduce__(self):
        return cannot_load, ()

    def __call__(self, network, config):
        yield 1.0


@pytest.mark.usefixtures("instance")
def test_work_that_cannot_be_loaded_ends_the_study_with_the_reason():
    executor = RayExecutor()
    executor.start(work(Unloadable()), unheard)
    executor.submit(job())
    with pytest.raises(ExecutorError, match="no such module there"):
        executor.wait_any(240)
    executor.shutdown()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_cpus": -1}, "num_cpus must be a finite number >= 0, got -1"),
        ({"num_cpus": 0}, "num_cpus and num_gpus must not both be 0"),
        ({"num_gpus": "1"}, "num_gpus must be a finite number >= 0, got '1'"),
        ({"workers": 0}, "workers must be a whole number >= 1, got 0"),
        ({"trial_timeout": -1}, "trial_timeout must be a finite number of seconds > 0"),
    ],
)
def test_arguments_are_checked_at_once(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        RayExecutor(**arguments)


class Idle:
    """Ray with one node, on which no task begins."""

    exceptions = SimpleNamespace(RayError=Exception)

    def __init__(self, **resources):
        self.resources = resources

    def nodes(self):
        return [{"Alive": True, "Resources": self.resources}]

    def wait(self, awaited, timeout, fetch_local):
        time.sleep(min(timeout, 0.01))
        return [], awaited

    def cancel(self, stream, force):
        """Nothing runs."""


@pytest.mark.parametrize(("resources", "is_said"), [({"CPU": 4.0}, True), ({"GPU": 1.0}, False)])
def test_resources_that_no_node_has_are_said_once(resources, is_said, monkeypatch, caplog):
    monkeypatch.setattr(_ray_core, "_PATIENCE_SECONDS", 0.0)
    executor = RayExecutor(num_cpus=0, num_gpus=1)
    monkeypatch.setattr(executor, "_ray", Idle(**resources))
    executor._tasks.append(RayTask(job(), stream="pending"))
    assert executor.wait_any(0.05) is None
    assert executor.wait_any(0.05) is None
    assert caplog.text.count("no node of Ray has the 1 GPU that each training needs") == is_said
    executor.drain()  # as after Ctrl-C: what has not begun is taken back
    assert executor.wait_any(None) is None


class CtrlC(Callback):
    """Sends it once, soon after the first training was submitted, when the study waits for Ray."""

    def __init__(self):
        self.is_sent = False

    def on_training_start(self, training):
        if not self.is_sent:  # a second one would reach the tests
            self.is_sent = True
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.slow
@pytest.mark.usefixtures("instance")
def test_ctrl_c_ends_a_study_whose_trainings_wait_for_resources():
    hpo = ProxyHPO(
        lambda: nn.Linear(4, 2),
        lambda network, config: 1.0,
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(2, 4),
        direction="minimize",
        proxies=False,
        executor=RayExecutor(num_gpus=1),  # the instance has none
        callbacks=[CtrlC()],
        progress=False,
    )
    result = hpo.run(3)
    assert result.interrupted
    assert len(result.history.trials) > 0
    assert not result.records
    assert ray.is_initialized()


def listening():
    """The addresses at which this process, and all that it has started, accept connections."""
    tables = [Path("/proc/net", name).read_text(encoding="utf-8") for name in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table.splitlines()[1:]]
    own = sockets()
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in own}


def sockets():
    """The sockets of this process and of its descendants; others on this machine listen, too."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family, found = set(), {os.getpid()}
    while found:
        family |= found
        found = {child for child, parent in parents.items() if parent in found} - family
    own = set()
    for process in family:
        files = []
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            files = list(Path(f"/proc/{process}/fd").iterdir())
        for file in files:
            with suppress(FileNotFoundError, ProcessLookupError):  # it is closed
                if (link := str(file.readlink())).startswith("socket:"):
                    own.add(link.removeprefix("socket:[").removesuffix("]"))
    return own


def test_a_started_ray_only_listens_on_this_machine(instance):
    addresses = listening()
    assert "0100007F" in addresses
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert addresses <= loopback
    (outcome,) = run(instance, job())
    assert outcome.value == 2.0


def test_what_keeps_ray_local_is_put_back():
    constants = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    with pytest.raises(KeyError), kept_local(ray):
        assert constants.ENABLE_RAY_CLUSTER is False
        raise KeyError
    assert constants.ENABLE_RAY_CLUSTER is before


def test_the_handler_of_sigterm_that_ray_installs_is_replaced_by_the_one_before(monkeypatch):
    def init(**_options):
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))

    other = SimpleNamespace(
        init=init,
        put=lambda value: value,
        is_initialized=lambda: False,
        util=SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1"),
        remote=lambda **options: lambda function: function,
    )
    executor = RayExecutor()
    monkeypatch.setattr(executor, "_ray", other)

    def handler(number, frame):
        raise AssertionError

    left = signal.signal(signal.SIGTERM, handler)
    executor.start(work(train), unheard)
    assert signal.signal(signal.SIGTERM, left or signal.SIG_DFL) is handler


@pytest.mark.parametrize("missing", ["_private", "ray_constants", "ENABLE_RAY_CLUSTER"])
@pytest.mark.parametrize(("address", "warned"), [("192.168.0.7", 1), ("127.0.0.1", 0), ("::1", 0)])
def test_a_ray_without_the_private_name_is_started_and_checked(
    missing, address, warned, monkeypatch, caplog
):
    started = []
    constants = SimpleNamespace() if missing == "ENABLE_RAY_CLUSTER" else None
    private = SimpleNamespace() if constants is None else SimpleNamespace(ray_constants=constants)
    other = SimpleNamespace(
        init=lambda **options: started.append(options),
        put=lambda value: value,
        is_initialized=lambda: False,
        util=SimpleNamespace(get_node_ip_address=lambda: address),
        remote=lambda **options: lambda function: function,
        **({} if missing == "_private" else {"_private": private}),
    )
    executor = RayExecutor()
    monkeypatch.setattr(executor, "_ray", other)
    executor.start(work(train), unheard)
    assert started == [{"include_dashboard": False, "logging_level": logging.WARNING}]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == warned
    assert all("could not be restricted to local connections" in line for line in lines)
    assert constants is None or not vars(constants)

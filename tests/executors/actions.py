"""Trainings that do something to the worker process that runs them."""

import ctypes
import os
import resource
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import cloudpickle
import torch
from torch.utils.data import DataLoader, TensorDataset

from proxyhpo._runs import unheard
from proxyhpo.testing._trainings import job
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

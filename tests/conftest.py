import signal
import sys

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# A background job of a script and nohup start processes with SIGINT ignored, and children inherit
# that. Tests that send SIGINT, to this process or to one that they start, need it to be delivered.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Timing is not what these tests are about, and a run that failed must fail again.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")

# These modules test what only POSIX has (signals, worker processes), or read Linux's /proc.
POSIX = ["engine/test_deaths.py", "engine/test_interruption.py", "store/test_kill.py"]
POSIX += ["store/test_lost.py"]
LINUX = [
    "executors/test_engine_processes.py",
    "executors/test_orphans.py",
    "executors/test_processes.py",
    "executors/test_ray.py",
]
collect_ignore = [
    *(POSIX if sys.platform == "win32" else []),
    *([] if sys.platform == "linux" else LINUX),
]

# Folders and modules that start processes, train studies or run scripts, a test in seconds.
SLOW = [
    "proxyhpo/integrations",
    "tests/benchmarks",
    "tests/callbacks/test_trackers.py",
    "tests/channels/cut/test_equivalence.py",
    "tests/channels/test_memory.py",
    "tests/channels/test_networks.py",
    "tests/engine/test_checkpoints.py",
    "tests/engine/test_deaths.py",
    "tests/engine/test_interruption.py",
    "tests/engine/test_probes.py",
    "tests/engine/test_ordered.py",
    "tests/engine/test_resume.py",
    "tests/executors",
    "tests/integrations",
    "tests/proxy/test_memory.py",
    "tests/searchers/test_bayesian.py",
    "tests/searchers/test_contract.py",
    "tests/searchers/test_optuna_contract.py",
    "tests/searchers/test_quality.py",
    "tests/searchers/test_tpe.py",
    "tests/store/test_kill.py",
    "tests/test_docs.py",
    "tests/test_examples.py",
    "tests/test_import.py",
    "tests/test_notebooks.py",
]


def _is_slow(config, path):
    return str(path).startswith(tuple(str(config.rootpath / slow) for slow in SLOW))


def pytest_ignore_collect(collection_path, config):
    # `make test-fast` does not even import what it leaves out: frameworks take seconds to load.
    return (
        True if config.option.markexpr == "not slow" and _is_slow(config, collection_path) else None
    )


def pytest_collection_modifyitems(config, items):
    for item in items:
        if _is_slow(config, item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _fresh():
    """Seeds torch, and keeps denormal numbers, which workers flush: some run in this process."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

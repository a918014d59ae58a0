import functools
import signal
import sys
import time

import pytest
import torch
from hypothesis import settings

from tests.limits import limit

torch.set_num_threads(1)

# A background job of a script and nohup start processes with SIGINT ignored, and children inherit
# that. Tests that send SIGINT, to this process or to one that they start, need it to be delivered.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Timing is not what these tests are about, and a run that failed must fail again.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")

# These modules test what only POSIX has (signals, worker processes), or read Linux's /proc.
POSIX = ["engine/test_deaths.py", "engine/test_interruption.py", "store/test_kill.py"]
POSIX += ["executors/test_devices.py", "store/test_lost.py"]
LINUX = [
    "executors/test_engine_processes.py",
    "executors/test_orphans.py",
    "executors/test_processes.py",
    "executors/test_ray.py",
    "executors/test_ray_cluster.py",
    "executors/test_worker_process.py",
    "executors/actions.py",
]
collect_ignore = [
    *(POSIX if sys.platform == "win32" else []),
    *([] if sys.platform == "linux" else LINUX),
]

# Folders and modules that start processes, train many studies or run scripts.
SLOW = [
    "proxyhpo/integrations",
    "tests/benchmarks",
    "tests/callbacks",
    "tests/channels/cut/test_equivalence.py",
    "tests/channels/test_memory.py",
    "tests/channels/test_networks.py",
    "tests/engine/test_budget.py",
    "tests/engine/test_checkpoints.py",
    "tests/engine/test_clock.py",
    "tests/engine/test_controls.py",
    "tests/engine/test_deaths.py",
    "tests/engine/test_early.py",
    "tests/engine/test_giving_up.py",
    "tests/engine/test_hostile.py",
    "tests/engine/test_interruption.py",
    "tests/engine/test_known.py",
    "tests/engine/test_leaving.py",
    "tests/engine/test_opening.py",
    "tests/engine/test_ordered.py",
    "tests/engine/test_repeats.py",
    "tests/engine/test_resume.py",
    "tests/engine/test_stopping.py",
    "tests/engine/test_stopping_resumed.py",
    "tests/engine/test_strangers.py",
    "tests/engine/test_use_report.py",
    "tests/executors",
    "tests/integrations",
    "tests/networks/test_initialisation.py",
    "tests/plots",
    "tests/progress",
    "tests/proxy/test_choosing.py",
    "tests/proxy/test_factory.py",
    "tests/proxy/test_inspection.py",
    "tests/proxy/test_measured.py",
    "tests/proxy/test_memory.py",
    "tests/proxy/test_pretrained.py",
    "tests/pruners/test_contract.py",
    "tests/pruners/test_masking.py",
    "tests/report/test_fidelity.py",
    "tests/report/test_pilot.py",
    "tests/report/test_ranking.py",
    "tests/report/test_result.py",
    "tests/report/test_show.py",
    "tests/searchers",
    "tests/stoppers",
    "tests/store/test_hostile.py",
    "tests/store/test_kill.py",
    "tests/store/test_lock.py",
    "tests/store/test_sqlite.py",
    "tests/test_docs.py",
    "tests/test_examples.py",
    "tests/test_handle.py",
    "tests/test_import.py",
    "tests/test_isolation.py",
    "tests/test_main.py",
    "tests/test_notebooks.py",
    "tests/test_study_page.py",
    "tests/transfers/test_layerwise.py",
    "tests/transfers/test_scaling.py",
    "tests/transfers/test_width_laws.py",
]


# The files that take longest start first, since the tests of a file run one after the other: where
# one starts last, every other worker waits for it. The quickest, doctests mostly, come at the end.
LONGEST = [
    "tests/test_docs.py",
    "tests/executors/test_engine_processes.py",
    "tests/executors/test_ray.py",
    "tests/searchers/test_quality.py",
    "tests/test_examples.py",
    "tests/test_notebooks.py",
    "tests/executors/test_processes.py",
    "tests/executors/test_contract.py",
    "tests/engine/test_resume.py",
]


@functools.cache
def _slow(root):
    return tuple(str(root / path) for path in SLOW)


def _is_slow(config, path):
    return str(path).startswith(_slow(config.rootpath))


def pytest_ignore_collect(collection_path, config):
    # `make test-fast` does not even import what it leaves out: frameworks take seconds to load.
    return (
        True if config.option.markexpr == "not slow" and _is_slow(config, collection_path) else None
    )


def pytest_collection_modifyitems(config, items):
    for item in items:
        if _is_slow(config, item.path):
            item.add_marker(pytest.mark.slow)
    longest = {config.rootpath / path: number for number, path in enumerate(LONGEST)}
    items.sort(
        key=lambda item: (longest.get(item.path, len(LONGEST)), not _is_slow(config, item.path))
    )


@pytest.fixture(autouse=True)
def _fresh():
    """Seeds torch, and keeps denormal numbers, which workers flush: some run in this process."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)


@pytest.fixture
def at_most(monkeypatch):
    """Limits the searches of a page or an example, see :func:`tests.limits.limit`."""
    return functools.partial(limit, patch=monkeypatch.setattr)


@pytest.fixture
def later(monkeypatch):
    """Sets the clocks of this process forward, so that no test waits or depends on its speed."""
    offset = 0.0

    def later(seconds):
        nonlocal offset
        offset += seconds

    for name in ("time", "monotonic", "perf_counter"):
        clock = getattr(time, name)
        monkeypatch.setattr(time, name, lambda clock=clock: clock() + offset)
    return later


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

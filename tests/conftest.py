import signal

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


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

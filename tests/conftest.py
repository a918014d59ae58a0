import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# Timing is not what these tests are about, and a run that failed must fail again.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)

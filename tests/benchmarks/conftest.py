import numpy as np
import pytest


@pytest.fixture
def archive(tmp_path):
    """Images of one colour each, which tells their class."""
    arrays = {}
    for part, count in (("train", 60), ("val", 20), ("test", 30)):
        labels = np.arange(count) % 5
        levels = np.repeat(50 * labels, 3 * 32 * 32).reshape(count, 3, 32, 32)
        arrays |= {f"{part}_images": levels.astype(np.uint8), f"{part}_labels": labels}
    path = tmp_path / "colours.npz"
    np.savez(path, **arrays)
    return path

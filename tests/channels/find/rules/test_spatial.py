import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.channels.find.rules.seen import Seen


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a: F.max_pool2d(a, 2),
        lambda x, a: F.avg_pool2d(a, 2),
        lambda x, a: F.adaptive_avg_pool2d(a, 2),
        lambda x, a: F.interpolate(a, scale_factor=2, mode="bilinear"),
        lambda x, a: F.interpolate(a, scale_factor=2),
        lambda x, a: F.pad(a, (1, 1, 1, 1), mode="reflect"),
        lambda x, a: F.grid_sample(a, torch.zeros(1, 3, 3, 2), align_corners=False),
    ],
)
def test_channels_pass_where_pixels_are_worked_on(function):
    seen = Seen(function, a=(1, 6, 4, 4))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])
    assert seen.kept(seen.owned["a"][2])
    assert all(map(seen.fixed, seen.dims()[2:]))


def test_padding_beside_channels_has_a_size_of_its_own():
    seen = Seen(lambda x, a: F.pad(a, (1, 2)), a=(2, 4))
    assert seen.same(seen.dims()[1][1:5], seen.owned["a"][1])
    seen = Seen(lambda x, a: F.pad(a, (-1, 0)), a=(2, 4))
    assert seen.same(seen.dims()[1], seen.owned["a"][1][1:])


def test_patches_and_back():
    seen = Seen(lambda x, a: F.unfold(a, 2), a=(1, 3, 4, 4))
    assert seen.same(seen.dims()[1], np.repeat(seen.owned["a"][1], 4))
    seen = Seen(lambda x, a: F.fold(a, (4, 4), 2), a=(1, 12, 9))
    assert seen.same(np.repeat(seen.dims()[1], 4), seen.owned["a"][1])

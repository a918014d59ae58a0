import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.channels.find.rules.seen import Seen


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: F.linear(x, w, b),  # noqa: PLW0108 - called by keywords
        lambda x, w, b: torch.addmm(b, x, w.t()),
        lambda x, w, b: x @ w.T + b,
        lambda x, w, b: torch.einsum("bi,oi->bo", x, w) + b,
    ],
)
def test_a_product_with_data_protects_what_it_sums_over_and_joins_the_bias(function):
    seen = Seen(function, w=(6, 3), b=(6,))
    assert seen.kept(seen.owned["w"][1])
    assert seen.same(seen.owned["w"][0], seen.owned["b"][0])
    assert seen.same(seen.owned["w"][0], seen.dims()[1])
    assert any(np.array_equal(dim, seen.owned["w"][1]) for dim in seen.recorder.summed)


@pytest.mark.parametrize(
    ("function", "a", "b"),
    [
        (lambda x, a, b: a @ b, (4, 6), (6, 5)),
        (lambda x, a, b: torch.bmm(a, b), (2, 4, 6), (2, 6, 5)),
        (lambda x, a, b: torch.baddbmm(torch.ones(4, 5), a, b), (2, 4, 6), (2, 6, 5)),
        (lambda x, a, b: torch.einsum("ij,jk->ik", a, b), (4, 6), (6, 5)),
    ],
)
def test_products_join_what_they_sum_over(function, a, b):
    seen = Seen(function, a=a, b=b)
    assert seen.same(seen.owned["a"][-1], seen.owned["b"][-2])
    assert seen.same(seen.dims()[-2], seen.owned["a"][-2])
    assert seen.same(seen.dims()[-1], seen.owned["b"][-1])
    assert not seen.recorder.summed  # both are weights: there is no fan-in


def test_products_of_vectors():
    seen = Seen(lambda x, a, v: torch.mv(a, v), a=(4, 6), v=(6,))
    assert seen.same(seen.owned["a"][1], seen.owned["v"][0])
    assert seen.same(seen.owned["a"][0], seen.dims()[0])
    seen = Seen(lambda x, u, v: torch.dot(u, v), u=(6,), v=(6,))
    assert seen.same(seen.owned["u"][0], seen.owned["v"][0])
    seen = Seen(lambda x, u, v: torch.outer(u, v), u=(4,), v=(6,))
    assert seen.same(seen.owned["u"][0], seen.dims()[0])
    assert seen.same(seen.owned["v"][0], seen.dims()[1])


def test_distances_join_the_features():
    seen = Seen(lambda x, a, b: torch.cdist(a, b), a=(4, 6), b=(5, 6))
    assert seen.same(seen.owned["a"][1], seen.owned["b"][1])


def test_bilinear_joins_both_factors():
    seen = Seen(lambda x, a, b, w: F.bilinear(a, b, w), a=(2, 4), b=(2, 5), w=(6, 4, 5))
    assert seen.same(seen.owned["a"][1], seen.owned["w"][1])
    assert seen.same(seen.owned["b"][1], seen.owned["w"][2])
    assert seen.same(seen.dims()[1], seen.owned["w"][0])


def test_convolution_joins_channels_and_keeps_its_inside():
    seen = Seen(
        lambda x, a, w, b: F.conv2d(a, w, b), a=(2, 4, 5, 5), w=(6, 4, 3, 3), b=(6,), settle=False
    )
    assert seen.same(seen.owned["a"][1], seen.owned["w"][1])
    assert seen.same(seen.owned["w"][0], seen.owned["b"][0])
    assert seen.same(seen.owned["w"][0], seen.dims()[1])
    assert all(seen.kept(dim) for dim in (*seen.owned["w"][2:], *seen.owned["a"][2:]))


def test_depthwise_convolution_joins_a_channel_with_its_outputs():
    seen = Seen(lambda x, a, w: F.conv1d(a, w, groups=4), a=(2, 4, 5), w=(8, 1, 3))
    assert seen.same(np.repeat(seen.owned["a"][1], 2), seen.owned["w"][0])
    assert seen.count(seen.dims()[1]) == 4


def test_grouped_convolution_joins_offsets_across_groups():
    seen = Seen(lambda x, a, w: F.conv1d(a, w, groups=2), a=(2, 6, 5), w=(8, 3, 1))
    assert seen.same(*np.split(seen.owned["a"][1], 2))
    assert seen.same(seen.owned["a"][1][:3], seen.owned["w"][1])
    assert seen.same(*np.split(seen.dims()[1], 2))
    assert seen.count(seen.dims()[1]) == 4


@pytest.mark.parametrize(("groups", "shape", "left"), [(1, (4, 6, 3), 6), (2, (4, 3, 3), 3)])
def test_transposed_convolution(groups, shape, left):
    seen = Seen(lambda x, a, w: F.conv_transpose1d(a, w, groups=groups), a=(2, 4, 5), w=shape)
    assert seen.same(seen.owned["a"][1], seen.owned["w"][0])
    assert seen.same(seen.dims()[1], np.tile(seen.owned["w"][1], groups))
    assert seen.count(seen.dims()[1]) == left


def test_transposed_depthwise_convolution():
    seen = Seen(lambda x, a, w: F.conv_transpose1d(a, w, groups=4), a=(2, 4, 5), w=(4, 1, 3))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])
    assert seen.count(seen.dims()[1]) == 4


def test_a_kernel_that_gives_as_many_positions_lets_what_it_slides_along_pass():
    seen = Seen(lambda x, a, w: F.conv1d(a, w), a=(2, 3, 8), w=(5, 3, 1))
    assert seen.same(seen.dims()[2], seen.owned["a"][2])
    seen = Seen(lambda x, a, w: F.conv1d(a, w, padding=1), a=(2, 3, 8), w=(5, 3, 3))
    assert seen.same(seen.dims()[2], seen.owned["a"][2])
    seen = Seen(lambda x, a, w: F.conv1d(a, w), a=(2, 3, 8), w=(5, 3, 3))
    assert seen.kept(seen.owned["a"][2])

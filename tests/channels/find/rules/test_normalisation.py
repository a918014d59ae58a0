import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.channels.find.rules.seen import Seen


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_joins_scales_shifts_and_statistics(training):
    seen = Seen(
        lambda x, a, w, b, m, v: F.batch_norm(
            a, m.detach(), v.detach(), w, b, training=training
        ),
        a=(2, 6, 3), w=(6,), b=(6,), m=(6,), v=(6,),
    )  # fmt: skip
    for name in "wbmv":
        assert seen.same(seen.owned["a"][1], seen.owned[name][0])
    assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_instance_norm_finds_its_channels_again():
    seen = Seen(lambda x, a, w, b: F.instance_norm(a * x, weight=w, bias=b),
                x=(2, 1, 3), a=(1, 6, 3), w=(6,), b=(6,))  # fmt: skip
    assert seen.same(seen.owned["a"][1], seen.owned["w"][0])
    assert seen.same(seen.dims()[1], seen.owned["b"][0])


def test_layer_norm_joins_the_last_dimensions():
    seen = Seen(lambda x, a, w, b: F.layer_norm(a, (6,), w, b), a=(4, 6), w=(6,), b=(6,))
    assert seen.same(seen.owned["a"][1], seen.owned["w"][0])
    assert seen.same(seen.dims()[1], seen.owned["b"][0])
    seen = Seen(lambda x, a, w: F.rms_norm(a, (6,), w), a=(4, 6), w=(6,))
    assert seen.same(seen.dims()[1], seen.owned["w"][0])


def test_group_norm_joins_offsets_across_groups_unless_each_is_one_channel():
    seen = Seen(lambda x, a, w: F.group_norm(a, 2, w), a=(2, 6, 3), w=(6,))
    assert seen.same(*np.split(seen.owned["w"][0], 2))
    assert seen.count(seen.dims()[1]) == 3
    seen = Seen(lambda x, a, w: F.group_norm(a, 6, w), a=(2, 6, 3), w=(6,))
    assert seen.count(seen.owned["w"][0]) == 6


def test_weight_norm_joins_directions_and_lengths():
    seen = Seen(lambda x, v, g: torch._weight_norm(v, g, 0), v=(6, 4), g=(6, 1))
    assert seen.same(seen.owned["v"][0], seen.owned["g"][0])
    assert seen.same(seen.dims()[1], seen.owned["v"][1])

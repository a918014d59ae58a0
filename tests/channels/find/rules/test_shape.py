import numpy as np
import torch
from torch.nn import functional as F

from tests.channels.find.rules.seen import Seen


def test_dimensions_are_moved():
    seen = Seen(lambda x, a: a.permute(2, 0, 1).transpose(0, 1).mT.unsqueeze(1), a=(2, 3, 4))
    batch, one, rows, columns = seen.dims()
    assert seen.same(batch, seen.owned["a"][0])
    assert seen.fixed(one)
    assert seen.same(rows, seen.owned["a"][1])
    assert seen.same(columns, seen.owned["a"][2])


def test_transposing_in_place_turns_the_labels():
    seen = Seen(lambda x, a: a.detach().clone().transpose_(0, 1), a=(4, 4))
    assert seen.same(seen.dims()[0], seen.owned["a"][1])
    assert seen.count(np.concatenate(seen.dims())) == 8


def test_squeezing_takes_out_ones():
    seen = Seen(lambda x, a: a.squeeze(), a=(1, 4, 1))
    assert seen.same(seen.dims()[0], seen.owned["a"][1])
    seen = Seen(lambda x, a: a.squeeze(2), a=(1, 4, 1))
    assert len(seen.dims()) == 2


def test_expanding_and_repeating():
    seen = Seen(lambda x, a: a.expand(3, 4, 5), a=(4, 1))
    assert seen.same(seen.dims()[1], seen.owned["a"][0])
    assert not seen.fixed(seen.dims()[2])  # may turn out to be channels
    seen = Seen(lambda x, a: a.repeat(2), a=(4,))
    assert seen.same(seen.dims()[0], np.tile(seen.owned["a"][0], 2))
    seen = Seen(lambda x, a: a.repeat_interleave(2), a=(4,))
    assert seen.same(seen.dims()[0], np.repeat(seen.owned["a"][0], 2))


def test_a_stretched_size_takes_on_what_it_meets():
    seen = Seen(lambda x, a, b: a * b.expand(4), a=(2, 4), b=(1,))
    assert seen.count(seen.owned["a"][1]) == 4


def test_views_flatten_and_unflatten():
    seen = Seen(lambda x, a: (x * a).flatten(1), x=(2, 1, 3), a=(4, 1))
    assert seen.same(seen.dims()[1], np.repeat(seen.owned["a"][0], 3))
    seen = Seen(lambda x, a: (x * a).view(2, 3, 4), x=(2, 1), a=(12,))
    assert seen.same(seen.dims()[2], seen.owned["a"][0][:4])
    assert seen.count(seen.owned["a"][0]) == 4


def test_views_across_uneven_borders_are_protected():
    seen = Seen(lambda x, a: a.reshape(4, 6), a=(6, 4))
    assert all(map(seen.kept, seen.owned["a"]))


def test_flips_and_rolls():
    seen = Seen(lambda x, a: a.flip(1), a=(2, 4))
    assert seen.same(seen.dims()[1], seen.owned["a"][1][::-1])
    seen = Seen(lambda x, a: a.roll(1, 1), a=(2, 4))
    assert seen.kept(seen.owned["a"][1])
    assert seen.count(seen.owned["a"][0]) == 2


def test_complex_pairs_stay():
    seen = Seen(lambda x, a: torch.view_as_real(torch.view_as_complex(a)), a=(4, 2))
    assert seen.same(seen.dims()[0], seen.owned["a"][0])
    assert seen.kept(seen.owned["a"][1])


def test_windows_and_transforms_keep_what_they_run_along():
    for function in (lambda x, a: a.unfold(1, 2, 2), lambda x, a: torch.fft.rfft(a)):
        seen = Seen(function, a=(3, 4))
        assert seen.kept(seen.owned["a"][1])
        assert seen.same(seen.dims()[0], seen.owned["a"][0])


def test_pixel_shuffle_joins_its_blocks_and_the_way_back_repeats():
    seen = Seen(lambda x, a: F.pixel_shuffle(a, 2), a=(1, 8, 3, 3))
    assert seen.same(np.repeat(seen.dims()[1], 4), seen.owned["a"][1])
    seen = Seen(lambda x, a: F.pixel_unshuffle(a, 2), a=(1, 2, 4, 4))
    assert seen.same(seen.dims()[1], np.repeat(seen.owned["a"][1], 4))


def test_channel_shuffle_joins_offsets():
    seen = Seen(lambda x, a: F.channel_shuffle(a, 2), a=(1, 6, 2, 2))
    assert seen.same(*np.split(seen.owned["a"][1], 2))
    assert seen.same(seen.dims()[1], np.repeat(seen.owned["a"][1][:3], 2))

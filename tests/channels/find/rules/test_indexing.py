import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proxyhpo.channels.find.labels import ROWS
from tests.channels.find.rules.seen import Seen


def test_cat_and_stack():
    seen = Seen(lambda x, a, b: torch.cat([a, b], 1), a=(3, 4), b=(3, 2))
    assert seen.same(seen.owned["a"][0], seen.owned["b"][0])
    assert seen.same(seen.dims()[1], np.concatenate([seen.owned["a"][1], seen.owned["b"][1]]))
    seen = Seen(lambda x, a, b: torch.stack([a, b], -1), a=(3, 4), b=(3, 4))
    assert seen.same(seen.owned["a"][1], seen.owned["b"][1])
    assert seen.fixed(seen.dims()[2])


def test_equal_pieces_stay_equal_and_others_are_free():
    seen = Seen(lambda x, a: a.chunk(3, 1), a=(2, 6))
    pieces = [seen.dims(i)[1] for i in range(3)]
    assert all(seen.same(piece, pieces[0]) for piece in pieces)
    seen = Seen(lambda x, a: a.split([2, 4], 1), a=(2, 6))
    assert seen.count(seen.owned["a"][1]) == 6
    assert seen.same(seen.dims(1)[1], seen.owned["a"][1][2:])


def test_a_slice_is_counted_apart():
    seen = Seen(lambda x, a: a[:, 1:5:2], a=(2, 6))
    assert seen.same(seen.dims()[1], seen.owned["a"][1][1:5:2])
    assert seen.count(seen.owned["a"][1]) == 6


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a: (x[:1, :1] * a)[:, 2] + 1,
        lambda x, a: (x[:1, :1] * a).unbind(1)[0],
        lambda x, a: (x[:1, :1] * a).sort(1).values,
        lambda x, a: (x[:1, :1] * a).topk(2, 1).values,
        lambda x, a: (x[:1, :1] * a)[:, torch.tensor([0, 2])],
        lambda x, a: (x[:1, :1] * a).index_select(1, torch.tensor([0, 2])),
    ],
)
def test_picking_single_channels_keeps_all_and_says_which_operator(function):
    seen = Seen(function, a=(3, 4))
    assert seen.kept(seen.owned["a"][1])
    assert "aten::" in seen.labels.reason(seen.owned["a"][1][0])
    assert not seen.kept(seen.owned["a"][0])


def test_looking_up_with_indices_leaves_the_other_dimensions():
    seen = Seen(lambda x, a: a[torch.tensor([[0, 1, 1]])], a=(3, 4))
    assert [dim.size for dim in seen.dims()] == [1, 3, 4]
    assert seen.same(seen.dims()[2], seen.owned["a"][1])
    assert seen.labels.reason(seen.owned["a"][0][0]) == ROWS
    seen = Seen(lambda x, a: a[:, :, torch.tensor([0, 1])], a=(3, 4, 2))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_embeddings_keep_their_rows():
    tokens = torch.tensor([[0, 1, 2]])
    seen = Seen(lambda x, e: F.embedding(x, e, 0), x=tokens, e=(5, 4))
    assert seen.labels.reason(seen.owned["e"][0][0]) == ROWS
    assert seen.same(seen.dims()[2], seen.owned["e"][1])
    seen = Seen(lambda x, e: F.embedding_bag(x, e, mode="sum"), x=tokens, e=(5, 4))
    assert seen.same(seen.dims()[1], seen.owned["e"][1])


def test_writing_into_a_slice_reaches_the_whole():
    def function(x, a):
        out = torch.zeros(2, 6)
        out[:, 2:] = a
        return out

    seen = Seen(function, a=(2, 4))
    assert seen.same(seen.dims()[1][2:], seen.owned["a"][1])

"""Each operator's rule alone: what it joins, what it protects, what comes out."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.forward import forward
from proxyhpo.channels.find.labels import ROWS, Labels
from proxyhpo.channels.find.recorder import Recorder
from proxyhpo.channels.find.rules import _RULES, find_rule, rule


class Calling(nn.Module):
    """Applies a function to its own tensors and to an input."""

    def __init__(self, function, shapes):
        super().__init__()
        self.function = function
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.rand(shape)))

    def forward(self, x):
        return self.function(x=x, **dict(self.named_parameters()))


class Seen:
    """What a function did to the labels of the tensors of these shapes; ``x`` is an input."""

    def __init__(self, function, *, x=(2, 3), training=True, settle=True, **shapes):
        network = Calling(function, shapes)
        self.labels = Labels()
        self.owned = {name: [self.labels.new(n) for n in shape] for name, shape in shapes.items()}
        self.recorder = Recorder(self.labels)
        data = torch.rand(x) if isinstance(x, tuple) else x
        self.recorder.start(dict(network.named_parameters()), self.owned, data)
        watch = self.recorder.observe
        self.out = forward(network, data, watch, Clock(30), meta=False, training=training)
        self.unsettled = {op.operator for op in self.recorder.operations}
        if settle:
            self.labels.settle()

    def dims(self, which=None):
        return self.recorder.dims(self.out if which is None else self.out[which])

    def same(self, one, other) -> bool:
        """Whether equal places of two dimensions are one class, and none is protected."""
        one, other = self.labels.find(one), self.labels.find(other)
        free = not self.labels.protected(np.concatenate([one, other])).any()
        return free and one.tolist() == other.tolist()

    def count(self, dim) -> int:
        """How many classes a dimension has that may go."""
        return len(set(self.labels.find(dim[~self.labels.protected(dim)]).tolist()))

    def fixed(self, dim) -> bool:
        return bool((dim == 0).all())

    def kept(self, dim) -> bool:
        return bool(self.labels.protected(dim).all())


# Pointwise.


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a, b: a + b,
        lambda x, a, b: torch.where(a > b, a, b),
        lambda x, a, b: torch.lerp(a, b, 0.5),
        lambda x, a, b: torch.maximum(a, b),
        lambda x, a, b: a.detach().clone().mul_(b),
        lambda x, a, b: torch.max(b, a),
        lambda x, a, b: torch.mul(a, b, out=torch.empty(4, 6)),
        lambda x, a, b: a.masked_fill(b > 0.5, 0.0),
    ],
)
def test_pointwise_joins_equal_positions(function):
    seen = Seen(function, a=(4, 6), b=(4, 6))
    for axis in (0, 1):
        assert seen.same(seen.owned["a"][axis], seen.owned["b"][axis])
        assert seen.same(seen.owned["a"][axis], seen.dims()[axis])


def test_pointwise_does_not_join_what_is_stretched():
    seen = Seen(lambda x, a, b: a * b, a=(4, 6), b=(1, 6))
    assert seen.same(seen.owned["a"][1], seen.owned["b"][1])
    assert seen.count(seen.dims()[0]) == 4


def test_pointwise_with_an_input_protects():
    seen = Seen(lambda x, a: x + a, a=(2, 3))
    assert seen.kept(seen.owned["a"][0])
    assert seen.kept(seen.owned["a"][1])


@pytest.mark.parametrize(
    "function",
    [F.gelu, F.hardswish, F.silu, F.dropout, F.elu, torch.sigmoid, F.softplus, F.mish, F.relu6],
)
def test_activations_pass(function):
    seen = Seen(lambda x, a: function(a), a=(4, 6))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_softmax_and_cumulative_sums_pass():
    for function in (torch.softmax, torch.log_softmax, torch.cumsum):
        seen = Seen(lambda x, a, f=function: f(a, 1), a=(4, 6))
        assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_prelu_joins_its_slopes():
    seen = Seen(lambda x, a, s: F.prelu(a, s), a=(2, 6, 3), s=(6,))
    assert seen.same(seen.owned["a"][1], seen.owned["s"][0])


def test_glu_joins_its_halves():
    seen = Seen(lambda x, a: F.glu(a, 1), a=(4, 6))
    left, right = np.split(seen.owned["a"][1], 2)
    assert seen.same(left, right)
    assert seen.same(left, seen.dims()[1])


def test_a_loss_compares_position_by_position():
    seen = Seen(lambda x, a, b: F.mse_loss(a, b), a=(4, 6), b=(4, 6))
    assert seen.same(seen.owned["a"][1], seen.owned["b"][1])
    assert seen.dims() == []


# Products.


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


# Convolutions.


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


# Normalisation.


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


# Shape.


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


# Cutting, joining, looking up.


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


# Reductions, factories, pixels.


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a: a.sum(1),
        lambda x, a: a.mean(1, keepdim=True),
        lambda x, a: a.amax(1),
        lambda x, a: a.max(1).values,
        lambda x, a: torch.var_mean(a, 1)[0],
        lambda x, a: a.logsumexp(1),
        lambda x, a: torch.linalg.vector_norm(a, dim=1),
        lambda x, a: a.argmax(1),
    ],
)
def test_reductions_end_a_label(function):
    seen = Seen(function, a=(3, 4))
    assert seen.same(seen.dims()[0], seen.owned["a"][0])
    assert all(seen.fixed(dim) for dim in seen.dims()[1:])
    assert seen.count(seen.owned["a"][1]) == 4


@pytest.mark.parametrize(
    "places",
    [
        lambda a: a.argmax(1),
        lambda a: a.max(1).indices,
        lambda a: a.median(1).indices,
        lambda a: a.kthvalue(2, 1).indices,
    ],
)
def test_places_that_are_used_protect_what_they_count(places):
    seen = Seen(lambda x, a: (places(a) == 2) * 1.0, a=(3, 4))
    assert seen.labels.protected(seen.owned["a"][1]).all()
    assert "picks single indices" in seen.labels.reason(seen.owned["a"][1][0])


def test_what_is_made_takes_on_what_it_meets():
    seen = Seen(lambda x, a: torch.cat([a.new_zeros(2, 4), a]).sum(0), a=(3, 4))
    assert seen.same(seen.dims()[0], seen.owned["a"][1])
    seen = Seen(lambda x, a: torch.zeros_like(a), a=(3, 4))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_writing_into_a_slice_reaches_the_whole():
    def function(x, a):
        out = torch.zeros(2, 6)
        out[:, 2:] = a
        return out

    seen = Seen(function, a=(2, 4))
    assert seen.same(seen.dims()[1][2:], seen.owned["a"][1])


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


# Layers that are taken apart.


def test_an_lstm_is_taken_apart_and_its_gates_lose_the_same():
    def function(x, i, h):
        zeros = torch.zeros(1, 2, 4)
        return torch.lstm(x, (zeros, zeros), [i, h], False, 1, 0.0, True, False, False)[0]

    seen = Seen(function, x=(3, 2, 5), i=(16, 5), h=(16, 4))
    for gate in np.split(seen.owned["i"][0], 4):
        assert seen.same(gate, seen.owned["h"][1])
    assert seen.same(seen.dims()[2], seen.owned["h"][1])


def test_attention_is_taken_apart_and_heads_become_narrower():
    def function(x, w):
        q, k, v = (x @ w).view(2, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    seen = Seen(function, x=(2, 3, 5), w=(5, 24))
    assert seen.count(seen.owned["w"][1]) == 4
    assert seen.same(seen.dims()[2], np.tile(seen.owned["w"][1][:4], 2))


# No rule, and rules of one's own.


def test_an_operator_without_a_rule_protects_what_it_touches_and_is_named():
    seen = Seen(lambda x, a: torch.linalg.inv(a), a=(4, 4))
    assert seen.kept(seen.owned["a"][0])
    assert "linalg_inv" in seen.labels.reason(seen.owned["a"][0][0])


def test_a_rule_that_fails_or_returns_nonsense_protects_and_is_named(monkeypatch):
    def nonsense(labels, call):
        return call.dims("A")[:1], call.dims("A")

    def broken(labels, call):
        raise IndexError("no such place")

    for made, said in ((nonsense, "shapes"), (broken, "no such place")):
        monkeypatch.setitem(_RULES, "aten::linalg_inv_ex", made)
        seen = Seen(lambda x, a: torch.linalg.inv(a), a=(4, 4))
        reason = seen.labels.reason(seen.owned["a"][0][0])
        assert said in reason
        assert "linalg_inv_ex" in reason


def test_a_rule_for_an_operator_of_ones_own_comes_from_an_entry_point(monkeypatch):
    def twice(labels, call):
        return call.dims("x")

    offered = {"channels_tests::twice": twice}
    monkeypatch.setattr("proxyhpo._plugins.names", lambda group: list(offered))
    monkeypatch.setattr("proxyhpo._plugins.load", lambda group, name: offered[name])
    library = torch.library.Library("channels_tests", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
    seen = Seen(lambda x, a: torch.ops.channels_tests.twice(a), a=(3, 4))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_two_rules_for_one_operator_are_a_mistake():
    with pytest.raises(AssertionError, match="aten::mm"):
        rule("mm")(lambda labels, call: [])


def test_in_place_and_out_forms_share_a_rule():
    assert find_rule("aten::relu", torch.ops.aten.relu_.default) is not None
    assert find_rule("aten::sin", torch.ops.aten.sin.out) is _RULES["aten::add"]

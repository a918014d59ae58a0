"""Networks as people write them, each standing for a kind that is easily pruned wrongly."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from proxyhpo._networks.fans import parameter_count
from proxyhpo.channels import shrink
from tests.channels.zoo import TOKENS, half, l1


class LayerDrop(nn.Module):
    """Skips whole layers at random, after dropouts whose draws depend on the width."""

    def __init__(self, draw):
        super().__init__()
        self.stem, self.head, self.draw = nn.Linear(16, 48), nn.Linear(48, 5), draw
        self.layers = nn.ModuleList(nn.Linear(48, 48) for _ in range(12))

    def forward(self, x):
        x = F.dropout(self.stem(x), 0.1, self.training)
        for layer in self.layers:
            if not self.training or self.draw() > 0.4:
                x = x + F.dropout(layer(x).relu(), 0.1, self.training)
        return self.head(x)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(()),
        lambda: torch.empty(1).uniform_(0, 1).item(),
        lambda: torch.randint(10, (1,)) / 10,
    ],
    ids=["rand", "uniform", "randint"],
)
def test_layers_that_are_skipped_at_random_are_pruned(draw):
    for density in (0.5, 0.25):
        shrunk = shrink(LayerDrop(draw), TOKENS, density=density, score=l1)
        assert not shrunk.skipped
        assert {layer.out_features for layer in shrunk.network.layers} == {
            int(48 * density) // 8 * 8
        }


class Experts(nn.Module):
    """Sends each token to one expert, as mixtures of experts do."""

    def __init__(self, count=4, route=None):
        super().__init__()
        self.stem, self.router = nn.Linear(16, 32), nn.Linear(32, count)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(count)
        )
        self.head, self.route = nn.Linear(32, 5), route or (lambda scores: scores.argmax(-1))

    def forward(self, x):
        x = self.stem(x).flatten(0, 1)
        chosen = self.route(self.router(x))
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = torch.nonzero(chosen == number).flatten()
            if rows.numel():
                y = y.index_add(0, rows, expert(x[rows]))
        return self.head(x + y)


@pytest.mark.parametrize("seed", range(3))
def test_experts_are_pruned_whichever_examples_they_get(seed):
    torch.manual_seed(seed)
    shrunk = half(Experts())
    assert {expert[0].out_features for expert in shrunk.network.experts} == {32}
    shrunk.network(torch.randn(64, 6, 16)).sum().backward()


def test_an_expert_that_no_example_reaches_is_pruned_like_its_siblings():
    torch.manual_seed(0)
    network = Experts(route=lambda scores: scores.argmax(-1).clamp(max=2))
    shrunk = half(network)
    assert {expert[0].in_features for expert in shrunk.network.experts} == {16}
    shrunk.network.route = lambda scores: torch.arange(len(scores)) % 4
    assert shrunk.network(TOKENS).shape == (24, 5)


def test_an_expert_that_more_examples_reach_is_seen_with_them():
    network = Experts(route=lambda scores: torch.arange(len(scores)) // 6)  # one for each example
    assert {expert[0].out_features for expert in half(network).network.experts} == {32}


class Masked(nn.Module):
    """Works on the positive rows only."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):
        x = self.stem(x).flatten(0, 1)
        mask = x.mean(1) > x.mean()
        return self.head(torch.cat([self.inner(x[mask]).relu(), x[~mask]]))


def test_rows_that_are_chosen_by_a_mask_may_be_others_in_a_smaller_network():
    for seed in range(3):
        torch.manual_seed(seed)
        assert half(Masked()).network.inner.weight.shape == (16, 16)


class Rearranged(nn.Module):
    """Remembers a plan that it makes from its settings, as einops' layers do."""

    def __init__(self, heads, d):
        super().__init__()
        self.settings = {"heads": heads, "d": d}
        self._plan = (heads, d)

    def __getstate__(self):
        return {"settings": self.settings}

    def __setstate__(self, state):
        self.__init__(**state["settings"])

    def forward(self, x):
        return x.unflatten(-1, self._plan).transpose(1, 2)


class Nested(Rearranged):
    """The same, with its settings in a tuple."""

    def __getstate__(self):
        return {"settings": tuple(self.settings.items())}

    def __setstate__(self, state):
        self.__init__(**dict(state["settings"]))


@pytest.mark.parametrize("kind", [Rearranged, Nested])
def test_sizes_that_are_derived_with_every_copy_are_mended_for_good(kind):
    network = nn.Sequential(nn.Linear(16, 64), kind(4, 16), nn.Linear(16, 5))
    small = half(network).network
    for again in (small, copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        assert again[2].in_features == 8
        assert again(TOKENS).shape == (4, 4, 6, 5)


class Single(nn.Module):
    """Group normalisation with as many groups as channels."""

    def __init__(self, affine=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1)
        self.norm, self.head = nn.GroupNorm(32, 32, affine=affine), nn.Conv2d(32, 5, 1)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)))


@pytest.mark.parametrize("affine", [True, False])
def test_group_normalisation_of_single_channels_is_pruned(affine):
    small = half(Single(affine), torch.rand(2, 3, 8, 8)).network
    assert (small.norm.num_groups, small.norm.num_channels) == (16, 16)


class Outlook(nn.Module):
    """Attention over the windows of an image: channels are seen as (heads, width, kernel)."""

    def __init__(self, d=48, heads=4, kernel=3):
        super().__init__()
        self.heads, self.kernel = heads, kernel
        self.stem, self.value = nn.Conv2d(3, d, 1), nn.Conv2d(d, d, 1)
        self.attend = nn.Linear(d, kernel**4 * heads)
        self.out, self.head = nn.Conv2d(d, d, 1), nn.Conv2d(d, 5, 1)

    def forward(self, x):
        x = self.stem(x)
        n, d, h, w = x.shape
        window = self.kernel**2
        v = F.unfold(self.value(x), self.kernel, padding=1)
        v = v.reshape(n, self.heads, d // self.heads, window, h * w).permute(0, 1, 4, 3, 2)
        a = self.attend(x.permute(0, 2, 3, 1)).reshape(n, h * w, self.heads, window, window)
        y = a.permute(0, 2, 1, 3, 4).softmax(-1) @ v
        y = y.permute(0, 1, 4, 3, 2).reshape(n, d * window, h * w)
        return self.head(x + self.out(F.fold(y, (h, w), self.kernel, padding=1)))


def test_attention_over_windows_is_pruned_in_the_width_of_its_heads():
    shrunk = half(Outlook(), torch.rand(2, 3, 6, 6))
    assert not shrunk.skipped
    assert shrunk.network.value.weight.shape[:2] == (24, 24)
    assert shrunk.network.attend.out_features == 81 * 4


class Positions(nn.Module):
    """Asks a slice of its channels for nothing but its shape."""

    def __init__(self):
        super().__init__()
        self.stem, self.place, self.head = nn.Linear(16, 32), nn.Embedding(6, 32), nn.Linear(32, 5)

    def positions(self, ids):
        return self.place(torch.arange(ids.shape[1])).expand(*ids.shape, -1)

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.positions(x[:, :, -1]))


def test_a_channel_that_is_asked_for_its_shape_need_not_stay():
    shrunk = half(Positions())
    assert not shrunk.skipped
    assert shrunk.network.stem.out_features == 16


class ChannelAttention(nn.Module):
    """A convolution along the channels, as in ECA."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 5, 1)
        self.along = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        x = self.stem(x)
        scale = self.along(x.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        return self.head(x * scale.sigmoid())


def test_a_convolution_along_channels_lets_them_go():
    shrunk = half(ChannelAttention(), torch.rand(2, 3, 8, 8))
    assert not shrunk.skipped
    assert shrunk.network.stem.out_channels == 16


class Graph(nn.Module):
    """A graph convolution over a sparse adjacency."""

    def __init__(self, product):
        super().__init__()
        self.stem, self.head, self.product = nn.Linear(16, 32), nn.Linear(32, 5), product
        self.register_buffer("adjacency", torch.eye(6).to_sparse())

    def forward(self, x):
        x = torch.stack([self.product(self.adjacency, one) for one in self.stem(x)])
        return self.head(x)


@pytest.mark.parametrize("product", [torch.sparse.mm, torch.mm, torch.matmul])
def test_sparse_buffers_stay_as_they_are(product):
    small = half(Graph(product)).network
    assert small.stem.out_features == 16
    assert small.adjacency.is_sparse
    assert small(TOKENS).shape == (4, 6, 5)


def test_the_networks_of_this_file_learn():
    for network in (Experts(), Masked(), Positions(), Graph(torch.mm)):
        small = half(network).network
        before = parameter_count(network)
        assert parameter_count(small) < 0.6 * before
        small(TOKENS).sum().backward()

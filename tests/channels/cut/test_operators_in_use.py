"""Operators that strangers' networks use in a way of their own, each in a small network."""

import pytest
import torch
from torch import nn
from torchvision.ops import batched_nms, roi_align

from proxyhpo.channels import shrink
from proxyhpo.errors import UnsupportedNetworkError
from tests.channels.zoo import l1

TOKENS = torch.rand(4, 8, 16)


def half(network, inputs=TOKENS, **options):
    shrunk = shrink(network, inputs, density=0.5, score=l1, **options)
    assert not shrunk.skipped
    return shrunk.network


class GroupedExperts(nn.Module):
    """Sorts tokens by expert, and multiplies them by the experts' weights in one operator."""

    def __init__(self, *, has_bias=False):
        super().__init__()
        self.stem, self.head = nn.Linear(16, 32), nn.Linear(32, 5)
        self.router = nn.Linear(32, 4)
        self.up = nn.Parameter(torch.randn(4, 32, 64) / 8)
        self.down = nn.Parameter(torch.randn(4, 64, 32) / 8)
        self.bias = nn.Parameter(torch.randn(32)) if has_bias else None

    def forward(self, x):
        x = self.stem(x).flatten(0, 1)
        expert = self.router(x).argmax(1)
        order = expert.argsort()
        ends = torch.bincount(expert, minlength=4).cumsum(0).to(torch.int32)
        h = torch._grouped_mm(x[order], self.up, offs=ends).relu()
        y = torch._grouped_mm(h, self.down, offs=ends)
        y = y if self.bias is None else y + self.bias
        return self.head(x + torch.zeros_like(y).index_copy(0, order, y))


@pytest.mark.parametrize("has_bias", [False, True])
def test_experts_in_one_grouped_product_are_pruned(has_bias):
    shrunk = shrink(GroupedExperts(has_bias=has_bias), TOKENS, density=0.5, score=l1)
    small, picked = shrunk.network, "aten::argmax picks single indices of it"
    assert shrunk.skipped == [("router.weight", picked), ("router.bias", picked)]
    assert small.up.shape == (4, 16, 32)
    assert small.down.shape == (4, 32, 16)
    assert small.router.weight.shape == (4, 16)


class Detector(nn.Module):
    """Proposes boxes, keeps the best of those that overlap, and classifies what is in them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.boxes, self.scores = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 1, 1)
        self.inner, self.head = nn.Linear(32 * 9, 64), nn.Linear(64, 5)

    def forward(self, x):
        x = self.stem(x).relu()
        corner = self.boxes(x).flatten(2).transpose(1, 2).sigmoid() * 4
        boxes = torch.cat([corner[..., :2], corner[..., :2] + 1 + corner[..., 2:]], dim=-1)
        scores = self.scores(x).flatten(1)
        example = torch.arange(len(x)).repeat_interleave(scores.shape[1])
        kept = batched_nms(boxes.flatten(0, 1).detach(), scores.flatten().detach(), example, 0.5)
        regions = torch.cat([example[kept, None].float(), boxes.flatten(0, 1)[kept]], dim=1)
        found = roi_align(x, regions.detach(), (3, 3)).flatten(1)
        return self.head(self.inner(found).relu()).mean(0), boxes, scores


def test_a_detector_is_pruned_although_its_regions_depend_on_values():
    small = half(Detector(), torch.rand(2, 3, 8, 8))
    assert small.stem.out_channels == 16
    assert small.inner.weight.shape == (32, 16 * 9)
    assert small.boxes.out_channels == 4


class Masking(nn.Module):
    """Puts a learned vector where tokens are masked, as in training on masked tokens."""

    def __init__(self, way):
        super().__init__()
        self.stem, self.head, self.way = nn.Linear(16, 32), nn.Linear(32, 5), way
        self.masked = nn.Parameter(torch.rand(32))

    def forward(self, x):
        x = self.stem(x).clone()
        mask = torch.arange(8).expand(len(x), 8) % 3 == 0
        if self.way == "mask":
            x[mask] = self.masked
        elif self.way == "places":
            x[:, torch.tensor([0, 3])] = self.masked
        else:
            x = x.index_put((torch.tensor([0, 1]),), self.masked.expand(8, -1))
        return self.head(x)


@pytest.mark.parametrize("way", ["mask", "places", "out of place"])
def test_a_vector_that_is_written_over_tokens_is_pruned_with_them(way):
    small = half(Masking(way))
    assert small.stem.out_features == 16
    assert small.masked.shape == (16,)


class Windows(nn.Module):
    """Attends to windows of tokens that overlap, made by strides, as Longformer does."""

    def __init__(self, dim=2):
        super().__init__()
        self.stem, self.head, self.dim = nn.Linear(16, 32), nn.Linear(32, 5), dim

    def forward(self, x):
        x = self.stem(x).contiguous()
        batch, tokens, width = x.shape
        over, token, one = x.stride()
        if self.dim == 2:
            windows = x.as_strided(
                (batch, tokens // 2 - 1, 4, width), (over, 2 * token, token, one)
            )
            return self.head(windows.mean(2))
        x = x.transpose(1, 2).contiguous()
        over, channel, one = x.stride()
        windows = x.as_strided((batch, width, tokens // 2 - 1, 4), (over, channel, 2 * one, one))
        return self.head(windows.mean(3).transpose(1, 2))


@pytest.mark.parametrize("dim", [2, 1])
def test_windows_of_tokens_made_by_strides_leave_channels_free(dim):
    assert half(Windows(dim)).stem.out_features == 16


class Mixing(nn.Module):
    """Mixes by a Fourier transform, as FNet does along tokens and channels."""

    def __init__(self, transform):
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(16, 32), nn.Linear(32, 64), nn.Linear(64, 5)
        self.transform = transform

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.inner(x + self.transform(x)).relu())


@pytest.mark.parametrize(
    "transform",
    [
        lambda x: torch.fft.fftn(x, dim=(1, 2)).real,
        lambda x: torch.fft.ifft(torch.fft.fft(x, dim=-1), dim=1).real,
        lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1), n=x.shape[1], dim=1),
    ],
)
def test_a_fourier_transform_along_channels_becomes_a_shorter_one(transform):
    small = half(Mixing(transform))
    assert small.stem.out_features == 16
    assert small.inner.weight.shape == (32, 16)


class Policy(nn.Module):
    """Draws an action, and returns its probability."""

    def __init__(self):
        super().__init__()
        self.body, self.actions = nn.Linear(16, 64), nn.Linear(64, 5)

    def forward(self, x):
        policy = torch.distributions.Categorical(logits=self.actions(self.body(x).relu()))
        return policy.log_prob(policy.sample())


def test_actions_that_are_drawn_keep_their_number():
    small = half(Policy())
    assert small.actions.weight.shape == (5, 32)


class FixedPoint(nn.Module):
    """Iterates until nothing changes, so that the number of its operators depends on values."""

    def __init__(self):
        super().__init__()
        self.body, self.inner, self.head = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):
        x = self.body(x)
        z = torch.zeros_like(x)
        while True:
            before, z = z, torch.tanh(0.9 * self.inner(z) + x)
            if self.is_over(before, z):
                return self.head(z)

    def is_over(self, before, z):
        return (z - before).norm() < 1e-3


class Growing(FixedPoint):
    """Likewise; asks for a number instead of a truth value."""

    def is_over(self, before, z):
        return float((z - before).abs().max()) < 0.1 / z.shape[-1]


@pytest.mark.parametrize("network", [FixedPoint, Growing])
def test_a_loop_that_ends_by_values_is_named_as_the_reason(network):
    with pytest.raises(UnsupportedNetworkError, match="reads values of tensors, such as the condi"):
        half(network())

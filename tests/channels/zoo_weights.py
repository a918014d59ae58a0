"""Weights that are more or less than a layer's own: bare, shared, low-rank, frozen, normalised."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tests.channels.member import images, member, vectors
from tests.channels.zoo_convolutions import conv, conv_norm, head


@member(vectors())
class Einsum(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.first = nn.Parameter(torch.randn(16, w) / 4)
        self.second = nn.Parameter(torch.randn(w, w) / w**0.5)
        self.bias = nn.Parameter(torch.zeros(w))
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        x = torch.relu(torch.einsum("bi,ij->bj", x, self.first))
        return self.head(torch.relu(torch.einsum("bi,ji->bj", x, self.second) + self.bias))


@member(vectors())
class LowRankAdapter(nn.Module):
    """A frozen layer with a trainable low-rank one beside it."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.head = nn.Linear(16, w), nn.Linear(w, 5)
        self.base = nn.Linear(w, w).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(w, w // 8) / w**0.5)
        self.up = nn.Parameter(torch.randn(w // 8, w) / 2)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.base(x) + x @ self.down @ self.up))


@member(vectors())
class ParameterLists(nn.Module):
    def __init__(self, w):
        super().__init__()
        sizes = [16, w, w, 5]
        self.weights = nn.ParameterList(
            torch.randn(m, n) / n**0.5 for n, m in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterDict({str(i): torch.zeros(m) for i, m in enumerate(sizes[1:])})

    def forward(self, x):
        for i, weight in enumerate(self.weights):
            x = F.linear(x if i == 0 else torch.relu(x), weight, self.biases[str(i)])
        return x


@member(vectors())
class Reused(nn.Module):
    """One block applied three times, and one weight used under two names."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(16, w), nn.Linear(w, w), nn.Linear(w, 5)
        self.again = self.block

    def forward(self, x):
        x = self.stem(x)
        for _ in range(2):
            x = x + torch.relu(self.block(x))
        return self.head(torch.tanh(self.again(x)))


@member(vectors())
class TiedAutoencoder(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.encode = nn.Linear(16, 2 * w)
        self.middle = nn.Linear(2 * w, w)
        self.bias = nn.Parameter(torch.zeros(2 * w))

    def forward(self, x):
        x = torch.relu(self.middle(torch.relu(self.encode(x))))
        x = torch.relu(x @ self.middle.weight + self.bias)
        return F.linear(x, self.encode.weight.t())


@member(images())
def weight_norm(w):
    return nn.Sequential(
        parametrizations.weight_norm(conv(3, w)),
        nn.ReLU(),
        parametrizations.weight_norm(conv(w, w)),
        nn.ReLU(),
        nn.Flatten(),
        parametrizations.weight_norm(nn.Linear(64 * w, w)),
        nn.ReLU(),
        nn.Linear(w, 5),
    )


@member(images())
def spectral_norm(w):
    return nn.Sequential(
        parametrizations.spectral_norm(conv(3, w)),
        nn.LeakyReLU(0.2),
        parametrizations.spectral_norm(conv(w, w, stride=2)),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        parametrizations.spectral_norm(nn.Linear(16 * w, 5)),
    )


@member(images())
def frozen_stem(w):
    network = nn.Sequential(conv_norm(3, w), conv_norm(w, w), conv_norm(w, w), head(w))
    network[0].requires_grad_(False)
    return network


@member(images())
class Functional(nn.Module):
    """Convolutions by hand, on bare parameters, some in place."""

    def __init__(self, w):
        super().__init__()
        self.kernel1 = nn.Parameter(torch.randn(w, 3, 3, 3) / 5)
        self.kernel2 = nn.Parameter(torch.randn(w, w, 3, 3) / (3 * w**0.5))
        self.offset = nn.Parameter(torch.zeros(1, w, 1, 1))
        self.last = nn.Parameter(torch.randn(5, w) / w**0.5)

    def forward(self, x):
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel1)
        x = F.relu_(x.add(self.offset).mul_(0.9))
        x = F.conv2d(x, self.kernel2, padding="same").clamp_(min=0)
        return torch.matmul(x.flatten(2).mean(-1), self.last.t())

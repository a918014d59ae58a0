"""Networks that classify images."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.channels.member import images, member, noise


def conv(n: int, m: int, k: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(n, m, k, padding=k // 2, **options)


def conv_norm(n: int, m: int, k: int = 3, **options) -> nn.Sequential:
    return nn.Sequential(conv(n, m, k, bias=False, **options), nn.BatchNorm2d(m), nn.ReLU())


def head(width: int) -> nn.Sequential:
    """From an image of features to five classes."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))


@member(images())
def cnn(w):
    return nn.Sequential(
        conv_norm(3, w), nn.MaxPool2d(2), conv_norm(w, 2 * w), nn.Flatten(), nn.Linear(32 * w, 5)
    )


@member(images(), flops=0.5)
class SqueezeExcite(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.stem, self.body, self.head = conv_norm(3, w), conv(w, w), head(w)
        self.squeeze, self.excite = nn.Linear(w, w // 4), nn.Conv2d(w // 4, w, 1)

    def forward(self, x):
        x = self.body(self.stem(x))
        y = torch.relu(self.squeeze(x.mean(dim=(2, 3))))
        return self.head(x * torch.sigmoid(self.excite(y[:, :, None, None])))


@member(images())
def group_norm(w):
    return nn.Sequential(
        conv(3, w),
        nn.GroupNorm(4, w),
        nn.SiLU(),
        conv(w, 2 * w, groups=4),
        nn.ReLU(),
        conv(2 * w, w, groups=2),
        nn.GELU(),
        conv(w, w),
        nn.GroupNorm(2, w),
        head(w),
    )


@member(images())
def instance_norm(w):
    return nn.Sequential(
        conv(3, w),
        nn.InstanceNorm2d(w, affine=True, track_running_stats=True),
        nn.PReLU(w),
        conv(w, w),
        nn.InstanceNorm2d(w),
        nn.LeakyReLU(),
        head(w),
    )


@member(images(), flops=0.5)
def depthwise(w):
    return nn.Sequential(
        conv_norm(3, w),
        conv_norm(w, w, groups=w),
        conv(w, 2 * w, 1),
        nn.Hardswish(),
        conv_norm(2 * w, 4 * w, groups=2 * w),
        conv_norm(4 * w, w, 1),
        head(w),
    )


@member(images())
class ChannelShuffle(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.stem, self.mix = conv_norm(3, w), conv_norm(w, w, groups=4)
        self.head = head(2 * w)

    def forward(self, x):
        x = self.stem(x)
        n, c, *size = x.shape
        y = self.mix(x.view(n, 4, c // 4, *size).transpose(1, 2).reshape(n, c, *size))
        return self.head(torch.cat([y, F.channel_shuffle(y, 2)], dim=1))


@member(images())
class Gated(nn.Module):
    """Halves of the channels, cut by chunk, split and slices."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.first, self.second = conv(3, w), conv(w, 2 * w), conv(w, 2 * w)
        self.half, self.head = w // 2, head(w)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        a, b = self.first(x).chunk(2, dim=1)
        a, b = self.second(a * torch.sigmoid(b)).split(x.shape[1], dim=1)
        y = torch.tanh(a) + b
        return self.head(torch.cat([y[:, self.half :], x[:, : self.half]], dim=1))


@member(images(), width=16)
class Inception(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.stem = conv_norm(3, w)
        self.branches = nn.ModuleList(conv_norm(w, w, k) for k in (1, 3, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(w, 2 * w, 1))
        self.join, self.head = conv_norm(5 * w, w, 1), head(w)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.join(torch.cat([*(b(x) for b in self.branches), self.pool(x)], 1)))


@member(images(4))
class ConvNextBlock(nn.Module):
    """Channels last in the middle, LayerNorm, and a scale that starts near zero."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.head = nn.Conv2d(4, w, 2, stride=2), nn.Linear(w, 5)
        self.spatial, self.norm = conv(w, w, 7, groups=w), nn.LayerNorm(w)
        self.up, self.down = nn.Linear(w, 4 * w), nn.Linear(4 * w, w)
        self.scale = nn.Parameter(torch.full((w, 1, 1), 1e-1))

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.spatial(x).permute(0, 2, 3, 1))
        y = self.down(F.gelu(self.up(y))).permute(0, 3, 1, 2)
        return self.head((x + self.scale * y).mean([-2, -1]))


@member(lambda: noise(4, 3, 8, 8), twin=False)
class Mixer(nn.Module):
    """Mixes tokens, whose number must stay, and channels."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, w, 2, stride=2), nn.Linear(w, 5)
        self.norm1, self.norm2 = nn.LayerNorm(w), nn.LayerNorm(w)
        self.tokens = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16))
        self.channels = nn.Sequential(nn.Linear(w, 2 * w), nn.GELU(), nn.Linear(2 * w, w))

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.channels(self.norm2(x))).mean(dim=1))


@member(lambda: noise(4, 2, 4, 8, 8), width=16)
def volume(w):
    return nn.Sequential(
        nn.Conv3d(2, w, 3, padding=1),
        nn.BatchNorm3d(w),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(w, 2 * w, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(2 * w, 5),
    )


@member(images(), flops=0.5)
class ChannelBuffers(nn.Module):
    """A mean and a deviation for each channel, and a mask that says which channels count."""

    def __init__(self, w):
        super().__init__()
        self.first, self.second, self.head = conv(3, w), conv(w, w), head(w)
        self.register_buffer("mean", torch.linspace(-1, 1, w))
        self.register_buffer("deviation", torch.linspace(1, 2, w).view(1, w, 1, 1))
        self.register_buffer("counts", torch.arange(w) % 4 != 0)

    def forward(self, x):
        x = (self.first(x) - self.mean[:, None, None]) / self.deviation
        x = torch.where(self.counts.view(1, -1, 1, 1), torch.relu(x), x)
        return self.head(torch.relu(self.second(x)))


@member(images())
class Checkpointed(nn.Module):
    """Gives memory back by running a block twice."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.head = conv_norm(3, w), head(w)
        self.block = nn.Sequential(conv(w, w), nn.ReLU(), conv(w, w))

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + checkpoint(self.block, x, use_reentrant=False))

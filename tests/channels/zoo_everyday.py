"""Networks as people write them every day: one small network a habit."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from tests.channels.member import images, member, noise, vectors


def conv(n: int, m: int, k: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(n, m, k, padding=k // 2, **options)


def conv_norm(n: int, m: int, k: int = 3, **options) -> nn.Sequential:
    return nn.Sequential(conv(n, m, k, bias=False, **options), nn.BatchNorm2d(m), nn.ReLU())


def head(width: int) -> nn.Sequential:
    """From an image of features to five classes."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))


# Perceptrons


@member(vectors())
def mlp(w):
    return nn.Sequential(nn.Linear(16, w), nn.ReLU(), nn.Linear(w, w), nn.Tanh(), nn.Linear(w, 5))


@member(vectors())
def mlp_batch_norm(w):
    return nn.Sequential(
        nn.Linear(16, w, bias=False),
        nn.BatchNorm1d(w),
        nn.ReLU(),
        nn.Linear(w, 2 * w),
        nn.BatchNorm1d(2 * w, affine=False),
        nn.Sigmoid(),
        nn.Dropout(0.1),
        nn.Linear(2 * w, 5),
    )


@member(vectors())
class ResidualMlp(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.stem = nn.Linear(16, w)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(w, 2 * w), nn.GELU(), nn.Linear(2 * w, w)) for _ in range(3)
        )
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


@member(vectors())
class Highway(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.stem, self.gate, self.body = nn.Linear(16, w), nn.Linear(w, w), nn.Linear(w, w)
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        x = self.stem(x)
        gate = torch.sigmoid(self.gate(x))
        return self.head(gate * torch.relu(self.body(x)) + (1 - gate) * x)


@member(vectors())
class Glu(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.first, self.second = nn.Linear(16, 2 * w), nn.Linear(w, 2 * w)
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        return self.head(F.glu(self.second(F.glu(self.first(x), dim=-1)), dim=-1))


@member(vectors())
class SwiGlu(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.stem, self.norm = nn.Linear(16, w), nn.RMSNorm(w)
        self.gate, self.up = nn.Linear(w, 2 * w), nn.Linear(w, 2 * w)
        self.down, self.head = nn.Linear(2 * w, w), nn.Linear(w, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(x)
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


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


@member(vectors())
class Variational(nn.Module):
    """Latents are outputs, but the decoding is made of them: they may become narrower."""

    def __init__(self, w):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(16, w), nn.ReLU(), nn.Linear(w, 2 * w), nn.ReLU())
        self.latent = nn.Linear(2 * w, w // 4)
        self.decode = nn.Sequential(nn.Linear(w // 8, w), nn.ReLU(), nn.Linear(w, 16))

    def forward(self, x):
        mean, deviation = self.latent(self.encode(x)).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * deviation) * self.training
        return self.decode(z), mean, deviation


@member(vectors())
class Duel(nn.Module):
    """Values and advantages of reinforcement learning."""

    def __init__(self, w):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU())
        self.value, self.advantage = nn.Linear(w, 1), nn.Linear(w, 5)

    def forward(self, x):
        x = self.body(x)
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(dim=1, keepdim=True)


@member(lambda: (noise(4, 16), noise(4, 16, seed=1)))
class Siamese(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, w), nn.ReLU(), nn.Linear(w, w))

    def forward(self, x, y):
        return F.cosine_similarity(self.body(x), self.body(y), dim=1)


# The counter of FLOPs knows no trilinear product: only the layers around it count.
@member(lambda: {"left": noise(4, 16), "right": noise(4, 12, seed=1)}, flops=0.5)
class Bilinear(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.left, self.right = nn.Linear(16, w), nn.Linear(12, w)
        self.product, self.head = nn.Bilinear(w, w, w), nn.Linear(w, 5)

    def forward(self, left, right):
        return self.head(self.product(torch.tanh(self.left(left)), torch.tanh(self.right(right))))


@member(lambda: noise(4, 6, 16))
class DeepSet(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(16, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU())
        self.all = nn.Sequential(nn.Linear(2 * w, w), nn.ReLU(), nn.Linear(w, 5))

    def forward(self, x):
        x = self.each(x)
        return self.all(torch.cat([x.sum(dim=1), x.amax(dim=1)], dim=-1))


@member(lambda: (noise(4, 6, 8), noise(4, 6, 6, seed=1).sigmoid()))
class GraphConvolution(nn.Module):
    """Features of nodes and a dense adjacency."""

    def __init__(self, w):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, w), nn.Linear(w, w), nn.Linear(w, 5)

    def forward(self, nodes, adjacency):
        x = torch.relu(adjacency @ self.first(nodes))
        return self.head(torch.relu(torch.bmm(adjacency, self.second(x))))


@member(vectors(), twin=False)
class Experts(nn.Module):
    """A soft mixture; the number of experts stays, their widths do not."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.gate, self.head = nn.Linear(16, w), nn.Linear(w, 3), nn.Linear(w, 5)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(w, w), nn.ReLU(), nn.Linear(w, w)) for _ in range(3)
        )

    def forward(self, x):
        x = torch.relu(self.stem(x))
        weights = torch.softmax(self.gate(x), dim=-1)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=1)
        return self.head((weights.unsqueeze(-1) * outputs).sum(dim=1))


@member(vectors(), twin=False)
class FourierFeatures(nn.Module):
    """A random projection that is a buffer, and sines and cosines of it."""

    def __init__(self, w):
        super().__init__()
        self.register_buffer("projection", torch.randn(16, w))
        self.body = nn.Sequential(nn.Linear(2 * w, w), nn.ReLU(), nn.Linear(w, 5))

    def forward(self, x):
        angles = x @ self.projection
        return self.body(torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1))


@member(vectors(), flops=0.5)
class DataDependent(nn.Module):
    """Looks at values: no fake tensor can run it."""

    def __init__(self, w):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(16, w), nn.Linear(w, w), nn.Linear(w, 5)

    def forward(self, x):
        if x.abs().max() > 1:
            x = x / x.abs().max()
        x = torch.relu(self.first(x))
        if x.mean() > 0:
            x = torch.relu(self.second(x))
        return self.head(x)


# Convolutions


@member(images())
def cnn(w):
    return nn.Sequential(
        conv_norm(3, w), nn.MaxPool2d(2), conv_norm(w, 2 * w), nn.Flatten(), nn.Linear(32 * w, 5)
    )


class _Viewing(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.first, self.second = conv(3, w, stride=2), conv(w, w)
        self.hidden, self.head = nn.Linear(16 * w, w), nn.Linear(w, 5)
        self.channels = w

    def features(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))))

    def classes(self, x):
        return self.head(torch.relu(self.hidden(x)))


@member(images())
class ViewSize(_Viewing):
    def forward(self, x):
        x = self.features(x)
        return self.classes(x.view(x.size(0), -1))


@member(images())
class ViewAttribute(_Viewing):
    def forward(self, x):
        return self.classes(self.features(x).reshape(-1, self.channels * 4 * 4))


@member(images(), twin=False, wide=None, flops=0.6, whole="second")
class ViewLiteral(_Viewing):
    def forward(self, x):
        return self.classes(self.features(x).view(-1, 32 * 4 * 4))


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
class UNet(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.down1, self.down2 = conv_norm(3, w), conv_norm(w, 2 * w)
        self.middle, self.join1 = conv_norm(2 * w, 2 * w), conv_norm(4 * w, 2 * w)
        self.up = nn.ConvTranspose2d(2 * w, w, 2, stride=2)
        self.join2, self.last = conv_norm(2 * w, w), nn.Conv2d(w, 2, 1)

    def forward(self, x):
        x1 = self.down1(x)
        x2 = self.down2(F.max_pool2d(x1, 2))
        y = self.middle(F.avg_pool2d(x2, 2))
        y = F.interpolate(y, size=x2.shape[-2:], mode="nearest")
        y = self.up(self.join1(torch.cat([y, x2], dim=1)))
        return self.last(self.join2(torch.cat([x1, y], dim=1)))


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
def autoencoder(w):
    return nn.Sequential(
        conv(3, w, stride=2),
        nn.ReLU(),
        conv(w, 2 * w, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * w, w, 4, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(w),
        nn.ReLU(),
        nn.ConvTranspose2d(w, 3, 4, stride=2, padding=1),
    )


@member(images())
def pixel_shuffle(w):
    return nn.Sequential(
        conv(3, w),
        nn.ReLU(),
        conv(w, 4 * w),
        nn.PixelShuffle(2),
        nn.ReLU(),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * w, w, 1),
        nn.ReLU(),
        conv(w, 12),
        nn.PixelShuffle(2),
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


@member(vectors(8))
class Generator(nn.Module):
    """From a vector to an image: a linear layer that is cut into channels and pixels."""

    def __init__(self, w):
        super().__init__()
        self.project, self.w = nn.Linear(8, w * 16), w
        self.norm = nn.BatchNorm2d(w)
        self.up, self.last = nn.ConvTranspose2d(w, w, 2, stride=2), conv(w, 3)

    def forward(self, z):
        x = torch.relu(self.norm(self.project(z).view(-1, self.w, 4, 4)))
        return torch.tanh(self.last(torch.relu(self.up(x))))


@member(images())
class Unpooling(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.encode, self.decode, self.last = conv(3, w), conv(w, w), conv(w, 3)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x):
        x, where = self.pool(torch.relu(self.encode(x)))
        return self.last(torch.relu(self.decode(self.unpool(x, where))))


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
class Checkpointed(nn.Module):
    """Gives memory back by running a block twice."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.head = conv_norm(3, w), head(w)
        self.block = nn.Sequential(conv(w, w), nn.ReLU(), conv(w, w))

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + checkpoint(self.block, x, use_reentrant=False))


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


@member(images())
class Upsampling(nn.Module):
    """Two scales added, by bilinear interpolation and by repetition."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.coarse, self.coarser = conv(3, w), conv(w, w, stride=2), conv(w, w)
        self.last = conv(w, 2)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = torch.relu(self.coarse(x))
        z = F.adaptive_avg_pool2d(self.coarser(y), 2).repeat_interleave(2, -1)
        y = y + z.repeat_interleave(2, -2)
        return self.last(x + F.interpolate(y, scale_factor=2, mode="bilinear"))


# Several inputs and outputs


@member(lambda: (noise(4, 3, 8, 8), noise(4, 6, seed=1)))
class Film(nn.Module):
    """An image, and a vector that scales and shifts its channels."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.body, self.head = conv_norm(3, w), conv(w, w), head(w)
        self.condition = nn.Sequential(nn.Linear(6, w), nn.ReLU(), nn.Linear(w, 2 * w))

    def forward(self, image, vector):
        scale, shift = self.condition(vector).unflatten(1, (2, -1)).unbind(1)
        x = self.body(self.stem(image))
        return self.head(torch.relu(x * (1 + scale[..., None, None]) + shift[..., None, None]))


@member(lambda: {"image": noise(4, 3, 8, 8), "vector": noise(4, 6, seed=1)}, flops=0.5)
class DictOutput(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.features, self.vector = conv_norm(3, w), nn.Linear(6, w)
        self.mask, self.classes = conv(w, 1), nn.Linear(2 * w, 5)

    def forward(self, *, vector, image):
        x = self.features(image)
        joint = torch.cat([x.mean(dim=(2, 3)), torch.relu(self.vector(vector))], dim=1)
        return {"classes": self.classes(joint), "more": [self.mask(x)], "none": None}


class Answer(NamedTuple):
    boxes: Tensor
    classes: Tensor


@member(images(), flops=0.5)
class NamedTupleOutput(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.body = nn.Sequential(conv_norm(3, w), conv_norm(w, w))
        self.boxes, self.classes = conv(w, 4), conv(w, 3)

    def forward(self, x):
        x = self.body(x)
        return Answer(self.boxes(x).flatten(2).transpose(1, 2), self.classes(x).flatten(2))


@member(images())
class Auxiliary(nn.Module):
    """A second head that only training sees."""

    def __init__(self, w):
        super().__init__()
        self.first, self.second = conv_norm(3, w), conv_norm(w, 2 * w)
        self.early, self.late = nn.Sequential(conv_norm(w, w, 1), head(w)), head(2 * w)

    def forward(self, x):
        x = self.first(x)
        y = self.late(self.second(x))
        return (y, self.early(x)) if self.training else y

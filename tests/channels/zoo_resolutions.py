"""Networks that change the resolution of images, or flatten them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.channels.member import images, member, vectors
from tests.channels.zoo_convolutions import conv, conv_norm


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

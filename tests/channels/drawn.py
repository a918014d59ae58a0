"""Random small networks, drawn from the operators that ordinary networks are made of.

None of them normalises across channels, so that removing dead channels must change nothing.
"""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn

WIDTHS = st.sampled_from([4, 6, 8, 12])
ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.Softplus, nn.GELU, nn.Hardswish, nn.ELU)


class Call(nn.Module):
    """A function of an image as a module."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def convolution(draw, c):
    m, k = draw(WIDTHS), draw(st.sampled_from([1, 3]))
    return nn.Conv2d(c, m, k, padding=k // 2, bias=draw(st.booleans())), m


def depthwise(draw, c):
    m = c * draw(st.integers(1, 2))
    return nn.Conv2d(c, m, 3, padding=1, groups=c), m


def grouped(draw, c):
    groups = draw(st.sampled_from([g for g in (1, 2, 3, 4) if c % g == 0]))
    m = groups * draw(st.integers(1, 3))
    return nn.Conv2d(c, m, 3, padding=1, groups=groups), m


def transposed(draw, c):
    groups, m = draw(st.sampled_from([g for g in (1, 2) if c % g == 0])), draw(WIDTHS)
    return nn.ConvTranspose2d(c, m, 3, padding=1, groups=groups), m


def normalisation(draw, c):
    kind = draw(st.sampled_from([nn.BatchNorm2d, nn.InstanceNorm2d]))
    affine = draw(st.booleans())
    return kind(c, affine=affine, track_running_stats=True), c


def activation(draw, c):
    if draw(st.booleans()):
        return nn.PReLU(c), c
    return draw(st.sampled_from(ACTIVATIONS))(), c


def residual(draw, c):
    first, m = convolution(draw, c)
    body = nn.Sequential(first, nn.ReLU(), nn.Conv2d(m, c, 1))
    return Call(lambda self, x: x + self.body(x), body=body), c


def dense(draw, c):
    body, m = convolution(draw, c)
    return Call(lambda self, x: torch.cat([x, self.body(x)], dim=1), body=body), c + m


def gate(draw, c):
    def function(self, x):
        a, b = self.body(x).chunk(2, dim=1)
        return a * torch.sigmoid(b)

    return Call(function, body=nn.Conv2d(c, 2 * c, 1)), c


def swap(draw, c):
    cut = draw(st.integers(1, c - 1)) if c > 1 else 1

    def function(self, x):
        return torch.cat([torch.tanh(x[:, self.cut :]), x[:, : self.cut]], dim=1)

    return Call(function, cut=cut), c


def channels_last(draw, c):
    m = draw(WIDTHS)
    function = lambda self, x: self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # noqa: E731 - a line
    return Call(function, body=nn.Linear(c, m)), m


def over_pixels(draw, c):
    m = draw(WIDTHS)

    def function(self, x):
        n, _, height, width = x.shape
        return self.body(x.reshape(n, -1, height * width)).view(n, -1, height, width)

    return Call(function, body=nn.Conv1d(c, m, 3, padding=1)), m


def squeeze_excite(draw, c):
    m = draw(WIDTHS)
    body = nn.Sequential(nn.Linear(c, m), nn.ReLU(), nn.Linear(m, c), nn.Sigmoid())
    return Call(lambda self, x: x * self.body(x.mean((2, 3)))[..., None, None], body=body), c


def attention(draw, c):
    heads = draw(st.sampled_from([1, 2]))

    def function(self, x):
        n, _, height, width = x.shape
        qkv = self.qkv(x.flatten(2).transpose(1, 2))
        q, k, v = qkv.view(n, height * width, 3, heads, -1).permute(2, 0, 3, 1, 4)
        y = torch.softmax(q @ k.transpose(-2, -1) / 2, dim=-1) @ v
        y = self.out(y.transpose(1, 2).flatten(2))
        return y.transpose(1, 2).unflatten(2, (height, width))

    m = 2 * draw(st.integers(1, 3))
    return Call(function, qkv=nn.Linear(c, 3 * heads * m), out=nn.Linear(heads * m, c)), c


def pixel_shuffle(draw, c):
    m = draw(st.integers(2, 4))
    return nn.Sequential(nn.Conv2d(c, 4 * m, 1), nn.PixelShuffle(2), nn.AvgPool2d(2)), m


def channel_shuffle(draw, c):
    m = 2 * draw(st.integers(1, 4))
    return nn.Sequential(nn.Conv2d(c, m, 1), nn.ChannelShuffle(2), nn.Conv2d(m, m, 1, groups=m)), m


def scaling(draw, c):
    scale, shift = nn.Parameter(torch.rand(c, 1, 1) + 0.5), torch.linspace(-1, 1, c)
    return Call(lambda self, x: x * self.s - self.t.view(1, -1, 1, 1), s=scale, t=shift), c


def halves(draw, c):
    function = lambda self, x: torch.stack(self.body(x).tensor_split(2, 1)).sum(0)  # noqa: E731 - a line
    return Call(function, body=nn.Conv2d(c, 2 * c, 1)), c


def einsum(draw, c):
    m = draw(WIDTHS)
    function = lambda self, x: torch.einsum("nchw,dc->ndhw", x, self.weight)  # noqa: E731 - a line
    return Call(function, weight=nn.Parameter(torch.randn(m, c) / c**0.5)), m


def pooling(draw, c):
    pools = [nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1), nn.Dropout2d(0.1)]
    return draw(st.sampled_from(pools)), c


BLOCKS = (
    convolution,
    depthwise,
    grouped,
    transposed,
    normalisation,
    activation,
    residual,
    dense,
    gate,
    swap,
    channels_last,
    over_pixels,
    squeeze_excite,
    attention,
    pixel_shuffle,
    channel_shuffle,
    scaling,
    halves,
    einsum,
    pooling,
)


def head(draw, c):
    if draw(st.booleans()):
        return nn.Sequential(nn.Flatten(), nn.Linear(16 * c, 3))
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 3))


@st.composite
def networks(draw):
    """A network from images (n, 3, 4, 4) to three numbers."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    stem, c = convolution(draw, 3)
    layers = [stem]
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6)):
        layer, c = block(draw, c)
        layers.append(layer)
        if c > 24:  # keep it small, whatever was doubled
            layers.append(nn.Conv2d(c, 6, 1))
            c = 6
    return nn.Sequential(*layers, head(draw, c))

"""Networks with several inputs or several outputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.channels.member import images, member, noise
from tests.channels.zoo_convolutions import conv, conv_norm, head


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


@member(lambda: (noise(4, 6, 8), noise(4, 6, 6, seed=1).sigmoid()))
class GraphConvolution(nn.Module):
    """Features of nodes and a dense adjacency."""

    def __init__(self, w):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, w), nn.Linear(w, w), nn.Linear(w, 5)

    def forward(self, nodes, adjacency):
        x = torch.relu(adjacency @ self.first(nodes))
        return self.head(torch.relu(torch.bmm(adjacency, self.second(x))))


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

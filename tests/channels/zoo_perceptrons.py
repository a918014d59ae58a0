"""Networks that take vectors."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.channels.member import member, noise, vectors


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


@member(lambda: noise(4, 6, 16))
class DeepSet(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(16, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU())
        self.all = nn.Sequential(nn.Linear(2 * w, w), nn.ReLU(), nn.Linear(w, 5))

    def forward(self, x):
        x = self.each(x)
        return self.all(torch.cat([x.sum(dim=1), x.amax(dim=1)], dim=-1))


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

"""Transformers. In most of them the scale of the attention follows the width of a head."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.channels.member import member, noise, sequences, tokens


class Encoder(nn.Module):
    def __init__(self, w, norm_first):
        super().__init__()
        self.embed, self.place = nn.Embedding(11, w), nn.Parameter(torch.randn(1, 6, w) / 5)
        layer = nn.TransformerEncoderLayer(
            w, 4, 2 * w, dropout=0.1, batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.encoder(self.embed(x) + self.place, mask=mask).mean(dim=1))


@member(tokens(), coupled=("in_proj", "out_proj"))
def encoder(w):
    return Encoder(w, norm_first=False)


@member(tokens(), coupled=("in_proj", "out_proj"))
def encoder_norm_first(w):
    return Encoder(w, norm_first=True)


@member(lambda: (noise(4, 6, 8), noise(4, 5, 8, seed=1)), coupled=("in_proj", "out_proj"))
class EncoderDecoder(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.source, self.target = nn.Linear(8, w), nn.Linear(8, w)
        self.body = nn.Transformer(w, 2, 1, 1, 2 * w, dropout=0.0, batch_first=True)
        self.body.encoder.enable_nested_tensor = False
        self.head = nn.Linear(w, 5)

    def forward(self, source, target):
        return self.head(self.body(self.source(source), self.target(target)))


@member(lambda: (noise(4, 6, 8), noise(4, 5, 8, seed=1)), coupled=("proj",), dead=False)
class CrossAttention(nn.Module):
    """Queries of one width, keys of another; the weights are an output too."""

    def __init__(self, w):
        super().__init__()
        self.left, self.right = nn.Linear(8, w), nn.Linear(8, 2 * w)
        self.attend = nn.MultiheadAttention(w, 4, kdim=2 * w, vdim=2 * w, batch_first=True)
        self.head = nn.Linear(w, 5)

    def forward(self, x, y):
        y = self.right(y)
        x, weights = self.attend(self.left(x), y, y)
        return self.head(x), weights


class SelfAttention(nn.Module):
    def __init__(self, d, heads, length):
        super().__init__()
        self.d, self.heads = d, heads
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.register_buffer("mask", torch.tril(torch.ones(1, 1, length, length)), persistent=False)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).split(self.d, dim=2)
        q, k, v = (y.view(n, t, self.heads, d // self.heads).transpose(1, 2) for y in (q, k, v))
        weights = q @ k.transpose(-2, -1) / k.size(-1) ** 0.5
        weights = weights.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).contiguous().view(n, t, d))


class Block(nn.Module):
    def __init__(self, d, heads=4, length=8):
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(d), SelfAttention(d, heads, length)
        self.norm2 = nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@member(tokens(), coupled=("qkv",))
class Gpt(nn.Module):
    """Fused queries, keys and values; the head is the embedding."""

    def __init__(self, d):
        super().__init__()
        self.embed, self.place = nn.Embedding(11, d), nn.Embedding(8, d)
        self.blocks = nn.ModuleList(Block(d) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 11, bias=False)
        self.embed.weight = self.head.weight

    def forward(self, x):
        x = self.embed(x) + self.place(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class RotaryAttention(nn.Module):
    """Rotary positions, and keys and values shared by pairs of heads."""

    def __init__(self, d, heads=4):
        super().__init__()
        self.head_dim = d // heads
        self.q = nn.Linear(d, d, bias=False)
        self.k, self.v = nn.Linear(d, d // 2, bias=False), nn.Linear(d, d // 2, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        angles = torch.outer(torch.arange(8.0), 0.1 ** torch.arange(self.head_dim // 2))
        self.register_buffer("cos", torch.cat([angles, angles], dim=-1).cos())
        self.register_buffer("sin", torch.cat([angles, angles], dim=-1).sin())

    def rotate(self, x):
        a, b = x.chunk(2, dim=-1)
        t = x.shape[2]
        return x * self.cos[:t] + torch.cat([-b, a], dim=-1) * self.sin[:t]

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = (
            y.view(n, t, -1, self.head_dim).transpose(1, 2)
            for y in (self.q(x), self.k(x), self.v(x))
        )
        k, v = (y.repeat_interleave(2, dim=1) for y in (k, v))
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, t, -1))


@member(tokens(), coupled=(r"\.[qkv]\.",))
class Llama(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.embed = nn.Embedding(11, d)
        self.norm1, self.attend, self.norm2 = nn.RMSNorm(d), RotaryAttention(d), nn.RMSNorm(d)
        self.gate, self.up = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, 3 * d, bias=False)
        self.down, self.head = nn.Linear(3 * d, d, bias=False), nn.Linear(d, 11, bias=False)

    def forward(self, x):
        x = self.embed(x)
        x = x + self.attend(self.norm1(x))
        y = self.norm2(x)
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


@member(sequences())
class LinearAttention(nn.Module):
    """Keys and values summed over time first; no softmax, no scale."""

    def __init__(self, w):
        super().__init__()
        self.stem, self.qkv = nn.Linear(8, w), nn.Linear(w, 3 * w)
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        qkv = self.qkv(torch.relu(self.stem(x)))
        n, t, _ = qkv.shape
        q, k, v = qkv.reshape(n, t, 3, 4, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.relu(q) @ (F.relu(k).transpose(-2, -1) @ v) / t
        return self.head(y.transpose(1, 2).flatten(2))

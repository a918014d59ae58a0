"""Recurrent networks, and convolutions over time."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tests.channels.member import member, noise, register, sequences, tokens


class Recurrent(nn.Module):
    """Classifies a sequence by the last output, the mean output or the last state."""

    def __init__(self, w, kind, layers, directions, readout):
        super().__init__()
        self.readout, self.directions = readout, directions
        self.rnn = getattr(nn, kind)(
            8, w, layers, batch_first=readout != "mean", bidirectional=directions == 2
        )
        self.head = nn.Linear(directions * w, 5)

    def forward(self, x):
        if self.readout == "mean":
            output, _ = self.rnn(x.transpose(0, 1))
            return self.head(output.mean(dim=0))
        output, state = self.rnn(x)
        if self.readout == "last":
            return self.head(output[:, -1])
        state = state[0] if isinstance(state, tuple) else state
        return self.head(torch.cat(list(state[-self.directions :]), dim=-1))


for number, (kind, layers, directions) in enumerate(product(["LSTM", "GRU"], [1, 2], [1, 2])):
    options = (kind, layers, directions, ["last", "mean", "h_n"][number % 3])
    register(
        "{}_{}_layers_{}_directions_{}".format(*options).lower(),
        partial(Recurrent, 32, *options),
        sequences(),
        narrow=partial(Recurrent, 16, *options),
    )


@member(sequences())
def elman(w):
    return Recurrent(w, "RNN", 2, 1, "last")


@member(tokens())
class LanguageModel(nn.Module):
    """An LSTM whose head is its embedding."""

    def __init__(self, w):
        super().__init__()
        self.embed = nn.Embedding(11, w)
        self.rnn = nn.LSTM(w, w, 2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(w, 11)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.rnn(self.embed(x))[0])


@member(sequences())
class Projected(nn.Module):
    """An LSTM with projected states, started from a state that is learned."""

    def __init__(self, w):
        super().__init__()
        self.rnn = nn.LSTM(8, 2 * w, proj_size=w, batch_first=True)
        self.h, self.c = nn.Parameter(torch.zeros(1, 1, w)), nn.Parameter(torch.zeros(1, 1, 2 * w))
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        state = self.h.expand(-1, len(x), -1).contiguous(), self.c.repeat(1, len(x), 1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not supported with oneDNN")
            return self.head(self.rnn(x, state)[0])


@member(lambda: (noise(4, 6, 8), torch.tensor([6, 3, 5, 1])))
class Packed(nn.Module):
    """Sequences of different lengths, packed."""

    def __init__(self, w):
        super().__init__()
        self.rnn, self.head = nn.GRU(8, w, batch_first=True), nn.Linear(w, 5)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        return self.head(self.rnn(packed)[1][-1])


@member(sequences())
class Cells(nn.Module):
    """Loops over time by hand."""

    def __init__(self, w):
        super().__init__()
        self.lstm, self.gru, self.head = nn.LSTMCell(8, w), nn.GRUCell(w, w), nn.Linear(w, 5)
        self.w = w

    def forward(self, x):
        h, c = x.new_zeros(len(x), self.w), torch.zeros(len(x), self.w, dtype=x.dtype)
        g = torch.zeros_like(h)
        for step in x.unbind(1):
            h, c = self.lstm(step, (h, c))
            g = self.gru(h, g)
        return self.head(g)


@member(sequences())
class Attended(nn.Module):
    """A bidirectional GRU whose outputs are weighted by an attention over time."""

    def __init__(self, w):
        super().__init__()
        self.rnn = nn.GRU(8, w, batch_first=True, bidirectional=True)
        self.query, self.project = nn.Parameter(torch.randn(w) / w**0.5), nn.Linear(2 * w, w)
        self.head = nn.Linear(2 * w, 5)

    def forward(self, x):
        x, _ = self.rnn(x)
        weights = torch.softmax(torch.tanh(self.project(x)) @ self.query, dim=1)
        return self.head(torch.einsum("bt,btc->bc", weights, x))


class Residual(nn.Module):
    def __init__(self, n, w, dilation):
        super().__init__()
        self.pad = 2 * dilation
        self.first = parametrizations.weight_norm(
            nn.Conv1d(n, w, 3, padding=self.pad, dilation=dilation)
        )
        self.second = nn.Conv1d(w, w, 3, padding=self.pad, dilation=dilation)
        self.short = nn.Conv1d(n, w, 1) if n != w else nn.Identity()

    def forward(self, x):
        y = torch.relu(self.first(x)[..., : -self.pad])
        return torch.relu(self.second(y)[..., : -self.pad].contiguous() + self.short(x))


@member(sequences())
class TemporalConvolution(nn.Module):
    """Causal, dilated, residual."""

    def __init__(self, w):
        super().__init__()
        self.blocks = nn.Sequential(Residual(8, w, 1), Residual(w, w, 2), Residual(w, w, 4))
        self.head = nn.Linear(w, 5)

    def forward(self, x):
        return self.head(self.blocks(x.transpose(1, 2))[:, :, -1])


@member(tokens(length=8))
class TextConvolution(nn.Module):
    """Embedding, convolutions of several widths, the largest over time."""

    def __init__(self, w):
        super().__init__()
        self.embed = nn.Embedding(11, w, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(w, w, k) for k in (2, 3, 4))
        self.head = nn.Linear(3 * w, 5)

    def forward(self, x):
        x = self.embed(x).mT
        return self.head(torch.cat([F.relu(c(x)).amax(-1) for c in self.convolutions], dim=1))


@member(tokens())
class BagOfWords(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.bag = nn.EmbeddingBag(11, w, mode="mean")
        self.body = nn.Sequential(nn.Linear(w, 2 * w), nn.ReLU(), nn.Linear(2 * w, 5))

    def forward(self, x):
        return self.body(self.bag(x))

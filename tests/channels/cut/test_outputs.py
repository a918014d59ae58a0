"""Which outputs keep their size: heads and what losses are computed from, not hidden states."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from proxyhpo._networks.fans import parameter_count
from proxyhpo.errors import UnknownNameError, UnsupportedNetworkError
from tests.channels.zoo import TOKENS, half


class Returning(nn.Module):
    """Returns what it computed on its way, in the form that ``wrap`` gives it."""

    def __init__(self, wrap):
        super().__init__()
        self.body, self.inner, self.head = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 5)
        self.other, self.wrap = nn.Linear(64, 7), wrap

    def forward(self, x):
        h = self.body(x).relu()
        z = self.inner(h).relu()
        return self.wrap(h, z, self.head(z), self.other(z))


def as_mapping(h, z, y, _):
    return {"hidden": (h, z.transpose(1, 2)), "logits": y}


def as_tuple(h, z, y, _):
    return y, [h.detach(), z]


@pytest.mark.parametrize("wrap", [as_mapping, as_tuple])
def test_hidden_states_that_are_returned_become_narrower(wrap):
    network = Returning(wrap)
    shrunk = half(network)
    assert parameter_count(shrunk.network) < 0.6 * parameter_count(network)
    assert shrunk.network.body.out_features == shrunk.network.inner.out_features == 32
    assert not shrunk.skipped
    assert len(shrunk.narrower) == 2
    logits = shrunk.network(TOKENS)["logits" if wrap is as_mapping else 0]
    assert logits.shape == (4, 6, 5)
    logits.sum().backward()


@pytest.mark.parametrize(
    "wrap", [lambda h, z, y, o: (y, o), lambda h, z, y, o: {"boxes": o, "logits": y, "state": h}]
)
def test_every_head_keeps_its_size(wrap):
    shrunk = half(Returning(wrap))
    assert shrunk.network.head.out_features == 5
    assert shrunk.network.other.out_features == 7


def test_outputs_that_training_uses_can_be_named():
    shrunk = half(Returning(as_mapping), outputs=["hidden.0", "logits"])
    assert shrunk.network.body.out_features == 64
    assert shrunk.network.inner.out_features == 32
    assert list(shrunk.narrower.values()) == ["hidden.1"]
    with pytest.raises(UnknownNameError, match=r"logit.*logits"):
        half(Returning(as_mapping), outputs=["logit"])


class WithLoss(nn.Module):
    """Returns a loss if it is given labels."""

    def __init__(self, loss=F.cross_entropy):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU())
        self.head, self.loss = nn.Linear(64, 5), loss

    def forward(self, x, labels):
        logits = self.head(self.body(x))
        return {"loss": self.loss(logits, labels), "logits": logits}


@pytest.mark.parametrize("loss", [F.cross_entropy, F.multi_margin_loss])
def test_a_loss_inside_the_network_is_nothing_to_report(loss):
    shrunk = half(WithLoss(loss), {"x": TOKENS[:, 0], "labels": torch.arange(4)})
    assert not shrunk.skipped
    assert shrunk.network.body[0].out_features == 32


class WithState(nn.Module):
    """Returns a state besides its loss, which leads to no other output, as recurrent ones do."""

    def __init__(self, *, has_loss):
        super().__init__()
        self.body, self.head, self.has_loss = nn.Linear(16, 64), nn.Linear(64, 5), has_loss

    def forward(self, x):
        h = self.body(x).relu()
        logits, state = self.head(h), h[:, -1] * 2
        loss = {"loss": F.cross_entropy(logits[:, 0], torch.arange(len(x)))}
        return {**(loss if self.has_loss else {}), "logits": logits, "state": state}


def test_beside_a_loss_only_logits_keep_their_size():
    shrunk = half(WithState(has_loss=True))
    assert not shrunk.skipped
    assert shrunk.network.body.out_features == 32
    assert shrunk.network(TOKENS)["logits"].shape == (4, 6, 5)


def test_without_a_loss_an_output_that_leads_to_no_other_is_taken_for_a_head():
    with pytest.raises(
        UnsupportedNetworkError, match=r"body.weight .*: its size is the size of an output"
    ):
        half(WithState(has_loss=False))

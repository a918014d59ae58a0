import pytest
import torch
from torch import nn
from torch.nn import functional as F

from proxyhpo._networks.norms import has_norm_modules, normalises

X = torch.rand(4, 16)


class Functional(nn.Module):
    """Normalises by a function, or not at all."""

    def __init__(self, function):
        super().__init__()
        self.body, self.head, self.function = nn.Linear(16, 32), nn.Linear(32, 2), function
        self.register_buffer("mean", torch.zeros(32))
        self.register_buffer("variance", torch.ones(32))

    def forward(self, x):
        return self.head(self.function(self, self.body(x)))


@pytest.mark.parametrize(
    "function, expected",
    [
        (lambda _, x: F.layer_norm(x, x.shape[-1:]), True),
        (lambda _, x: F.rms_norm(x, x.shape[-1:]), True),
        (lambda _, x: F.group_norm(x, 4), True),
        (lambda _, x: F.instance_norm(x.unsqueeze(1)).squeeze(1), True),
        (lambda s, x: F.batch_norm(x, s.mean, s.variance, training=True), True),
        (lambda _, x: torch.layer_norm(x, x.shape[-1:]) if x.sum() > -1e9 else x, True),
        (lambda _, x: x.relu(), False),
        (lambda _, x: F.normalize(x), False),
    ],
)
def test_a_function_that_normalises_is_found(function, expected):
    network = Functional(function)
    assert not has_norm_modules(network)
    assert normalises(network, X) is expected
    assert network.mean.eq(0).all()


def test_a_module_that_normalises_is_found_without_a_forward():
    assert normalises(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)), X)


def test_a_network_is_not_a_normalisation_because_of_its_name():
    class NormFreeNet(nn.Sequential):
        pass

    assert not normalises(NormFreeNet(nn.Linear(16, 3)), X)
    assert normalises(NormFreeNet(nn.Linear(16, 3), nn.BatchNorm1d(3)), X)


def test_a_network_that_fails_has_no_norms_that_are_known():
    assert not normalises(nn.Linear(3, 3), X)

"""What is refused before any training: inputs that do not fit, pruners that break their word."""

import copy

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung, inspect
from proxyhpo._networks.running import run
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from proxyhpo.pruners import ByWidthPruner, Pruned, Pruner, StructuredPruner


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU())
        self.head = nn.Linear(64, 2)

    def forward(self, x):
        return self.head(self.body(x))


def images():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 2),
    )  # fmt: skip


WRONG = [
    (Network, torch.zeros(32, 7), r"of shape \(32, 7\): RuntimeError: mat1 and mat2"),
    (Network, torch.zeros(30), r"of shape \(30,\): "),
    (Network, torch.zeros(32, 30, dtype=torch.float64), r"of shape \(32, 30\): RuntimeError: "),
    (Network, {"xx": torch.zeros(32, 30)}, r"of shape {'xx': \(32, 30\)}: TypeError: .*'xx'"),
    (images, torch.zeros(3, 32, 32), r"of shape \(3, 32, 32\): "),
]


@pytest.mark.parametrize("build, inputs, message", WRONG)
@pytest.mark.parametrize("ladder", [None, [Rung(1)]])
def test_inputs_that_the_network_fails_on_are_named(build, inputs, message, ladder):
    trained = []

    def train(network, config):
        trained.append(config)
        return 0.0

    options = {"direction": "minimize", "searcher": "random", "progress": False, "ladder": ladder}
    with pytest.raises(ArgumentError, match=rf"failed on example_inputs {message}.*dimension 0"):
        ProxyHPO(build, train, {"lr": Float(0.1, 1)}, example_inputs=inputs, **options).run(2)
    assert trained == []
    with pytest.raises(ArgumentError, match=rf"failed on example_inputs {message}"):
        inspect(build, inputs)


@pytest.mark.parametrize("pruner", ["l1-structured", "magnitude"])
def test_a_single_example_will_do_with_batch_normalisation(pruner):
    one = inspect(Network, torch.zeros(1, 30), density=0.5, pruner=pruner)
    two = inspect(Network, torch.zeros(2, 30), density=0.5, pruner=pruner)
    assert one.base.flops == two.base.flops
    assert one.layers == two.layers


def test_trying_the_inputs_does_not_change_the_network():
    network = Network()
    before = copy.deepcopy(network.state_dict())
    run(network.eval(), torch.ones(4, 30))
    assert not network.training
    made = inspect(network, torch.ones(4, 30), density=1, pretrained=True)
    for after in (network, made.base.network):
        assert all(torch.equal(before[name], t) for name, t in after.state_dict().items())


class Undefined(StructuredPruner):
    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def score(self, slices, *, generator):
        return self.scores(slices)


def half_nan(slices):
    scores = torch.ones(len(slices[0]))
    scores[::2] = torch.nan
    return scores


@pytest.mark.parametrize(
    "scores, message",
    [
        (half_nan, "Undefined: score must return numbers, got NaN for 32 of 64 classes of body"),
        (
            lambda slices: [1.0] * 64,
            "Undefined: score must return a tensor with one number for each",
        ),
    ],
)
def test_scores_must_be_numbers(scores, message):
    with pytest.raises(ArgumentError, match=message):
        inspect(Network, torch.zeros(4, 30), pruner=Undefined(scores))


class Handing(Pruner):
    def __init__(self, made):
        self.made = made

    def prune(self, network, example_inputs, *, density, generator):
        return self.made(copy.deepcopy(network))


@pytest.mark.parametrize(
    "made, kind",
    [
        (lambda network: network, "Network"),
        (lambda _: None, "NoneType"),
        (lambda _: Pruned(None), "Pruned"),
    ],
)
def test_a_pruner_must_return_what_it_is_to_return(made, kind):
    with pytest.raises(TypeError, match=rf"Handing.prune must return a .*Pruned.* a {kind}"):
        inspect(Network, torch.zeros(4, 30), pruner=Handing(made))


def test_no_reason_is_invented_for_a_pruner_that_changed_nothing():
    with pytest.raises(UnsupportedNetworkError, match="returned a network of equal cost") as caught:
        inspect(Network, torch.zeros(4, 30), pruner=Handing(Pruned))
    assert "channels lead" not in str(caught.value)


class Squared(nn.Sequential):
    """Takes a width, and makes layers that are far narrower than that."""

    def __init__(self, width=1.0):
        n = max(1, round(64 * width**3))
        super().__init__(nn.Linear(30, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 2))


def narrow(network):
    return Pruned(Squared(0.3))


@pytest.mark.parametrize("pruner", [ByWidthPruner(), Handing(narrow)])
def test_a_proxy_far_below_the_density_is_refused_with_its_narrowest_layers(pruner):
    message = r"keeps 0\.0\d+ of the widths .*, far below the density 0\.3 .*: 0\.weight \(2, 30\)"
    with pytest.raises(UnsupportedNetworkError, match=message):
        inspect(Squared, torch.zeros(4, 30), density=0.3, pruner=pruner)
    assert inspect(Squared, torch.zeros(4, 30), density=0.8, pruner="by-width").proxy.density == 0.8

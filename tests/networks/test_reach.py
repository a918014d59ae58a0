"""What the outputs of a network depend on."""

import copy

import pytest
import torch
from torch import nn

from proxyhpo._networks.reach import reach
from proxyhpo.errors import UnsupportedNetworkError

X = torch.randn(64, 8)


class Student(nn.Module):
    """Beside the trained network: a frozen teacher, an average, and a head that is off."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 2)
        self.teacher = nn.Linear(8, 2).requires_grad_(False)
        self.average = copy.deepcopy(self.body)
        self.auxiliary = nn.Linear(16, 2)

    def forward(self, x):
        with torch.no_grad():
            target = self.teacher(x)
        return self.head(self.body(x).relu()), target


def test_only_what_a_backward_reaches_takes_part():
    found = reach(Student(), X)
    assert found.parameters == {"body.weight", "body.bias", "head.weight", "head.bias"}
    assert {name.partition(".")[0] for name in found.unreached} == {
        "teacher",
        "average",
        "auxiliary",
    }
    assert found.heads == {"head.weight"}


def test_a_frozen_backbone_takes_part():
    network = nn.Sequential(nn.Linear(8, 16).requires_grad_(False), nn.ReLU(), nn.Linear(16, 2))
    assert not reach(network, X).unreached


def test_heads_are_what_makes_the_outputs_in_whatever_order():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.value, self.body, self.policy = (
                nn.Linear(16, 1),
                nn.Linear(8, 16),
                nn.Linear(16, 3),
            )

        def forward(self, x):
            x = self.body(x).relu()
            return {"value": self.value(x), "policy": self.policy(x).softmax(1)}

    assert reach(Several(), X).heads == {"value.weight", "policy.weight"}


class Routed(nn.Module):
    """Each example goes to one of four experts, by its values."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(8, 2) for _ in range(4))

    def forward(self, x):
        outputs = x.new_zeros(len(x), 2)
        for place, expert in enumerate(self.experts):
            mine = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0) == place
            if mine.any():
                outputs[mine] = expert(x[mine])
        return outputs


def test_experts_that_two_examples_do_not_reach_are_reached_by_the_whole_batch():
    assert not reach(Routed(), X).unreached


def test_a_layer_that_is_skipped_at_random_takes_part():
    class Skips(nn.Sequential):
        def forward(self, x):
            for layer in self:
                if not self.training or torch.rand([]) > 0.7:
                    x = layer(x)
            return x

    assert not reach(Skips(*(nn.Linear(8, 8) for _ in range(6))), X).unreached


def test_a_network_that_fails_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="Linear failed on example_inputs"):
        reach(nn.Linear(3, 2), X)

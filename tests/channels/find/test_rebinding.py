"""Hooks and other functions that close over a network, in its copies and proxies."""

import functools
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._proxy import NetworkFactory
from proxyhpo.channels.find.skeleton import copied
from proxyhpo.errors import UnsupportedNetworkError
from proxyhpo.pruners import L1StructuredPruner

X = torch.randn(4, 8)


class Hooked(nn.Module):
    """The forward needs what a hook has seen."""

    def __init__(self, register):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
        self.head, self.seen = nn.Linear(64, 1), {}
        register(self)

    def forward(self, x):
        return self.head(self.body(x) + self.seen["hidden"])

    def keep(self, module, inputs, output):
        self.seen["hidden"] = output


def closure(self):
    self.body[0].register_forward_hook(lambda m, i, o: self.seen.__setitem__("hidden", o))


def default_argument(self):
    def keep(module, inputs, output, *, into=self):
        into.seen["hidden"] = output

    self.body[0].register_forward_hook(keep)


def nested_function(self):
    def store(output):
        self.seen["hidden"] = output

    def keep(module, inputs, output):
        store(output)

    self.body[0].register_forward_hook(keep)


def in_a_container(self):
    holders = [self]
    self.body[0].register_forward_hook(
        lambda m, i, o: [holder.seen.__setitem__("hidden", o) for holder in holders].clear()
    )


def method(self):
    self.body[0].register_forward_hook(self.keep)


def partial(self):
    def keep(seen, module, inputs, output):
        seen["hidden"] = output

    self.body[0].register_forward_hook(functools.partial(keep, self.seen))


def weak_reference(self):
    reference = weakref.ref(self)
    self.body[0].register_forward_hook(lambda m, i, o: reference().keep(m, i, o))


REGISTER = [
    closure,
    default_argument,
    nested_function,
    in_a_container,
    method,
    partial,
    weak_reference,
]


@pytest.mark.parametrize("register", REGISTER)
def test_the_hook_of_a_copy_belongs_to_the_copy(register):
    network = Hooked(register)
    copy = copied(network)
    copy(X)
    assert network.seen == {}
    assert set(copy.seen) == {"hidden"}
    network(X)
    assert network.seen["hidden"] is not copy.seen["hidden"]


@pytest.mark.parametrize("register", REGISTER)
def test_a_network_with_hooks_is_pruned(register):
    made = NetworkFactory(lambda: Hooked(register), L1StructuredPruner(), X)
    proxy = made.network({}, density=0.25, seed=np.random.SeedSequence(0))
    assert proxy(X).shape == (4, 1)
    assert proxy.seen["hidden"].shape == (4, 16)


def test_functions_in_attributes_are_bound_to_the_copy():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.function = lambda x: self.layer(x)  # noqa: PLW0108 - it closes over self
            self.functions = [self.function]

        def forward(self, x):
            return self.function(x) + self.functions[0](x)

    network = Scaled()
    copy = copied(network)
    with torch.no_grad():
        copy.layer.weight.zero_()
        copy.layer.bias.zero_()
    assert copy(X).count_nonzero() == 0
    assert network(X).count_nonzero() > 0


def test_functions_that_do_not_refer_to_the_network_are_shared():
    network = nn.Linear(8, 8)
    network.activation = function = lambda x: x.relu()
    assert copied(network).activation is function


def test_a_hook_that_refers_to_a_global_variable_is_refused():
    network = nn.Sequential(nn.Linear(8, 8))
    names = {"network": network}
    hook = eval("lambda m, i, o: network.seen.append(o)", names)
    network[0].register_forward_hook(hook)
    with pytest.raises(
        UnsupportedNetworkError,
        match=r"_forward_hooks' of module '0' \(Linear\) .* global variable 'network'",
    ):
        copied(network)

"""A smaller network is held against what was foretold, and mended or left whole where it fails."""

import pytest
import torch
from torch import nn

from proxyhpo.channels.cut.plan import plan
from proxyhpo.channels.cut.repair import Repair
from proxyhpo.channels.cut.slicing import kept_indices, sliced
from proxyhpo.channels.cut.verify import Forecast, follow, unreached
from proxyhpo.channels.find.clock import Clock, TimeLimitError
from proxyhpo.channels.find.groups import groups_of
from proxyhpo.channels.find.skeleton import copy_with, owned_tensors
from proxyhpo.channels.find.trace import Setting, trace
from proxyhpo.errors import UnsupportedNetworkError

REAL = Setting(meta=False, batch=2)


def halves(found):
    return [(group, range(group.n // 2)) for group in groups_of(found)]


def mend(network, inputs):
    found = trace(network, inputs, ignore=(), clock=Clock(30))
    repair = Repair(network, inputs, found, Clock(30))
    return repair.run(halves(found)), repair.left_whole


class Heads(nn.Module):
    """Attention whose code knows the width of a head; each way in its own words."""

    def __init__(self, way, d=32, heads=4):
        super().__init__()
        self.way, self.heads, self.head, self.d = way, heads, d // heads, d
        self.stem, self.qkv, self.out = nn.Linear(6, d), nn.Linear(d, 3 * d), nn.Linear(d, 5)

    def forward(self, x):
        n, t, _ = x.shape
        y = self.qkv(self.stem(x))
        if self.way == "count":  # with an old width there would be fewer heads, and no error
            q, k, v = (z.reshape(n, t, -1, self.head).transpose(1, 2) for z in y.chunk(3, -1))
        elif self.way == "literal":
            q, k, v = (z.reshape(n, t, -1, 8).transpose(1, 2) for z in y.chunk(3, -1))
        else:
            q, k, v = y.split(self.d, -1)
            q, k, v = (z.view(n, t, self.heads, -1).transpose(1, 2) for z in (q, k, v))
        y = (q @ k.mT).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(n, t, -1))


INPUTS = torch.rand(2, 7, 6)


def test_an_old_integer_that_would_go_through_is_found():
    mended, left = mend(Heads("count"), INPUTS)
    assert mended.comparison.failure is None
    assert not left
    assert [edit[1:] for candidate in mended.taken for edit in candidate.edits] == [(("head",), 4)]


def test_an_integer_that_fails_is_found_and_no_other_is_touched():
    mended, left = mend(Heads("split"), INPUTS)
    assert mended.comparison.failure is None
    assert not left
    assert [candidate.id[1] for candidate in mended.taken] == [("d",)]


def test_a_literal_leaves_its_group_whole_and_the_others_not():
    mended, left = mend(Heads("literal"), INPUTS)
    assert mended.comparison.failure is None
    assert [group.names[0] for group, _ in left] == ["qkv.weight"]
    assert len(mended.selection) == 1
    assert "view" in left[0][1]


class Pairs(nn.Module):
    """Two integers that are wrong at the same operator."""

    def __init__(self, key=8, value=16):
        super().__init__()
        self.key, self.value = key, value
        self.project = nn.Linear(6, key + value)
        self.left, self.right = nn.Linear(key, 5), nn.Linear(value, 5)

    def forward(self, x):
        key, value = self.project(x).split([self.key, self.value], -1)
        return self.left(torch.relu(key)) + self.right(torch.tanh(value))


def test_integers_that_must_change_together_are_changed_together():
    mended, left = mend(Pairs(), INPUTS)
    assert mended.comparison.failure is None
    assert not left
    assert {candidate.id[1] for candidate in mended.taken} == {("key",), ("value",)}


class Asking(nn.Module):
    """Code that asks one of its parts for a size, before that part has run."""

    def __init__(self):
        super().__init__()
        self.encode, self.part, self.head = nn.Linear(6, 24), nn.Module(), nn.Linear(16, 5)
        self.part.size = 8
        self.gate = nn.Linear(8, 16)

    def forward(self, x):
        x = self.encode(x)
        return self.head(x[..., self.part.size :] * self.gate(x[..., : self.part.size]))


def test_code_may_ask_its_parts_for_sizes():
    mended, left = mend(Asking(), INPUTS)
    assert mended.comparison.failure is None
    assert not left
    assert [candidate.id[1] for candidate in mended.taken] == [("size",)]


class Silent(nn.Module):
    """A failure that no operator shows: the groups to blame are found by halves."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        y = self.third(torch.relu(self.second(torch.relu(self.first(x)))))
        if self.second.weight.shape[0] != 8:
            raise RuntimeError("second is not what it was")
        return y


def test_groups_are_found_by_halves_where_no_operator_fails():
    mended, left = mend(Silent(), INPUTS)
    assert mended.comparison.failure is None
    assert [group.names[0] for group, _ in left] == ["second.weight"]
    assert [group.names[0] for group, _ in mended.selection] == ["first.weight"]


def test_progress_counts_operators_and_names_where_it_stopped():
    network = Heads("split")
    found = trace(network, INPUTS, ignore=(), clock=Clock(30))
    selection = halves(found)
    forecast = Forecast(found, selection)
    shapes = {name: tensor.shape for name, tensor in owned_tensors(network).items()}
    smaller = sliced(network, owned_tensors(network), kept_indices(selection, shapes))
    comparison = follow(lambda: smaller, INPUTS, found, forecast, Clock(30))
    assert comparison.failure is not None
    assert "split" in comparison.operation.operator
    assert comparison.operation is found.operations[True][comparison.progress]
    whole = copy_with(network, lambda _, tensor: tensor, owned_tensors(network))
    everything = follow(lambda: whole, INPUTS, found, Forecast(found, []), Clock(30))
    assert everything.failure is None
    assert everything.progress == sum(map(len, found.operations.values()))
    assert everything.flops == found.flops > 0


def test_a_forecast_is_what_the_smaller_network_really_does():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 4))
    found = trace(network, torch.rand(2, 3, 4, 4), ignore=(), clock=Clock(30))
    [group] = groups_of(found)
    forecast = Forecast(found, [(group, [0, 2, 5])])
    shapes = {
        operation.operator: [forecast.shape(dims) for dims in operation.results]
        for operation in found.operations[True]
    }
    assert shapes["aten::convolution"] == [(2, 3, 2, 2)]
    assert shapes["aten::view"] == [(2, 12)]
    assert shapes["aten::addmm"] == [(2, 4)]


@pytest.mark.parametrize("reads_values", [False, True])
@pytest.mark.parametrize("setting", [REAL, Setting(meta=True, batch=2)])
def test_unreached_parameters_are_named_and_nothing_is_left_behind(setting, reads_values):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(6, 5), nn.Linear(6, 5)
            self.norm = nn.BatchNorm1d(5)

        def forward(self, x):
            if reads_values and x.sum() < 0:
                raise ValueError("negative inputs")
            return self.norm(self.used(x)) + self.unused(x).detach()

    network = Half()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    missed = unreached(network, torch.rand(4, 6), setting, varies=False)
    assert missed == {"unused.weight", "unused.bias"}
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_that_runs_differently_each_time_is_refused():
    class Growing(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 5)

        def forward(self, x):
            Growing.calls += 1
            return self.second(self.first(x)).repeat(Growing.calls, 1, 1)

    with pytest.raises(UnsupportedNetworkError, match="the same way twice"):
        plan(Growing(), INPUTS, (), halves)


def test_a_clock_ends_a_forward_that_does_not():
    class Endless(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            while True:
                x = self.layer(x)

    with pytest.raises(TimeLimitError, match=r"longer than 0\.[28] s"):
        trace(Endless(), INPUTS, ignore=(), clock=Clock(0.2))

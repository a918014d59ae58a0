"""A run of a script ends when the network is called, and leaves nothing behind."""

import pytest
import torch
from torch import nn

from proxyhpo._inputs import call, check_inputs, with_batch
from proxyhpo.errors import ArgumentError
from proxyhpo.integrations.optuna._first_call import run_until_called
from proxyhpo.integrations.optuna._trial import ConfigAnswer


class Pair(nn.Module):
    """Takes two inputs, the second of them by keyword if the caller likes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, first, second):
        return self.layer(first) + self.layer(second)


class Wrapper(nn.Module):
    """Hands on whatever it is called with."""

    def __init__(self):
        super().__init__()
        self.inner = Pair()

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class Options(Pair):
    """Takes its inputs as named options."""

    def forward(self, **options):
        return self.layer(options["first"]) + self.layer(options["second"])


class Batch(Pair):
    """Takes a single input, which is a pair or has two names."""

    def forward(self, batch):
        return super().forward(*(batch.values() if isinstance(batch, dict) else batch))


def run(objective, network=None):
    network = nn.Linear(4, 2) if network is None else network
    return run_until_called(lambda trial: network, objective, ConfigAnswer({}))


def not_reached(*_):
    raise AssertionError("the run has not ended")


X, Y = torch.rand(2, 3, 4)


@pytest.mark.parametrize(
    ("network", "call_it"),
    [
        (nn.Linear(4, 2), lambda network: network(X)),
        (nn.Linear(4, 2), lambda network: nn.Sequential(network)(X)),
        (Pair(), lambda network: network(X, Y)),
        (Pair(), lambda network: network(X, second=Y)),
        (Wrapper(), lambda network: network(X, Y)),
        (Wrapper(), lambda network: network(X, second=Y)),
        (Options(), lambda network: network(first=X, second=Y)),
        (Batch(), lambda network: network((X, Y))),
        (Batch(), lambda network: network({"first": X, "second": Y})),
    ],
)
def test_it_ends_at_the_first_call_and_a_call_with_its_inputs_is_the_same(network, call_it):
    end = run(lambda trial, network: not_reached(call_it(network)), network)
    assert end.error is None
    called = call(network, with_batch(check_inputs(end.inputs), 3))
    torch.testing.assert_close(called, call_it(network))


def test_it_ends_without_inputs_at_the_first_call_of_a_part():
    end = run(lambda trial, network: not_reached(network.forward(X, Y)), Pair())
    assert (end.inputs, end.error) == (None, None)


def test_it_ends_at_a_report_or_with_the_objective():
    assert run(lambda trial, network: not_reached(trial.report(0.5, 0))).error is None
    assert run(lambda trial, network: 0.5).error is None


def test_an_exception_of_the_script_is_kept_and_one_of_ours_is_raised():
    def refused(trial, network):
        trial.suggest_float("lr", 0, 1)

    assert isinstance(run(lambda trial, network: 1 / 0).error, ZeroDivisionError)
    with pytest.raises(ArgumentError, match="'lr' is not in the config"):
        run(refused)
    with pytest.raises(ArgumentError, match=r"define_model must return an nn\.Module, got 3"):
        run(refused, network=3)


def test_nothing_is_left_behind():
    network, before = nn.Linear(4, 2), torch.get_rng_state()
    drawn = []

    def objective(trial, network):
        drawn.append(torch.rand(1).item())
        torch.set_grad_enabled(False)
        network(X)

    run(objective, network)
    run(objective, network)
    assert drawn[0] == drawn[1]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()
    assert not network._forward_pre_hooks
    assert not network._forward_pre_hooks_with_kwargs

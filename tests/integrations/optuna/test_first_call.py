"""A run of a script ends when the network is called, and leaves nothing behind."""

import pytest
import torch
from torch import nn

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


def run(objective, network=None):
    network = nn.Linear(4, 2) if network is None else network
    return run_until_called(lambda trial: network, objective, ConfigAnswer({}))


def not_reached(*_):
    raise AssertionError("the run has not ended")


X = torch.rand(3, 4)


@pytest.mark.parametrize(
    ("network", "call", "expected"),
    [
        (nn.Linear(4, 2), lambda network: network(X), X),
        (Pair(), lambda network: network(X, X), (X, X)),
        (Pair(), lambda network: network(X, second=X), {"first": X, "second": X}),
        (Pair(), lambda network: nn.Sequential(network)(X), (X,)),
        (Pair(), lambda network: network.forward(X, X), None),
    ],
)
def test_it_ends_at_the_first_call_with_the_inputs_of_the_network(network, call, expected):
    def objective(trial, network):
        not_reached(call(network))

    end = run(objective, network)
    assert end.error is None
    if expected == (X,):
        torch.testing.assert_close(end.inputs, X)
    elif expected is None:
        assert end.inputs is None
    else:
        torch.testing.assert_close(end.inputs, expected)


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

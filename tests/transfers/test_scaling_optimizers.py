"""Optimizers other than torch's own: which are scaled, and which only reported."""

import copy

import pytest
import torch

from proxyhpo.transfers import LayerwiseTransfer, scaled_updates
from tests.transfers.scaled import (
    FANS,
    build,
    by_name,
    loss_of,
    scaled,
    train,
    values,
)


class Lookahead(torch.optim.Optimizer):
    """Zhang et al., arXiv:1907.08610: every k steps the weights go halfway back."""

    def __init__(self, inner, k=2):
        super().__init__(inner.param_groups, {})
        self.inner, self.k, self.count = inner, k, 0
        self.slow = [p.detach().clone() for group in inner.param_groups for p in group["params"]]

    def step(self, closure=None):
        loss = self.inner.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            fast = [p for group in self.inner.param_groups for p in group["params"]]
            for slow, parameter in zip(self.slow, fast, strict=True):
                slow.lerp_(parameter.detach(), 0.5)
                parameter.data.copy_(slow)
        return loss


class SAM(torch.optim.Optimizer):
    """Foret et al., arXiv:2010.01412: the gradient of where the loss is largest nearby."""

    def __init__(self, inner, rho=0.05):
        super().__init__(inner.param_groups, {"rho": rho})
        self.inner, self.rho = inner, rho

    def climb(self):
        for parameter in self.inner.param_groups[0]["params"]:
            self.state[parameter]["from"] = parameter.detach().clone()
            parameter.data.add_(parameter.grad, alpha=self.rho)

    def descend(self):
        for parameter in self.inner.param_groups[0]["params"]:
            parameter.data.copy_(self.state[parameter]["from"])
        self.inner.step()

    def step(self, closure):
        with torch.enable_grad():
            closure()
        self.climb()
        with torch.enable_grad():
            loss = closure()
        self.descend()
        return loss


@pytest.mark.parametrize("wrapper", [Lookahead, SAM])
def test_wrappers_are_scaled_once_where_the_inner_optimizer_steps(wrapper):
    def run(network, groups):
        optimizer = wrapper(torch.optim.SGD(groups, lr=0.1))

        def closure():
            optimizer.zero_grad()
            loss = loss_of(network)
            loss.backward()
            return loss

        for _ in range(6):
            optimizer.step(closure)

    network = build()
    with scaled_updates(network, FANS, LayerwiseTransfer().update_rule()) as scaling:
        run(network, network.parameters())
    expected = build()
    run(expected, [{"params": list(expected.parameters()), "lr": 0.1 * 0.5**0.5 / 0.5}])
    torch.testing.assert_close(values(network), values(expected), rtol=1e-4, atol=1e-5)
    assert scaling.correction.optimizers == ("SGD",)
    assert scaling.correction.warnings == ()


def test_an_optimizer_that_calls_its_base_class_is_scaled_once():
    class Logged(torch.optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # now torch's own step has hooks, too
    network, _ = scaled(lambda given: Logged(given, lr=0.01))
    expected, _ = scaled(lambda given: torch.optim.Adam(given, lr=0.01))
    assert torch.equal(values(network), values(expected))


def test_a_step_that_raised_is_dropped():
    class Fragile(torch.optim.SGD):
        fails = True

        def step(self, closure=None):
            if self.fails:
                raise RuntimeError("not yet")
            return super().step(closure)

    network = build()
    optimizer = Fragile(network.parameters(), lr=0.1)
    with scaled_updates(network, FANS, by_name):
        for _ in range(3):
            with pytest.raises(RuntimeError, match="not yet"):
                train(network, optimizer, 1)
        optimizer.fails = False
        train(network, optimizer)
    expected, _ = scaled(lambda given: torch.optim.SGD(given, lr=0.1))
    assert torch.equal(values(network), values(expected))


def lbfgs(network):
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(network)
        loss.backward()
        return loss

    optimizer.step(closure)


class AdamWScheduleFree(torch.optim.Optimizer):
    """In name only: its weights are not the iterates, so that it is not to be scaled."""

    def __init__(self, given):
        super().__init__(given, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            parameter.sub_(parameter.grad, alpha=0.1)


@pytest.mark.parametrize(
    "run, name",
    [
        (lbfgs, "LBFGS"),
        (lambda network: train(network, AdamWScheduleFree(network.parameters())), "ScheduleFree"),
        (lambda network: train(network, torch.optim.ASGD(network.parameters())), "ASGD"),
    ],
)
def test_unknown_optimizers_are_not_scaled_and_reported(run, name):
    network, expected = build(), build()
    with scaled_updates(network, FANS, LayerwiseTransfer().update_rule()) as scaling:
        run(network)
    run(expected)
    assert torch.equal(values(network), values(expected))
    (warning,) = scaling.correction.warnings
    assert name in warning
    assert 'transfer="power-law"' in warning
    assert scaling.correction.largest is None


def test_a_loop_without_an_optimizer_causes_a_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        loss_of(network).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.sub_(parameter.grad, alpha=0.1)
    (warning,) = scaling.correction.warnings
    assert "no torch.optim optimizer" in warning


def test_training_a_copy_causes_a_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        train(copied := copy.deepcopy(network), torch.optim.SGD(copied.parameters(), lr=0.1), 1)
    (warning,) = scaling.correction.warnings
    assert "not a copy of it" in warning


def test_an_optimizer_of_another_network_is_no_cause_for_a_warning():
    network, other = build(), build()
    with (
        scaled_updates(network, FANS, by_name) as scaling,
        scaled_updates(other, FANS, by_name),
        scaled_updates(build(), FANS, by_name) as idle,
    ):
        train(other, torch.optim.SGD(other.parameters(), lr=0.1), 1)
        assert idle.correction.warnings == scaling.correction.warnings == ()
        train(network, torch.optim.SGD(network.parameters(), lr=0.1), 1)
        third = build()
        train(third, torch.optim.SGD(third.parameters(), lr=0.1), 1)
    assert scaling.correction.warnings == ()


def test_no_training_at_all_causes_no_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        loss_of(network)
    assert scaling.correction.warnings == ()

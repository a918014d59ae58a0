"""The contract of a rule for an operator, as tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call, map_tensors
from proxyhpo._seeding import preserved_random_state
from proxyhpo.channels import Group, Shrunk, find_groups, remove, shrink
from proxyhpo.channels.find.forward import outputs_of
from proxyhpo.channels.find.rules import Rule, temporary

__all__ = ["OperatorRuleCase", "OperatorRuleContract"]

_NEXT_TO_NOTHING = 1e-30
"""A value close to zero for dead channels. Not zero itself, since zeros have no norm."""


@dataclass(frozen=True)
class OperatorRuleCase:
    """A rule, and a network that needs it.

    Args:
        operator: its name, ``mylib::myop``.
        rule: for the operator.
        build: makes a small network in which channels lead through the operator to another layer.
            Only the operator may mix channels (no LayerNorm), and it must work in double precision.
        inputs: a batch of at least two examples.
        acts_across: whether zero channels affect the operator's results for other channels, for
            example if it divides by a mean over channels. Outputs are not compared then.
    """

    operator: str
    rule: Rule
    build: Callable[[], nn.Module]
    inputs: Inputs
    acts_across: bool = False

    def network(self) -> nn.Module:
        """The network, the same at every call."""
        with preserved_random_state():
            torch.manual_seed(0)
            return self.build()


class OperatorRuleContract:
    """Subclass it as ``TestMyRule`` and provide the fixture ``case``.

    ::

        class TestMyRule(OperatorRuleContract):
            @pytest.fixture
            def case(self):
                return OperatorRuleCase("mylib::myop", my_rule, build, torch.randn(4, 16))
    """

    @pytest.fixture
    def case(self) -> OperatorRuleCase:
        """The rule to be tested."""
        raise NotImplementedError("provide a fixture `case` that returns an OperatorRuleCase")

    @pytest.fixture(autouse=True)
    def known(self, case: OperatorRuleCase) -> Iterator[None]:
        """Uses the rule, whether or not its package is installed."""
        with temporary(case.operator, case.rule):
            yield

    def test_it_lets_channels_be_pruned_that_were_not(self, case: OperatorRuleCase) -> None:
        """Without the rule, tensors of the operator are not pruned."""
        with temporary(case.operator, None):
            without = _free(case.network(), case.inputs)
        assert _free(case.network(), case.inputs) > without
        for name, reason in find_groups(case.network(), case.inputs)[1]:
            assert f"operator {case.operator}" not in reason, f"{name}: {reason}"

    @pytest.mark.parametrize("density", [0.5, 0.25])
    def test_outputs_keep_their_shapes(self, case: OperatorRuleCase, density: float) -> None:
        """This holds in train and in eval mode, and nothing is excluded from pruning."""
        full, shrunk = case.network(), _shrunk(case, density)
        assert not shrunk.skipped, f"not pruned: {shrunk.skipped}"
        for training in (True, False):
            shapes = [
                [output.shape for output in _outputs(network.train(training), case.inputs)]
                for network in (full, shrunk.network)
            ]
            assert shapes[0] == shapes[1]

    def test_a_backward_reaches_every_parameter(self, case: OperatorRuleCase) -> None:
        """Every parameter gets a gradient."""
        network = _shrunk(case, 0.5).network.train()
        losses = [output.square().sum() for output in _outputs(network, case.inputs)]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]  # torch's
        unreached = [name for name, p in network.named_parameters() if p.grad is None]
        assert not unreached

    def test_removing_dead_channels_changes_nothing(self, case: OperatorRuleCase) -> None:
        """If the removed channels were close to zero, the outputs do not change."""
        if case.acts_across:
            pytest.skip("the operator acts across channels")
        inputs = map_tensors(lambda x: x.double() if x.is_floating_point() else x, case.inputs)
        network = case.network().double().eval()
        groups = [group for group in find_groups(network, inputs)[0] if not group.rewired]
        assert groups, "no channels lead from one layer to another"
        rng = np.random.default_rng(0)  # a regular pattern could hide some errors
        selection = [(group, _half(group, rng)) for group in groups]
        dead = _deadened(network, selection)
        smaller = remove(dead, selection, inputs).network
        for got, expected in zip(_outputs(smaller, inputs), _outputs(dead, inputs), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


def _free(network: nn.Module, inputs: Inputs) -> int:
    """The number of classes of channels that may be removed, counted for each tensor."""
    return sum(group.n * len(group.positions) for group in find_groups(network, inputs)[0])


def _half(group: Group, rng: np.random.Generator) -> list[int]:
    return sorted(rng.choice(group.n, max(1, group.n // 2), replace=False).tolist())


def _shrunk(case: OperatorRuleCase, density: float) -> Shrunk:
    def first(slices: Sequence[Tensor]) -> Tensor:
        return -torch.arange(len(slices[0]), dtype=torch.float32)

    return shrink(case.network(), case.inputs, density=density, score=first, round_to=1)


def _outputs(network: nn.Module, inputs: Inputs) -> list[Tensor]:
    with preserved_random_state():
        torch.manual_seed(0)
        return outputs_of(call(network, inputs))


def _deadened(network: nn.Module, selection: Sequence[tuple[Group, Sequence[int]]]) -> nn.Module:
    """A copy in which everything that is about to be removed is close to zero."""
    network = copy.deepcopy(network)
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for group, kept in selection:
            gone = np.setdiff1d(np.arange(group.n), kept)
            for (name, axis), positions in group.positions.items():
                indices = torch.from_numpy(positions[gone].ravel())
                tensor = tensors[name]
                if tensor.is_floating_point():
                    dead = tensor.index_select(axis, indices) * _NEXT_TO_NOTHING
                    tensor.index_copy_(axis, indices, dead)
    return network

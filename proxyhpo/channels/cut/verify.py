"""Compares a smaller network with the prediction from the trace of the full one.

Correct output shapes are not sufficient: ``view(batch, -1, self.head_dim)`` with an old
``head_dim`` makes fewer heads without an error. The shape of every operator's result is therefore
compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call
from proxyhpo.channels.find.clock import Clock, TimeLimitError
from proxyhpo.channels.find.forward import DrawsAlike, forward, outputs_of, undisturbed
from proxyhpo.channels.find.groups import Group
from proxyhpo.channels.find.labels import Dim
from proxyhpo.channels.find.recorder import Operation, flops_of, operator_name
from proxyhpo.channels.find.skeleton import copied
from proxyhpo.channels.find.trace import Setting, Trace

__all__ = ["Comparison", "Forecast", "follow", "unreached"]

_VARIED = {
    f"aten::{name}"
    for names in (
        ("view", "_unsafe_view", "_reshape_alias", "reshape", "clone", "contiguous", "expand"),
        ("t", "transpose", "permute", "squeeze", "unsqueeze", "alias", "detach", "as_strided"),
        ("mm", "bmm", "mv", "dot", "addmm", "addmv", "baddbmm", "add"),
    )
    for name in names
}
"""Operators that may or may not run at other sizes: with a size of 1 nothing has to be copied, and
a layer may be one product with a bias instead of a product and a sum."""


class Forecast:
    """Predicts the sizes of dimensions after classes are removed.

    Args:
        found: the trace of the full network.
        groups_and_kept: the classes of each group that are kept.
    """

    def __init__(
        self, found: Trace, groups_and_kept: Sequence[tuple[Group, Sequence[int]]]
    ) -> None:
        self._roots = found.labels.find(found.labels.all())
        self._stays = np.ones(len(self._roots))
        self._loose = ~found.labels.solid()
        self._given = found.labels.protected(found.labels.all())
        for group, kept in groups_and_kept:
            share = len(kept) / group.n if group.rewired else np.isin(np.arange(group.n), kept)
            self._stays[self.roots_of(group, found)] = share

    def roots_of(self, group: Group, found: Trace) -> Dim:
        """The representative of each class of a group."""
        (name, axis), positions = next(iter(group.positions.items()))
        return self._roots[found.owned[name][axis][positions[:, 0]]]

    def touches(self, roots: Dim, dims: Sequence[Dim]) -> bool:
        """Whether any of these classes occurs in any of the dimensions."""
        return any(bool(np.isin(self._roots[dim], roots).any()) for dim in dims)

    def size(self, dim: Dim) -> int:
        """How many indices of a dimension are kept."""
        return int(np.rint(self._stays[self._roots[dim]].sum()))

    def shape(self, dims: Sequence[Dim]) -> tuple[int, ...]:
        """The predicted shape of a tensor with these dimensions."""
        return tuple(self.size(dim) for dim in dims)

    def agrees(self, dims: Sequence[Dim], shape: Sequence[int], *, varies: bool = False) -> bool:
        """Whether a tensor has the predicted shape.

        Any size is accepted where only Python determines it. With ``varies``, this also holds for
        sizes that the inputs determine.
        """
        return len(dims) == len(shape) and all(
            size == self.size(dim)
            or bool(self._loose[dim].any())
            or (varies and bool(self._given[dim].all()))
            for dim, size in zip(dims, shape, strict=True)
        )


@dataclass(frozen=True)
class Comparison:
    """How far a smaller network ran as predicted.

    Args:
        progress: number of operators that matched, in train and in eval mode.
        flops: of the forward pass in train mode.
        failure: what went wrong; None if nothing did.
        operation: the operator of the full network at which it went wrong, if known.
    """

    progress: int
    flops: int
    failure: str | None = None
    operation: Operation | None = None


class _DeviationError(Exception):
    """A shape differs from the prediction."""


class _Follower:
    """Compares a forward pass with a trace, operator by operator."""

    def __init__(self, operations: Sequence[Operation], forecast: Forecast) -> None:
        self._forecast = forecast
        self._expected = operations
        self._astray = self._lost = False
        self.progress = 0
        self.flops = 0

    def observe(
        self,
        function: torch._ops.OpOverload,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: Any,
        modules: tuple[str, ...],
    ) -> None:
        del modules
        if isinstance(result, (int, float, complex)):  # a value that Python has read
            return
        self.flops += flops_of(function, args, kwargs, result)
        name = operator_name(function)
        if self._lost or not self._finds(name) or self.operation is None:
            return
        outs = [result] if isinstance(result, Tensor) else result
        shapes = [out.shape for out in outs if isinstance(out, Tensor)]
        for dims, shape in zip(self.operation.results, shapes, strict=True):
            if not self._forecast.agrees(dims, shape, varies=self.operation.varies):
                expected = self._forecast.shape(dims)
                raise _DeviationError(f"{name} gives shape {tuple(shape)} instead of {expected}")
        self.progress += 1

    def _finds(self, name: str) -> bool:
        """Whether this operator is the next one of the trace.

        After a difference, optional operators are skipped on both sides, up to the next one that is
        not optional. If that one differs, too, the code took another path.
        """
        self._astray |= not self._is_next(name)
        if self._astray:
            if name in _VARIED:
                return False
            while self.operation is not None and self.operation.operator in _VARIED:
                self.progress += 1
            self._lost = not self._is_next(name)
            self._astray = self._lost
        return not self._lost

    def _is_next(self, name: str) -> bool:
        return self.operation is not None and self.operation.operator == name

    @property
    def operation(self) -> Operation | None:
        """The next operator of the trace, as long as the two can be compared."""
        at_end = self._lost or self.progress == len(self._expected)
        return None if at_end else self._expected[self.progress]


def follow(
    make: Callable[[], nn.Module], inputs: Inputs, found: Trace, forecast: Forecast, clock: Clock
) -> Comparison:
    """Runs a smaller network in the setting of the trace.

    ``make`` returns a new network for each mode, since a forward pass may leave state behind.
    """
    progress = flops = 0
    for training, operations in found.operations.items():
        follower = _Follower(operations, forecast)
        try:
            outputs = forward(
                make(),
                found.setting.inputs(inputs),
                follower.observe,
                clock,
                meta=found.setting.meta,
                training=training,
            )
        except TimeLimitError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user's forward raises on other sizes: it is the answer
            said = f"{type(error).__name__}: {error}"
            said = str(error) if isinstance(error, _DeviationError) else said
            return Comparison(progress + follower.progress, flops, said, follower.operation)
        progress += follower.progress
        flops = max(flops, follower.flops if training else 0)
        shapes = [tuple(output.shape) for output in outputs_of(outputs)]
        expected = found.outputs[training]
        if len(shapes) != len(expected) or not all(
            forecast.agrees(out.dims, shape, varies=out.varies)
            for out, shape in zip(expected, shapes, strict=True)
        ):
            instead = [forecast.shape(out.dims) for out in expected]
            return Comparison(progress, flops, f"its outputs have shapes {shapes}, not {instead}")
    return Comparison(progress, flops)


def unreached(network: nn.Module, inputs: Inputs, setting: Setting, *, varies: bool) -> set[str]:
    """The trainable parameters that receive no gradient.

    If the shapes of operators depend on values (``varies``), examples may take other paths through
    a smaller network. Then only parameters of modules that ran are considered.

    It runs a forward and backward pass as in training, and a forward pass in eval mode. A network
    that was traced without values is large, and only its pass as in training is run, without values
    too if its operators allow that. Exceptions are not caught. Each run uses a copy, so the network
    is not changed.
    """
    if setting.meta:
        with contextlib.suppress(Exception):  # some operators lack gradients without values
            return _without_values(network, inputs, setting)
    real = Setting(meta=False, batch=setting.batch)
    trained = copied(network)
    device = next((p.device for p in trained.parameters()), torch.device("cpu"))
    ran: set[str] = set()
    for name, module in trained.named_modules() if varies else ():
        module.register_forward_pre_hook(partial(_note, ran, name))
    with undisturbed(), DrawsAlike(), torch.enable_grad():
        missed = _missed(trained.train(), real.inputs(inputs, device))
        if not setting.meta:
            with torch.no_grad():
                call(copied(network).eval(), real.inputs(inputs, device))
    return {name for name in missed if not varies or name.rpartition(".")[0] in ran}


def _without_values(network: nn.Module, inputs: Inputs, setting: Setting) -> set[str]:
    with undisturbed(), torch.device("meta"), torch.enable_grad():
        return _missed(setting.network(network).train(), setting.inputs(inputs))


def _missed(network: nn.Module, inputs: Inputs) -> set[str]:
    """The trainable parameters that a backward pass from all outputs does not reach."""
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    losses = [out.abs().sum() for out in outputs_of(call(network, inputs)) if out.requires_grad]
    if not losses:
        return set(learned)
    loss = torch.stack(losses).sum()
    found = torch.autograd.grad(loss, list(learned.values()), allow_unused=True)
    return {name for name, gradient in zip(learned, found, strict=True) if gradient is None}


def _note(ran: set[str], name: str, *_: Any) -> None:
    ran.add(name)

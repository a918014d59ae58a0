"""Scales the updates of a network during the user's training loop.

PyTorch calls global hooks around the step of every optimizer. The weights to be scaled are stored
before a step, and after it each becomes ``before + factor * (after - before)``. The learning rate,
its schedule, parameter groups, clipping and gradient scaling are therefore not changed. For SGD
with momentum this is equivalent to multiplying the parameter's learning rate by ``factor``; for
Adam, too, except that the changed weights affect later gradients.

If optimizers are nested, the innermost step is scaled: Lookahead averages scaled weights, and the
last part of a SAM step is an ordinary step from its starting point. Hooks that the user registers
after steps, which may clamp or average weights, see scaled weights.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle

from proxyhpo._networks.fans import FanRatios
from proxyhpo._networks.norms import has_norm_modules
from proxyhpo._records.correction import Correction
from proxyhpo.transfers._steps import Part, Step, remembered, scale, skipped
from proxyhpo.transfers._updates import Update, UpdateRule, decoupled_decay

__all__ = ["Scaling", "scaled_updates"]


@contextmanager
def scaled_updates(
    network: nn.Module,
    fans: Mapping[str, FanRatios],
    rule: UpdateRule | None,
    *,
    has_norms: bool | None = None,
) -> Iterator[Scaling | None]:
    """Scales the updates of a proxy's parameters inside the ``with`` block.

    It affects every optimizer that derives from ``torch.optim.Optimizer``, wherever it is created
    and stepped. Optimizers that the rule does not know are not scaled, nor are parameters that are
    added later. :attr:`Scaling.correction` says what was scaled and what was not.

    Args:
        network: the proxy. Its parameters are recognized by identity.
        fans: parameter name → the fractions of its fans that are kept; empty for the full network,
            which is not scaled.
        rule: gives the factor of each parameter; None scales nothing.
        has_norms: whether the network has normalisation layers; by default recognized by
            the types of its modules, so that norms called as functions are not found.
    """
    if rule is None or not fans:
        yield None
        return
    scaling = Scaling(network, fans, rule, has_norms=has_norms)
    scaling.start()
    try:
        yield scaling
    finally:
        scaling.stop()


class Scaling:
    """Scales the updates of one network between :meth:`start` and :meth:`stop`.

    It does not keep the network alive, and is removed when all parameters are gone.

    Args:
        network: see :func:`scaled_updates`.
        fans: see :func:`scaled_updates`.
        rule: see :func:`scaled_updates`.
        has_norms: see :func:`scaled_updates`.
    """

    def __init__(
        self,
        network: nn.Module,
        fans: Mapping[str, FanRatios],
        rule: UpdateRule,
        *,
        has_norms: bool | None = None,
    ) -> None:
        self._rule = rule
        self._fans = dict(fans)
        self._names = {
            id(parameter): (weakref.ref(parameter), name)
            for name, parameter in network.named_parameters()
            if name in self._fans
        }
        self._has_norms = has_norm_modules(network) if has_norms is None else has_norms
        self._factors: weakref.WeakKeyDictionary[Optimizer, dict[str, float | None]]
        self._factors = weakref.WeakKeyDictionary()
        self._steps = threading.local()
        self._first: weakref.WeakKeyDictionary[Optimizer, RemovableHandle]
        self._first = weakref.WeakKeyDictionary()
        self._witness = _smallest(network)
        self._range: tuple[float, float] | None = None
        self._optimizers: dict[str, None] = {}
        self._unknown: dict[str, None] = {}
        self._strangers: dict[str, None] = {}

    @property
    def correction(self) -> Correction:
        """What has been scaled so far."""
        smallest, largest = self._range or (None, None)
        return Correction(
            rule=getattr(self._rule, "__name__", type(self._rule).__name__),
            smallest=smallest,
            largest=largest,
            optimizers=tuple(self._optimizers),
            warnings=tuple(self._warnings()),
        )

    @property
    def is_over(self) -> bool:
        """Whether none of the parameters is left."""
        return all(parameter() is None for parameter, _ in self._names.values())

    def start(self) -> None:
        """Starts scaling."""
        with _lock:
            _activate((*_active, self))

    def stop(self) -> None:
        """Stops scaling; no effect if it has been stopped."""
        with _lock:
            _activate(other for other in _active if other is not self)
        for handle in self._first.values():
            handle.remove()

    def before(self, optimizer: Optimizer, *, has_closure: bool) -> bool:
        """An optimizer is about to step. Returns whether it has parameters of the network."""
        parts, unknown, is_known = [], False, False
        factors = self._factors.setdefault(optimizer, {})
        for group in optimizer.param_groups:
            by_factor: dict[float, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                name = self._name(parameter)
                is_known |= name is not None
                moves = parameter.requires_grad and (has_closure or parameter.grad is not None)
                if name is None or not moves:
                    continue
                if name not in factors:
                    factors[name] = self._factor(name, optimizer, group)
                factor = factors[name]
                unknown |= factor is None
                if factor is not None:
                    by_factor.setdefault(factor, []).append(parameter)
            decay = decoupled_decay(optimizer, group)
            has_decay = isinstance(decay, Tensor) or decay != 0
            for factor, parameters in by_factor.items():
                self._note(factor, optimizer)
                before = [] if factor == 1 else remembered(parameters, 1 - decay)
                parts.append(Part(factor, has_decay, parameters, before))
        steps = self._begun()
        # The same optimizer among them calls its base class's step, or its last step raised.
        for index, step in enumerate(steps):
            if step.optimizer() is optimizer:
                del steps[index:]
                break
        steps.append(Step(weakref.ref(optimizer), parts, unknown))
        if any(part.before for part in parts):
            self._come_first(optimizer)
        return is_known

    def _come_first(self, optimizer: Optimizer) -> None:
        """Makes this the first hook after the step, since the user's hooks may change weights."""
        hooks = getattr(optimizer, "_optimizer_step_post_hooks", None)
        if not isinstance(hooks, OrderedDict):  # some wrappers have a dict that takes no hooks
            return
        if optimizer not in self._first or self._first[optimizer].id not in hooks:
            handle = optimizer.register_step_post_hook(lambda stepped, *_: self.after(stepped))
            self._first[optimizer] = handle
        hooks.move_to_end(self._first[optimizer].id, last=False)

    def tell_of_stranger(self, optimizer: Optimizer) -> None:
        """An optimizer steps that has no parameters of any network whose updates are scaled."""
        self._strangers[type(optimizer).__name__] = None

    def after(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped. No effect if it was told before."""
        steps = self._begun()
        index = next((i for i, s in enumerate(steps) if s.optimizer() is optimizer), None)
        if index is None:
            return
        step = steps[index]
        del steps[index:]
        if step.unknown and not step.inner:
            self._unknown[type(optimizer).__name__] = None
        for part in step.parts:
            scale(part, step.inner, skipped(optimizer))
        for outer in steps:
            outer.inner |= step.inner
            outer.inner.update(id(p) for part in step.parts for p in part.parameters)

    def _name(self, parameter: Tensor) -> str | None:
        """Its name in the network; None for others, also for one that got a dead one's id."""
        reference, name = self._names.get(id(parameter), (None, None))
        return None if reference is None or reference() is not parameter else name

    def _factor(self, name: str, optimizer: Optimizer, group: Mapping[str, Any]) -> float | None:
        fans = self._fans[name]
        r_in = 1.0 if fans.r_in is None else fans.r_in
        factor = self._rule(Update(name, r_in, fans.r_out, optimizer, group, self._has_norms))
        return None if factor is None else float(factor)

    def _note(self, factor: float, optimizer: Optimizer) -> None:
        self._optimizers[type(optimizer).__name__] = None
        low, high = self._range or (factor, factor)
        self._range = min(low, factor), max(high, factor)

    def _begun(self) -> list[Step]:
        """The unfinished steps of this thread, outermost first."""
        if not hasattr(self._steps, "begun"):
            self._steps.begun = []
        begun: list[Step] = self._steps.begun
        return begun

    def _warnings(self) -> Iterator[str]:
        advice = (
            'use transfer="power-law", which multiplies the learning rate by its name, or a '
            "transfer with a rule for it (proxyhpo.transfers.Transfer.update_rule)"
        )
        for name in self._unknown:
            yield f"the updates of {name} were not scaled for the width of the proxy: {advice}"
        if not self._optimizers and not self._unknown and self._has_changed():
            yield (
                "a proxy was trained, but no torch.optim optimizer stepped its parameters, so its "
                f"updates were not scaled for its width: {advice}"
            )
        elif not self._optimizers and not self._unknown and self._strangers:
            yield (
                f"{', '.join(self._strangers)} stepped parameters, but none of those that the "
                "proxy was made with, so no update was scaled for its width: a training must train "
                "the network that it is given, not a copy of it"
            )

    def _has_changed(self) -> bool:
        """Whether the smallest trainable parameter has changed since the start."""
        if self._witness is None:
            return False
        parameter, was = self._witness[0](), self._witness[1]
        return parameter is not None and not torch.equal(parameter.detach().cpu(), was)


def _smallest(network: nn.Module) -> tuple[weakref.ref[nn.Parameter], Tensor] | None:
    trainable = [p for p in network.parameters() if p.requires_grad]
    if not trainable:
        return None
    smallest = min(trainable, key=lambda parameter: parameter.numel())
    return weakref.ref(smallest), smallest.detach().to("cpu", copy=True)


_active: tuple[Scaling, ...] = ()
_handles: list[RemovableHandle] = []
_lock = threading.RLock()


def _activate(scalings: Iterable[Scaling]) -> None:
    """Makes these the scalings that see every step; the hooks are registered while there are any.

    Scalings whose network was collected are removed here, and not at collection time, which may be
    while torch iterates over its hooks.
    """
    global _active  # noqa: PLW0603 - the hooks of torch are global, too
    with _lock:
        _active = tuple(scaling for scaling in scalings if not scaling.is_over)
        if _active and not _handles:
            _handles.append(register_optimizer_step_pre_hook(_before_step))
            _handles.append(register_optimizer_step_post_hook(_after_step))
        while _handles and not _active:
            _handles.pop().remove()


def _before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    has_closure = len(args) > 1 or kwargs.get("closure") is not None
    scalings = _active
    known = [scaling.before(optimizer, has_closure=has_closure) for scaling in scalings]
    if not any(known):
        for scaling in scalings:
            scaling.tell_of_stranger(optimizer)


def _after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG001 - torch's
    for scaling in _active:
        scaling.after(optimizer)

"""Applies the operators' rules during a forward pass and records the operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from proxyhpo._inputs import map_tensors
from proxyhpo.channels.find.labels import OUTPUT, Dim, Labels
from proxyhpo.channels.find.outputs import Ancestry
from proxyhpo.channels.find.rules import Call, find_rule, fixed
from proxyhpo.channels.find.rules.factories import unmet

__all__ = ["Operation", "Recorder", "flops_of", "operator_name"]

_TURNED = {"aten::" + name for name in ("transpose", "t", "squeeze", "unsqueeze", "as_strided")}
"""Operators that change the shape of a tensor in their in-place form."""

_COUNTING = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
_COUNTING_BY_NAME = {"torchvision::nms"}
"""Operators that count on values and lack the tag."""


@dataclass(frozen=True)
class Operation:
    """One operator of a forward pass, with the labels of its operands and results."""

    operator: str
    modules: tuple[str, ...]
    operands: Sequence[Sequence[Dim]]
    results: Sequence[Sequence[Dim]]
    scalars: tuple[float, ...] = ()
    """The numbers that it calculates with, such as a factor."""
    varies: bool = False
    """Whether sizes that the inputs determine may differ in a smaller network: the operator's shape
    depends on values, as with ``nonzero``, or an operand comes from such an operator."""


@dataclass
class Recorder:
    """Follows labels through one forward pass.

    Args:
        labels: the labels so far.
    """

    labels: Labels
    operations: list[Operation] = field(default_factory=list)
    """Every operator that returned a tensor, in order."""
    used: set[str] = field(default_factory=set)
    """Names of the owned tensors that an operator has used."""
    summed: list[Dim] = field(default_factory=list)
    """Labels of weights' dimensions over which products with data sum."""
    reads_values: bool = False
    """Whether Python asks for values that depend on the inputs, as ``if error < 1`` does."""
    flops: int = 0
    """As counted by torch's own counter."""

    def __post_init__(self) -> None:
        self._known: dict[
            int, tuple[Tensor, list[Dim]]
        ] = {}  # keeps tensors alive: ids stay unique
        self._data: set[int] = set()
        self._names: dict[int, str] = {}
        self._varying: set[int] = set()
        self._unread: dict[int, list[tuple[Dim, str]]] = {}
        self.ancestry = Ancestry()

    def start(
        self, tensors: Mapping[str, Tensor], owned: Mapping[str, list[Dim]], inputs: Any
    ) -> None:
        """Registers the network's own tensors and its inputs."""
        for name, tensor in tensors.items():
            self._known[id(tensor)] = (tensor, owned[name])
            self._names[id(tensor)] = name

        def note(tensor: Tensor) -> Tensor:
            self._known[id(tensor)] = (tensor, fixed(tensor.shape))
            self._data.add(id(tensor))
            return tensor

        map_tensors(note, inputs)

    def observe(
        self,
        function: torch._ops.OpOverload,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: Any,
        modules: tuple[str, ...],
    ) -> None:
        """Applies the rule of an operator that has just run."""
        if not any(isinstance(part, Tensor) for part in _listed(result)):
            self.reads_values |= any(map(self.is_data, args))
            return
        call = Call(operator_name(function), bound(function, args, kwargs), result, self)
        operands = call.tensors()
        self._read(call.operator, operands)
        before = [self.dims(operand) for operand in operands]
        outs = [part for part in _listed(result) if isinstance(part, Tensor)]
        for out, dims in zip(outs, self._ruled(function, call, outs), strict=True):
            self._know(out, dims, turned=call.operator in _TURNED)
            self.ancestry.note(out, call.operator, operands)
        if call.when_read:
            self._unread[id(outs[-1])] = call.when_read
        counts = bool(_COUNTING & set(function.tags)) or call.operator in _COUNTING_BY_NAME
        varies = counts or any(map(self.varies, operands))
        if varies:
            self._varying.update(map(id, outs))
        if any(map(self.is_data, operands)):
            self._data.update(map(id, outs))
        self.used.update(self._names[id(one)] for one in operands if id(one) in self._names)
        self.summed.extend(call.summed)
        self.flops += flops_of(function, args, kwargs, result)
        after = [self.dims(out) for out in outs]
        scalars = _scalars(call.operator, args)
        self.operations.append(Operation(call.operator, modules, before, after, scalars, varies))

    def finish(self, outputs: Sequence[Tensor]) -> None:
        """Protects the sizes of these outputs."""
        self._read("", outputs)
        for output in outputs:
            for dim in self.dims(output):
                self.labels.protect(dim[dim > 0], OUTPUT)

    def varies(self, tensor: Tensor) -> bool:
        """Whether input-dependent sizes of the tensor depend on values, see :class:`Operation`."""
        return id(tensor) in self._varying

    def _read(self, operator: str, operands: Sequence[Tensor]) -> None:
        """Protects labels that must be kept if the values of these tensors are used."""
        if not operator.endswith("_like") and not operator.startswith("aten::new_"):
            for operand in operands:
                for dim, reason in self._unread.pop(id(operand), ()):
                    self.labels.protect(dim[dim > 0], reason)

    def dims(self, tensor: Tensor) -> list[Dim]:
        """The labels of a tensor; an unknown tensor is fixed."""
        known = self._known.get(id(tensor))
        return fixed(tensor.shape) if known is None else known[1]

    def is_data(self, tensor: Tensor) -> bool:
        """Whether it depends on the inputs."""
        return id(tensor) in self._data

    def _ruled(
        self, function: torch._ops.OpOverload, call: Call, outs: Sequence[Tensor]
    ) -> Sequence[list[Dim]]:
        if not call.tensors():  # a factory, whatever its name
            return [unmet(self.labels, out.shape) for out in outs]
        rule = find_rule(call.operator, function)
        if rule is None:
            return self._unruled(call, outs, f"there is no rule for operator {call.operator}")
        try:
            made = rule(self.labels, call)
            dims = list(made) if isinstance(made, tuple) else [made]
            self._check(dims, outs)
        except Exception as error:  # noqa: BLE001 - a rule, perhaps a stranger's, meets arguments that it does not know: said in the report
            said = f"the rule for operator {call.operator} failed: {type(error).__name__}: {error}"
            return self._unruled(call, outs, said)
        return dims

    def _unruled(self, call: Call, outs: Sequence[Tensor], reason: str) -> list[list[Dim]]:
        for operand in call.tensors():
            for dim in self.dims(operand):
                self.labels.protect(dim[dim > 0], reason)
        return [fixed(out.shape) for out in outs]

    @staticmethod
    def _check(dims: Sequence[list[Dim]], outs: Sequence[Tensor]) -> None:
        given = [tuple(dim.size for dim in own) for own in dims]
        shapes = [tuple(out.shape) for out in outs]
        if given != shapes:
            raise ValueError(f"it returned labels of shapes {given} for results of {shapes}")

    def _know(self, out: Tensor, dims: list[Dim], *, turned: bool) -> None:
        old = self._known.get(id(out))
        if old is not None and not turned and [d.size for d in old[1]] == [d.size for d in dims]:
            for one, other in zip(old[1], dims, strict=True):
                self.labels.join(one, other)
        else:
            self._known[id(out)] = (out, dims)


_ARITHMETIC = {"aten::" + name for name in ("mul", "div", "add", "sub", "rsub", "pow")}


def _scalars(operator: str, args: Sequence[Any]) -> tuple[float, ...]:
    if operator not in _ARITHMETIC:
        return ()
    return tuple(float(a) for a in args if isinstance(a, (int, float)) and not isinstance(a, bool))


def operator_name(function: torch._ops.OpOverload) -> str:
    """Namespace and name, without the overload and without the underscore of in-place forms.

    >>> operator_name(torch.ops.aten.add_.Tensor)
    'aten::add'
    """
    name = str(function._schema.name)  # noqa: SLF001 - the only door to a schema
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def flops_of(function: torch._ops.OpOverload, args: Any, kwargs: Any, result: Any) -> int:
    """Floating point operations of one operator, as counted by torch's own counter."""
    from torch.utils.flop_counter import flop_registry  # noqa: PLC0415 - slow: it imports triton

    formula = flop_registry.get(function.overloadpacket)
    return int(formula(*args, **kwargs, out_val=result)) if formula else 0


def bound(
    function: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Every argument by name, including defaults."""
    names, defaults = _signature(function)
    return {**defaults, **dict(zip(names, args, strict=False)), **kwargs}


@cache
def _signature(function: torch._ops.OpOverload) -> tuple[list[str], dict[str, Any]]:
    arguments = function._schema.arguments  # noqa: SLF001 - the only door to a schema
    defaults = {
        argument.name: argument.default_value
        for argument in arguments
        if argument.has_default_value()
    }
    return [argument.name for argument in arguments], defaults


def _listed(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else (result,)

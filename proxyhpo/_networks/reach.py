"""Which parameters the outputs of a network depend on, and which produce the outputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call
from proxyhpo.channels.find.forward import outputs_of, undisturbed
from proxyhpo.channels.find.trace import Setting, with_or_without_values
from proxyhpo.errors import UnsupportedNetworkError, one_line

__all__ = ["Reach", "reach"]

logger = logging.getLogger("proxyhpo")

_ELEMENTWISE_NODES = ("MulBackward", "AddBackward", "SubBackward", "DivBackward")


@dataclass(frozen=True)
class Reach:
    """The parameters reached by a backward pass from the outputs, as if none were frozen.

    Args:
        parameters: names of the parameters that the outputs depend on.
        heads: names of the weight matrices whose products reach an output through no other matrix.
        unreached: names of the other parameters, which do not take part in training.
    """

    parameters: frozenset[str]
    heads: frozenset[str]
    unreached: frozenset[str]


def reach(network: nn.Module, inputs: Inputs) -> Reach:
    """Follows the autograd graph of a forward pass in train mode back from its outputs.

    Two examples are run, without values if the network is large and allows it. A network may route
    examples by their values, or skip layers at random in train mode. If a parameter is not reached,
    the whole batch is therefore run, and also in eval mode.

    Args:
        network: it is not changed.
        inputs: a typical batch.

    Raises:
        UnsupportedNetworkError: if the network fails on the inputs.
    """
    found: list[Reach] = []
    for setting, training in _runs(network):
        try:
            found.append(_followed(network, inputs, setting, training=training))
        except Exception as error:  # noqa: BLE001 - a user's forward may raise anything
            failure = error
            logger.debug("no graph of %s: %s", type(network).__name__, error)
            continue
        parameters = frozenset[str]().union(*(each.parameters for each in found))
        seen = Reach(parameters, found[0].heads, found[0].unreached - parameters)
        if setting.meta or not seen.unreached:
            return seen
    if not found:
        raise UnsupportedNetworkError(
            f"{type(network).__name__} failed on example_inputs: {one_line(failure)}"
        ) from failure
    return seen


def _runs(network: nn.Module) -> Iterator[tuple[Setting, bool]]:
    """How the network is run, and whether in train mode."""
    if with_or_without_values(network)[0]:
        yield Setting(meta=True, batch=2), True
    yield Setting(meta=False, batch=2), True
    yield Setting(meta=False, batch=None), True
    yield Setting(meta=False, batch=None), False


def _followed(network: nn.Module, inputs: Inputs, setting: Setting, *, training: bool) -> Reach:
    scratch = setting.network(network).train(training)
    for parameter in scratch.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    device = torch.device("meta" if setting.meta else "cpu")
    with undisturbed(), device, torch.enable_grad():
        outputs = outputs_of(call(scratch, setting.inputs(inputs)))
    names = {id(parameter): name for name, parameter in scratch.named_parameters()}
    heads: set[str] = set()
    for node in _nodes(outputs, through_matrices=False):
        heads.update(names[id(w)] for w in _matrices_of(node) if id(w) in names)
    found = frozenset(
        names[id(leaf)]
        for node in _nodes(outputs, through_matrices=True)
        if id(leaf := getattr(node, "variable", None)) in names
    )
    return Reach(found, frozenset(heads), frozenset(names.values()) - found)


def _nodes(outputs: list[Tensor], *, through_matrices: bool) -> Iterator[Any]:
    """The nodes of the outputs' graph: up to those that use a weight matrix, or all of them."""
    seen: set[Any] = set()
    pending: list[Any] = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if through_matrices or not any(True for _ in _matrices_of(node)):
            pending += [before for before, _ in node.next_functions if before is not None]


def _matrices_of(node: Any) -> Iterator[Tensor]:
    """The matrices that an operation uses directly, or after a transpose or cast."""
    if node.name().startswith(_ELEMENTWISE_NODES):
        return
    for before, _ in node.next_functions:
        source = before
        while source is not None and len(source.next_functions) == 1:
            source = source.next_functions[0][0]
        variable = getattr(source, "variable", None)
        if variable is not None and variable.ndim >= 2:
            yield variable

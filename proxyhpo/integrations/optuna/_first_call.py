"""Runs the user's functions until the network is called for the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from torch import nn

from proxyhpo._inputs import Arguments, Inputs, map_tensors
from proxyhpo._isolation import isolated
from proxyhpo._seeding import seed_everything
from proxyhpo.errors import ArgumentError
from proxyhpo.integrations.optuna._trial import Answer, ScriptTrial

__all__ = ["DefineModel", "FirstCall", "Objective", "run_until_called"]

DefineModel: TypeAlias = Callable[[Any], nn.Module]
"""Builds the network of a trial."""

Objective: TypeAlias = Callable[[Any, Any], Any]
"""Trains the network of a trial and returns its value."""


@dataclass(frozen=True)
class FirstCall:
    """How a run of the user's functions ended.

    Args:
        inputs: of the first call of the network; None if it was not called.
        error: the exception that ended the run earlier, if there was one.
    """

    inputs: Inputs | None = None
    error: Exception | None = None


def run_until_called(define_model: DefineModel, objective: Objective, answer: Answer) -> FirstCall:
    """Runs ``define_model`` and ``objective`` until the network is called or a value is reported.

    Nothing is trained. Random states and other global settings are restored afterwards.

    Args:
        define_model: builds a network.
        objective: would train it.
        answer: decides the values of the parameters.

    Raises:
        ArgumentError: if ``define_model`` does not return a network, or a suggestion is invalid.
    """
    trial = ScriptTrial(answer, _end)
    with isolated():
        seed_everything(0)
        try:
            network = _check_network(define_model(trial))
            with _ended_by_a_call(network):
                objective(trial, network)
        except _FirstCallError as end:
            return FirstCall(end.inputs)
        except ArgumentError:
            raise
        except Exception as error:  # noqa: BLE001 - what the user's code raises, such as TrialPruned
            return FirstCall(error=error)
    return FirstCall()


def _check_network(network: object) -> nn.Module:
    if isinstance(network, nn.Module):
        return network
    raise ArgumentError(f"define_model must return an nn.Module, got {network!r}")


class _FirstCallError(BaseException):
    """Ends a run; handlers of ``Exception`` in the user's code do not catch it."""

    def __init__(self, inputs: Inputs | None = None) -> None:
        self.inputs = inputs


def _end(_value: object, /, **_metrics: object) -> NoReturn:
    raise _FirstCallError


@contextmanager
def _ended_by_a_call(network: nn.Module) -> Iterator[None]:
    """Ends the run when the network, or any module of it, is called in the block."""

    def before_call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        raise _FirstCallError(_copied(args, kwargs) if module is network else None)

    # A script may call forward() directly, which runs the hooks of submodules, not the network's.
    handles = [
        module.register_forward_pre_hook(before_call, with_kwargs=True, prepend=True)
        for module in network.modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _copied(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Inputs:
    """The arguments of a call, on the CPU."""
    given = Arguments(args, kwargs) if kwargs else args
    inputs: Inputs = map_tensors(lambda tensor: tensor.detach().cpu().clone(), given)
    return inputs

"""Results of stored studies, which can be read without the study's code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from proxyhpo._engine.state import State
from proxyhpo._records.ending import Ending, running, unfinished
from proxyhpo._records.fields import MALFORMED
from proxyhpo._records.records import Config
from proxyhpo._records.rung import Rung
from proxyhpo._report.fidelity import Fidelity
from proxyhpo._report.result import Result
from proxyhpo._store import read_study, read_weights, writer_of
from proxyhpo.errors import StoreError
from proxyhpo.space import Space

__all__ = ["load_study", "replayed", "result_of"]

Events = Iterable[tuple[str, Mapping[str, Any]]]

Weights = Callable[[str], Mapping[str, Tensor]]


def load_study(path: str | Path) -> Result:
    """The current result of a stored study, without the code that ran it.

    Another process may be running the study; the result says so. ``result.best_network(network)``
    loads the weights of the best training into a network that you have built.

    Args:
        path: of the store, such as ``"study.db"``.

    Raises:
        StoreError: if there is no such file, or it is damaged or not a study.
    """
    writer = ""
    with contextlib.suppress(StoreError):  # a file system without locks; reading gives other errors
        writer = writer_of(path)
    identity, events = read_study(path)
    state, study = replayed(identity, events)
    ending = unfinished() if state.unfinished else Ending()
    return result_of(
        state,
        study,
        weights=partial(read_weights, path),
        ending=running(writer) if writer else ending,
    )


def replayed(identity: Mapping[str, Any], events: Events) -> tuple[State, Mapping[str, Any]]:
    """The state after the events, and the identity with its ladder as rungs.

    Raises:
        StoreError: if these are not the identity and events of a study.
    """
    try:
        ladder = [Rung(**rung) for rung in identity["ladder"]]
        checked = {
            "space": Space.from_json(identity["space"]),
            "ladder": ladder,
            "direction": str(identity["direction"]),
            "seed": identity["seed"],
            "strategies": {
                name: str(made["class"]) for name, made in identity.get("strategies", {}).items()
            },
            "pretrained": identity.get("pretrained") is True,
        }
        return State.replay(len(ladder), events), checked
    except MALFORMED as error:
        raise StoreError(
            f"the file contains no valid events of a study: {type(error).__name__}: {error}"
        ) from error


def result_of(
    state: State,
    study: Mapping[str, Any],
    *,
    weights: Weights,
    build: Callable[[Config], nn.Module] | None = None,
    ending: Ending = Ending(),  # noqa: B008 - frozen
    checked: Fidelity | None = None,
    is_stored: bool = True,
) -> Result:
    """The result of a study in a given state.

    Args:
        state: of the study.
        study: its ``space``, ``ladder``, ``direction`` and whether the network is ``pretrained``.
        weights: loads the weights of a training by its name.
        build: makes the full network for a config.
        ending: how the last run ended.
        checked: what a check of the proxy found.
        is_stored: whether the study has a store, and is not only in memory.
    """
    return Result(
        space=study["space"],
        history=state.history.snapshot(),
        ladder=study["ladder"],
        direction=study["direction"],
        best=state.best,
        search_seconds=state.search_seconds,
        ending=ending,
        checked=checked,
        why_full=state.why_full,
        pretrained=study["pretrained"],
        is_stored=is_stored,
        weights=weights,
        build=build,
    )

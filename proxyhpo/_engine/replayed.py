"""Checks that a replayed history could have been written by a study with the given parts."""

from __future__ import annotations

from collections.abc import Sequence

from proxyhpo._engine.parts import Parts
from proxyhpo._records.history import History
from proxyhpo._records.rung import Rung
from proxyhpo.errors import ArgumentError, ConfigError, StoreError
from proxyhpo.space import Space
from proxyhpo.transfers._exponents import check_exponents

__all__ = ["check_replayed"]


def check_replayed(history: History, parts: Parts) -> None:
    """Checks that a history is consistent with the parts of its study.

    Args:
        history: replayed from a store.
        parts: of the study.

    Raises:
        StoreError: names the event that is inconsistent.
    """
    _check_configs(history, parts.space)
    _check_openings(history, parts.space, parts.ladder)
    for known in history.known:
        if known.loss != parts.loss(known.value):
            raise StoreError(
                f"the store contains a known result with loss {known.loss!r}, which does not match "
                f"its value {known.value!r}"
            )
    for record in history.records:
        if record.value is not None and record.loss != parts.loss(record.value):
            raise StoreError(
                f"the store contains a record of trial {record.trial} with loss {record.loss!r}, "
                f"which does not match its value {record.value!r}"
            )


def _check_configs(history: History, space: Space) -> None:
    try:
        for trial in history.trials:
            space.validate(trial.config, argument=f"trial {trial.number}")
        for known in history.known:
            space.validate(known.config, argument="a known result")
    except ConfigError as error:
        raise StoreError(f"the store contains a config outside the space: {error}") from error


def _check_openings(history: History, space: Space, ladder: Sequence[Rung]) -> None:
    try:
        for opening in history.openings.values():
            check_exponents("the store", opening.exponents, space)
    except ArgumentError as error:
        raise StoreError(f"the store contains invalid exponents: {error}") from error
    for rung, measured in history.measured.items():
        wanted = ladder[rung].density
        if wanted is not None and measured.density != wanted:  # a cost's density was searched for
            raise StoreError(
                f"the store contains a measurement of rung {rung} at density {measured.density!r}, "
                f"but the ladder has {wanted!r}"
            )

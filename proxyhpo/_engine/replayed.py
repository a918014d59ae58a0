"""What a file may hold in the form of a study, and no study with these parts can have written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxyhpo._records.history import History
from proxyhpo._records.rung import Rung
from proxyhpo.errors import ArgumentError, ConfigError, StoreError
from proxyhpo.space import Space
from proxyhpo.transfers import check_exponents

__all__ = ["check_replayed"]


def check_replayed(
    history: History, space: Space, ladder: Sequence[Rung], loss: Callable[[float], float]
) -> None:
    """Refuses a history that does not go with the parts of its study.

    Args:
        history: replayed from a store.
        space: of the study.
        ladder: of the study.
        loss: value → what the study compares.

    Raises:
        StoreError: naming what does not fit.
    """
    _check_configs(history, space)
    _check_openings(history, space, ladder)
    runs = [(f"trial {record.trial}", record) for record in history.records]
    runs += [(f"probe {n}", record) for n, record in history.probe_records.items()]
    for name, record in runs:
        if record.value is not None and record.loss != loss(record.value):
            raise StoreError(
                f"the store holds a record of {name} whose loss {record.loss!r} "
                f"does not go with its value {record.value!r}"
            )


def _check_configs(history: History, space: Space) -> None:
    try:
        for trial in history.trials:
            space.validate(trial.config, argument=f"trial {trial.number}")
        for number, probe in enumerate(history.probes):
            space.validate(probe.config, argument=f"probe {number}")
    except ConfigError as error:
        raise StoreError(f"the store holds a config outside its space: {error}") from error


def _check_openings(history: History, space: Space, ladder: Sequence[Rung]) -> None:
    openings = [*history.openings.values(), *history.measurements.values()]
    exponents = [opening.exponents for opening in openings]
    exponents += [probe.exponents for probe in history.probes]
    try:
        for given in exponents:
            check_exponents("the store", given, space)
    except ArgumentError as error:
        raise StoreError(f"the store holds what no transfer gives: {error}") from error
    for opening in openings:
        wanted = ladder[opening.rung].density
        if wanted is not None and opening.density != wanted:  # for a cost, it was found
            raise StoreError(
                f"the store holds an opening of rung {opening.rung} at density "
                f"{opening.density!r}, and the ladder says {wanted!r}"
            )

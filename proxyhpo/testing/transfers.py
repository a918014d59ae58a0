"""The contract of every :class:`~proxyhpo.transfers.Transfer`, as tests."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from proxyhpo._records.history import History
from proxyhpo._records.records import Probe, Record
from proxyhpo._records.rung import Rung
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.transfers import Transfer, check_exponents, check_probes, transferred

__all__ = ["TransferContract"]

SPACES = {
    "learning rate": Space({"lr": Float(1e-4, 1, log=True), "momentum": Choice([0.0, 0.9])}),
    "several": Space(
        {
            "lr": Float(1e-4, 1, log=True),
            "head_lr": Float(1e-4, 1, log=True),
            "weight_decay": Float(1e-6, 1e-2, log=True),
            "batch_size": Int(16, 256),
            "epochs": 10,
        }
    ),
    "a list": Space({"lr": Choice([0.1, 0.01]), "momentum": Float(0, 0.99)}),
    "conditional": Space(
        {
            "optimizer": Choice(["sgd", "adam"]),
            "lr": Float(1e-4, 1, log=True),
            "momentum": Float(0, 0.99, when=("optimizer", "sgd")),
        }
    ),
}


LADDERS = {
    "one proxy": [Rung(0.25, keep=3), Rung(1)],
    "two proxies": [Rung(0.125, keep=8), Rung(0.5, keep=2), Rung(1)],
    "costs": [Rung(cost=0.05, keep=8), Rung(cost=0.3, by="flops", keep=2), Rung(1)],
    "budgets": [Rung(0.25, budget=0.5, keep=8), Rung(0.25, keep=4), Rung(1)],
}


class TransferContract:
    """Subclass it as ``TestMyTransfer`` and give the fixture ``transfer``.

    A transfer for names of its own may give a fixture ``space`` too.
    """

    @pytest.fixture
    def transfer(self) -> Transfer:
        """The transfer to be tested."""
        raise NotImplementedError("give a fixture `transfer` that returns a Transfer")

    @pytest.fixture(params=SPACES.values(), ids=list(SPACES))
    def space(self, request: pytest.FixtureRequest) -> Space:
        """Each space that it is tried on."""
        assert isinstance(request.param, Space)
        return request.param

    @pytest.fixture(params=LADDERS.values(), ids=list(LADDERS))
    def ladder(self, request: pytest.FixtureRequest) -> list[Rung]:
        """Each ladder that it plans probes for."""
        assert isinstance(request.param, list)
        return request.param

    def test_probes_can_be_trained(
        self, transfer: Transfer, space: Space, ladder: list[Rung]
    ) -> None:
        """Configs of the space, rungs of the ladder, and exponents of what can follow."""
        check_probes(type(transfer).__name__, _probes(transfer, space, ladder), space, ladder)

    def test_the_generator_is_the_only_source_of_probes(
        self, transfer: Transfer, space: Space, ladder: list[Rung]
    ) -> None:
        """Equal arguments give equal probes."""
        before = _global_random_states()
        assert _probes(transfer, space, ladder) == _probes(transfer, space, ladder)
        assert _global_random_states() == before

    def test_one_width_alone_needs_no_probes(self, transfer: Transfer, space: Space) -> None:
        """Nothing follows a width that does not change."""
        for ladder in ([Rung(1)], [Rung(1, budget=0.25, keep=3), Rung(1)]):
            assert list(_probes(transfer, space, ladder)) == []

    def test_what_probes_say_gives_exponents(
        self, transfer: Transfer, space: Space, ladder: list[Rung]
    ) -> None:
        """Also if some have failed, or all have; and a few words say what they rest on."""
        probes, name = _probes(transfer, space, ladder), type(transfer).__name__
        for share_that_failed in (0.0, 0.5, 1.0):
            history = _history(space)
            _train(probes, history, share_that_failed)
            check_exponents(name, _exponents(transfer, space, history), space)
            basis = transfer.basis(space, history)
            assert basis is None or (isinstance(basis, str) and basis)

    def test_only_numbers_of_the_space_follow_the_width(
        self, transfer: Transfer, space: Space
    ) -> None:
        """Exponents are finite, by names of Floats, Choices of numbers and numbers."""
        for history in (History(), _history(space)):
            check_exponents(type(transfer).__name__, _exponents(transfer, space, history), space)

    def test_exponents_can_be_stored(self, transfer: Transfer, space: Space) -> None:
        """They are frozen into the study when a rung opens."""
        exponents = _exponents(transfer, space, _history(space))
        assert json.loads(json.dumps(dict(exponents), allow_nan=False)) == exponents

    def test_equal_arguments_give_equal_exponents(self, transfer: Transfer, space: Space) -> None:
        """A transfer has settings but no state, and no randomness but what it seeds itself."""
        before = _global_random_states()
        first = _exponents(transfer, space, _history(space))
        _exponents(transfer, space, History())
        assert _exponents(transfer, space, _history(space)) == first
        assert _global_random_states() == before

    def test_the_history_is_only_read(self, transfer: Transfer, space: Space) -> None:
        """It belongs to the engine."""
        history, same = _history(space), _history(space)
        for each in (history, same):
            _train(_probes(transfer, space, LADDERS["one proxy"]), each)
        _exponents(transfer, space, history)
        assert vars(history) == vars(same)

    def test_nothing_changes_at_full_width(self, transfer: Transfer, space: Space) -> None:
        """A width ratio of 1 gives the config itself; a smaller one gives usable numbers."""
        exponents = _exponents(transfer, space, _history(space))
        for trial in _history(space).trials:
            assert transferred(trial.config, exponents, 1.0) == trial.config
            narrow = transferred(trial.config, exponents, 0.1)
            assert narrow.keys() == trial.config.keys()
            assert all(math.isfinite(narrow[name]) for name in exponents if name in narrow)


def _exponents(transfer: Transfer, space: Space, history: History) -> Mapping[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is nothing to transfer is worth a warning
        return transfer.exponents(space, history)


def _probes(transfer: Transfer, space: Space, ladder: list[Rung]) -> Sequence[Probe]:
    return transfer.probes(space, ladder, rng=np.random.default_rng(7))


def _train(probes: Sequence[Probe], history: History, share_that_failed: float = 0.0) -> None:
    """Notes that probes have ended, with losses drawn by lot."""
    rng = np.random.default_rng(3)
    for probe in probes:
        ratio = (0.2, 0.6, 1.0)[probe.rung]
        number = history.add_probe(replace(probe, width_ratio=ratio))
        trained_config = transferred(probe.config, probe.exponents, ratio)
        loss = None if rng.random() < share_that_failed else float(rng.normal())
        state: Literal["finished", "failed"] = "failed" if loss is None else "finished"
        history.add_probe_record(
            Record(number, probe.rung, 0, probe.config, trained_config, state, loss, loss)
        )


def _history(space: Space, n: int = 5) -> History:
    """A few trials, all but the last of them finished."""
    history, rng = History(), np.random.default_rng(0)
    for number in range(n):
        config = space.sample(rng)
        history.add_trial(config)
        if number < n - 1:
            history.add_record(
                Record(number, 0, 0, config, config, "finished", value=0.5, loss=-0.5)
            )
    return history


def _global_random_states() -> list[str]:
    numpys = np.random.get_state()  # noqa: NPY002 - whether this one changes is the question
    return [repr(random.getstate()), repr(numpys), repr(torch.get_rng_state().tolist())]

"""The contract of every :class:`~proxyhpo.transfers.Transfer`, as tests."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping

import cloudpickle
import numpy as np
import pytest
import torch

from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.testing._random_states import global_random_states
from proxyhpo.transfers import Transfer, Update
from proxyhpo.transfers._exponents import check_exponents, transferred

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


class TransferContract:
    """Subclass it as ``TestMyTransfer`` and provide the fixture ``transfer``.

    A transfer for special names may also provide a fixture ``space``.
    """

    @pytest.fixture
    def transfer(self) -> Transfer:
        """The transfer to be tested."""
        raise NotImplementedError("provide a fixture `transfer` that returns a Transfer")

    @pytest.fixture(params=SPACES.values(), ids=list(SPACES))
    def space(self, request: pytest.FixtureRequest) -> Space:
        """Each space that is tested."""
        assert isinstance(request.param, Space)
        return request.param

    def test_only_numbers_of_the_space_follow_the_width(
        self, transfer: Transfer, space: Space
    ) -> None:
        """Exponents are finite, and only for Floats, Choices of numbers and numbers."""
        for history in (History(), _history(space)):
            check_exponents(type(transfer).__name__, _exponents(transfer, space, history), space)

    def test_exponents_can_be_stored(self, transfer: Transfer, space: Space) -> None:
        """They are stored with the study when a rung opens."""
        exponents = _exponents(transfer, space, _history(space))
        assert json.loads(json.dumps(dict(exponents), allow_nan=False)) == exponents

    def test_equal_arguments_give_equal_exponents(self, transfer: Transfer, space: Space) -> None:
        """A transfer has settings but no state, and no randomness that it does not seed itself."""
        before = global_random_states()
        first = _exponents(transfer, space, _history(space))
        _exponents(transfer, space, History())
        assert _exponents(transfer, space, _history(space)) == first
        assert global_random_states() == before

    def test_the_history_is_only_read(self, transfer: Transfer, space: Space) -> None:
        """The history is not modified."""
        history, same = _history(space), _history(space)
        _exponents(transfer, space, history)
        assert vars(history) == vars(same)

    def test_nothing_changes_at_full_width(self, transfer: Transfer, space: Space) -> None:
        """A width ratio of 1 gives the same config; a smaller one gives usable numbers."""
        exponents = _exponents(transfer, space, _history(space))
        for trial in _history(space).trials:
            assert transferred(trial.config, exponents, 1.0) == trial.config
            narrow = transferred(trial.config, exponents, 0.1)
            assert narrow.keys() == trial.config.keys()
            assert all(math.isfinite(narrow[name]) for name in exponents if name in narrow)

    def test_a_rule_gives_positive_factors(self, transfer: Transfer) -> None:
        """Factors are positive, and 1 if a parameter keeps all of its fans."""
        rule = transfer.update_rule()
        if rule is None:
            return
        for update in _updates():
            factor = rule(update)
            assert factor is None or (math.isfinite(factor) and factor > 0), update
            if update.r_in == update.r_out == 1:
                assert factor in (None, 1), update

    def test_a_rule_travels_to_workers(self, transfer: Transfer) -> None:
        """A pickled copy gives the same factors."""
        rule = transfer.update_rule()
        if rule is not None:
            copied = cloudpickle.loads(cloudpickle.dumps(rule))
            assert [copied(update) for update in _updates()] == [rule(u) for u in _updates()]


def _updates() -> list[Update]:
    """Updates of weights and biases, in several optimizers, with and without normalisation."""
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SGD([weight], lr=0.1, momentum=0.9),
        torch.optim.AdamW([weight]),
        torch.optim.LBFGS([weight]),
    ]
    return [
        Update(name, r_in, r_out, optimizer, optimizer.param_groups[0], has_norms)
        for optimizer in optimizers
        for name, r_in, r_out in (
            ("weight", 0.25, 0.25),
            ("weight", 0.25, 1.0),
            ("weight", 1.0, 1.0),
            ("bias", 1.0, 0.25),
        )
        for has_norms in (True, False)
    ]


def _exponents(transfer: Transfer, space: Space, history: History) -> Mapping[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a transfer may warn that there is nothing to transfer
        return transfer.exponents(space, history)


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

"""The contract of every searcher, as tests."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from proxyhpo._records.history import History
from proxyhpo._records.records import Config, Record, config_key
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.searchers import Searcher
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.testing._random_states import global_random_states

__all__ = ["SearcherContract"]

Loss = Callable[[Config], float | None]

SPACES = {
    "mixed": Space(
        {
            "lr": Float(1e-5, 1, log=True),
            "dropout": Float(0, 0.5, step=0.1),
            "width": Int(16, 512, log=True),
            "layers": Int(1, 4),
            "activation": Choice({"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}),
            "batch": Choice([32, 64, 128]),
        }
    ),
    "conditional": Space(
        {
            "optimizer": Choice(["adam", "sgd"]),
            "beta": Float(0.5, 0.999, when=("optimizer", "adam")),
            "momentum": Float(0, 0.99, when=("optimizer", "sgd")),
            "nesterov": Choice([False, True], when=("optimizer", "sgd")),
            "damping": Float(0, 1, when=("nesterov", False)),
        }
    ),
    "choices": Space({"a": Choice([None, True, 1, 1.5]), "b": Choice(["x", "y", "z", ""])}),
    "constants": Space({"lr": Float(1e-4, 1e-1, log=True), "epochs": 10, "layers": Int(3, 3)}),
    "many": Space({f"x{i}": Float(-1, 1) for i in range(12)}),
}

FINITE = {
    "one value": Space({"a": Choice(["only"]), "b": Int(3, 3)}),
    "choices": Space({"a": Choice([1, 2, 3]), "b": Choice(["x", "y"])}),
    "steps": Space({"a": Float(0, 1, step=0.25), "b": Int(1, 3)}),
    "conditional": Space({"a": Choice([1, 2]), "b": Int(1, 4, when=("a", 2))}),
}


class SearcherContract:
    """Subclass it as ``TestMySearcher`` and provide the fixture ``searcher``.

    ::

        class TestMySearcher(SearcherContract):
            @pytest.fixture
            def searcher(self):
                return MySearcher()
    """

    learns: ClassVar[bool] = True
    """Whether proposals depend on losses; False for random search and similar ones."""

    @pytest.fixture
    def searcher(self) -> Searcher:
        """The searcher to test, with settings that let it use its model after ten trials."""
        raise NotImplementedError

    @pytest.fixture(params=sorted(SPACES))
    def space(self, request: pytest.FixtureRequest) -> Space:
        """Each space that is tested."""
        return SPACES[request.param]

    @pytest.fixture(params=[0, 3, 14])
    def history(self, request: pytest.FixtureRequest, space: Space) -> History:
        """No, a few or many trials: the last two are pending, some failed and some were stopped."""
        return drawn_history(space, request.param)

    def test_valid_configs_of_plain_values(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """Configs are in the space and contain only Python's own types."""
        for config in propose(searcher, space, history, 2):
            assert config_key(space.validate(config)) == config_key(config)
            assert list(space.validate(config)) == list(config)
            for value in config.values():
                assert value is None or type(value) in {bool, int, float, str}

    def test_as_many_as_wanted_and_distinct(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """All configs of a batch are new and distinct; pending ones count as known."""
        if space.size < math.inf:
            pytest.skip("a small space may be exhausted")
        configs = propose(searcher, space, history, 3)
        assert len({config_key(config) for config in configs}) == 3
        assert not any(history.has(config) for config in configs)

    def test_the_history_is_not_changed(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """A searcher does not change the history."""
        before = snapshot(history)
        propose(searcher, space, history, 2)
        assert snapshot(history) == before

    def test_equal_history_and_generator_give_equal_proposals(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """Earlier calls do not affect proposals, not even those of another search."""
        first = propose(searcher, space, history, 2)
        propose(searcher, SPACES["constants"], drawn_history(SPACES["constants"], 11), 1)
        assert propose(searcher, space, history, 2) == first

    def test_a_growing_history_gives_the_proposals_of_a_new_searcher(
        self, searcher: Searcher, space: Space
    ) -> None:
        """What a searcher keeps between proposals affects its speed alone."""
        new, history, earlier = copy.deepcopy(searcher), drawn_history(space, 14), History()
        for trial in history.trials[:12]:
            earlier.add_trial(trial.config)
        for record in history.records[:11]:
            earlier.add_record(record)
        propose(searcher, space, earlier, 2)
        assert propose(searcher, space, history, 2) == propose(new, space, history, 2)

    def test_global_random_state_is_neither_used_nor_changed(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """The generator is the only source of randomness."""
        with preserved_random_state():
            seed_everything(1)
            before = global_random_states()
            first = propose(searcher, space, history, 1)
            assert global_random_states() == before
            seed_everything(2)
            assert propose(searcher, space, history, 1) == first

    def test_a_resumed_study_gets_the_same_proposals(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """A history that was stored and read back gives the same proposals."""
        resumed = History()
        for trial in history.trials:
            resumed.add_trial(json.loads(json.dumps(trial.config)))
        for record in history.records:
            resumed.add_record(Record.from_json(json.loads(json.dumps(record.to_json()))))
        assert propose(searcher, space, resumed, 2) == propose(searcher, space, history, 2)

    def test_order_in_which_trials_ended_does_not_matter(
        self, searcher: Searcher, space: Space, history: History
    ) -> None:
        """Workers may finish in any order."""
        reordered = History()
        for trial in history.trials:
            reordered.add_trial(trial.config)
        for record in reversed(history.records):
            reordered.add_record(record)
        assert propose(searcher, space, reordered, 2) == propose(searcher, space, history, 2)

    @pytest.mark.parametrize("finite", sorted(FINITE))
    @pytest.mark.parametrize("n", [1, 4])
    def test_a_small_space_is_used_up_without_repeats(
        self, searcher: Searcher, finite: str, n: int
    ) -> None:
        """Every config is tried once. Only then may there be no proposals, or repeats."""
        space, history = FINITE[finite], History()
        while len(history.trials) < space.size:
            assert searcher.n_left(space, history) == space.size - len(history.trials)
            configs = propose(searcher, space, history, n)
            assert configs
            for config in configs[: int(space.size) - len(history.trials)]:
                assert not history.has(config)
                tell(history, config, toy_loss(space, config))
        assert searcher.n_left(space, history) == 0
        for config in propose(searcher, space, history, n):
            assert history.has(space.validate(config))

    @pytest.mark.parametrize(
        "loss",
        [None, 0.0, 1e300, -1e300, "huge range"],
        ids=["all failed", "all equal", "all huge", "all tiny", "huge range"],
    )
    def test_any_losses_still_give_proposals(
        self, searcher: Searcher, space: Space, loss: float | str | None
    ) -> None:
        """There are proposals after failures only, equal losses, and finite losses of any size."""
        history, rng = History(), np.random.default_rng(0)
        for number in range(12):
            config = space.sample(rng)
            tell(history, config, (-10.0) ** (25 * number) if isinstance(loss, str) else loss)
        [config] = propose(searcher, space, history, 1)
        space.validate(config)

    def test_failures_are_avoided(self, searcher: Searcher) -> None:
        """Where trainings fail, few are tried, although the best place is close."""
        if not self.learns:
            pytest.skip("losses do not influence what is proposed")
        space = Space({"lr": Float(1e-4, 1, log=True), "momentum": Float(0, 1)})
        failing = [
            diverges_at_large_lr(config) is None
            for seed in range(3)
            for config in searched(searcher, space, 24, diverges_at_large_lr, seed)[12:]
        ]
        assert sum(failing) <= len(failing) / 3  # at random: a half

    def test_losses_are_minimised(self, searcher: Searcher) -> None:
        """The search moves towards low losses; a sign error would move it away."""
        if not self.learns:
            pytest.skip("losses do not influence what is proposed")
        space = Space({"x": Float(0, 1)})
        late = [
            abs(config["x"] - 0.3)
            for seed in range(3)
            for config in searched(searcher, space, 24, lambda c: abs(c["x"] - 0.3), seed)[12:]
        ]
        assert float(np.median(late)) < 0.15  # at random: 0.26


def propose(
    searcher: Searcher, space: Space, history: History, n: int, *, seed: int = 0
) -> list[Config]:
    """Proposals, at most ``n`` of them."""
    configs = searcher.propose(space, history, n, rng=np.random.default_rng(seed))
    assert isinstance(configs, list)
    assert len(configs) <= n
    return configs


def tell(history: History, config: Config, loss: float | None, state: Any = "finished") -> None:
    """Adds a trial that has ended; without a loss it has failed."""
    tell_later(history, history.add_trial(config), loss, state)


def tell_later(history: History, number: int, loss: float | None, state: Any = "finished") -> None:
    """Adds the end of a trial."""
    config = history.trials[number].config
    state = "failed" if loss is None else state
    history.add_record(Record(number, 0, 0, config, config, state, loss, loss))


def searched(
    searcher: Searcher, space: Space, n_trials: int, loss: Loss, seed: int
) -> list[Config]:
    """The configs of a search, in order."""
    history = History()
    for number in range(n_trials):
        [config] = propose(searcher, space, history, 1, seed=1000 * seed + number)
        tell(history, config, loss(config))
    return [trial.config for trial in history.trials]


def drawn_history(space: Space, n_trials: int) -> History:
    """A history of random configs: the last two pending, every fifth failed, some stopped."""
    history, rng = History(), np.random.default_rng(5)
    numbers = [history.add_trial(space.sample(rng)) for _ in range(n_trials)]
    for number in numbers[:-2]:
        loss = None if number % 5 == 4 else toy_loss(space, history.trials[number].config)
        tell_later(history, number, loss, "stopped" if number % 5 == 2 else "finished")
    return history


def toy_loss(space: Space, config: Config) -> float:
    """A quadratic bowl in the unit cube."""
    return float(np.sum((space.encode(config) - 0.3) ** 2))


def diverges_at_large_lr(config: Config) -> float | None:
    """A loss with its minimum at lr = .002, and None above .01."""
    distance = abs(math.log10(config["lr"]) + 2.7) + abs(config["momentum"] - 0.5)
    return None if config["lr"] > 0.01 else distance


def snapshot(history: History) -> tuple[str, str]:
    """The visible content of a history."""
    return repr((history.trials, history.records)), repr(history.openings)

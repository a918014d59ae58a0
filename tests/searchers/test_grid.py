import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from proxyhpo._records.history import History
from proxyhpo._records.records import config_key
from proxyhpo.errors import ArgumentError, ConfigError, UnknownNameError
from proxyhpo.searchers import GridSearcher
from proxyhpo.space import Choice, Float, Int, Space
from tests.space.spaces import SMALL, all_configs, spaces


def propose(searcher, space, history, n):
    """As the engine asks: with another generator at each call."""
    return searcher.propose(space, history, n, rng=np.random.default_rng(len(history.trials)))


def walk(searcher, space, history=None, n=1):
    """The keys of all proposals until there are no more."""
    history, found = history or History(), []
    while proposals := propose(searcher, space, history, n):
        for config in proposals:
            assert not history.has(config)
            history.add_trial(config)
            found.append(config_key(config))
    return found


def axis(searcher, hyperparameter):
    return sorted(c["x"] for c in propose(searcher, Space({"x": hyperparameter}), History(), 10**6))


@given(spaces(SMALL), st.integers(1, 7))
def test_the_grid_is_walked_once_whatever_the_batches(space, n):
    ones, batches = (walk(GridSearcher(), space, n=size) for size in (1, n))
    assert ones == batches
    assert len(ones) == len(set(ones))
    assert set(ones) == set(all_configs(space))


@pytest.mark.parametrize("points", [1, 3])
def test_it_says_how_many_configs_it_has_left(points):
    space = Space({"x": Float(0, 1), "a": Choice([1, 2]), "y": Int(1, 9, when=("a", 2))})
    searcher, history = GridSearcher(points=points), History()
    left = points * (1 + points)
    assert searcher.n_left(space, history) == left == len(walk(searcher, space))
    history.add_trial({"x": 0.123, "a": 1})  # outside of the grid
    while proposals := propose(searcher, space, history, 1):
        assert 0 < searcher.n_left(space, history) <= left
        assert searcher.n_left(space, history) >= left - 1
        history.add_trial(proposals[0])
        left -= 1
    assert searcher.n_left(space, history) == left == 0


@given(spaces(), st.integers(1, 6))
def test_proposals_are_valid(space, points):
    for config in propose(GridSearcher(points=points), space, History(), 20):
        assert config_key(space.validate(config)) == config_key(config)


@given(spaces(SMALL), st.data())
def test_enqueued_trials_neither_repeat_nor_lose_a_config(space, data):
    configs = sorted(all_configs(space).values(), key=config_key)
    enqueued = data.draw(st.lists(st.sampled_from(configs), max_size=5))
    history = History()
    for config in enqueued:
        history.add_trial(config)
    history.add_trial({"from": "elsewhere"})
    found = walk(GridSearcher(), space, history)
    assert len(found) == len(set(found))
    assert set(found) == set(all_configs(space)) - {config_key(c) for c in enqueued}


def test_the_seed_gives_the_order():
    space = Space({"x": Int(1, 30), "y": Choice(["a", "b", "c"])})
    searchers = [GridSearcher(points=30, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (walk(searcher, space) for searcher in searchers)
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
    assert first != sorted(first)


def test_points_are_evenly_spaced_with_the_bounds_among_them():
    assert axis(GridSearcher(), Float(0, 1)) == [0, 0.25, 0.5, 0.75, 1]
    assert axis(GridSearcher(), Float(1e-4, 1, log=True)) == [1e-4, 1e-3, 1e-2, 1e-1, 1]
    assert axis(GridSearcher(points=3), Float(0, 1, step=0.1)) == [0, 0.5, 1]
    assert axis(GridSearcher(points=3), Int(1, 9)) == [1, 5, 9]
    assert axis(GridSearcher(points=4), Int(1, 10**6, log=True))[::3] == [1, 10**6]
    assert axis(GridSearcher(points=1), Float(0, 1)) == [0.5]


def test_short_axes_and_choices_have_all_their_values():
    assert axis(GridSearcher(), Int(1, 5)) == [1, 2, 3, 4, 5]
    assert axis(GridSearcher(), Float(0, 1, step=0.5)) == [0, 0.5, 1]
    assert axis(GridSearcher(points=2), Choice(range(9))) == list(range(9))
    assert axis(GridSearcher(), Float(2, 2)) == [2]
    assert axis(GridSearcher(points=20), Int(1, 30, log=True))[:3] == [1, 2, 3]


def test_given_values():
    space = Space(
        {
            "lr": Float(1e-4, 1, log=True),
            "act": Choice({"relu": nn.ReLU, "gelu": nn.GELU}),
            "m": Float(0, 1, when=("act", "gelu")),
            "epochs": 3,
        }
    )
    searcher = GridSearcher(values={"lr": np.array([1, 0.1, 0.1]), "act": ("relu",)})
    found = propose(searcher, space, History(), 100)
    assert sorted(config["lr"] for config in found) == [0.1, 1.0]
    assert {type(config["lr"]) for config in found} == {float}
    assert all(config["epochs"] == 3 and "m" not in config for config in found)


def test_an_immense_grid_is_never_listed():
    space = Space({f"x{i:02}": Float(0, 1) for i in range(40)})
    found = propose(GridSearcher(points=1000), space, History(), 50)
    assert len({config_key(config) for config in found}) == 50
    means = np.array([[config[name] for name in space] for config in found]).mean(axis=0)
    assert np.abs(means - 0.5).max() < 0.2  # every axis is seen evenly from the start


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"points": 0}, "points must be a whole number >= 1, got 0"),
        ({"points": 2.5}, "points must be a whole number >= 1, got 2.5"),
        ({"points": True}, "points must be a whole number >= 1, got True"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"values": {"lr": 0.1}}, "values: 'lr' must be a list of at least one value, got 0.1"),
        ({"values": {"lr": []}}, "values: 'lr' must be a list of at least one value, got []"),
        ({"values": {"opt": "sgd"}}, "values: 'opt' must be a list"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ArgumentError) as error:
        GridSearcher(**settings)
    assert words in str(error.value)


def test_values_that_do_not_fit_the_space_are_refused():
    space, history = Space({"lr": Float(0, 1), "epochs": 3}), History()
    with pytest.raises(UnknownNameError, match="did you mean 'lr'"):
        propose(GridSearcher(values={"lrr": [1]}), space, history, 1)
    with pytest.raises(UnknownNameError, match="epochs"):
        propose(GridSearcher(values={"epochs": [3]}), space, history, 1)
    with pytest.raises(ConfigError, match=r"values of the grid: 'lr' must be a number in"):
        propose(GridSearcher(values={"lr": [2]}), space, history, 1)

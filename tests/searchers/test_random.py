import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._records.history import History
from proxyhpo._records.records import config_key
from proxyhpo.searchers import RandomSearcher
from proxyhpo.space import Choice, Float, Int, Space
from tests.space.spaces import SMALL, all_configs, spaces


def rng(seed=0):
    return np.random.default_rng(seed)


def keys(configs):
    return [config_key(config) for config in configs]


@given(spaces(SMALL), st.integers(1, 7), st.integers(0, 99))
def test_a_finite_space_is_used_up_to_its_last_config(space, n, seed):
    history, generator = History(), rng(seed)
    while proposals := RandomSearcher().propose(space, history, n, rng=generator):
        for config in proposals:
            assert not history.has(config)
            history.add_trial(config)
    assert sorted(keys(trial.config for trial in history.trials)) == sorted(all_configs(space))


@given(spaces(), st.integers(1, 20), st.integers(0, 99))
def test_proposals_are_valid_distinct_and_repeatable(space, n, seed):
    first, second = (RandomSearcher().propose(space, History(), n, rng=rng(seed)) for _ in range(2))
    assert keys(first) == keys(second)
    assert len(set(keys(first))) == len(first) == min(n, space.size)
    assert keys(map(space.validate, first)) == keys(first)


def test_a_rare_value_is_found():
    space = Space({"a": Int(1, 20_000, log=True)})  # draws take the last ones once in 200,000 times
    history = History()
    for value in range(1, 19_999):
        history.add_trial({"a": value})
    found = RandomSearcher().propose(space, history, 5, rng=rng())
    assert sorted(config["a"] for config in found) == [19_999, 20_000]


def test_a_rare_branch_of_an_infinite_space_is_found():
    space = Space({"a": Choice(range(100)), "b": Float(0, 1, when=("a", 7))})
    history = History()
    for value in range(100):
        if value != 7:
            history.add_trial({"a": value})
    found = RandomSearcher().propose(space, history, 3, rng=rng())
    assert [config["a"] for config in found] == [7, 7, 7]


def test_a_range_of_few_floats_ends():
    space = Space({"a": Float(1, 1 + 1e-15)})
    assert 0 < len(RandomSearcher().propose(space, History(), 50, rng=rng())) < 10


@pytest.mark.parametrize("n", [1, 10])
def test_different_generators_give_different_configs(n):
    space = Space({"a": Float(0, 1)})
    first, second = (RandomSearcher().propose(space, History(), n, rng=rng(s)) for s in (0, 1))
    assert not set(keys(first)) & set(keys(second))

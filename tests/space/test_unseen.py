from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._records.history import History
from proxyhpo._records.records import config_key
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.space._unseen import Unseen
from tests.space.spaces import spaces

SMALL = Space({"a": Choice(["x", "y"]), "b": Int(1, 4, when=("a", "y"))})


def unseen(space, configs=(), seed=0):
    history = History()
    for config in configs:
        history.add_trial(config)
    return Unseen(space, history, np.random.default_rng(seed))


@given(spaces(), st.integers(0, 2**32))
def test_draws_are_new_valid_and_distinct(space, seed):
    tried = [space.center()]
    keys = [config_key(space.validate(c)) for c in islice(unseen(space, tried, seed).draws(), 6)]
    assert len(keys) == min(6, space.size - 1)
    assert len({*keys, *map(config_key, tried)}) == len(keys) + 1


def test_a_finite_space_is_drawn_to_its_last_config():
    new = unseen(SMALL, [{"a": "x"}])
    assert sorted(config["b"] for config in new.draws()) == [1, 2, 3, 4]
    assert new.near(np.array([0.5, 0.5])) is None
    assert not list(new.all())


def test_taken_configs_are_not_new_but_the_history_is_unchanged():
    new = unseen(SMALL)
    assert {"a": "x"} in new
    assert new.take({"a": "x"}) == {"a": "x"}
    assert {"a": "x"} not in new
    assert {"a": "x"} in unseen(SMALL)


def test_near_changes_one_axis_where_that_is_enough():
    space = Space({name: Int(1, 9) for name in "abcd"})
    tried = space.center()
    for seed in range(20):
        found = unseen(space, [tried], seed).near(space.encode(tried))
        assert sum(found[name] != tried[name] for name in "abcd") == 1


def test_near_changes_more_axes_where_it_has_to():
    space = Space({"a": Choice([0, 1]), "b": Choice([0, 1])})
    tried = [{"a": 0, "b": 0}, {"a": 0, "b": 1}, {"a": 1, "b": 0}]
    assert unseen(space, tried).near(space.encode(tried[0])) == {"a": 1, "b": 1}


def test_an_infinite_space_may_have_rare_branches():
    space = Space({"a": Int(1, 50), "b": Float(0, 1, when=("a", 50))})
    tried = [{"a": a} for a in range(1, 50)]
    assert unseen(space, tried).near(space.encode({"a": 1}))["a"] == 50

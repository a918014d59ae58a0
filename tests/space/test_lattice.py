import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._records.records import config_key
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.space._lattice import Lattice, shuffled
from tests.space.spaces import SMALL, all_configs, spaces


@given(spaces(SMALL))
def test_every_config_has_one_number(space):
    lattice = Lattice(space)
    numbered = [config_key(lattice[number]) for number in range(lattice.size)]
    assert len(numbered) == len(set(numbered))
    assert set(numbered) == set(all_configs(space))


@given(spaces(SMALL), st.data())
def test_some_values_of_each_axis(space, data):
    axes = {}
    for name in space.names:
        indices = st.sampled_from(range(len(space[name].values)))
        chosen = data.draw(st.lists(indices, min_size=1, unique=True))
        axes[name] = [space[name].values[index] for index in chosen]
    lattice = Lattice(space, axes)
    numbered = {config_key(lattice[number]) for number in range(lattice.size)}
    assert len(numbered) == lattice.size
    assert numbered == set(all_configs(space, axes))


def test_axes_too_long_to_list():
    space = Space(
        {
            "a": Int(0, 2**60),
            "b": Float(0, 1e9, step=0.001, when=("a", [7, 2**59])),
            "c": Choice(["x", "y"]),
        }
    )
    lattice = Lattice(space)
    assert lattice.size == 2 * (2 * (10**12 + 1) + 2**60 - 1)
    seen = [lattice[k * (lattice.size - 1) // 999] for k in range(1000)]
    assert len({config_key(config) for config in seen}) == 1000
    assert any("b" in config for config in seen[:5])


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_outside_is_refused(number):
    with pytest.raises(IndexError):
        Lattice(Space({"a": Int(1, 3)}))[number]


@given(st.integers(1, 300), st.integers(0, 2**64))
def test_shuffling_is_a_permutation(size, seed):
    assert sorted(shuffled(k, size, seed=seed) for k in range(size)) == list(range(size))


@given(st.sampled_from([10**12, 10**40, 10**400]), st.integers(0, 99))
def test_shuffling_a_large_range(size, seed):
    found = [shuffled(k, size, seed=seed) for k in range(50)]
    assert len(set(found)) == 50
    assert all(0 <= k < size for k in found)
    assert min(found) < size // 4
    assert max(found) > size - size // 4


def test_seeds_shuffle_differently():
    orders = {tuple(shuffled(k, 10, seed=seed) for k in range(10)) for seed in range(100)}
    assert len(orders) > 95


def test_every_place_is_equally_likely():
    firsts = [shuffled(0, 5, seed=seed) for seed in range(2000)]
    assert all(330 < firsts.count(k) < 470 for k in range(5))

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.errors import ConfigError
from proxyhpo.space._values import Steps, bin_centre, find, in_bin


@given(st.integers(0, 50))
def test_steps_behave_as_the_list_of_them(n):
    steps = Steps(0.5, 0.5 + n * 0.1, 0.1)
    listed = list(steps)
    assert len(steps) == len(listed) == n + 1
    assert steps[1:-1] == listed[1:-1]
    assert [steps.index(value) for value in listed] == list(range(n + 1))
    assert steps[-1] == listed[-1]
    with pytest.raises(IndexError):
        steps[n + 1]


@pytest.mark.parametrize("value", [0.05, 1.0, -0.1])
def test_steps_do_not_find_other_values(value):
    steps = Steps(0.0, 0.9, 0.1)
    assert value not in steps
    assert find(steps, value) is None


def test_find_looks_at_the_type():
    assert [find([1, 1.0, True], value) for value in (1, 1.0, True, "1")] == [0, 1, 2, None]
    assert find(range(2**62), 2**61) == 2**61
    assert find(range(0, 10, 2), 3) is None


@given(st.integers(1, 2**52), st.data())
def test_bins_are_inverse(n, data):
    index = data.draw(st.integers(0, n - 1))
    assert in_bin(range(n), bin_centre(range(n), index)) == index


def test_a_value_without_a_bin_is_refused():
    with pytest.raises(ConfigError, match="3 is not among the values"):
        bin_centre([1, 2], 3)

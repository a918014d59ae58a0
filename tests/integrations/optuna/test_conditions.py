"""A condition is accepted if it is exact in all runs and confirmed by enough independent ones."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyhpo import Choice, Float, Int, Space
from proxyhpo.integrations.optuna._conditions import Run, can_decide, with_conditions

DOMAINS = {"a": Int(1, 3), "b": Choice(["x", "y"]), "c": Float(0, 1)}


def when(suggests_c):
    """The condition of c, from runs of all combinations of a and b."""
    runs = 3 * [
        Run({"a": a, "b": b, **({"c": 0.5} if suggests_c(a, b) else {})})
        for a, b in product((1, 2, 3), "xy")
    ]
    return with_conditions(DOMAINS, runs)["c"].when


@pytest.mark.parametrize(
    ("suggests_c", "expected"),
    [
        (lambda a, b: True, None),
        (lambda a, b: a >= 2, ("a", (2, 3))),
        (lambda a, b: b == "y", ("b", ("y",))),
        (lambda a, b: a == 3 and b == "y", None),
        (lambda a, b: a == 3 or b == "y", None),
    ],
)
def test_the_condition_is_what_one_parent_decides_alone(suggests_c, expected):
    assert when(suggests_c) == expected


@settings(max_examples=30)
@given(st.sets(st.tuples(st.integers(1, 3), st.sampled_from("xy")), min_size=1))
def test_every_config_that_needs_a_parameter_has_it(needs):
    runs = 3 * [
        Run({"a": a, "b": b, **({"c": 0.5} if (a, b) in needs else {})})
        for a, b in product((1, 2, 3), "xy")
    ]
    space = Space(with_conditions(DOMAINS, runs))
    assert all(space.is_active("c", {"a": a, "b": b}) for a, b in needs)


def test_a_condition_may_depend_on_a_parameter_that_has_one():
    domains = {"a": Choice([0, 1]), "b": Choice([0, 1]), "c": Float(0, 1)}
    runs = 6 * [Run({"a": 0}), Run({"a": 1, "b": 0}), Run({"a": 1, "b": 1, "c": 0.5})]
    found = with_conditions(domains, runs)
    assert (found["b"].when, found["c"].when) == (("a", (1,)), ("b", (1,)))


def test_a_run_that_failed_says_nothing_of_what_it_did_not_reach():
    runs = 6 * [Run({"a": 1}, is_whole=False), Run({"a": 2, "c": 0.5}), Run({"a": 3, "c": 0.5})]
    assert with_conditions({"a": Int(1, 3), "c": Float(0, 1)}, runs)["c"].when is None


def test_true_and_one_are_different_values():
    domains = {"a": Choice([True, 1]), "c": Float(0, 1)}
    runs = 6 * [Run({"a": True, "c": 0.5}), Run({"a": 1})]
    assert with_conditions(domains, runs)["c"].when == ("a", (True,))


@pytest.mark.parametrize(
    "runs",
    [
        5 * [Run({"b": "x"}), Run({"b": "y", "c": 0.5})],
        6 * [Run({"b": "x"}), Run({"b": "y", "c": 0.5}, is_independent=False)],
        [*6 * [Run({"b": "x"}), Run({"b": "y", "c": 0.5})], Run({"b": "y"}, is_independent=False)],
    ],
)
def test_few_or_dependent_runs_confirm_nothing_and_each_run_can_contradict(runs):
    assert with_conditions(DOMAINS, runs)["c"].when is None


def test_what_can_decide():
    assert [can_decide(d) for d in (Int(1, 10), Int(1, 11), Int(3, 3), Float(0, 1, step=0.5))] == [
        *(True, False, False, False)
    ]

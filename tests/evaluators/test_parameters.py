"""Optional parameters are passed to functions that have them, and to no others."""

import functools

import pytest

from proxyhpo.evaluators._parameters import call_for_trial, takes
from tests.integrations.reports import run


def test_a_function_with_the_parameter_gets_the_trial():
    def make(config, trial):
        return config, trial.name

    assert call_for_trial(make, 1, trial=run()) == (1, "trial-0-rung-0")
    assert call_for_trial(functools.partial(make, trial=run(seed=3)), 1, trial=run()) == (
        1,
        "trial-0-rung-0",
    )


@pytest.mark.parametrize("make", [dict, lambda config: config, lambda config, **_: config])
def test_other_functions_do_not(make):
    assert not takes(make, "trial")
    assert call_for_trial(make, {}, trial=run()) == {}

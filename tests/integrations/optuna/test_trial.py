"""A trial answers what a script asks, and refuses what its config does not have."""

import optuna
import pytest

from proxyhpo import Choice, Float, Int
from proxyhpo.errors import SpaceError
from proxyhpo.integrations.optuna._trial import ConfigAnswer, ScriptTrial


def trial(config, domains=None, report=None):
    return ScriptTrial(ConfigAnswer(config, domains), report, number=3)


def test_suggestions_come_from_the_config():
    asked = trial({"lr": 0.01, "units": 32, "kind": "sgd"})
    assert asked.suggest_float("lr", 1e-4, 1, log=True) == 0.01
    assert asked.suggest_int("units", 16, 64, step=16) == 32
    assert asked.params == {"lr": 0.01, "units": 32}
    assert asked.suggest_categorical("kind", ["adam", "sgd"]) == "sgd"
    assert asked.distributions == {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1, log=True),
        "units": optuna.distributions.IntDistribution(16, 64, step=16),
        "kind": optuna.distributions.CategoricalDistribution(["adam", "sgd"]),
    }
    asked.set_user_attr("note", "kept for the objective itself")
    assert (asked.number, asked.user_attrs) == (3, {"note": "kept for the objective itself"})


def test_a_parameter_that_the_config_lacks_is_named_with_the_way_out():
    with pytest.raises(SpaceError, match=r"'late' is not in .* Suggest it before.* pass space="):
        trial({"lr": 0.1}).suggest_float("late", 0, 1)


def test_a_parameter_whose_condition_is_wrong_has_its_middle_value_and_one_warning(caplog):
    domains = {
        "rate": Float(0, 1, when=("kind", "b")),
        "act": Choice({"(1,)": (1,)}, when=("kind", "b")),
    }
    for _ in range(2):
        assert trial({"kind": "a"}, domains).suggest_float("rate", 0, 1) == 0.5
    assert trial({"kind": "a"}, domains).suggest_categorical("act", [(1,)]) == (1,)
    first, second = (record.message for record in caplog.records)
    assert "'rate' is not in the config" in first
    assert "'act' is not in the config" in second


def test_bounds_other_than_those_found_are_refused():
    domains = {"units": Int(8, 64), "kind": Choice(["a", "b"])}
    asked = trial({"units": 8, "kind": "a"}, domains)
    assert asked.suggest_int("units", 8, 64) == 8
    with pytest.raises(SpaceError, match=r"'units' must have the same bounds .* Int\(8, 32\)"):
        asked.suggest_int("units", 8, 32)
    with pytest.raises(SpaceError, match="'kind' must have the same bounds or options"):
        asked.suggest_categorical("kind", ["a", "c"])


def test_a_condition_does_not_make_bounds_differ():
    domains = {"momentum": Float(0, 0.9, when=("kind", "b"))}
    assert trial({"momentum": 0.5}, domains).suggest_float("momentum", 0, 0.9) == 0.5


def test_invalid_options_are_refused_with_the_name_of_the_parameter():
    with pytest.raises(SpaceError, match=r"parameter 'kind': .*'a' occurs twice"):
        trial({"kind": "a"}).suggest_categorical("kind", ["a", "a"])


def test_should_prune_says_what_the_last_report_was_told():
    heard = []
    asked = trial({}, report=lambda value, step: heard.append(value) or len(heard) == 2)
    told = []
    for step in range(2):
        asked.report(step / 10, step)
        told.append(asked.should_prune())
    assert told == [False, True]
    assert heard == asked.reported == [0.0, 0.1]
    with pytest.raises(optuna.TrialPruned):
        asked.report(0.2, 2)
    assert heard == [0.0, 0.1]


def test_a_second_report_at_a_step_is_ignored_as_in_optuna():
    heard = []
    asked = trial({}, report=lambda value, step: heard.append((value, step)))
    asked.report(0.3, 5)
    with pytest.warns(UserWarning, match=r"0\.2 is ignored because step 5 was reported before"):
        asked.report(0.2, 5)
    asked.report(0.1, 10)
    assert heard == [(0.3, 5), (0.1, 10)]
    assert asked.reported == [0.3, 0.1]

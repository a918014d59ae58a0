"""The space of a script is found by running it."""

import optuna
import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, Int
from proxyhpo.errors import ArgumentError, SpaceError
from proxyhpo.integrations.optuna import _discovery
from proxyhpo.integrations.optuna._discovery import find_space


def found(objective, define_model=lambda trial: nn.Linear(4, 2)):
    return dict(find_space(define_model, objective).space)


def call(network):
    network(torch.zeros(8, 4))
    raise AssertionError("the run has not ended")


def test_layers_whose_number_is_a_parameter_get_conditions():
    def define_model(trial):
        n_layers = trial.suggest_int("n_layers", 1, 3)
        rates = [trial.suggest_float(f"dropout_{i}", 0, 0.5) for i in range(n_layers)]
        return nn.Sequential(*map(nn.Dropout, rates))

    def objective(trial, network):
        trial.suggest_float("lr", 1e-4, 1, log=True)
        call(network)

    space = find_space(define_model, objective)
    assert space.space == {
        "n_layers": Int(1, 3),
        "dropout_0": Float(0, 0.5),
        "dropout_1": Float(0, 0.5, when=("n_layers", (2, 3))),
        "dropout_2": Float(0, 0.5, when=("n_layers", (3,))),
        "lr": Float(1e-4, 1, log=True),
    }
    assert space.inputs.shape == (8, 4)


def test_choices_may_be_nested_and_options_may_be_objects():
    def objective(trial, network):
        kind = trial.suggest_categorical("kind", [None, "step", "cosine"])
        if kind == "step" and trial.suggest_categorical("act", [nn.ReLU, nn.Tanh]) is nn.Tanh:
            trial.suggest_float("gain", 1, 2)

    assert found(objective) == {
        "kind": Choice([None, "step", "cosine"]),
        "act": Choice({"ReLU": nn.ReLU, "Tanh": nn.Tanh}, when=("kind", ("step",))),
        "gain": Float(1, 2, when=("act", ("Tanh",))),
    }


@pytest.mark.parametrize("flip", [False, True])
def test_what_depends_on_two_choices_is_found_too(flip):
    def objective(trial, network):
        one = trial.suggest_categorical("one", [False, True])
        two = trial.suggest_categorical("two", [False, True])
        if one is flip and two is flip:
            trial.suggest_float("both", 0, 1)

    assert found(objective)["both"].when in {("one", (flip,)), ("two", (flip,))}


def test_it_is_the_same_space_each_time_and_whatever_the_seed():
    def objective(trial, network):
        for i in range(trial.suggest_int("n", 0, 4)):
            trial.suggest_categorical(f"x{i}", "abc")

    first = found(objective)
    torch.manual_seed(7)
    again = found(objective)
    assert first == again
    assert list(first) == list(again)


def test_a_parameter_suggested_after_the_first_call_is_not_found():
    def objective(trial, network):
        trial.suggest_float("lr", 0, 1)
        network(torch.zeros(8, 4))
        trial.suggest_float("late", 0, 1)

    assert list(found(objective)) == ["lr"]


def test_bounds_that_depend_on_another_parameter_are_refused():
    def objective(trial, network):
        trial.suggest_int("narrow", 4, trial.suggest_int("wide", 4, 128))

    with pytest.raises(SpaceError, match=r"'narrow' must have the same bounds .* ProxyHPO\(build"):
        found(objective)


def test_combinations_that_the_script_prunes_do_not_matter():
    def objective(trial, network):
        n = trial.suggest_int("n", 1, 4)
        if n == 3:
            raise optuna.TrialPruned
        trial.suggest_float("lr", 0, 1)

    assert found(objective) == {"n": Int(1, 4), "lr": Float(0, 1)}


def test_functions_that_always_fail_are_refused_with_their_exception():
    def objective(trial, network):
        return trial.suggest_float("lr", 0, 1) / 0

    with pytest.raises(ArgumentError, match=r"first 5 runs.*ZeroDivisionError") as caught:
        found(objective)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_script_without_parameters_is_refused():
    with pytest.raises(SpaceError, match="suggest no parameter before the network is called"):
        found(lambda trial, network: call(network))


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(_discovery, "_MOST_RUNS", 20)

    def objective(trial, network):
        for i in range(4):
            trial.suggest_int(f"x{i}", 0, 8)

    with pytest.raises(SpaceError, match=r"not found in 20 runs.*x0, x1, x2, x3.*Pass space="):
        found(objective)

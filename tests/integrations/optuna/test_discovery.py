"""The space of a script is found by running it."""

import re

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from proxyhpo import Choice, Float, Int, Space
from proxyhpo._progress.status import duration_words
from proxyhpo.errors import ArgumentError, SpaceError
from proxyhpo.integrations.optuna import _discovery
from proxyhpo.integrations.optuna._discovery import find_space
from proxyhpo.integrations.optuna._trial import ConfigAnswer, ScriptTrial


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
    assert space.inputs[0].shape == (8, 4)


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
def test_what_depends_on_two_choices_is_part_of_every_config(flip):
    def objective(trial, network):
        one = trial.suggest_categorical("one", [False, True])
        two = trial.suggest_categorical("two", [False, True])
        if one is flip and two is flip:
            trial.suggest_float("both", 0, 1)

    assert found(objective)["both"] == Float(0, 1)


def test_what_depends_on_a_range_is_not_attributed_to_a_choice():
    def on_a_float(trial, network):
        trial.suggest_float("lr", 1e-3, 0.1, log=True)
        trial.suggest_categorical("optimizer", ["SGD", "Adam"])
        trial.suggest_int("bs", 16, 64, step=16)
        if trial.suggest_float("wd", 0, 0.1) > 0.05:
            trial.suggest_float("decay_end", 0, 1)

    def on_a_long_range(trial, network):
        trial.suggest_categorical("optimizer", ["SGD", "Adam", "RMSprop"])
        trial.suggest_categorical("bs", [16, 32, 64, 128])
        if trial.suggest_int("warmup", 0, 20) > 0:
            trial.suggest_float("warm_lr", 0.01, 1)

    assert found(on_a_float)["decay_end"] == Float(0, 1)
    assert found(on_a_long_range)["warm_lr"] == Float(0.01, 1)


def test_what_either_of_two_choices_needs_is_part_of_every_config():
    def objective(trial, network):
        name = trial.suggest_categorical("optimizer", list("abcdefgh"))
        sched = trial.suggest_categorical("sched", ["none", "step", "cos", "poly"])
        if name == "d" or sched == "cos":
            trial.suggest_float("either", 0.5, 1)
        if name == "d":
            trial.suggest_float("one", 0.5, 1)

    space = found(objective)
    assert space["either"] == Float(0.5, 1)
    assert space["one"] == Float(0.5, 1, when=("optimizer", ("d",)))


TERMS = st.one_of(
    st.tuples(st.just("a"), st.sampled_from([1, 2, 3])),
    st.tuples(st.just("b"), st.sampled_from("xy")),
    st.tuples(st.just("long"), st.integers(20, 80)),
    st.tuples(st.just("real"), st.floats(0.2, 0.8)),
)
PROGRAMS = st.lists(
    st.tuples(TERMS, st.sampled_from([all, any]), TERMS, st.booleans()), min_size=1, max_size=3
)


@settings(max_examples=5, derandomize=True)  # the runs are random: rare cases may be missed
@given(PROGRAMS, st.integers(0, 99))
def test_every_config_of_the_space_has_what_a_script_asks_for(program, seed):
    def script(trial):
        values = {
            "a": trial.suggest_int("a", 1, 3),
            "b": trial.suggest_categorical("b", ["x", "y"]),
            "long": trial.suggest_int("long", 0, 100),
            "real": trial.suggest_float("real", 0, 1),
        }
        for i, (one, combine, two, nested) in enumerate(program):
            if combine(_holds(term, values) for term in (one, two)):
                act = trial.suggest_categorical(f"act{i}", ["r", "t"])
                if nested and act == "t":
                    trial.suggest_float(f"gain{i}", 1, 2)

    space = Space(found(lambda trial, network: script(trial)))
    rng = np.random.default_rng(seed)
    for _ in range(50):
        script(ScriptTrial(ConfigAnswer(space.sample(rng))))  # raises if one is missing


def _holds(term, values):
    name, value = term
    return values[name] > value if name in {"long", "real"} else values[name] == value


def conditional(trial, network):
    if trial.suggest_categorical("kind", list("abcd")) == "b":
        trial.suggest_float("extra", 0, 1)


def test_a_condition_that_takes_too_many_runs_to_confirm_is_dropped(monkeypatch, caplog):
    assert found(conditional)["extra"].when == ("kind", ("b",))
    monkeypatch.setattr(_discovery, "_MOST_CONFIRMING_RUNS", 1)
    assert found(conditional)["extra"].when is None
    assert "did not confirm the conditions of extra" in caplog.text


@pytest.mark.parametrize("seconds", [2.5, 1000.0])
def test_slow_runs_find_the_same_space_and_are_warned_of_once(monkeypatch, caplog, seconds):
    now = [0.0]
    monkeypatch.setattr(_discovery, "perf_counter", lambda: now[0])

    def slow(trial, network):
        now[0] += seconds
        conditional(trial, network)

    assert found(slow) == found(conditional)
    (warning,) = caplog.messages
    found_in = re.search(r"take at least (.+): the objective is run at least (\d+) times", warning)
    total, runs = found_in.groups()
    assert total == duration_words(seconds * int(runs))
    assert 10 < int(runs) <= now[0] / seconds
    assert "load data outside of the objective, or pass space=" in warning


def test_a_first_run_that_fills_a_cache_is_no_reason_to_warn(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(_discovery, "perf_counter", lambda: now[0])

    def caching(trial, network):
        now[0] = 1000.0
        conditional(trial, network)

    found(caching)
    assert not caplog.records


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

"""Public test functions as small spaces: hyperopt's domains and scikit-optimize's benchmarks.

Each loss takes a config and a generator for its noise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from skopt import benchmarks

from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo.space import Choice, Float, Space


@dataclass(frozen=True)
class Function:
    space: Space
    loss: Callable
    threshold: float
    """What hyperopt's own tests ask of the least loss (of hart6: more than random search gives)."""


def function(threshold, **hyperparameters):
    return lambda loss: Function(Space(hyperparameters), loss, threshold)


@function(1e-5, x=Float(-5, 5))
def quadratic1(config, rng):
    return (config["x"] - 3) ** 2


@function(0.01, x=Float(math.exp(-6), math.exp(6), log=True))  # three deviations of its lognormal
def q1_lognormal(config, rng):
    return min(0.1 * (config["x"] - 10) ** 2, 10)


@function(-1.96, x=Float(-15, 15))
def distractor(config, rng):
    """A narrow peak at -10 and a long slope that leads away from it."""
    return -1 / (1 + math.exp(-config["x"])) - 2 * math.exp(-((config["x"] + 10) ** 2))


@function(-2.0, x=Float(-20, 20), amp=Float(0, 1), waves=Choice([False, True]))
def gauss_wave2(config, rng):
    waves = config["amp"] * math.sin(config["x"]) if config["waves"] else 0
    return -(rng.normal(0, 0.1) + 2 * math.exp(-((config["x"] / 5) ** 2)) + waves)


@function(-2.5, arm=Choice([0, 1]), pull=Float(0, 1))  # a pull makes each trial a new config
def n_arms(config, rng):
    return rng.normal(-1 if config["arm"] == 0 else 0, 1)


@function(0.7, x=Float(-5, 10), y=Float(0, 15))
def branin(config, rng):
    return benchmarks.branin((config["x"], config["y"]))


@function(-2.5, **{f"x{i}": Float(0, 1) for i in range(6)})  # its least value is -3.32
def hart6(config, rng):
    return benchmarks.hart6([config[f"x{i}"] for i in range(6)])


FUNCTIONS = {
    "quadratic1": quadratic1,
    "q1_lognormal": q1_lognormal,
    "distractor": distractor,
    "gauss_wave2": gauss_wave2,
    "n_arms": n_arms,
    "branin": branin,
    "hart6": hart6,
}


def search(searcher, space, loss, n_trials, *, seed=0, batch=1):
    """The history of a search in batches; equal seeds mean equal noise, whatever the searcher."""
    history = History()
    while len(history.trials) < n_trials:
        rng = np.random.default_rng([seed, len(history.trials)])
        for config in searcher.propose(space, history, batch, rng=rng):
            history.add_trial(config)
        for number, trial in enumerate(history.trials):
            if trial.state == "pending":
                value = float(loss(trial.config, np.random.default_rng([1, seed, number])))
                record = Record(number, 0, 0, trial.config, trial.config, "finished", value, value)
                history.add_record(record)
    return history


def least_loss(searcher, function, n_trials, *, batch=1, seeds=3):
    """The least loss found, as the median over seeds."""
    space, loss = function.space, function.loss
    histories = [
        search(searcher, space, loss, n_trials, seed=seed, batch=batch) for seed in range(seeds)
    ]
    return float(np.median([min(trial.loss for trial in h.trials) for h in histories]))

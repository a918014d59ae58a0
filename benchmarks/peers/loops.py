"""The searches that ``benchmarks.peers`` compares, each by its library's own loop.

All train with the same code, on the same space. A *loop* searches a problem. After each complete
training of the full network, it reports which config its library would return if the search ended
there. A hyperparameter that depends on another one is suggested only where it applies if the
library can do that; otherwise it is always suggested, and left out of the config where it does not
apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from benchmarks.peers.tasks import Problem
from proxyhpo import Choice, Config, Int, ProxyHPO, Record, Space

__all__ = ["PEERS", "Loop", "Note"]


class Note(Protocol):
    """Called after each complete training of the full network."""

    def __call__(self, config: Config, value: float, best: Config | None = None) -> None:
        """Notes a training.

        Args:
            config: that was trained.
            value: its validation accuracy.
            best: the config that the search would return now; by default that of the training with
                the highest value so far.
        """


Loop = Callable[[Problem, int, int, Note], None]
"""(problem, how many trials, seed, what to call after each training)."""


def ours(times: float = 1.0, *, as_long: bool = False, **options: Any) -> Loop:
    """A search by proxyhpo, with its defaults except for the options.

    Args:
        times: factor by which the number of trials is multiplied, because trials are cheap.
        as_long: whether to search until the cost is as many base trainings as there are trials.
        options: of :class:`~proxyhpo.ProxyHPO`.
    """
    import_module("hyperopt")  # as the other libraries, before the time of a search begins

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        def announced(record: Record) -> None:
            if not hpo.ladder[record.rung].is_base or record.state != "finished":
                return
            assert record.value is not None, "a finished training has a value"
            # A config that was trained under several seeds counts with its mean.
            note(record.config, record.value, hpo.result.best_config)

        hpo = ProxyHPO(
            problem.task.build,
            problem.train,
            problem.space,
            example_inputs=problem.examples.train[0][:64],
            direction="maximize",
            seed=seed,
            progress=False,
            callbacks=[announced],
            **options,
        )
        if as_long:
            hpo.run(base_trainings=trials)
        else:
            hpo.run(round(times * trials))

    return loop


def random() -> Loop:
    """Random search (Bergstra and Bengio, 2012)."""

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        rng = np.random.default_rng(seed)
        for number in range(trials):
            config = problem.space.sample(rng)
            note(config, problem.value(config, 0, seed, number))

    return loop


def one_epoch() -> Loop:
    """Trains each random config for one epoch, then the best three in full (arXiv:2307.15422)."""

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        rng = np.random.default_rng(seed)
        configs = [problem.space.sample(rng) for _ in range(trials)]
        short = [problem.value(c, 0, seed, number, epochs=1) for number, c in enumerate(configs)]
        for number in np.argsort(short)[::-1][:3]:
            config = configs[number]
            note(config, problem.value(config, 0, seed, trials + int(number)))

    return loop


def optuna_sampler(name: str) -> Loop:
    """A sampler of Optuna, with complete trainings."""
    import optuna  # noqa: PLC0415 - optional

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        def objective(trial: Any) -> float:
            config = _suggested(trial, problem.space)
            value = problem.value(config, 0, seed, trial.number)
            note(config, value)
            return value

        sampler = getattr(optuna.samplers, name)(seed=seed)
        optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, trials)

    return loop


def optuna_hyperband() -> Loop:
    """Optuna's TPE with its Hyperband pruner, for as many epochs as complete trainings have."""
    import optuna  # noqa: PLC0415 - optional

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        epochs = 0

        def objective(trial: Any) -> float:
            nonlocal epochs
            config = _suggested(trial, problem.space)
            value = math.nan
            for epoch, (_, value) in enumerate(problem.trained(config, 0, seed, trial.number), 1):
                epochs += 1
                trial.report(value, epoch)
                if epoch < problem.epochs and trial.should_prune():
                    raise optuna.TrialPruned
            note(config, value)
            return value

        def ended(study: Any, _: Any) -> None:
            if epochs >= trials * problem.epochs:
                study.stop()

        optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(1, problem.epochs),
        ).optimize(objective, callbacks=[ended])

    return loop


def _suggested(trial: Any, space: Space) -> Config:
    config: dict[str, Any] = {}
    for name in space.names:
        if space.is_active(name, config):
            domain = space[name]
            if isinstance(domain, Choice):
                config[name] = trial.suggest_categorical(name, list(domain.values))
            elif isinstance(domain, Int):
                config[name] = trial.suggest_int(name, domain.low, domain.high, log=domain.log)
            else:
                config[name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return config


def scikit_optimize() -> Loop:
    """Scikit-optimize's ``gp_minimize``."""
    import skopt  # noqa: PLC0415 - slow to import

    def dimension(domain: Any) -> Any:
        if isinstance(domain, Choice):
            return skopt.space.Categorical(list(domain.values))
        kind = skopt.space.Integer if isinstance(domain, Int) else skopt.space.Real
        return kind(domain.low, domain.high, "log-uniform" if domain.log else "uniform")

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        number = iter(range(trials))
        space = problem.space

        def objective(point: list[Any]) -> float:
            config = _applicable(dict(zip(space.names, point, strict=True)), space)
            value = problem.value(config, 0, seed, next(number))
            note(config, value)
            return -value

        skopt.gp_minimize(
            objective,
            [dimension(space[name]) for name in space.names],
            n_calls=trials,
            n_initial_points=min(10, trials),
            random_state=seed,
        )

    return loop


def hyperopt_tpe() -> Loop:
    """Hyperopt's TPE, by ``fmin``."""
    import hyperopt  # noqa: PLC0415 - slow to import
    from hyperopt import hp  # noqa: PLC0415
    from hyperopt.pyll.base import scope  # noqa: PLC0415

    def axis(name: str, space: Space) -> Any:
        domain = space[name]
        if isinstance(domain, Choice):
            below = [other for other in space.names if space.parent(other) == name]
            if not below:
                return hp.choice(name, list(domain.values))
            return hp.choice(
                name,
                [
                    {"": value}
                    | {o: axis(o, space) for o in below if space.is_active(o, {name: value})}
                    for value in domain.values
                ],
            )
        if isinstance(domain, Int):
            return scope.int(hp.quniform(name, domain.low, domain.high, 1))
        if domain.log:
            return hp.loguniform(name, math.log(domain.low), math.log(domain.high))
        return hp.uniform(name, domain.low, domain.high)

    def loop(problem: Problem, trials: int, seed: int, note: Note) -> None:
        number = iter(range(trials))
        space = problem.space

        def objective(point: Mapping[str, Any]) -> float:
            config = _applicable(_flat(point), space)
            value = problem.value(config, 0, seed, next(number))
            note(config, value)
            return -value

        hyperopt.fmin(
            objective,
            {name: axis(name, space) for name in space.names if space.parent(name) is None},
            algo=hyperopt.tpe.suggest,
            max_evals=trials,
            rstate=np.random.default_rng(seed),
            show_progressbar=False,
            verbose=False,
        )

    return loop


def _flat(point: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperopt's point without the levels of its choices."""
    flat: dict[str, Any] = {}
    for name, value in point.items():
        if isinstance(value, Mapping):
            flat[name] = value[""]
            flat.update(_flat({other: each for other, each in value.items() if other}))
        else:
            flat[name] = value
    return flat


def _applicable(point: Mapping[str, Any], space: Space) -> Config:
    """The config without what does not apply to it, in Python's own types."""
    config: dict[str, Any] = {}
    for name in space.names:
        if space.is_active(name, config):
            value = point[name]
            config[name] = value.item() if isinstance(value, np.generic) else value
    return config


PEERS: dict[str, Callable[[], Loop]] = {
    "Optuna TPE": partial(optuna_sampler, "TPESampler"),
    "proxyhpo": ours,
    "proxyhpo, 2 x the trials": partial(ours, 2.0),
    "proxyhpo, as long": partial(ours, as_long=True),
    "Optuna TPE, Hyperband": optuna_hyperband,
    "Optuna GP": partial(optuna_sampler, "GPSampler"),
    "random": random,
    "hyperopt TPE": hyperopt_tpe,
    "scikit-optimize": scikit_optimize,
    "one epoch, best 3": one_epoch,
}
"""Name → function that imports the library and returns the loop."""

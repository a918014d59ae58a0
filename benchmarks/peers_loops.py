"""The searches that ``benchmarks.peers`` compares, each by its library's own loop.

All train with the same code, on the same space. A *loop* searches a task with a seed, and reports
each completed full training of the full network, as (config, validation accuracy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.images import Images, accuracy
from proxyhpo import Choice, Config, Float, ProxyHPO, Record, Space

__all__ = ["PEERS", "SPACE", "Loop", "Task"]

SPACE = Space(
    {
        "lr": Float(1e-3, 3.0, log=True),
        "momentum": Float(0.0, 0.98),
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "batch_size": Choice([64, 128, 256]),
    }
)


@dataclass(frozen=True)
class Task:
    """What is searched: the training of a small convolutional network on images of ten classes.

    Args:
        images: in three parts.
        width: channels of the first of its three convolutions; each has twice as many as before.
        epochs: of a full training.
    """

    images: Images
    width: int
    epochs: int

    def build(self) -> nn.Module:
        """The full network."""
        layers: list[nn.Module] = []
        before = self.images.shape[0]
        stride = 2 if self.images.shape[1] > 8 else 1
        for after in (self.width, 2 * self.width, 4 * self.width):
            layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
            stride = 1
            before = after
        layers[-1] = nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before, 10))

    def train(
        self, network: nn.Module, config: Config, *, epochs: int | None = None
    ) -> Iterator[float]:
        """SGD under a cosine schedule; yields the validation accuracy after each epoch."""
        images, labels = self.images.train
        epochs = epochs or self.epochs
        names = ("lr", "momentum", "weight_decay")
        optimizer = torch.optim.SGD(network.parameters(), **{name: config[name] for name in names})
        steps = epochs * math.ceil(len(labels) / config["batch_size"])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(epochs):
            network.train()
            for batch in torch.randperm(len(labels)).split(config["batch_size"]):
                optimizer.zero_grad()
                F.cross_entropy(network(images[batch]), labels[batch]).backward()
                optimizer.step()
                schedule.step()
            yield accuracy(network, self.images.validation)

    def trained(
        self, config: Config, *seed: int, epochs: int | None = None
    ) -> Iterator[tuple[nn.Module, float]]:
        """A new full network in training, and its validation accuracy, after each epoch."""
        drawn = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(drawn) >> 1)
        network = self.build()
        for value in self.train(network, config, epochs=epochs):
            yield network, value

    def value(self, config: Config, *seed: int, epochs: int | None = None) -> float:
        """The validation accuracy at the end of a training of the full network."""
        *_, (_, value) = self.trained(config, *seed, epochs=epochs)
        return value

    def quality(self, config: Config, seeds: int) -> float:
        """Mean test accuracy of the full network, trained with seeds that no search has used."""
        ends = [list(self.trained(config, 1, seed))[-1] for seed in range(seeds)]
        return float(np.mean([accuracy(network, self.images.test) for network, _ in ends]))


Note = Callable[[Config, float], None]
Loop = Callable[[Task, int, int, Note], None]
"""(task, how many trials, seed, where to note full trainings)."""


def ours(times: float = 1.0, **options: Any) -> Loop:
    """All defaults but these, and this many times the trials, which are cheap."""
    import hyperopt as _  # noqa: F401, PLC0415 - what the default searcher imports when first used

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        def announced(record: Record) -> None:
            if hpo.ladder[record.rung].is_base and record.value is not None:
                note(record.config, record.value)

        hpo = ProxyHPO(
            task.build,
            task.train,
            SPACE,
            example_inputs=task.images.train[0][:64],
            direction="maximize",
            seed=seed,
            progress=False,
            callbacks=[announced],
            **options,
        )
        hpo.run(round(times * trials))

    return loop


def random() -> Loop:
    """Random search (Bergstra and Bengio, 2012)."""

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        rng = np.random.default_rng(seed)
        for number in range(trials):
            config = SPACE.sample(rng)
            note(config, task.value(config, 0, seed, number))

    return loop


def one_epoch() -> Loop:
    """Each random config for one epoch, annealed; the three best in full (arXiv:2307.15422)."""

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        rng = np.random.default_rng(seed)
        configs = [SPACE.sample(rng) for _ in range(trials)]
        short = [task.value(c, 0, seed, number, epochs=1) for number, c in enumerate(configs)]
        for number in np.argsort(short)[::-1][:3]:
            note(configs[number], task.value(configs[number], 0, seed, trials + int(number)))

    return loop


def optuna_tpe() -> Loop:
    """Optuna's TPE, each trial in full."""
    import optuna  # noqa: PLC0415 - optional

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        def objective(trial: Any) -> float:
            config = _suggested(trial)
            value = task.value(config, 0, seed, trial.number)
            note(config, value)
            return value

        sampler = optuna.samplers.TPESampler(seed=seed)
        optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, trials)

    return loop


def optuna_hyperband() -> Loop:
    """Optuna's TPE with its Hyperband pruner, for as many epochs as the trials have in full."""
    import optuna  # noqa: PLC0415 - optional

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        epochs = 0

        def objective(trial: Any) -> float:
            nonlocal epochs
            config = _suggested(trial)
            for epoch, (_, value) in enumerate(task.trained(config, 0, seed, trial.number), 1):
                epochs += 1
                trial.report(value, epoch)
                if epoch < task.epochs and trial.should_prune():
                    raise optuna.TrialPruned
            note(config, value)
            return value

        def ended(study: Any, _: Any) -> None:
            if epochs >= trials * task.epochs:
                study.stop()

        optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(1, task.epochs),
        ).optimize(objective, callbacks=[ended])

    return loop


def _suggested(trial: Any) -> Config:
    return {
        name: trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        if isinstance(domain, Float)
        else trial.suggest_categorical(name, list(domain.values))
        for name, domain in SPACE.items()
    }


def scikit_optimize() -> Loop:
    """Scikit-optimize's ``gp_minimize``."""
    import skopt  # noqa: PLC0415 - slow to import

    dimensions = [
        skopt.space.Real(d.low, d.high, "log-uniform" if d.log else "uniform")
        if isinstance(d, Float)
        else skopt.space.Categorical(list(d.values))
        for d in SPACE.values()
    ]

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        number = iter(range(trials))

        def objective(point: list[Any]) -> float:
            config = SPACE.validate(dict(zip(SPACE, point, strict=True)))
            value = task.value(config, 0, seed, next(number))
            note(config, value)
            return -value

        n_initial = min(10, trials)
        skopt.gp_minimize(
            objective, dimensions, n_calls=trials, n_initial_points=n_initial, random_state=seed
        )

    return loop


def hyperopt_tpe() -> Loop:
    """Hyperopt's TPE, by ``fmin``."""
    import hyperopt  # noqa: PLC0415 - slow to import
    from hyperopt import hp  # noqa: PLC0415

    def axis(name: str, domain: Any) -> Any:
        if not isinstance(domain, Float):
            return hp.choice(name, list(domain.values))
        if domain.log:
            return hp.loguniform(name, math.log(domain.low), math.log(domain.high))
        return hp.uniform(name, domain.low, domain.high)

    space = {name: axis(name, domain) for name, domain in SPACE.items()}

    def loop(task: Task, trials: int, seed: int, note: Note) -> None:
        number = iter(range(trials))

        def objective(config: Config) -> float:
            value = task.value(config, 0, seed, next(number))
            note(config, value)
            return -value

        hyperopt.fmin(
            objective,
            space,
            algo=hyperopt.tpe.suggest,
            max_evals=trials,
            rstate=np.random.default_rng(seed),
            show_progressbar=False,
            verbose=False,
        )

    return loop


PEERS: dict[str, Callable[[], Loop]] = {
    "proxyhpo": ours,
    "proxyhpo, no stopper": partial(ours, stopper=None),
    "proxyhpo, 2.5 x the trials": partial(ours, 2.5),
    "Optuna TPE": optuna_tpe,
    "Optuna TPE, Hyperband": optuna_hyperband,
    "random": random,
    "scikit-optimize": scikit_optimize,
    "hyperopt TPE": hyperopt_tpe,
    "one epoch, best 3": one_epoch,
}
"""Name → what imports the library and gives the loop."""

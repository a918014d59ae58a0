"""Studies whose trainings are ended early."""

import random
import sys

import cloudpickle
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._runs import Finished, Outcome
from proxyhpo.stoppers import MedianStopper, Stopper

# Workers cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

STEPS = 9

BOTH = {"stopper": MedianStopper(min_peers=2), "finalist_stopper": "lagging"}


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def curve(config, step):
    """Falls to the distance from .3, and the faster the higher ``pace`` is."""
    return abs(config["x"] - 0.3) + 1 / (1 + config["pace"] * step)


def train(network, config):
    for step in range(1, STEPS + 1):
        yield {"value": -curve(config, step), "step": step, "seconds": 2.0 * step}


def study(path=None, *, train=train, **options):
    options = {"searcher": "random", "finalists": 4, "stopper": None, **options}
    return ProxyHPO(
        build,
        train,
        {"x": Float(0, 1), "pace": Float(0.1, 10, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        progress=False,
        transfer="identity",
        store=path,
        proxies=True,
        **options,
    )


def at(result, rung, state):
    return [r for r in result.records if (r.rung, r.state) == (rung, state)]


class Interleaving:
    """Three places; which training reports next is drawn by lot.

    Each one is trained to its end when it is handed out, and what it reported arrives bit by bit,
    as from a worker.
    """

    capacity, ahead, streams = 3, 0, True

    def __init__(self, seed, interrupt_after=None):
        self.lots = random.Random(seed)
        self.left = interrupt_after

    def start(self, work, hear):
        self.work, self.hear, self.running = work, hear, {}

    def submit(self, job):
        messages = []
        outcome = self.work.run(job, lambda _, reported: messages.append(reported))
        self.running[job.id] = job, messages, outcome, []

    def wait_any(self, timeout=None):
        while True:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            run = self.lots.choice(sorted(self.running))
            job, messages, outcome, heard = self.running[run]
            if not messages:
                del self.running[run]
                return Finished(job, outcome)
            heard.append(messages.pop(0))
            if self.hear(job, heard[-1]):
                del self.running[run]
                return Finished(job, Outcome.of_stopped(heard))

    def drain(self):
        pass

    def shutdown(self):
        self.running.clear()


class EndAllButTheFirst(Stopper):
    """Breaks the contract, so that the best may be ended too."""

    def should_stop(self, losses, peers):
        return True

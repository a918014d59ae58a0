"""Arguments are checked before any training."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from proxyhpo import Rung
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.evaluators import ProxyEvaluator
from tests.studies import never, study


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": None}, "direction"),
        ({"direction": "max"}, "direction"),
        ({"searcher": "tpee"}, "did you mean 'tpe'"),
        ({"pruner": "l1_structured"}, "did you mean 'l1-structured'"),
        ({"transfer": "powerlaw"}, "did you mean 'power-law'"),
        ({"example_inputs": 3}, "example_inputs"),
        ({"example_inputs": ()}, "example_inputs"),
        ({"ladder": [Rung(0.5, keep=1), Rung(1)], "density": 0.5}, "short for a ladder"),
        ({"ladder": [Rung(0.5, budget=0.5, keep=1), Rung(1)]}, "budget"),
        ({"ladder": Rung(1)}, "ladder must be a list of Rungs"),
        ({"density": 1.5}, "density"),
        ({"density": 1}, "density must be below 1, got 1"),
        ({"finalists": 0}, "finalists"),
        ({"seed": "x"}, "seed"),
        ({"seed": True}, "seed must be a whole number >= 0, got True"),
        ({"steps": 0}, "steps"),
        ({"max_retries": -1}, "max_retries"),
        ({"callbacks": [1]}, r"callbacks must be functions of a Record, .* got 1"),
        ({"callbacks": print}, "callbacks must be a list of functions"),
        ({"executor": 4}, "executor must be an Executor such as ProcessExecutor.*got 4"),
        ({"version": {1, 2}}, "version must be a string or a whole number"),
        ({"store": ":memory:"}, "store must be the path of a file, got ':memory:'; omit store"),
        ({"store": 3}, "store must be the path of a file or None, got 3"),
        ({"device": "gpu"}, "device: torch has no device named 'gpu'"),
        ({"device": "cuda"}, "device: 'cuda' is not available; torch sees cpu"),
        ({"device": "cuda:1"}, "device: 'cuda:1' is not available"),
        ({"device": torch.device("cuda", 1)}, "device: device.*cuda.*1.* is not available"),
        ({"device": 0}, "device: 0 is not available"),
        ({"device": "meta"}, "device: 'meta' is not available"),
    ],
)
def test_invalid_arguments_are_refused_before_any_training(options, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        study(never, **options)


def test_a_number_of_trials_is_at_least_1():
    with pytest.raises(ArgumentError, match="n_trials"):
        study(never).run(0)


def test_train_must_be_a_function_or_an_evaluator():
    with pytest.raises((ArgumentError, TypeError), match="train"):
        study(3)


class OnAGPU(ProxyEvaluator):
    """An evaluator that trains where another machine may have a device."""

    device = "cuda:7"

    def evaluate(self, network, config, report, *, trial):
        report(1.0)


def test_the_device_of_the_evaluator_is_used_unless_another_one_is_given():
    with pytest.raises(ArgumentError, match="device of OnAGPU: 'cuda:7' is not available"):
        study(OnAGPU())
    assert study(OnAGPU(), device="cpu").run(1).records


def test_the_error_for_a_pool_says_how_to_wrap_it():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ArgumentError, match="FuturesExecutor"):
        study(executor=pool)


def test_numbers_of_numpy_are_numbers():
    assert len(study(seed=np.int64(3)).run(np.int64(2)).history.trials) == 2

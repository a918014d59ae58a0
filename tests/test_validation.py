import inspect
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from proxyhpo._engine.ladder import default_ladder, with_finalists
from proxyhpo._records.rung import Rung
from proxyhpo._validation import check_device, check_whole
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.evaluators import SupervisedEvaluator, TrainingEvaluator
from proxyhpo.executors import FuturesExecutor, ProcessExecutor, RayExecutor
from proxyhpo.pruners import L1StructuredPruner
from proxyhpo.searchers import BayesianSearcher, GridSearcher, TPESearcher
from proxyhpo.space import Choice, Space
from proxyhpo.stoppers import ASHAStopper, LaggingStopper, MedianStopper


def evaluator(**options):
    data = torch.zeros(4, 3), torch.zeros(4, 1)
    return SupervisedEvaluator(data, data, task="regression", **options)


@pytest.mark.parametrize("given", [2, 3, np.int64(3), np.uint8(3)])
def test_whole_numbers_are_taken_as_ints(given):
    taken = check_whole("epochs", given, 2)
    assert taken == given
    assert type(taken) is int


@pytest.mark.parametrize(
    "given", [1, -1, 2.0, np.float64(3), "3", None, True, np.True_, np.array([3])]
)
def test_all_else_is_refused_by_the_arguments_name(given):
    with pytest.raises(ArgumentError, match=r"epochs must be a whole number >= 2, got "):
        check_whole("epochs", given, 2)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda n: GridSearcher(points=n), "points"),
        (lambda n: GridSearcher(seed=n), "seed"),
        (lambda n: TPESearcher(n_initial=n), "n_initial"),
        (lambda n: TPESearcher(n_candidates=n), "n_candidates"),
        (lambda n: BayesianSearcher(n_initial=n), "n_initial"),
        (lambda n: L1StructuredPruner(round_to=n), "round_to"),
        (lambda n: ASHAStopper(min_steps=n), "min_steps"),
        (lambda n: ASHAStopper(reduction=n), "reduction"),
        (lambda n: MedianStopper(min_peers=n), "min_peers"),
        (lambda n: MedianStopper(min_steps=n), "min_steps"),
        (lambda n: LaggingStopper(min_steps=n), "min_steps"),
        (lambda n: evaluator(epochs=n), "epochs"),
        (lambda n: evaluator(batch_size=n), "batch_size"),
    ],
)
def test_settings_are_plain_whatever_was_given(make, name):
    assert type(getattr(make(np.int64(3)), name)) is int
    for bad in (True, 2.0, -1):
        with pytest.raises(ArgumentError, match=rf"{name} must be a whole number"):
            make(bad)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda n: ProcessExecutor(n).capacity, "workers"),
        (lambda n: ProcessExecutor(threads=n)._threads, "threads"),
        (lambda n: ProcessExecutor(ahead=n).ahead, "ahead"),
        (lambda n: FuturesExecutor(Submitting(), workers=n).capacity, "workers"),
        (lambda n: FuturesExecutor(Submitting(), workers=1, threads=n)._threads, "threads"),
        (lambda n: with_finalists([Rung(0.5, keep=1), Rung(1)], n)[0].keep, "finalists"),
        (lambda n: default_ladder(0.5, n)[0].keep, "finalists"),
    ],
)
def test_so_are_those_of_executors_and_ladders(make, name):
    assert type(make(np.int64(3))) is int
    for bad in (True, 2.0, -1):
        with pytest.raises(ArgumentError, match=rf"{name} must be a whole number"):
            make(bad)


@pytest.mark.parametrize(
    ("make", "given", "near"),
    [
        (Rung, "densty", "density"),
        (ProcessExecutor, "timeout", "trial_timeout"),
        (RayExecutor, "num_cpu", "num_cpus"),
        (FuturesExecutor, "worker", "workers"),
        (SupervisedEvaluator, "epoch", "epochs"),
        (TrainingEvaluator, "report", "use_report"),
    ],
)
def test_a_misspelt_argument_is_refused_with_the_nearest_name(make, given, near):
    said = f"^unknown argument of {make.__name__}: '{given}'; did you mean '{near}'"
    with pytest.raises(UnknownNameError, match=said):
        make(**{given: 1})
    assert near in inspect.signature(make).parameters


def test_a_rung_remains_a_dataclass():
    rung = replace(Rung(0.5, keep=2), keep=3)
    assert pickle.loads(pickle.dumps(rung)) == rung == Rung(density=0.5, keep=3)
    assert list(inspect.signature(Rung).parameters) == [field.name for field in fields(Rung)]
    assert inspect.signature(Rung).parameters["budget"].default == 1.0


class Submitting:
    def submit(self, function, *arguments):
        raise NotImplementedError


def test_counts_of_a_space_may_be_numpys():
    evaluator().check(Space({"batch_size": Choice([np.int64(2), 4]), "epochs": np.int64(3)}))


@pytest.mark.parametrize(("given", "index"), [("cuda", None), ("cuda:1", 1)])
def test_devices_that_are_there_are_taken_and_not_initialised(given, index, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    before = torch.cuda.is_initialized()
    device = check_device("device", given)
    assert (device.type, device.index) == ("cuda", index)
    assert torch.cuda.is_initialized() == before
    with pytest.raises(ArgumentError, match="torch sees cpu, cuda:0, cuda:1"):
        check_device("device", "cuda:2")

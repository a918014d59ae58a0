"""A parallel study that is ordered repeats from its seed, whichever training ends first."""

import random

import pytest
import torch

from proxyhpo.executors import Finished
from tests.engine.test_resume import study
from tests.studies import sorted_outcomes


class Shuffling:
    """Three places; which training ends next is drawn by lot."""

    capacity = 3
    ahead = 1  # must not matter
    streams = False

    def __init__(self, seed, interrupt_after=None):
        self.lots = random.Random(seed)
        self.left = interrupt_after

    def start(self, work, hear):
        self.work, self.jobs = work, []

    def submit(self, job):
        self.jobs.append(job)

    def wait_any(self, timeout=None):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        job = self.jobs.pop(self.lots.randrange(len(self.jobs)))
        return Finished(job, self.work.run(job))

    def drain(self):
        raise AssertionError("there was no interrupt")

    def shutdown(self):
        self.jobs.clear()


@pytest.mark.parametrize("searcher", ["random", "tpe"])
def test_the_order_of_endings_does_not_matter(searcher):
    results = [
        study(None, executor=Shuffling(seed), searcher=searcher, ordered=True).run(11)
        for seed in range(3)
    ]
    assert sorted_outcomes(results[0]) == sorted_outcomes(results[1]) == sorted_outcomes(results[2])


def test_it_matters_where_the_study_is_not_ordered():
    results = [study(None, executor=Shuffling(seed), searcher="tpe").run(30) for seed in range(3)]
    assert (
        not sorted_outcomes(results[0])
        == sorted_outcomes(results[1])
        == sorted_outcomes(results[2])
    )


@pytest.mark.parametrize("interval", [1, 3])
def test_resumed_equals_uninterrupted(interval, tmp_path):
    expected = study(None, executor=Shuffling(0), ordered=True).run(8)
    for attempt in range(50):
        executor = Shuffling(attempt, interrupt_after=interval)
        result = study(tmp_path / "study.db", executor=executor, ordered=True).run(8)
        if not result.interrupted:
            break
    assert attempt > 2
    assert sorted_outcomes(result) == sorted_outcomes(expected)
    best = result.best_network().state_dict()
    assert all(torch.equal(best[k], v) for k, v in expected.best_network().state_dict().items())

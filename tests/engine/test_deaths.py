"""What a death costs that was forgiven is charged, and stays charged."""

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._records.records import Death
from proxyhpo._records.run_id import RunId
from proxyhpo._store import read_study
from proxyhpo.errors import ArgumentError, StoreError
from proxyhpo.executors import Died, Finished, InProcessExecutor


class Dying(InProcessExecutor):
    """The trainings of some trials die again and again, having taken 50 seconds each time."""

    def __init__(self, deaths):
        super().__init__()
        self.deaths = dict(deaths)

    def wait_any(self, timeout=None):
        event = super().wait_any(timeout)
        if isinstance(event, Finished) and self.deaths.get(event.job.id, 0) > 0:
            self.deaths[event.job.id] -= 1
            return Died(event.job, "the worker was killed", 50.0)
        return event


def study(path, deaths, **options):
    options = {"executor": Dying(deaths), **options}
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        lambda network, config: config["lr"],
        {"lr": Float(1e-3, 0.1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        searcher="random",
        progress=False,
        finalists=1,
        store=path,
        **options,
    )


def test_deaths_are_in_the_ledger_also_after_a_resume(tmp_path):
    path = tmp_path / "study.db"
    result = study(path, {RunId(0, 0): 2, RunId(2, 0): 1}, max_retries=2).run(4)
    assert not result.failures
    assert result.history.deaths == [
        Death(0, 0, 0, "the worker was killed", 50.0),
        Death(0, 0, 0, "the worker was killed", 50.0),
        Death(2, 0, 0, "the worker was killed", 50.0),
    ]
    below, top = result.cost.rungs
    assert (below.runs, below.failed, below.retried, top.retried) == (4, 0, 3, 0)
    trained = sum(record.seconds for record in result.records)
    assert below.seconds + top.seconds == pytest.approx(150 + trained)
    assert result.cost.seconds == pytest.approx(150 + trained + result.cost.overhead_seconds)
    assert "4 trainings, 3 retried after their worker died, 150" in str(result.cost)
    assert study(path, {}).run(4).cost == result.cost
    assert [kind for kind, _ in read_study(path)[1]].count("death") == 3


def test_the_one_that_is_not_forgiven_is_the_record_s(tmp_path):
    result = study(None, {RunId(1, 0): 9}, max_retries=1).run(3)
    (failed,) = result.failures
    assert (failed.trial, failed.seconds, failed.reason) == (1, 50.0, "the worker was killed")
    below = result.cost.rungs[0]
    assert (below.runs, below.failed, below.retried) == (3, 1, 1)
    assert below.seconds == pytest.approx(
        50 + sum(record.seconds for record in result.records if record.rung == 0)
    )


def test_a_full_search_is_not_made_dearer_by_deaths(tmp_path):
    dying = study(None, {RunId(1, 0): 1}, max_retries=1).run(3)
    assert dying.cost.full_search_seconds < 50


def test_how_often_it_died_is_known_after_a_resume(tmp_path):
    """Or a training that takes the machine down with it would do so for ever."""
    path, deaths = tmp_path / "study.db", {RunId(1, 0): 2}

    class Interrupted(Dying):
        def submit(self, job):
            if self.deaths.get(job.id) == 1:
                raise KeyboardInterrupt
            super().submit(job)

    first = study(path, deaths, max_retries=1, executor=Interrupted(deaths))
    assert first.run(3).interrupted
    result = study(path, {RunId(1, 0): 1}, max_retries=1).run(3)
    assert [record.trial for record in result.failures] == [1]
    assert len(result.history.deaths) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": -1.0}, "seconds"),
        ({"rung": 7}, "no rung 7"),
        ({"trial": 7}, "no trial 7"),
        ({"reason": 3}, "reason"),
        ({"more": 3}, "unknown"),
    ],
)
def test_a_death_that_cannot_be_is_refused(changes, words, tmp_path):
    hpo = study(tmp_path / "study.db", {})
    hpo.run(3)
    body = {"trial": 0, "rung": 0, "replicate": 0, "reason": "killed", "seconds": 1.0, **changes}
    with hpo._setup.open_store() as store:
        store.append("death", body)
    hpo.close()
    with pytest.raises((StoreError, ArgumentError), match=words):
        study(tmp_path / "study.db", {}).run(3)

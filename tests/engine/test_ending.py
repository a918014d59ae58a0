"""What a result says of how its run ended, and of how the search goes on."""

import math
from types import SimpleNamespace

import pytest

from proxyhpo import Choice, Float
from proxyhpo._engine.ending import _spent, interrupted
from proxyhpo._engine.limits import Limits
from proxyhpo._records.run_id import RunId
from proxyhpo.searchers import GridSearcher, Searcher
from tests.engine.test_budget import counts, study


def test_a_budget_that_is_just_enough_for_all_trials_is_not_said_to_prevent_more():
    hpo = study()
    hpo.run(12)
    result = hpo.run(20, base_trainings=4.05)
    assert counts(result) == (20, 2)
    again = hpo.run(20, base_trainings=4.05)
    assert "nothing is left to train: the study already has 20 trials" in repr(again)
    assert hpo.run(20, base_trainings=50).records == result.records


@pytest.mark.parametrize(
    ("unfinished", "has_finalists_left", "is_spent"),
    [([], False, True), ([], True, False), ([RunId(3, 1)], False, False)],
)
def test_a_budget_is_not_called_spent_before_all_its_trainings_have_ended(
    unfinished, has_finalists_left, is_spent
):
    state = SimpleNamespace(is_closed=lambda limit, value: value <= 8, unfinished=unfinished)
    opened = SimpleNamespace(state=state, has_finalists_left=has_finalists_left)
    assert bool(_spent(opened, Limits(100, base_trainings=8))) == is_spent
    assert not _spent(opened, Limits(100, base_trainings=9))
    assert not _spent(opened, Limits(100))


@pytest.mark.parametrize(
    ("n_trials", "said"),
    [(12, "hpo.run(12, base_trainings=8) again resumes"), (13, "base_trainings=8 is spent")],
)
def test_a_budget_does_not_prevent_more_trials_if_an_interrupted_run_has_all(n_trials, said):
    state = SimpleNamespace(is_closed=lambda limit, value: True, unfinished=[])
    history = SimpleNamespace(trials=range(12))
    opened = SimpleNamespace(state=state, has_finalists_left=False, history=history)
    limits = Limits(n_trials, base_trainings=8)
    assert interrupted(opened, limits, finalists=None, is_stored=False).text.startswith(said)


def test_a_search_that_was_not_worth_it_says_how_to_go_on():
    hpo = study()
    result = hpo.run(200, worth=0.1)
    for same in (result, hpo.run(200, worth=0.1)):
        assert f"ended after {len(result.history.trials)} trials: a further base" in repr(same)
        assert "less than worth=0.1; to continue, pass a smaller worth or none" in repr(same)
        assert "nothing is left" not in repr(same)
        assert "so continue" not in repr(same)
    assert "worth=" not in repr(hpo.run(len(result.history.trials), worth=0.1))
    assert counts(hpo.run(80)) > counts(result)


@pytest.mark.parametrize("stored", [True, False])
def test_an_interrupted_search_says_which_call_resumes_it(tmp_path, stored):
    path = {"store": tmp_path / "study.db"} if stored else {}
    hpo = study(callbacks=[lambda record: hpo.stop()], **path)
    script = ", or the same script," if stored else ""
    assert f"next         hpo.run(20) again{script} resumes the study\n" in repr(hpo.run(20))
    assert "hpo.run(20, base_trainings=30) again" in repr(hpo.run(20, base_trainings=30))
    assert f"hpo.run(20, finalists=5) again{script} resumes" in repr(hpo.run(20, finalists=5))
    n_trials = len({record.trial for record in hpo.result.records})
    assert f"hpo.run({n_trials}, finalists=5) again{script}" in repr(hpo.climb(finalists=5))


def test_the_call_that_resumes_a_search_has_the_timeout_that_was_given(later):
    hpo = study(callbacks=[lambda record: later(9000)])
    assert "hpo.run(20, timeout=8000) again resumes the study\n" in repr(hpo.run(20, timeout=8000))


@pytest.mark.parametrize("n_trials", [12, 40, math.inf])
def test_a_search_without_further_configs_does_not_ask_for_more_trials(n_trials):
    space = {"x": Choice([1 - i / 12 for i in range(12)])}
    limits = {"timeout": 3600} if n_trials == math.inf else {"n_trials": n_trials}
    hpo = study(space=space, searcher="grid", proxies=False)
    for result in (hpo.run(**limits), hpo.run(**limits)):
        ended = "ended after 12 trials: the searcher has no further config to propose"
        assert (ended in repr(result)) == (n_trials > 12)
        assert n_trials == 12 or "continue" not in repr(result)
        assert n_trials == 12 or "nothing is left" not in repr(result)


@pytest.mark.parametrize(
    ("n_trials", "said"),
    [
        (10, "the best config came late (trial 9), so continue: hpo.run(11)"),
        (11, "the best config came late (trial 10), so continue: hpo.run(12)"),
        (12, "the best config came late (trial 11), but the searcher has no further config"),
    ],
)
def test_no_more_trials_are_advised_than_a_grid_has(n_trials, said):
    """Of its 11 configs one more is left than trials suggest: the first trial lies outside."""

    def ever_better(network, config, trial):
        yield -trial.number

    space = {"x": Choice([i / 11 for i in range(11)]), "y": Float(0, 1)}
    hpo = study(ever_better, space, searcher=GridSearcher(points=1), proxies=False)
    hpo.enqueue({"x": 0.0, "y": 0.75})
    assert said in repr(hpo.run(n_trials))
    idle = hpo.run(n_trials).ended
    assert ("pass a larger n_trials" in idle) == (n_trials < 12)
    assert ("the searcher has no further config" in idle) == (n_trials == 12)


class Listed(Searcher):
    """Raises an exception if it is asked for more configs than the space has."""

    def propose(self, space, history, n, *, rng):
        return [next(config for config in CONFIGS if not history.has(config)) for _ in range(n)]


CONFIGS = [{"x": i / 10} for i in range(10)]


def test_a_searcher_is_not_asked_for_a_config_after_the_last_trial():
    space = {"x": Choice([config["x"] for config in CONFIGS])}
    hpo = study(space=space, searcher=Listed(), proxies=False)
    assert hpo.run(9).ending.n_further == 1
    assert hpo.run(10).ending.n_further == 0
    assert "nothing is left to train: the study already has 10 trials; the searcher has no" in (
        hpo.run(10).ended
    )

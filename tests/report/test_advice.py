import math
from dataclasses import replace

import pytest

from proxyhpo._engine.standing import noise_of, standings
from proxyhpo._records.ending import Ending
from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo._records.rung import Rung
from proxyhpo._report.advice import Decision, saving
from proxyhpo._report.cost import Cost, RungCost

LADDER = [Rung(0.125, keep=3), Rung(1)]


def decision(*runs, proxies=(), trials=10, is_stored=True):
    """From (trial, replicate, values) of the full network, as losses, and losses of proxies."""
    history = History()
    history.add_measurement(Measurement(0, 0.125, 0.125, 1, None, 0.1))
    for trial in range(trials):
        history.add_trial({"x": trial})
    for trial, loss in enumerate(proxies):
        history.add_record(Record(trial, 0, 0, {"x": trial}, {}, "finished", loss, loss))
    for trial, replicate, values in runs:
        reports = tuple(map(Report, values))
        last = values[-1]
        history.add_record(
            Record(trial, 1, replicate, {"x": trial}, {}, "finished", last, last, reports)
        )
    standing = standings(history.records, 1)
    return Decision(history, LADDER, standing, noise_of(standing), is_stored)


def test_one_finalist_has_nothing_to_be_compared_with():
    found = decision((3, 0, [0.5]))
    assert found.best() == "0.5 on the full network (trial 3, 1 seed)"
    assert "nothing to compare it with" in found.certainty()


def test_with_one_seed_each_nothing_is_sure_however_smooth_the_curves_are():
    found = decision((3, 0, [0.7, 0.6, 0.5]), (1, 0, [0.95, 0.85, 0.75]))
    assert found.certainty() == (
        "not sure: the lead is 0.25 with one seed each, and how much a value varies with the seed "
        "is not known"
    )
    assert "runner-up 0.75 (trial 1, 1 seed)" in found.best()
    assert "repeats=4" in next(found.steps(Ending()))


def test_a_lead_within_the_noise_asks_for_more_seeds():
    runs = [(3, 0, [0.5]), (3, 1, [0.6]), (1, 0, [0.52]), (1, 1, [0.62])]
    found = decision(*runs)
    assert found.best().startswith("0.55 on the full network (trial 3, mean of 2 seeds)")
    assert found.certainty() == (
        "not sure: the lead is 0.02, and a lead below 0.3 may be chance (the standard deviation "
        "between seeds is 0.071, estimated from 4 trainings)"
    )
    assert next(found.steps(Ending())) == (
        "ProxyHPO(..., repeats=6) with the same store trains the best two with more seeds"
    )
    assert next(decision(*runs, is_stored=False).steps(Ending())) == (
        'a new search with ProxyHPO(..., repeats=6, store="study.db") trains everything again, '
        "and the best two with more seeds"
    )


def test_an_interrupted_search_is_resumed_before_more_seeds_are_asked_for():
    found = decision((3, 0, [0.5]), (1, 0, [0.55]))
    assert "repeats=" in next(found.steps(Ending()))
    assert list(found.steps(Ending("interrupted", how="go on"))) == []


def test_repeats_of_other_trials_count_in_the_number_that_is_advised():
    """The argument limits the sum over all trials."""
    others = [(5, 0, [0.8]), (5, 1, [0.9]), (6, 0, [0.8]), (6, 1, [0.9])]
    found = decision((3, 0, [0.5]), (1, 0, [0.55]), *others)
    assert "repeats=6)" in next(found.steps(Ending()))
    found = decision((3, 0, [0.5]), (1, 0, [0.5]), (1, 1, [0.6]), *others)
    assert "repeats=8)" in next(found.steps(Ending()))


def test_a_clear_lead_is_told_in_the_noise():
    found = decision((3, 0, [0.5]), (3, 1, [0.51]), (1, 0, [0.9]))
    assert found.certainty() == (
        "the lead of 0.4 is more than chance explains: it is 56 times the standard deviation "
        "between seeds (0.0071, estimated from 2 trainings)"
    )
    assert list(found.steps(Ending())) == []
    steady = decision((3, 0, [0.5]), (3, 1, [0.5]), (1, 0, [0.7]))
    assert "over 100 times the standard deviation between seeds (0, " in steady.certainty()


def test_a_tie_is_called_one_whatever_the_noise_is():
    found = decision((3, 0, [0.5]), (3, 1, [0.5]), (1, 0, [0.5]), (1, 1, [0.5]))
    assert found.certainty() == "not sure: the best two configs have the same value"


def test_a_smaller_network_that_did_as_well_is_named():
    found = decision((3, 0, [0.5]), (3, 1, [0.5]), (1, 0, [0.75]), proxies=[0.9, 0.5, 0.7])
    assert list(found.steps(Ending())) == [
        "a proxy (density 0.125) reached 0.5: a smaller network may be enough"
    ]
    assert list(decision((3, 0, [0.5]), proxies=[0.6]).steps(Ending())) == []


def test_a_smaller_network_is_named_only_if_it_did_as_well_beyond_chance():
    runs = [(3, 0, [0.5]), (3, 1, [0.51]), (1, 0, [0.9])]
    assert list(decision(*runs, proxies=[0.9, 0.49]).steps(Ending())) == []
    margin = 12.71 * 0.00707 * (1 / 2 + 1) ** 0.5  # of a mean of two seeds and a single one
    for loss, is_named in [(0.505 - 0.98 * margin, False), (0.505 - 1.02 * margin, True)]:
        steps = list(decision(*runs, proxies=[0.9, loss]).steps(Ending()))
        assert any("a smaller network may be enough" in step for step in steps) == is_named


def test_a_best_config_that_came_late_asks_for_more_trials():
    assert list(decision((9, 0, [0.5]), (9, 1, [0.5]), (1, 0, [0.75])).steps(Ending())) == [
        "the best config came late (trial 9), so continue: hpo.run(20)"
    ]
    found = decision((9, 0, [0.5]), (9, 1, [0.5]), (1, 0, [0.75]))
    assert list(found.steps(Ending(why="ended"))) == []


@pytest.mark.parametrize(
    ("n_further", "said"),
    [
        (math.inf, "so continue: hpo.run(20)"),
        (100, "so continue: hpo.run(20)"),
        (3, "so continue: hpo.run(13)"),
        (0, "but the searcher has no further config to propose"),
    ],
)
def test_no_more_trials_are_asked_for_than_the_searcher_has_configs(n_further, said):
    found = decision((9, 0, [0.5]), (9, 1, [0.5]), (1, 0, [0.75]))
    late = "the best config came late (trial 9)"
    assert list(found.steps(Ending(n_further=n_further))) == [f"{late}, {said}"]


@pytest.mark.parametrize("state", ["cut", "interrupted"])
def test_trainings_that_are_left_come_before_more_seeds(state):
    found = decision((3, 0, [0.5]), (1, 0, [0.55]))
    assert list(found.steps(Ending(state, why="not all were trained"))) == []
    assert "repeats=" in next(found.steps(Ending(why="hpo.run(10) is only named here")))


@pytest.mark.parametrize(
    ("spent", "words"), [(20.0, "80%: 2.0 base trainings"), (110.0, "nothing: 11.0 base")]
)
def test_what_was_saved_comes_first(spent, words):
    name, text = saving(cost(spent, runs=8))
    assert name == "saved"
    assert words in text
    assert ("of them were spent on measuring" in text) == (spent > 50)
    name, text = saving(Cost((), spent, 0.0, None, "predicted", None, None, 10))
    assert name == "cost"
    assert "the saving is unknown until a full training has ended" in text


def test_a_predicted_base_training_gives_no_saving():
    """As where all trainings of the full network have failed."""
    name, text = saving(replace(cost(20.0, runs=8), base_training_source="predicted"))
    assert (name, text[:18]) == ("cost", "2.0 base trainings")
    assert text.endswith("; the saving is unknown until a full training has ended")


def test_a_full_search_has_a_cost_and_saves_only_by_stopping():
    name, text = saving(cost(110.0, runs=0))
    assert (name, text[:18]) == ("cost", "11.0 base training")
    assert "instead" not in text
    assert saving(cost(20.0, runs=0))[0] == "saved"


def cost(spent, runs):
    """Of a search with so many trainings of the proxy; a full search takes 100 s.

    What is spent beyond 50 s is spent outside of the trainings.
    """
    proxy = RungCost(0.125, 1.0, runs, 0, 0, 0, min(spent, 50.0), None, None)
    rungs, outside = (proxy, replace(proxy, runs=2, seconds=0.0)), max(0.0, spent - 50)
    return Cost(rungs, outside, 0.0, 10.0, "measured", 100.0, None, 10)

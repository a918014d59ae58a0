"""Optuna's samplers keep the laws of searchers."""

import numpy as np
import optuna
import pytest

from proxyhpo import Float, History, Record, Space
from proxyhpo.errors import ArgumentError
from proxyhpo.integrations.optuna import OptunaSearcher
from proxyhpo.testing import SearcherContract

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class TestTPE(SearcherContract):
    @pytest.fixture
    def searcher(self):
        return OptunaSearcher(optuna.samplers.TPESampler, n_startup_trials=10)


@pytest.mark.parametrize(
    ("kind", "own"),
    [(optuna.samplers.CmaEsSampler, "cma-es"), (optuna.samplers.QMCSampler, "qmc")],
)
def test_a_sampler_with_state_in_the_study_is_refused(kind, own):
    with pytest.raises(ArgumentError, match=f"got {kind.__name__}.*searcher='{own}'"):
        OptunaSearcher(kind)


def test_a_gaussian_process_finds_a_better_place_than_its_first_draws():
    space, history, losses = Space({"x": Float(0, 1), "y": Float(0, 1)}), History(), []
    searcher = OptunaSearcher(optuna.samplers.GPSampler, n_startup_trials=6)
    for number in range(12):
        [config] = searcher.propose(space, history, 1, rng=np.random.default_rng(number))
        loss = (config["x"] - 0.3) ** 2 + (config["y"] - 0.8) ** 2
        history.add_trial(config)
        history.add_record(Record(number, 0, 0, config, config, "finished", loss, loss))
        losses.append(loss)
    assert min(losses[6:]) < min(losses[:6]) / 4


@pytest.mark.parametrize("given", [optuna.samplers.TPESampler(), "tpe", None])
def test_an_instance_is_refused(given):
    with pytest.raises(ArgumentError, match=r"a class of optuna\.samplers"):
        OptunaSearcher(given)


def test_settings_that_the_sampler_has_not_are_refused():
    with pytest.raises(ArgumentError, match="TPESampler cannot be created"):
        OptunaSearcher(optuna.samplers.TPESampler, n_initial=3)

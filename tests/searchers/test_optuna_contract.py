"""Optuna's contract tests of samplers, run on searchers: others know further traps."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import TrialState

from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo.searchers import BayesianSearcher, GridSearcher, RandomSearcher, TPESearcher
from proxyhpo.space import Choice, Float, Int, Space


class SearcherSampler(BaseSampler):
    """A searcher as an Optuna sampler: what it is asked is a function of Optuna's trials."""

    def __init__(self, searcher):
        self.searcher = searcher

    def infer_relative_search_space(self, study, trial):
        return IntersectionSearchSpace().calculate(study)

    def sample_relative(self, study, trial, search_space):
        if not search_space:
            return {}
        space = Space({name: hyperparameter(d) for name, d in search_space.items()})
        rng = np.random.default_rng(trial.number)
        # A sampler always has to answer; a searcher may have nothing more to propose.
        history = history_of(study, space, search_space)
        [config] = self.searcher.propose(space, history, 1, rng=rng) or [space.sample(rng)]
        return config

    def sample_independent(self, study, trial, name, distribution):
        return self.sample_relative(study, trial, {name: distribution})[name]


def hyperparameter(distribution):
    if isinstance(distribution, CategoricalDistribution):
        return Choice(list(distribution.choices))
    kind = Int if isinstance(distribution, IntDistribution) else Float
    step = None if distribution.log else distribution.step
    return kind(distribution.low, distribution.high, log=distribution.log, step=step)


def history_of(study, space, search_space):
    history = History()
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    for trial in study.get_trials(deepcopy=False):
        if any(trial.distributions.get(name) != d for name, d in search_space.items()):
            continue
        config = space.validate({name: trial.params[name] for name in search_space})
        number = history.add_trial(config)
        if trial.state == TrialState.COMPLETE:
            loss = sign * trial.value
            record = Record(number, 0, 0, config, config, "finished", trial.value, loss)
            history.add_record(record)
        elif trial.state.is_finished():
            history.add_record(Record(number, 0, 0, config, config, "failed"))
    return history


class Cases(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.mark.parametrize("n_jobs", [1])  # a study asks its searcher from one thread only
    def test_trial_relative_params(self, n_jobs, sampler):
        super().test_trial_relative_params(n_jobs, sampler)


class TestRandom(Cases):
    @pytest.fixture
    def sampler(self):
        return lambda: SearcherSampler(RandomSearcher())


class TestGrid(Cases):
    @pytest.fixture
    def sampler(self):
        return lambda: SearcherSampler(GridSearcher())


class TestTPE(Cases):
    @pytest.fixture
    def sampler(self):
        return lambda: SearcherSampler(TPESearcher(n_initial=5))


class TestBayesian(Cases):
    @pytest.fixture
    def sampler(self):
        return lambda: SearcherSampler(BayesianSearcher(n_initial=8))

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import qmc

from proxyhpo._records.history import History
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.searchers import _bayesian
from proxyhpo.searchers._bayesian import BayesianSearcher, _Model
from proxyhpo.searchers._surrogate import (
    conditioned,
    features,
    informative,
    repeatable,
    standardised,
)
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.testing.searchers import SPACES, drawn_history, tell
from tests.searchers.functions import branin, search


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_initial", 0), ("n_initial", 2.0), ("xi", -0.1), ("kappa", math.nan), ("kappa", None)],
)
def test_bad_settings_are_refused_by_name(name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be .* got {value!r}"):
        BayesianSearcher(**{name: value})


@pytest.mark.parametrize(("name", "near"), [("surrogate", "GPR"), ("acquisition", "EIs")])
def test_unknown_names_are_refused_with_a_hint(name, near):
    with pytest.raises(UnknownNameError, match=f"unknown {name} '{near}'; did you mean"):
        BayesianSearcher(**{name: near})


def history_of(space, trials):
    history = History()
    for config, loss in trials:
        tell(history, space.validate(config), loss)
    return history


def proposals(searcher, space, history, n=1, seeds=4):
    return [
        config
        for seed in range(seeds)
        for config in searcher.propose(space, history, n, rng=np.random.default_rng(seed))
    ]


X = Space({"x": Float(0, 1)})
GRID = np.linspace(0, 1, 12).tolist()
BOWL = [({"x": x}, (x - 0.3) ** 2) for x in GRID]


@pytest.mark.parametrize(
    ("surrogate", "acquisition"),
    [("GP", "EI"), ("GP", "PI"), ("GP", "LCB"), ("RF", "EI"), ("ET", "LCB"), ("GBRT", "PI")],
)
def test_every_surrogate_and_acquisition_looks_near_the_best(surrogate, acquisition):
    searcher = BayesianSearcher(surrogate=surrogate, acquisition=acquisition)
    trials = [({"x": x}, (x - 0.3) ** 2) for x in np.linspace(0, 1, 24).tolist()]
    found = [c["x"] for c in proposals(searcher, X, history_of(X, trials))]
    assert np.median(np.abs(np.array(found) - 0.3)) < 0.15  # at random: 0.25


@pytest.mark.parametrize("surrogate", ["RF", "ET", "GBRT"])
def test_trees_repeat_themselves_whatever_the_global_random_state(surrogate):
    searcher, space = BayesianSearcher(surrogate=surrogate), SPACES["mixed"]
    history = drawn_history(space, 14)
    with preserved_random_state():
        seed_everything(1)
        first = proposals(searcher, space, history, n=1, seeds=1)
        seed_everything(2)
        assert proposals(searcher, space, history, n=1, seeds=1) == first


@pytest.mark.parametrize("acquisition", ["EI", "PI"])
def test_greater_xi_explores_more(acquisition):
    def distance(xi):
        searcher = BayesianSearcher(acquisition=acquisition, xi=xi)
        return abs(proposals(searcher, X, trials, seeds=1)[0]["x"] - 0.1)

    trials = history_of(X, [({"x": x}, x) for x in np.linspace(0.1, 0.4, 12).tolist()])
    assert distance(xi=5) > distance(xi=0)


def test_greater_kappa_explores_more():
    def distance(kappa):
        searcher = BayesianSearcher(acquisition="LCB", kappa=kappa)
        return abs(proposals(searcher, X, trials, seeds=1)[0]["x"] - 0.3)

    trials = history_of(X, [({"x": x}, (x - 0.3) ** 2) for x in np.linspace(0.2, 0.5, 12)])
    assert distance(kappa=100) > distance(kappa=0.1)


def test_initial_configs_fill_the_space_more_evenly_than_random_ones():
    space = Space({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)})

    def discrepancy(seed):
        trials = search(BayesianSearcher(), space, lambda config, rng: 0.0, 10, seed=seed).trials
        return qmc.discrepancy([space.encode(trial.config) for trial in trials])

    def random_discrepancy(seed):
        return qmc.discrepancy(np.random.default_rng(seed).random((10, 3)))

    designed = [discrepancy(seed) for seed in range(9)]
    assert np.max(designed) < np.median([random_discrepancy(seed) for seed in range(9)])
    assert len(set(designed)) == 9  # and still they are random


def test_initial_configs_look_at_what_is_there():
    """A quarter of the space that is full already is left alone."""
    taken = [({"x": x}, 0.0) for x in np.linspace(0.0, 0.25, 8).tolist()]
    found = [c["x"] for c in proposals(BayesianSearcher(), X, history_of(X, taken), seeds=20)]
    assert all(x > 0.25 for x in found)


def test_scaling_the_losses_changes_nothing():
    scaled = [(config, 1024 * loss) for config, loss in BOWL]
    searcher = BayesianSearcher()
    assert proposals(searcher, X, history_of(X, scaled)) == proposals(
        searcher, X, history_of(X, BOWL)
    )


def test_a_diverged_training_hides_nothing():
    """One training that went wrong by any factor leaves the good ones as distinct as before."""
    for worst in (1.0, 1e9):
        trials = [*BOWL[:-1], ({"x": 1.0}, worst)]
        found = [c["x"] for c in proposals(BayesianSearcher(), X, history_of(X, trials))]
        assert np.max(np.abs(np.array(found) - 0.3)) < 0.1


def test_pending_configs_are_not_crowded():
    history = history_of(X, BOWL)
    [first] = proposals(BayesianSearcher(), X, history, seeds=1)
    history.add_trial(first)
    [second] = proposals(BayesianSearcher(), X, history, seeds=1)
    assert abs(first["x"] - second["x"]) > 1e-3


def test_batches_do_as_well_as_single_proposals():
    losses = [
        t.loss for t in search(BayesianSearcher(), branin.space, branin.loss, 28, batch=4).trials
    ]
    assert min(losses) < 1.0


def model(space, n_trials):
    history = drawn_history(space, n_trials)
    points = np.array([space.encode(config) for config, _ in history.observed()])
    losses = standardised(np.array([loss for _, loss in history.observed()]))
    return _Model(BayesianSearcher(), space, points, losses, np.random.default_rng(0))


def test_conditioning_on_the_same_data_changes_nothing():
    surrogate = model(SPACES["mixed"], 30)
    with repeatable():
        fitted = surrogate._with_kernel
        seen = features(SPACES["mixed"], surrogate._points)
        again = conditioned(fitted, seen, surrogate._losses)
        new = np.random.default_rng(1).random((50, seen.shape[1]))
        expected, found = fitted.predict(new, return_std=True), again.predict(new, return_std=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_lies_make_the_surrogate_certain_at_pending_configs():
    surrogate = model(SPACES["many"], 20)
    pending = np.full(12, 0.9)
    seen = features(SPACES["many"], pending[np.newaxis])
    with repeatable():
        _, before = surrogate._with_lies([]).predict(seen, return_std=True)
        mean, after = surrogate._with_lies([pending]).predict(seen, return_std=True)
    assert after < 0.8 * before
    assert abs(mean) < 0.5


def test_options_are_equally_far_from_each_other_and_constants_are_left_out():
    space = Space({"a": Choice([1, 2, 3, 4]), "b": Choice([0, 1]), "c": Int(3, 3), "d": Int(1, 4)})
    of_a = np.array([space.encode({"a": a, "b": 0, "c": 3, "d": 1}) for a in (1, 2, 3, 4)])
    seen = features(space, of_a)
    assert seen.shape == (4, 4 + 1 + 1)
    distances = np.linalg.norm(seen[:, np.newaxis] - seen, axis=2)
    assert len(set(distances[np.triu_indices(4, 1)])) == 1


LOSSES = arrays(
    float, st.integers(1, 30), elements=st.floats(allow_nan=False, allow_infinity=False)
)


@given(LOSSES)
def test_standardised_losses_are_finite_and_keep_their_order(losses):
    found = standardised(losses)
    assert np.isfinite(found).all()
    assert abs(found.mean()) < 1e-6
    order = np.argsort(losses, kind="stable")
    assert (np.diff(found[order]) >= -1e-9).all()


@given(st.floats(1, 1e12))
def test_standardised_losses_bound_an_outlier(factor):
    losses = np.append(np.linspace(0, 1, 20), factor)
    found = standardised(losses)
    assert found.max() < 3
    assert found[10] - found[0] > 1  # the good half stays apart


def test_proposes_from_a_branch_of_conditions():
    space = SPACES["conditional"]

    def loss(config, rng):
        return abs(config.get("damping", 2.0) - 0.7)

    trials = search(BayesianSearcher(), space, loss, 26).trials
    assert min(trial.loss for trial in trials) < 0.1


@given(LOSSES, st.integers(6, 12))
def test_the_best_the_newest_and_a_spread_are_kept(losses, most):
    kept = informative(losses, most)
    assert len(kept) == min(most, len(losses))
    assert sorted(set(kept.tolist())) == kept.tolist()
    assert len(losses) - 1 in kept
    assert losses[kept].min() == losses.min()
    if len(losses) > most:
        others = np.sort(np.delete(losses, kept))
        assert losses[kept].max() >= others[-1]


def test_a_surrogate_has_a_bounded_number_of_observations(monkeypatch):
    monkeypatch.setattr(_bayesian, "_OBSERVATIONS", 20)
    surrogate = model(SPACES["mixed"], 50)
    with repeatable():
        assert surrogate._fitted.X_train_.shape[0] == 20
    pending = [np.full(surrogate._points.shape[1], 0.5)] * 2
    with repeatable():
        assert surrogate._with_lies(pending).X_train_.shape[0] == 22


def test_a_kernel_is_kept_while_little_more_is_known_and_follows_from_the_history():
    space, rng = SPACES["many"], np.random.default_rng(0)
    trials = [(space.sample(rng), float(number)) for number in range(63)]
    searcher, found, kernels = BayesianSearcher(), [], []
    for known in range(60, 64):
        history = history_of(space, trials[:known])
        found += searcher.propose(space, history, 1, rng=np.random.default_rng(known))
        kernels.append(searcher._kernel[1])
    assert len({id(kernel) for kernel in kernels}) == 2  # of 60 and of 63 trials
    resumed = BayesianSearcher()
    history = history_of(space, trials[:62])
    assert resumed.propose(space, history, 1, rng=np.random.default_rng(62)) == [found[2]]

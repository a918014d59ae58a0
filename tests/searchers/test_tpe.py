import math

import numpy as np
import pytest

from proxyhpo._records.history import History
from proxyhpo.errors import ArgumentError
from proxyhpo.searchers._tpe import TPESearcher, _Parzen
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.testing.searchers import tell
from tests.searchers.functions import search


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_initial", 0),
        ("n_initial", 2.5),
        ("n_candidates", True),
        ("gamma", 0),
        ("gamma", math.inf),
        ("prior_weight", "1"),
    ],
)
def test_bad_settings_are_refused_by_name(name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be .* got {value!r}"):
        TPESearcher(**{name: value})


def proposals(space, trials, n=40, pending=(), **settings):
    """First proposals of many generators, given trials of (config, loss)."""
    history = History()
    for config, loss in trials:
        tell(history, space.validate(config), loss)
    for config in pending:
        history.add_trial(space.validate(config))
    searcher = TPESearcher(**settings)
    return [
        searcher.propose(space, history, 1, rng=np.random.default_rng(seed))[0] for seed in range(n)
    ]


def spread(configs, name):
    return np.std([config[name] for config in configs])


X = Space({"x": Float(0, 1)})
BOWL = [({"x": x}, abs(x - 0.3)) for x in np.linspace(0, 1, 20).tolist()]


def test_random_until_enough_trials_have_ended():
    early = proposals(X, BOWL, n_initial=21)
    late = proposals(X, BOWL, n_initial=20)
    assert spread(early, "x") > 0.2 > 2 * spread(late, "x")


def test_random_while_everything_has_failed():
    failed = [(config, None) for config, _ in BOWL]
    assert spread(proposals(X, failed), "x") > 0.2


def test_gamma_says_how_many_are_good():
    """The best trial lies in one valley, all the next best ones in another."""
    trials = [({"x": 0.2}, 0.0)]
    trials += [({"x": 0.8 + 0.001 * i}, 0.1) for i in range(8)]
    trials += [({"x": x}, 1.0) for x in np.linspace(0, 1, 16).tolist()]
    few, many = (proposals(X, trials, gamma=gamma) for gamma in (0.1, 1.8))  # 1 and 9 of 25
    assert all(config["x"] < 0.5 for config in few)
    assert any(config["x"] > 0.7 for config in many)


def test_fewer_candidates_explore_more():
    few, many = (proposals(X, BOWL, n_candidates=n) for n in (1, 24))
    assert spread(few, "x") > spread(many, "x")


def test_greater_prior_weight_explores_more():
    heavy, light = (proposals(X, BOWL, prior_weight=weight) for weight in (20, 0.1))
    assert spread(heavy, "x") > spread(light, "x")


def test_pending_trials_push_away():
    pending = [{"x": 0.3 + 0.001 * i} for i in range(-10, 11)]
    near = [abs(c["x"] - 0.3) < 0.05 for c in proposals(X, BOWL)]
    near_pending = [abs(c["x"] - 0.3) < 0.05 for c in proposals(X, BOWL, pending=pending)]
    assert sum(near_pending) < 0.5 * sum(near)


def test_log_scale_is_searched_on_its_scale():
    space = Space({"lr": Float(1e-6, 1, log=True)})
    trials = [({"lr": lr}, abs(math.log10(lr) + 5)) for lr in np.logspace(-6, 0, 20).tolist()]
    logs = [math.log10(config["lr"]) for config in proposals(space, trials)]
    assert abs(np.median(logs) + 5) < 0.5


def test_whole_numbers_are_in_order():
    """What is learned at some values holds for those between them, which were never tried."""
    space = Space({"n": Int(1, 1000)})
    trials = [({"n": n}, abs(n - 300)) for n in range(1, 1000, 50)]
    numbers = [config["n"] for config in proposals(space, trials)]
    assert np.median(np.abs(np.array(numbers) - 300)) < 60
    assert any(n % 50 != 1 for n in numbers)


def test_inactive_hyperparameters_are_hidden_from_hyperopt():
    space = Space({"kind": Choice(["with", "without"]), "x": Float(0, 1, when=("kind", "with"))})
    history = History()
    tell(history, {"kind": "with", "x": 0.75}, 1.0)
    tell(history, {"kind": "without"}, 2.0)
    parzen = _Parzen(space)
    parzen.observe(history)
    told = [document["misc"]["vals"] for document in parzen._documents]
    assert told == [{"kind": [0], "x": [0.75]}, {"kind": [1], "x": []}]


def test_each_trial_is_encoded_once(monkeypatch):
    encode, encoded = Space.encode, []
    monkeypatch.setattr(Space, "encode", lambda *args: encoded.append(args) or encode(*args))
    search(TPESearcher(), X, lambda config, rng: abs(config["x"] - 0.3), 40)
    assert len(encoded) < 3 * 40


@pytest.mark.parametrize("other", [Space({"y": Float(0, 1)}), X], ids=["of its own", "the same"])
def test_a_search_of_any_space_may_use_it_at_the_same_time(other, monkeypatch):
    """As if it ran in another thread: it proposes while the trials of this one are encoded."""
    history = History()
    for config, loss in BOWL:
        tell(history, X.validate(config), loss)
    others = search(TPESearcher(), other, lambda config, rng: -config[other.names[0]], 12)
    [expected] = TPESearcher().propose(X, history, 1, rng=np.random.default_rng(0))
    encode, searcher = Space.encode, TPESearcher()
    mine = {id(trial.config) for trial in history.trials}

    def interrupted(space, config):
        if id(config) in mine:
            searcher.propose(other, others, 1, rng=np.random.default_rng(1))
        return encode(space, config)

    monkeypatch.setattr(Space, "encode", interrupted)
    assert searcher.propose(X, history, 1, rng=np.random.default_rng(0)) == [expected]


def test_conditions_of_conditions_are_searched():
    space = Space(
        {
            "optimizer": Choice(["adam", "sgd"]),
            "nesterov": Choice([False, True], when=("optimizer", "sgd")),
            "momentum": Float(0, 1, when=("nesterov", True)),
        }
    )

    def loss(config, rng):
        return abs(config.get("momentum", 2.0) - 0.7)

    history = search(TPESearcher(), space, loss, 50)
    assert min(trial.loss for trial in history.trials) < 0.05
    assert sum("momentum" in trial.config for trial in history.trials[10:]) > 35  # of 40

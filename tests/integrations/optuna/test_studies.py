"""Optuna's studies become known results, and results become its studies."""

import optuna
import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, Int, ProxyHPO, Rung, Space
from proxyhpo.errors import ArgumentError
from proxyhpo.integrations.optuna import OptunaSearcher, from_objective, from_optuna, to_optuna

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_each_rung_of_a_search_becomes_a_study(tmp_path):
    space = Space(
        {
            "lr": Float(1e-3, 1, log=True),
            "kind": Choice(["a", "b"]),
            "extra": Int(1, 8, when=("kind", "b")),
        }
    )

    def train(network, config):
        for epoch in range(3):
            if config["kind"] == "b" and config["extra"] == 8:
                raise RuntimeError("no memory")
            yield {"value": config["lr"] * (epoch + 1), "loss": 1.0}

    hpo = ProxyHPO(
        lambda: nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2)),
        train,
        space,
        example_inputs=torch.zeros(8, 4),
        direction="minimize",
        ladder=[Rung(0.5, keep=2), Rung(1)],
        searcher=OptunaSearcher(),
        progress=False,
    )
    hpo.enqueue({"lr": 0.5, "kind": "b", "extra": 8})
    result = hpo.run(6)
    storage = f"sqlite:///{tmp_path}/optuna.db"
    below, top = to_optuna(result, storage=storage, name="search")
    assert [len(below.trials), len(top.trials)] == [6, 2]
    assert top.best_value == result.best_value
    assert top.best_params == result.best_config
    best = top.best_trial
    assert best.intermediate_values == {
        step: report.value for step, report in enumerate(result.best_record.reports, 1)
    }
    assert best.user_attrs["trial"] == result.best_record.trial
    assert best.duration.total_seconds() == pytest.approx(result.best_record.seconds, abs=1e-5)
    assert best.datetime_start.timestamp() == pytest.approx(result.best_record.started_at, abs=1e-5)
    assert below.user_attrs["trains"] == "density 0.5"
    assert top.user_attrs["cost in base trainings"] == result.cost.rungs[1].base_trainings
    states = {trial.user_attrs["trial"]: trial.state.name for trial in below.trials}
    assert states[0] == "FAIL"
    assert (
        optuna.load_study(study_name="search rung 1", storage=storage).best_value == top.best_value
    )
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        to_optuna(result, storage=storage, name="search")


def paid_for(direction="minimize", *, high=1.0):
    """An Optuna study of three trials, one of them failed."""
    study = optuna.create_study(direction=direction)
    axes = {
        "lr": optuna.distributions.FloatDistribution(1e-3, high, log=True),
        "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
    }
    for lr, kind, value in ((0.01, "a", 3.0), (high, "b", 2.0), (0.5, "a", None)):
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(
                params={"lr": lr, "kind": kind}, distributions=axes, value=value, state=state
            )
        )
    return study


def searching(direction="minimize"):
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2)),
        lambda network, config: config["lr"],
        {"lr": Float(1e-3, 1, log=True), "kind": Choice(["a", "b"])},
        example_inputs=torch.zeros(8, 4),
        direction=direction,
        progress=False,
    )


def test_trials_that_a_study_has_paid_for_become_known_results():
    hpo = searching()
    assert from_optuna(paid_for(), hpo) == 2
    assert from_optuna(paid_for(), hpo) == 0  # all are known
    assert [(known.config, known.value, known.source) for known in hpo.result.known] == [
        ({"lr": 1.0, "kind": "b"}, 2.0, "Optuna trial 1"),
        ({"lr": 0.01, "kind": "a"}, 3.0, "Optuna trial 0"),
    ]


def test_trials_outside_the_space_are_left_out():
    assert from_optuna(paid_for(high=2.0), searching()) == 1


def test_options_that_are_tuples_become_labels_and_the_labels_become_tuples(tmp_path):
    sizes = [(64,), (64, 32)]
    x = torch.zeros(8, 4)

    def define_model(trial):
        trial.suggest_categorical("sizes", sizes)
        return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))

    def objective(trial, network):
        network(x)
        for epoch in (10, 20):
            trial.report(1.0, epoch)
        return 0.5

    hpo = from_objective(
        define_model, objective, direction="minimize", proxies=False, progress=False
    )
    for storage in (None, f"sqlite:///{tmp_path}/optuna.db"):
        study = optuna.create_study(storage=storage)
        with pytest.warns(UserWarning, match="tuple"):
            axis = optuna.distributions.CategoricalDistribution(sizes)
            study.add_trial(
                optuna.create_trial(
                    params={"sizes": sizes[storage is None]},
                    distributions={"sizes": axis},
                    value=1.0,
                )
            )
            assert from_optuna(study, hpo) == 1
    assert {known.config["sizes"] for known in hpo.result.known} == {"(64,)", "(64, 32)"}
    hpo = from_objective(
        define_model, objective, direction="minimize", proxies=False, progress=False
    )
    result = hpo.run(1)
    fixed = optuna.trial.FixedTrial(hpo.space.resolve(result.best_config))
    with pytest.warns(UserWarning, match="tuple"):
        assert fixed.suggest_categorical("sizes", sizes) in sizes
    [study] = to_optuna(result)
    assert study.best_trial.intermediate_values == {10: 1.0, 20: 1.0, 21: 0.5}


def test_a_study_that_teaches_nothing_is_refused():
    with pytest.raises(ArgumentError, match=r"has .*'maximize'.*hpo has the direction minimize"):
        from_optuna(paid_for("maximize"), searching())
    with pytest.raises(ArgumentError, match="it has no completed trial"):
        from_optuna(optuna.create_study(), searching())
    other = optuna.create_study()
    other.add_trial(optuna.create_trial(params={}, distributions={}, value=1.0))
    with pytest.raises(ArgumentError, match=r"in the space; the first: add: '.*' is missing"):
        from_optuna(other, searching())

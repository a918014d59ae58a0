"""An objective that was written for Optuna trains proxies and full networks."""

import copy
import io

import cloudpickle
import optuna
import pytest
import torch
from numpy.random import SeedSequence
from torch import nn

from proxyhpo import Float, Int, ProxyHPO, Rung, Space
from proxyhpo.errors import (
    ArgumentError,
    StudyMismatchError,
    TrainingFailedError,
    UnknownNameError,
)
from proxyhpo.integrations.optuna import from_objective
from proxyhpo.integrations.optuna._objective import ObjectiveEvaluator, _warn_of_last_weights
from proxyhpo.stoppers import Stopper
from tests.integrations.reports import Reports, run

X = torch.rand(8, 4)


def define_model(trial):
    units = trial.suggest_int("units", 64, 96, step=16)
    return nn.Sequential(nn.Linear(4, units), nn.ReLU(), nn.Linear(units, 1))


def objective(trial, network):
    lr = trial.suggest_float("lr", 1e-3, 1, log=True)
    for epoch in range(3):
        network(X)
        trial.report(lr * (epoch + 1), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return lr * 3


def search(objective=objective, define_model=define_model, **options):
    options = {"direction": "minimize", "progress": False, "searcher": "random", **options}
    return from_objective(define_model, objective, **options)


def test_a_search_finds_the_space_and_trains_proxies_and_the_full_network():
    hpo = search(density=0.5)
    assert hpo.space == Space({"units": Int(64, 96, step=16), "lr": Float(1e-3, 1, log=True)})
    result = hpo.run(4, finalists=1)
    assert [record.rung for record in result.records] == [0, 0, 0, 0, 1]
    assert all(record.width_ratio < 1 for record in result.records[:4])
    assert all(len(record.reports) == 3 for record in result.records)
    assert result.best_value == result.best_config["lr"] * 3


def reports(objective, *, most=100, trial=None, **options):
    """What a training with this objective reports."""
    heard = Reports(most)
    evaluator = ObjectiveEvaluator(objective, None, **options)
    evaluator.evaluate(nn.Linear(4, 1), {"lr": 0.5}, heard, trial=trial or run())
    return [value for value, _ in heard]


def returning(value, *, after):
    """An objective that reports some values and returns one, whatever it is told."""

    def objective(trial, network):
        for step, reported in enumerate(after):
            trial.report(reported, step)
        return value

    return objective


@pytest.mark.parametrize(
    ("reported", "returned", "expected"),
    [
        ([0.3, 0.1, 0.2], 0.2, [0.3, 0.1, 0.2]),
        ([0.3, 0.1, 0.2], 0.1, [0.3, 0.1, 0.2, 0.1]),  # such as the best epoch
        ([0.3], None, [0.3]),
        ([], torch.tensor(0.5), [0.5]),
    ],
)
def test_the_returned_value_is_the_last_report(reported, returned, expected):
    assert reports(returning(returned, after=reported)) == expected


def test_an_objective_that_returns_its_best_epoch_is_told_about_the_weights_once(caplog):
    best = returning(0.1, after=[0.3, 0.1, 0.2])

    def loading(trial, network):
        value = best(trial, network)
        network.load_state_dict(network.state_dict())
        return value

    _warn_of_last_weights.cache_clear()
    assert reports(loading) == [0.3, 0.1, 0.2, 0.1]
    assert reports(best, use_report="best") == [0.3, 0.1, 0.2]
    assert not caplog.records
    assert reports(best) == reports(best) == [0.3, 0.1, 0.2, 0.1]
    assert [("use_report=" in record.message) for record in caplog.records] == [True]


def test_an_objective_may_save_and_copy_its_network():
    def saving(trial, network):
        file = io.BytesIO()
        torch.save(network, file)
        file.seek(0)
        for same in (torch.load(file, weights_only=False), copy.deepcopy(network)):
            same.load_state_dict(network.state_dict())
        return 0.5

    assert reports(saving) == [0.5]


def test_the_best_report_can_be_the_value():
    def falling(trial, network):
        network(X)
        return returning(0.1, after=[0.3, 0.1, 0.2])(trial, network)

    record = search(falling, proxies=False, use_report="best").run(1).records[0]
    assert (record.value, len(record.reports)) == (0.1, 3)


@pytest.mark.parametrize(
    ("trial", "expected"), [(run(), [0.5, 1.0, 1.5]), (run(budget=0.5), [0.5, 1.0])]
)
@pytest.mark.parametrize("asks", [objective, returning(1.5, after=[0.5, 1.0, 1.5])])
def test_with_steps_only_a_shorter_training_is_ended(asks, trial, expected):
    assert reports(asks, steps=4, trial=trial) == expected
    assert reports(asks, steps=2) == [0.5, 1.0, 1.5]


def test_with_steps_the_returned_value_is_that_of_the_trial():
    def tested(trial, network):
        lr = trial.suggest_float("lr", 1e-3, 1, log=True)
        for epoch in range(4):
            network(X)
            trial.report(epoch, epoch)
            if trial.should_prune():
                break
        return lr

    ladder = [Rung(1, budget=0.5, keep=1), Rung(1)]
    short, full = search(tested, steps=4, ladder=ladder).run(1).records
    lr = full.config["lr"]
    assert [report.value for report in short.reports] == [0, 1, lr]
    assert [report.value for report in full.reports] == [0, 1, 2, 3, lr]
    assert {record.state for record in (short, full)} == {"finished"}


def test_one_that_prunes_itself_before_its_budget_is_spent_has_failed():
    def picky(trial, network):
        trial.report(0.5, 0)
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        reports(picky, steps=4, trial=run(budget=0.5))


def test_another_number_of_steps_is_another_study(tmp_path):
    options = {"ladder": [Rung(1, budget=0.5, keep=1), Rung(1)], "store": tmp_path / "study.db"}
    search(steps=3, **options).run(1)
    with pytest.raises(StudyMismatchError, match="steps"):
        search(steps=4, **options).run(1)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("sampler", "searcher="),
        ("storage", "store="),
        ("study_name", "store="),
        ("n_jobs", r"executor=.*ProcessExecutor\(workers="),
        ("directions", "direction="),
    ],
)
def test_arguments_of_optuna_are_refused_with_their_counterpart(name, ours):
    for search_with, what in ((search, "from_objective"), (plain_search, "ProxyHPO")):
        with pytest.raises(UnknownNameError, match=f"argument of {what}: '{name}'; use {ours}"):
            search_with(**{name: 1})


def plain_search(**options):
    return ProxyHPO(nn.Linear(4, 1), objective, {}, example_inputs=X, pretrained=False, **options)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("finalist", "'finalist'; did you mean 'finalists'"),
        ("example_input", "'example_input'; did you mean 'example_inputs'"),
        ("train", "'train'"),
    ],
)
def test_a_misspelt_argument_is_refused_before_the_functions_are_run(name, said):
    called = []
    with pytest.raises(UnknownNameError, match=f"^unknown argument of from_objective: {said}"):
        search(define_model=called.append, **{name: 1})
    assert called == []


def test_several_objectives_are_refused():
    with pytest.raises(TypeError, match="objective returned"):
        reports(returning((0.1, 0.2), after=[]))


@pytest.mark.parametrize("asks", [objective, returning(0.0, after=[0.5, 1.0, 1.5])])
def test_a_training_that_must_end_is_pruned_also_if_the_objective_never_asks(asks):
    with pytest.raises(optuna.TrialPruned):
        reports(asks, most=2)


class EndsAllButTheFirst(Stopper):
    """Ends every training that has a peer."""

    def should_stop(self, losses, peers):
        return True


def test_what_the_study_stops_is_stopped_and_what_prunes_itself_has_failed():
    def picky(trial, network):
        value = objective(trial, network)
        if value > 1.5:
            raise optuna.TrialPruned("too fast")
        return value

    hpo = search(picky, density=0.5, stopper=EndsAllButTheFirst())
    for lr in (0.9, 0.4, 0.3):
        hpo.enqueue({"units": 64, "lr": lr})
    failed, finished, stopped = hpo.run(3, finalists=1).records[:3]
    assert (failed.state, failed.reason) == ("failed", "TrialPruned: too fast")
    assert (finished.state, len(finished.reports)) == ("finished", 3)
    assert (stopped.state, len(stopped.reports)) == ("stopped", 1)


def test_a_parameter_that_is_suggested_too_late_is_named_with_the_way_out():
    def late(trial, network):
        return objective(trial, network) * trial.suggest_float("scale", 0.5, 2)

    with pytest.raises(TrainingFailedError, match=r"'scale' is not in the config.*pass space="):
        search(late, proxies=False).run(5)
    space = {"units": 64, "lr": 0.1, "scale": Float(0.5, 1)}  # narrower than in the script
    result = search(late, proxies=False, space=space).run(2)
    assert result.best_value == pytest.approx(result.best_config["scale"] * 0.3)


def test_a_space_of_ones_own_needs_a_single_run_to_see_the_inputs():
    numbers = []

    def counting(trial, network):
        numbers.append(trial.suggest_int("n", 0, 9))
        network(X)

    search(counting, space={"units": 64, "n": Int(5, 5), "lr": Float(0, 1)})
    assert numbers == [5]
    search(counting, space={"units": 64, "n": Int(5, 5)}, example_inputs=X)
    assert numbers == [5]


def test_a_config_of_objects_reaches_both_functions():
    def model(trial):
        act = trial.suggest_categorical("act", [nn.ReLU, nn.Tanh])
        return nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 1))

    def same(trial, network):
        act = trial.suggest_categorical("act", [nn.ReLU, nn.Tanh])
        network(X)
        return float(isinstance(network[1], act)) + trial.number

    result = search(same, model, proxies=False).run(2)
    assert sorted(record.config["act"] for record in result.records) == ["ReLU", "Tanh"]
    assert [record.value for record in result.records] == [1.0, 2.0]


def test_both_functions_travel_to_workers():
    problem = cloudpickle.loads(cloudpickle.dumps(search(proxies=False)._setup.problem))
    network = problem.networks.network({"units": 64, "lr": 0.5}, density=1, seed=SeedSequence(0))
    heard = Reports()
    problem.evaluator.evaluate(network, {"units": 64, "lr": 0.5}, heard, trial=run())
    assert heard == [(0.5, {"step": 0}), (1.0, {"step": 1}), (1.5, {"step": 2})]


def test_a_study_is_resumed_by_the_same_script_and_by_no_other(tmp_path):
    def changed(trial, network):
        return objective(trial, network) + 0.0

    def wider(trial, network):
        network(X)
        return trial.suggest_float("lr", 1e-3, 2, log=True)

    options = {"proxies": False, "store": tmp_path / "study.db"}
    first = search(**options).run(1)
    assert search(**options).run(2).records[0] == first.records[0]
    with pytest.warns(UserWarning, match="the source of train has changed"):
        search(changed, **options).run(2)
    with pytest.raises(StudyMismatchError, match="lr"):
        search(wider, **options).run(3)


def test_an_objective_as_it_was_before_is_told_what_to_change():
    with pytest.raises(ArgumentError, match="Add the network as its second parameter"):
        search(lambda trial: 0.0)
    with pytest.raises(ArgumentError, match=r"define_model must be a function .*got .Linear"):
        search(define_model=[nn.Linear(4, 1)])


def test_a_network_that_takes_keywords_needs_no_example_inputs():
    class Wrapper(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, *args, **kwargs):
            return self.network(*args) * kwargs["scale"]

    def scaled(trial, network):
        return network(X, scale=torch.ones(8, 1)).mean()

    hpo = search(scaled, lambda trial: Wrapper(define_model(trial)), density=0.5)
    assert hpo.run(1, finalists=1).records[0].width_ratio < 1


def test_inputs_must_be_given_where_the_network_is_not_called():
    def indirect(trial, network):
        return trial.suggest_float("lr", 0, 1)

    with pytest.raises(ArgumentError, match="example_inputs must be given"):
        search(indirect)
    assert search(indirect, example_inputs=X).direction == "minimize"

"""Trainings of the supervised evaluator."""

import math

import cloudpickle
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from proxyhpo.evaluators import SupervisedEvaluator
from tests.evaluators.supervised import (
    TRAIN,
    VALIDATION,
    blobs,
    classification,
    classifier,
    line,
    rates_of,
    run,
)


def test_it_learns_to_classify_and_reports_each_epoch():
    reports = run(classification(epochs=5), {"lr": 0.1, "momentum": 0.9})
    assert len(reports) == 5
    assert reports[-1].value > 0.95
    assert reports[-1].metrics["loss"] < 0.3


def test_it_learns_to_regress():
    evaluator = SupervisedEvaluator(line(200, 0), line(50, 1), task="regression", epochs=20)
    torch.manual_seed(0)
    reports = run(evaluator, {"lr": 0.1}, network=nn.Linear(2, 1))
    assert reports[-1].value < 1e-3 < reports[0].value
    assert all(report.metrics == {"loss": report.value} for report in reports)


def test_targets_without_the_last_dimension_do_not_broadcast():
    # Broadcasting (B, 1) with (B,) would learn the mean only, with a loss of about 5.
    evaluator = SupervisedEvaluator(line(64, 0), line(64, 1), task="regression", epochs=30)
    assert run(evaluator, {"lr": 0.1}, network=nn.Linear(2, 1))[-1].value < 0.1


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_learns(name):
    lr = 0.2 if name == "sgd" else 0.02
    [*_, last] = run(classification(epochs=5, batch_size=8), {"optimizer": name, "lr": lr})
    assert last.value > 0.95


@pytest.mark.parametrize(
    "config, expected",
    [
        ({"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01},
         {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01, "nesterov": True}),
        ({"momentum": 0.0}, {"momentum": 0.0, "nesterov": False}),
        ({"optimizer": "adam", "beta1": 0.8}, {"betas": (0.8, 0.999)}),
        ({"optimizer": "adamw", "beta2": 0.9, "momentum": 0.9}, {"betas": (0.9, 0.9)}),
        ({"optimizer": "rmsprop", "momentum": 0.5, "beta1": 0.5}, {"momentum": 0.5}),
    ],
)  # fmt: skip
def test_the_optimizer_gets_its_hyperparameters(monkeypatch, config, expected):
    seen = []
    init = torch.optim.Optimizer.__init__

    def spy(self, params, defaults):
        seen.append((type(self).__name__, dict(defaults)))
        init(self, params, defaults)

    monkeypatch.setattr(torch.optim.Optimizer, "__init__", spy)
    run(classification(schedule="constant", epochs=1), config)
    [(name, defaults)] = seen
    assert name.lower() == config.get("optimizer", "sgd")
    assert {key: defaults[key] for key in expected} == expected


def test_arguments_serve_where_the_config_is_silent_and_the_config_wins(monkeypatch):
    evaluator = classification(epochs=2, batch_size=50, schedule="constant")
    rates, reports = rates_of(monkeypatch, evaluator, {"lr": 0.1})
    assert (len(rates), len(reports)) == (2 * 4, 2)
    rates.clear()
    reports = run(evaluator, {"lr": 0.1, "batch_size": 20, "epochs": 3})
    assert (len(rates), len(reports)) == (3 * 10, 3)


@pytest.mark.parametrize(
    "budget, steps, epochs", [(1.0, 12, 3), (0.5, 6, 2), (1 / 3, 4, 1), (1e-6, 1, 1), (0.1, 1, 1)]
)
def test_a_budget_takes_a_fraction_of_the_steps(monkeypatch, budget, steps, epochs):
    rates, reports = rates_of(
        monkeypatch, classification(batch_size=50), {"lr": 1.0}, budget=budget
    )
    assert (len(rates), len(reports)) == (steps, epochs)
    # The cosine anneals within the budget, whatever that is.
    expected = [(1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]
    assert rates == pytest.approx(expected)


def test_a_constant_schedule_is_constant(monkeypatch):
    rates, _ = rates_of(monkeypatch, classification(schedule="constant"), {"lr": 0.25})
    assert set(rates) == {0.25}


def test_equal_seeds_give_equal_trainings_and_others_do_not():
    evaluator = classification()
    config = {"lr": 0.1, "batch_size": 16}
    one, two, other = (run(evaluator, config, seed=seed) for seed in (5, 5, 6))
    assert one == two != other


def test_the_global_random_state_is_not_used():
    before = torch.get_rng_state()
    network = nn.Linear(2, 3)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    run(classification(), {"lr": 0.1}, network=network)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(before, after)


def test_a_last_batch_of_one_does_not_break_batch_normalisation():
    evaluator = SupervisedEvaluator(blobs(33, 0), blobs(33, 1), batch_size=32, epochs=1)
    assert len(run(evaluator, {"lr": 0.1}, network=classifier(norm=True))) == 1


def test_training_is_in_train_mode_and_validation_in_eval_mode():
    class Watcher(nn.Linear):
        modes = ()

        def forward(self, x):
            self.modes = (*self.modes, (self.training, torch.is_grad_enabled()))
            return super().forward(x)

    network = Watcher(2, 3)
    run(classification(epochs=2, batch_size=200), {"lr": 0.1}, network=network)
    assert network.modes == ((True, True), (False, False)) * 2


def test_label_smoothing_reaches_the_training_loss_only():
    plain, smooth = (
        run(classification(epochs=1), {"lr": 0.0, "label_smoothing": s})[0] for s in (0.0, 0.5)
    )
    assert plain == smooth  # nothing was learned at rate 0, and validation is never smoothed
    trained = [run(classification(), {"lr": 0.1, "label_smoothing": s})[-1] for s in (0.0, 0.5)]
    assert trained[0].metrics["loss"] < trained[1].metrics["loss"]


def test_a_loss_and_a_metric_of_the_users_own():
    sizes = []

    def metric(outputs, targets):
        sizes.append((tuple(outputs.shape), tuple(targets.shape)))
        return -1

    evaluator = classification(loss=nn.MultiMarginLoss(), metric=metric)
    [*_, last] = run(evaluator, {"lr": 0.1})
    assert last.value == -1
    assert set(sizes) == {((100, 3), (100,))}  # all validation examples at once
    assert evaluator.direction is None


def test_the_direction_is_known_unless_the_metric_is_the_users():
    assert classification().direction == "maximize"
    assert classification(loss=nn.MultiMarginLoss()).direction == "maximize"
    regression = SupervisedEvaluator(line(9, 0), line(9, 1), task="regression")
    assert regression.direction == "minimize"


def test_a_network_that_diverged_has_no_accuracy():
    [*_, last] = run(classification(schedule="constant"), {"lr": 1e20})
    assert math.isnan(last.value)


def test_images_are_classified_too():
    x, y = torch.randn(12, 3, 8, 8), torch.randint(4, (12, 8, 8))
    evaluator = SupervisedEvaluator((x, y), (x, y), epochs=1, batch_size=4)
    [report] = run(evaluator, {"lr": 0.1}, network=nn.Conv2d(3, 4, 1))
    assert 0 <= report.value <= 1


class Pairs(Dataset):
    """Named inputs, as text data sets give."""

    def __init__(self, data):
        self.x, self.y = data

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return {"input": self.x[i]}, int(self.y[i])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_trains_as_its_tensors_do(num_workers):
    config = {"lr": 0.1, "batch_size": 64}
    data = [Pairs(data) for data in (TRAIN, VALIDATION)]
    loaded = SupervisedEvaluator(*data, epochs=2, num_workers=num_workers)
    # The loader draws from the generator too, so shuffles differ, but each repeats itself.
    one, two = (run(loaded, config) for _ in range(2))
    assert one == two
    assert one[-1].value == pytest.approx(run(classification(epochs=2), config)[-1].value, abs=0.1)


def test_it_travels_to_other_processes():
    evaluator = classification()
    copy = cloudpickle.loads(cloudpickle.dumps(evaluator))
    assert run(copy, {"lr": 0.1}) == run(evaluator, {"lr": 0.1})


def test_it_ends_when_report_returns_true():
    assert run(classification(), {"lr": 0.1}, most=1) == run(classification(), {"lr": 0.1})[:1]

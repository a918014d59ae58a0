import math

import cloudpickle
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from proxyhpo._records.report import Report
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.evaluators import SupervisedEvaluator, TrialRun
from proxyhpo.space import Choice, Float, Int, Space


def blobs(n, seed):
    """Three well separated clouds in the plane."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    centres = torch.tensor([[3.0, 0], [-3, 3], [-3, -3]])
    return centres[y] + torch.randn(n, 2, generator=generator), y


def line(n, seed):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    return x, x @ torch.tensor([1.0, -2.0]) + 0.5


TRAIN, VALIDATION = blobs(200, 0), blobs(100, 1)


def classifier(*, norm=False):
    torch.manual_seed(0)
    layers = [nn.Linear(2, 8), *([nn.BatchNorm1d(8)] if norm else []), nn.ReLU(), nn.Linear(8, 3)]
    return nn.Sequential(*layers)


def classification(**given):
    return SupervisedEvaluator(TRAIN, VALIDATION, **{"epochs": 3, **given})


def run(evaluator, config, *, network=None, most=math.inf, **changes):
    """What a training reports if it is told to end after ``most`` reports."""
    network = classifier() if network is None else network
    reports = []

    def report(value, **metrics):
        reports.append(Report(value, metrics))
        return len(reports) >= most

    trial = TrialRun(number=0, rung=0, name="trial-0-rung-0", **changes)
    evaluator.evaluate(network, config, report, trial=trial)
    return reports


def rates_of(monkeypatch, evaluator, config, **given):
    """The learning rate of each step of a training."""
    rates = []
    step = torch.optim.SGD.step

    def spy(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    reports = run(evaluator, config, **given)
    return rates, reports


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


ALL = {
    "optimizer": Choice(["sgd", "adam"]),
    "lr": Float(1e-4, 1, log=True),
    "weight_decay": Float(1e-6, 1e-2, log=True),
    "momentum": Float(0, 0.99, when=("optimizer", "sgd")),
    "beta1": Float(0.8, 0.99, when=("optimizer", "adam")),
    "beta2": Float(0.9, 0.999, when=("optimizer", "adam")),
    "batch_size": Int(16, 64, step=16),
    "label_smoothing": Float(0, 0.2),
    "epochs": 3,
}


def test_all_standard_names_are_accepted():
    classification().check(Space(ALL))


@pytest.mark.parametrize(
    "space, given, message",
    [
        ({"weight_deacy": Float(0, 1)}, {}, "did you mean 'weight_decay'"),
        ({"dropout": Float(0, 1)}, {}, r"ignore=\['dropout'\]"),
        ({"momentum": Float(0, 1)}, {"optimizer": "adam"}, "a classification with adam: 'mome"),
        ({"beta1": Float(0, 1)}, {}, "a classification with sgd: 'beta1'"),
        ({"label_smoothing": Float(0, 1)}, {"loss": nn.MultiMarginLoss()}, "'label_smoothing'"),
        ({"optimizer": Choice(["sgd", "adamm"])}, {}, "optimizer 'adamm'; did you mean 'adam'"),
        ({"optimizer": "lion"}, {}, "optimizer 'lion'"),
    ],
)
def test_names_that_training_would_not_use_are_refused(space, given, message):
    with pytest.raises(UnknownNameError, match=message):
        classification(**given).check(Space({"lr": Float(0.1, 1), **space}))


@pytest.mark.parametrize("name", ["batch_size", "epochs"])
@pytest.mark.parametrize(
    "given", [Float(1, 64), Choice([1, 0]), Choice([1, True]), Choice([8.0]), Int(0, 3), "8"]
)
def test_counts_must_be_whole(name, given):
    with pytest.raises(ArgumentError, match=f"{name} must be a whole number >= 1"):
        classification().check(Space({"lr": Float(0.1, 1), name: given}))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lr": Float(-0.1, 1)}, r"lr may be -0.1 .* sgd rejects: Invalid learning rate"),
        ({"lr": -1e-3, "epochs": Int(1, 2)}, "lr may be -0.001"),
        ({"lr": Choice([0.1, "0.2"])}, "lr may be '0.2'"),
        ({"momentum": Float(-1, 0.9)}, r"momentum may be -1.* rejects: Invalid momentum"),
        ({"momentum": Float(0, 1)}, r"momentum may be 1.*sgd diverges: it must be below 1"),
        ({"optimizer": "rmsprop", "momentum": Choice([0, 1.5])}, r"momentum may be 1.5.*rmsprop"),
        ({"weight_decay": Choice({"some": 0.1, "odd": -0.1})}, "weight_decay may be -0.1"),
        (
            {"optimizer": "adam", "beta1": Float(0, 1)},
            r"beta1 may be 1.0 .* adam rejects: .* index 0",
        ),
        ({"optimizer": Choice(["adamw", "sgd"]), "beta2": 1}, r"beta2 may be 1 .* index 1"),
        ({"label_smoothing": Float(0, 1.5)}, r"label_smoothing may be 1.5 .* the loss rejects"),
    ],
)
def test_values_that_no_training_could_use_are_refused(space, message):
    state = torch.get_rng_state()
    with pytest.raises(ArgumentError, match=message):
        classification().check(Space({"lr": Float(0.1, 1), **space}))
    assert torch.equal(torch.get_rng_state(), state)


def test_values_at_the_edge_of_what_torch_takes_are_taken():
    edges = {"weight_decay": Choice([0, 1e9]), "lr": Float(0, 1e9), "label_smoothing": 1.0}
    classification().check(Space({**edges, "momentum": Choice([0, 1 - 1e-9])}))
    classification(optimizer="adam").check(Space({**edges, "beta1": 0.0, "beta2": 1 - 1e-9}))


def test_a_labelled_optimizer_is_checked_by_its_object():
    space = Space({"optimizer": Choice({"plain": "sgd", "adaptive": "adam"}), "beta1": 0.9})
    classification().check(space)


def test_names_for_build_are_ignored_when_said_so():
    evaluator = classification(ignore=["dropout"])
    evaluator.check(Space({"lr": Float(0.1, 1), "dropout": Float(0, 1)}))
    assert len(run(evaluator, {"lr": 0.1, "dropout": 0.5})) == 3


def test_what_is_ignored_is_not_trained_with_whatever_its_name():
    evaluator = classification(ignore=["momentum", "batch_size"])
    evaluator.check(Space({"lr": 0.1, "momentum": Float(0, 2), "batch_size": Choice(["a", "b"])}))
    plain = run(evaluator, {"lr": 0.1})
    assert run(evaluator, {"lr": 0.1, "momentum": 1.5, "batch_size": "a"}) == plain


def test_a_typo_is_refused_without_a_space_too():
    with pytest.raises(UnknownNameError, match="did you mean 'weight_decay'"):
        run(classification(), {"weight_deacy": 0.1})


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"task": "clasification"}, UnknownNameError, "did you mean 'classification'"),
        ({"schedule": "cosin"}, UnknownNameError, "did you mean 'cosine'"),
        ({"optimizer": "sdg"}, UnknownNameError, "did you mean 'sgd'"),
        ({"optimizer": None}, UnknownNameError, "unknown optimizer None"),
        ({"epochs": 0}, ArgumentError, "epochs must be a whole number >= 1, got 0"),
        ({"epochs": 1.5}, ArgumentError, "epochs must be a whole number"),
        ({"batch_size": True}, ArgumentError, "batch_size must be a whole number"),
        ({"num_workers": -1}, ArgumentError, "num_workers must be a whole number >= 0"),
        ({"device": "gpu"}, ArgumentError, "device: torch has no device named 'gpu'"),
        ({"device": "cuda:99"}, ArgumentError, "device: 'cuda:99' is not available"),
        ({"ignore": "dropout"}, TypeError, "ignore must be a list of names"),
    ],
)
def test_bad_arguments_are_refused_at_once(given, error, message):
    with pytest.raises(error, match=message):
        classification(**given)


def test_targets_of_the_wrong_kind_are_refused_at_once():
    x, y = line(9, 0)
    with pytest.raises(ArgumentError, match=r'integer type, got torch.float32.*task="regression"'):
        SupervisedEvaluator((x, y), (x, y))
    with pytest.raises(ArgumentError, match="validation_data contains no examples"):
        SupervisedEvaluator(TRAIN, (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)))


@pytest.mark.parametrize("network", [nn.Linear(2, 1), nn.Flatten(0)])
def test_outputs_that_are_no_logits_are_refused(network):
    with pytest.raises(ArgumentError, match=r"logits of shape \(batch, classes, ...\)"):
        run(classification(), {}, network=nn.Sequential(nn.Linear(2, 1), network.float())
            if isinstance(network, nn.Flatten) else network)  # fmt: skip


def test_outputs_that_do_not_match_the_targets_are_refused():
    evaluator = SupervisedEvaluator(line(9, 0), line(9, 1), task="regression")
    with pytest.raises(ArgumentError, match=r"\(9, 2\) do not match targets of shape \(9,\)"):
        run(evaluator, {}, network=nn.Linear(2, 2))


def test_settings_are_plain_and_public():
    evaluator = classification(ignore={"b", "a"})
    public = {name: value for name, value in vars(evaluator).items() if name[0] != "_"}
    assert public == {
        "task": "classification", "epochs": 3, "schedule": "cosine", "batch_size": 64,
        "optimizer": "sgd", "ignore": ["a", "b"], "use_report": "last",
    }  # fmt: skip
    assert repr(evaluator) == (
        "SupervisedEvaluator(task='classification', epochs=3, schedule='cosine', optimizer='sgd')"
    )

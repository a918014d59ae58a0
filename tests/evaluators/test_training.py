import functools
import math
from fractions import Fraction

import cloudpickle
import numpy as np
import pytest
import torch

from proxyhpo._records.report import Report
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators import TrainingEvaluator, TrialRun

NETWORK, CONFIG = torch.nn.Linear(1, 1), {"lr": 0.1}


def run_of(**changes):
    return TrialRun(number=3, rung=1, name="trial-3-rung-1", **changes)


def reports(train, *, most=math.inf, **changes):
    """What a training reports if it is told to end after ``most`` reports."""
    evaluator = train if isinstance(train, TrainingEvaluator) else TrainingEvaluator(train)
    made = []

    def report(value, /, **metrics):
        made.append(Report(value, metrics))
        return len(made) >= most

    evaluator.evaluate(NETWORK, CONFIG, report, trial=run_of(**changes))
    return made


def values(train, **given):
    return [report.value for report in reports(train, **given)]


def test_each_yield_is_a_report_and_the_network_and_config_are_handed_in():
    def train(network, config):
        assert network is NETWORK
        yield config["lr"]
        yield 2

    assert values(train) == [0.1, 2.0]


def test_a_plain_function_reports_what_it_returns():
    assert values(lambda network, config: config["lr"]) == [0.1]


def test_the_kind_of_train_follows_from_its_result_so_that_wrappers_work():
    def train(network, config):
        yield 1
        yield 2

    def wrapper(*args):
        return train(*args)

    assert values(wrapper) == values(functools.partial(train)) == [1.0, 2.0]
    assert values(lambda n, c: iter([3, 4])) == [3.0, 4.0]


@pytest.mark.parametrize(
    "given",
    [
        1,
        1.0,
        Fraction(1),
        np.float32(1),
        np.int64(1),
        np.array(1.0),
        torch.tensor(1.0, requires_grad=True),
        torch.tensor(1),
        torch.tensor(1.0, dtype=torch.bfloat16),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_kind_of_number_becomes_a_float(given):
    for train in (lambda n, c: given, lambda n, c: iter([given]), lambda n, c: {"value": given}):
        [value] = values(train)
        assert type(value) is float
        assert value == 1


@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_passed_on(given):
    [value] = values(lambda n, c: torch.tensor(given))
    assert value == given or (math.isnan(value) and math.isnan(given))


def test_a_mapping_carries_metrics():
    [report] = reports(lambda n, c: {"loss": np.float32(0.5), "value": 1, "seconds": 3})
    assert report == Report(1.0, {"loss": 0.5, "seconds": 3.0})
    assert {type(number) for number in report.metrics.values()} == {float}


def test_the_mapping_given_is_not_changed():
    given = {"value": 1.0, "loss": 2.0}
    reports(lambda n, c: given)
    assert given == {"value": 1.0, "loss": 2.0}


@pytest.mark.parametrize(
    "given, message",
    [
        (True, "a bool True"),
        (np.bool_(True), "a bool"),
        (torch.tensor(True), "a bool"),
        ("0.9", "a str '0.9'"),
        ([0.9], "a list"),
        ((1, 2), "a tuple"),
        (1j, "a complex"),
        (torch.zeros(1), r"a Tensor of shape \(1,\)"),
        (np.zeros((2, 3)), r"a ndarray of shape \(2, 3\)"),
        ({"value": "high"}, "'value': a str"),
        ({"value": 1, "note": None}, "'note': a NoneType"),
        ({"value": 1, 3: 4}, r"the keys \[3\]"),
    ],
)
@pytest.mark.parametrize("verb", ["yielded", "returned"])
def test_anything_else_is_refused_with_what_was_given(given, message, verb):
    outcome = iter([given]) if verb == "yielded" else given
    with pytest.raises(TypeError, match=rf"train {verb} .*{message}"):
        reports(lambda n, c: outcome)


def test_yielding_nothing_at_all_by_a_bare_yield_is_refused():
    def train(network, config):
        yield

    with pytest.raises(TypeError, match="train yielded a NoneType"):
        reports(train)


def test_returning_nothing_is_an_error():
    with pytest.raises(TypeError, match="train returned nothing"):
        reports(lambda n, c: None)


@pytest.mark.parametrize(
    "given, hint",
    [({"values": 1}, "rename 'values'"), ({"accuracy": 1, "f1": 2}, r"\['accuracy', 'f1'\]")],
)
def test_a_mapping_without_a_value_names_the_nearest_key(given, hint):
    with pytest.raises(ValueError, match=f"without 'value': .*{hint}"):
        reports(lambda n, c: given)


def test_a_generator_that_also_returns_a_value_is_refused():
    def train(network, config):
        yield 1
        return 2

    with pytest.raises(TypeError, match="but also returned 2: yield it instead"):
        reports(train)


def test_an_empty_generator_reports_nothing():
    assert values(lambda n, c: iter(())) == []


class Trainer:
    def method(self, network, config, budget):
        return budget

    @staticmethod
    def static(network, config, *, budget=1.0, seed=3):
        return budget

    def __call__(self, network, config, *, budget):
        return budget


def with_budget(network, config, budget):
    return budget


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "train",
    [
        with_budget,
        lambda network, config, *, budget: budget,
        Trainer().method,
        Trainer.static,
        Trainer(),
        functools.partial(Trainer().method),
        logged(with_budget),
        functools.partial(lambda data, network, config, budget: budget, "data"),
    ],
)
def test_budget_is_handed_to_what_has_such_a_parameter(train):
    assert TrainingEvaluator(train).takes_budget
    assert values(train, budget=0.25) == [0.25]


def narrowed(network, config):
    return with_budget(network, config, 1.0)


@pytest.mark.parametrize(
    "train",
    [
        lambda network, config: 1,
        lambda *args: len(args) == 2 or 1 / 0,
        lambda network, config, **kwargs: 1 / (not kwargs),
        functools.partial(with_budget, budget=1.0),
        functools.wraps(with_budget)(narrowed),
    ],
)
def test_others_are_called_without_a_budget(train):
    evaluator = TrainingEvaluator(train)
    assert not evaluator.takes_budget
    assert evaluator.train is train


def test_a_fixed_budget_is_not_overridden():
    assert values(functools.partial(with_budget, budget=1.0), budget=0.25) == [1.0]
    assert values(functools.wraps(with_budget)(narrowed), budget=0.25) == [1.0]


def test_seed_is_handed_in_with_and_without_a_budget():
    assert values(lambda network, config, seed: seed, seed=7) == [7.0]
    both = lambda network, config, seed, budget: {"value": seed, "budget": budget}  # noqa: E731 - the signature is the point
    assert reports(both, seed=7, budget=0.5) == [Report(7.0, {"budget": 0.5})]


def test_a_folder_for_checkpoints_is_handed_in(tmp_path):
    evaluator = TrainingEvaluator(lambda network, config, checkpoint_dir: checkpoint_dir == 1 or 2)
    assert evaluator.takes_checkpoint_dir
    assert reports(evaluator, checkpoint_dir=tmp_path) == [Report(2.0)]
    with pytest.raises(TypeError, match="takes `checkpoint_dir`"):
        reports(evaluator)
    assert not TrainingEvaluator(lambda network, config: 1).takes_checkpoint_dir


def test_a_parameter_that_is_not_known_is_refused():
    with pytest.raises(ArgumentError, match="budget, seed, checkpoint_dir, device by name"):
        TrainingEvaluator(lambda network, config, checkpoints: 1)


def test_a_function_without_a_signature_is_called_with_two_arguments():
    # `min` has no readable signature.
    made = []
    TrainingEvaluator(min).evaluate(3, 2, made.append, trial=run_of())
    assert made == [2.0]


@pytest.mark.parametrize("given", [None, 3, "train", iter([1])])
def test_what_cannot_be_called_is_refused(given):
    with pytest.raises(TypeError, match="train must be a function"):
        TrainingEvaluator(given)


@pytest.mark.parametrize(
    "train",
    [
        lambda: 1,
        lambda network: 1,
        lambda network, config, loader: 1,
        lambda network, config, *, gpu: 1,
        lambda *, network, config: 1,
        Trainer,
    ],
)
def test_what_cannot_work_is_refused_at_once(train):
    with pytest.raises(ArgumentError, match=r"train must take \(network, config\)"):
        TrainingEvaluator(train)


async def coroutine(network, config):
    return 1


async def async_generator(network, config):
    yield 1


class AsyncTrainer:
    async def __call__(self, network, config):
        return 1


@pytest.mark.parametrize("train", [coroutine, async_generator, AsyncTrainer(),
                                   functools.partial(coroutine)])  # fmt: skip
def test_asynchronous_functions_are_refused(train):
    with pytest.raises(TypeError, match="train must not be asynchronous"):
        TrainingEvaluator(train)


def test_a_hidden_coroutine_is_refused_when_it_shows():
    with pytest.raises(TypeError, match="must not be asynchronous"):
        reports(lambda *args: coroutine(*args))  # noqa: PLW0108 - hides that it is a coroutine function


def test_a_generator_that_is_to_end_is_closed():
    events = []

    def train(network, config):
        try:
            yield 1
            events.append("went on")
            yield 2
        finally:
            events.append("closed")

    assert values(train, most=1) == [1]
    assert events == ["closed"]


def test_a_refused_report_closes_the_users_generator():
    events = []

    def train(network, config):
        try:
            yield "high"
        finally:
            events.append("closed")

    with pytest.raises(TypeError):
        reports(train)
    assert events == ["closed"]


@pytest.mark.parametrize("kind", ["generator", "plain"])
def test_what_the_user_raises_passes_through(kind):
    def generator(network, config):
        yield 1
        raise ZeroDivisionError("mine")

    def plain(network, config):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        reports(generator if kind == "generator" else plain)


def test_a_function_may_report_from_anywhere_in_its_call_stack():
    def train(network, config, report):
        def callback(epoch):
            return report(epoch, loss=epoch / 2)

        for epoch in range(9):
            if callback(epoch):
                return

    assert reports(train, most=3) == [Report(epoch, {"loss": epoch / 2}) for epoch in range(3)]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (lambda network, config, report: 1.0, "takes `report`, but also returned 1.0"),
        (lambda network, config, report: iter([1.0]), "takes `report` and is a generator"),
    ],
)
def test_a_function_that_takes_report_must_not_return_values(train, message):
    with pytest.raises(TypeError, match=message):
        reports(train)


def test_trial_and_device_are_handed_in(tmp_path):
    seen = []
    evaluator = TrainingEvaluator(lambda n, c, trial, device: seen.append((trial, device)) or 1)
    assert evaluator.takes_checkpoint_dir  # which the trial has
    assert not evaluator.takes_budget
    given = {"device": torch.device("meta"), "checkpoint_dir": tmp_path}
    reports(evaluator, **given)
    assert seen == [(run_of(**given), torch.device("meta"))]


def test_it_travels_to_other_processes():
    def train(network, config, budget):
        yield config["lr"] * budget

    copy = cloudpickle.loads(cloudpickle.dumps(TrainingEvaluator(train)))
    assert copy.takes_budget
    assert values(copy, budget=0.5) == [0.05]


def test_repr_names_the_function():
    assert repr(TrainingEvaluator(with_budget)) == "TrainingEvaluator(with_budget)"

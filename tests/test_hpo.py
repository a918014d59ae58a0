import logging
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, Rung
from proxyhpo.errors import (
    ArgumentError,
    ConfigError,
    NotClimbedError,
    TrainingFailedError,
    UnknownNameError,
)
from proxyhpo.evaluators import ProxyEvaluator
from tests.studies import outcomes

SPACE = {"lr": Float(1e-4, 1, log=True), "momentum": Float(0, 0.9)}
INPUTS = torch.zeros(8, 6)


def build():
    return nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )


def quality(config):
    return -((math.log10(config["lr"]) + 2) ** 2) - config["momentum"]


def train(network, config):
    for step in (2, 1, 0):
        with torch.no_grad():
            network[0].bias.fill_(config["lr"])
        yield quality(config) - step


def study(train=train, space=SPACE, *, build=build, **options):
    options = {
        "example_inputs": INPUTS,
        "direction": "maximize",
        "progress": False,
        "searcher": "random",
        **options,
    }
    return ProxyHPO(build, train, space, proxies=True, **options)


def width(network):
    return network[0].out_features


def test_the_whole_way():
    result = study(ladder=[Rung(0.25, keep=2), Rung(1)]).run(12)
    assert sorted(record.rung for record in result.records) == [0] * 12 + [1] * 2
    best_two = {record.trial for record in result.leaderboard(0)[:2]}
    assert {record.trial for record in result.leaderboard()} == best_two
    assert result.best_value == max(r.value for r in result.records if r.rung == 1)
    assert result.best_value == pytest.approx(quality(result.best_config))


def test_the_best_network_has_its_trained_weights():
    result = study().run(5)
    network = result.best_network()
    assert width(network) == 32
    assert not network.training
    assert torch.equal(network[0].bias, torch.full((32,), result.best_config["lr"]))


def test_proxies_are_small_and_finalists_are_not():
    seen = []

    def train(network, config):
        seen.append(width(network))
        return 1.0

    study(train, density=0.5, finalists=1).run(3)
    assert sorted(seen) == [16, 16, 16, 32]


def test_by_default_updates_are_scaled_and_the_config_stays():
    def train(network, config):
        optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
        network(INPUTS).sum().backward()
        optimizer.step()
        return 1.0

    result = study(train, density=0.25).run(2, finalists=1)
    for record in result.records:
        assert record.trained_config == record.config
    scaled = [record.correction for record in result.records if record.rung == 0]
    assert {correction.rule for correction in scaled} == {"layerwise"}
    assert all(correction.largest > 1 for correction in scaled)


def test_the_power_law_only_changes_the_learning_rate_of_proxies():
    result = study(density=0.25, transfer="power-law").run(4, finalists=1)
    for record in result.records:
        ratio = result.measured[record.rung].width_ratio
        expected = record.config["lr"] * ratio**-0.5
        assert record.trained_config["lr"] == pytest.approx(expected)
        assert record.trained_config["momentum"] == record.config["momentum"]
    assert result.measured[0].width_ratio < 0.5
    assert result.measured[1].width_ratio == 1
    assert "lr x width_ratio^-0.5" in result.ledger()


def test_build_gets_base_terms_and_train_the_transferred_ones():
    built, trained = [], []

    def build_with(config):
        built.append(config["lr"])
        return build()

    def train(network, config):
        trained.append(config["lr"])
        return config["lr"]

    result = study(train, build=build_with, transfer="power-law").run(1)
    config = result.records[0].config
    assert built[-1] == config["lr"]
    assert trained[0] > config["lr"]
    assert trained[1] == config["lr"]


def test_objects_of_a_labelled_choice_arrive_as_objects():
    def build_with(config):
        return nn.Sequential(nn.Linear(6, 32), config["activation"](), nn.Linear(32, 2))

    def train(network, config):
        assert isinstance(network[1], config["activation"])
        return 1.0

    space = {"activation": Choice({"relu": nn.ReLU, "tanh": nn.Tanh}), "lr": Float(0.1, 1)}
    result = study(train, space, build=build_with).run(4)
    assert result.best_config["activation"] in ("relu", "tanh")
    assert not result.failures


def test_minimizing_and_maximizing_mirror_each_other():
    def negative(network, config):
        for value in train(network, config):
            yield -value

    up, down = study().run(8), study(negative, direction="minimize").run(8)
    assert up.best_config == down.best_config
    assert up.best_value == -down.best_value


def test_equal_seeds_give_equal_studies_and_others_do_not():
    def noisy(network, config):
        return torch.rand(()).item() + np.random.rand() + random.random()

    one, two, other = (study(noisy, seed=seed).run(4) for seed in (1, 1, 2))
    assert outcomes(one) == outcomes(two)
    assert outcomes(one) != outcomes(other)


def test_every_training_starts_from_a_fresh_network():
    starts = []

    def train(network, config):
        starts.append(network[0].weight.detach().clone())
        with torch.no_grad():
            network[0].weight.zero_()
        return 1.0

    study(train, ladder=[Rung(1)]).run(3)
    assert all(start.abs().sum() > 0 for start in starts)
    assert not torch.equal(starts[0], starts[1])
    assert starts[0].std().item() == pytest.approx(starts[1].std().item(), rel=0.3)


def test_the_callers_random_state_is_restored():
    def expected():
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        return torch.rand(3), np.random.rand(3), random.random()

    a = expected()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    study(searcher="tpe").run(3)
    assert torch.equal(a[0], torch.rand(3))
    assert np.array_equal(a[1], np.random.rand(3))
    assert a[2] == random.random()


def never(network, config):
    raise AssertionError("nothing may be trained")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"direction": None}, ArgumentError, "direction"),
        ({"direction": "max"}, ArgumentError, "direction"),
        ({"searcher": "tpee"}, UnknownNameError, "did you mean 'tpe'"),
        ({"pruner": "l1_structured"}, UnknownNameError, "did you mean 'l1-structured'"),
        ({"transfer": "powerlaw"}, UnknownNameError, "did you mean 'power-law'"),
        ({"example_inputs": 3}, ArgumentError, "example_inputs"),
        ({"example_inputs": ()}, ArgumentError, "example_inputs"),
        (
            {"ladder": [Rung(0.5, keep=1), Rung(1)], "density": 0.5},
            ArgumentError,
            "short for a ladder",
        ),
        ({"ladder": [Rung(0.5, budget=0.5, keep=1), Rung(1)]}, ArgumentError, "budget"),
        ({"density": 1.5}, ArgumentError, "density"),
        ({"density": 1}, ArgumentError, "below 1"),
        ({"finalists": 0}, ArgumentError, "finalists"),
        ({"seed": "x"}, ArgumentError, "seed"),
        ({"steps": 0}, ArgumentError, "steps"),
        ({"max_retries": -1}, ArgumentError, "max_retries"),
    ],
)
def test_bad_arguments_are_refused_before_any_training(options, error, words):
    with pytest.raises(error, match=words):
        study(never, **options)


@pytest.mark.parametrize("arguments", [{"n_trials": 0}, {"n_trials": 3, "timeout": 0}])
def test_bad_run_arguments_are_refused(arguments):
    with pytest.raises(ArgumentError):
        study(never).run(**arguments)


def test_train_must_be_a_function_or_an_evaluator():
    with pytest.raises((ArgumentError, TypeError), match="train"):
        study(3)


def test_n_trials_is_a_total_and_earlier_promotions_stay():
    hpo = study(ladder=[Rung(0.25, keep=2), Rung(1)])
    first, second = hpo.run(6), hpo.run(12)
    assert outcomes(second)[:8] == outcomes(first)
    assert sum(record.rung == 0 for record in second.records) == 12
    best_two = {record.trial for record in second.leaderboard(0)[:2]}
    assert best_two <= {record.trial for record in second.leaderboard(1)}


def test_running_again_does_nothing_again(caplog):
    hpo = study()
    with caplog.at_level(logging.WARNING, logger="proxyhpo"):
        first, second = hpo.run(4), hpo.run(4)
    assert outcomes(first) == outcomes(second)
    sentence = "nothing left to train: the study already has 4 trials; a larger n_trials adds more"
    assert sentence in repr(second)
    assert sentence not in caplog.text
    assert sentence not in repr(first)
    assert sentence not in repr(hpo.run(5))


def test_enqueued_configs_come_first_and_once():
    hpo = study()
    mine = {"lr": 0.01, "momentum": 0}
    hpo.enqueue(mine)
    hpo.enqueue(mine)
    result = hpo.run(3)
    assert next(r.config for r in result.records if r.trial == 0) == mine
    assert sum(r.config == mine for r in result.records if r.rung == 0) == 1


def test_enqueued_configs_outside_the_space_are_refused():
    with pytest.raises(ConfigError, match="lr"):
        study().enqueue({"lr": 10.0, "momentum": 0.5})


@pytest.mark.parametrize(
    ("kind", "reason", "has_traceback"),
    [
        ("raise", "RuntimeError: boom", True),
        ("exit", "SystemExit", True),
        ("nan", "report 2 was nan", False),
        ("inf", "report 2 was inf", False),
        ("nothing", "reported no value", True),
    ],
)
def test_a_failed_training_is_a_record_and_the_search_continues(kind, reason, has_traceback):
    calls = []

    def train(network, config):
        calls.append(config)
        if len(calls) == 2:
            if kind == "nothing":
                return
            yield 0.5
            if kind == "raise":
                raise RuntimeError("boom")
            if kind == "exit":
                raise SystemExit(3)
            yield float(kind)
        yield quality(config)

    result = study(train).run(5)
    [failed] = result.failures
    assert failed.trial == 1
    assert failed.value is None
    assert reason in failed.reason
    assert (failed.traceback is not None) == has_traceback
    assert failed.trained_config == calls[1]
    assert sum(record.rung == 0 for record in result.records) == 5


def test_five_exceptions_from_the_start_end_the_study_with_the_first():
    calls = []

    def train(network, config):
        calls.append(1)
        raise ValueError(f"mistake {len(calls)}")

    with pytest.raises(TrainingFailedError, match="mistake 1") as caught:
        study(train).run(20)
    assert len(calls) == 5
    frames = {Path(frame.path).name for frame in caught.traceback[1:]}
    assert frames == {"_hpo.py", "_handle.py"}, "the engine's frames say nothing to a user"


def test_nan_from_the_start_does_not_end_the_study():
    def train(network, config):
        return float("nan") if config["momentum"] > 0.2 else 1.0

    result = study(train).run(30)
    assert len(result.failures) > 10
    assert result.best_value == 1.0


def test_a_failed_finalist_is_replaced_by_the_next_in_line():
    def train(network, config):
        if width(network) == 32 and len(big) < 2:
            big.append(config)
            raise RuntimeError("only the full network fails")
        return quality(config)

    big = []
    result = study(train).run(8, finalists=2)
    ranked = [record.trial for record in result.leaderboard(0)]
    entered = [record.trial for record in result.records if record.rung == 1]
    assert sorted(entered) == sorted(ranked[:4])
    assert [r.state for r in result.records if r.rung == 1] == ["failed"] * 2 + ["finished"] * 2


def test_finalists_are_replaced_at_most_as_often_as_there_are_places():
    def train(network, config):
        if width(network) == 32:
            raise RuntimeError("never")
        return quality(config)

    result = study(train).run(10, finalists=2)
    assert sum(record.rung == 1 for record in result.records) == 4
    with pytest.raises(
        NotClimbedError, match=r"all 4 trainings of the full network failed.*RuntimeError: never"
    ):
        _ = result.best_config


def test_ctrl_c_returns_the_result_so_far_and_the_study_can_be_resumed():
    closed = []

    def train(network, config):
        try:
            yield 1.0
            if len(closed) == 2 and not interrupted:
                interrupted.append(1)
                raise KeyboardInterrupt
            yield quality(config)
        finally:
            closed.append(1)

    interrupted = []
    hpo = study(train)
    result = hpo.run(5)
    assert result.interrupted
    assert len(result.records) == 2
    again = hpo.run(5)
    interrupted = [1]
    assert outcomes(again) == outcomes(study(train).run(5))


def test_a_timeout_ends_the_running_training_and_its_finally_runs(later):
    closed = []

    def train(network, config):
        try:
            while True:
                later(1000)
                yield 1.0
        finally:
            closed.append(1)

    result = study(train).run(5, timeout=5000)
    assert closed == [1]
    assert not result.records
    assert result.interrupted


def test_a_timeout_keeps_back_enough_for_the_climb(later):
    def train(network, config):
        later(1000)
        yield quality(config)

    result = study(train, ladder=[Rung(0.5, keep=1), Rung(1)]).run(10**6, timeout=20_000)
    assert len(result.leaderboard(0)) > 1
    assert len(result.leaderboard(1)) == 1
    assert result.interrupted


def test_a_callback_sees_every_record_and_may_stop_the_study():
    seen = []

    def callback(record):
        seen.append(record)
        if len(seen) == 3:
            hpo.stop()

    hpo = study(callbacks=[callback])
    result = hpo.run(10)
    assert list(result.records) == seen
    assert len(seen) == 3
    assert result.interrupted


def test_asking_and_telling_gives_what_running_gives():
    hpo = study(stopper=None)
    while (asked := hpo.ask(6)) is not None:
        values = list(train(asked.network(), asked.trained_config))
        assert asked.config == hpo.result.history.trials[asked.trial].config
        hpo.tell(asked, values)
    assert outcomes(hpo.result) == outcomes(study(stopper=None).run(6))


def test_asking_without_an_end_and_then_climbing():
    hpo = study()
    for _ in range(5):
        asked = hpo.ask()
        assert width(asked.network()) == 8
        hpo.tell(asked, quality(asked.trained_config))
    with pytest.raises(NotClimbedError, match=r"and hpo\.climb\(\) trains those on the full"):
        _ = hpo.result.best_config
    result = hpo.climb(finalists=2)
    assert [record.rung for record in result.records] == [0] * 5 + [1] * 2


def test_telling_finishes_a_training_as_in_a_run():
    seen = []
    hpo = study(callbacks=[seen.append])
    while (asked := hpo.ask(3)) is not None:
        network = asked.network()
        values = list(train(network, asked.trained_config))
        before = hpo.result
        record = hpo.tell(asked, values, network=network)
        assert seen[-1] == record
        assert record not in before.records
        with pytest.raises(ArgumentError, match="already told"):
            hpo.tell(asked, values)
    bias = hpo.result.best_network()[0].bias
    assert torch.equal(bias, torch.full((32,), hpo.result.best_config["lr"]))


def test_only_trainings_asked_here_can_be_told():
    asked = study().ask()
    with pytest.raises(ArgumentError, match="another ProxyHPO asked for the trial"):
        study().tell(asked, 1.0)


def test_climb_requires_trials():
    with pytest.raises(NotClimbedError, match="no trials yet"):
        study(never).climb()


def test_a_result_for_a_pretrained_network_says_that_little_is_known():
    result = study(build=build(), pretrained=True).run(1)
    assert "unproven for pretrained networks" in repr(result)
    assert result.openings[0].exponents == {"lr": -0.5}
    assert result.measured[0].density == 0.5
    assert "unproven" not in repr(study().run(1))


def test_a_failure_can_be_told():
    hpo = study()
    assert hpo.tell(hpo.ask(), None).state == "failed"
    assert hpo.tell(hpo.ask(), float("nan")).state == "failed"


def test_plain_search_is_a_ladder_of_one_rung():
    result = study(ladder=[Rung(1)]).run(5)
    assert [record.rung for record in result.records] == [0] * 5
    assert result.best_value == max(record.value for record in result.records)
    assert result.records[0].trained_config == result.records[0].config


def test_three_rungs_with_budgets():
    budgets = []

    def train(network, config, budget):
        budgets.append((width(network), budget))
        return quality(config)

    ladder = [Rung(0.25, budget=0.5, keep=4), Rung(0.5, keep=2), Rung(1)]
    result = study(train, ladder=ladder).run(9)
    assert sorted(budgets) == [(8, 0.5)] * 9 + [(16, 1.0)] * 4 + [(32, 1.0)] * 2
    assert [(a.lower, a.upper, a.n) for a in result.fidelity] == [(0, 1, 4), (1, 2, 2), (0, 2, 2)]


def test_steps_cut_a_training_that_takes_no_budget():
    closed = []

    def train(network, config):
        try:
            for value in range(10):
                yield float(value)
        finally:
            closed.append(value)

    ladder = [Rung(0.5, budget=0.3, keep=1), Rung(1)]
    result = study(train, ladder=ladder, steps=10).run(2)
    assert sorted(len(record.reports) for record in result.records) == [3, 3, 10]
    assert sorted(closed) == [2, 2, 9]


def test_a_grid_ends_by_itself():
    from proxyhpo.searchers import GridSearcher

    result = study(searcher=GridSearcher(points=2)).run(100)
    assert sum(record.rung == 0 for record in result.records) == 4
    assert len(result.leaderboard(1)) == 1


def test_a_pretrained_module_is_inherited_and_trained_as_it_is():
    with pytest.raises(ArgumentError, match="pretrained"):
        study(build=build())
    module = build()
    before = [parameter.clone() for parameter in module.parameters()]
    result = study(build=module, pretrained=True).run(3)
    assert result.openings[0].exponents == {"lr": -0.5}
    assert result.measured[0].density == 0.5
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_the_largest_batch_is_tried_before_the_search():
    sizes = []

    class Recording(nn.Sequential):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    space = {**SPACE, "batch_size": Choice([4, 300])}
    hpo = study(space=space, build=lambda: Recording(*build()), check_memory=True)
    hpo.run(1)
    assert 300 in sizes


def test_simulated_seconds_are_charged_instead_of_measured_ones():
    def train(network, config):
        yield {"value": 1.0, "seconds": 100.0 if width(network) == 32 else 10.0, "loss": 0.25}

    result = study(train).run(5, finalists=2)
    assert result.cost.base_training_seconds == pytest.approx(100, rel=0.05)
    assert result.cost.base_trainings == pytest.approx((5 * 10 + 2 * 100) / 100, rel=0.05)
    assert result.cost.full_search_base_trainings == pytest.approx(5, rel=0.05)
    assert result.records[0].metrics["loss"] == 0.25


def test_a_training_without_reports_ends_the_study_early():
    def train(network, config, budget):
        yield from [1.0] * round(2 * budget)

    with pytest.raises(TrainingFailedError, match=r"reported no value.*budget=0.1, does it round"):
        study(train, ladder=[Rung(0.5, budget=0.1, keep=2), Rung(1)]).run(20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"callbacks": [1]}, r"callbacks must be functions of a Record, .* got 1"),
        ({"callbacks": print}, "callbacks must be a list of functions"),
        ({"executor": 4}, "executor must be an Executor such as ProcessExecutor.*got 4"),
        ({"ladder": Rung(1)}, "ladder must be a list of Rungs"),
        ({"version": {1, 2}}, "version must be a string or a whole number"),
        ({"seed": True}, "seed must be a whole number >= 0, got True"),
        (
            {"store": ":memory:"},
            "store must be the path of a file, got ':memory:'; omit store",
        ),
        ({"store": 3}, "store must be the path of a file or None, got 3"),
        ({"device": "gpu"}, "device: torch has no device named 'gpu'"),
        ({"device": "cuda"}, "device: 'cuda' is not available; torch sees cpu"),
        ({"device": "cuda:1"}, "device: 'cuda:1' is not available"),
        ({"device": torch.device("cuda", 1)}, "device: device.*cuda.*1.* is not available"),
        ({"device": 0}, "device: 0 is not available"),
        ({"device": "meta"}, "device: 'meta' is not available"),
    ],
)
def test_arguments_that_are_none_are_refused_at_once(options, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ArgumentError, match=message):
        study(**options)


class OnAGPU(ProxyEvaluator):
    """An evaluator that trains where another machine may have a device."""

    device = "cuda:7"

    def evaluate(self, network, config, report, *, trial):
        report(1.0)


def test_the_device_of_the_evaluator_is_used_unless_another_one_is_given():
    with pytest.raises(ArgumentError, match="device of OnAGPU: 'cuda:7' is not available"):
        study(OnAGPU())
    assert study(OnAGPU(), device="cpu").run(1).records


def test_the_error_for_a_pool_says_how_to_wrap_it():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ArgumentError, match="FuturesExecutor"):
        study(executor=pool)


@pytest.mark.parametrize("timeout", ["5", 0, -1, math.nan, True])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ArgumentError, match="timeout must be a finite number of seconds > 0"):
        study().run(2, timeout=timeout)


def test_numbers_of_numpy_are_numbers():
    assert len(study(seed=np.int64(3)).run(np.int64(2)).history.trials) == 2


class TestTell:
    @pytest.mark.parametrize(
        ("value", "seconds", "message"),
        [
            (0.4, -1, "tell: seconds must be a finite number of seconds >= 0, got -1"),
            ("0.4", 1, "tell: .*'0.4'"),
            ({"loss": 1.0}, 1, "tell: .*without 'value'"),
            ([], 1, "empty sequence"),
        ],
    )
    def test_invalid_values_are_rejected_and_may_be_told_again(self, value, seconds, message):
        with study() as hpo:
            asked = hpo.ask(3)
            with pytest.raises(ArgumentError, match=message):
                hpo.tell(asked, value, seconds=seconds)
            assert hpo.tell(asked, 0.4).value == 0.4

    def test_something_else_than_what_was_asked(self):
        with study() as hpo, pytest.raises(ArgumentError, match=r"must come from ask\(\), got 3"):
            hpo.tell(3, 0.4)

    def test_it_takes_what_a_training_may_yield(self):
        with study() as hpo:
            record = hpo.tell(hpo.ask(3), [0.1, {"value": 0.4, "loss": 2.0}])
            assert (record.value, record.values, record.metrics) == (
                0.4,
                (0.1, 0.4),
                {"loss": 2.0},
            )
            assert hpo.tell(hpo.ask(3), np.array([0.2, 0.3])).values == (0.2, 0.3)

    def test_seconds_are_those_since_it_was_asked(self, later):
        with study() as hpo:
            asked = hpo.ask(3)
            later(100)
            assert hpo.tell(asked, 0.4).seconds >= 100

    def test_a_training_with_the_seed_equals_that_of_run(self):
        def noisy(network, config):
            return float(torch.randn(())) + network[0].weight.sum().item()

        by_run = study(noisy).run(6)
        with study(noisy) as hpo:
            while (asked := hpo.ask(6)) is not None:
                torch.manual_seed(asked.seed)
                hpo.tell(asked, noisy(asked.network(), asked.trained_config))
            assert outcomes(hpo.result) == outcomes(by_run)

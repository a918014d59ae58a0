import gc
import weakref

import pytest
import torch
from torch import nn

from proxyhpo._engine.work import Job, Work
from proxyhpo._records.records import Report
from proxyhpo.evaluators import ProxyEvaluator
from proxyhpo.space import Choice, Float, Space

SPACE = Space({"lr": Float(0, 1), "kind": Choice({"one": 1, "two": 2})})


class Networks:
    """Hands out a network, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []
        self.made = []

    def network(self, config, *, density, seed):
        self.asked.append((config, density))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        network = nn.Linear(3, 3)
        self.made.append(weakref.ref(network))
        return network

    def network_and_fans(self, config, *, density, seed):
        return self.network(config, density=density, seed=seed), {}


class Evaluator(ProxyEvaluator):
    def __init__(self, function):
        self.function = function

    def evaluate(self, network, config, *, budget, seed):
        yield from self.function(network, config, budget, seed)


def run(function, *, steps=None, networks=None, **changes):
    job = Job(
        **{
            "trial": 4,
            "rung": 1,
            "replicate": 0,
            "config": {"lr": 0.1, "kind": "one"},
            "trained_with": {"lr": 0.2, "kind": "one"},
            "density": 0.5,
            "budget": 1.0,
            "seed": 9,
            **changes,
        }
    )
    work = Work(networks or Networks(), Evaluator(function), SPACE, steps)
    ended = []

    def whole():
        ended.append((yield from work.run(job)))

    return list(whole()), ended[0]


def test_reports_come_out_as_they_are_made_and_the_last_is_the_value():
    def train(network, config, budget, seed):
        yield Report(1.0)
        yield Report(2.0, {"loss": 0.5})

    reports, outcome = run(train)
    assert [report.value for report, *_ in reports] == [1.0, 2.0]
    assert (outcome.value, outcome.reports, outcome.metrics) == (2.0, (1.0, 2.0), {"loss": 0.5})
    assert outcome.reason is None
    assert outcome.seconds >= outcome.overhead_seconds > 0


def test_networks_see_base_terms_and_training_what_was_transferred():
    seen = []

    def train(network, config, budget, seed):
        seen.append((config, budget))
        yield Report(1.0)

    networks = Networks()
    run(train, networks=networks, budget=0.25)
    assert networks.asked == [({"lr": 0.1, "kind": 1}, 0.5)]
    assert seen == [({"lr": 0.2, "kind": 1}, 0.25)]


def test_a_job_draws_the_same_randomness_wherever_it_runs_and_others_draw_other():
    def train(network, config, budget, seed):
        yield Report(network.weight.sum().item() + torch.rand(()).item() + seed % 97)

    def value(**changes):
        return run(train, **changes)[1].value

    torch.manual_seed(1)
    first = value()
    torch.manual_seed(2)
    assert value() == first
    for changes in ({"trial": 5}, {"rung": 0}, {"replicate": 1}, {"seed": 8}):
        assert value(**changes) != first


def test_the_time_between_reports_is_not_charged():
    import time

    def train(network, config, budget, seed):
        yield Report(1.0)
        yield Report(2.0)

    generator = Work(Networks(), Evaluator(train), SPACE).run(
        Job(0, 0, 0, {"lr": 0.1, "kind": "one"}, {"lr": 0.1, "kind": "one"}, 1, 1, 0)
    )
    next(generator)
    time.sleep(0.5)
    next(generator)
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value.seconds < 0.4


def test_reported_seconds_replace_measured_ones():
    def train(network, config, budget, seed):
        yield Report(1.0, {"seconds": 50.0})
        yield Report(2.0, {"seconds": 100.0})

    reports, outcome = run(train)
    assert [seconds for _, seconds, _ in reports] == pytest.approx([50, 100], abs=1)
    assert outcome.seconds - outcome.overhead_seconds == 100
    assert [seconds - overhead for _, seconds, overhead in reports] == [50, 100]
    assert {overhead for *_, overhead in reports} == {outcome.overhead_seconds}


def test_steps_cut_a_training_and_its_finally_runs():
    closed = []

    def train(network, config, budget, seed):
        try:
            for step in range(100):
                yield Report(float(step))
        finally:
            closed.append(step)

    _, outcome = run(train, steps=10, budget=0.4)
    assert outcome.reports == (0.0, 1.0, 2.0, 3.0)
    assert closed == [3]


def test_an_exception_is_an_outcome_with_what_was_reported_before():
    def train(network, config, budget, seed):
        yield Report(1.0)
        raise ValueError("first line\nsecond line")

    _, outcome = run(train)
    assert outcome.value is None
    assert outcome.reports == (1.0,)
    assert outcome.reason == "ValueError: first line"
    assert "second line" in outcome.traceback


def test_an_exception_that_cannot_be_printed_is_an_outcome_too():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    def train(network, config, budget, seed):
        raise MuteError
        yield

    assert "MuteError" in run(train)[1].reason


def test_not_a_number_ends_the_training():
    def train(network, config, budget, seed):
        yield Report(1.0)
        yield Report(float("-inf"))
        raise AssertionError("goes on after it")

    _, outcome = run(train)
    assert (outcome.value, outcome.reason) == (None, "report 2 was -inf")
    assert outcome.traceback is None


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_given_back(fails):
    def train(network, config, budget, seed):
        yield Report(1.0)
        if fails:
            raise ValueError("with the network in a frame of the traceback")

    networks = Networks()
    gc.disable()
    try:
        run(train, networks=networks)
        assert networks.made[0]() is None
    finally:
        gc.enable()


def test_ctrl_c_passes_through():
    def train(network, config, budget, seed):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        run(train)


def test_weights_are_kept_only_where_asked_and_share_nothing():
    networks = Networks()
    kept = []

    def train(network, config, budget, seed):
        kept.append(network)
        yield Report(1.0)

    assert run(train)[1].weights is None
    _, outcome = run(train, networks=networks, keep_weights=True)
    assert torch.equal(outcome.weights["weight"], kept[-1].weight)
    assert outcome.weights["weight"].data_ptr() != kept[-1].weight.data_ptr()

import gc
import weakref
from contextlib import closing, suppress

import pytest
import torch
from torch import nn

from proxyhpo._proxy.proxy import Made
from proxyhpo._records.report import Report
from proxyhpo._runs import Job, RunId, Work, unheard
from proxyhpo.evaluators import ProxyEvaluator
from proxyhpo.space import Choice, Float, Space

SPACE = Space({"lr": Float(0, 1), "kind": Choice({"one": 1, "two": 2})})


class Networks:
    """Hands out a network, and remembers what it was asked for."""

    takes_config = True

    def __init__(self):
        self.asked = []
        self.made = []

    def network(self, config, *, density, seed):
        self.asked.append((config, density))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        network = nn.Linear(3, 3)
        self.made.append(weakref.ref(network))
        return network

    def make(self, config, *, density, seed):
        return Made(self.network(config, density=density, seed=seed), width_ratio=0.3)


class Evaluator(ProxyEvaluator):
    """Trains with a generator of (value, metrics)."""

    def __init__(self, function):
        self.function = function

    def evaluate(self, network, config, report, *, trial):
        with closing(self.function(network, config, trial)) as steps:
            for value, metrics in steps:
                if report(value, **metrics):
                    break


RUN = RunId(4, 1)


def job(*, run=RUN, **changes):
    given = {"config": {"lr": 0.1, "kind": "one"}, "trained_config": {"lr": 0.2, "kind": "one"}}
    return Job(**{"id": run, **given, "density": 0.5, "budget": 1.0, "seed": 9, **changes})


def run(evaluator, *, steps=None, networks=None, hear=unheard, **changes):
    if not isinstance(evaluator, ProxyEvaluator):
        evaluator = Evaluator(evaluator)
    return Work(networks or Networks(), evaluator, SPACE, steps).run(job(**changes), hear)


def test_reports_arrive_as_they_are_made_and_the_last_one_is_the_value():
    def train(network, config, trial):
        yield 1.0, {}
        yield 2.0, {"loss": 0.5}

    heard = []
    outcome = run(train, hear=lambda *each: bool(heard.append(each)))
    assert [each.report for _, each in heard] == [Report(1.0), Report(2.0, {"loss": 0.5})]
    assert {job.id for job, _ in heard} == {RunId(4, 1)}
    assert outcome.reports == tuple(each.report for _, each in heard)
    assert (outcome.value, outcome.reason, outcome.stopped) == (2.0, None, False)
    assert outcome.width_ratio == heard[0][1].width_ratio == 0.3
    assert outcome.seconds >= outcome.overhead_seconds > 0


def test_backward_passes_are_counted_until_the_training_ends():
    kept = []

    def train(network, config, trial):
        kept.append(network)
        for _ in range(3):
            network(torch.ones(1, 3)).sum().backward()
            yield 1.0, {}

    heard = []
    outcome = run(train, hear=lambda _, each: bool(heard.append(each.backward_passes)))
    assert (heard, outcome.backward_passes) == ([1, 2, 3], 3)
    assert not any(p._post_accumulate_grad_hooks for p in kept[0].parameters())


def test_seconds_and_backward_passes_after_the_last_report_do_not_count():
    class Longer(ProxyEvaluator):
        def evaluate(self, network, config, report, *, trial):
            for seconds in (1.0, 2.0, 3.0):
                network(torch.ones(1, 3)).sum().backward()
                report(1.0, seconds=seconds)

    outcome = run(Longer(), steps=2)
    assert outcome.backward_passes == len(outcome.reports) == 2
    assert outcome.seconds - outcome.overhead_seconds == 2.0


def test_networks_see_base_terms_and_training_what_was_transferred():
    seen = []

    def train(network, config, trial):
        seen.append((config, trial.budget))
        yield 1.0, {}

    networks = Networks()
    run(train, networks=networks, budget=0.25)
    assert networks.asked == [({"lr": 0.1, "kind": 1}, 0.5)]
    assert seen == [({"lr": 0.2, "kind": 1}, 0.25)]


def test_a_job_draws_the_same_randomness_wherever_it_runs_and_others_draw_other():
    def train(network, config, trial):
        yield network.weight.sum().item() + torch.rand(()).item() + trial.seed % 97, {}

    def value(**changes):
        return run(train, **changes).value

    torch.manual_seed(1)
    first = value()
    torch.manual_seed(2)
    assert value() == first
    others = [RunId(5, 1), RunId(4, 0), RunId(4, 1, 1)]
    assert first not in {value(run=other) for other in others}
    assert value(seed=8) != first


def test_the_time_of_listeners_is_not_charged(later):
    def train(network, config, trial):
        yield 1.0, {}
        yield 2.0, {}

    assert run(train, hear=lambda *_: later(1000)).seconds < 1000


def test_reported_seconds_replace_measured_ones():
    def train(network, config, trial):
        yield 1.0, {"seconds": 50.0}
        yield 2.0, {"seconds": 100.0}

    heard = []
    outcome = run(train, hear=lambda _, each: bool(heard.append(each)))
    assert [each.seconds - each.overhead_seconds for each in heard] == [50, 100]
    assert outcome.seconds - outcome.overhead_seconds == 100
    assert {each.overhead_seconds for each in heard} == {outcome.overhead_seconds}


def test_steps_cut_a_training_and_its_finally_runs():
    closed = []

    def train(network, config, trial):
        try:
            for step in range(100):
                yield float(step), {}
        finally:
            closed.append(step)

    outcome = run(train, steps=10, budget=0.4)
    assert [report.value for report in outcome.reports] == [0.0, 1.0, 2.0, 3.0]
    assert not outcome.stopped
    assert closed == [3]


def test_an_exception_is_an_outcome_with_what_was_reported_before():
    def train(network, config, trial):
        yield 1.0, {}
        raise ValueError("first line\nsecond line")

    outcome = run(train)
    assert outcome.value is None
    assert outcome.reports == (Report(1.0),)
    assert outcome.reason == "ValueError: first line"
    assert "second line" in outcome.traceback


def test_an_exception_that_cannot_be_printed_is_an_outcome_too():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    def train(network, config, trial):
        raise MuteError
        yield

    assert "MuteError" in run(train).reason


def test_not_a_number_ends_the_training():
    def train(network, config, trial):
        yield 1.0, {}
        yield float("-inf"), {}
        raise AssertionError("goes on after it")

    outcome = run(train)
    assert (outcome.value, outcome.reason) == (None, "report 2 was -inf")
    assert outcome.traceback is None


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_given_back(fails):
    def train(network, config, trial):
        yield 1.0, {}
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
    def train(network, config, trial):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        run(train)


def test_weights_are_kept_only_where_asked_and_share_nothing():
    networks = Networks()
    kept = []

    def train(network, config, trial):
        kept.append(network)
        yield 1.0, {}

    assert run(train).weights is None
    outcome = run(train, networks=networks, keep_weights=True)
    assert torch.equal(outcome.weights["weight"], kept[-1].weight)
    assert outcome.weights["weight"].data_ptr() != kept[-1].weight.data_ptr()


class Pushing(ProxyEvaluator):
    """Hands ``report`` to a function, and takes no notice of its answer."""

    takes_checkpoint_dir = True

    def __init__(self, function):
        self.function = function

    def evaluate(self, network, config, report, *, trial):
        self.function(report)


def test_what_is_reported_after_the_end_is_ignored():
    answers = []

    def train(report):
        answers.extend(report(float(step), step=step) for step in range(5))

    outcome = run(Pushing(train), hear=lambda _, reported: reported.report.value == 2)
    assert answers == [False, False, True, True, True]
    assert outcome.stopped
    assert outcome.reports == tuple(Report(float(step), {"step": step}) for step in range(3))
    assert (outcome.value, outcome.reason) == (2.0, None)


def test_a_stopped_training_may_end_with_an_exception():
    class CancelError(Exception):
        pass

    def train(report):
        while not report(1.0):
            pass
        raise CancelError

    outcome = run(Pushing(train), hear=lambda *_: True)
    assert (outcome.stopped, outcome.value, outcome.traceback) == (True, 1.0, None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_a_listener_raises_passes_through_whatever_the_training_does(error):
    def hear(job, reported):
        raise error

    def swallowing(report):
        with suppress(BaseException):
            report(1.0)
        assert report(2.0)

    for train in (swallowing, lambda report: report(1.0)):
        with pytest.raises(error):
            run(Pushing(train), hear=hear)


def test_a_report_that_is_not_a_number_fails_where_it_is_made():
    def train(report):
        report(torch.zeros(2))

    outcome = run(Pushing(train))
    assert "report: got a Tensor of shape (2,); allowed is a number" in outcome.reason
    assert "in train" in outcome.traceback


def test_the_evaluator_knows_its_run(tmp_path):
    seen = []

    def train(network, config, trial):
        seen.append(trial)
        yield 1.0, {}

    run(train, budget=0.5, checkpoint_dir=tmp_path)
    (trial,) = seen
    assert (trial.number, trial.rung, trial.name) == (4, 1, "trial-4-rung-1")
    assert (trial.density, trial.budget, trial.checkpoint_dir) == (0.5, 0.5, tmp_path)
    assert trial.seed == job(budget=0.5).training_seed
    assert trial.device == torch.device("cpu")


def test_weights_that_cannot_be_copied_are_a_failure_of_this_training(monkeypatch):
    def train(network, config, trial):
        monkeypatch.setattr(network, "state_dict", lambda: 1 / 0)
        yield 1.0, {}

    outcome = run(train, keep_weights=True)
    assert outcome.reason.startswith("the trained weights cannot be copied: ZeroDivisionError")
    assert "1 / 0" in outcome.traceback
    assert outcome.value is None
    assert run(train).value == 1.0  # nobody asks for them

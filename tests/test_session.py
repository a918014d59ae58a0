"""Asking for trainings and telling their outcomes, and configs that the caller gives."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from proxyhpo.errors import ArgumentError, ConfigError, NotClimbedError, StoreError
from tests.studies import outcomes, quality, study, train, width


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


def test_asking_and_telling_gives_what_running_gives():
    def noisy(network, config):
        for _ in range(3):
            yield float(torch.randn(())) + network[0].weight.sum().item()

    with study(noisy, stopper=None) as hpo:
        while (asked := hpo.ask(6)) is not None:
            torch.manual_seed(asked.seed)
            assert asked.config == hpo.result.history.trials[asked.trial].config
            hpo.tell(asked, list(noisy(asked.network(), asked.trained_config)))
        assert outcomes(hpo.result) == outcomes(study(noisy, stopper=None).run(6))


def test_torchs_compiler_is_imported_before_the_time_of_a_training_starts():
    """The first optimizer of a process imports it, which takes longer than a small training."""
    script = """
import sys
from tests.studies import study
assert "torch._dynamo" not in sys.modules
study().ask(6)
assert "torch._dynamo" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


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


def test_without_its_network_an_asked_trial_has_no_weights():
    hpo = study()
    while (asked := hpo.ask(3)) is not None:
        hpo.tell(asked, quality(asked.trained_config))
    with pytest.raises(StoreError, match=r"no weights .* those of an asked trial, if tell\(\) was"):
        hpo.result.best_network()


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


def test_a_failure_can_be_told():
    hpo = study()
    assert hpo.tell(hpo.ask(), None).state == "failed"
    assert hpo.tell(hpo.ask(), float("nan")).state == "failed"


class TestTell:
    @pytest.mark.parametrize(
        ("value", "seconds", "message"),
        [
            (0.4, -1, "tell: seconds must be a finite number of seconds >= 0, got -1"),
            ("0.4", 1, "tell: .*'0.4'"),
            ({"loss": 1.0}, 1, "tell: .*without 'value'"),
            ([], 1, "tell: value must be a number, .*got an empty sequence"),
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

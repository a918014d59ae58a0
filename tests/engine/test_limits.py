"""What ends a study before all of its trials: Ctrl-C, and a timeout."""

import math

import pytest

from proxyhpo import Rung
from proxyhpo.errors import ArgumentError
from tests.studies import outcomes, quality, study


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
    assert "timeout=5000 was reached" in repr(result)
    assert "hpo.run(5, timeout=5000) again resumes the study" in repr(result)


def test_a_timeout_keeps_back_enough_for_the_climb(later):
    def train(network, config):
        later(1000)
        yield quality(config)

    result = study(train, ladder=[Rung(0.5, keep=1), Rung(1)]).run(10**6, timeout=20_000)
    assert len(result.leaderboard(0)) > 1
    assert len(result.leaderboard(1)) == 1
    assert result.interrupted
    assert "left too little for another training" in repr(result)


def test_a_stop_is_not_said_to_be_a_timeout(later):
    def train(network, config):
        hpo.stop()
        yield quality(config)

    hpo = study(train)
    assert "was reached" not in repr(hpo.run(5, timeout=5000))


@pytest.mark.parametrize("timeout", ["5", 0, -1, math.nan, True])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ArgumentError, match="timeout must be a finite number of seconds > 0"):
        study().run(2, timeout=timeout)

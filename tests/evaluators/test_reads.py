"""Which hyperparameters of a config a function has read."""

import copy
import json
import pickle

import pytest

from proxyhpo.evaluators import TrialRun
from proxyhpo.evaluators._reads import UnusedWarning, recorded, unread

CONFIG = {"lr": 0.1, "momentum": 0.9, "epochs": 3}
TRIAL = TrialRun(0, 0, "trial-0-rung-0", left_to_train=frozenset({"lr", "momentum"}))


def test_nothing_is_recorded_where_build_takes_the_config():
    assert recorded(CONFIG, TrialRun(0, 0, "trial-0-rung-0")) is CONFIG
    assert unread(CONFIG, TRIAL) == []


@pytest.mark.parametrize(
    "read",
    [
        lambda config: config["lr"],
        lambda config: config.get("lr"),
        lambda config: config.get("lr", 1),
        lambda config: config.pop("lr"),
        lambda config: config.setdefault("lr", 1),
    ],
)
def test_what_is_read_by_name_is_known(read):
    config = recorded(CONFIG, TRIAL)
    assert isinstance(config, dict)
    assert "lr" in config
    assert unread(config, TRIAL) == ["lr", "momentum"]
    assert read(config) == 0.1
    assert unread(config, TRIAL) == ["momentum"]


def taken(**config):
    return config


@pytest.mark.parametrize(
    "read",
    [
        dict,
        copy.copy,
        copy.deepcopy,
        lambda config: config.copy(),
        lambda config: {**config},
        lambda config: taken(**config),
        lambda config: config | {},
        lambda config: {} | config,
        lambda config: dict(config.items()),
        lambda config: {name: CONFIG[name] for name in config},
        lambda config: dict(zip(config.keys(), config.values(), strict=True)),
        lambda config: json.loads(json.dumps(config)),
        lambda config: pickle.loads(pickle.dumps(config)),
    ],
)
def test_access_to_several_counts_as_reading_all_and_copies_are_plain(read):
    config = recorded(CONFIG, TRIAL)
    plain = read(config)
    assert (plain, type(plain)) == (CONFIG, dict)
    assert unread(config, TRIAL) == []


def test_only_the_first_trial_is_warned_about(caplog):
    warning = UnusedWarning("make_net")
    later = TrialRun(1, 0, "trial-1-rung-0", left_to_train=TRIAL.left_to_train)
    warning.check(recorded(CONFIG, later), later)
    assert not caplog.records
    config = recorded(CONFIG, TRIAL)
    config["lr"]
    warning.check(config, TRIAL)
    assert "did not use 'momentum'" in caplog.text
    assert "make_net did not read it" in caplog.text

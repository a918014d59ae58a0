"""A store that someone changed who knows its form: an error that says so, before any training."""

import contextlib
import json
import math
import sqlite3

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO
from proxyhpo._store.journal import checksum
from proxyhpo.errors import ArgumentError, StoreError

SPACE = {"lr": Float(1e-4, 1, log=True), "optimizer": Choice(["sgd", "adam"])}


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


trained = []


def training(network, config):
    trained.append(config)
    return config["lr"]


def study(path, train=training):
    return ProxyHPO(
        build,
        train,
        SPACE,
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        searcher="random",
        progress=False,
        store=path,
        proxies=True,
    )


@pytest.fixture
def path(tmp_path):
    assert study(tmp_path / "study.db").run(3).best_value > 0
    return tmp_path / "study.db"


@contextlib.contextmanager
def open_to_change(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def change(path, kind, changes):
    """Changes the events of a kind that are about trial 0 or rung 0, and their checksums."""
    with open_to_change(path) as connection:
        events = connection.execute("SELECT number, body FROM events WHERE kind = ?", (kind,))
        for number, text in events.fetchall():
            body = json.loads(text)
            if body.get("trial", body.get("number", body.get("rung"))) != 0:
                continue
            changed = json.dumps({**body, **changes})
            connection.execute(
                "UPDATE events SET body = ?, checksum = ? WHERE number = ?",
                (changed, checksum(kind, changed), number),
            )


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("record", {"value": "0.9"}, "value must be a finite number"),
        ("record", {"value": None}, "finished record must have a value, got None"),
        ("record", {"loss": {"$float": "NaN"}}, "loss must be a finite number"),
        ("record", {"loss": -1e9}, "loss -1000000000.0, which does not match its value"),
        ("record", {"state": "pending"}, "state must be one of"),
        ("record", {"config": {"lr": 0.5, "optimizer": "sgd"}}, "another config"),
        ("record", {"reports": [{"value": 1.0, "metrics": {"seconds": []}}]}, "reports must be"),
        ("measured", {"density": 7}, "density must be a number in"),
        ("measured", {"density": 0.5}, "rung 0 at density 0.5, but the ladder has 0.25"),
        ("measured", {"step_seconds": 0}, "step_seconds must be in "),
        ("measured", {"step_seconds": 5e-324}, "step_seconds must be in "),
        ("measured", {"width_ratio": 5e-324}, "width_ratio must be in "),
        ("measured", {"parameters": 10**400}, "parameters must be a whole number"),
        ("opening", {"exponents": {"lr": -51.0}}, r"exponents must be .* numbers in \[-50, 50\]"),
        ("opening", {"exponents": {"momentum": 1.0}}, "invalid exponents.*'momentum'"),
        ("opening", {"exponents": {"optimizer": 1.0}}, "invalid exponents.*'optimizer'"),
        ("opening", {"exponents": {"lr": "steep"}}, "exponents must be"),
        ("measured", {"skipped": "all"}, "skipped must be"),
        ("record", {"seconds": 1.7e308}, "seconds must be in"),
        ("trial", {"config": {"lr": 5.0, "optimizer": "sgd"}}, "trial 0: 'lr'"),
        ("trial", {"config": {"lr": 0.1, "optimizer": "lion"}}, "trial 0: 'optimizer'"),
        ("trial", {"config": {"lr": 0.1}}, "trial 0: 'optimizer' is missing"),
        ("trial", {"config": {"lr": 0.1, "optimizer": "sgd", "x": 1}}, "trial 0: .*'x'"),
    ],
)
def test_a_value_that_the_study_cannot_have_written_is_an_error(path, kind, changes, words):
    change(path, kind, changes)
    if kind == "trial":
        change(path, "record", changes)
    trained.clear()
    for use in (lambda: study(path).run(5), lambda: study(path).result):
        with pytest.raises(StoreError, match=words):
            use()
    assert trained == []


def test_the_full_network_is_measured_at_density_1(path):
    with open_to_change(path) as connection:
        (text,) = connection.execute("SELECT body FROM events WHERE kind = 'measured'").fetchone()
        body = json.loads(text)
        assert body["rung"] == 1
        changed = json.dumps({**body, "density": 0.5})
        connection.execute(
            "UPDATE events SET body = ?, checksum = ? WHERE body = ?",
            (changed, checksum("measured", changed), text),
        )
    with pytest.raises(StoreError, match=r"rung 1 at density 0\.5, but the ladder has 1"):
        _ = study(path).result


def test_weights_of_another_network_are_an_error_where_they_are_asked_for(path):
    (file,) = path.with_name("study.db-weights").iterdir()
    torch.save({"0.weight": torch.zeros(1)}, file)
    result = study(path).result
    assert result.best_value > 0
    with pytest.raises(StoreError, match="do not fit the network"):
        result.best_network()


def test_the_largest_of_each_bound_together_are_no_error(path):
    change(path, "measured", {"width_ratio": 1e-6, "step_seconds": 1e-12})
    change(path, "opening", {"exponents": {"lr": -50.0}})
    change(path, "record", {"seconds": 1e15})
    result = study(path).run(5, timeout=1e6)
    assert len(result.history.trials) == 3  # since one more would take for ever


@pytest.mark.parametrize(
    ("body", "is_right"),
    [({}, True), ({"train": 10**300}, False), ({"train": ["a"]}, False), ({"train": None}, True)],
)
def test_a_source_of_another_form_is_an_error(path, body, is_right):
    with open_to_change(path) as connection:
        text = json.dumps(body)
        update = "UPDATE events SET body = ?, checksum = ? WHERE kind = 'source'"
        connection.execute(update, (text, checksum("source", text)))
    if is_right:
        with pytest.warns(UserWarning, match="source of train has changed"):
            assert study(path).result.best_value > 0
    else:
        with pytest.raises(StoreError, match="source of train"):
            _ = study(path).result


@pytest.mark.parametrize("seconds", [math.nan, -1.0, math.inf, 1e13])
def test_seconds_that_cannot_be_are_a_failure_and_the_store_can_still_be_read(tmp_path, seconds):
    def train(network, config):
        yield {"value": 1.0, "seconds": seconds}

    path = tmp_path / "study.db"
    result = study(path, train).run(1)
    assert ["'seconds'" in record.reason for record in result.failures] == [True]
    assert len(study(path, train).result.failures) == 1


def test_invalid_seconds_are_rejected_before_they_are_written(tmp_path):
    path = tmp_path / "study.db"
    with study(path) as hpo:
        asked = hpo.ask()
        with pytest.raises(ArgumentError, match="seconds must be"):
            hpo.tell(asked, 1.0, seconds=math.nan)
    assert len(study(path).result.history.records) == 0


def test_no_name_of_a_metric_ends_a_study(tmp_path):
    def train(network, config):
        yield {"value": config["lr"], "$float": 1.0}
        yield {"value": config["lr"], "$float": math.nan}

    ran = study(tmp_path / "study.db", train).run(2)
    assert not ran.failures
    stored = study(tmp_path / "study.db", train).result
    assert [record.reports[0].metrics for record in stored.records] == [
        {"$float": 1.0} for _ in stored.records
    ]

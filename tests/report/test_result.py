import pandas as pd
import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO
from proxyhpo.errors import ArgumentError

NASTY = "<script>alert('x')</script>\x1b[2J"


@pytest.fixture(scope="module")
def result():
    def train(network, config):
        if config["lr"] > 0.5:
            raise RuntimeError(NASTY)
        yield {"value": 1 - config["lr"], "loss": config["lr"]}

    hpo = ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        train,
        {"lr": Float(0, 1), "kind": Choice([NASTY])},
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        searcher="random",
        progress=False,
    )
    hpo.enqueue({"lr": 0.9, "kind": NASTY})
    return hpo.run(10)


def test_leaderboards_are_sorted_and_hold_no_failures(result):
    for rung in (0, 1, -1):
        values = [record.value for record in result.leaderboard(rung)]
        assert values == sorted(values, reverse=True)
        assert None not in values
    assert result.leaderboard() == result.leaderboard(1)
    assert len(result.leaderboard(0)) + len(result.failures) == 10


def test_there_are_only_so_many_rungs(result):
    with pytest.raises(ArgumentError, match="rung"):
        result.leaderboard(2)


def test_the_frame_has_a_row_a_record(result):
    frame = result.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == len(result.records)
    assert {"trial", "rung", "density", "state", "value", "config.lr", "metric.loss"} <= set(frame)
    assert frame["state"].eq("failed").sum() == len(result.failures)


def test_the_ledger_adds_up(result):
    cost = result.cost
    assert cost.seconds == pytest.approx(
        sum(record.seconds for record in result.records) + cost.overhead_seconds
    )
    assert [rung.runs for rung in cost.rungs] == [10, 3]
    assert cost.rungs[0].failed == len(result.failures)
    assert cost.base_training_source == "measured"
    assert cost.base_trainings == pytest.approx(cost.seconds / cost.base_training_seconds)
    assert cost.saved == pytest.approx(1 - cost.seconds / cost.full_search_seconds)
    assert 0 < cost.rungs[0].flops_base_trainings < 10
    assert cost.rungs[1].flops_base_trainings == pytest.approx(3)


def test_repr_says_what_matters(result):
    text = repr(result)
    for words in (
        "maximize",
        "best value",
        "lr=",
        "base trainings instead of",
        "rung 0 for rung 1",
    ):
        assert words in text
    assert f"{len(result.failures)} runs failed" in text


def test_a_result_prints_no_control_characters(result):
    assert "\x1b" in result.failures[0].reason
    assert all(c.isprintable() or c == "\n" for c in repr(result))


def test_html_is_escaped(result):
    text = result._repr_html_()
    assert NASTY not in text
    assert "&lt;script&gt;" in text
    assert "<table>" in text

"""The soak test counts what was lost, and only that."""

import pytest
import torch
from torch import nn

from benchmarks.faults.report import Tally, evidence, known, note, outcome_of
from proxyhpo import Float, ProxyHPO
from proxyhpo._store import SQLiteStore, read_study


def scattered(network, config):
    """Reports that scatter more than two configs differ, so that further seeds are trained."""
    yield from (config["x"], 0.0, config["x"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with further seeds, and what the soak notes beside it."""
    folder = tmp_path_factory.mktemp("soak")
    ProxyHPO(
        lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2)),
        scattered,
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(4, 8),
        direction="maximize",
        searcher="random",
        pruner="magnitude",
        density=0.5,
        finalists=2,
        repeats=2,
        progress=False,
        store=folder / "study.db",
    ).run(4)
    for kind in ("kill", "kill", "hang"):
        note(folder / "faults", kind)
    note(folder / "runs", "ended with 0")
    return folder


def test_trainings_under_further_seeds_are_told_apart(folder):
    _, events = read_study(folder / "study.db")
    records = sum(kind == "record" for kind, _ in events)
    assert any(kind == "repeats" for kind, _ in events)
    assert len(known(folder)) == records
    found = outcome_of(folder, set())
    assert found["lost"] == []
    assert found["counts"]["trainings begun"] == found["counts"]["finished"] == records


def test_what_is_lost_is_named_and_shown(folder, tmp_path):
    identity, events = read_study(folder / "study.db")
    cut = tmp_path / "cut"
    cut.mkdir()
    with SQLiteStore(cut / "study.db", identity) as store:
        for kind, body in events[:-1]:
            store.append(kind, body)
    for name in ("faults", "runs"):
        (cut / name).write_text((folder / name).read_text())
    found = outcome_of(cut, {"trial-0-rung-0"})
    assert "trial-0-rung-0" in found["lost"]
    assert len(found["lost"]) == 2
    shown = evidence(cut, found["lost"])
    assert all(name in shown for name in [*found["lost"], str(cut), "ended with 0", "record"])
    tally = Tally()
    tally.add(found)
    tally.add(outcome_of(folder, set()))
    assert not tally.is_good
    assert "| kill | 4 |" in tally.tables()
    assert "| lost | 2 |" in tally.tables()

"""Every example is run as a user runs it, in an empty folder, but with few trials."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
N_TRIALS = 2


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, at_most):
    """Runs an example with two trials, of which one climbs, and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    at_most(N_TRIALS, finalists=1)

    def run(path):
        monkeypatch.setattr(sys, "argv", [str(path)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_examples_are_numbered_without_gaps():
    assert [path.name[:2] for path in EXAMPLES] == [
        f"{number:02d}" for number in range(1, 1 + len(EXAMPLES))
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs_to_its_end_and_says_what_it_found(path, run):
    printed = run(path)
    assert "base trainings" in printed
    assert "lr" in printed
    if "store=" in path.read_text():  # the second time there is nothing left to train
        assert "0 trainings are in the file" in printed
        again = run(path)
        n_trainings = re.search(r"(\d+) trainings are in the file", again)
        assert n_trainings
        assert int(n_trainings[1]) >= N_TRIALS  # more if trials climb from a proxy
        assert again.partition("Result")[2] == printed.partition("Result")[2]

"""The command's code on a CPU; only a card can tell figures."""

import sys
import time
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import search as gpu_search
from benchmarks.gpu import steps as gpu_steps
from benchmarks.gpu.networks import TINY_NETWORKS, Step
from benchmarks.gpu.setup import Setup
from proxyhpo.executors import InProcessExecutor, ProcessExecutor


@pytest.fixture
def setup():
    return Setup(torch.device("cpu"), None, smoke=True, deadline=time.monotonic() + 1000)


def part(rows):
    return lambda _: iter(rows)


def test_the_table_has_the_rows_of_every_part(setup, monkeypatch):
    rows = [("a case", "1 s", "half", "2 GiB")]
    monkeypatch.setattr(gpu, "PARTS", {"one": (part(rows), 1.0), "two": (part(rows), 1.0)})
    assert list(gpu.measure(setup, ["one", "two"])) == [("one", *rows[0]), ("two", *rows[0])]


def test_a_part_that_fails_is_a_row_and_the_others_run(setup, monkeypatch, capsys):
    def failing(_):
        yield "a case", "1 s", "", ""
        raise ValueError("no such\nkernel")

    parts = {"one": (failing, 1.0), "two": (part([("b", "", "", "")]), 1.0)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    assert [row[:3] for row in gpu.measure(setup, list(parts))] == [
        ("one", "a case", "1 s"),
        ("one", "", "failed: ValueError: no such"),
        ("two", "b", ""),
    ]
    assert "Traceback" in capsys.readouterr().err


def test_a_part_for_which_no_time_is_left_is_skipped(setup, monkeypatch):
    monkeypatch.setattr(gpu, "PARTS", {"one": (part([("a", "", "", "")]), 60.0)})
    late = replace(setup, deadline=time.monotonic() + 30)
    assert list(gpu.measure(late, ["one"])) == [("one", "", "left out: no time", "", "")]


def test_the_page_is_written_after_each_row(monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(gpu, "PAGE", tmp_path / "gpu.md")
    rows = [("a", "1 s", "", ""), ("b", "2 s", "", "")]

    def measured(_):
        for row in rows:
            yield row
            written.append(gpu.PAGE.read_text(encoding="utf-8"))

    monkeypatch.setattr(gpu, "PARTS", {"steps": (measured, 1.0)})
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--part", "steps"])
    gpu.main()
    assert "| steps | a | 1 s |" in written[0]
    assert "| steps | b | 2 s |" in written[1]
    assert "| steps | b | 2 s |" not in written[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_command_says_so(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu.main()


def test_steps_are_timed_at_every_density(setup, monkeypatch):
    monkeypatch.setattr(gpu_steps, "TINY_NETWORKS", TINY_NETWORKS[-1:])
    rows = list(gpu_steps.steps(setup))
    assert [row[0] for row in rows] == [
        f"GPT, 1 layer, density {density}" for density in ("1", "0.5", "0.25", "0.125")
    ]
    assert rows[0][2] == "1.00 of the full network's"


@pytest.mark.parametrize("entry", TINY_NETWORKS[1:], ids=lambda entry: entry.name)
def test_a_step_trains_the_network(entry):
    network = entry.build()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step = Step(entry, network, torch.device("cpu"))
    step()
    step()  # the first one changes no more than a head that starts at zero
    changed = [not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_trainings_that_run_out_of_memory_are_counted(setup):
    after, failing = gpu_search.memory(setup)
    assert after[0] == "3 trials, 0 of which failed"
    assert failing[0].startswith("3 trials, ")
    assert failing[0] != after[0]


def test_a_search_is_compared_with_a_full_one(setup, monkeypatch):
    monkeypatch.setattr(gpu_search, "_executor", lambda *_: InProcessExecutor())
    rows = list(gpu_search.search(setup))
    assert [row[0] for row in rows] == ["3 trials, one at a time", "3 trials, packed"]
    assert all("for a full search" in row[2] for row in rows)


def test_proxies_are_packed_on_the_device(setup, monkeypatch):
    monkeypatch.setattr(gpu_search, "_executor", lambda *_: InProcessExecutor())
    rows = list(gpu_search.packing(setup))
    assert [row[0] for row in rows] == ["1 proxies at once", "2 proxies at once"]


def test_the_executor_packs_one_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    executor = gpu_search._executor(4, ["cuda:0"])
    assert isinstance(executor, ProcessExecutor)
    assert executor.capacity == 4
    assert gpu_search._executor("auto", ["cuda:0"]).capacity == 1

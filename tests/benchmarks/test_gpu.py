"""The command's code on a CPU; only a card can tell figures."""

import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import search as gpu_search
from benchmarks.gpu import steps as gpu_steps
from benchmarks.gpu.memory import PeakMemory
from benchmarks.gpu.networks import TINY_NETWORKS, Entry, Step
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


def test_a_part_gets_its_share_of_the_time_that_is_left(setup, monkeypatch):
    now, given = 0, {}
    for module in ("__main__", "setup"):
        clock = SimpleNamespace(monotonic=lambda: now)
        monkeypatch.setattr(f"benchmarks.gpu.{module}.time", clock)

    def uses(name, seconds):
        def measured(setup):
            nonlocal now
            given[name] = setup.seconds_left
            now += seconds
            yield name, "", "", ""

        return measured

    parts = {"one": (uses("one", 100), 50.0), "two": (uses("two", 300), 30.0)}
    monkeypatch.setattr(gpu, "PARTS", {**parts, "three": (uses("three", 0), 20.0)})
    list(gpu.measure(replace(setup, deadline=1000), ["one", "two", "three"]))
    assert given == {"one": 500, "two": 540, "three": 600}


@pytest.mark.parametrize(
    ("measured", "cases"),
    [
        (gpu_steps.steps, 12),
        (gpu_steps.compiled, 1),
        (gpu_search.packing, 2),
        (gpu_search.search, 2),
        (gpu_search.memory, 2),
        (gpu.tests, 1),
    ],
)
def test_what_is_left_out_is_in_the_table(setup, measured, cases):
    rows = list(measured(replace(setup, deadline=time.monotonic() - 1)))
    assert len({row[0] for row in rows}) == cases
    assert {row[1:] for row in rows} == {("left out: not enough time", "", "")}


def test_a_search_that_the_deadline_cuts_is_left_out(setup, later):
    late = [lambda _: later(2000)]
    assert gpu_search._run(setup, 3, searcher="random", callbacks=late) is None


def test_only_files_with_gpu_tests_are_run():
    files = gpu._files_of_gpu_tests()
    assert "tests/test_cuda.py" in files
    assert "tests/test_hpo.py" not in files


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
    assert "random images with random labels" in written[0].partition("|")[0]


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


def test_graphs_are_captured_in_the_precision_of_the_other_steps(monkeypatch):
    seen = []

    class Recording(nn.Module):
        def forward(self, x):
            seen.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
            return x

    def capture(network, inputs):
        assert not torch.is_autocast_cache_enabled()
        network(*inputs)
        return network

    entry = Entry("linear", nn.Identity, lambda: torch.zeros(2, 3), 4)
    step = Step(entry, nn.Linear(3, 4), torch.device("cpu"))
    step.network = Recording()
    step.inputs = SimpleNamespace(device=torch.device("cpu"), is_cuda=True, float=lambda: None)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    step._forward()
    step.capture()
    assert seen == 2 * [(True, torch.bfloat16)]


def test_the_peak_of_a_device_is_what_was_added_to_it(monkeypatch):
    used = iter([3, 4, 7, 5])  # GiB, the first before the block begins
    was_sampled = threading.Event()

    def mem_get_info(_):
        gib = next(used, None)
        if gib is None:
            was_sampled.set()
        return (80 - (gib or 5)) * 2**30, 80 * 2**30

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    with PeakMemory(torch.device("cuda:0")) as peak:
        assert was_sampled.wait(300)
    assert str(peak) == "4.00 GiB on the device"


def test_without_cuda_no_memory_is_measured(monkeypatch):
    monkeypatch.delattr(torch.cuda, "mem_get_info")
    with PeakMemory(torch.device("cpu")) as peak:
        pass
    assert str(peak) == ""


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

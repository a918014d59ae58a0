"""A soak test: one study under every kind of fault, at random times.

    python benchmarks/faults.py --faults 1000

Workers are killed, crash, hang, run out of memory or report invalid values. The study itself is
killed, interrupted and terminated, and resumed from its store each time. At the end the outcome of
every trial must be known. Prints the faults that occurred, and the trials that finished, were lost,
or ran twice. None may be lost.

It takes about three seconds per fault, mostly for starting processes.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._store import read_study
from proxyhpo.executors import ProcessExecutor

FAULT_RATE = 0.4  # of all trainings
WORKER_FAULTS = 19  # maximum number before the study itself is ended


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def exit_at_once() -> None:
    os._exit(7)


def hang() -> None:
    time.sleep(10_000)


def run_out_of_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (used * resource.getpagesize() + 2**28, hard))
    try:
        torch.ones(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run_out_of_cuda_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def fork_and_leave() -> None:
    if os.fork() == 0:
        # Outlives its worker only if the study is killed at the same time as the worker.
        time.sleep(60)
        os._exit(0)


def fork_and_come_out() -> None:
    if os.fork() == 0:
        sys.exit(0)


def spoil() -> None:
    os.chdir("/")
    sys.stdout.close()
    os.close(1)


class UnpicklableError(Exception):
    """An exception that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.cargo = (number for number in range(3))


def raise_unpicklable() -> None:
    raise UnpicklableError


def yield_nan() -> float:
    return float("nan")


def yield_inf() -> float:
    return float("inf")


def yield_nonsense() -> str:
    return "nonsense"


FAULTS: list[Callable[[], Any]] = [
    kill, segfault, exit_at_once, hang, run_out_of_memory, run_out_of_cuda_memory, fork_and_leave,
    fork_and_come_out, spoil, raise_unpicklable, yield_nan, yield_inf, yield_nonsense,
]  # fmt: skip


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))


def note(file: Path, what: object) -> None:
    """Appends a line atomically, also if several processes write."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def run_study(folder: Path, n_trials: int) -> None:
    """Runs the study. Faults are not repeatable, since timing decides which trainings they hit."""

    def train(_network: nn.Module, config: dict[str, Any]) -> Iterator[Any]:
        chance = random.Random(os.urandom(8))
        fault = chance.choice(FAULTS) if chance.random() < FAULT_RATE else None
        when = chance.randrange(3)
        for step in range(3):
            time.sleep(0.01)
            if fault is not None and step == when and not (folder / "calm").exists():
                note(folder / "faults", fault.__name__)
                given = fault()
                if given is not None:
                    yield given
            yield config["x"] - step
        note(folder / "trained", config["x"])

    ProxyHPO(
        build,
        train,
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(4, 8),
        direction="maximize",
        searcher="random",
        progress=False,
        executor=ProcessExecutor(2, trial_timeout=2.0, grace=1.0),
        max_retries=2,
        store=folder / "study.db",
    ).run(n_trials, finalists=3)


def records(folder: Path) -> dict[str, str]:
    """(trial, rung, replicate) → the stored record."""
    if not (folder / "study.db").exists():
        return {}
    _, events = read_study(folder / "study.db")
    bodies = [body for kind, body in events if kind == "record"]
    return {str((b["trial"], b["rung"], b["replicate"])): json.dumps(b) for b in bodies}


def soak(folder: Path, n_faults: int, n_trials: int, chance: random.Random) -> set[str]:
    """Runs the study until there were enough faults, then to its end; returns lost records."""
    known: dict[str, str] = {}
    forgotten: set[str] = set()
    began = time.monotonic()
    while True:
        before = n_lines(folder / "faults")
        if is_calm := before >= n_faults:
            (folder / "calm").touch()
        code = run_and_end(
            folder, n_trials, None if is_calm else before + chance.randint(1, WORKER_FAULTS), chance
        )
        now = records(folder)
        forgotten |= {key for key, body in known.items() if now.get(key) != body}
        known = now
        faults = n_lines(folder / "faults")
        print(
            f"{time.monotonic() - began:6.0f} s: {faults} faults, {len(known)} records", flush=True
        )
        if code == 0 and is_calm:
            return forgotten


def run_and_end(folder: Path, n_trials: int, end_after: int | None, chance: random.Random) -> int:
    """Runs the study and ends it after this many faults; returns its exit code."""
    command = [sys.executable, __file__, "--study", str(folder), "--trials", str(n_trials)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as study,
    ):
        while study.poll() is None:
            time.sleep(chance.random() / 5)
            if end_after is not None and n_lines(folder / "faults") >= end_after:
                end_after = None
                how = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
                note(folder / "faults", f"study ended by {how.name}")
                study.send_signal(how)
        code = study.returncode
    # Python ends with a signal that arrives before the study handles it.
    if code not in {0, 128 + signal.SIGTERM, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}:
        sys.exit((folder / "log").read_text(encoding="utf-8"))
    return code


def n_lines(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def report(folder: Path, forgotten: set[str]) -> bool:
    """Prints the tables; returns whether nothing was lost."""
    _, events = read_study(folder / "study.db")
    proposed = {str((body["number"], 0, 0)) for kind, body in events if kind == "trial"}
    promoted = {
        str((body["trial"], body["rung"], 0)) for kind, body in events if kind == "promotion"
    }
    known = records(folder)
    missing = (proposed | promoted) - known.keys() | forgotten
    states = collections.Counter(json.loads(body)["state"] for body in known.values())
    twice = n_lines(folder / "trained") - states["finished"]
    print("\n| fault | times |\n|---|---|")
    faults = (folder / "faults").read_text(encoding="utf-8").splitlines()
    for fault, times in collections.Counter(faults).most_common():
        print(f"| {fault} | {times} |")
    print(f"| all | {len(faults)} |")
    print("\n| trials | |\n|---|---|")
    print(f"| proposed | {len(proposed)} |\n| finished | {states['finished']} |")
    print(f"| failed, with the reason | {states['failed']} |\n| lost | {len(missing)} |")
    print(f"| trained to the end twice | {twice} |")
    return not missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.study is not None:
        # Shells start background processes with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run_study(given.study, given.trials)
        return
    n_trials = round(given.faults / FAULT_RATE)
    with tempfile.TemporaryDirectory() as folder:
        forgotten = soak(Path(folder), given.faults, n_trials, random.Random(given.seed))
        sys.exit(0 if report(Path(folder), forgotten) else 1)


if __name__ == "__main__":
    main()

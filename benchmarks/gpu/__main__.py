"""Measures what proxies save on a GPU, in at most eight minutes on one GPU.

    python -m benchmarks.gpu --data cifar10.npz
    python -m benchmarks.gpu --device cpu --smoke        # only shows that the command works

Five parts, each a few rows of one table in docs/benchmarks/gpu.md:

1. steps: what a narrow network saves if launches, not products, dominate, and whether
   ``torch.compile`` or CUDA graphs pay off within a trial;
2. packing: trainings per minute with several proxies on one GPU, and their memory;
3. search: a search on CIFAR-10 with the defaults, compared with a search on the full network;
4. memory: what is still allocated after 50 trials, and after an out-of-memory error;
5. tests: those that need a GPU.

A part for which no time is left is skipped, and the page says so. The page is written after each
part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.gpu.search import memory, packing, search
from benchmarks.gpu.setup import Row, Setup
from benchmarks.gpu.steps import compiled, steps
from benchmarks.pages import write_page

__all__ = ["main", "measure"]

PAGE = Path("docs/benchmarks/gpu.md")
HEAD = ("part", "case", "measured", "compared with", "GPU memory")

INTRODUCTION = """# Proxies on a GPU

On a GPU a narrow network saves less than on a CPU: launching a kernel takes the time, not what it
computes. Several proxies on one card make up for it. `python -m benchmarks.gpu` measures both, and
whether memory is given back, in at most eight minutes on one CUDA card.
"""


def tests(setup: Setup) -> Iterator[Row]:
    """Runs the tests that need a GPU."""
    where = ["tests/test_cuda.py"] if setup.smoke else []
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *where]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=setup.seconds_left, check=False
        )
    except subprocess.TimeoutExpired:
        yield "pytest -m gpu", "did not end in time", "", ""
        return
    print(done.stdout, file=sys.stderr)
    yield "pytest -m gpu", (done.stdout.strip().splitlines() or ["no output"])[-1], "", ""


PARTS: dict[str, tuple[Callable[[Setup], Iterator[Row]], float]] = {
    "steps": (steps, 60),
    "packing": (packing, 120),
    "search": (search, 90),
    "memory": (memory, 30),
    "compile": (compiled, 60),
    "tests": (tests, 20),
}
"""Name → what measures it, and the seconds that it needs to be worth starting."""


def measure(setup: Setup, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The table's rows, as they are measured. A part that fails gives a row with the error."""
    for name in names:
        part, needed = PARTS[name]
        if setup.seconds_left < needed:
            yield name, "", "left out: no time", "", ""
            continue
        try:
            for row in part(setup):
                yield name, *row
        except Exception as error:  # noqa: BLE001 - the other parts are still worth measuring
            traceback.print_exc()
            yield name, "", f"failed: {type(error).__name__}: {error}".splitlines()[0], "", ""


def main() -> None:
    arguments = _parser().parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here; --device cpu --smoke shows that the command works")
    setup = Setup(device, arguments.data, arguments.smoke, time.monotonic() + arguments.seconds)
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in measure(setup, arguments.part):
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
        if not arguments.smoke:
            write_page(PAGE, "python -m benchmarks.gpu", [_machine(device), "", *lines])


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    return f"Measured on {name}, with torch {torch.__version__}."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="an .npz with CIFAR-10; default: random images")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=480.0, help="for all parts together")
    parser.add_argument("--smoke", action="store_true", help="as quickly as possible; no page")
    return parser


if __name__ == "__main__":
    main()

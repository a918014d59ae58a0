"""Measures what proxies save on a GPU, in at most eight minutes on one GPU.

    python -m benchmarks.gpu --data cifar10.npz
    python -m benchmarks.gpu --device cpu --smoke        # only shows that the command works

The command has six parts. Each adds a few rows to the table in docs/benchmarks/gpu.md:

1. steps: what a narrow network saves if launching kernels takes longer than computing them;
2. packing: trainings per minute with several proxies on one GPU, and their memory;
3. search: a search on CIFAR-10 with the defaults, compared with a search on the full network;
4. memory: what is still allocated after 50 trials, and after out-of-memory errors;
5. compile: whether ``torch.compile`` or CUDA graphs save time within a trial;
6. tests: the tests that need a GPU, for which the extra ``test`` must be installed.

Each part gets a share of the time. If no time is left for a row, the row says so. The page is
written after each row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu.search import memory, packing, search
from benchmarks.gpu.setup import Row, Setup, left_out
from benchmarks.gpu.steps import compiled, steps
from benchmarks.pages import write_page

__all__ = ["main", "measure"]

PAGE = Path("docs/benchmarks/gpu.md")
HEAD = ("part", "case", "measured", "compared with", "GPU memory")


def tests(setup: Setup) -> Iterator[Row]:
    """Runs the tests that need a GPU."""
    case = "pytest -m gpu"
    if setup.seconds_left <= 0:
        yield left_out(case)
        return
    where = ["tests/test_cuda.py"] if setup.smoke else _files_of_gpu_tests()
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *where]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=setup.seconds_left, check=False
        )
    except subprocess.TimeoutExpired:
        yield case, "did not end in time", "", ""
        return
    print(done.stdout, done.stderr, file=sys.stderr)
    yield case, (done.stdout.strip().splitlines() or ["no output"])[-1], "", ""


def _files_of_gpu_tests() -> list[str]:
    """The files with the mark, because collecting all tests takes longer than running these."""
    files = sorted(Path("tests").rglob("test_*.py"))
    return [path.as_posix() for path in files if "mark.gpu" in path.read_text(encoding="utf-8")]


PARTS: dict[str, tuple[Callable[[Setup], Iterator[Row]], float]] = {
    "steps": (steps, 90),
    "packing": (packing, 130),
    "search": (search, 80),
    "memory": (memory, 40),
    "compile": (compiled, 70),
    "tests": (tests, 70),
}
"""Name → what measures it, and its share of the time: seconds, of 480."""


def measure(setup: Setup, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields the rows of the table as they are measured. A part that fails gives an error row.

    Each part gets its share of the time that is left, so time that one part does not use goes to
    the parts after it.
    """
    shares = [PARTS[name][1] for name in names]
    for place, name in enumerate(names):
        part, share = PARTS[name]
        seconds = setup.seconds_left * share / sum(shares[place:])
        try:
            for row in part(replace(setup, deadline=time.monotonic() + seconds)):
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
            write_page(PAGE, "python -m benchmarks.gpu", [*_circumstances(setup), "", *lines])


def _circumstances(setup: Setup) -> Iterator[str]:
    is_cuda = setup.device.type == "cuda"
    name = torch.cuda.get_device_name(setup.device) if is_cuda else "a CPU"
    yield f"Measured on {name}, with torch {torch.__version__}."
    if setup.data:
        yield f"The searches train on the images of `{setup.data.name}`."
    else:
        yield (
            "The searches train on 6,000 random images with random labels. Trainings take as long "
            "as on real images, but which trials are stopped or promoted means nothing."
        )


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

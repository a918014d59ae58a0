"""Repeats the experiment of Lee & Yim (arXiv:2205.08695): searches on a pruned network.

    python -m benchmarks.paper --data cifar10.npz cifar100.npz tinyimagenet.npz
    python -m benchmarks.paper --data cifar10.npz --network resnet --searcher tpe
    python -m benchmarks.paper --data folder --full          # the paper's scale: weeks on a GPU
    python -m benchmarks.paper --report                      # docs/benchmarks/paper.md

Three data sets, three networks, three searchers: 27 cells. Each cell has three searches:

- ``full``: every trial trains the full network;
- ``paper``: every trial trains a proxy with three tenths of the channels and an
  unchanged learning rate; the best config is then trained on the full network;
- ``proxyhpo``: ``ProxyHPO`` with its defaults.

The config that each search returns is trained again on the full network under fresh seeds, and
tested. These tests are not charged to the searches. On a CPU, seconds are the CPU seconds of the
process, so that a busy machine does not distort them.

The three searches of a cell start from the same random configs.

Every finished search, every test and every complete training is one line of a file, so the command
can be interrupted at any time and resumed. A training is not repeated if an earlier search has made
it with the same network, config and seed. Each search is charged for all of its trainings.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from benchmarks.image_files import data_sets_in
from benchmarks.pages import write_page
from benchmarks.paper.arms import ARMS, SEARCHERS, Cell, search
from benchmarks.paper.report import draw, measured, page
from benchmarks.paper.training import FULL, SMALL, Scale, Training
from benchmarks.rows import Row, Rows, key_of

PAGE = Path("docs/benchmarks/paper.md")
SMOKE = replace(
    SMALL, name="smoke", epochs=1, most=(128, 64, 64), most_of_many_classes=(128, 64, 64), trials=3
)


def measure(
    cells: Sequence[Cell], arms: Sequence[str], training: Training, rows: Rows, repeats: int
) -> None:
    """Runs the searches and tests of one data set that are not in the file yet."""
    trainings = Rows(rows.path.with_stem(f"{rows.path.stem}_trainings"))
    for cell, arm in product(cells, arms):
        of = cell.of(arm, training.scale)
        found = rows.get(of)
        if found is None:
            print(f"searching: {of}", file=sys.stderr, flush=True)
            found = rows.add(of, search(cell, arm, training, trainings))
        for repeat in range(repeats):
            test = test_of(cell, training.scale, found["config"], repeat)
            if rows.get(test) is None:
                rows.add(test, {"accuracy": tested(test, training)})


def test_of(cell: Cell, scale: Scale, config: Row, repeat: int) -> Row:
    """The description of a test in the file. Searches that return the same config share it."""
    of = {"scale": scale.name, "data": cell.data, "network": cell.network}
    return {"test": repeat, **of, "config": config}


def tested(test: Row, training: Training) -> float:
    """Test accuracy of the full network, trained with a config under a seed that no search uses."""
    torch.manual_seed(int(hashlib.sha256(key_of(test).encode()).hexdigest()[:8], 16))
    network = training.scale.networks[test["network"]](training.data.classes)
    training.to_the_end(network, test["config"])
    return training.accuracy(network, training.data.test)


def report(rows: Rows, scale: Scale) -> None:
    """Writes the page and its picture from what has been measured."""
    cells = measured(rows, scale.name)
    if cells:
        draw(cells, PAGE.with_suffix(".png"))
    lines = page(cells, f"{PAGE.stem}.png")
    write_page(PAGE, "python -m benchmarks.paper", lines, "The paper's experiment")


def main() -> None:
    arguments = _parser().parse_args()
    scale = FULL if arguments.full else SMOKE if arguments.smoke else SMALL
    trials = arguments.trials or scale.trials
    rows = Rows(arguments.out)
    if arguments.report:
        report(rows, scale)
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for path in arguments.data:
        for name, read in data_sets_in(path).items():
            data = scale.images(read()).to(device)
            cells = [
                Cell(name, network, searcher, trials, seed)
                for searcher, network, seed in product(
                    arguments.searcher, arguments.network, arguments.seed
                )
            ]
            measure(cells, arguments.arm, Training(data, scale, device), rows, arguments.repeats)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="files or folders")
    for name, allowed in (
        ("network", list(SMALL.networks)),
        ("searcher", list(SEARCHERS)),
        ("arm", list(ARMS)),
    ):
        parser.add_argument(f"--{name}", nargs="+", choices=allowed, default=allowed)
    parser.add_argument("--trials", type=int, help="of a search; default: the scale's")
    parser.add_argument("--seed", nargs="+", type=int, default=[0], help="of the searches")
    parser.add_argument("--repeats", type=int, default=2, help="tests of each returned config")
    parser.add_argument("--full", action="store_true", help="the paper's scale")
    parser.add_argument("--smoke", action="store_true", help="a quick try of the command")
    parser.add_argument("--report", action="store_true", help="write the page from the rows")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/paper.jsonl"))
    return parser


if __name__ == "__main__":
    main()

"""Searches on real images: CIFAR-10 at 16x16, three kinds of network.

    python -m benchmarks.cifar fill --data PATH [--net resnet] [--net vgg] [--net vit] [--longer]
    python -m benchmarks.cifar steps
    python -m benchmarks.cifar live --data PATH --net vgg [--trials 100]
    python -m benchmarks.cifar report [--repetitions 50]

``fill`` trains random configs on the full networks and on proxies of them, and keeps what they
come to in ``benchmarks/data/cifar_<net>.jsonl``. It can be ended at any moment and goes on where
it was. PATH is an ``.npz`` of images, or a folder in which torchvision finds CIFAR-10. ``steps``
measures what a step takes; nothing else should run on the core. ``live`` is a search that really
trains. ``report`` replays searches on what is in the tables by then, and writes its tables and
figure to docs/benchmarks.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import torch

from benchmarks.cifar_live import live, live_lines
from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_report import find, write_report
from benchmarks.cifar_steps import Costs, measure
from benchmarks.cifar_table import N_CONFIGS, complete, fill, fill_longer, longer_pass, read
from benchmarks.cifar_training import load

N_LONGER = 12
LEAST = 8  # complete configs, for a report
DATA = Path("benchmarks/data")
STEPS = DATA / "cifar_steps.json"
LIVE = DATA / "cifar_live.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    filling = commands.add_parser("fill", help="train what is missing in the tables")
    filling.add_argument("--data", type=Path, required=True, help="an .npz, or a folder")
    filling.add_argument("--net", action="append", choices=list(TASKS), help="by default all")
    filling.add_argument("--configs", type=int, help=f"by default {N_CONFIGS}, or {N_LONGER}")
    filling.add_argument("--longer", action="store_true", help="train three times as long")
    filling.add_argument("--tables", type=Path, default=DATA, help="folder of the tables")
    commands.add_parser("steps", help="measure what a step takes")
    living = commands.add_parser("live", help="search and train")
    living.add_argument("--data", type=Path, required=True, help="an .npz, or a folder")
    living.add_argument("--net", choices=list(TASKS), required=True)
    living.add_argument("--trials", type=int, default=100)
    living.add_argument("--studies", type=Path, default=Path("data"), help="folder of the studies")
    reporting = commands.add_parser("report", help="replay searches, write the page")
    reporting.add_argument("--repetitions", type=int, default=50, help="for each network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "fill":
        nets, images = arguments.net or list(TASKS), load(arguments.data)
        if arguments.longer:
            fill_longer(nets, images, arguments.tables, arguments.configs or N_LONGER)
        else:
            fill(nets, images, arguments.tables, arguments.configs or N_CONFIGS)
    elif arguments.command == "steps":
        STEPS.write_text(json.dumps(measure(), indent=1) + "\n")
    elif arguments.command == "live":
        arguments.studies.mkdir(parents=True, exist_ok=True)
        images = load(arguments.data)
        found = live(arguments.net, images, arguments.trials, arguments.studies)
        with LIVE.open("a") as file:
            file.write(json.dumps(found) + "\n")
    else:
        warnings.simplefilter("error")
        report(DATA, Costs.read(STEPS), arguments.repetitions, Path("docs/benchmarks"))


def report(folder: Path, costs: Costs, repetitions: int, pages: Path) -> None:
    """Writes what the tables of a folder say; networks with few complete configs are left out."""
    tables = {net: complete(read(folder / f"cifar_{net}.jsonl")) for net in TASKS}
    found = [
        find(net, table, costs, repetitions) for net, table in tables.items() if len(table) >= LEAST
    ]
    if not found:
        raise SystemExit(f"no table in {folder} has {LEAST} complete configs yet")
    longer = {
        net: complete(read(folder / f"cifar_{net}_longer.jsonl"), longer_pass) for net in TASKS
    }
    write_report(found, costs, pages, live=list(live_lines(LIVE, tables)), longer=longer)


if __name__ == "__main__":
    main()

"""Measures on five networks how proxies rank configs, and what searches cost and find.

    python -m benchmarks.cifar fill --data PATH [--net resnet] [--net language] [--configs 20]
    python -m benchmarks.cifar steps --data PATH
    python -m benchmarks.cifar live --data PATH --net vgg [--trials 100]
    python -m benchmarks.cifar report [--repetitions 100]

``fill`` trains random configs on the full networks and on proxies of them, and stores the results
in tables in ``benchmarks/data``. It can be interrupted at any time and resumed. ``steps`` measures
how long a training step takes, and needs an idle core. ``live`` runs a search that trains its
networks, instead of looking results up in the tables. ``report`` replays searches on the tables,
and writes docs/benchmarks/cifar.md and its pictures. PATH is an ``.npz`` file of images, or a
folder in which torchvision finds CIFAR-10.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import torch

from benchmarks.cifar.findings import find
from benchmarks.cifar.live import live, live_lines
from benchmarks.cifar.networks import TASKS
from benchmarks.cifar.report import write_report
from benchmarks.cifar.steps import Costs, measure
from benchmarks.cifar.table import complete, fill, read, table_path
from benchmarks.cifar.training import load

LEAST = 8  # minimum number of configs for a report
DATA = Path("benchmarks/data")
STEPS = DATA / "cifar_steps.json"
LIVE = DATA / "cifar_live.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cifar",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    filling = commands.add_parser("fill", help="train what is missing in the tables")
    filling.add_argument("--data", type=Path, help="an .npz, or a folder; text needs none")
    filling.add_argument("--net", action="append", choices=list(TASKS), help="by default all")
    filling.add_argument("--configs", type=int, help="by default the planned size of the table")
    filling.add_argument("--tables", type=Path, default=DATA, help="folder of the tables")
    stepping = commands.add_parser("steps", help="measure how long a step takes")
    stepping.add_argument("--data", type=Path, required=True, help="an .npz, or a folder")
    living = commands.add_parser("live", help="run a search that trains its networks")
    living.add_argument("--data", type=Path, help="an .npz, or a folder; text needs none")
    living.add_argument("--net", choices=list(TASKS), required=True)
    living.add_argument("--trials", type=int, default=100)
    living.add_argument("--studies", type=Path, default=Path("data"), help="folder of the studies")
    reporting = commands.add_parser("report", help="replay searches, write the page")
    reporting.add_argument("--repetitions", type=int, default=100, help="for each network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "fill":
        for net in arguments.net or list(TASKS):
            fill(net, load(net, arguments.data), arguments.tables, arguments.configs)
    elif arguments.command == "steps":
        STEPS.write_text(json.dumps(measure(arguments.data), indent=1) + "\n")
    elif arguments.command == "live":
        arguments.studies.mkdir(parents=True, exist_ok=True)
        examples = load(arguments.net, arguments.data)
        found = live(arguments.net, examples, arguments.trials, arguments.studies)
        with LIVE.open("a") as file:
            file.write(json.dumps(found) + "\n")
    else:
        warnings.simplefilter("error")
        report(DATA, Costs.read(STEPS), arguments.repetitions, Path("docs/benchmarks"))


def report(folder: Path, costs: Costs, repetitions: int, pages: Path) -> None:
    """Writes the page from the tables in a folder, without networks that have few configs."""
    tables = {net: complete(net, read(table_path(folder, net))) for net in TASKS}
    found = [
        find(net, table, costs, repetitions) for net, table in tables.items() if len(table) >= LEAST
    ]
    if not found:
        raise SystemExit(f"no table in {folder} has {LEAST} configs yet")
    write_report(found, costs, pages, live=list(live_lines(LIVE)))


if __name__ == "__main__":
    main()

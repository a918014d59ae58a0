"""Searches on real images: CIFAR-10 at 16x16, three kinds of network.

    python -m benchmarks.cifar fill --data PATH [--net resnet] [--net vgg] [--net vit]

``fill`` trains random configs on the full networks and on proxies of them, and keeps what they
come to in ``benchmarks/data/cifar_<net>.jsonl``. It can be ended at any moment and goes on where
it was. PATH is an ``.npz`` of images, or a folder in which torchvision finds CIFAR-10.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_table import N_CONFIGS, fill
from benchmarks.cifar_training import load

DATA = Path("benchmarks/data")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    filling = commands.add_parser("fill", help="train what is missing in the tables")
    filling.add_argument("--data", type=Path, required=True, help="an .npz, or a folder")
    filling.add_argument("--net", action="append", choices=list(TASKS), help="by default all")
    filling.add_argument("--configs", type=int, default=N_CONFIGS)
    filling.add_argument("--tables", type=Path, default=DATA, help="folder of the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fill(arguments.net or list(TASKS), load(arguments.data), arguments.tables, arguments.configs)


if __name__ == "__main__":
    main()

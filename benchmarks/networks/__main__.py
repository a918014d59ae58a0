"""Makes proxies of many kinds of networks, and measures their cost and whether they learn.

There is one row for each network. It has the parameters, the FLOPs (forward, train mode) and the
step time (forward and backward, 32 examples, one thread) of the full network and of its proxy with
half of the channels. It also has the seconds for pruning, the loss before and after five steps of
training, and what was not pruned and why. Seconds are CPU seconds, so other processes do not count.

    python -m benchmarks.networks                      # all of them, about half an hour
    python -m benchmarks.networks --only resnet --quick
    python -m benchmarks.networks --peer               # with a column for Torch-Pruning
    python -m benchmarks.networks --strangers          # networks of other libraries
    python -m benchmarks.networks --strangers --report # prints what has been measured

Each network is measured in its own process, with a time limit. Measured rows are stored in a
results file, and are not measured again. The extra ``bench-networks`` installs the other libraries.
Their networks are counted for each library, and their steps are not timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.isolated import isolated
from benchmarks.networks.catalogue import CATALOGUE, Entry
from benchmarks.networks.measuring import OURS, PEER, measure
from benchmarks.networks.report import counted, exceptions, table
from benchmarks.networks.strangers import LIBRARIES, strangers
from benchmarks.rows import Row, Rows

_MEMORY = 16 * 2**30
"""Limit of the address space in bytes. On some networks, Torch-Pruning takes all memory."""


def main(arguments: argparse.Namespace) -> None:
    name = "strangers" if arguments.strangers else "networks"
    rows = Rows(arguments.results or Path(f"benchmarks/results/{name}.jsonl"))
    catalogue = strangers() if arguments.strangers else CATALOGUE
    chosen = [entry for entry in catalogue if (arguments.only or "") in entry.name]
    pruners = [] if arguments.report else [OURS] + [PEER] * arguments.peer
    for pruner in pruners:
        for entry in chosen:
            of = _of(entry, arguments, pruner)
            if rows.get(of) is None:
                found = rows.add(of, _measured_alone(of, entry, arguments))
                print(entry.name, found.get("error", "measured"), file=sys.stderr, flush=True)
    measured = []
    for entry in chosen:
        own, peer = (rows.get(_of(entry, arguments, pruner)) for pruner in (OURS, PEER))
        if own is not None:
            found = {} if peer is None else {"peer": peer.get("peer", peer.get("error"))}
            measured.append((entry, own | found))
    if arguments.strangers:
        print(counted(measured), exceptions(measured), sep="\n\n")
    else:
        print(table(measured, peer=arguments.peer))


def _of(entry: Entry, arguments: argparse.Namespace, pruner: str) -> Row:
    return {"network": entry.name, "density": arguments.density, "pruner": pruner}


def _measured_alone(of: Row, entry: Entry, arguments: argparse.Namespace) -> Row:
    return isolated(
        measure,
        of,
        entry.family,
        arguments,
        seconds=arguments.peer_limit if of["pruner"] == PEER else arguments.limit,
        memory=_MEMORY,
        preload=["benchmarks.networks.measuring", *(LIBRARIES if arguments.strangers else ())],
    )


def arguments_of(line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.networks", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--only", help="networks whose name contains this")
    parser.add_argument("--quick", action="store_true", help="batches of 8, one step timed")
    parser.add_argument("--peer", action="store_true", help="measure Torch-Pruning, too")
    parser.add_argument("--strangers", action="store_true", help="networks of other libraries")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--density", type=float, default=0.5)
    parser.add_argument("--limit", type=float, default=180, help="seconds for a network")
    parser.add_argument("--peer-limit", type=float, default=60, help="seconds for the peer")
    parser.add_argument("--results", type=Path, help="kept rows; a file in benchmarks/results")
    return parser.parse_args(line)


if __name__ == "__main__":
    main(arguments_of())

"""A proxy of every kind of network: what it costs, what it keeps, and whether it learns.

One row a network: parameters, FLOPs (forward, train mode) and measured step time (forward and
backward, 32 examples, one thread) of the full network and of its proxy at half the channels, the
seconds that pruning took, whether five steps of training lowered the loss, and what was left
whole and why. Seconds are those of the processor, so that other processes do not count.

    python -m benchmarks.networks                      # all of them, about half an hour
    python -m benchmarks.networks --only resnet --quick
    python -m benchmarks.networks --peer               # with a column for Torch-Pruning
    python -m benchmarks.networks --strangers --peer   # networks from other people's libraries

A row that has been measured stands in the file of results and is not measured again. Each is
measured in a process of its own, under a time limit.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.network_catalogue import CATALOGUE, Entry
from benchmarks.pruning_peer import peer_row
from benchmarks.strangers import strangers
from proxyhpo._inputs import Inputs, call
from proxyhpo._networks.counting import forward
from proxyhpo._networks.fans import parameter_count
from proxyhpo.channels.find.forward import outputs_of
from proxyhpo.errors import UnsupportedNetworkError
from proxyhpo.pruners import L1StructuredPruner

Row = dict[str, Any]
_RESULTS = {
    False: Path("benchmarks/results/networks.jsonl"),
    True: Path("benchmarks/results/strangers.jsonl"),
}
_LEARNING_RATE = 3e-4
_PEER_SECONDS = 300.0


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.row:
        entry = next(entry for entry in _catalogue(arguments) if entry.name == arguments.row)
        measured = peer_row if arguments.peer else _measured
        print(json.dumps(measured(entry, arguments.density, quick=arguments.quick)))
        return
    rows = _read(arguments.results or _RESULTS[arguments.strangers])
    chosen = [e for e in _catalogue(arguments) if not arguments.only or arguments.only in e.name]
    for entry in chosen:
        row = rows.setdefault(entry.name, {"name": entry.name, "density": arguments.density})
        before = dict(row)
        if not row.keys() & {"parameters", "error", "refused"}:
            row.update(_in_a_process(entry, arguments, peer=False))
        if arguments.peer and "peer" not in row:
            row.update(_in_a_process(entry, arguments, peer=True))
        if row != before:
            with (arguments.results or _RESULTS[arguments.strangers]).open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(entry.name, row.get("error", "measured"), file=sys.stderr)
    measured_rows = [(entry, rows[entry.name]) for entry in chosen]
    if arguments.strangers:
        print(counted(measured_rows), end="\n\n")
    print(table(measured_rows, peer=arguments.peer))


def _catalogue(arguments: argparse.Namespace) -> Sequence[Entry]:
    return strangers() if arguments.strangers else CATALOGUE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="networks whose name holds this")
    parser.add_argument("--quick", action="store_true", help="batches of 8, one step timed")
    parser.add_argument("--peer", action="store_true", help="Torch-Pruning as well, if installed")
    parser.add_argument("--strangers", action="store_true", help="other people's networks instead")
    parser.add_argument("--density", type=float, default=0.5)
    parser.add_argument("--limit", type=float, default=600, help="seconds for a network")
    parser.add_argument(
        "--results",
        type=Path,
        help="kept rows; benchmarks/results/networks.jsonl or strangers.jsonl",
    )
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser


def _read(path: Path) -> dict[str, Row]:
    """The rows measured so far; of two with a name the later one holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return {}
    return {row["name"]: row for row in map(json.loads, path.read_text().splitlines())}


def _in_a_process(entry: Entry, arguments: argparse.Namespace, *, peer: bool) -> Row:
    command = [sys.executable, "-m", "benchmarks.networks", "--row", entry.name]
    command += ["--density", str(arguments.density)]
    command += ["--quick"] * arguments.quick + ["--peer"] * peer
    command += ["--strangers"] * arguments.strangers
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    failed, limit = ("peer", _PEER_SECONDS) if peer else ("error", arguments.limit)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit,
            env=environment,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return {failed: f"not done after {limit:.0f} s"}
    except subprocess.CalledProcessError as error:
        return {failed: (error.stderr.strip().splitlines() or [f"exit {error.returncode}"])[-1]}
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def _measured(entry: Entry, density: float, *, quick: bool) -> Row:
    """The row of a network, by our pruner."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = entry.inputs(min(8, entry.batch) if quick else entry.batch)
    network = entry.build().train()
    began = time.process_time()
    try:
        pruned = L1StructuredPruner().prune(
            network, inputs, density=density, generator=torch.Generator().manual_seed(0)
        )
    except UnsupportedNetworkError as refusal:
        return {"refused": str(refusal), "prune_seconds": time.process_time() - began}
    seconds = time.process_time() - began
    pair = (network, pruned.network)
    return {
        "parameters": [parameter_count(each) for each in pair],
        "flops": [forward(each, inputs).flops for each in pair],
        "step_seconds": _step_seconds(pair, inputs, limit=1 if quick else 40),
        "prune_seconds": seconds,
        "losses": _losses(pruned.network, inputs),
        "skipped": list(pruned.skipped),
        "narrower": list(pruned.narrower.values()),
    }


def _step_seconds(networks: Sequence[nn.Module], inputs: Inputs, limit: float) -> list[float]:
    """Of each, the median of three steps after one to warm up; fewer once the limit has passed.

    They take turns, so that whatever slows the machine down slows down all.
    """
    began = time.process_time()
    seconds: list[list[float]] = [[] for _ in networks]
    while len(seconds[0]) < 4 and (len(seconds[0]) < 2 or time.process_time() - began < limit):
        for network, own in zip(networks, seconds, strict=True):
            network.zero_grad()
            start = time.process_time()
            _loss(network, inputs).backward()
            own.append(time.process_time() - start)
    return [statistics.median(own[1:]) for own in seconds]


def _losses(network: nn.Module, inputs: Inputs, steps: int = 5) -> list[float]:
    """Before each step and after the last, towards random targets; the same dropout each time."""
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = _loss(network, inputs)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [*losses, _loss(network, inputs).item()]


def _loss(network: nn.Module, inputs: Inputs) -> Tensor:
    torch.manual_seed(1)
    outputs = [y for y in outputs_of(call(network, inputs)) if y.is_floating_point()]
    torch.manual_seed(2)
    return torch.stack([(y - torch.randn_like(y)).square().mean() for y in outputs]).sum()


def counted(rows: Sequence[tuple[Entry, Row]]) -> str:
    """How many became smaller, were refused or failed, for each family, as markdown.

    A proxy is real if it keeps less than .9 of the parameters and its loss is a number after five
    steps. The peer's proxies count if a forward and a backward ran with the outputs' shapes kept.
    """
    verdicts = ("real proxies", "no smaller", "refused", "failed")
    lines = [_line(["family", "networks", *verdicts, "longest", "Torch-Pruning"]), "|---" * 8 + "|"]
    families = [*dict.fromkeys(entry.family for entry, _ in rows), "all"]
    for family in families:
        own = [row for entry, row in rows if family in (entry.family, "all")]
        found = [_verdict(row) for row in own]
        seconds = max((row.get("prune_seconds", 0.0) for row in own), default=0.0)
        peers = [row["peer"] for row in own if "peer" in row]
        smaller = sum(isinstance(peer, float) and peer < _SMALLER for peer in peers)
        cells = [family, str(len(own)), *(str(found.count(verdict)) for verdict in verdicts)]
        lines.append(_line([*cells, f"{seconds:.1f} s", f"{smaller} of {len(peers)}"]))
    return "\n".join(lines)


_SMALLER = 0.9


def _verdict(row: Row) -> str:
    if "refused" in row:
        return "refused"
    if "error" in row or not all(map(math.isfinite, row["losses"])):
        return "failed"
    full, proxy = row["parameters"]
    return "real proxies" if proxy < _SMALLER * full else "no smaller"


def table(rows: Iterable[tuple[Entry, Row]], *, peer: bool = False) -> str:
    """The rows as markdown, under a heading for each family."""
    columns: dict[str, Callable[[Entry, Row], str]] = {
        "network": lambda entry, _: entry.name,
        "parameters": lambda _, row: _ratio(row["parameters"], 1e-6, "M"),
        "FLOPs": lambda entry, row: _asked(row["flops"], entry.asked),
        "step": lambda _, row: _ratio(row["step_seconds"], 1e3, " ms"),
        "pruned in": lambda _, row: f"{row['prune_seconds']:.1f} s",
        "loss, 5 steps": lambda _, row: f"{row['losses'][0]:.3g} → {row['losses'][-1]:.3g}",
        "not pruned": lambda _, row: _skipped(row["skipped"]),
    }
    if peer:
        columns["Torch-Pruning FLOPs"] = lambda _, row: _in_short(row.get("peer", ""))
    lines, family = [], None
    for entry, row in rows:
        if entry.family != family:
            family = entry.family
            lines += ["", f"**{family}**", "", _line(columns), _line(["---"] * len(columns))]
        lines.append(_line(_cells(columns, entry, row)))
    return "\n".join(lines).strip()


def _cells(columns: Mapping[str, Callable[[Entry, Row], str]], entry: Entry, row: Row) -> list[str]:
    if "error" in row:
        return [entry.name, f"failed: {row['error']}"] + [""] * (len(columns) - 2)
    if "refused" in row:
        said = " ".join(row["refused"].split())[:200]
        return [entry.name, f"refused: {said}"] + [""] * (len(columns) - 2)
    return [column(entry, row) for column in columns.values()]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _ratio(pair: Sequence[float], scale: float, unit: str) -> str:
    full, proxy = pair
    return f"{full * scale:.3g} → {proxy * scale:.3g}{unit} ({proxy / full:.2f})"


def _asked(pair: Sequence[float | None], asked: float) -> str:
    full, proxy = pair
    if full is None or proxy is None:
        return "cannot be counted"
    verdict = "" if proxy <= asked * full else f", asked {asked}"
    return f"{full / 1e9:.3g} → {proxy / 1e9:.3g} G ({proxy / full:.2f}{verdict})"


def _skipped(skipped: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"`{name}`: {reason}" for name, reason in skipped[:3]) + (
        f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    )


def _in_short(result: float | str) -> str:
    return f"{result:.2f}" if isinstance(result, float) else f"fails: {result.split(':')[0]}"


if __name__ == "__main__":
    main()

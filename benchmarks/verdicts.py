"""Measures how often each verdict is given, on tables where it is known how good each proxy is.

    python -m benchmarks.verdicts [--repetitions 40]

Needs the extra ``bench``. The configs are random ones of HPOBench's tables. Each has its loss on a
narrow network and, under another seed, on the full network. The verdict is computed as in
:meth:`proxyhpo.ProxyHPO.check`. One proxy is made bad on purpose, by shuffling its losses. The
command writes docs/benchmarks/verdicts.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.pages import write_page
from benchmarks.tables import HPOBENCH, Table, hpobench
from proxyhpo._report.fidelity import fidelity
from proxyhpo.transfers._exponents import transferred

N_CONFIGS = (8, 10, 12, 16, 30)
VERDICTS = ("trust", "trust with re-ranking", "do not use this proxy", "too little evidence")
EXPONENT = {"lr": -0.5}

# name → (width, exponents)
PROXIES = {
    "shuffled losses": (101, EXPONENT),
    "width 16, lr as is": (16, {}),
    "width 16": (16, EXPONENT),
    "width 64, lr as is": (64, {}),
    "width 64": (64, EXPONENT),
    "width 101": (101, EXPONENT),
    "width 161": (161, EXPONENT),
    "width 256": (256, EXPONENT),
    "width 406": (406, EXPONENT),
    "another seed of 1024": (1024, {}),
}


def verdicts(
    tables: Sequence[Table], name: str, n: int, repetitions: int, *, second_seed: bool
) -> Iterator[str]:
    """One verdict for each table and repetition."""
    width, exponents = PROXIES[name]
    for number, table in enumerate(tables):
        rng = np.random.default_rng([number, n, width, len(name)])
        for _ in range(repetitions):
            configs = table.draw(n, rng)
            seeds = [int(seed) for seed in rng.permutation(5)[:3]]
            ratio = width / table.widths[-1]
            lower = [
                -table.look_up(transferred(config, exponents, ratio), width, seeds[0])[0]
                for config in configs
            ]
            upper, again = (
                [-table.look_up(config, table.widths[-1], seed)[0] for config in configs]
                for seed in seeds[1:]
            )
            if name == "shuffled losses":
                lower = list(rng.permutation(lower))
            yield fidelity(lower, upper, again if second_seed else None).verdict


def page(tables: Sequence[Table], repetitions: int) -> Iterator[str]:
    yield f"{repetitions * len(tables)} checks per row.\n"
    for second_seed in (False, True):
        yield f"## {'With a second seed' if second_seed else 'Without a second seed'}\n"
        for n in (N_CONFIGS[-1],) if second_seed else N_CONFIGS:
            yield f"{n} configs:\n"
            yield f"| proxy | {' | '.join(VERDICTS)} |"
            yield "|---" * (1 + len(VERDICTS)) + "|"
            for name in PROXIES:
                counts = Counter(verdicts(tables, name, n, repetitions, second_seed=second_seed))
                shares = (f"{counts[v] / counts.total():.1%}" for v in VERDICTS)
                yield f"| {name} | {' | '.join(shares)} |"
            yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40, help="of each of the 24 tables")
    arguments = parser.parse_args()
    tables = [table for name in HPOBENCH for table in hpobench(name)]
    path = Path("docs/benchmarks/verdicts.md")
    lines = page(tables, arguments.repetitions)
    write_page(path, "python -m benchmarks.verdicts", lines, "How often each verdict is given")


if __name__ == "__main__":
    main()

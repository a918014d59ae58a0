"""A soak test: runs studies under many kinds of faults, at random times.

    python -m benchmarks.faults --faults 1000

Trainings kill their process, crash, hang, run out of memory, change the settings of torch and
report invalid values. Callbacks and threads call the running study. The study itself is killed,
interrupted and terminated; its output goes to a broken pipe; its store is deleted or replaced, and
its lock is removed while a second process runs the same study. Each study is resumed from its store
until it is complete. Then the next one starts, until there have been enough faults.

At the end, the outcome of every training must be known. The command prints the faults that
occurred, and how many trainings finished, failed, were lost, or ran twice. No training may be lost,
and none may start with settings that another one has changed. If a training is lost, the folder of
its study is kept and the last events are printed. The results of complete studies are stored in a
file, so that the test can be resumed.

The studies are forked from this process, which has imported everything. A few runs use worker
processes, which take longer to start.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.faults.attacks import Run, attack
from benchmarks.faults.report import Tally, evidence, known, n_lines, note, outcome_of
from benchmarks.faults.study import COMPLETE, ENDINGS
from benchmarks.pages import write_page
from benchmarks.rows import Row, Rows

ATTACK_RATE = 0.5  # of all runs of a study
WORKER_RATE = 0.03  # likewise
MOST_FAULTS = 100  # of a study, which then finishes without further faults


def soak(folder: Path, chance: random.Random) -> set[str]:
    """Runs a study until it is complete, and returns the trainings whose records were lost."""
    before: dict[str, str] = {}
    forgotten: set[str] = set()
    while True:
        if is_calm := n_lines(folder / "faults") >= MOST_FAULTS:
            (folder / "calm").touch()
        in_workers, has_output = chance.random() < WORKER_RATE, chance.random() > WORKER_RATE
        if not has_output:
            note(folder / "faults", "output goes to a broken pipe")
        announced, n_faults = n_lines(folder / "announced"), n_lines(folder / "faults")
        run = Run(folder, in_workers=in_workers, has_output=has_output)
        if not is_calm and (in_workers or chance.random() < ATTACK_RATE):
            # Half of the attacks come while the study opens, and half once it trains.
            is_open = chance.random() < 0.5
            while is_open and run.code() is None and n_lines(folder / "announced") == announced:
                time.sleep(0.002)
            moment = time.monotonic() + chance.random() * (20 if in_workers else 1)
            while run.code() is None and time.monotonic() < moment:
                time.sleep(0.002)
            if run.code() is None:
                attack(folder, run, chance, is_open=is_open)
        code = run.code(wait=True)
        if code not in ENDINGS:
            sys.exit(f"a study ended with {code}:\n{(folder / 'log').read_text()}")
        now = known(folder)
        missing = {name for name, body in before.items() if now.get(name) != body}
        forgotten |= missing
        faults = (folder / "faults").read_text().split("\n")[n_faults:-1]
        note(folder / "runs", f"ended with {code}: {len(now)} records, faults {faults}, {missing}")
        before = now
        if code == COMPLETE:
            return forgotten


def study_of(number: int) -> Row:
    """Runs one study. Its folder is kept if something was lost."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    found = outcome_of(folder, soak(folder, random.Random(number)))
    if found["lost"]:
        print(evidence(folder, found["lost"]), flush=True)
    else:
        shutil.rmtree(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/faults.jsonl"))
    parser.add_argument("--page", type=Path, help="a page to write the tables to, as markdown")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows, tally = Rows(given.results), Tally()
    for number in itertools.count():
        if tally.faults.total() >= given.faults:
            break
        of = {"study": number}
        tally.add(rows.get(of) or rows.add(of, study_of(number)))
        print(f"{tally.faults.total()} faults, {tally.counts['lost']} lost", flush=True)
    print(tally.tables())
    if given.page is not None:
        write_page(given.page, "python -m benchmarks.faults --page", tally.tables().splitlines())
    sys.exit(0 if tally.is_good else 1)


if __name__ == "__main__":
    main()

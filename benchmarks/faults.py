"""A soak test: studies under every kind of fault, at random times.

    python -m benchmarks.faults --faults 1000

Trainings kill their process, crash, hang, run out of memory, change the settings of torch and
report invalid values. Callbacks and threads call the running study. The study itself is killed,
interrupted and terminated; its output goes to a broken pipe; its store is deleted or replaced, and
its lock is removed while a second process runs the same study. Each study is resumed from its store
until it is complete. Then the next one starts, until there were enough faults.

At the end the outcome of every training must be known. Prints the faults that occurred, and the
trainings that finished, failed, were lost, or ran twice. None may be lost, and none may find the
settings of another one. If one is lost, the folder of its study is kept and the last events are
printed. Studies that are done are kept in a file of results, so that a soak can be resumed.

The studies are forked from this process, which has imported everything. A few runs use worker
processes, which have to be started.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from benchmarks import fault_kinds
from benchmarks.fault_report import Tally, evidence, known, n_lines, note, outcome_of
from benchmarks.pages import write_page
from benchmarks.rows import Row, Rows
from proxyhpo import Float, ProxyHPO, Record
from proxyhpo.errors import StoreError
from proxyhpo.executors import InProcessExecutor, ProcessExecutor

FAULT_RATE = 0.7  # of all trainings
LETHAL_RATE = 0.1  # of these: the process dies
CALL_RATE = 0.05  # of all records, each from a callback and from another thread
ATTACK_RATE = 0.5  # of all runs of a study
WORKER_RATE = 0.03  # likewise
TRIALS = 80  # of a study
MOST_FAULTS = 100  # of a study, after which it runs in peace

COMPLETE, STORE_LOST, INTERRUPTED = 0, 3, 4
ENDINGS = {COMPLETE, STORE_LOST, INTERRUPTED, 7, 128 + signal.SIGTERM, 128 + signal.SIGINT}
ENDINGS |= {-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGTERM, -signal.SIGINT}


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))


def study(folder: Path, *, in_workers: bool) -> ProxyHPO:
    """The study. Faults are not repeatable, since timing decides which trainings they hit."""
    kinds = fault_kinds.WORKER_FAULTS if in_workers else fault_kinds.FAULTS

    def train(_network: nn.Module, config: dict[str, Any]) -> Iterator[Any]:
        if fault_kinds.is_polluted():
            note(folder / "polluted", config["x"])
        chance = random.Random(os.urandom(8))
        is_calm = (folder / "calm").exists() or not (folder / "trained").exists()
        fault = None if is_calm or chance.random() > FAULT_RATE else chance.choice(kinds)
        if fault is not None and chance.random() < LETHAL_RATE:
            fault = chance.choice(fault_kinds.LETHAL)
        when = chance.randrange(3)
        for step in range(3):
            if fault is not None and step == when:
                note(folder / "faults", fault.__name__)
                given = fault()
                if given is not None:
                    yield given
            yield config["x"] - step
        note(folder / "trained", config["x"])

    def call(record: Record) -> None:
        note(folder / "announced", record.trial)
        chance = random.Random(os.urandom(8))
        if (folder / "calm").exists() or chance.random() > CALL_RATE:
            return
        note(folder / "faults", "called from a callback and a thread")
        fault_kinds.call_the_running_study(hpo, record, chance)
        thread = threading.Thread(
            target=fault_kinds.call_the_running_study, args=(hpo, record, chance)
        )
        thread.start()
        thread.join(5.0)  # before the study ends: then it may be entered

    hpo = ProxyHPO(
        build,
        train,
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(4, 8),
        direction="maximize",
        searcher="random",
        pruner="magnitude",  # quickly planned, since most runs are short
        density=0.5,
        finalists=3,
        repeats=2,
        progress=True,
        callbacks=[call],
        executor=ProcessExecutor(2, trial_timeout=2.0, grace=1.0)
        if in_workers
        else InProcessExecutor(),
        max_retries=2,
        store=folder / "study.db",
    )
    return hpo


def victim(folder: Path, *, in_workers: bool, has_output: bool) -> NoReturn:
    """Runs the study in a forked process and exits."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if not has_output:
            reader, descriptor = os.pipe()
            os.close(reader)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        result = study(folder, in_workers=in_workers).run(TRIALS)
        code = INTERRUPTED if result.interrupted else COMPLETE
    except StoreError:
        code = STORE_LOST
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the parent hears of it by the status
        note(folder / "log", traceback.format_exc())
        code = 1
    os._exit(code)


class Run:
    """A forked process that runs the study."""

    def __init__(self, folder: Path, *, in_workers: bool, has_output: bool = True) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            victim(folder, in_workers=in_workers, has_output=has_output)
        self._code: int | None = None

    def code(self, *, wait: bool = False) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def attack(folder: Path, run: Run, chance: random.Random, *, is_open: bool) -> None:
    """Does something to a running study; to its store only once the run has it open.

    A store that is deleted before that is no lost store: the run starts a new study.
    """
    ending = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    on_store = chance.choice([delete, replace, run_twice])
    if chance.random() < 0.5:
        note(folder / "faults", f"study ended by {ending.name}")
        os.kill(run.pid, ending)
    elif is_open:
        note(folder / "faults", f"store: {on_store.__name__}")
        on_store(folder, run)


def delete(folder: Path, run: Run) -> None:
    """Moves the store away, which must have been written again when the study ends."""
    store, gone = folder / "study.db", folder / "gone.db"
    gone.unlink(missing_ok=True)
    store.rename(gone)
    run.code(wait=True)
    if not store.exists():  # it had ended before
        gone.rename(store)
    gone.unlink(missing_ok=True)


def replace(folder: Path, run: Run) -> None:
    """Puts another study in the store's place, which must be left as it is."""
    store, gone, other = folder / "study.db", folder / "gone.db", folder / "other.db"
    content = b"not a study at all"
    other.write_bytes(content)
    gone.hardlink_to(store)
    other.replace(store)
    run.code(wait=True)
    if store.read_bytes() != content:
        sys.exit("what took the place of the store was written to")
    rescued = folder / "study.db-rescued-1"
    (rescued if rescued.exists() else gone).replace(store)
    gone.unlink(missing_ok=True)


def run_twice(folder: Path, run: Run) -> None:
    """Removes the lock and runs the same study in a second process, beside the first."""
    (folder / "study.db-lock").unlink(missing_ok=True)
    second = Run(folder, in_workers=False)
    codes = run.code(wait=True), second.code(wait=True)
    if not set(codes) <= ENDINGS:
        sys.exit(f"two processes ended with {codes}:\n{(folder / 'log').read_text()}")


def soak(folder: Path, chance: random.Random) -> set[str]:
    """Runs a study to its end, whatever happens; returns the trainings that it forgot."""
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
            # Half of the time while the study opens, and half of the time once it trains.
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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

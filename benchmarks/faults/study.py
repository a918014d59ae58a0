"""The study that the soak test runs. Its trainings fail, and its callbacks call it."""

from __future__ import annotations

import os
import random
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from benchmarks.faults import kinds
from benchmarks.faults.report import note
from proxyhpo import Float, ProxyHPO, Record
from proxyhpo.errors import StoreError
from proxyhpo.executors import InProcessExecutor, ProcessExecutor

__all__ = ["COMPLETE", "ENDINGS", "victim"]

FAULT_RATE = 0.7  # of all trainings
LETHAL_RATE = 0.1  # of these: the process dies
CALL_RATE = 0.05  # of all records: the study is called from a callback and from another thread
TRIALS = 80  # of a study

COMPLETE, STORE_LOST, INTERRUPTED = 0, 3, 4
ENDINGS = {COMPLETE, STORE_LOST, INTERRUPTED, 7, 128 + signal.SIGTERM, 128 + signal.SIGINT}
ENDINGS |= {-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGTERM, -signal.SIGINT}


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))


def study(folder: Path, *, in_workers: bool) -> ProxyHPO:
    """The study. Faults are not repeatable, since timing decides which trainings they hit."""
    faults = kinds.WORKER_FAULTS if in_workers else kinds.FAULTS

    def train(_network: nn.Module, config: dict[str, Any]) -> Iterator[Any]:
        if kinds.is_polluted():
            note(folder / "polluted", config["x"])
        chance = random.Random(os.urandom(8))
        is_calm = (folder / "calm").exists() or not (folder / "trained").exists()
        fault = None if is_calm or chance.random() > FAULT_RATE else chance.choice(faults)
        if fault is not None and chance.random() < LETHAL_RATE:
            fault = chance.choice(kinds.LETHAL)
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
        kinds.call_the_running_study(hpo, record, chance)
        thread = threading.Thread(target=kinds.call_the_running_study, args=(hpo, record, chance))
        thread.start()
        thread.join(5.0)  # it must end before the study, since the study may be run again then

    hpo = ProxyHPO(
        build,
        train,
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(4, 8),
        direction="maximize",
        searcher="random",
        pruner="magnitude",  # planned quickly, which matters because most runs are short
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
    except BaseException:  # noqa: BLE001 - the exit status tells the parent
        note(folder / "log", traceback.format_exc())
        code = 1
    os._exit(code)

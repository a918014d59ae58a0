"""Signals sent to this very process, while it trains."""

import logging
import os
import signal
import subprocess
import textwrap
import threading
import time

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._engine.interruption import interruptible
from proxyhpo._running import OpenStudy
from proxyhpo._store import SQLiteStore
from tests import scripts
from tests.studies import outcomes

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


class Trainings:
    """Trainings of three steps; before the second step of some, signals are sent."""

    def __init__(self, at=-1, signals=()):
        self.at = at
        self.signals = signals
        self.begun = []
        self.closed = 0

    def __call__(self, network, config):
        number = len(self.begun)
        self.begun.append((sum(p.numel() for p in network.parameters()), config["lr"]))
        try:
            for step in range(3):
                if number == self.at and step == 1:
                    for sent in self.signals:
                        os.kill(os.getpid(), sent)
                yield config["lr"] + step
        finally:
            self.closed += 1


def study(train, folder, build=build, **options):
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-3, 0.1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        searcher="random",
        transfer="identity",
        progress=False,
        finalists=2,
        store=None if folder is None else folder / "study.db",
        **options,
    )


@pytest.fixture(scope="module")
def undisturbed():
    train = Trainings()
    result = study(train, None).run(4)
    assert len(train.begun) == 6
    return outcomes(result), train.begun


@pytest.fixture
def handlers():
    """The default handlers, whatever Ray has left; nothing of what a study installs is left."""
    defaults = [signal.default_int_handler, signal.SIG_DFL]
    previous = [signal.signal(*each) for each in zip(SIGNALS, defaults, strict=True)]
    yield defaults
    assert [signal.getsignal(number) for number in SIGNALS] == defaults
    for number, handler in zip(SIGNALS, previous, strict=True):
        if handler is not None:  # None: it was not installed by Python
            signal.signal(number, handler)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_one_ctrl_c_finishes_the_running_training_and_starts_no_other(
    at, undisturbed, handlers, tmp_path, caplog
):
    train = Trainings(at, [signal.SIGINT])
    result = study(train, tmp_path).run(4)
    assert result.interrupted
    assert outcomes(result) == undisturbed[0][: at + 1]
    assert len(train.begun) == train.closed == at + 1
    assert "finishing 1 training; press Ctrl-C again to stop now" in caplog.text
    again = Trainings()
    resumed = study(again, tmp_path).run(4)
    assert not resumed.interrupted
    assert outcomes(resumed) == undisturbed[0]
    assert train.begun + again.begun == undisturbed[1], "nothing is lost, nothing is run twice"


@pytest.mark.parametrize("at", [0, 4])
def test_ctrl_c_twice_stops_now(at, undisturbed, handlers, tmp_path):
    train = Trainings(at, [signal.SIGINT, signal.SIGINT])
    result = study(train, tmp_path).run(4)
    assert result.interrupted
    assert outcomes(result) == undisturbed[0][:at]
    assert train.closed == at + 1
    again = Trainings()
    assert outcomes(study(again, tmp_path).run(4)) == undisturbed[0]
    assert train.begun[:at] + again.begun == undisturbed[1], "only what was in flight runs again"


@pytest.mark.parametrize("at", [0, 4])
@pytest.mark.parametrize("before", [[], [signal.SIGINT]])
def test_sigterm_ends_the_process_with_everything_in_order(
    at, before, undisturbed, handlers, tmp_path
):
    train = Trainings(at, [*before, signal.SIGTERM])
    with pytest.raises(SystemExit) as caught:
        study(train, tmp_path).run(4)
    assert caught.value.code == 143
    assert train.closed == at + 1
    again = Trainings()
    resumed = study(again, tmp_path)
    assert outcomes(resumed.result) == undisturbed[0][:at]
    assert outcomes(resumed.run(4)) == undisturbed[0]
    assert train.begun[:at] + again.begun == undisturbed[1]


def test_ctrl_c_while_the_result_is_made_returns_it(undisturbed, handlers, tmp_path, monkeypatch):
    made = OpenStudy.result

    def interrupt_and_make(opened, *ending):
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)
        return made(opened, *ending)

    monkeypatch.setattr(OpenStudy, "result", interrupt_and_make)
    result = study(Trainings(), tmp_path).run(4)
    assert not result.interrupted
    assert outcomes(result) == undisturbed[0]


@pytest.mark.parametrize("first", [[], [signal.SIGINT]])
def test_ctrl_c_while_the_store_is_closed_returns_the_result(
    first, undisturbed, handlers, tmp_path, monkeypatch
):
    def interrupt_and_close(store):
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)
        store.close()

    monkeypatch.setattr(SQLiteStore, "close", interrupt_and_close)
    result = study(Trainings(2, first), tmp_path).run(4)
    assert result.interrupted == bool(first)
    assert outcomes(result) == undisturbed[0][: 3 if first else None]
    assert not (tmp_path / "study.db-wal").exists(), "the store has been closed"
    assert outcomes(study(Trainings(), tmp_path).run(4)) == undisturbed[0]


class Building:
    """Builds the network; a signal is sent in the first build after it is armed."""

    def __init__(self):
        self.sent = None

    def __call__(self):
        sent, self.sent = self.sent, None
        if sent is not None:
            os.kill(os.getpid(), sent)
        return build()


def test_sigterm_before_the_first_training_ends_the_process_in_order(
    undisturbed, handlers, tmp_path, caplog
):
    train, building = Trainings(), Building()
    hpo = study(train, tmp_path, build=building)
    building.sent = signal.SIGTERM
    with pytest.raises(SystemExit) as caught:
        hpo.run(4)
    assert caught.value.code == 143
    assert train.begun == []
    assert "interrupted by SIGTERM: run the script again to resume the study" in caplog.text
    assert not (tmp_path / "study.db-wal").exists(), "the store has been closed"
    assert outcomes(study(Trainings(), tmp_path).run(4)) == undisturbed[0]


def test_ctrl_c_before_the_first_training_does_not_wait(undisturbed, handlers, tmp_path):
    train, building = Trainings(), Building()
    hpo = study(train, tmp_path, build=building)
    building.sent = signal.SIGINT
    result = hpo.run(4)
    assert result.interrupted
    assert result.records == ()
    assert train.begun == []
    assert outcomes(study(Trainings(), tmp_path).run(4)) == undisturbed[0]


def test_a_signal_in_the_searcher_or_a_callback_is_one_as_well(undisturbed, handlers, tmp_path):
    train = Trainings()
    result = study(
        train, tmp_path, callbacks=[lambda record: os.kill(os.getpid(), signal.SIGINT)]
    ).run(4)
    assert result.interrupted
    assert outcomes(result) == undisturbed[0][:1]
    assert outcomes(study(Trainings(), tmp_path).run(4)) == undisturbed[0]


def test_a_signal_whose_exception_is_swallowed_is_obeyed_all_the_same(
    undisturbed, handlers, caplog
):
    class Swallowing(Trainings):
        def __call__(self, network, config):
            for value in super().__call__(network, config):
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                except BaseException:  # noqa: BLE001, PERF203 - what is tested
                    yield value

    train = Swallowing()
    with pytest.raises(SystemExit):
        study(train, None).run(4)
    assert len(train.begun) == 1
    assert "the study had no store, so it cannot be resumed" in caplog.text


def test_handlers_of_the_caller_are_respected(undisturbed):
    seen = []
    before = [
        signal.signal(number, lambda number, _frame: seen.append(number)) for number in SIGNALS
    ]
    try:
        result = study(Trainings(1, SIGNALS), None).run(4)
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    assert seen == SIGNALS
    assert outcomes(result) == undisturbed[0]


def test_in_another_thread_a_study_runs_as_well(undisturbed, handlers):
    results = []
    thread = threading.Thread(target=lambda: results.append(study(Trainings(), None).run(4)))
    thread.start()
    thread.join()
    assert outcomes(results[0]) == undisturbed[0]


def test_the_number_of_running_trainings_is_correct(handlers, caplog):
    with interruptible() as interruption, caplog.at_level(logging.WARNING, "proxyhpo"):
        with interruption.draining(lambda: 3):
            os.kill(os.getpid(), signal.SIGINT)
        assert "finishing 3 trainings" in caplog.text


def test_between_two_trainings_there_is_nothing_to_finish(handlers, caplog):
    with interruptible() as interruption, caplog.at_level(logging.WARNING, "proxyhpo"):
        with interruption.draining(lambda: 0):
            os.kill(os.getpid(), signal.SIGINT)
        assert interruption.is_ending
    assert not caplog.text


def test_a_forked_child_ends_when_it_is_terminated(handlers):
    with interruptible():
        child = os.fork()
        if child == 0:
            time.sleep(1000)
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


LOADERS = """
    # Ctrl-C in a terminal reaches the workers of a DataLoader, too.
    import os, sys, time
    from pathlib import Path
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    from proxyhpo import Float, ProxyHPO

    os.setsid()  # so that the signal reaches no other process
    DATA = TensorDataset(torch.rand(20, 6))

    def build():
        return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))

    def train(network, config):
        loader = DataLoader(DATA, 2, num_workers=1, multiprocessing_context="fork")
        for step, (batch,) in enumerate(loader):
            if step == 1:
                print("training", flush=True)
                while not Path(sys.argv[1]).exists():
                    time.sleep(0.02)
            loss = network(batch).square().mean()
        yield loss

    result = ProxyHPO(
        build, train, {"lr": Float(0, 1)}, example_inputs=torch.zeros(8, 6), direction="minimize",
        searcher="random", progress=False,
        proxies=True,
    ).run(3)
    print([record.state for record in result.records], result.interrupted)
"""


def test_the_workers_of_a_data_loader_go_on_with_their_training(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(LOADERS), encoding="utf-8")
    with scripts.start(script, tmp_path / "go", stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "training\n"
        os.killpg(process.pid, signal.SIGINT)
        assert any("finishing 1 training" in line for line in process.stderr)
        (tmp_path / "go").touch()
        assert process.stdout.read() == "['finished'] True\n"
    assert process.returncode == 0

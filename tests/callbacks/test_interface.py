"""Callbacks hear every training start, report and end, and cannot change what a study finds."""

import logging
import random
from concurrent.futures import Future

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.callbacks import Callback
from proxyhpo.executors import FuturesExecutor, InProcessExecutor
from tests.studies import outcomes


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_training_start(self, training):
        self.calls.append(("start", training.name, training.density))

    def on_report(self, training, report, step):
        self.calls.append(("report", training.name, step, report.value, dict(report.metrics)))

    def on_training_end(self, training, record):
        self.calls.append(("end", training.name, record.state, record.value))

    def on_training_interrupted(self, training, reason):
        self.calls.append(("interrupted", training.name, reason))

    def of(self, name):
        return [(call[0], *call[2:]) for call in self.calls if call[1] == name]


class Pool:
    """Runs each function at once; what it reports is known at its end."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


def train(network, config):
    for step in range(1, 4):
        if config["lr"] > 0.9 and step == 3:
            raise RuntimeError("as told")
        yield {"value": config["lr"] * step + random.random() / 100, "twice": 2.0}


def study(callbacks=(), train=train, **options):
    options = {"ladder": [Rung(0.25, keep=1), Rung(1)], "stopper": None, **options}
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        train,
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        searcher="random",
        progress=False,
        callbacks=callbacks,
        **options,
    )


@pytest.mark.parametrize(
    "executor", [InProcessExecutor, lambda: FuturesExecutor(Pool(), workers=1)]
)
def test_every_training_starts_reports_and_ends_in_order(executor):
    recorder = Recorder()
    hpo = study([recorder], executor=executor())
    hpo.enqueue({"lr": 0.95})
    result = hpo.run(3)
    assert len(result.records) == 4
    for record in result.records:
        density = [0.25, 1][record.rung]
        assert recorder.of(record.id.name) == [
            ("start", density),
            *(("report", n, r.value, dict(r.metrics)) for n, r in enumerate(record.reports, 1)),
            ("end", record.state, record.value),
        ]
    assert recorder.of("trial-0-rung-0")[-1][1] == "failed"


def test_a_report_arrives_while_its_training_runs():
    events = []

    class Live(Callback):
        def on_report(self, training, report, step):
            events.append(("heard", step))

    def announcing(network, config):
        for step in (1, 2):
            events.append(("reports", step))
            yield 1.0

    study([Live()], announcing, ladder=[Rung(1)]).run(1)
    assert events == [("reports", 1), ("heard", 1), ("reports", 2), ("heard", 2)]


class Hostile(Callback):
    """Changes all that it gets, draws random numbers, and raises."""

    def _attack(self, *arguments):
        torch.manual_seed(0)
        random.seed(0)
        for given in arguments:
            for name in ("config", "trained_config", "metrics"):
                getattr(given, name, {}).clear()
        raise ValueError("attacked")

    on_training_start = on_report = on_training_end = on_training_interrupted = _attack


def test_no_callback_changes_or_loses_anything(caplog):
    recorder = Recorder()
    with caplog.at_level(logging.ERROR, logger="proxyhpo"):
        attacked = study([Hostile(), recorder, Hostile()]).run(5)
    assert outcomes(attacked) == outcomes(study().run(5))
    assert [call[0] for call in recorder.calls].count("end") == 6
    assert "attacked" in caplog.text
    assert "failed in on_report; the study continues" in caplog.text


def test_what_is_left_without_a_record_is_interrupted_and_starts_again(tmp_path):
    class Once(Recorder):
        def on_report(self, training, report, step):
            super().on_report(training, report, step)
            if step == 2:
                hpo.stop()

    first = Once()
    hpo = study([first], store=tmp_path / "study.db")
    assert hpo.run(2).records == ()
    kinds = [call[0] for call in first.calls]
    assert kinds == ["start", "report", "report", "interrupted"]
    second = Recorder()
    study([second], store=tmp_path / "study.db").run(2)
    assert [call[0] for call in second.of("trial-0-rung-0")] == ["start", *["report"] * 3, "end"]


def test_an_exception_that_is_no_error_passes_through_and_interrupts():
    class Quit(Recorder):
        def on_report(self, training, report, step):
            raise SystemExit(3)

    recorder = Quit()
    with pytest.raises(SystemExit):
        study([recorder]).run(2)
    assert [call[0] for call in recorder.calls] == ["start", "interrupted"]


def test_asking_and_telling():
    recorder = Recorder()
    with study([recorder]) as hpo:
        asked = hpo.ask(2)
        hpo.tell(asked, [3.0, 2.0])
        hpo.ask(2)
    assert recorder.of("trial-0-rung-0") == [
        ("start", 0.25),
        ("report", 1, 3.0, {}),
        ("report", 2, 2.0, {}),
        ("end", "finished", 2.0),
    ]
    assert recorder.of("trial-1-rung-0") == [
        ("start", 0.25),
        ("interrupted", "the study was closed"),
    ]

"""What the callback writes is read back with TensorBoard itself."""

import sys

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo.callbacks import TensorBoardCallback, Training

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    events = accumulator.EventAccumulator(str(folder), size_guidance={accumulator.SCALARS: 0})
    return events.Reload()


def scalars(folder, tag):
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def hyperparameters(folder):
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = read(folder).summary_metadata[SESSION_START_INFO_TAG].plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in hparams.items()}


def train(network, config):
    for step in range(3):
        yield {"value": config["lr"] + step, "accuracy": 0.5}
    if config["kind"] == "bad":
        raise RuntimeError("as told")


def study(folder, callback):
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        train,
        {"lr": Float(1e-3, 0.1, log=True), "kind": Choice(["good", "bad"])},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        searcher="random",
        progress=False,
        finalists=1,
        store=folder / "study.db",
        callbacks=[callback],
    )


def test_a_study_is_read_back(tmp_path):
    logs = tmp_path / "logs"
    with TensorBoardCallback(logs) as callback:
        study(tmp_path, callback).run(5)
    with TensorBoardCallback(logs) as callback:
        result = study(tmp_path, callback).run(8)
    assert {record.state for record in result.records} == {"finished", "failed"}
    for rung in (0, 1):
        records = sorted((r for r in result.records if r.rung == rung), key=lambda r: r.trial)
        tags = {
            "seconds": [(r.trial, r.seconds) for r in records],
            "failed": [(r.trial, float(r.state == "failed")) for r in records],
            "value": [(r.trial, r.value) for r in records if r.value is not None],
        }
        for name, expected in tags.items():
            written = sorted(scalars(logs, f"{name}/rung-{rung}"))
            assert written == [(trial, pytest.approx(number)) for trial, number in expected]
    for record in result.records:
        run = logs / f"rung-{record.rung}" / f"trial-{record.trial}"
        curve = [(step, report.value) for step, report in enumerate(record.reports, start=1)]
        assert scalars(run, "report") == [(step, pytest.approx(value)) for step, value in curve]
        assert hyperparameters(run) == record.config
        assert scalars(run, "last/seconds") == [(0, pytest.approx(record.seconds))]
        assert scalars(run, "last/accuracy") == [(0, 0.5)]
        tags = read(run).Tags()
        assert ("last/value" in tags["scalars"]) == (record.value is not None)
        assert any("reason" in tag for tag in tags["tensors"]) == (record.state == "failed")


def test_what_tensorboard_does_not_know_is_written_as_text(tmp_path):
    config = {"units": [32, 64], "bias": None, "flag": True, "n": 3}
    training = Training(0, 0, 1, "trial-0-rung-0-replicate-1", 0.5, 1.0, config, config)
    record = Record(0, 0, 1, config, config, "finished", 1.0, 1.0)
    with TensorBoardCallback(tmp_path) as callback:
        callback.on_training_start(training)
        callback.on_training_end(training, record)
    assert hyperparameters(tmp_path / "rung-0" / "trial-0-replicate-1") == {
        "units": "[32, 64]",
        "bias": "None",
        "flag": 1.0,
        "n": 3.0,
    }


def test_a_curve_grows_while_its_training_runs_and_a_repeated_one_replaces_it(tmp_path):
    training = Training(0, 0, 0, "trial-0-rung-0", 0.5, 1.0, {"lr": 0.1}, {"lr": 0.1})
    run = tmp_path / "rung-0" / "trial-0"
    callback = TensorBoardCallback(tmp_path)
    callback.on_training_start(training)
    for step in (1, 2):
        callback.on_report(training, Report(0.5 * step, {"loss": 3.0}), step)
        assert scalars(run, "report") == [(n, 0.5 * n) for n in range(1, step + 1)]
    assert scalars(run, "metric/loss") == [(1, 3.0), (2, 3.0)]
    callback.on_training_interrupted(training, "killed")
    callback.on_training_start(training)
    callback.on_report(training, Report(0.75), 1)
    assert scalars(run, "report") == [(1, 0.75)]
    callback.on_training_interrupted(training, "killed")


def test_nothing_is_made_before_the_first_training(tmp_path):
    TensorBoardCallback(tmp_path / "logs").close()
    assert not (tmp_path / "logs").exists()


def test_where_it_is_missing_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="its extra 'tensorboard'"):
        TensorBoardCallback(tmp_path)

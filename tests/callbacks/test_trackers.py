"""What MLflow and Weights & Biases were told is read back with their own libraries."""

import json
import struct
import sys

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.callbacks import Callback, MLflowCallback, WandbCallback
from proxyhpo.errors import ArgumentError


def train(network, config):
    for step in (1, 2, 3):
        if config["lr"] > 0.9 and step == 3:
            raise RuntimeError("as told")
        yield {"value": config["lr"] * step, "twice": 2.0}


def study(folder, *callbacks):
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        train,
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        ladder=[Rung(0.25, keep=1), Rung(1)],
        searcher="random",
        transfer="power-law",
        stopper=None,
        progress=False,
        store=folder / "study.db",
        callbacks=callbacks,
    )


class StopAt(Callback):
    """Ends the study at the second report of a trial."""

    def __init__(self, trial):
        self.trial = trial

    def on_report(self, training, report, step):
        if training.trial == self.trial and step == 2:
            self.study.stop()


def run_twice(folder, make):
    """A failure, a success, and a training that is interrupted and repeated by a second study."""
    stop = StopAt(2)
    stop.study = study(folder, make(), stop)
    stop.study.enqueue({"lr": 0.95})
    stop.study.run(3)
    return study(folder, make()).run(3)


@pytest.fixture
def uri(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes seconds to make
    return f"file:{tmp_path}/runs"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mlflow(tmp_path, uri):
    mlflow = pytest.importorskip("mlflow")
    name = "it's a search"
    result = run_twice(tmp_path, lambda: MLflowCallback(name, tracking_uri=uri))
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("proxyhpo").experiment_id
    (parent,) = client.search_runs([experiment], f'attributes.run_name = "{name}"')
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert len(runs) == len(result.records) + 1
    (killed,) = (run for run in runs if run.info.status == "KILLED")
    assert (killed.info.run_name, killed.data.tags["state"]) == ("trial-2-rung-0", "interrupted")
    for record in result.records:
        (run,) = (
            r for r in runs if r.info.run_name == record.id.name and r.info.status != "KILLED"
        )
        assert run.info.status == ("FAILED" if record.state == "failed" else "FINISHED")
        assert run.data.tags["state"] == record.state
        assert run.data.tags.get("reason") == record.reason
        assert (run.data.tags["rung"], run.data.tags["density"]) == [("0", "0.25"), ("1", "1")][
            record.rung
        ]
        assert run.data.params == {
            "config.lr": str(record.config["lr"]),
            "trained_config.lr": str(record.trained_config["lr"]),
        }
        curve = client.get_metric_history(run.info.run_id, "value")
        assert [(point.step, point.value) for point in curve] == list(enumerate(record.values, 1))
        assert run.data.metrics["twice"] == 2.0
        assert run.data.metrics["total_seconds"] == record.seconds


def test_a_name_that_mlflow_cannot_search_for_is_refused():
    pytest.importorskip("mlflow")
    with pytest.raises(ArgumentError, match="both kinds of quotes"):
        MLflowCallback('it\'s a "search"')


def wandb_runs(folder):
    """The records that each offline run of wandb has written."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        yield [wandb_internal_pb2.Record.FromString(data) for data in log(path.read_bytes())]


def log(data):
    """The entries of a log in LevelDB's format, behind a header of seven bytes."""
    place, entry = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block is padding
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        entry += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield entry
            entry = b""


def read(records):
    def items(updates):
        return {
            item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in updates
        }

    run = next(r.run for r in records if r.HasField("run"))
    history = [items(r.history.item) for r in records if r.HasField("history")]
    summary = {}
    for r in records:
        if r.HasField("summary"):
            summary |= items(r.summary.update)
    (exit_code,) = [r.exit.exit_code for r in records if r.HasField("exit")]
    return run, items(run.config.update), history, summary, exit_code


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)  # its own log goes to the current folder
    (tmp_path / "wandb").mkdir()
    result = run_twice(tmp_path, lambda: WandbCallback("search", mode="offline", dir=str(tmp_path)))
    runs = [read(records) for records in wandb_runs(tmp_path)]
    assert len(runs) == len(result.records) + 1
    assert {(run.project, run.run_group) for run, *_ in runs} == {("proxyhpo", "search")}
    by_name = {
        run.display_name: (run, *rest) for run, *rest in runs if rest[2]["state"] != "interrupted"
    }
    interrupted = [run.display_name for run, *rest in runs if rest[2]["state"] == "interrupted"]
    assert interrupted == ["trial-2-rung-0"]
    for record in result.records:
        run, config, history, summary, exit_code = by_name[record.id.name]
        density = [0.25, 1][record.rung]
        assert config["config"] == record.config
        assert config["trained_config"] == record.trained_config
        assert (config["trial"], config["rung"]) == (record.trial, record.rung)
        assert (config["density"], config["budget"]) == (density, 1)
        assert list(run.tags) == [f"rung {record.rung}", f"density {density:g}"]
        values = [(point["_step"], point["value"]) for point in history]
        assert values == list(enumerate(record.values, 1))
        assert history[0]["twice"] == 2.0
        assert summary["state"] == record.state
        assert summary["total_seconds"] == record.seconds
        assert exit_code == int(record.state == "failed")


@pytest.mark.parametrize(
    ("library", "make"), [("mlflow", MLflowCallback), ("wandb", WandbCallback)]
)
def test_where_it_is_missing_the_error_names_the_extra(monkeypatch, library, make):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"its extra '{library}'"):
        make("study")

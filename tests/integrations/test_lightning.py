"""Lightning modules are searched by their own trainer."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError, EvaluatorError
from tests.integrations.reports import Reports, run

lightning = pytest.importorskip("lightning")
from lightning.pytorch.utilities import rank_zero_info  # noqa: E402

from proxyhpo.integrations.lightning import LightningEvaluator, ReportCallback  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of small loaders and few workers
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.*"),
]

torch.manual_seed(0)
INPUTS = torch.randn(64, 8)
DATA = TensorDataset(INPUTS, INPUTS[:, :1] * 2)
LOADERS = (DataLoader(DATA, batch_size=16), DataLoader(DATA, batch_size=64))


class Module(lightning.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, _):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))
        self.log("val_size", float(len(batch[0])))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


def make_trainer(config=None, **options):
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=options.pop("max_epochs", 4),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def test_each_epoch_is_reported_with_all_metrics_but_not_the_sanity_check():
    reports = Reports()
    make_trainer(callbacks=[ReportCallback(reports, "val_loss")]).fit(Module(0.05), *LOADERS)
    assert len(reports) == 4
    assert reports[0][0] > reports[-1][0]
    assert all(metrics == {"val_size": 64.0} for _, metrics in reports)


def test_a_training_ends_when_it_must():
    reports = Reports(most=2)
    LightningEvaluator(make_trainer, LOADERS, monitor="val_loss").evaluate(
        Module(0.05), {}, reports, trial=run()
    )
    assert len(reports) == 2


def test_a_budget_shortens_the_training():
    reports, folders = Reports(), []

    def make(config, trial):
        folders.append(trial.name)
        return make_trainer()

    evaluator = LightningEvaluator(make, lambda config: LOADERS, monitor="val_loss")
    evaluator.evaluate(Module(0.05), {}, reports, trial=run(budget=0.5))
    assert (len(reports), folders) == (2, ["trial-0-rung-0"])


def test_a_budget_needs_epochs():
    endless = lambda config: make_trainer(max_epochs=-1)  # noqa: E731
    with pytest.raises(ArgumentError, match="max_epochs"):
        LightningEvaluator(endless, LOADERS, monitor="val_loss").evaluate(
            Module(0.05), {}, Reports(), trial=run(budget=0.5)
        )


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(EvaluatorError, match="val_loss"):
        LightningEvaluator(make_trainer, LOADERS, monitor="val_los").evaluate(
            Module(0.05), {}, Reports(), trial=run()
        )


def test_several_processes_are_refused():
    evaluator = LightningEvaluator(
        lambda config: make_trainer(devices=2, strategy="ddp"), LOADERS, monitor="val_loss"
    )
    with pytest.raises(ArgumentError, match="2 processes"):
        evaluator.evaluate(Module(0.05), {}, Reports(), trial=run())


def test_anything_but_a_module_is_refused():
    with pytest.raises(ArgumentError, match="LightningModule"):
        LightningEvaluator(make_trainer, LOADERS, monitor="val_loss").evaluate(
            nn.Linear(8, 1), {}, Reports(), trial=run()
        )


def test_anything_but_a_function_is_refused():
    with pytest.raises(ArgumentError, match="make_trainer must be a function of a config, got 3"):
        LightningEvaluator(3, LOADERS, monitor="val_loss")
    with pytest.raises(ArgumentError, match=r"pass lambda config: L\.Trainer\(\.\.\.\)"):
        LightningEvaluator(make_trainer(), LOADERS, monitor="val_loss")


TUNED = run(left_to_train=frozenset({"lr"}))


def short(config, **options):
    return make_trainer(max_epochs=1, limit_train_batches=1, **options)


@pytest.mark.parametrize("wanted", [0.1, 0.05], ids=["other value", "same value by chance"])
def test_a_hyperparameter_that_the_module_has_but_does_not_get_is_refused(wanted):
    reports = Reports()
    with pytest.raises(EvaluatorError, match=r"lr=0\.05.*lambda config: Module\(\*\*config\)"):
        LightningEvaluator(short, LOADERS, monitor="val_loss").evaluate(
            Module(0.05), {"lr": wanted}, reports, trial=TUNED
        )
    assert not reports, "it is refused before the first epoch"


def test_a_search_over_a_module_that_gets_no_config_ends_at_once():
    hpo = ProxyHPO(
        lambda: Module(0.05),
        LightningEvaluator(short, LOADERS, monitor="val_loss"),
        {"lr": Float(1e-3, 0.3, log=True)},
        example_inputs=INPUTS[:16],
        direction="minimize",
        ladder=[Rung(1)],
        progress=False,
    )
    with pytest.raises(EvaluatorError, match="build takes no config, so 'lr' is not tuned"):
        hpo.run(2)


class SetRate(lightning.Callback):
    def __init__(self, config):
        self.config = config

    def on_fit_start(self, trainer, pl_module):
        pl_module.rate = self.config["lr"]


def test_a_callback_may_set_it_instead(caplog):
    reports = Reports()
    LightningEvaluator(
        lambda config: short(config, callbacks=[SetRate(config)]), LOADERS, monitor="val_loss"
    ).evaluate(Module(0.05), {"lr": 0.1}, reports, trial=TUNED)
    assert reports
    assert not caplog.records


def test_a_hyperparameter_that_nothing_reads_is_warned_about_once(caplog):
    evaluator = LightningEvaluator(short, LOADERS, monitor="val_loss")
    trial = run(left_to_train=frozenset({"decay"}))
    for _ in range(2):
        evaluator.evaluate(Module(0.05), {"decay": 0.1, "width": 3}, Reports(), trial=trial)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "did not use 'decay'" in caplog.text


def summarised(config):
    return lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, callbacks=[lightning.pytorch.callbacks.ModelSummary()],
    )  # fmt: skip


def test_lightning_itself_is_quiet_in_a_training_unless_it_is_wanted(caplog, recwarn):
    said = {}
    for verbose in (False, True):
        caplog.clear()
        evaluator = LightningEvaluator(summarised, LOADERS, monitor="val_loss", verbose=verbose)
        evaluator.evaluate(Module(0.05), {}, Reports(), trial=run())
        said[verbose] = [r.name for r in caplog.records if r.name.startswith("lightning")]
    assert not said[False]
    assert {"utilities.rank_zero", "callbacks.model_summary"} <= {
        name.removeprefix("lightning.pytorch.") for name in said[True]
    }
    assert not logging.getLogger("lightning.pytorch.utilities.rank_zero").filters


class Talking(lightning.Callback):
    """Logs with Lightning's function, and makes another trainer in another thread."""

    def on_train_start(self, trainer, pl_module):
        rank_zero_info("said by a callback of the user")
        with ThreadPoolExecutor(1) as thread:
            thread.submit(make_trainer).result()


def test_what_callbacks_and_other_threads_log_is_shown(caplog, tmp_path):
    def make(config):
        callbacks = lightning.pytorch.callbacks
        return lightning.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
            callbacks=[
                callbacks.EarlyStopping("val_loss", verbose=True),
                callbacks.ModelCheckpoint(monitor="val_loss", verbose=True),
                Talking(),
            ],
        )  # fmt: skip

    evaluator = LightningEvaluator(make, LOADERS, monitor="val_loss")
    evaluator.evaluate(Module(0.05), {}, Reports(), trial=run())
    for said in ("said by a callback", "Metric val_loss improved", "saving model to"):
        assert said in caplog.text
    own = [record.thread for record in caplog.records if "GPU available" in record.message]
    assert len(own) == 1
    assert own[0] != threading.get_ident()


def test_a_search_over_a_module_whose_learning_rate_is_its_own():
    hpo = ProxyHPO(
        lambda config: Module(config["lr"]),
        LightningEvaluator(make_trainer, LOADERS, monitor="val_loss"),
        {"lr": Float(1e-3, 0.3, log=True)},
        example_inputs=INPUTS[:16],
        direction="minimize",
        ladder=[Rung(0.25, keep=1), Rung(1)],
        transfer="layerwise",
        searcher="random",
        progress=False,
    )
    result = hpo.run(3)
    assert result.best_value is not None
    assert {record.state for record in result.records} <= {"finished", "stopped"}
    below = [record for record in result.records if record.rung == 0]
    assert all(record.correction.largest > 1 for record in below)

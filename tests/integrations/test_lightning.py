"""Lightning modules are searched by their own trainer."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError, UnknownNameError
from tests.integrations.reports import Reports, run

lightning = pytest.importorskip("lightning")
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
    with pytest.raises(UnknownNameError, match="val_loss"):
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
    with pytest.raises(ArgumentError, match="make_trainer"):
        LightningEvaluator(make_trainer(), LOADERS, monitor="val_loss")


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

"""Which report of a training is its value, and which weights are kept."""

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import StudyMismatchError, UnknownNameError
from proxyhpo.evaluators import TrainingEvaluator

VALUES = [0.2, 0.9, 0.5, 0.9, 0.3]


def train(network, config):
    """Whose weights say after which report they were seen."""
    for step, value in enumerate(VALUES, start=1):
        with torch.no_grad():
            network[0].bias.fill_(step)
        yield {"value": value + 0 * config["lr"], "step": step}


def study(direction, use_report, **options):
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        TrainingEvaluator(train, use_report=use_report),
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction=direction,
        ladder=[Rung(0.25, keep=1), Rung(1)],
        searcher="random",
        progress=False,
        **options,
    )


@pytest.mark.parametrize(
    ("direction", "use_report", "step"),
    [("maximize", "last", 5), ("maximize", "best", 2), ("minimize", "best", 1)],
)
def test_the_value_and_the_weights_are_of_the_same_report(direction, use_report, step):
    result = study(direction, use_report).run(2)
    for record in result.records:
        assert record.value == VALUES[step - 1]
        assert record.values == tuple(VALUES)
    assert torch.equal(result.best_network()[0].bias, torch.full((32,), float(step)))


def test_asking_and_telling():
    with study("maximize", "best") as hpo:
        assert hpo.tell(hpo.ask(1), VALUES).value == 0.9


def test_it_is_part_of_the_study(tmp_path):
    study("maximize", "best", store=tmp_path / "study.db").run(1)
    with pytest.raises(StudyMismatchError, match="use_report"):
        study("maximize", "last", store=tmp_path / "study.db").run(1)


def test_another_name_is_refused():
    with pytest.raises(UnknownNameError, match="use_report 'first'"):
        study("maximize", "first")

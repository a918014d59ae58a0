"""skorch's nets are searched by their own fit."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError, EvaluatorError
from tests.integrations.reports import Reports, run

skorch = pytest.importorskip("skorch")
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from proxyhpo.integrations.skorch import ReportCallback, SkorchEvaluator  # noqa: E402

rng = np.random.default_rng(0)
INPUTS = rng.normal(size=(120, 6)).astype("float32")
TARGETS = (INPUTS[:, 0] > 0).astype("int64")


def network():
    return nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))


def make_net(module, config, **options):
    return skorch.NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        lr=config.get("lr", 0.1),
        max_epochs=4,
        verbose=0,
        **options,
    )


def scaled(net):
    return make_pipeline(StandardScaler(), net)


def grid_search(net):
    return GridSearchCV(net, {"lr": [0.1, 1]})


def test_each_epoch_is_reported_with_its_other_numbers():
    reports = Reports()
    net = make_net(network(), {})
    net.callbacks = [ReportCallback(reports, "valid_acc")]
    net.fit(INPUTS, TARGETS)
    assert len(reports) == 4
    assert {"valid_loss", "train_loss"} <= reports[0][1].keys()


def test_a_training_ends_when_it_must():
    reports = Reports(most=2)
    evaluator = SkorchEvaluator(make_net, INPUTS, TARGETS, monitor="valid_acc")
    evaluator.evaluate(network(), {}, reports, trial=run())
    assert len(reports) == 2


def test_a_budget_shortens_the_training():
    reports = Reports()
    evaluator = SkorchEvaluator(make_net, INPUTS, TARGETS, monitor="valid_acc")
    evaluator.evaluate(network(), {}, reports, trial=run(budget=0.5))
    assert len(reports) == 2


def test_an_unknown_column_is_refused_with_the_nearest_name():
    evaluator = SkorchEvaluator(make_net, INPUTS, TARGETS, monitor="valid_accuracy")
    with pytest.raises(EvaluatorError, match="valid_acc"):
        evaluator.evaluate(network(), {}, Reports(), trial=run())


def test_valid_columns_need_a_train_split():
    unsplit = functools.partial(make_net, train_split=None)
    evaluator = SkorchEvaluator(unsplit, INPUTS, TARGETS, monitor="valid_acc")
    with pytest.raises(EvaluatorError, match="without a train_split the net has no valid_ columns"):
        evaluator.evaluate(network(), {}, Reports(), trial=run())


@pytest.mark.parametrize("wrap", [scaled, grid_search])
def test_anything_but_a_net_ends_the_study(wrap):
    hpo = ProxyHPO(
        network,
        SkorchEvaluator(lambda module, config: wrap(make_net(module, config)), INPUTS, TARGETS),
        {"lr": Float(1e-2, 1, log=True)},
        example_inputs=torch.from_numpy(INPUTS[:16]),
        direction="minimize",
        proxies=False,
        progress=False,
    )
    with pytest.raises(EvaluatorError, match=r"NeuralNet, got (Pipeline|GridSearchCV)"):
        hpo.run(3)
    assert not hpo.result.records


@pytest.mark.parametrize("data", [INPUTS.astype("float64"), torch.from_numpy(INPUTS).double()])
def test_data_in_double_precision_is_refused(data):
    evaluator = SkorchEvaluator(make_net, data, TARGETS)
    with pytest.raises(EvaluatorError, match="X is float64, but the network's weights are float32"):
        evaluator.evaluate(network(), {}, Reports(), trial=run())


def test_a_network_may_cast_its_inputs_itself():
    class Casting(nn.Sequential):
        def forward(self, x):
            return super().forward(x.float())

    reports = Reports()
    evaluator = SkorchEvaluator(make_net, INPUTS.astype("float64"), TARGETS)
    evaluator.evaluate(Casting(*network()), {}, reports, trial=run())
    assert len(reports) == 4


def test_an_error_that_is_not_about_precision_stays_as_it_is():
    evaluator = SkorchEvaluator(make_net, INPUTS.astype("float64"), TARGETS[:7])
    with pytest.raises(ValueError, match="length") as caught:
        evaluator.evaluate(network(), {}, Reports(), trial=run())
    assert not isinstance(caught.value, ArgumentError)


def test_a_net_around_another_network_is_refused():
    evaluator = SkorchEvaluator(lambda _, config: make_net(network(), config), INPUTS, TARGETS)
    with pytest.raises(ArgumentError, match="pass the given network"):
        evaluator.evaluate(network(), {}, Reports(), trial=run())


def test_a_net_that_builds_its_own_network_is_refused():
    wide = functools.partial(make_net, module__width=9)
    with pytest.raises(ArgumentError, match="module__width"):
        SkorchEvaluator(wide, INPUTS, TARGETS).evaluate(network(), {}, Reports(), trial=run())


def test_a_net_without_callbacks_reports():
    reports = Reports(most=1)
    plain = functools.partial(make_net, callbacks="disable")
    SkorchEvaluator(plain, INPUTS, TARGETS).evaluate(network(), {}, reports, trial=run())
    assert len(reports) == 1


def test_anything_but_a_function_is_refused():
    with pytest.raises(ArgumentError, match="make_net"):
        SkorchEvaluator(make_net(network(), {}), INPUTS, TARGETS)


def test_a_search():
    hpo = ProxyHPO(
        network,
        SkorchEvaluator(make_net, INPUTS, TARGETS, monitor="valid_acc"),
        {"lr": Float(1e-2, 1, log=True)},
        example_inputs=torch.from_numpy(INPUTS[:16]),
        direction="maximize",
        ladder=[Rung(0.25, keep=1), Rung(1)],
        searcher="random",
        progress=False,
    )
    result = hpo.run(3)
    assert 0 <= result.best_value <= 1
    assert {record.state for record in result.records} <= {"finished", "stopped"}

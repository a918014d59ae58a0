"""What the supervised evaluator refuses: hyperparameters, arguments, targets and outputs."""

import pytest
import torch
from torch import nn

from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.evaluators import SupervisedEvaluator
from proxyhpo.space import Choice, Float, Int, Space
from tests.evaluators.supervised import TRAIN, classification, line, run

ALL = {
    "optimizer": Choice(["sgd", "adam"]),
    "lr": Float(1e-4, 1, log=True),
    "weight_decay": Float(1e-6, 1e-2, log=True),
    "momentum": Float(0, 0.99, when=("optimizer", "sgd")),
    "beta1": Float(0.8, 0.99, when=("optimizer", "adam")),
    "beta2": Float(0.9, 0.999, when=("optimizer", "adam")),
    "batch_size": Int(16, 64, step=16),
    "label_smoothing": Float(0, 0.2),
    "epochs": 3,
}


def test_all_standard_names_are_accepted():
    classification().check(Space(ALL))


@pytest.mark.parametrize(
    "space, given, message",
    [
        ({"weight_deacy": Float(0, 1)}, {}, "did you mean 'weight_decay'"),
        ({"dropout": Float(0, 1)}, {}, r"ignore=\['dropout'\]"),
        ({"momentum": Float(0, 1)}, {"optimizer": "adam"}, "a classification with adam: 'mome"),
        ({"beta1": Float(0, 1)}, {}, "a classification with sgd: 'beta1'"),
        ({"label_smoothing": Float(0, 1)}, {"loss": nn.MultiMarginLoss()}, "'label_smoothing'"),
        ({"optimizer": Choice(["sgd", "adamm"])}, {}, "optimizer 'adamm'; did you mean 'adam'"),
        ({"optimizer": "lion"}, {}, "optimizer 'lion'"),
    ],
)
def test_names_that_training_would_not_use_are_refused(space, given, message):
    with pytest.raises(UnknownNameError, match=message):
        classification(**given).check(Space({"lr": Float(0.1, 1), **space}))


@pytest.mark.parametrize("name", ["batch_size", "epochs"])
@pytest.mark.parametrize(
    "given", [Float(1, 64), Choice([1, 0]), Choice([1, True]), Choice([8.0]), Int(0, 3), "8"]
)
def test_counts_must_be_whole(name, given):
    with pytest.raises(ArgumentError, match=f"{name} must be a whole number >= 1"):
        classification().check(Space({"lr": Float(0.1, 1), name: given}))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lr": Float(-0.1, 1)}, r"lr may be -0.1 .* sgd rejects: Invalid learning rate"),
        ({"lr": -1e-3, "epochs": Int(1, 2)}, "lr may be -0.001"),
        ({"lr": Choice([0.1, "0.2"])}, "lr may be '0.2'"),
        ({"momentum": Float(-1, 0.9)}, r"momentum may be -1.* rejects: Invalid momentum"),
        ({"momentum": Float(0, 1)}, r"momentum may be 1.*sgd diverges: it must be below 1"),
        ({"optimizer": "rmsprop", "momentum": Choice([0, 1.5])}, r"momentum may be 1.5.*rmsprop"),
        ({"weight_decay": Choice({"some": 0.1, "odd": -0.1})}, "weight_decay may be -0.1"),
        (
            {"optimizer": "adam", "beta1": Float(0, 1)},
            r"beta1 may be 1.0 .* adam rejects: .* index 0",
        ),
        ({"optimizer": Choice(["adamw", "sgd"]), "beta2": 1}, r"beta2 may be 1 .* index 1"),
        ({"label_smoothing": Float(0, 1.5)}, r"label_smoothing may be 1.5 .* the loss rejects"),
    ],
)
def test_values_that_no_training_could_use_are_refused(space, message):
    state = torch.get_rng_state()
    with pytest.raises(ArgumentError, match=message):
        classification().check(Space({"lr": Float(0.1, 1), **space}))
    assert torch.equal(torch.get_rng_state(), state)


def test_values_at_the_edge_of_what_torch_takes_are_taken():
    edges = {"weight_decay": Choice([0, 1e9]), "lr": Float(0, 1e9), "label_smoothing": 1.0}
    classification().check(Space({**edges, "momentum": Choice([0, 1 - 1e-9])}))
    classification(optimizer="adam").check(Space({**edges, "beta1": 0.0, "beta2": 1 - 1e-9}))


def test_a_labelled_optimizer_is_checked_by_its_object():
    space = Space({"optimizer": Choice({"plain": "sgd", "adaptive": "adam"}), "beta1": 0.9})
    classification().check(space)


def test_names_for_build_are_ignored_when_said_so():
    evaluator = classification(ignore=["dropout"])
    evaluator.check(Space({"lr": Float(0.1, 1), "dropout": Float(0, 1)}))
    assert len(run(evaluator, {"lr": 0.1, "dropout": 0.5})) == 3


def test_what_is_ignored_is_not_trained_with_whatever_its_name():
    evaluator = classification(ignore=["momentum", "batch_size"])
    evaluator.check(Space({"lr": 0.1, "momentum": Float(0, 2), "batch_size": Choice(["a", "b"])}))
    plain = run(evaluator, {"lr": 0.1})
    assert run(evaluator, {"lr": 0.1, "momentum": 1.5, "batch_size": "a"}) == plain


def test_a_typo_is_refused_without_a_space_too():
    with pytest.raises(UnknownNameError, match="did you mean 'weight_decay'"):
        run(classification(), {"weight_deacy": 0.1})


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"task": "clasification"}, UnknownNameError, "did you mean 'classification'"),
        ({"schedule": "cosin"}, UnknownNameError, "did you mean 'cosine'"),
        ({"optimizer": "sdg"}, UnknownNameError, "did you mean 'sgd'"),
        ({"optimizer": None}, UnknownNameError, "unknown optimizer None"),
        ({"epochs": 0}, ArgumentError, "epochs must be a whole number >= 1, got 0"),
        ({"epochs": 1.5}, ArgumentError, "epochs must be a whole number"),
        ({"batch_size": True}, ArgumentError, "batch_size must be a whole number"),
        ({"num_workers": -1}, ArgumentError, "num_workers must be a whole number >= 0"),
        ({"device": "gpu"}, ArgumentError, "device: torch has no device named 'gpu'"),
        ({"device": "cuda:99"}, ArgumentError, "device: 'cuda:99' is not available"),
        ({"ignore": "dropout"}, TypeError, "ignore must be a list of names"),
    ],
)
def test_bad_arguments_are_refused_at_once(given, error, message):
    with pytest.raises(error, match=message):
        classification(**given)


def test_targets_of_the_wrong_kind_are_refused_at_once():
    x, y = line(9, 0)
    with pytest.raises(ArgumentError, match=r'integer type, got torch.float32.*task="regression"'):
        SupervisedEvaluator((x, y), (x, y))
    with pytest.raises(ArgumentError, match="validation_data contains no examples"):
        SupervisedEvaluator(TRAIN, (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)))


@pytest.mark.parametrize("network", [nn.Linear(2, 1), nn.Flatten(0)])
def test_outputs_that_are_no_logits_are_refused(network):
    with pytest.raises(ArgumentError, match=r"logits of shape \(batch, classes, ...\)"):
        run(classification(), {}, network=nn.Sequential(nn.Linear(2, 1), network.float())
            if isinstance(network, nn.Flatten) else network)  # fmt: skip


def test_outputs_that_do_not_match_the_targets_are_refused():
    evaluator = SupervisedEvaluator(line(9, 0), line(9, 1), task="regression")
    with pytest.raises(ArgumentError, match=r"\(9, 2\) do not match targets of shape \(9,\)"):
        run(evaluator, {}, network=nn.Linear(2, 2))


def test_settings_are_plain_and_public():
    evaluator = classification(ignore={"b", "a"})
    public = {name: value for name, value in vars(evaluator).items() if name[0] != "_"}
    assert public == {
        "task": "classification", "epochs": 3, "schedule": "cosine", "batch_size": 64,
        "optimizer": "sgd", "ignore": ["a", "b"], "use_report": "last",
    }  # fmt: skip
    assert repr(evaluator) == (
        "SupervisedEvaluator(task='classification', epochs=3, schedule='cosine', optimizer='sgd')"
    )

"""What the error says when a study gives up: which network was trained, and what was not pruned."""

import copy
import pickle

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import EvaluatorError, TrainingFailedError
from proxyhpo.executors import Outcome

X = torch.randn(16, 8)


def mlp():
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 1))


def study(build, train, **options):
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=X,
        direction="minimize",
        transfer="identity",
        progress=False,
        proxies=True,
        **options,
    )


def error_of(build, train, n_trials=8, **options):
    with pytest.raises(TrainingFailedError) as caught:
        study(build, train, **options).run(n_trials)
    return str(caught.value)


def fails(network, config):
    raise ValueError("no such size")


def test_it_says_that_pruned_copies_failed_and_that_the_full_network_was_not_tried():
    said = error_of(mlp, fails, density=0.25)
    assert "They trained a pruned copy of the network, at density 0.25" in said
    assert "the full network has not been tried" in said
    assert "ValueError: no such size" in said


def test_a_failure_of_the_full_network_is_just_that():
    said = error_of(mlp, fails, ladder=[Rung(1)])
    assert "pruned" not in said
    assert "ValueError: no such size" in said


def reads_a_wrong_key(network, config):
    return config["lrs"]


def reports_nothing(network, config):
    yield from ()


@pytest.mark.parametrize(
    "train, first",
    [
        (fails, "ValueError: no such size (the first of 5 trainings in a row that raised"),
        (reads_a_wrong_key, "KeyError: 'lrs' (the first of 5 trainings in a row that raised"),
        (reports_nothing, "ValueError: the training reported no value"),
    ],
)
def test_the_exception_comes_first_and_pruned_sizes_only_with_an_error_of_sizes(train, first):
    said = error_of(mlp, train, density=0.25)
    assert said.startswith(first)
    assert "none has succeeded" in said
    assert ("size that was pruned" in said) == (train is fails)


def test_exceptions_are_counted_from_the_last_failure_of_another_kind():
    calls = []

    def train(network, config):
        calls.append(config)
        return fails(network, config) if len(calls) > 1 else float("nan")

    said = error_of(mlp, train, ladder=[Rung(1)])
    assert len(calls) == 6
    assert "the first of 5 trainings in a row that raised an exception; none has succeeded" in said


def test_a_wrong_key_of_the_config_is_answered_with_its_names():
    said = error_of(mlp, reads_a_wrong_key, ladder=[Rung(1)])
    assert "from the config: unknown hyperparameter 'lrs'; did you mean 'lr'?" in said

    def has_a_table(network, config):
        return {}[("lr", config["lr"])]

    assert "from the config" not in error_of(mlp, has_a_table, ladder=[Rung(1)])


def never_finite(network, config):
    return float("nan")


def test_values_that_are_never_finite_end_the_study_later():
    said = error_of(mlp, never_finite, 30, density=0.25)
    assert "the first 20 trainings all failed, the last one with 'report 1 was nan'" in said
    assert "They trained a pruned copy of the network, at density 0.25" in said
    assert "Train the full network once with such a config, without a search" in said
    assert "size that was pruned" not in said


def test_a_short_search_without_any_value_says_so_and_what_to_do():
    result = study(mlp, never_finite, density=0.25).run(3)
    assert "all 3 trainings failed, the first with 'report 1 was nan'" in repr(result)
    assert "a training must report finite values" in repr(result)
    assert "trust" not in repr(result)


def test_a_single_value_is_a_reason_to_go_on():
    values = iter([0.5, *[float("nan")] * 24])
    result = study(mlp, lambda network, config: next(values), ladder=[Rung(1)]).run(25)
    assert len(result.failures) == 24


class Averaged(nn.Module):
    """An average of the weights, or a target network, that the forward does not use."""

    def __init__(self):
        super().__init__()
        self.online = mlp()
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x):
        return self.online(x)


def averages(network, config):
    for slow, fast in zip(network.target.parameters(), network.online.parameters(), strict=True):
        slow.data.lerp_(fast.data, 0.1)
    return config["lr"]


def copies(network, config):
    network.target.load_state_dict(network.online.state_dict())
    return config["lr"]


@pytest.mark.parametrize("train", [averages, copies])
def test_it_names_what_the_forward_never_reached(train):
    said = error_of(Averaged, train, density=0.25)
    assert "forward pass on example_inputs never used target.0, target.2" in said


def test_it_says_what_to_do_where_a_pruned_size_meets_data():
    class Adversarial(nn.Module):
        """D(G(z)): what lies between them is a hidden size as well as that of the data."""

        def __init__(self):
            super().__init__()
            self.generator = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 48))
            self.discriminator = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, z):
            return self.discriminator(self.generator(z))

    def train(network, config):
        network.discriminator(torch.randn(4, 48))
        return config["lr"]

    said = error_of(Adversarial, train, density=0.25)
    assert "train relies on a size that was pruned" in said
    assert "ignore=[" in said


def refused(network, config):
    raise EvaluatorError("monitor: unknown metric")


def test_an_error_of_the_evaluator_ends_the_study_at_its_first_training():
    hpo = study(mlp, refused, density=0.25)
    with pytest.raises(EvaluatorError, match="monitor: unknown metric"):
        hpo.run(8)
    assert not hpo.result.records, "the training can run again"


def test_an_error_of_the_evaluator_reaches_the_study_from_a_worker():
    sent = pickle.loads(pickle.dumps(Outcome(refusal=EvaluatorError("monitor: unknown metric"))))
    assert isinstance(sent.refusal, EvaluatorError)
    assert str(sent.refusal) == "monitor: unknown metric"


def test_an_error_of_the_evaluator_after_a_success_is_a_failure_like_others():
    values = iter([0.5])

    def train(network, config):
        return next(values, None) or refused(network, config)

    result = study(mlp, train, ladder=[Rung(1)]).run(3)
    assert len(result.failures) == 2

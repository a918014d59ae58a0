import inspect
import logging
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError, NotClimbedError, UnknownNameError
from tests.studies import INPUTS, SPACE, build, never, outcomes, study, train, width


def test_the_best_network_has_its_trained_weights():
    result = study().run(5)
    network = result.best_network()
    assert width(network) == 32
    assert not network.training
    assert torch.equal(network[0].bias, torch.full((32,), result.best_config["lr"]))


def test_proxies_are_small_and_finalists_are_not():
    seen = []

    def train(network, config):
        seen.append(width(network))
        return 1.0

    study(train, density=0.5, finalists=1).run(3)
    assert sorted(seen) == [16, 16, 16, 32]


def test_by_default_updates_are_scaled_and_the_config_stays():
    def train(network, config):
        optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
        network(INPUTS).sum().backward()
        optimizer.step()
        return 1.0

    result = study(train, density=0.25).run(2, finalists=1)
    for record in result.records:
        assert record.trained_config == record.config
    scaled = [record.correction for record in result.records if record.rung == 0]
    assert {correction.rule for correction in scaled} == {"layerwise"}
    assert all(correction.largest > 1 for correction in scaled)


def test_the_power_law_only_changes_the_learning_rate_of_proxies():
    result = study(density=0.25, transfer="power-law").run(4, finalists=1)
    for record in result.records:
        ratio = result.measured[record.rung].width_ratio
        expected = record.config["lr"] * ratio**-0.5
        assert record.trained_config["lr"] == pytest.approx(expected)
        assert record.trained_config["momentum"] == record.config["momentum"]
    assert result.measured[0].width_ratio < 0.5
    assert result.measured[1].width_ratio == 1
    assert "lr x width_ratio^-0.5" in result.ledger()


def test_build_gets_base_terms_and_train_the_transferred_ones():
    built, trained = [], []

    def build_with(config):
        built.append(config["lr"])
        return build()

    def train(network, config):
        trained.append(config["lr"])
        return config["lr"]

    result = study(train, build=build_with, transfer="power-law").run(1)
    config = result.records[0].config
    assert built[-1] == config["lr"]
    assert trained[0] > config["lr"]
    assert trained[1] == config["lr"]


def test_objects_of_a_labelled_choice_arrive_as_objects():
    def build_with(config):
        return nn.Sequential(nn.Linear(6, 32), config["activation"](), nn.Linear(32, 2))

    def train(network, config):
        assert isinstance(network[1], config["activation"])
        return 1.0

    space = {"activation": Choice({"relu": nn.ReLU, "tanh": nn.Tanh}), "lr": Float(0.1, 1)}
    result = study(train, space, build=build_with).run(4)
    assert result.best_config["activation"] in ("relu", "tanh")
    assert not result.failures


def test_minimizing_and_maximizing_mirror_each_other():
    def negative(network, config):
        for value in train(network, config):
            yield -value

    up, down = study().run(8), study(negative, direction="minimize").run(8)
    assert up.best_config == down.best_config
    assert up.best_value == -down.best_value


def test_equal_seeds_give_equal_studies_and_others_do_not():
    def noisy(network, config):
        return torch.rand(()).item() + np.random.rand() + random.random()

    one, two, other = (study(noisy, seed=seed).run(4) for seed in (1, 1, 2))
    assert outcomes(one) == outcomes(two)
    assert outcomes(one) != outcomes(other)


def test_every_training_starts_from_a_fresh_network():
    starts = []

    def train(network, config):
        starts.append(network[0].weight.detach().clone())
        with torch.no_grad():
            network[0].weight.zero_()
        return 1.0

    study(train, ladder=[Rung(1)]).run(3)
    assert all(start.abs().sum() > 0 for start in starts)
    assert not torch.equal(starts[0], starts[1])
    assert starts[0].std().item() == pytest.approx(starts[1].std().item(), rel=0.3)


def test_the_callers_random_state_is_restored():
    def expected():
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        return torch.rand(3), np.random.rand(3), random.random()

    a = expected()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    study(searcher="tpe").run(3)
    assert torch.equal(a[0], torch.rand(3))
    assert np.array_equal(a[1], np.random.rand(3))
    assert a[2] == random.random()


def test_running_again_does_nothing_again(caplog):
    hpo = study()
    with caplog.at_level(logging.WARNING, logger="proxyhpo"):
        first, second = hpo.run(4), hpo.run(4)
    assert outcomes(first) == outcomes(second)
    sentence = "nothing is left to train: the study already has 4 trials; to add more, pass a"
    assert sentence in repr(second)
    assert sentence not in caplog.text
    assert sentence not in repr(first)
    assert sentence not in repr(hpo.run(5))


def test_a_callback_sees_every_record_and_may_stop_the_study():
    seen = []

    def callback(record):
        seen.append(record)
        if len(seen) == 3:
            hpo.stop()

    hpo = study(callbacks=[callback])
    result = hpo.run(10)
    assert list(result.records) == seen
    assert len(seen) == 3
    assert result.interrupted


def test_climb_requires_trials():
    with pytest.raises(NotClimbedError, match="no trials yet"):
        study(never).climb()


def test_a_grid_ends_by_itself():
    from proxyhpo.searchers import GridSearcher

    result = study(searcher=GridSearcher(points=2)).run(100)
    assert sum(record.rung == 0 for record in result.records) == 4
    assert len(result.leaderboard(1)) == 1


def test_a_pretrained_module_is_inherited_and_trained_as_it_is():
    with pytest.raises(ArgumentError, match="pretrained"):
        study(build=build())
    module = build()
    before = [parameter.clone() for parameter in module.parameters()]
    result = study(build=module, pretrained=True).run(1)
    assert result.openings[0].exponents == {"lr": -0.5}
    assert result.measured[0].density == 0.5
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert "unproven for pretrained networks" in repr(result)
    assert "unproven" not in repr(study().run(1))


def test_the_largest_batch_is_tried_before_the_search():
    sizes = []

    class Recording(nn.Sequential):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    space = {**SPACE, "batch_size": Choice([4, 300])}
    hpo = study(space=space, build=lambda: Recording(*build()), check_memory=True)
    hpo.run(1)
    assert 300 in sizes


def test_simulated_seconds_are_charged_instead_of_measured_ones():
    def train(network, config):
        yield {"value": 1.0, "seconds": 100.0 if width(network) == 32 else 10.0, "loss": 0.25}

    result = study(train).run(5, finalists=2)
    assert result.cost.base_training_seconds == pytest.approx(100, rel=0.05)
    assert result.cost.base_trainings == pytest.approx((5 * 10 + 2 * 100) / 100, rel=0.05)
    assert result.cost.full_search_base_trainings == pytest.approx(5, rel=0.05)
    assert result.records[0].metrics["loss"] == 0.25


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: study(finalist=2), "ProxyHPO: 'finalist'; did you mean 'finalists'"),
        (lambda: study(n_trials=2), "ProxyHPO: 'n_trials'; it belongs to run(). Allowed: "),
        (
            lambda: study(n_jobs=2),
            "ProxyHPO: 'n_jobs'; use executor=proxyhpo.executors.ProcessExecutor(workers=...)",
        ),
        (lambda: study().run(trials=2), "ProxyHPO.run: 'trials'; did you mean 'n_trials'"),
        (lambda: study().climb(finalist=2), "ProxyHPO.climb: 'finalist'; did you mean 'finalists'"),
        (lambda: study().check(seed=1), "ProxyHPO.check: 'seed'. Allowed: 'n', 'second_seed', 'ti"),
    ],
)
def test_an_argument_that_there_is_not_is_refused_with_the_nearest_name(call, said):
    with pytest.raises(UnknownNameError, match=f"^unknown argument of {re.escape(said)}"):
        call()


def test_the_signatures_are_those_that_are_written():
    taken = inspect.signature(ProxyHPO).parameters
    assert list(taken)[:4] == ["build", "train", "space", "example_inputs"]
    assert taken["pruner"].default == "l1-structured"
    assert list(inspect.signature(ProxyHPO.check).parameters)[:2] == ["self", "n"]

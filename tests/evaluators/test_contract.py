import pytest
import torch
from torch import nn

from proxyhpo.evaluators import ProxyEvaluator, SupervisedEvaluator, TrainingEvaluator
from proxyhpo.testing.evaluators import EvaluatorCase, EvaluatorContract

X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
Y = X.sum(1)


def train(network, config, budget):
    optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
    for _ in range(max(1, round(4 * budget))):
        batch = torch.randperm(len(X))[:20]
        loss = (network(X[batch])[:, 0] - Y[batch]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield {"value": loss, "seconds": 1}


class TestTrainingGenerator(EvaluatorContract):
    @pytest.fixture
    def case(self):
        return EvaluatorCase(TrainingEvaluator(train), lambda: nn.Linear(2, 1), {"lr": 0.1})


class TestTrainingPlain(EvaluatorContract):
    @pytest.fixture
    def case(self):
        def plain(network, config):
            [*_, last] = train(network, config, 1.0)
            return last["value"]

        return EvaluatorCase(TrainingEvaluator(plain), lambda: nn.Linear(2, 1), {"lr": 0.1})


class TestClassification(EvaluatorContract):
    @pytest.fixture
    def case(self):
        data = X, (Y > 0).long()
        evaluator = SupervisedEvaluator(data, data, epochs=3, batch_size=16, device="cpu")
        return EvaluatorCase(evaluator, lambda: nn.Linear(2, 2), {"lr": 0.1, "momentum": 0.9})


class TestRegression(EvaluatorContract):
    @pytest.fixture
    def case(self):
        evaluator = SupervisedEvaluator((X, Y), (X, Y), task="regression", device="cpu")
        config = {"optimizer": "adam", "lr": 0.1}
        build = lambda: nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.1))  # noqa: E731 - short
        return EvaluatorCase(evaluator, build, config)


class Own(ProxyEvaluator):
    def evaluate(self, network, config, report, *, trial):
        for value, metrics in self.steps(config):
            if report(value, **metrics):
                break


class Remembering(Own):
    runs = 0

    def steps(self, config):
        self.runs += 1
        yield float(self.runs), {}


class Greedy(Own):
    def steps(self, config):
        config.pop("lr", None)
        yield 0.0, {}


class Silent(Own):
    def steps(self, config):
        return iter(())


class Wordy(Own):
    def steps(self, config):
        yield 0.0, {"note": "good"}


class Deaf(Own):
    direction = "up"

    def evaluate(self, network, config, report, *, trial):
        report(0.0)
        report(0.0)


class Yielding(Own):
    def evaluate(self, network, config, report, *, trial):
        report(0.0)
        return iter([0.0])


@pytest.mark.parametrize(
    "evaluator, case",
    [
        (Remembering(), "test_equal_seeds_give_equal_reports"),
        (Greedy(), "test_the_config_is_only_read"),
        (Silent(), "test_reports_are_numbers"),
        (Silent(), "test_a_small_budget_still_reports"),
        (Wordy(), "test_reports_are_numbers"),
        (Deaf(), "test_a_training_can_be_ended_early"),
        (Yielding(), "test_reports_are_numbers"),
        (Deaf(), "test_the_direction_is_one_of_three"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_the_contract_catches_what_breaks_it(evaluator, case):
    with pytest.raises((AssertionError, TypeError)):
        getattr(EvaluatorContract(), case)(
            EvaluatorCase(evaluator, lambda: nn.Linear(2, 1), {"lr": 0.1})
        )

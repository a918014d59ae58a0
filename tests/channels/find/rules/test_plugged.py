"""Rules that other distributions bring, and the contract that they are held to."""

import pytest
import torch
from torch import Tensor, nn

from proxyhpo.channels import shrink
from proxyhpo.channels.find.rules import find_rule, temporary
from proxyhpo.testing.operator_rules import OperatorRuleCase, OperatorRuleContract
from tests.channels.zoo import l1

RULES = """
def untouched(labels, call):
    return call.dims("self")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a distribution on disk that offers rules: operator → function of the source above."""

    def install(**functions):
        info = tmp_path / "rules_for_tests-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rules-for-tests\nVersion: 1.2")
        lines = [f"aten::{name} = rules_for_tests:{value}" for name, value in functions.items()]
        (info / "entry_points.txt").write_text("\n".join(["[proxyhpo.operator_rules]", *lines]))
        (tmp_path / "rules_for_tests.py").write_text(RULES)
        monkeypatch.syspath_prepend(tmp_path)

    return install


class Renormed(nn.Module):
    """Uses an operator of torch's that has no rule."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 5)

    def forward(self, x):
        return self.second(torch.renorm(self.first(x), 2, 0, 1.0))


def test_a_rule_for_an_operator_of_torch_that_has_none_is_asked_for(install):
    network, inputs = Renormed(), torch.randn(4, 16)
    assert find_rule("aten::renorm", torch.ops.aten.renorm.default) is None
    install(renorm="untouched")
    shrunk = shrink(network, inputs, density=0.5, score=l1)
    assert shrunk.network.first.out_features == 16
    assert not shrunk.skipped


def test_a_rule_comes_before_the_one_for_all_pointwise_operators(install):
    install(sin="untouched", mm="untouched")
    assert find_rule("aten::sin", torch.ops.aten.sin.default).__name__ == "untouched"
    assert find_rule("aten::mm", torch.ops.aten.mm.default).__name__ == "matrix_product"


@torch.library.custom_op("proxyhpo_tests::swap_halves", mutates_args=())
def swap_halves(x: Tensor) -> Tensor:
    return torch.cat(x.chunk(2, -1)[::-1], -1)


@swap_halves.register_fake
def _(x):
    return torch.empty_like(x)


swap_halves.register_autograd(lambda _, gradient: swap_halves(gradient))


class Between(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(16, 24), nn.Linear(24, 5)

    def forward(self, x):
        return self.after(swap_halves(self.before(x)).tanh())


def joining_halves(labels, call):
    dims = call.dims("x")
    halves = dims[-1].reshape(2, -1)
    labels.tie(halves)
    return [*dims[:-1], halves[::-1].ravel()]


def halves_untouched(labels, call):
    return call.dims("x")


def case_of(rule):
    return OperatorRuleCase("proxyhpo_tests::swap_halves", rule, Between, torch.randn(4, 16))


class TestJoiningHalves(OperatorRuleContract):
    @pytest.fixture
    def case(self):
        return case_of(joining_halves)


def protecting(labels, call):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("rule", "test"),
    [
        (halves_untouched, "test_removing_dead_channels_changes_nothing"),
        (protecting, "test_it_lets_channels_be_pruned_that_were_not"),
    ],
)
def test_the_contract_sees_a_wrong_rule(rule, test):
    case, contract = case_of(rule), OperatorRuleContract()
    with temporary(case.operator, case.rule), pytest.raises(AssertionError):
        getattr(contract, test)(case)

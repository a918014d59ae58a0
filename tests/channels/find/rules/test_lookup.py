"""Which rule an operator has, and what becomes of one that has none or a wrong one."""

import pytest
import torch

from proxyhpo.channels.find.rules import _RULES, find_rule, rule
from tests.channels.find.rules.seen import Seen


def test_an_operator_without_a_rule_protects_what_it_touches_and_is_named():
    seen = Seen(lambda x, a: torch.linalg.inv(a), a=(4, 4))
    assert seen.kept(seen.owned["a"][0])
    assert "linalg_inv" in seen.labels.reason(seen.owned["a"][0][0])


def test_a_rule_that_fails_or_returns_nonsense_protects_and_is_named(monkeypatch):
    def nonsense(labels, call):
        return call.dims("A")[:1], call.dims("A")

    def broken(labels, call):
        raise IndexError("no such place")

    for made, said in ((nonsense, "shapes"), (broken, "no such place")):
        monkeypatch.setitem(_RULES, "aten::linalg_inv_ex", made)
        seen = Seen(lambda x, a: torch.linalg.inv(a), a=(4, 4))
        reason = seen.labels.reason(seen.owned["a"][0][0])
        assert said in reason
        assert "linalg_inv_ex" in reason


def test_two_rules_for_one_operator_are_a_mistake():
    with pytest.raises(AssertionError, match="aten::mm"):
        rule("mm")(lambda labels, call: [])


def test_in_place_and_out_forms_share_a_rule():
    assert find_rule("aten::relu", torch.ops.aten.relu_.default) is not None
    assert find_rule("aten::sin", torch.ops.aten.sin.out) is _RULES["aten::add"]

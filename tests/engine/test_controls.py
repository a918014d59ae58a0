import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError

LADDERS = [
    [Rung(0.25, keep=2), Rung(1)],
    [Rung(0.25, keep=4), Rung(0.5, keep=2), Rung(1)],
]


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    yield config["x"]


def study(train=train, **options):
    options = {"direction": "maximize", "progress": False, "searcher": "random", **options}
    return ProxyHPO(
        build, train, {"x": Float(0, 1)}, example_inputs=torch.zeros(8, 6), proxies=True, **options
    )


def trials(result, rung):
    return {record.trial for record in result.records if record.rung == rung}


@pytest.mark.filterwarnings("ignore:no learning rate is transferred")
@pytest.mark.parametrize("ladder", LADDERS)
class TestControls:
    def test_as_many_of_the_others_are_trained_on_the_full_network(self, ladder):
        without = study(ladder=ladder).run(9)
        result = study(ladder=ladder, controls=3).run(9)
        top = len(ladder) - 1
        added = trials(result, top) - trials(without, top)
        assert trials(result, top) > trials(without, top)
        assert len(added) == 3
        assert not added & trials(result, 1 if top > 1 else 99)
        assert result.fidelity[-1].n == 5
        assert result.fidelity[-1].picked == 2

    def test_they_are_drawn_with_the_studys_seed(self, ladder):
        drawn = [
            trials(study(ladder=ladder, controls=2, seed=s).run(9), -1 % len(ladder))
            for s in (1, 1)
        ]
        assert drawn[0] == drawn[1]

    def test_a_resumed_study_keeps_its_controls(self, ladder, tmp_path):
        straight = study(ladder=ladder, controls=2).run(8)
        hpo = study(ladder=ladder, controls=2, store=tmp_path / "study.db",
                    callbacks=[lambda record: hpo.stop()])  # fmt: skip
        while len((result := hpo.run(8)).records) < len(straight.records):
            assert result.interrupted
        assert trials(result, len(ladder) - 1) == trials(straight, len(ladder) - 1)

    def test_there_may_be_none_left(self, ladder):
        result = study(ladder=ladder, controls=9).run(5)
        assert trials(result, len(ladder) - 1) == set(range(5)) - (
            trials(result, 1) - trials(result, 2) if len(ladder) > 2 else set()
        )

    def test_a_control_that_fails_is_not_replaced(self, ladder):
        def failing(network, config):
            if network[0].out_features == 32 and config["x"] < worst_finalist:
                raise RuntimeError
            yield config["x"]

        picked = study(ladder=ladder).run(9)
        worst_finalist = min(record.config["x"] for record in picked.leaderboard())
        result = study(failing, ladder=ladder, controls=2).run(9)
        assert len(result.failures) == 2
        assert {r.trial for r in result.leaderboard()} == {r.trial for r in picked.leaderboard()}


@pytest.mark.filterwarnings("ignore:no learning rate is transferred")
def test_ten_controls_of_a_default_search_are_enough_for_a_verdict_against_its_proxy():
    def reverse(network, config):
        yield config["x"] if network[0].out_features < 32 else -config["x"]

    [found] = study(reverse, transfer="identity", controls=10).run(20).fidelity
    assert found.n - found.picked == 10
    assert found.verdict == "do not use this proxy"


def test_a_control_that_turns_out_best_is_the_result():
    def reverse(network, config):
        yield config["x"] if network[0].out_features < 32 else -config["x"]

    result = study(reverse, transfer="identity", finalists=1, controls=2).run(8)
    assert result.best_record.trial != result.leaderboard(0)[0].trial


def test_how_many_may_change_between_runs(tmp_path):
    options = {"transfer": "identity", "finalists": 1, "store": tmp_path / "study.db"}
    assert len(study(**options).run(6).leaderboard()) == 1
    assert len(study(controls=2, **options).run(6).leaderboard()) == 3


def test_a_plain_search_has_none():
    result = study(ladder=[Rung(1)], controls=2).run(4)
    assert len(result.records) == 4


def test_a_bad_number_is_refused():
    with pytest.raises(ArgumentError, match="controls"):
        study(controls=-1)

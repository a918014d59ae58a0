"""The searcher learns from known results; they are neither trained nor charged."""

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung, load_study
from proxyhpo._records.history import History
from proxyhpo._records.known import KnownResult
from proxyhpo._records.records import Record
from proxyhpo.errors import ArgumentError, ConfigError
from proxyhpo.searchers import RandomSearcher, Searcher, TPESearcher

BASELINE = {"x": 0.5}


class Watching(Searcher):
    """Random search that keeps what it is shown."""

    def __init__(self, inner=None):
        self._inner = inner or RandomSearcher()
        self._shown = []

    def propose(self, space, history, n, *, rng):
        self._shown.append([(dict(config), loss) for config, loss in history.observed()])
        return self._inner.propose(space, history, n, rng=rng)


def study(*, trained=None, searcher=None, **options):
    def train(network, config):
        if trained is not None:
            trained.append(config)
        yield config["x"]

    options = {"ladder": [Rung(0.5, keep=1), Rung(1)], **options}
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        train,
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        searcher=searcher or "random",
        progress=False,
        **options,
    )


def test_it_is_neither_trained_nor_charged_and_is_marked():
    trained, plain = [], study().run(4)
    hpo = study(trained=trained)
    hpo.add(BASELINE, 7.0, source="last year")
    hpo.enqueue(BASELINE)
    result = hpo.run(4)
    assert BASELINE not in trained
    assert len(result.history.trials) == 4
    assert [r.config for r in result.records] == [r.config for r in plain.records]
    assert result.cost.n_trials == 4
    assert result.known == [KnownResult(BASELINE, 7.0, -7.0, "last year")]
    assert "1 known result was added: not trained, not charged" in result.ledger()
    assert "better known 7 (last year) with x=0.5; not trained in this study" in repr(result)
    assert result.best_value < 1


def test_the_summary_is_silent_about_one_that_is_worse():
    hpo = study()
    hpo.add(BASELINE, -1.0)
    assert "better known" not in repr(hpo.run(2))


def test_it_is_stored_resumed_and_added_once(tmp_path):
    path = tmp_path / "study.db"
    for _ in range(2):
        hpo = study(store=path)
        hpo.add(BASELINE, 7.0)
        hpo.run(2)
    assert study(store=path).result.known == [KnownResult(BASELINE, 7.0, -7.0)]
    assert [known.value for known in load_study(path).known] == [7.0]


def test_what_the_study_has_tried_itself_stays():
    hpo = study()
    hpo.enqueue(BASELINE)
    hpo.run(1)
    hpo.add(BASELINE, 7.0)
    assert hpo.run(2).known == []


def test_one_added_in_a_callback_is_shown_at_the_next_proposal():
    watching = Watching()
    hpo = study(searcher=watching, callbacks=[lambda record: hpo.add(BASELINE, 7.0)])
    hpo.run(3)
    assert [BASELINE in [config for config, _ in shown] for shown in watching._shown] == [
        False,
        True,
        True,
    ]


def test_on_the_same_scale_losses_are_shown_as_they_are():
    watching = Watching()
    hpo = study(searcher=watching, ladder=[Rung(1)])
    hpo.add(BASELINE, 0.25)
    result = hpo.run(2)
    assert watching._shown[-1] == [(BASELINE, -0.25), (*result.history.observed()[0],)]


def test_on_another_scale_each_kind_is_ranked_by_itself():
    watching = Watching()
    hpo = study(searcher=watching)
    for x, value in ((0.1, 100.0), (0.2, 300.0), (0.3, 200.0)):
        hpo.add({"x": x}, value)
    result = hpo.run(4)
    shown = watching._shown[-1]
    assert [config["x"] for config, _ in shown[:3]] == [0.1, 0.2, 0.3]
    known, own = [loss for _, loss in shown[:3]], [loss for _, loss in shown[3:]]
    assert known == pytest.approx([0.967, -0.967, 0], abs=1e-3)
    assert known[1] < known[2] < known[0]
    ranked = sorted(range(3), key=lambda i: -result.history.trials[i].config["x"])
    assert sorted(range(3), key=own.__getitem__) == ranked
    assert sum(own) == pytest.approx(0)


def test_a_search_starts_where_known_results_are_good():
    def first(known):
        hpo = study(searcher=TPESearcher(n_initial=8))
        for x in known:
            hpo.add({"x": x}, -((x - 0.8) ** 2))
        return [trial.config["x"] for trial in hpo.run(6).history.trials]

    near = first([i / 12 for i in range(13)])
    assert sorted(abs(x - 0.8) for x in near)[3] < 0.2
    assert sorted(abs(x - 0.8) for x in first([]))[3] > 0.2


def test_records_that_searchers_see_keep_their_trials():
    history = History()
    history.add_known(KnownResult({"x": 0.5}, 1.0, 1.0))
    history.add_trial({"x": 0.1})
    history.add_record(Record(0, 0, 0, {"x": 0.1}, {"x": 0.1}, "failed"))
    seen = history.with_known(same_scale=False)
    assert [trial.number for trial in seen.trials] == [0, 1]
    assert seen.trials[seen.records[0].trial].config == {"x": 0.1}
    assert seen.observed() == [({"x": 0.5}, 0.0), ({"x": 0.1}, 0.0)]
    assert len(history.trials) == 1


@pytest.mark.parametrize(
    ("config", "value", "error", "words"),
    [
        ({"x": 2.0}, 1.0, ConfigError, "add: 'x'"),
        ({}, 1.0, ConfigError, "add: 'x' is missing"),
        (BASELINE, float("nan"), ArgumentError, "add: value must be a finite number"),
        (BASELINE, "good", ArgumentError, "add: value must be a finite number"),
    ],
)
def test_what_cannot_be_known_is_refused(config, value, error, words):
    with pytest.raises(error, match=words):
        study().add(config, value)

import html
import json
import pickle
from dataclasses import replace

import pandas as pd
import pytest
import torch
from IPython.lib.pretty import pretty
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, Space, load_study
from proxyhpo._report.failures import Failures
from proxyhpo._store import copy_study
from proxyhpo.errors import ArgumentError, StoreError, printable
from proxyhpo.results import Correction, Ending

NASTY = "<script>alert('x')</script>\x1b[2J"


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def study(**options):
    def train(network, config):
        if config["lr"] > 0.5:
            raise RuntimeError(NASTY)
        seconds = 100.0 if network[0].out_features == 32 else 1.0
        yield {"value": 1 - config["lr"], "loss": config["lr"], "seconds": seconds}

    return ProxyHPO(
        build,
        train,
        {"lr": Float(0, 1), "kind": Choice([NASTY])},
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        searcher="random",
        density=0.25,
        progress=False,
        **options,
    )


@pytest.fixture(scope="module")
def result():
    hpo = study()
    hpo.enqueue({"lr": 0.9, "kind": NASTY})
    return hpo.run(10, finalists=3)


def test_leaderboards_are_sorted_and_hold_no_failures(result):
    for rung in (0, 1, -1):
        values = [record.value for record in result.leaderboard(rung)]
        assert values == sorted(values, reverse=True)
        assert None not in values
    assert result.leaderboard() == result.leaderboard(1)
    titles, *rows = str(result.leaderboard()).splitlines()
    assert titles.split() == ["trial", "value", "state", "seconds", "config"]
    assert [int(row.split()[0]) for row in rows] == [r.trial for r in result.leaderboard()]
    assert len(result.leaderboard(0)) + len(result.failures) == 10


def test_there_are_only_so_many_rungs(result):
    with pytest.raises(ArgumentError, match="rung"):
        result.leaderboard(2)


def test_the_frame_has_a_row_a_record(result):
    frame = result.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == len(result.records)
    assert {"trial", "rung", "density", "state", "value", "config.lr", "metric.loss"} <= set(frame)
    assert frame["state"].eq("failed").sum() == len(result.failures)


def test_curves_have_a_row_a_report(result):
    frame = result.to_frame(curves=True)
    assert len(frame) == sum(len(record.reports) for record in result.records)
    assert {"trial", "rung", "step", "state", "value", "metric.loss"} <= set(frame)
    of_best = frame[(frame.trial == result.best.trial) & (frame.rung == 1)]
    assert of_best.value.tolist() == list(result.best.values)


def test_everything_is_json(result):
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["best"]["config"] == result.best_config
    assert len(data["records"]) == len(result.records)
    assert data["fidelity"][0]["verdict"] == result.fidelity[0].verdict
    assert Space.from_json(data["space"]) == result.space
    assert study().result.to_json()["best"] is None


def test_the_weights_of_the_best_three_are_kept(tmp_path):
    def train(network, config):
        with torch.no_grad():
            network[0].bias.fill_(config["lr"])
        return 1 - config["lr"]

    path = tmp_path / "study.db"
    hpo = ProxyHPO(
        build,
        train,
        {"lr": Float(0, 1)},
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        searcher="random",
        density=0.25,
        progress=False,
        store=path,
    )
    found = hpo.run(10, finalists=5)
    for loaded in (found, load_study(path)):
        best = loaded.top(3)
        assert best == list(loaded.leaderboard()[:3])
        assert best[0] == loaded.best_record
        for record in best:
            network = loaded.network_of(record, build())
            assert network[0].bias[0].item() == pytest.approx(record.config["lr"])
    fourth = found.top(4)[3]
    with pytest.raises(StoreError):
        found.network_of(fourth)
    with pytest.raises(ArgumentError, match="top: k must be"):
        found.top(0)


def test_the_ledger_adds_up(result):
    cost = result.cost
    assert cost.seconds == pytest.approx(
        sum(record.seconds for record in result.records) + cost.overhead_seconds
    )
    assert [rung.runs for rung in cost.rungs] == [10, 3]
    assert cost.rungs[0].failed == len(result.failures)
    assert cost.base_training_source == "measured"
    assert cost.base_trainings == pytest.approx(cost.seconds / cost.base_training_seconds)
    assert cost.saved == pytest.approx(1 - cost.seconds / cost.full_search_seconds)
    assert 0 < cost.rungs[0].flops_base_trainings < 10
    assert cost.rungs[1].flops_base_trainings == pytest.approx(3)


def test_repr_is_a_summary_of_at_most_12_lines(result):
    lines = repr(result).splitlines()
    assert len(lines) <= 12
    assert lines[0] == "Result of 10 trials (maximize)"
    names = [line[2:14].strip() for line in lines[1:5]]
    assert names == ["saved", "best value", "how sure", "best config"]
    assert "base trainings instead of " in repr(result)
    assert f"failures     {len(result.failures)} of {len(result.records)} trainings" in repr(result)
    assert "too little evidence (3 trials trained on both)" in repr(result)
    assert "a proxy (density 0.25) reached" in repr(result)
    assert "repeats=4" in repr(result)


def test_a_check_is_advised_where_too_few_trials_were_trained_on_both_networks():
    assert "hpo.check() measures" in repr(study().run(8, finalists=1))


def test_the_summary_stays_short_whatever_went_wrong(result):
    history = result.history.snapshot()
    for rung, measured in result.measured.items():
        history.add_measurement(replace(measured, warning=f"slow {rung}"))
    bad = replace(result, history=history, pretrained=True, ending=Ending("interrupted", "go on"))
    lines = repr(bad).splitlines()
    assert len(lines) <= 12
    assert lines[0].endswith("interrupted)")
    assert "unproven for pretrained networks" in repr(bad)
    assert "next         go on" in repr(bad)
    assert "repeats=" in repr(result)
    assert "repeats=" not in repr(bad)


def test_a_search_that_saved_nothing_says_so(result):
    history = result.history.snapshot()
    history._records = [
        replace(r, seconds=100.0, overhead_seconds=0.0) for r in result.history.records
    ]
    dear = replace(result, history=history)
    assert dear.cost.saved <= 0
    assert "search on the full network" in repr(dear)
    assert "although the first rung is cheap" not in repr(dear)


def test_a_search_that_saved_nothing_with_cheap_proxies_is_not_sent_to_the_full_network(result):
    history = result.history.snapshot()
    history.add_measurement(replace(result.measured[1], seconds=1e4))
    dear = replace(result, history=history)
    assert dear.cost.saved <= 0
    assert "nothing was saved, although the first rung is cheap" in repr(dear)
    assert "search on the full network" not in repr(dear)
    assert "a longer search saves more" in repr(dear)
    exhausted = replace(dear, ending=replace(dear.ending, n_further=0))
    assert "a longer search" not in repr(exhausted)


def test_the_ledger_has_a_line_for_each_rung(result):
    titles, proxy, full, *_ = result.ledger().splitlines()
    assert titles.split()[:2] == ["rung", "trains"]
    assert proxy.startswith("0     density 0.25")
    assert full.startswith("1     the full network")
    assert "1.0" in full or "1 " in full


def test_details_print_as_text_and_show_the_same_as_cells_of_a_notebook(result):
    details = [result.ledger(), result.cost, result.fidelity, result.fidelity[0]]
    for shown in details:
        assert repr(shown) == str(shown)
        assert pretty(shown) == str(shown)
        assert "\n" in str(shown)
    assert repr(result.cost).startswith("cost: ")
    assert repr(result.fidelity).startswith("density 0.25 standing in for the full network (n=3")
    assert isinstance(result.ledger(), str)
    assert list(result.fidelity) == result.fidelity
    assert pickle.loads(pickle.dumps(details)) == details
    alone = replace(result, ladder=result.ladder[-1:])
    assert repr(alone.fidelity).startswith("all trainings are of the full network")


def with_corrections(result, *corrections):
    history = result.history.snapshot()
    proxied = [record for record in result.records if record.rung == 0]
    history._records = [
        replace(record, correction=correction)
        for record, correction in zip(proxied, corrections, strict=False)
    ]
    return replace(result, history=history).ledger()


def test_the_ledger_says_how_updates_were_scaled(result):
    scaled = Correction("layerwise", 0.5, 2.0, ["SGD"]), Correction("layerwise", 1.0, 4.0, ["Muon"])
    assert (
        "rung 0: layerwise multiplied the updates of SGD, Muon by 0.5 to 4, layer by layer, in 2 "
        "of 3 trainings" in with_corrections(result, *scaled, Correction("layerwise"))
    )
    unscaled = with_corrections(result, Correction("layerwise"))
    assert "rung 0: layerwise scaled no updates in 1 trainings" in unscaled
    assert "rung 0: layerwise" not in with_corrections(result, None)


def test_a_pickled_result_is_the_same_without_the_code(result):
    copy = pickle.loads(pickle.dumps(result))
    assert repr(copy) == repr(result)
    assert copy.ledger() == result.ledger()
    assert copy.leaderboard() == result.leaderboard()
    for name, tensor in copy.best_weights().items():
        assert torch.equal(tensor, result.best_weights()[name])
    with pytest.raises(ArgumentError, match=r"pass a network, best_network\(network\)"):
        copy.best_network()
    network = copy.best_network(build())
    expected = result.best_network()
    assert torch.equal(network(torch.ones(2, 6)), expected(torch.ones(2, 6)))
    with pytest.raises(StoreError, match=r"do not fit the network"):
        copy.best_network(nn.Linear(6, 2))


def test_a_stored_study_is_loaded_without_its_code(tmp_path):
    path = tmp_path / "study.db"
    hpo = study(store=path)
    ran = hpo.run(6)
    loaded = load_study(path)
    assert loaded.records == ran.records
    assert loaded.best_config == ran.best_config
    assert repr(loaded) == repr(ran)
    assert pickle.loads(pickle.dumps(loaded)).best_value == ran.best_value
    assert loaded.is_stored
    assert ran.is_stored
    assert not study().result.is_stored
    network = loaded.best_network(build())
    assert torch.equal(network[0].weight, ran.best_network()[0].weight)
    with pytest.raises(StoreError, match="there is no study at this path"):
        load_study(tmp_path / "other.db")
    path.unlink()
    with pytest.raises(StoreError, match=r"delete the folder '.*-weights'") as caught:
        _ = study(store=path).result
    assert caught.traceback[-1].name == "_open"
    assert caught.value.__cause__ is None


def test_a_study_can_be_loaded_while_it_runs(tmp_path):
    path, seen = tmp_path / "study.db", []
    study(store=path, callbacks=[lambda _: seen.append(load_study(path))]).run(3)
    assert [len(result.records) for result in seen] == list(range(1, len(seen) + 1))


def test_a_study_that_runs_says_so_instead_of_what_to_do_next(tmp_path):
    path, seen = tmp_path / "study.db", []
    hpo = study(store=path, callbacks=[lambda _: seen.append((load_study(path), hpo.result))])
    hpo.run(8, finalists=2)
    for loaded, own in seen:
        assert repr(loaded).splitlines()[0].endswith(" (maximize, running)")
        steps = [line for line in repr(loaded).splitlines() if line.startswith("  next ")]
        assert steps == ["  next         the study is running: this process already has it open"]
        assert "  next         the study is running\n" in repr(own)
        assert "hpo." not in repr(loaded) + repr(own)
        assert not own.interrupted
    for result in (load_study(path), hpo.result):
        assert "running" not in repr(result)
        assert "\n  next " in repr(result)


def test_a_study_that_was_killed_says_how_to_resume_it(tmp_path):
    path, copy = tmp_path / "study.db", tmp_path / "copy.db"
    hpo = study(store=path)
    asked = hpo.ask(3)
    copy_study(path, copy)  # as if the process had ended in the middle of the training
    hpo.tell(asked, 0.5)
    hpo.close()
    loaded = load_study(copy)
    assert repr(loaded).splitlines()[0].endswith(" (maximize, interrupted)")
    assert "  next         run the script of the study again to resume it" in repr(loaded)
    assert "run the script" not in repr(load_study(path))


def test_a_result_prints_no_control_characters(result):
    assert "\x1b" in result.failures[0].reason
    assert "\x1b" not in repr(result.failures)
    assert all(c.isprintable() or c == "\n" for c in repr(result))


def test_the_card_is_escaped_and_shows_what_the_summary_says(result):
    text = result._repr_html_()
    assert NASTY not in text
    assert "&lt;script&gt;" in text
    assert "<pre" not in text
    for _, said in result._findings.facts():
        assert html.escape(printable(said)) in text
    assert f'<div class="big">{result.best_value:.6g}</div>' in text
    assert text.count("<svg") == 1


def test_the_card_of_a_search_that_has_just_started_says_what_to_do():
    text = study().result._repr_html_()
    assert "nothing has been trained yet: call hpo.run(n_trials)" in text
    assert "<svg" not in text


def test_the_card_marks_stopped_runs(result):
    history = result.history.snapshot()
    history._records = [replace(record, state="stopped") for record in result.leaderboard()]
    text = replace(result, history=history, best=None)._repr_html_()
    assert text.count("<tr class=faded>") == 3


@pytest.mark.parametrize("name", ["dropout", "attention_dropout", "label_smoothing", "augment"])
def test_a_hyperparameter_whose_best_value_depends_on_the_width_asks_for_finalists(result, name):
    space = Space({"lr": Float(0, 1), name: Float(0, 1), "mixup": 0.5})
    trust = next(
        line for line in repr(replace(result, space=space)).splitlines() if "trust" in line
    )
    assert f"the best {name} depends on the width: use more finalists" in trust
    assert "depends on the width" not in repr(result)


def test_failures_print_as_a_table_without_tracebacks(result):
    assert repr(Failures()) == "no training failed"
    title, *rows = repr(result.failures).splitlines()
    assert title.split() == ["trial", "rung", "reason", "config"]
    assert len(rows) == len(result.failures)
    assert "<script>alert('x')</script>" in rows[0]

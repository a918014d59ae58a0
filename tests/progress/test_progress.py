"""Progress tells the truth wherever it is shown, and never ends or changes a study."""

import io
import os
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo._progress import Progress, progress
from proxyhpo._progress.displays import Bar, Display, Lines
from proxyhpo._progress.panel import panel
from proxyhpo._progress.status import duration_words, status_of
from proxyhpo._progress.time_left import time_left
from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement
from proxyhpo._records.records import Record
from proxyhpo._runs import RunId
from proxyhpo.errors import TrainingFailedError


def build():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


def train(network, config):
    if config["<lr>"] > 0.7:
        raise RuntimeError("it diverged")
    for step in range(3):
        yield {"value": config["<lr>"] + step, "seconds": (step + 1) * network[0].out_features}


def study(*, train=train, **options):
    return ProxyHPO(
        build,
        train,
        {"<lr>": Float(0, 1)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        searcher="random",
        **{"stopper": None, "density": 0.25, **options},
    )


class Kept(Display):
    """Keeps every status, and is always due."""

    def __init__(self):
        self.shown, self.closed = [], 0

    def interval(self, elapsed):
        return 0.0

    def show(self, status):
        self.shown.append(status)

    def close(self, status, end):
        self.show(status)
        self.closed += 1
        self.end = end


@pytest.fixture
def kept(monkeypatch):
    display = Kept()
    monkeypatch.setattr(progress, "_display", lambda result: display)
    return display


class Stream(io.StringIO):
    def __init__(self, *, tty):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


class Broken(Stream):
    def write(self, text):
        raise BrokenPipeError("the reader is gone")

    def flush(self):
        self.write("")


def test_each_status_counts_what_has_happened(kept):
    result = study(controls=1, seed=1).run(8, finalists=2)
    assert kept.closed == 1
    first, *_, last = kept.shown
    assert (first.ended, first.expected, first.running) == (0, 8 + 2 + 1, 0)
    assert [status.ended for status in kept.shown] == sorted(s.ended for s in kept.shown)
    assert {status.running for status in kept.shown} == {0, 1}
    assert [rung.ended for rung in last.rungs] == [8, 3]
    assert last.failed == len(result.failures) > 0
    assert last.best == result.best_value
    assert last.cost == result.cost
    assert last.seconds_left == 0


@pytest.mark.parametrize(
    ("repeats", "n_trials", "more"), [(0, 8, 0), (1, 8, 1), (2, 8, 2), (None, 8, 0), (None, 30, 2)]
)
def test_the_repeats_that_are_certain_are_expected_from_the_start(kept, repeats, n_trials, more):
    study(repeats=repeats, seed=1).run(n_trials, finalists=2)
    assert {status.expected for status in kept.shown} == {n_trials + 2 + more}
    assert kept.shown[-1].ended == n_trials + 2 + more


def test_repeats_that_depend_on_the_values_are_not_expected(kept):
    study(repeats=4, seed=1).run(8, finalists=2)
    assert kept.shown[0].expected == 8 + 2 + 2
    assert kept.shown[-1].expected == kept.shown[-1].ended


def test_no_repeats_are_expected_once_too_few_trials_have_succeeded(kept):
    def failing(network, config):
        if network[0].out_features == 16 and kept.shown[-1].rungs[1].ended:
            raise RuntimeError("only the first finalist succeeds")
        yield config["<lr>"]

    study(train=failing, repeats=2).run(8, finalists=2)
    finalists = 2 + 2  # two more replace those that fail
    assert kept.shown[0].expected == 8 + 2 + 2
    assert kept.shown[-1].expected == kept.shown[-1].ended == 8 + finalists


def test_the_time_left_is_wall_time_of_all_rungs(kept, later):
    def slow(network, config):
        network(torch.zeros(8, 6)).sum().backward()
        later(1000)
        return {"value": config["<lr>"], "seconds": 1e6}

    study(train=slow).run(6, finalists=1)
    known = [status.seconds_left for status in kept.shown if status.seconds_left is not None]
    assert all(0 <= seconds < 1e5 for seconds in known)
    after_one = next(status for status in kept.shown if status.ended == 1)
    assert after_one.seconds_left > 3000


class Waiting:
    """A study of one proxy's training that took 10 s, and what may be asked about it."""

    def __init__(self, full=(), passes=10):
        history = History()
        history.add_measurement(Measurement(0, 0.25, 0.25, 1, None, 1.0))
        history.add_measurement(Measurement(1, 1.0, 1.0, 1, None, 3.0))
        history.add_trial({})
        for rung, seconds in [(0, 10.0), *((1, seconds) for seconds in full)]:
            history.add_record(
                Record(0, rung, 0, {}, {}, "finished", 1.0, 1.0, seconds=seconds, started_at=0.0,
                       ended_at=seconds, backward_passes=passes if rung == 0 else None)
            )  # fmt: skip
        self.history = history
        self.parts = SimpleNamespace(ladder=[Rung(0.25, keep=1), Rung(1)])
        self.state = SimpleNamespace(why_full="")

    def left(self, n_open, *running, workers=1):
        by_rung = [[r for r in self.history.records if r.rung == rung] for rung in (0, 1)]
        started = {RunId(trial, 1): since for trial, since in enumerate(running)}
        return time_left(self, [0, n_open], by_rung, started, workers)


def test_a_training_that_takes_longer_than_predicted_leaves_no_number():
    predicted = Waiting()
    assert predicted.left(1, 20.0) == (10.0, False)
    assert predicted.left(1, 31.0) == (None, True)
    assert predicted.left(2, 5.0, 31.0, workers=2) == (None, True)
    assert Waiting([40.0]).left(1, 41.0) == (None, True)


def test_without_a_count_of_steps_no_time_is_claimed_before_a_full_training_has_ended():
    assert Waiting(passes=None).left(2, 5.0) == (None, False)
    assert Waiting([40.0], passes=None).left(2, 5.0) == (75.0, False)


def test_finalists_that_have_not_started_take_as_long_as_the_running_one():
    assert Waiting().left(3, 20.0) == (10.0 + 2 * 30.0, False)
    assert Waiting().left(3, 100.0) == (2 * 100.0, False)
    assert Waiting().left(3, 20.0, workers=2) == (40.0, False)
    assert Waiting([40.0]).left(3, 10.0, 20.0, workers=2) == (60.0, False)


def test_what_is_late_is_said_in_words(kept):
    result = study().run(2, finalists=1)
    late = replace(kept.shown[-1], seconds_left=None, is_late=True)
    assert late.facts()[-1] == "time left unknown"
    assert "time left unknown" in panel(late, result)


def test_the_price_of_a_full_search_does_not_read_like_a_budget(kept):
    result = study().run(4, finalists=1)
    spent, full = result.cost.base_trainings, result.cost.full_search_base_trainings
    said = f"{spent:.3g} base trainings (full search so far: an estimated {full:.3g})"
    assert f"cost {said}" in kept.shown[-1].facts()
    drawn = panel(kept.shown[-1], result)
    assert said in drawn
    assert f"full search, estimated: {full:.3g}" in drawn
    whole = study(density=None, proxies=False).run(2)
    assert kept.shown[-1].price == f"{whole.cost.base_trainings:.3g} base trainings"


def test_a_run_that_a_signal_or_an_error_ended_was_interrupted(kept):
    study().run(1)
    assert kept.end.startswith("ended after ")

    def interrupt(record):
        os.kill(os.getpid(), signal.SIGINT)

    study(callbacks=[interrupt]).run(3)
    assert kept.end.startswith("interrupted after ")

    def failing(network, config):
        raise RuntimeError("always")

    with pytest.raises(TrainingFailedError):
        study(train=failing).run(9)
    assert kept.end.startswith("interrupted after ")


def test_a_search_without_a_number_of_trials_shows_what_is_done(kept, capsys, monkeypatch):
    result = study().run(base_trainings=4, finalists=1)
    assert {status.expected for status in kept.shown} == {None}
    assert {status.seconds_left for status in kept.shown} == {None}
    last = kept.shown[-1]
    # How many trainings fit into the budget depends on the time for measuring networks.
    count, top = (sum(record.rung == rung for record in result.records) for rung in (0, 1))
    Lines().close(last, "ended after 3 s")
    assert f"density 0.25 {count} done | the full network {top} done" in capsys.readouterr().err
    assert f"{count} done" in panel(last, result)
    monkeypatch.setattr(sys, "stderr", stream := Stream(tty=True))
    bar = Bar()
    bar.show(last)
    bar.close(last, "ended after 3 s")
    assert f"{count + top}/?" in stream.getvalue()
    assert f"{count + top}/{count + top}" in stream.getvalue()


def test_no_more_time_is_left_than_the_limit_allows(kept):
    study().run(3, timeout=1e6, finalists=1)
    assert kept.shown[0].seconds_left == pytest.approx(1e6, abs=1e5)
    assert kept.shown[-1].seconds_left == 0


def test_a_resumed_study_counts_what_was_there(kept):
    hpo = study()
    hpo.run(3, finalists=1)
    hpo.run(5, finalists=1)
    resumed = next(s for s in kept.shown if s.rungs[0].expected == 5)
    assert resumed.rungs[0].ended == 3


def test_lines_are_printed_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Stream(tty=False))
    study(progress=True).run(4, finalists=1)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("proxyhpo: density 0.25 4/4 | the full network 1/1 | best ")
    assert "base trainings" in last
    assert "ended after" in last
    assert "\r" not in stream.getvalue()


def test_lines_become_rare_and_do_not_repeat_themselves(kept, capsys):
    study().run(2, finalists=1)
    lines = Lines()
    assert lines.interval(0) == 5
    assert lines.interval(1e6) == 60
    for _ in range(3):
        lines.show(kept.shown[-1])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_terminal_has_one_line(kept, monkeypatch):
    study().run(4, finalists=1)
    monkeypatch.setattr(sys, "stderr", stream := Stream(tty=True))
    bar = Bar()
    for status in kept.shown:
        bar.show(status)
    bar.close(kept.shown[-1], "ended after 1 min 15 s")
    assert stream.getvalue().count("\n") == 1
    last = stream.getvalue().rstrip().split("\r")[-1]
    assert last.startswith("ended after 1 min 15 s |")
    assert "| 5/5, best " in last


@pytest.mark.parametrize("tty", [True, False])
def test_a_broken_stderr_ends_no_study(tty, monkeypatch):
    expected = study(progress=False).run(4, finalists=1)
    monkeypatch.setattr(sys, "stderr", Broken(tty=tty))
    monkeypatch.setattr(Lines, "interval", lambda self, elapsed: 0.0)
    result = study(progress=True).run(4, finalists=1)
    assert [r.value for r in result.records] == [r.value for r in expected.records]


def test_a_display_that_fails_is_not_asked_again(monkeypatch, caplog):
    class Failing(Kept):
        def show(self, status):
            super().show(status)
            if len(self.shown) == 3:
                raise OSError("no space left on device")

    monkeypatch.setattr(progress, "_display", lambda result: failing)
    failing = Failing()
    study().run(3, finalists=1)
    assert len(failing.shown) == 3
    assert "progress is no longer shown: OSError: no space left on device" in caplog.text


def test_the_panel_shows_the_ladder_and_is_escaped(kept):
    result = study().run(6, finalists=2)
    text = panel(kept.shown[-1], result, ended="ended after 3 s")
    assert text.count('<div class="track">') == 2
    assert f'<div class="big">{result.best_value:.6g}</div>' in text
    assert "6 of 6" in text
    assert "<lr>" not in text
    begun = panel(kept.shown[0], study().result)
    assert "none yet" in begun
    assert "0 trainings running" in begun


def test_durations_have_two_units_at_most():
    assert duration_words(0.2) == "1 s"
    assert duration_words(60) == "1 min 0 s"
    assert duration_words(100_000) == "27 h 46 min"


def test_the_progress_of_a_study_is_a_callback_like_others():
    with study() as hpo:
        hpo.ask(2)
        opened = hpo._open_study
        limits = hpo._setup.running.limits(2, None)
        display = Kept()
        shown = Progress(opened.study, opened.result, limits, 1, display)
        shown.close()
        assert len(display.shown) == 2
        assert display.shown[0] == status_of(opened.study, 2, {}, 1)

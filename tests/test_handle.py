"""A study object that is called while its study runs: from callbacks, and from other threads."""

import os
import random
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung, load_study
from proxyhpo.errors import ArgumentError, StoreError

SPACE = {"lr": Float(1e-4, 1, log=True)}


def build():
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))


def train(network, config):
    yield config["lr"]


def study(train=train, **options):
    options = {"searcher": "random", "density": 0.5, "progress": False, **options}
    return ProxyHPO(
        build,
        train,
        SPACE,
        example_inputs=torch.zeros(8, 8),
        direction="minimize",
        proxies=True,
        **options,
    )


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "study.db"


def test_it_is_described_in_one_line(store):
    where = "in memory" if store is None else f"in {str(store)!r}"
    assert repr(study(store=store)) == (
        f"<ProxyHPO: minimize over lr; density 0.5, density 1; {where}>"
    )


def test_result_in_a_callback_reads_the_running_study(store):
    seen = []
    hpo = study(store=store, callbacks=[lambda record: seen.append(hpo.result.records[-1])])
    result = hpo.run(4)
    assert seen == list(result.records)
    assert hpo.result.records == result.records


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("run", lambda hpo: hpo.run(9)),
        ("climb", lambda hpo: hpo.climb()),
        ("check", lambda hpo: hpo.check(2)),
        ("ask", lambda hpo: hpo.ask()),
        ("close", lambda hpo: hpo.close()),
    ],
)
def test_a_second_entry_from_a_callback_is_refused_and_does_no_harm(name, call, store):
    def again(_):
        with pytest.raises(ArgumentError, match=rf"{name}: this study is running"):
            call(hpo)

    hpo = study(store=store, callbacks=[again])
    result = hpo.run(4)
    assert not result.interrupted
    assert len(hpo.run(5).history.trials) == 5


def test_another_thread_reads_the_running_study_and_cannot_run_it(store):
    started, goes_on, seen = threading.Event(), threading.Event(), []

    def waiting(network, config):
        started.set()
        goes_on.wait(240)
        yield config["lr"]

    hpo = study(waiting, store=store)

    def elsewhere():
        started.wait(240)
        seen.append(len(hpo.result.history.trials))
        try:
            hpo.run(9)
        except ArgumentError as error:
            seen.append(str(error))
        goes_on.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    result = hpo.run(3)
    thread.join()
    assert seen[0] == 1
    assert "run: this study is running" in seen[1]
    assert len(result.history.trials) == 3
    if store is not None:
        assert load_study(store).records == result.records


def test_a_config_enqueued_in_a_callback_is_tried_in_the_same_run(store):
    def enqueue(record):
        if record.trial == 0 and record.rung == 0:
            hpo.enqueue({"lr": 0.125})

    hpo = study(store=store, callbacks=[enqueue])
    result = hpo.run(3)
    assert {"lr": 0.125} in [trial.config for trial in result.history.trials]
    assert result.history.trials[1].config == {"lr": 0.125}


def test_a_run_takes_the_place_of_trainings_that_were_asked_for(store):
    hpo = study(store=store)
    asked = hpo.ask(2)
    result = hpo.run(2)
    assert asked.trial in {record.trial for record in result.records}
    with pytest.raises(ArgumentError, match="not waiting for trial"):
        hpo.tell(asked, 1.0)


def test_an_outcome_is_written_once_if_what_follows_its_record_fails(store, monkeypatch):
    hpo = study(store=store, ladder=[Rung(1)], density=None)
    for value in (4.0, 3.0, 2.0):
        asked = hpo.ask()
        hpo.tell(asked, value, network=asked.network())

    def fail(name):
        raise StoreError(f"cannot drop {name}")

    asked = hpo.ask()
    monkeypatch.setattr(hpo._open_study.store, "drop_weights", fail)
    with pytest.raises(StoreError, match="cannot drop trial-0-rung-0"):
        hpo.tell(asked, 1.0, network=asked.network())
    with pytest.raises(ArgumentError, match="already told"):
        hpo.tell(asked, 1.0)
    monkeypatch.undo()
    hpo.close()
    assert [record.value for record in hpo.result.records] == [4.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize("is_written", [False, True])
def test_ctrl_c_while_an_outcome_is_told_loses_nothing(store, is_written, monkeypatch):
    hpo = study(store=store)
    asked = hpo.ask()
    opened = hpo._open_study.store
    append = opened.append

    def interrupted(kind, body):
        if is_written:
            append(kind, body)
        raise KeyboardInterrupt

    monkeypatch.setattr(opened, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hpo.tell(asked, 1.0)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="interrupted the study while it was written"):
        hpo.tell(asked, 1.0)
    hpo.close()
    again = hpo.ask()
    assert (again.trial == asked.trial) != is_written  # handed out again if it was not recorded
    hpo.tell(again, 2.0)
    hpo.close()
    assert [record.value for record in hpo.result.records] == [1.0] * is_written + [2.0]


def test_a_relative_store_stays_where_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def moving(network, config):
        os.chdir(tmp_path / "elsewhere")
        yield config["lr"]

    hpo = study(moving, store="study.db")
    ran = hpo.run(2)
    assert hpo.result.records == ran.records
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "study.db").is_file()


def test_a_study_whose_store_is_deleted_while_it_runs_is_not_complete(tmp_path):
    def delete(record):
        if record.rung == 1:  # the last one
            (tmp_path / "study.db").unlink()

    hpo = study(store=tmp_path / "study.db", callbacks=[delete])
    with pytest.raises(StoreError, match="deleted or replaced while the study was running"):
        hpo.run(1)
    again = study(store=tmp_path / "study.db")
    assert len(again.result.records) == 2
    assert not again.run(1).interrupted


def test_a_store_that_is_replaced_while_the_study_runs_is_left_as_it_is(tmp_path):
    other = study(store=tmp_path / "other.db", seed=1).run(2)
    hpo = study(
        store=tmp_path / "study.db",
        callbacks=[lambda record: (tmp_path / "other.db").replace(tmp_path / "study.db")],
    )
    with pytest.raises(StoreError, match=r"study.db-rescued-1"):
        hpo.run(3)
    assert load_study(tmp_path / "study.db").records == other.records
    assert len(load_study(tmp_path / "study.db-rescued-1").records) == 1


def drawing(network, config):
    """Reports what it draws, with time between the draws for other threads."""
    for _ in range(3):
        time.sleep(0.002)
        yield torch.rand(()).item() + random.random() + np.random.rand()


def test_studies_in_two_threads_come_out_as_one_after_the_other():
    seeds = (1, 2)
    expected = [study(drawing, seed=seed).run(3).records for seed in seeds]
    found = {}

    def run(seed):
        found[seed] = study(drawing, seed=seed).run(3).records

    threads = [threading.Thread(target=run, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, records in zip(seeds, expected, strict=True):
        assert [each.values for each in found[seed]] == [each.values for each in records]


def test_a_study_made_in_another_thread_changes_no_training():
    expected = study(drawing).run(3).records
    is_over, made = threading.Event(), []

    def make():
        while not is_over.is_set():
            made.append(study())

    thread = threading.Thread(target=make)
    thread.start()
    try:
        records = study(drawing).run(3).records
    finally:
        is_over.set()
        thread.join()
    assert made
    assert [each.values for each in records] == [each.values for each in expected]

"""Probes: trainings from which a transfer learns, which are no trials, and are paid for."""

import random

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo._engine.checkpoints import Checkpoints
from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.records import Death, Probe
from proxyhpo._records.run_id import RunId
from proxyhpo._store import read_study
from proxyhpo._store.sqlite import SQLiteStore
from proxyhpo.errors import ArgumentError, ConfigError, StoreError, TrainingFailedError
from proxyhpo.executors import Died, InProcessExecutor
from proxyhpo.searchers import RandomSearcher, Searcher
from proxyhpo.stoppers import Stopper
from proxyhpo.transfers import Transfer
from tests.engine.test_ordered import Shuffling

SPACE = {"lr": Float(1e-4, 1, log=True)}
LADDER = [Rung(0.25, keep=3), Rung(0.5, keep=2), Rung(1)]


class Learning(Transfer):
    """Plans three configs at both ends of the ladder's proxies; what they say is the exponent."""

    def __init__(self, n=3):
        self.n = n

    def probes(self, space, ladder, *, rng):
        configs = [space.sample(rng) for _ in range(self.n)]
        return [
            Probe(config, rung, {"lr": exponent})
            for config in configs
            for rung, exponent in ((0, 0.0), (0, -1.0), (1, -1.0))
        ]

    def exponents(self, space, history):
        assert len(history.probe_records) == len(history.probes) == 3 * self.n
        losses = [record.loss for record in history.probe_records.values()]
        return {"lr": -sum(abs(loss) for loss in sorted(map(float, losses)))}

    def basis(self, space, history):
        return f"{len(history.probe_records)} probes"


class Unlearned(Learning):
    """The same, where it does not matter what came of them."""

    def exponents(self, space, history):
        return {"lr": -0.7}


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    noise = torch.rand(()).item()
    yield noise
    yield noise - config["lr"]


def study(path=None, train=train, **options):
    options = {"ladder": LADDER, "transfer": Learning(), "searcher": "random", **options}
    options = {"progress": False, "stopper": None, **options}
    return ProxyHPO(
        build,
        train,
        SPACE,
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        store=path,
        **options,
    )


def outcomes(result):
    probes = [
        (n, str(result.history.probes[n]), str(r.trained_config), r.value)
        for n, r in sorted(result.history.probe_records.items())
    ]
    trials = [
        (r.trial, r.rung, str(r.config), str(r.trained_config), r.value) for r in result.records
    ]
    openings = {rung: (o.exponents, o.basis) for rung, o in result.openings.items()}
    densities = {rung: measured.density for rung, measured in result.measured.items()}
    return probes, sorted(trials), openings, densities


@pytest.fixture(scope="module")
def undisturbed():
    return outcomes(study().run(8))


def test_they_end_before_rung_0_opens_with_what_they_said(tmp_path):
    result = study(tmp_path / "study.db").run(6)
    events = read_study(tmp_path / "study.db")[1]
    kinds = ["probed" if body.get("kind") == "probe" else kind for kind, body in events]
    last = max(number for number, kind in enumerate(kinds) if kind == "probed")
    assert kinds.count("probed") == 9
    assert kinds.index("trial") > last
    opened = [n for n, kind in enumerate(kinds) if kind == "opening"]
    assert sum(number < last for number in opened) == 1  # the full network's
    assert result.openings[0].exponents == result.openings[1].exponents != {}
    assert result.openings[0].basis == "9 probes"
    assert "(9 probes)" in result.ledger()
    ratio, exponent = result.measured[0].width_ratio, result.openings[0].exponents["lr"]
    for record in result.leaderboard(0):
        assert record.trained_config["lr"] == pytest.approx(record.config["lr"] * ratio**exponent)


def test_each_is_trained_at_its_rung_with_its_own_exponents():
    widths = []

    def watched(network, config):
        widths.append(network[0].out_features)
        return config["lr"]

    result = study(train=watched).run(1)
    assert widths[:9] == [8, 8, 16] * 3
    for number, probe in enumerate(result.history.probes):
        record, measured = result.history.probe_records[number], result.measured[probe.rung]
        assert probe.width_ratio == measured.width_ratio == record.width_ratio
        factor = measured.width_ratio ** probe.exponents["lr"]
        assert record.trained_config["lr"] == pytest.approx(record.config["lr"] * factor)
        assert (record.trial, record.rung) == (number, probe.rung)


def test_each_has_a_seed_that_no_other_training_has():
    drawn = []

    def drawing(network, config):
        drawn.append(torch.rand(()).item())
        return drawn[-1]

    study(train=drawing).run(3)
    assert len(set(drawn)) == len(drawn) == 9 + 3 + 3 + 2


class Watching(Searcher):
    def __init__(self):
        self._seen = []

    def propose(self, space, history, n, *, rng):
        self._seen.append((len(history.trials), len(history.observed())))
        return RandomSearcher().propose(space, history, n, rng=rng)


class Never(Stopper):
    def __init__(self):
        self._peers = []

    def should_stop(self, losses, peers):
        self._peers.append(len(peers))
        return False


def test_nobody_but_the_transfer_and_the_ledger_sees_them():
    called, searcher, stopper = [], Watching(), Never()
    options = {"callbacks": [called.append], "searcher": searcher, "stopper": stopper}
    result = study(**options).run(4)
    assert searcher._seen == [(n, n) for n in range(4)]
    assert [record.trial for record in called if record.rung == 0] == [0, 1, 2, 3]
    assert len(called) == len(result.records) == 4 + 3 + 2
    assert max(stopper._peers) == 3
    assert len(result.leaderboard(0)) == 4
    assert {(f.lower, f.n) for f in result.fidelity} == {(0, 3), (1, 2), (0, 2)}
    assert len(result.to_frame()) == len(result.records)


def test_a_progress_bar_does_not_count_them(capsys):
    result = study(progress=True).run(2)
    assert len(result.records) == 6
    assert "6/6" in capsys.readouterr().err


def test_they_are_charged(tmp_path):
    def timed(network, config):
        yield {"value": config["lr"], "seconds": 100.0}

    cost = study(tmp_path / "study.db", timed).run(4).cost
    assert cost.probe_runs == 9
    assert cost.probe_seconds == pytest.approx(900, abs=20)
    assert cost.seconds == pytest.approx(
        sum(rung.seconds for rung in cost.rungs) + cost.probe_seconds + cost.overhead_seconds
    )
    assert cost.probe_base_trainings == pytest.approx(9, abs=0.5)
    assert [rung.runs for rung in cost.rungs] == [4, 3, 2]
    assert "probes: 9 runs, 90" in str(cost)
    assert study(tmp_path / "study.db", timed).run(4).cost == cost


def test_interrupted_at_every_report_and_resumed_equals_uninterrupted(tmp_path, undisturbed):
    begun = []

    def interrupting(network, config):
        for value in train(network, config):
            if random.Random(len(begun)).random() < 0.4:
                begun.append("interrupted")
                raise KeyboardInterrupt
            yield value
        begun.append("finished")

    while (result := study(tmp_path / "study.db", interrupting).run(8)).interrupted:
        assert len(begun) < 200
    assert begun.count("interrupted") > 5
    assert outcomes(result) == undisturbed
    assert begun.count("finished") == len(result.records) + 9


class Killed(BaseException):
    pass


@pytest.mark.parametrize("written", [True, False])
def test_killed_at_every_event_and_resumed_equals_uninterrupted(
    tmp_path, monkeypatch, undisturbed, written
):
    """Just after each event was written, or just before."""
    append, seen = SQLiteStore.append, set()

    def killing(self, kind, body):
        is_new = (kind, str(body)[:60]) not in seen
        seen.add((kind, str(body)[:60]))
        if written or not is_new:
            append(self, kind, body)
        if is_new:
            raise Killed

    monkeypatch.setattr(SQLiteStore, "append", killing)
    for _ in range(200):
        try:
            result = study(tmp_path / "study.db").run(8)
            break
        except Killed:
            continue
    assert len(seen) > 25
    assert outcomes(result) == undisturbed


@pytest.mark.parametrize("interval", [1, 4, None])
def test_in_ordered_mode_the_order_of_endings_does_not_matter(tmp_path, interval):
    options = {"ordered": True, "transfer": Learning(4)}
    expected = outcomes(study(executor=Shuffling(7), **options).run(8))
    for attempt in range(50):
        executor = Shuffling(attempt, interrupt_after=interval)
        result = study(tmp_path / "study.db", executor=executor, **options).run(8)
        if not result.interrupted:
            break
    assert attempt > 2 or interval is None
    assert outcomes(result) == expected


def test_no_trial_begins_beside_a_probe():
    class Wide(Shuffling):
        def submit(self, job):
            super().submit(job)
            assert len({job.id.kind for job in self.jobs}) == 1

    assert not study(executor=Wide(3), transfer=Learning(2)).run(4).failures


def test_asking_hands_them_out_too():
    hpo = study(transfer=Unlearned())
    probes = [hpo.ask(2) for _ in range(9)]
    assert all(asked.is_probe for asked in probes)
    assert not any(asked.should_stop([1.0, 2.0]) for asked in probes)
    assert hpo.ask(2) is None  # until all of them have been told
    for asked in probes[1:]:
        hpo.tell(asked, 0.5)
    assert hpo.ask(2) is None
    hpo.tell(probes[0], 0.5)
    with pytest.raises(ArgumentError, match="told already"):
        hpo.tell(probes[0], 0.5)
    trial = hpo.ask(2)
    assert (trial.is_probe, trial.trial) == (False, 0)
    assert trial.seed not in {asked.seed for asked in probes}
    hpo.tell(trial, 0.5)
    assert len(hpo.result.records) == 1


def test_asked_and_told_as_trained_is_the_same(undisturbed):
    hpo = study()
    while (asked := hpo.ask(8)) is not None:
        network = asked.network()
        torch.manual_seed(asked.seed)
        hpo.tell(asked, list(train(network, asked.trained_config)))
    assert outcomes(hpo.result) == undisturbed


class Dying(InProcessExecutor):
    """The first training of probe 0 and of trial 0 each die, having taken 50 seconds."""

    def __init__(self):
        super().__init__()
        self.died = set()

    def wait_any(self, timeout=None):
        event = super().wait_any(timeout)
        run = event.job.id
        if run.trial == run.rung == 0 and run not in self.died:
            self.died.add(run)
            return Died(event.job, "killed", 50.0)
        return event


def test_a_probe_that_died_is_begun_anew_and_no_trial_s_death(tmp_path):
    result = study(tmp_path / "study.db", executor=Dying(), max_retries=1).run(3)
    assert not result.failures
    assert result.history.deaths == [
        Death(0, 0, 0, "killed", 50.0, kind="probe"),
        Death(0, 0, 0, "killed", 50.0),
    ]
    assert [rung.retried for rung in result.cost.rungs] == [1, 0, 0]
    assert 50 < result.cost.probe_seconds < 60
    assert study(tmp_path / "study.db").result.cost == result.cost


def test_failed_probes_are_known_to_the_transfer_and_harm_nobody():
    def failing(network, config):
        if config["lr"] > 0.1:
            raise RuntimeError("too large")
        return config["lr"]

    result = study(train=failing, transfer=Unlearned(4)).run(4)
    failed = [r for r in result.history.probe_records.values() if r.state == "failed"]
    assert {record.reason for record in failed} == {"RuntimeError: too large"}
    assert 0 < len(failed) < 12
    assert f"probes: 12 runs, {len(failed)} failed" in str(result.cost)
    assert len(result.records) >= 4


def test_the_probes_of_a_config_count_once_where_nothing_ever_succeeds():
    begun = []

    def broken(network, config):
        begun.append(config)
        raise RuntimeError("no data")

    with pytest.raises(TrainingFailedError, match="no data"):
        study(train=broken, transfer=Unlearned()).run(4)
    assert len(begun) == 3 * 3 + 2


def test_they_keep_checkpoints_apart_from_trials(tmp_path):
    folders = []

    def keeping(network, config, checkpoint_dir):
        assert list(checkpoint_dir.iterdir()) == []
        (checkpoint_dir / "file").touch()
        folders.append(checkpoint_dir.name)
        return config["lr"]

    study(tmp_path / "study.db", keeping).run(2)
    assert folders[:3] == [
        "probe-0-rung-0", "probe-1-rung-0", "probe-2-rung-1"
    ]  # fmt: skip
    assert len(set(folders)) == len(folders)
    assert not (tmp_path / "study.db-checkpoints").exists()


def test_a_probe_that_was_interrupted_finds_its_checkpoints(tmp_path):
    found = []

    def stopping(network, config, checkpoint_dir):
        found.append((checkpoint_dir.name, len(list(checkpoint_dir.iterdir()))))
        (checkpoint_dir / "file").touch()
        if len(found) == 2:
            raise KeyboardInterrupt
        return config["lr"]

    study(tmp_path / "study.db", stopping).run(2)
    Checkpoints(tmp_path / "study.db-checkpoints").make(RunId("trial", 7, 0))  # of nobody
    assert not study(tmp_path / "study.db", stopping).run(2).interrupted
    name = "probe-1-rung-0"
    assert found[1:3] == [(name, 0), (name, 1)]
    assert not (tmp_path / "study.db-checkpoints").exists()


def test_a_rung_is_measured_once_and_charged_once(tmp_path, monkeypatch):
    measured, real = [], NetworkFactory.measured

    def counting(self, config, *, density, seed):
        measured.append(density)
        return real(self, config, density=density, seed=seed)

    monkeypatch.setattr(NetworkFactory, "measured", counting)

    def stopping(network, config):
        if len(measured) == 3:
            measured.append("stopped")
            raise KeyboardInterrupt
        return config["lr"]

    first = study(tmp_path / "study.db", stopping).run(3)
    assert measured == [1, 0.25, 0.5, "stopped"]
    assert sorted(first.measured) == [0, 1, 2]
    assert sorted(first.openings) == [2]
    seconds = [measured.seconds for measured in first.measured.values()]
    assert first.cost.measuring_seconds == pytest.approx(sum(seconds))
    result = study(tmp_path / "study.db", stopping).run(3)
    assert measured == [1, 0.25, 0.5, "stopped"]
    assert result.cost.measuring_seconds >= first.cost.measuring_seconds
    taken = [*result.measured.values(), *result.openings.values()]
    assert result.cost.measuring_seconds == pytest.approx(sum(each.seconds for each in taken))


def test_a_density_found_for_a_cost_is_the_probes_too():
    ladder = [Rung(cost=0.3, by="flops", keep=3), Rung(0.9, keep=2), Rung(1)]
    result = study(ladder=ladder).run(3)
    measured = result.measured[0]
    assert measured.density not in (0.9, 1)
    assert {p.width_ratio for p in result.history.probes if not p.rung} == {measured.width_ratio}


def test_a_ladder_of_the_full_network_alone_has_none():
    result = study(ladder=[Rung(1)]).run(3)
    assert (result.history.probes, result.openings[0].exponents) == ([], {})


def test_a_check_has_its_own():
    check = study(transfer=Unlearned()).check(4)
    assert check.result.cost.probe_runs == 9
    assert [rung.runs for rung in check.result.cost.rungs] == [4, 4]


def test_time_that_is_up_while_probing_is_gone_on_with(tmp_path, undisturbed):
    first = study(tmp_path / "study.db").run(8, timeout=1e-9)
    assert first.interrupted
    assert not first.records
    assert outcomes(study(tmp_path / "study.db").run(8)) == undisturbed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": {"lr": 5.0}}, "probe 0: 'lr'"),
        ({"loss": -1e9}, "record of probe 0 whose loss -1000000000.0 does not go"),
    ],
)
def test_a_store_that_someone_changed_is_refused(tmp_path, changes, words):
    study(tmp_path / "study.db").run(2)
    with study(tmp_path / "changed.db")._setup.open_store() as store:
        for kind, body in read_study(tmp_path / "study.db")[1]:
            if kind == "probes" and "config" in changes:
                body["probes"] = [{**probe, **changes} for probe in body["probes"]]
            elif body.get("kind") == "probe":
                body.update(changes)
            store.append(kind, body)
    with pytest.raises(StoreError, match=words):
        study(tmp_path / "changed.db").run(2)


class Planning(Transfer):
    def __init__(self, planned):
        self._planned = planned

    def probes(self, space, ladder, *, rng):
        return self._planned

    def exponents(self, space, history):
        return {}


@pytest.mark.parametrize(
    ("planned", "error", "words"),
    [
        ([Probe({"lr": 5.0}, 0)], ConfigError, "Planning: probe 0: 'lr'"),
        ([Probe({"lr": 0.1}, 3)], ArgumentError, "rung of probe 0 must be below 3, got 3"),
        ([Probe({"lr": 0.1}, -1)], ArgumentError, "rung of probe 0 must be a whole number"),
        ([Probe({"lr": 0.1}, 0, {"rate": 1.0})], ArgumentError, "exponents of Planning.*'rate'"),
        ([Probe({"lr": 0.1}, 0, {"lr": "x"})], ArgumentError, "exponent of 'lr' must be a finite"),
        ([{"lr": 0.1}], TypeError, "Planning: probes must be a sequence of Probe"),
        (None, TypeError, "Planning: probes must be a sequence of Probe, got None"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_any_training(planned, error, words):
    begun = []
    hpo = study(train=lambda network, config: begun.append(config), transfer=Planning(planned))
    with pytest.raises(error, match=words):
        hpo.run(2)
    with pytest.raises(error, match=words):
        hpo.ask()
    assert begun == []

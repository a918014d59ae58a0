"""What holds for every store alike."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo._store import MemoryStore, SQLiteStore, Store, open_store
from proxyhpo.errors import ArgumentError, StoreError

NUMBERS = st.integers() | st.floats(allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
BODIES = st.dictionaries(st.text(), JSON, max_size=4).filter(lambda body: set(body) != {"$float"})


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    with open_store(None if request.param == "memory" else tmp_path / "study.db", {}) as store:
        yield store


def test_where_a_store_is_kept(tmp_path):
    with open_store(None, {}) as memory, open_store(str(tmp_path / "study.db"), {}) as file:
        assert type(memory) is MemoryStore
        assert type(file) is SQLiteStore
        assert isinstance(memory, Store)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(st.sampled_from(["trial", "record"]), BODIES), max_size=5))
def test_events_read_back_equal_those_written(store, events):
    before = list(store.events())
    for kind, body in events:
        store.append(kind, body)
    assert list(store.events()) == before + events


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.floats() | st.integers())
def test_every_number_keeps_its_type_and_value(store, number):
    store.append("record", {"value": number})
    (_, body) = list(store.events())[-1]
    assert type(body["value"]) is type(number)
    assert body["value"] == number or math.isnan(body["value"]) == math.isnan(number) is True


def test_records_and_openings_are_restored(store):
    record = Record(
        0, 1, 0, {"lr": 0.1}, {"lr": 0.2}, "finished", 0.5, -0.5, (Report(0.1), Report(math.inf))
    )
    measured = Measurement(
        rung=1,
        density=0.5,
        width_ratio=0.5,
        parameters=10,
        flops=None,
        step_seconds=0.01,
        skipped=(("head", "the output"),),
    )
    opening = Opening(1, {"lr": -0.5})
    store.append("record", record.to_json())
    store.append("measured", measured.to_json())
    store.append("opening", opening.to_json())
    (_, first), (_, second), (_, third) = store.events()
    assert Record.from_json(first) == record
    assert Measurement.from_json(second) == measured
    assert Opening.from_json(third) == opening


def test_later_changes_of_a_body_do_not_reach_the_store(store):
    body = {"config": {"lr": 0.1}}
    store.append("trial", body)
    body["config"]["lr"] = 7
    next(store.events())[1]["config"]["lr"] = 8
    assert list(store.events()) == [("trial", {"config": {"lr": 0.1}})]


def test_what_json_lacks_is_refused_and_nothing_is_written(store):
    with pytest.raises(ArgumentError, match=r"config\.units\[1\] is a Linear, not JSON data"):
        store.append("trial", {"config": {"units": [1, torch.nn.Linear(1, 1)]}})
    with pytest.raises(ArgumentError, match="config has the key 3, which is not text"):
        store.append("trial", {"config": {3: 4}})
    assert list(store.events()) == []


def test_weights_are_a_copy_of_their_own(store):
    state = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3)}
    store.save_weights("trial-7-rung-1", state)
    state["weight"].zero_()
    loaded = store.weights_reader()("trial-7-rung-1")
    assert torch.equal(loaded["weight"], torch.arange(6.0).reshape(2, 3))
    assert loaded["steps"].item() == 3
    loaded["weight"].zero_()
    assert store.weights_reader()("trial-7-rung-1")["weight"].sum() == 15


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8, torch.complex64, torch.bool])
def test_weights_keep_their_type(store, dtype):
    store.save_weights("w", {"w": torch.ones(3, dtype=dtype)})
    assert store.weights_reader()("w")["w"].dtype == dtype


def test_weights_of_a_network_go_back_into_it(store):
    network, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    store.save_weights("best", dict(network.named_parameters()))
    other.load_state_dict(store.weights_reader()("best"))
    assert torch.equal(network.weight, other.weight)


def test_weights_are_replaced_and_dropped(store):
    store.save_weights("best", {"w": torch.zeros(1)})
    store.save_weights("best", {"w": torch.ones(1)})
    assert store.weights_reader()("best")["w"].item() == 1
    assert store.weights() == ["best"]
    store.drop_weights("best")
    assert store.weights() == []
    store.drop_weights("best")
    with pytest.raises(StoreError, match="best"):
        store.weights_reader()("best")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", ".", "-x", "a\n", "x" * 101, "é", 3])
def test_names_that_no_file_should_have_are_refused(store, name):
    load, save = store.weights_reader(), lambda name: store.save_weights(name, {})
    for use in (load, save, store.drop_weights):
        with pytest.raises(ArgumentError, match="the name of weights must have"):
            use(name)


def test_weights_must_be_tensors(store):
    with pytest.raises(ArgumentError, match="names to tensors, got list at 'w'"):
        store.save_weights("best", {"w": [1.0]})
    with pytest.raises(StoreError):
        store.weights_reader()("best")


def test_closing_twice_does_nothing(store):
    store.close()
    store.close()

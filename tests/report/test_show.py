import pytest

from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Record
from proxyhpo._report.show import show_events as show
from proxyhpo.errors import StoreError
from proxyhpo.space import Choice, Float, Space

IDENTITY = {
    "space": Space({"lr": Float(0, 1), "act": Choice(["relu"])}).to_json(),
    "ladder": [
        {"density": 0.25, "cost": None, "budget": 1.0},
        {"density": 1, "cost": None, "budget": 1.0},
    ],
    "direction": "maximize",
    "seed": 3,
    "strategies": {"searcher": {"class": "proxyhpo.searchers.TPESearcher", "settings": {}}},
}


def measured(rung, density):
    return "measured", Measurement(
        rung=rung,
        density=density,
        width_ratio=density,
        parameters=10,
        flops=100,
        step_seconds=density,
        seconds=0.5,
    ).to_json()


def opened(rung):
    return "opening", Opening(rung, {}).to_json()


def trial(number, **config):
    return "trial", {"number": number, "config": config, "source": "searcher", "seconds": 0.25}


def record(number, rung, value=None, **more):
    state = "failed" if value is None else "finished"
    loss = None if value is None else -value
    config = {"lr": 0.1 * number, "act": "relu"}
    fields = {"state": state, "value": value, "loss": loss, "seconds": 2.0} | more
    made = Record(
        trial=number, rung=rung, config=config, trained_config=config, **{"replicate": 0, **fields}
    )
    return "record", made.to_json()


EVENTS = [
    ("source", {"train": "abc"}),
    measured(0, 0.25),
    opened(0),
    *(trial(number, lr=0.1 * number, act="relu") for number in range(6)),
    record(0, 0, 0.5),
    record(1, 0, 0.875),
    record(2, 0, reason="RuntimeError: it broke"),
    record(3, 0, reason="value is nan"),
    record(4, 0, 0.75, state="stopped"),
    measured(1, 1.0),
    opened(1),
    ("promotion", {"trial": 1, "rung": 1}),
    ("promotion", {"trial": 0, "rung": 1}),
    record(1, 1, 0.9, seconds=8.0),
]


def section(title, events=EVENTS, **options):
    """The rows of a section, each as its words."""
    blocks = show(IDENTITY, events, **options).split("\n\n")
    [found] = [block for block in blocks if block.startswith(title)]
    return [line.split() for line in found.splitlines()[1:]]


def test_the_head_says_what_is_searched():
    first, second = show(IDENTITY, EVENTS).splitlines()[:2]
    assert first == "maximize over lr, act"
    assert second == "seed 3, searcher TPESearcher"


def test_progress_counts_trials_by_rung_and_state():
    titles, below, top = section("Progress")
    assert titles == ["entered", "finished", "stopped", "failed", "unfinished"]
    assert below[:2] == ["rung", "0"]
    assert below[-5:] == ["6", "2", "1", "2", "1"]
    assert top[-5:] == ["2", "1", "0", "0", "1"]


def test_leaderboards_have_the_best_first_and_the_stopped_last():
    assert [row[:2] for row in section("Best at rung 0")[1:]] == [
        ["1", "0.875"],
        ["0", "0.5"],
        ["4", "0.75"],
    ]
    assert section("Best at rung 1")[1:] == [
        ["1", "0.9", "finished", "8.0", "lr=0.1,", "act='relu'"]
    ]
    assert len(section("Best at rung 0", top=1)) == 2


@pytest.mark.parametrize("top", [2, 3, 4])
def test_a_mean_is_that_of_all_seeds_however_few_lines_are_shown(top):
    again = [
        record(0, 1, 0.5),
        ("repeats", {"runs": [[1, 1], [0, 1]]}),
        record(1, 1, 0.7, replicate=1),
        record(0, 1, 0.9, replicate=1),
    ]
    titles, *rows = section("Best at rung 1", EVENTS + again, top=top)
    assert titles[:4] == ["trial", "seed", "mean", "value"]
    expected = [["1", "0", "0.8"], ["1", "1", "0.8"], ["0", "0", "0.7"], ["0", "1", "0.7"]]
    assert [row[:3] for row in rows] == expected[:top]


def test_failures_have_their_config_and_reason():
    assert [" ".join(row) for row in section("Failures, last 2 of 2")[1:]] == [
        "2 0 RuntimeError: it broke lr=0.2, act='relu'",
        "3 0 value is nan lr=0.3, act='relu'",
    ]
    [_, last] = section("Failures, last 1 of 2", top=1)
    assert last[0] == "3"


def test_cost_is_given_by_rung():
    lines = [" ".join(row) for row in section("Cost")]
    assert any(
        line.startswith("density 0.25: 5 trainings, 2 failed, 1 stopped, 10.0 s") for line in lines
    )
    assert any(line.startswith("density 1: 1 training, 8.0 s") for line in lines)
    assert any("1.5 s searching, 1.0 s measuring" in line for line in lines)


def test_a_study_that_has_just_started_can_be_shown():
    text = show(IDENTITY, [])
    assert "rung 0 (density 0.25)" in text
    assert "Best" not in text
    assert "Failures" not in text


def test_a_rung_by_cost_shows_the_density_that_was_found():
    identity = IDENTITY | {"ladder": [{"density": None, "cost": 0.125, "budget": 0.5}]}
    assert "rung 0 (cost 0.125, budget 0.5)" in show(identity, [])
    assert "rung 0 (density 0.25, budget 0.5)" in show(identity, EVENTS[:2])


HUGE = 10**400


@pytest.mark.parametrize(
    "event",
    [
        ("trial", {}),
        ("trial", {"config": 3}),
        ("trial", {"config": {}, "number": []}),
        ("trial", {"config": {}, "number": 0, "seconds": "x"}),
        ("promotion", {"trial": 0, "rung": HUGE}),
        ("promotion", {"trial": 0, "rung": "0"}),
        ("opening", {"rung": 0}),
        ("measured", measured(0, 0.25)[1] | {"density": "x"}),
        ("opening", opened(0)[1] | {"more": 1}),
        ("record", {"trial": HUGE}),
        ("record", record(0, 0, 0.5)[1] | {"trial": HUGE}),
        ("record", record(0, 0, 0.5)[1] | {"rung": 7}),
        ("record", record(0, 0, 0.5)[1] | {"value": "x"}),
        ("record", record(0, 0, 0.5)[1] | {"value": HUGE}),
        ("record", record(0, 0, 0.5)[1] | {"seconds": None}),
        ("record", record(0, 0, 0.5)[1] | {"config": [1]}),
    ],
)
def test_events_of_the_wrong_form_are_an_error(event):
    with pytest.raises(StoreError, match=r"the (file|store) contains no valid events of a study"):
        show(IDENTITY, [*EVENTS[:8], event])


@pytest.mark.parametrize("identity", [{}, IDENTITY | {"ladder": 3}, IDENTITY | {"strategies": 1}])
def test_an_identity_of_the_wrong_form_is_an_error(identity):
    with pytest.raises(StoreError, match=r"the (file|store) contains no valid events of a study"):
        show(identity, [])


def test_terminals_get_no_control_characters():
    events = [*EVENTS, record(5, 0, reason="\x1b[2J\x07 gone")]
    text = show(IDENTITY | {"seed": "\x9b31m"}, events)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\N{REPLACEMENT CHARACTER}[2J" in text

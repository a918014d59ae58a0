import json

from torch import nn

from benchmarks.isolated import isolated
from benchmarks.networks.__main__ import arguments_of, main
from benchmarks.networks.catalogue import Entry
from benchmarks.networks.measuring import OURS
from benchmarks.networks.report import counted, exceptions
from benchmarks.networks.strangers import LIBRARIES, strangers
from benchmarks.networks.torch_pruning import _attention, _note_widths

MEMORY = 8 * 2**30


def test_a_measurement_runs_in_a_process_of_its_own_under_limits():
    # Builtins, since a function of this module would make each process import all that it imports.
    assert isolated(dict, [("sum", 3)], seconds=60, memory=MEMORY) == {"sum": 3}
    found = isolated(exec, "raise ValueError('no\\nsuch network')", seconds=60, memory=MEMORY)
    assert found == {"error": "ValueError: no such network"}
    found = isolated(exec, "while True: pass", seconds=1, memory=MEMORY)
    assert found == {"error": "not done after 1 s"}


def entry(name, library="lib"):
    return Entry(name, library, nn.Identity, lambda batch: batch, 0.6)


def row(before, after, loss=1.0):
    return {
        "parameters": [before, after],
        "flops": [None, None],
        "losses": [loss],
        "skipped": [],
        "prune_seconds": 2.0,
    }


ROWS = [
    (entry("good"), row(100, 30) | {"peer": 0.3}),
    (entry("whole"), row(100, 95) | {"peer": 1.0}),
    (entry("collapsed"), row(100, 2) | {"peer": "RuntimeError: sizes"}),
    (entry("diverged", "other"), row(100, 30, float("nan"))),
    (entry("refused", "other"), {"refused": "no\nchannels", "prune_seconds": 4.0}),
    (entry("crashed", "other"), {"error": "ValueError: x"}),
]


def test_what_became_of_each_network_is_counted_for_each_library():
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in counted(ROWS).splitlines()[2:]]
    assert lines == [
        ["lib", "3", "1", "1", "1", "0", "0", "2.0 s", "2.0 s", "1 of 3"],
        ["other", "3", "0", "0", "0", "1", "2", "2.0 s", "4.0 s", ""],
        ["all", "6", "1", "1", "1", "1", "2", "2.0 s", "4.0 s", "1 of 3"],
    ]


def test_every_exception_is_listed_with_its_reason():
    lines = exceptions(ROWS).splitlines()[2:]
    assert lines[-2:] == [
        "| refused | refused | no channels |",
        "| crashed | failed | ValueError: x |",
    ]
    assert [line.split("|")[2].strip() for line in lines[:3]] == [
        "no smaller",
        "too small",
        "failed",
    ]
    assert exceptions(ROWS[:1]) == "Every network has a real proxy."


def test_networks_of_other_libraries_have_unique_names():
    entries = strangers("torchvision")
    names = [entry.name for entry in entries]
    assert "torchvision r3d_18" in names
    assert len(set(names)) == len(names)
    assert {entry.family for entry in entries} == {"torchvision"} <= LIBRARIES.keys()


def test_what_was_measured_is_reported_without_measuring_again(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    of = {"network": "mlp", "density": 0.5, "pruner": OURS}
    found = row(100, 30) | {"flops": [10**9, 10**8], "step_seconds": [0.2, 0.1]}
    path.write_text(json.dumps({"of": of, "found": found}) + "\n")
    main(arguments_of(["--results", str(path), "--report"]))
    assert "| mlp | 0.0001 → 3e-05M (0.30) | 1 → 0.1 G (0.10) |" in capsys.readouterr().out


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.num_heads, self.head_dim = nn.Linear(12, 36), 3, 4


def test_the_peer_is_told_heads_and_its_attention_layers_their_new_widths():
    network = nn.Sequential(Attention(), nn.Linear(12, 2))
    heads = dict(_attention(network))
    assert heads == {network[0].qkv: 3}
    network[0].qkv = nn.Linear(12, 18)
    _note_widths(network, {network[0].qkv: 3})
    assert network[0].head_dim == 2

from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from proxyhpo.channels.cut.mending import apply_edits, candidates, integers, known_edits


def shrunk(module: nn.Module, sizes: dict[str, tuple[int, ...]]) -> nn.Module:
    for name, size in sizes.items():
        owner = module.get_submodule(name.rpartition(".")[0])
        setattr(owner, name.rpartition(".")[2], nn.Parameter(torch.rand(size)))
    return module


# torch's own modules: what they remember follows from their tensors.


@pytest.mark.parametrize(
    ("module", "sizes", "expected"),
    [
        (nn.Linear(8, 6), {"weight": (3, 4)}, {"in_features": 4, "out_features": 3}),
        (
            nn.Bilinear(4, 5, 6),
            {"weight": (3, 2, 4)},
            {"out_features": 3, "in1_features": 2, "in2_features": 4},
        ),
        (
            nn.Conv2d(8, 6, 3),
            {"weight": (3, 4, 3, 3)},
            {"in_channels": 4, "out_channels": 3, "groups": 1},
        ),
        (
            nn.Conv2d(8, 16, 3, groups=8),
            {"weight": (6, 1, 3, 3)},
            {"in_channels": 3, "out_channels": 6, "groups": 3},
        ),
        (
            nn.Conv1d(8, 12, 3, groups=2),
            {"weight": (6, 2, 3)},
            {"in_channels": 4, "out_channels": 6, "groups": 2},
        ),
        (
            nn.ConvTranspose1d(8, 12, 3, groups=2),
            {"weight": (4, 3, 3)},
            {"in_channels": 4, "out_channels": 6, "groups": 2},
        ),
        (
            nn.ConvTranspose1d(8, 8, 3, groups=8),
            {"weight": (3, 1, 3)},
            {"in_channels": 3, "out_channels": 3, "groups": 3},
        ),
        (nn.BatchNorm2d(8), {"weight": (5,)}, {"num_features": 5}),
        (nn.GroupNorm(2, 8), {"weight": (4,)}, {"num_channels": 4, "num_groups": 2}),
        (nn.GroupNorm(8, 8), {"weight": (4,)}, {"num_channels": 4, "num_groups": 4}),
        (nn.LayerNorm(8), {"weight": (4,)}, {"normalized_shape": (4,)}),
        (nn.RMSNorm(8), {"weight": (4,)}, {"normalized_shape": (4,)}),
        (nn.Embedding(5, 8), {"weight": (5, 4)}, {"num_embeddings": 5, "embedding_dim": 4}),
        (nn.PReLU(8), {"weight": (4,)}, {"num_parameters": 4}),
        (
            nn.GRUCell(8, 6),
            {"weight_ih": (9, 4), "weight_hh": (9, 3)},
            {"input_size": 4, "hidden_size": 3},
        ),
        (
            nn.LSTM(8, 6, proj_size=4),
            {"weight_ih_l0": (12, 5), "weight_hr_l0": (2, 3)},
            {"input_size": 5, "hidden_size": 3, "proj_size": 2},
        ),
        (
            nn.MultiheadAttention(8, 2),
            {"out_proj.weight": (4, 4)},
            {"embed_dim": 4, "head_dim": 2, "kdim": 4, "vdim": 4},
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_known_modules(module, sizes, expected):
    with torch.no_grad():
        edits = known_edits(shrunk(module, sizes), lambda name: None)
        apply_edits(module, edits)
    assert {name: getattr(module, name) for name in expected} == expected
    assert known_edits(module, lambda name: None) == []


def test_modules_without_tensors_follow_what_comes_in():
    network = nn.Sequential(
        nn.InstanceNorm2d(8), nn.LayerNorm(8, elementwise_affine=False), nn.InstanceNorm1d(8)
    )
    seen = {"0": (2, 5, 3, 3), "1": (2, 3, 4), "2": (6, 3)}
    apply_edits(network, known_edits(network, seen.get))
    assert network[0].num_features == 5
    assert network[1].normalized_shape == (4,)
    assert network[2].num_features == 6  # not batched
    assert known_edits(network, lambda name: None) == []


def test_parametrized_weights_are_seen_through():
    module = parametrizations.weight_norm(nn.Linear(8, 6))
    shrunk(module, {"parametrizations.weight.original0": (3, 1)})
    shrunk(module, {"parametrizations.weight.original1": (3, 4)})
    apply_edits(module, known_edits(module, lambda name: None))
    assert (module.in_features, module.out_features) == (4, 3)


# Everybody else's.


class Sizes(NamedTuple):
    inner: int
    outer: int


@dataclass(frozen=True)
class Config:
    width: int
    name: str = "c"


class Holder(nn.Module):
    def __init__(self, width, heads=4):
        super().__init__()
        self.width, self.heads, self.shape = width, heads, (width, 4, 4)
        self.sizes, self.table = Sizes(width, 7), {"hidden": [width]}
        self.config, self.more = Config(width), SimpleNamespace(d=width)
        self.flag = True
        self.child = nn.ReLU()


def test_integers_are_found_wherever_they_are_kept():
    found = dict(integers(Holder(32)))
    assert found == {
        ("width",): 32,
        ("heads",): 4,
        ("shape", 0): 32,
        ("shape", 1): 4,
        ("shape", 2): 4,
        ("sizes", 0): 32,
        ("sizes", 1): 7,
        ("table", "hidden", 0): 32,
        ("config", "width"): 32,
        ("more", "d"): 32,
    }


def test_edits_reach_them_all_and_keep_their_types():
    holder = Holder(32)
    paths = [path for path, value in integers(holder) if value == 32]
    apply_edits(holder, [("", path, 16) for path in paths])
    assert holder.shape == (16, 4, 4)
    assert holder.sizes == Sizes(16, 7)
    assert isinstance(holder.sizes, Sizes)
    assert holder.table == {"hidden": [16]}
    assert holder.config == Config(16)
    assert holder.more.d == 16
    assert holder.heads == 4


def test_one_candidate_an_attribute_of_a_type_for_all_modules_and_sizes():
    network = nn.ModuleList([Holder(32), Holder(64), Holder(8)])
    changed = {"": {8: [4]}, "0": {32: [16, 24]}, "1": {64: [32]}, "2": {}}
    found = {c.id: c.edits for c in candidates(network, changed)}
    kind = ("Holder", ("width",), 0, None)
    assert found[kind] == (("0", ("width",), 16), ("1", ("width",), 32))
    assert found["Holder", ("width",), 1, None] == (("0", ("width",), 24), ("1", ("width",), 32))
    assert found["Holder", ("width",), 1, "0"] == (("0", ("width",), 24),)
    assert ("Holder", ("width",), 0, "1") not in found  # nothing to choose there
    assert not any(path == ("heads",) for _, path, *_ in found)


def test_modules_that_only_hold_things_mean_the_sizes_around_them():
    network = nn.ModuleDict({"a": nn.ModuleDict({"config": Holder(32)})})
    [*found] = candidates(network, {"a": {32: [16]}})
    assert {edit[2] for candidate in found for edit in candidate.edits} == {16}
    assert {edit[0] for candidate in found for edit in candidate.edits} == {"a.config"}

"""A proxy computes what the full network computes, where the channels removed were dead.

Shapes cannot tell whether the right slices went. This can: all slices of some classes of channels
are made (nearly) zero, and then taken away; in eval mode the outputs must stay the same.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from proxyhpo._inputs import call, map_tensors
from proxyhpo.channels import Group, find_groups, remove
from proxyhpo.channels.find.forward import outputs_of
from tests.channels.drawn import networks
from tests.channels.member import noise
from tests.channels.zoo import ZOO, Member, every_member

# Not zero itself, since a row of zeros has no norm to divide by; in double precision it is as good.
NOTHING = 1e-30

Selection = list[tuple[Group, list[int]]]


def deadened(network: nn.Module, selection: Selection) -> nn.Module:
    """A copy in which all that is about to be removed is next to zero."""
    network = copy.deepcopy(network)
    tensors = network.state_dict(keep_vars=True) | dict(network.named_buffers())
    with torch.no_grad():
        for group, kept in selection:
            gone = np.setdiff1d(np.arange(group.n), kept)
            for (name, axis), positions in group.positions.items():
                indices = torch.from_numpy(positions[gone].ravel())
                tensor = tensors[name]
                if tensor.is_floating_point():
                    tensor.index_copy_(axis, indices, tensor.index_select(axis, indices) * NOTHING)
    return network


def ready(network: nn.Module, inputs) -> nn.Module:
    """In double precision and eval mode, with running statistics as after some training."""
    network = network.double().train()
    with torch.no_grad():
        call(network, inputs)
    return network.eval()


def double(inputs):
    return map_tensors(lambda x: x.double() if x.is_floating_point() else x, inputs)


def check(network: nn.Module, inputs, selection: Selection, whole: str | None = None) -> None:
    """Removes what is not kept, once it is dead, and compares outputs and sizes."""
    network = deadened(network, selection)
    removed = remove(network, selection, inputs)
    assert all(whole and whole in name for name, _ in removed.skipped), removed.skipped
    with torch.no_grad():
        after, before = (outputs_of(call(each, inputs)) for each in (removed.network, network))
    for index, (found, expected) in enumerate(zip(after, before, strict=True)):
        if index in removed.narrower:  # an output that another one is made of
            assert found.numel() < expected.numel()
        else:
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    old, new = dict(network.named_parameters()), dict(removed.network.named_parameters())
    gone: dict[tuple[str, int], int] = {}
    for group, kept in selection:
        if whole and any(whole in name for name in group.names):
            continue
        for key, positions in group.positions.items():
            gone[key] = gone.get(key, 0) + (group.n - len(kept)) * positions.shape[1]
    for (name, axis), count in gone.items():
        if name in old:
            assert new[name].shape[axis] == old[name].shape[axis] - count, name


@every_member()
def test_removing_dead_channels_changes_nothing(member: Member):
    inputs = double(member.inputs())
    network = ready(member.network(), inputs)
    groups, _ = find_groups(network, inputs)
    free = [
        group
        for group in groups
        if not group.rewired and not any(member.acts_across(network, name) for name in group.names)
    ]
    assert bool(free) == member.dead
    rng = np.random.default_rng(0)
    if free:
        check(network, inputs, [(group, some(group, rng)) for group in free], member.whole)


def some(group: Group, rng: np.random.Generator) -> list[int]:
    """About half of the classes, any of them."""
    count = max(1, group.n // 2)
    return sorted(rng.choice(group.n, count, replace=False).tolist())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(network=networks(), data=st.data())
def test_removing_dead_channels_of_any_network_changes_nothing(network, data):
    inputs = noise(2, 3, 4, 4).double()
    network = ready(network, inputs)
    groups, _ = find_groups(network, inputs)
    assert groups
    selection = []
    for group in (group for group in groups if not group.rewired):
        keep = data.draw(st.sets(st.integers(0, group.n - 1), min_size=1), label=repr(group))
        selection.append((group, sorted(keep)))
    check(network, inputs, selection)


def test_the_check_sees_a_wrong_slice():
    """Removing another class than the dead one must not pass."""
    inputs = noise(4, 16).double()
    network = ready(nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 5)), inputs)
    [group], _ = find_groups(network, inputs)
    dead = deadened(network, [(group, list(range(7)))])
    wrong = remove(dead, [(group, list(range(1, 8)))], inputs).network
    assert not torch.allclose(wrong(inputs), dead(inputs))


def test_what_repeated_shuffles_tie_together_becomes_narrower_by_any_share():
    member = ZOO["shufflenet"]
    network, inputs = member.network(), member.inputs()
    [group] = [group for group in find_groups(network, inputs)[0] if group.rewired]
    for count in (13, 5):
        removed = remove(network, [(group, range(count))], inputs)
        assert not removed.skipped
        for (name, axis), positions in group.positions.items():
            tensor = removed.network.state_dict()[name]
            assert tensor.shape[axis] == count * positions.shape[1], name

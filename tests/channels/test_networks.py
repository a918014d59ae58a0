"""What every proxy must be, over the whole zoo of networks."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
from torch import nn

from proxyhpo._inputs import call
from proxyhpo.channels import Plan, Shrunk, shrink
from proxyhpo.channels.find.forward import outputs_of
from tests.channels.zoo import ZOO, Member, every_member, flops, l1, shapes, train

# At one half every width is exactly half; at one quarter wide layers are rounded to eights.
ROUNDING = {0.5: 1, 0.25: 8}
DENSITIES = pytest.mark.parametrize("density", ROUNDING)


@functools.cache
def full(name: str) -> nn.Module:
    return ZOO[name].network()


@functools.cache
def proxy(name: str, density: float) -> Shrunk:
    """Shared by the tests, which only look at it or copy it."""
    inputs = ZOO[name].inputs()
    return shrink(full(name), inputs, density=density, score=l1, round_to=ROUNDING[density])


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@every_member()
def test_is_really_smaller(member: Member):
    inputs, base = member.inputs(), full(member.name)
    half, quarter = proxy(member.name, 0.5).network, proxy(member.name, 0.25).network
    assert flops(half, inputs) <= member.flops * flops(base, inputs)
    assert size(quarter) < 0.9 * size(half) < 0.9 * size(base)


@DENSITIES
@every_member()
def test_outputs_keep_structure_shape_and_type_in_both_modes(member: Member, density: float):
    inputs = member.inputs()
    base = copy.deepcopy(full(member.name))
    made = proxy(member.name, density)
    small = copy.deepcopy(made.network)
    for mode in (True, False):
        after, before = (call(each.train(mode), inputs) for each in (small, base))
        if not made.narrower:
            assert shapes(after) == shapes(before)
            continue
        pairs = enumerate(zip(outputs_of(after), outputs_of(before), strict=True))
        differing = [index for index, (new, old) in pairs if new.shape != old.shape]
        assert differing == sorted(made.narrower)  # outputs that others are made of


@DENSITIES
@every_member()
def test_learns_and_every_parameter_takes_part(member: Member, density: float):
    inputs = member.inputs()
    small = copy.deepcopy(proxy(member.name, density).network).train()
    before = {name: p.detach().clone() for name, p in small.named_parameters()}
    losses = train(small, inputs, torch.optim.Adam(small.parameters(), lr=3e-3), steps=5)
    assert losses[-1] < losses[0]
    for name, parameter in small.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if not parameter.requires_grad:
            assert torch.equal(parameter, before[name]), name


@functools.cache
def traced_again(name: str) -> tuple[nn.Module, Shrunk, dict[str, Plan], bool]:
    """The same proxy from a trace of its own, of a network whose modules are in mixed modes.

    Returns:
        The network, what became of it, its plan, and whether the random state stayed as it was.
    """
    network, plans = ZOO[name].network(), {}
    for module in list(network.modules())[1::3]:  # modes are mixed where stems are frozen
        module.training = False
    before = torch.get_rng_state()
    options = {"density": 0.5, "score": l1, "round_to": ROUNDING[0.5], "plans": plans}
    made = shrink(network, ZOO[name].inputs(), **options)
    return network, made, plans, torch.equal(torch.get_rng_state(), before)


@every_member()
def test_the_given_network_is_untouched(member: Member):
    network, made, _, keeps_random_state = traced_again(member.name)
    twin, small = member.network(), made.network
    for module in list(twin.modules())[1::3]:
        module.training = False
    modes = [module.training for module in twin.modules()]

    assert keeps_random_state
    assert [module.training for module in network.modules()] == modes
    assert [module.training for module in small.modules()] == modes
    assert [n for n, _ in small.named_parameters()] == [n for n, _ in network.named_parameters()]
    assert all(p.grad is None for p in (*network.parameters(), *small.parameters()))
    old, new = network.state_dict(keep_vars=True), small.state_dict(keep_vars=True)
    assert list(old) == list(new)
    for name, tensor in twin.state_dict().items():
        assert torch.equal(old[name], tensor), name
        assert new[name].requires_grad == old[name].requires_grad, name
        assert new[name].dtype == tensor.dtype, name
    assert not {storage(t) for t in old.values()} & {storage(t) for t in new.values()}


def storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.numel() else id(tensor)


@every_member()
def test_the_same_arguments_give_the_same_proxy_whose_state_is_all_there_is_to_keep(member: Member):
    small, inputs = proxy(member.name, 0.5).network, member.inputs()
    _, again, plans, _ = traced_again(member.name)
    for (name, tensor), other in zip(
        small.state_dict().items(), again.network.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name
    plans = pickle.loads(pickle.dumps(plans))
    options = {"density": 0.5, "score": l1, "round_to": ROUNDING[0.5], "plans": plans}
    other = shrink(member.network(1), inputs, **options).network
    assert len(plans) == 1  # it was not traced again
    other.load_state_dict(small.state_dict())
    torch.testing.assert_close(
        call(other.eval(), inputs), call(copy.deepcopy(small).eval(), inputs)
    )


@every_member()
def test_density_one_is_an_equal_network(member: Member):
    base = full(member.name)
    equal = shrink(base, member.inputs(), density=1.0, score=l1)
    assert not equal.skipped
    for name, tensor in base.state_dict().items():
        assert torch.equal(equal.network.state_dict()[name], tensor), name
    old, new = base.state_dict(), equal.network.state_dict()
    assert not {storage(t) for t in old.values()} & {storage(t) for t in new.values()}


@every_member()
def test_ties_stay_tied(member: Member):
    assert ties(proxy(member.name, 0.5).network) == ties(full(member.name))


def ties(network: nn.Module) -> list[list[str]]:
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return list(names.values())


@every_member(lambda member: member.narrow is not None)
def test_computes_what_its_own_code_computes_at_half_the_width(member: Member):
    small = proxy(member.name, 0.5).network
    narrow = member.narrow()
    narrow.load_state_dict(small.state_dict())
    expected = call(narrow.eval(), member.inputs())
    torch.testing.assert_close(call(copy.deepcopy(small).eval(), member.inputs()), expected)


@every_member()
def test_reports_what_is_not_pruned(member: Member):
    skipped = proxy(member.name, 0.5).skipped
    if member.whole is None:
        assert not skipped
    else:
        assert any(member.whole in name and reason for name, reason in skipped), skipped


@every_member()
def test_contracted_dimensions_exist(member: Member):
    small = proxy(member.name, 0.5)
    parameters = dict(small.network.named_parameters())
    assert small.contracted.keys() == parameters.keys()
    assert any(small.contracted.values())
    for name, dimensions in small.contracted.items():
        assert set(dimensions) <= set(range(parameters[name].ndim)), name


def test_contracted_dimensions_are_the_fan_in():
    expected = {
        "mlp": {"0.weight": (1,), "2.weight": (1,), "4.weight": (1,)},
        "einsum": {"first": (0,), "second": (1,), "head.weight": (1,)},
        "low_rank_adapter": {"down": (0,), "up": (0,), "base.weight": (1,)},
        "cnn": {"0.0.weight": (1, 2, 3), "4.weight": (1,)},
        "gpt": {"blocks.0.attend.qkv.weight": (1,), "embed.weight": (1,)},
    }
    for name, parameters in expected.items():
        contracted = proxy(name, 0.5).contracted
        assert {key: tuple(contracted[key]) for key in parameters} == parameters

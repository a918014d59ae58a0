"""Masked weights stay masked, whatever the training does."""

import copy
import gc
import io

import pytest
import torch
from torch import nn

from proxyhpo._isolation import isolated
from proxyhpo.pruners import _masking as masking
from proxyhpo.pruners._masking import hold_at_zero


class Mixing(torch.optim.Optimizer):
    """Moves each matrix by the polar factor of its gradient, as Muon and Shampoo do in essence."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                step = p.grad
                if p.ndim == 2:
                    u, _, v = torch.linalg.svd(p.grad, full_matrices=False)
                    step = u @ v
                p.sub_(group["lr"] * step)
        return loss


class Foreign:
    """An optimizer that torch knows nothing of, and that writes past autograd."""

    def __init__(self, params):
        self.params = list(params)

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self):
        for p in self.params:
            p.data.add_(0.01)


OPTIMIZERS = {
    "sgd-nesterov": lambda params: torch.optim.SGD(
        params, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
    "adam": lambda params: torch.optim.Adam(params, 0.01, weight_decay=0.1),
    "adam, one by one": lambda params: torch.optim.Adam(params, 0.01, foreach=False),
    "adamw": lambda params: torch.optim.AdamW(params, 0.01, amsgrad=True),
    "adagrad": lambda params: torch.optim.Adagrad(params, 0.01),
    "rmsprop": lambda params: torch.optim.RMSprop(params, 0.01, momentum=0.9, centered=True),
    "lbfgs": lambda params: torch.optim.LBFGS(params, 0.1, line_search_fn="strong_wolfe"),
    "mixing": Mixing,
}
if hasattr(torch.optim, "Muon"):
    OPTIMIZERS["muon"] = lambda params: torch.optim.Muon([p for p in params if p.ndim == 2], 0.1)

INPUTS = torch.linspace(-1, 1, 40).reshape(8, 5).sin()


def masked():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 12), nn.Linear(12, 2))
    hold_at_zero(network, {name: torch.rand(shape(network, name)) < 0.6 for name in NAMES})
    return network


NAMES = ("0.weight", "2.weight")


def shape(network, name):
    return network.get_parameter(name).shape


def away(network):
    buffers = dict(network.named_buffers())
    return {name: buffers[f"{name}_proxyhpo_away"] for name in NAMES}


def holds(network):
    """Whether the masked weights are zero, and most of the others are not."""
    return all(
        bool((network.get_parameter(name)[mask] == 0).all())
        and int(network.get_parameter(name)[~mask].count_nonzero()) > 0
        for name, mask in away(network).items()
    )


def train(network, optimizer, steps=5, after_step=lambda: None):
    def closure():
        optimizer.zero_grad()
        loss = (network(INPUTS) - 1).square().mean()
        loss.backward()
        return loss

    losses = []
    for _ in range(steps):
        if isinstance(optimizer, torch.optim.Optimizer):
            losses.append(float(optimizer.step(closure).detach()))
        else:
            losses.append(float(closure().detach()))
            optimizer.step()
        after_step()
    return losses


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_through_any_optimizer(name):
    network = masked()
    before = network[2].weight.detach().clone()

    def check():
        assert holds(network)

    train(network, OPTIMIZERS[name](network.parameters()), after_step=check)
    assert not torch.equal(before, network[2].weight)


def test_the_same_optimizers_would_fill_an_unmasked_network():
    for name in ("mixing", "adam"):
        network = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 2))
        with torch.no_grad():
            network[0].weight[:, :2] = 0
        train(network, OPTIMIZERS[name](network.parameters()), steps=1)
        assert (network[0].weight[:, :2] != 0).any()


def test_through_an_optimizer_that_torch_does_not_know():
    network = masked()
    seen = []
    network[2].register_forward_hook(lambda *_: seen.append(holds(network)))
    train(network, Foreign(network.parameters()))
    assert seen == [True] * 5
    network(INPUTS)
    assert holds(network)


@pytest.mark.parametrize("name", ["adam", "mixing"])
def test_through_a_deepcopy(name):
    network = copy.deepcopy(copy.deepcopy(masked()))
    train(network, OPTIMIZERS[name](network.parameters()))
    assert holds(network)


def test_the_copy_and_the_original_are_trained_apart():
    network = masked()
    copied = copy.deepcopy(network)
    before = network[0].weight.detach().clone()
    train(copied, OPTIMIZERS["adam"](copied.parameters()))
    assert torch.equal(before, network[0].weight)


@pytest.mark.parametrize("first", ["masked in a training", "masked before"])
def test_after_a_training_that_took_its_global_hooks_away(first, monkeypatch):
    monkeypatch.setattr(masking, "_handle", None)  # as in a new process
    earlier = masked() if first == "masked before" else None
    with isolated():
        network = earlier or masked()
        train(network, OPTIMIZERS["mixing"](network.parameters()))
        assert holds(network)
    for later in (masked(), copy.deepcopy(network), network):
        train(later, OPTIMIZERS["mixing"](later.parameters()))
        assert holds(later)


def test_through_saving_the_module_whole():
    file = io.BytesIO()
    torch.save(masked(), file)
    file.seek(0)
    network = torch.load(file, weights_only=False)
    train(network, OPTIMIZERS["mixing"](network.parameters()))
    assert holds(network)


@pytest.mark.parametrize("assign", [True, False])
def test_through_load_state_dict(assign):
    network = masked()
    dense = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 12), nn.Linear(12, 2))
    network.load_state_dict(dense.state_dict(), assign=assign)
    assert holds(network)
    train(network, OPTIMIZERS["mixing"](network.parameters()))
    assert holds(network)


def test_state_dict_keys_are_the_unmasked_networks():
    dense = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 12), nn.Linear(12, 2))
    assert list(masked().state_dict()) == list(dense.state_dict())
    assert [n for n, _ in masked().named_parameters()] == [n for n, _ in dense.named_parameters()]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_through_a_change_of_type(dtype):
    network = masked().to(dtype)
    for _ in range(2):
        optimizer = OPTIMIZERS["mixing" if dtype == torch.float64 else "adam"](network.parameters())
        network(INPUTS.to(dtype)).sum().backward()
        optimizer.step()
        assert holds(network)


@pytest.mark.gpu
def test_through_a_move_to_another_device():
    network = masked().cuda()
    optimizer = OPTIMIZERS["mixing"](network.parameters())
    network(INPUTS.cuda()).sum().backward()
    optimizer.step()
    assert holds(network)
    assert holds(network.cpu())


def test_a_move_makes_new_masks_and_hooks_follow():
    network = masked().to("meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        for name in NAMES:
            away(network)[name].copy_(torch.rand(shape(network, name)) < 0.5)
    train(network, OPTIMIZERS["mixing"](network.parameters()))
    assert holds(network)


def test_gradients_are_masked_even_where_they_are_nan():
    network = masked()
    (network(INPUTS).sum() * float("nan")).backward()
    assert all(
        bool((network.get_parameter(name).grad[mask] == 0).all())
        for name, mask in away(network).items()
    )


def test_a_submodule_that_is_called_directly_is_masked_too():
    network = masked()
    with torch.no_grad():
        network[2].weight.add_(1)
    network[2](torch.zeros(1, 12))
    assert bool((network[2].weight[away(network)["2.weight"]] == 0).all())


def test_thawed_weights_are_hooked():
    network = masked().requires_grad_(False)
    copied = copy.deepcopy(network)
    copied(INPUTS)
    copied.requires_grad_(True)
    train(copied, OPTIMIZERS["adam"](copied.parameters()))
    assert holds(copied)
    assert bool((copied[0].weight.grad[away(copied)["0.weight"]] == 0).all())


def test_a_forward_twice_before_a_backward():
    network = masked()
    (network(INPUTS) + network(INPUTS * 2)).sum().backward()


def test_hooks_are_set_once():
    network = masked()
    for _ in range(5):
        network(INPUTS)
    assert len(network[0].weight._backward_hooks) == 1


def test_nothing_is_left_of_a_thousand_networks():
    gc.collect()
    before = len(masking._holds)
    for _ in range(1000):
        network = nn.Sequential(nn.Linear(2, 3))
        hold_at_zero(network, {"0.weight": torch.ones(3, 2, dtype=torch.bool)})
    del network
    gc.collect()
    assert len(masking._holds) == before


def test_other_networks_are_not_changed():
    network, other = masked(), nn.Linear(3, 3)
    optimizer = torch.optim.SGD(other.parameters(), 0.1)
    other(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert int(other.weight.count_nonzero()) == 9
    assert holds(network)


def test_kernels_and_recurrent_weights():
    network = nn.ModuleDict({"conv": nn.Conv1d(3, 4, 3), "lstm": nn.LSTM(4, 5, batch_first=True)})
    names = ("conv.weight", "lstm.weight_hh_l0")
    masks = {name: torch.rand(shape(network, name)) < 0.5 for name in names}
    hold_at_zero(network, masks)
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    for _ in range(3):
        x = network["conv"](torch.ones(2, 3, 9)).transpose(1, 2)
        network["lstm"](x)[0].sum().backward()
        optimizer.step()
    assert all(bool((network.get_parameter(n)[mask] == 0).all()) for n, mask in masks.items())

"""What scaled updates are, for each kind of optimizer, step and parameter."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from proxyhpo._networks.fans import FanRatios
from proxyhpo.transfers import LayerwiseTransfer, scaled_updates
from tests.transfers.scaled import (
    FACTORS,
    FANS,
    X,
    Y,
    build,
    by_name,
    hooks,
    loss_of,
    scaled,
    train,
    values,
)


def own_rates(network, lr):
    return [
        {"params": [parameter], "lr": lr * FACTORS[name]}
        for name, parameter in network.named_parameters()
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "foreach": False},
        {"momentum": 0.9, "fused": True},
    ],
    ids=str,
)
def test_of_sgd_it_is_a_learning_rate_for_each_parameter(settings):
    network, _ = scaled(lambda given: torch.optim.SGD(given, lr=0.1, **settings), steps=20)
    expected = build()
    train(expected, torch.optim.SGD(own_rates(expected, 0.1), lr=0.1, **settings), steps=20)
    torch.testing.assert_close(values(network), values(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", [{"foreach": True}, {"foreach": False}, {"fused": True}], ids=str)
@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Adagrad"])
def test_of_adam_too(kind, form):
    def make(given):
        return getattr(torch.optim, kind)(given, lr=0.01, weight_decay=0, **form)

    network, correction = scaled(make, steps=10)
    expected = build()
    optimizer = getattr(torch.optim, kind)(
        own_rates(expected, 0.01), lr=0.01, weight_decay=0, **form
    )
    train(expected, optimizer, steps=10)
    torch.testing.assert_close(values(network), values(expected), rtol=1e-3, atol=1e-4)
    assert correction.optimizers == (kind,)
    assert (correction.smallest, correction.largest) == (0.5, 4.0)


@pytest.mark.parametrize("form", [{"foreach": True}, {"foreach": False}, {"fused": True}], ids=str)
def test_decoupled_decay_is_left_as_it_is_written(form):
    def decayed(make):
        network = build()
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        with scaled_updates(network, FANS, by_name):
            make(network.parameters()).step()
        return values(network) / values(build())

    def make(given):
        return torch.optim.AdamW(given, lr=0.1, weight_decay=0.5, **form)

    torch.testing.assert_close(decayed(make), torch.full((32,), 0.95), rtol=1e-5, atol=1e-6)


def test_decay_and_update_together():
    network, expected = build(), build()
    loss_of(network).backward()
    loss_of(expected).backward()
    with scaled_updates(network, FANS, by_name):
        torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5).step()
    train(expected, torch.optim.AdamW(expected.parameters(), lr=0.1, weight_decay=0), steps=1)
    start = build()
    for name, parameter in network.named_parameters():
        was = start.get_parameter(name)
        update = expected.get_parameter(name) - was
        torch.testing.assert_close(parameter, was * 0.95 + FACTORS[name] * update)


def test_nothing_is_touched_at_density_1():
    def make(given):
        return torch.optim.AdamW(given, lr=0.01)

    network, expected, before = build(), build(), hooks()
    with scaled_updates(network, {}, LayerwiseTransfer().update_rule()) as scaling:
        assert scaling is None
        assert hooks() == before
        train(network, make(network.parameters()))
    assert torch.equal(values(network), values(train(expected, make(expected.parameters()))))


def test_factors_of_one_change_no_bit():
    network, expected = build(), build()
    with scaled_updates(network, FANS, lambda _: 1.0):
        train(network, torch.optim.Adam(network.parameters()))
    assert torch.equal(
        values(network), values(train(expected, torch.optim.Adam(expected.parameters())))
    )


def test_several_optimizers_and_groups():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        first = torch.optim.SGD(network[0].parameters(), lr=0.1)
        second = torch.optim.AdamW(
            [{"params": [network[2].weight], "lr": 0.01}, {"params": [network[2].bias]}], lr=0.1
        )
        loss_of(network).backward()
        first.step()
        second.step()
    assert scaling.correction.optimizers == ("SGD", "AdamW")
    start = build()
    moved = {name: p - start.get_parameter(name) for name, p in network.named_parameters()}
    assert moved["2.weight"].abs().median().item() == pytest.approx(0.04, rel=0.05)  # lr x factor
    assert moved["2.bias"].abs().max().item() == pytest.approx(0.05, rel=0.05)


def test_accumulated_gradients_are_one_step():
    def make(network):
        return torch.optim.SGD(network.parameters(), lr=0.1)

    network, expected = build(), build()
    with scaled_updates(network, FANS, by_name):
        optimizer = make(network)
        for _ in range(4):
            (loss_of(network) / 4).backward()
        optimizer.step()
    with scaled_updates(expected, FANS, by_name):
        train(expected, make(expected), 1)
    torch.testing.assert_close(values(network), values(expected))


def test_what_is_frozen_or_without_a_gradient_stays():
    network = build()
    network[0].weight.requires_grad_(False)
    unused = nn.Parameter(torch.ones(3))
    network.register_parameter("unused", unused)
    with scaled_updates(network, {**FANS, "unused": FanRatios(0.5, 1)}, lambda _: 4.0):
        train(network, torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5))
    assert torch.equal(network[0].weight, build()[0].weight)
    assert torch.equal(unused, torch.ones(3))


def test_parameters_added_later_are_not_scaled():
    def moved(fans):
        network = build()
        with scaled_updates(network, fans, by_name):
            network.append(nn.Linear(2, 2, bias=False))
            network[3].load_state_dict({"weight": torch.eye(2)})
            train(network, torch.optim.SGD(network.parameters(), lr=0.1), 1)
        return network[3].weight - torch.eye(2)

    assert torch.equal(moved(FANS), moved({}))


def test_parametrized_weights_are_known_by_their_originals():
    network = build()
    parametrizations.weight_norm(network[0])
    fans = {name: FanRatios(0.5, 0.5) for name, _ in network.named_parameters()}
    start = copy.deepcopy(network)
    with scaled_updates(network, fans, lambda _: 3.0):
        train(network, torch.optim.SGD(network.parameters(), lr=0.1), 1)
    train(start_plain := copy.deepcopy(start), torch.optim.SGD(start_plain.parameters(), lr=0.1), 1)
    torch.testing.assert_close(
        values(network) - values(start), 3 * (values(start_plain) - values(start))
    )


def test_sparse_gradients_only_move_their_rows():
    torch.manual_seed(0)
    network = nn.Embedding(6, 4, sparse=True)
    before = network.weight.detach().clone()
    with scaled_updates(network, {"weight": FanRatios(None, 0.25)}, lambda _: 4.0):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        network(torch.tensor([1, 3])).sum().backward()
        optimizer.step()
    moved = network.weight - before
    torch.testing.assert_close(moved[[1, 3]], torch.full((2, 4), -0.4))
    assert torch.equal(moved[[0, 2, 4, 5]], torch.zeros(4, 4))


def test_complex_parameters():
    network = nn.ParameterDict({"z": nn.Parameter(torch.tensor([1 + 2j, 3 - 1j]))})
    with scaled_updates(network, {"z": FanRatios(0.5, 1)}, lambda _: 2.0):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        network["z"].abs().pow(2).sum().backward()
        optimizer.step()
    torch.testing.assert_close(network["z"].detach(), torch.tensor([1 + 2j, 3 - 1j]) * (1 - 0.4))


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_the_gradient_scaler_skips_move_nothing(fused):
    network = build()
    with scaled_updates(network, FANS, by_name):
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        scaler.scale(loss_of(network) * float("inf")).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(values(network), values(build()))
        optimizer.zero_grad()
        scaler.scale(loss_of(network)).backward()
        scaler.step(optimizer)
        scaler.update()
    expected = build()
    with scaled_updates(expected, FANS, by_name):
        train(expected, torch.optim.AdamW(expected.parameters(), lr=0.1, weight_decay=0.5), 1)
    torch.testing.assert_close(values(network), values(expected), rtol=1e-4, atol=1e-5)


def test_a_compiled_step_is_scaled_or_causes_a_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of compiling
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        loss_of(network).backward()
        torch.compile(optimizer.step, backend="eager")()
    moved = values(network) - values(build())
    plain = build()
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), 1)
    if scaling.correction.optimizers:
        expected, _ = scaled(lambda given: torch.optim.SGD(given, lr=0.1), steps=1)
        torch.testing.assert_close(moved, values(expected) - values(build()))
    else:
        torch.testing.assert_close(moved, values(plain) - values(build()))
        assert scaling.correction.warnings


def test_a_learning_rate_may_be_a_tensor():
    network, _ = scaled(
        lambda given: torch.optim.AdamW(given, lr=torch.tensor(0.01), weight_decay=0.5)
    )
    expected, _ = scaled(lambda given: torch.optim.AdamW(given, lr=0.01, weight_decay=0.5))
    torch.testing.assert_close(values(network), values(expected))


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["capturable", "fused", "foreach"])
def test_on_the_accelerator(form):
    network = build().to("cuda")
    with scaled_updates(network, FANS, by_name):
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=0.01, weight_decay=0.5, **{form: True}
        )
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(X.cuda()), Y.cuda()).backward()
            optimizer.step()
    expected, _ = scaled(lambda given: torch.optim.AdamW(given, lr=0.01, weight_decay=0.5))
    torch.testing.assert_close(values(network).cpu(), values(expected), rtol=1e-3, atol=1e-4)

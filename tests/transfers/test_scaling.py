"""The mechanism: what scaling the updates of a network does, and to what it does nothing."""

import copy
import gc
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim import optimizer as torch_optimizer

from proxyhpo._networks.fans import FanRatios
from proxyhpo.transfers import LayerwiseTransfer, scaled_updates
from proxyhpo.transfers._scaling import Scaling

FACTORS = {"0.weight": 2.0, "0.bias": 1.0, "2.weight": 4.0, "2.bias": 0.5}
FANS = {name: FanRatios(0.5, 0.5) for name in FACTORS}
X, Y = torch.randn(16, 3, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 2


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def by_name(update):
    return FACTORS.get(update.parameter, 1.0)


def hooks():
    return (
        len(torch_optimizer._global_optimizer_pre_hooks),
        len(torch_optimizer._global_optimizer_post_hooks),
    )


@pytest.fixture(autouse=True)
def _no_hooks_are_left():
    before = hooks()
    yield
    assert hooks() == before


def loss_of(network):
    return nn.functional.cross_entropy(network(X), Y)


def train(network, optimizer, steps=5):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(network).backward()
        optimizer.step()
    return network


def values(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def scaled(make, steps=5, rule=by_name, network=None):
    network = build() if network is None else network
    with scaled_updates(network, FANS, rule) as scaling:
        train(network, make(network.parameters()), steps)
    return network, scaling.correction


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


def test_hooks_are_gone_after_an_exception():
    before = hooks()
    with pytest.raises(ValueError, match="the user's"), scaled_updates(build(), FANS, by_name):
        assert hooks() > before
        raise ValueError("the user's")
    assert hooks() == before


def test_hooks_are_gone_after_a_generator_is_closed():
    def training():
        network = build()
        with scaled_updates(network, FANS, by_name):
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            while True:
                train(network, optimizer, 1)
                yield

    before, running = hooks(), training()
    next(running)
    assert hooks() > before
    running.close()
    assert hooks() == before


def test_hooks_go_with_the_network_at_the_next_turn():
    before, network = hooks(), build()
    Scaling(network, FANS, by_name).start()
    del network
    gc.collect()
    with scaled_updates(build(), FANS, by_name):
        pass
    assert hooks() == before


def test_two_trainings_do_not_see_each_other():
    networks = [build(), build(), build()]
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in networks]
    with scaled_updates(networks[0], FANS, by_name):
        with scaled_updates(networks[1], FANS, lambda _: 3.0):
            for network, optimizer in zip(networks, optimizers, strict=True):
                train(network, optimizer)
        train(networks[1], optimizers[1])
    alone = [
        scaled(lambda given: torch.optim.SGD(given, lr=0.1))[0],
        scaled(lambda given: torch.optim.SGD(given, lr=0.1), rule=lambda _: 3.0)[0],
        build(),
    ]
    train(alone[1], torch.optim.SGD(alone[1].parameters(), lr=0.1))
    train(alone[2], torch.optim.SGD(alone[2].parameters(), lr=0.1))
    for network, expected in zip(networks, alone, strict=True):
        assert torch.equal(values(network), values(expected))


def test_threads_do_not_see_each_other():
    trained, barrier = {}, threading.Barrier(4)

    def work(factor):
        network = copy.deepcopy(template)
        with scaled_updates(network, FANS, lambda _: factor):
            barrier.wait()
            train(network, torch.optim.SGD(network.parameters(), lr=0.1), 30)
            barrier.wait()
        trained[factor] = values(network)

    template = build()
    threads = [threading.Thread(target=work, args=(factor,)) for factor in (0.5, 1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for factor, found in trained.items():
        alone, _ = scaled(lambda given: torch.optim.SGD(given, lr=0.1), 30, lambda _, f=factor: f)
        assert torch.equal(found, values(alone))
    assert len(trained) == 4


def test_the_users_own_step_hooks_keep_working():
    network, seen = build(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    handle = torch_optimizer.register_optimizer_step_post_hook(lambda *_: seen.append("all"))
    with scaled_updates(network, FANS, by_name):
        train(network, optimizer, 1)
    train(network, optimizer, 1)
    handle.remove()
    assert seen == ["before", "after", "all"] * 2


def test_the_users_hooks_after_a_step_see_scaled_weights_and_may_change_them():
    def clamp(*_):
        with torch.no_grad():
            for parameter in network.parameters():
                seen.append(parameter.detach().clone())
                parameter.clamp_(-0.01, 0.01)

    network, seen = build(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    optimizer.register_step_post_hook(clamp)
    with scaled_updates(network, FANS, by_name):
        train(network, optimizer, 1)
        expected, _ = scaled(lambda given: torch.optim.SGD(given, lr=0.1), 1)
        assert torch.equal(torch.cat([each.flatten() for each in seen]), values(expected))
        train(network, optimizer, 3)
    assert values(network).abs().max() <= 0.01
    assert len(optimizer._optimizer_step_post_hooks) == 1  # the user's


def test_schedules_act_on_the_users_learning_rate():
    def rates(scale):
        network, seen = build(), []
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=10)
        with scaled_updates(network, FANS if scale else {}, by_name):
            for _ in range(10):
                train(network, optimizer, 1)
                schedule.step()
                seen.append(optimizer.param_groups[0]["lr"])
        return seen

    assert rates(scale=True) == rates(scale=False)


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


class Lookahead(torch.optim.Optimizer):
    """Zhang et al., arXiv:1907.08610: every k steps the weights go halfway back."""

    def __init__(self, inner, k=2):
        super().__init__(inner.param_groups, {})
        self.inner, self.k, self.count = inner, k, 0
        self.slow = [p.detach().clone() for group in inner.param_groups for p in group["params"]]

    def step(self, closure=None):
        loss = self.inner.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            fast = [p for group in self.inner.param_groups for p in group["params"]]
            for slow, parameter in zip(self.slow, fast, strict=True):
                slow.lerp_(parameter.detach(), 0.5)
                parameter.data.copy_(slow)
        return loss


class SAM(torch.optim.Optimizer):
    """Foret et al., arXiv:2010.01412: the gradient of where the loss is largest nearby."""

    def __init__(self, inner, rho=0.05):
        super().__init__(inner.param_groups, {"rho": rho})
        self.inner, self.rho = inner, rho

    def climb(self):
        for parameter in self.inner.param_groups[0]["params"]:
            self.state[parameter]["from"] = parameter.detach().clone()
            parameter.data.add_(parameter.grad, alpha=self.rho)

    def descend(self):
        for parameter in self.inner.param_groups[0]["params"]:
            parameter.data.copy_(self.state[parameter]["from"])
        self.inner.step()

    def step(self, closure):
        with torch.enable_grad():
            closure()
        self.climb()
        with torch.enable_grad():
            loss = closure()
        self.descend()
        return loss


@pytest.mark.parametrize("wrapper", [Lookahead, SAM])
def test_wrappers_are_scaled_once_where_the_inner_optimizer_steps(wrapper):
    def run(network, groups):
        optimizer = wrapper(torch.optim.SGD(groups, lr=0.1))

        def closure():
            optimizer.zero_grad()
            loss = loss_of(network)
            loss.backward()
            return loss

        for _ in range(6):
            optimizer.step(closure)

    network = build()
    with scaled_updates(network, FANS, LayerwiseTransfer().update_rule()) as scaling:
        run(network, network.parameters())
    expected = build()
    run(expected, [{"params": list(expected.parameters()), "lr": 0.1 * 0.5**0.5 / 0.5}])
    torch.testing.assert_close(values(network), values(expected), rtol=1e-4, atol=1e-5)
    assert scaling.correction.optimizers == ("SGD",)
    assert scaling.correction.warnings == ()


def test_an_optimizer_that_calls_its_base_class_is_scaled_once():
    class Logged(torch.optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # now torch's own step has hooks, too
    network, _ = scaled(lambda given: Logged(given, lr=0.01))
    expected, _ = scaled(lambda given: torch.optim.Adam(given, lr=0.01))
    assert torch.equal(values(network), values(expected))


def test_a_step_that_raised_is_dropped():
    class Fragile(torch.optim.SGD):
        fails = True

        def step(self, closure=None):
            if self.fails:
                raise RuntimeError("not yet")
            return super().step(closure)

    network = build()
    optimizer = Fragile(network.parameters(), lr=0.1)
    with scaled_updates(network, FANS, by_name):
        for _ in range(3):
            with pytest.raises(RuntimeError, match="not yet"):
                train(network, optimizer, 1)
        optimizer.fails = False
        train(network, optimizer)
    expected, _ = scaled(lambda given: torch.optim.SGD(given, lr=0.1))
    assert torch.equal(values(network), values(expected))


def lbfgs(network):
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(network)
        loss.backward()
        return loss

    optimizer.step(closure)


class AdamWScheduleFree(torch.optim.Optimizer):
    """In name only: its weights are not the iterates, so that it is not to be scaled."""

    def __init__(self, given):
        super().__init__(given, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            parameter.sub_(parameter.grad, alpha=0.1)


@pytest.mark.parametrize(
    "run, name",
    [
        (lbfgs, "LBFGS"),
        (lambda network: train(network, AdamWScheduleFree(network.parameters())), "ScheduleFree"),
        (lambda network: train(network, torch.optim.ASGD(network.parameters())), "ASGD"),
    ],
)
def test_unknown_optimizers_are_not_scaled_and_reported(run, name):
    network, expected = build(), build()
    with scaled_updates(network, FANS, LayerwiseTransfer().update_rule()) as scaling:
        run(network)
    run(expected)
    assert torch.equal(values(network), values(expected))
    (warning,) = scaling.correction.warnings
    assert name in warning
    assert 'transfer="power-law"' in warning
    assert scaling.correction.largest is None


def test_a_loop_without_an_optimizer_causes_a_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        loss_of(network).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.sub_(parameter.grad, alpha=0.1)
    (warning,) = scaling.correction.warnings
    assert "no torch.optim optimizer" in warning


def test_training_a_copy_causes_a_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        train(copied := copy.deepcopy(network), torch.optim.SGD(copied.parameters(), lr=0.1), 1)
    (warning,) = scaling.correction.warnings
    assert "not a copy of it" in warning


def test_an_optimizer_of_another_network_is_no_cause_for_a_warning():
    network, other = build(), build()
    with (
        scaled_updates(network, FANS, by_name) as scaling,
        scaled_updates(other, FANS, by_name),
        scaled_updates(build(), FANS, by_name) as idle,
    ):
        train(other, torch.optim.SGD(other.parameters(), lr=0.1), 1)
        assert idle.correction.warnings == scaling.correction.warnings == ()
        train(network, torch.optim.SGD(network.parameters(), lr=0.1), 1)
        third = build()
        train(third, torch.optim.SGD(third.parameters(), lr=0.1), 1)
    assert scaling.correction.warnings == ()


def test_no_training_at_all_causes_no_warning():
    network = build()
    with scaled_updates(network, FANS, by_name) as scaling:
        loss_of(network)
    assert scaling.correction.warnings == ()


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

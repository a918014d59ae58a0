"""Scaling ends with its training, and changes nothing of other trainings or of the user's hooks."""

import copy
import gc
import threading

import pytest
import torch
from torch.optim import optimizer as torch_optimizer

from proxyhpo.transfers import scaled_updates
from proxyhpo.transfers._scaling import Scaling
from tests.transfers.scaled import (
    FANS,
    build,
    by_name,
    hooks,
    scaled,
    train,
    values,
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

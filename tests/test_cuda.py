"""What only a GPU can show; skipped where there is none."""

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo.executors import ProcessExecutor

pytestmark = pytest.mark.gpu


def build():
    return nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.Linear(1024, 2))


def study(train, **options):
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-4, 1, log=True)},
        example_inputs=torch.zeros(32, 64),
        direction="maximize",
        searcher="random",
        progress=False,
        device="cuda",
        proxies=True,
        **options,
    )


def train(network, config):
    network.to("cuda")
    optimizer = torch.optim.AdamW(network.parameters(), lr=config["lr"])
    for _ in range(3):
        loss = network(torch.randn(32, 64, device="cuda")).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield -loss.item()


def test_memory_is_given_back_between_trials():
    held = []
    study(train, callbacks=[lambda record: held.append(torch.cuda.memory_allocated())]).run(8)
    assert max(held[1:]) <= held[0]


def test_out_of_memory_is_a_failed_record_and_the_search_continues():
    calls = []

    def greedy(network, config):
        calls.append(1)
        if len(calls) == 2:
            torch.empty(2**50, device="cuda")
        yield from train(network, config)

    result = study(greedy).run(5)
    [failed] = result.failures
    assert "OutOfMemoryError" in failed.reason
    assert result.best_network()(torch.zeros(1, 64)).shape == (1, 2)


def test_equal_seeds_give_equal_studies_on_the_gpu_too():
    first, second = (study(train).run(4) for _ in range(2))
    assert [r.value for r in first.records] == pytest.approx([r.value for r in second.records])


def test_the_largest_batch_that_does_not_fit_is_refused():
    from proxyhpo.errors import ArgumentError

    hpo = ProxyHPO(
        build,
        train,
        {"lr": Float(1e-4, 1), "batch_size": 2**36},
        example_inputs=torch.zeros(32, 64),
        direction="maximize",
        progress=False,
        device="cuda",
        check_memory=True,
    )
    with pytest.raises(ArgumentError, match="check_memory"):
        hpo.run(1)


def test_the_check_of_memory_holds_what_adam_holds():
    from proxyhpo._proxy import NetworkFactory
    from proxyhpo._proxy.memory import check_memory
    from proxyhpo.pruners import L1StructuredPruner
    from proxyhpo.space import Space

    inputs = torch.zeros(32, 64)
    networks = NetworkFactory(build, L1StructuredPruner(), inputs)
    weights = 4 * sum(weight.numel() for weight in build().parameters())
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    check_memory(networks, Space({"batch_size": 64}), inputs, "cuda")
    assert torch.cuda.max_memory_allocated() - held >= 5 * weights  # with gradients and updates


def test_workers_are_added_while_throughput_grows():
    executor = ProcessExecutor("auto", devices=["cuda:0"])
    result = study(train, executor=executor).run(12)
    assert not result.failures
    assert len(result.leaderboard(0)) == 12

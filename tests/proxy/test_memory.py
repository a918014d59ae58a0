import gc

import pytest
import torch
from torch import Tensor, nn

from proxyhpo._proxy import NetworkFactory
from proxyhpo._proxy.memory import check_memory, largest_batch
from proxyhpo.errors import ArgumentError
from proxyhpo.pruners import L1StructuredPruner
from proxyhpo.space import Choice, Float, Int, Space

SPACE = Space({"lr": Float(1e-4, 1, log=True), "batch_size": Choice([4, 300])})
INPUTS = torch.zeros(8, 37)


def check(network, space=SPACE, inputs=INPUTS, **options):
    """Has it checked; the network is built once, so that tests see what became of it."""
    networks = NetworkFactory(lambda: network, L1StructuredPruner(), inputs)
    check_memory(networks, space, inputs, **options)


def test_a_step_on_the_largest_batch_is_taken_while_an_optimizer_has_its_buffers():
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            x.register_hook(lambda gradient: seen.append(self.held()))
            return super().forward(x)

        def held(self):
            kinds = (Tensor, nn.Parameter)
            return sum(
                1 for each in gc.get_objects() if type(each) in kinds and each.shape == (41, 37)
            )

    network = nn.Sequential(nn.Linear(37, 37), Watched(37, 41))
    sizes = []
    network.register_forward_hook(lambda module, inputs, outputs: sizes.append(len(outputs)))
    before = [weight.detach().clone() for weight in network.parameters()]
    check(network)
    assert sizes == [300]
    assert seen and min(seen) >= 3  # the weights, the means and the squares
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_what_the_cpu_cannot_hold_is_refused():
    space = Space({"batch_size": Int(1, 2**44)})
    with pytest.raises(ArgumentError, match=r"not enough memory on cpu .* largest batch, 17592186"):
        check(nn.Linear(37, 2), space)


class Failing(nn.Linear):
    """Fails on large batches."""

    def __init__(self, error):
        super().__init__(37, 2)
        self.error = error

    def forward(self, x):
        if len(x) > 8:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no more"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_an_error_of_memory_is_refused_with_what_it_says(error):
    with pytest.raises(ArgumentError, match=f"largest batch, 300: {type(error).__name__}: "):
        check(Failing(error))


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), KeyError("mask")])
def test_any_other_error_is_the_networks_own(error):
    with pytest.raises(type(error)) as caught:
        check(Failing(error))
    assert caught.value is error


def test_a_network_whose_weights_are_frozen_can_be_checked():
    check(nn.Linear(37, 2).requires_grad_(False))


def test_build_gets_the_largest_batch_size():
    configs = []

    def build(config):
        configs.append(dict(config))
        return nn.Linear(37, 2)

    networks = NetworkFactory(build, L1StructuredPruner(), INPUTS)
    check_memory(networks, SPACE, INPUTS)
    assert {config["batch_size"] for config in configs} == {300}


@pytest.mark.parametrize(
    ("given", "largest"),
    [(Int(4, 64), 64), (Choice({"small": 8, "large": 16}), 16), (32, 32), (Choice([8.0, 4.0]), 8)],
)
def test_the_largest_batch_of_a_space(given, largest):
    assert largest_batch(Space({"batch_size": given, "lr": Float(0, 1)})) == largest


def test_without_a_number_there_is_nothing_to_try():
    assert largest_batch(Space({"lr": Float(0, 1)})) is None
    with pytest.raises(ArgumentError, match="no hyperparameter `batch_size`"):
        check(nn.Linear(37, 2), Space({"lr": Float(0, 1)}))
    with pytest.raises(ArgumentError, match="values of `batch_size` must be numbers"):
        largest_batch(Space({"batch_size": Choice(["small", "large"])}))

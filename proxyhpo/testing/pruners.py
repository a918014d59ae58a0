"""The contract of every :class:`~proxyhpo.pruners.Pruner`, as tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call
from proxyhpo._seeding import preserved_random_state
from proxyhpo.channels.find.forward import outputs_of
from proxyhpo.pruners import Pruned, Pruner

__all__ = ["PrunerCase", "PrunerContract"]


@dataclass(frozen=True)
class PrunerCase:
    """A network that every pruner makes smaller.

    Args:
        build: makes the network, at a fraction of its width.
        inputs: a batch for the network.
    """

    build: Callable[[float], nn.Module]
    inputs: Inputs

    def network(self, width: float = 1.0) -> nn.Module:
        """The network, the same at every call."""
        with preserved_random_state():
            torch.manual_seed(0)
            return self.build(width)

    def prune(self, pruner: Pruner, *, density: float, seed: int = 0) -> Pruned:
        """Prunes the network."""
        generator = torch.Generator().manual_seed(seed)
        return pruner.prune(self.network(), self.inputs, density=density, generator=generator)

    def outputs(self, network: nn.Module) -> list[Tensor]:
        """The tensors that the network returns."""
        with preserved_random_state():
            return outputs_of(call(network, self.inputs))


def _mlp(width: float) -> nn.Module:
    hidden = round(32 * width)
    return nn.Sequential(
        nn.Linear(6, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.Dropout(0.1),
        nn.Tanh(),
        nn.Linear(hidden, 3),
    )


def _cnn(width: float) -> nn.Module:
    n = round(16 * width)
    return nn.Sequential(
        nn.Conv2d(3, n, 3, padding=1, bias=False),
        nn.BatchNorm2d(n),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(n, 2 * n, 3, padding=1),
        nn.BatchNorm2d(2 * n),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * n * 16, 4),
    )


class _Residual(nn.Module):
    """A stem, a branch that is added to it, and two heads; takes keyword inputs."""

    def __init__(self, width: float) -> None:
        super().__init__()
        n = round(16 * width)
        self.stem = nn.Conv2d(3, n, 3, padding=1)
        self.branch = nn.Sequential(
            nn.Conv2d(n, n, 3, padding=1), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, n, 1)
        )
        self.where = nn.Linear(n, 2)
        self.what = nn.Linear(n, 5)

    def forward(self, *, image: Tensor) -> dict[str, Tensor]:
        x = self.stem(image)
        x = torch.relu(x + self.branch(x)).mean((2, 3))
        return {"where": self.where(x), "what": self.what(x)}


_IMAGES = torch.linspace(-1, 1, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8).sin()

CASES = {
    "mlp": PrunerCase(_mlp, torch.linspace(-1, 1, 48).reshape(8, 6)),
    "cnn": PrunerCase(_cnn, (_IMAGES,)),
    "residual": PrunerCase(_Residual, {"image": _IMAGES}),
}


class PrunerContract:
    """Subclass it as ``TestMyPruner`` and provide the fixture ``pruner``.

    ::

        class TestMyPruner(PrunerContract):
            @pytest.fixture
            def pruner(self):
                return MyPruner()

    A pruner for a special kind of network may also provide a fixture ``case``.
    """

    @pytest.fixture
    def pruner(self) -> Pruner:
        """The pruner to be tested."""
        raise NotImplementedError("provide a fixture `pruner` that returns a Pruner")

    @pytest.fixture(params=CASES.values(), ids=list(CASES))
    def case(self, request: pytest.FixtureRequest) -> PrunerCase:
        """Each network that is tested."""
        assert isinstance(request.param, PrunerCase)
        return request.param

    @pytest.mark.parametrize("density", [0.5, 0.25])
    def test_the_network_becomes_smaller(
        self, pruner: Pruner, case: PrunerCase, density: float
    ) -> None:
        """It has fewer weights, or fewer nonzero ones."""
        full, pruned = case.network(), case.prune(pruner, density=density).network
        assert _size(pruned) < 0.9 * _size(full)

    @pytest.mark.parametrize("training", [True, False])
    def test_the_given_network_is_untouched(
        self, pruner: Pruner, case: PrunerCase, *, training: bool
    ) -> None:
        """Its weights, buffers (running statistics!), mode and gradients do not change."""
        given, equal = (case.network().train(training) for _ in range(2))
        pruner.prune(given, case.inputs, density=0.5, generator=torch.Generator())
        assert _same_state(given, equal)
        assert [m.training for m in given.modules()] == [m.training for m in equal.modules()]
        assert all(p.requires_grad and p.grad is None for p in given.parameters())

    @pytest.mark.parametrize("density", [1.0, 0.5])
    def test_no_storage_is_shared(self, pruner: Pruner, case: PrunerCase, density: float) -> None:
        """Training the proxy must not change the network from which it was made."""
        given = case.network()
        pruned = pruner.prune(
            given, case.inputs, density=density, generator=torch.Generator()
        ).network
        assert not _storages(given) & _storages(pruned)

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("density", [1.0, 0.5, 0.25])
    def test_outputs_keep_their_shapes(
        self, pruner: Pruner, case: PrunerCase, density: float, *, training: bool
    ) -> None:
        """The head is never pruned. Tested in train and in eval mode."""
        full = case.network().train(training)
        pruned = case.prune(pruner, density=density).network.train(training)
        expected = [tuple(output.shape) for output in case.outputs(full)]
        assert [tuple(output.shape) for output in case.outputs(pruned)] == expected

    @pytest.mark.parametrize("training", [True, False])
    def test_the_mode_is_kept(self, pruner: Pruner, case: PrunerCase, *, training: bool) -> None:
        """A network in train mode gives a proxy in train mode."""
        given = case.network().train(training)
        pruned = pruner.prune(given, case.inputs, density=0.5, generator=torch.Generator()).network
        assert all(module.training == training for module in pruned.modules())

    def test_parameters_keep_their_names(self, pruner: Pruner, case: PrunerCase) -> None:
        """Each parameter can be compared with its original."""
        pruned = case.prune(pruner, density=0.5)
        full = dict(case.network().named_parameters())
        names = {name: p.ndim for name, p in pruned.network.named_parameters()}
        assert names.keys() == full.keys()
        assert all(p.ndim == names[name] for name, p in full.items())
        for name, dims in (pruned.contracted or {}).items():
            assert all(0 <= dim < names[name] for dim in dims), f"contracted: {name} {dims}"

    def test_what_was_skipped_is_reported(self, pruner: Pruner, case: PrunerCase) -> None:
        """``skipped`` contains pairs of a name and a reason."""
        for name, reason in case.prune(pruner, density=0.5).skipped:
            assert isinstance(name, str)
            assert isinstance(reason, str)
            assert reason

    def test_a_backward_reaches_every_parameter(self, pruner: Pruner, case: PrunerCase) -> None:
        """Every parameter gets a gradient."""
        network = case.prune(pruner, density=0.5).network
        _loss(case, network).backward()  # type: ignore[no-untyped-call]  # torch's
        unreached = [name for name, p in network.named_parameters() if p.grad is None]
        assert not unreached

    def test_frozen_parameters_stay_frozen(self, pruner: Pruner, case: PrunerCase) -> None:
        """The other parameters stay trainable."""
        given = case.network()
        frozen, *_ = dict(given.named_parameters())
        given.get_parameter(frozen).requires_grad_(False)
        pruned = pruner.prune(given, case.inputs, density=0.5, generator=torch.Generator()).network
        assert [n for n, p in pruned.named_parameters() if not p.requires_grad] == [frozen]

    def test_the_generator_is_the_only_source_of_randomness(
        self, pruner: Pruner, case: PrunerCase
    ) -> None:
        """Equal generators give equal networks; torch's own state is neither used nor changed."""
        torch.manual_seed(1)
        first = case.prune(pruner, density=0.5, seed=7).network
        torch.manual_seed(2)
        before = torch.get_rng_state()
        second = case.prune(pruner, density=0.5, seed=7).network
        assert torch.equal(before, torch.get_rng_state())
        assert _same_state(first, second)

    def test_it_has_no_state(self, pruner: Pruner, case: PrunerCase) -> None:
        """Earlier calls do not affect the result, nor does pickling."""
        travelled = cloudpickle.loads(cloudpickle.dumps(pruner))
        first = case.prune(pruner, density=0.5).network
        case.prune(pruner, density=0.25, seed=3)
        assert _same_state(first, case.prune(pruner, density=0.5).network)
        assert _same_state(first, case.prune(travelled, density=0.5).network)

    def test_density_1_gives_an_equal_network(self, pruner: Pruner, case: PrunerCase) -> None:
        """Its state and its outputs are equal."""
        full, pruned = case.network(), case.prune(pruner, density=1.0).network
        assert _same_state(full, pruned)
        outputs = zip(case.outputs(full.eval()), case.outputs(pruned.eval()), strict=True)
        assert all(torch.equal(a, b) for a, b in outputs)

    def test_it_can_be_copied_saved_and_loaded(self, pruner: Pruner, case: PrunerCase) -> None:
        """A state loads into a proxy that is made again with the same arguments."""
        trained = case.prune(pruner, density=0.5).network
        _train(case, trained, steps=2)
        again = case.prune(pruner, density=0.5).network
        again.load_state_dict(trained.state_dict())
        for other in (again, copy.deepcopy(trained)):
            assert _same_state(trained, other)
            outputs = zip(case.outputs(trained.eval()), case.outputs(other.eval()), strict=True)
            assert all(torch.equal(a, b) for a, b in outputs)

    def test_it_can_be_trained_and_stays_small(self, pruner: Pruner, case: PrunerCase) -> None:
        """The loss falls, and no pruned weight becomes nonzero."""
        network = case.prune(pruner, density=0.5).network
        size = _size(network)
        before, after = _train(case, network, steps=20)
        assert after < before
        assert _size(network) <= size


def _train(case: PrunerCase, network: nn.Module, *, steps: int) -> tuple[float, float]:
    """Trains towards zero; returns the loss before the first and after the last step."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2, momentum=0.9, nesterov=True)
    losses = []
    for _ in range(steps + 1):
        loss = _loss(case, network)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
    return losses[0], losses[-1]


def _loss(case: PrunerCase, network: nn.Module) -> Tensor:
    outputs = case.outputs(network)
    return torch.stack([(output - 1).square().mean() for output in outputs]).sum()


def _size(network: nn.Module) -> int:
    """Number of nonzero weights in matrices, except those that the initialisation sets to zero."""
    return sum(int(p.count_nonzero()) for p in network.parameters() if p.ndim >= 2)


def _storages(network: nn.Module) -> set[int]:
    tensors = (*network.parameters(), *network.buffers())
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}


def _same_state(one: nn.Module, other: nn.Module) -> bool:
    states: list[dict[str, Any]] = [one.state_dict(), other.state_dict()]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name]) for name, value in states[0].items()
    )

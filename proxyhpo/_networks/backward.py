"""Counts the backward passes of a network in a training loop that is not ours."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["BackwardCount"]


class BackwardCount:
    """Counts how often gradients reach a network, until :meth:`stop`.

    A backward pass is what a measured step consists of, together with its forward pass. With
    accumulated gradients there are several of them to a step of the optimizer. They are counted
    where gradients are added to a parameter, so it makes no difference whether the network is
    compiled, wrapped, or called through its submodules. The gradients are not changed.

    The first and the last trainable parameter are watched, and the larger count is used: training
    code may freeze the one (as the first layers of a pretrained network), or replace the other (as
    its head). Copies of the network, in this process or others, are not counted.

    Args:
        network: is not kept alive.

    >>> from torch import ones
    >>> network = nn.Linear(3, 2)
    >>> count = BackwardCount(network)
    >>> for _ in range(4):
    ...     network(ones(1, 3)).sum().backward()
    >>> count.stop()
    >>> network(ones(1, 3)).sum().backward()
    >>> count.passes
    4
    """

    def __init__(self, network: nn.Module) -> None:
        trainable = [p for p in network.parameters() if p.requires_grad and not is_lazy(p)]
        watched = [trainable[0], trainable[-1]] if trainable else []
        self._counts = [0] * len(watched)
        self._handles = [
            parameter.register_post_accumulate_grad_hook(self._counting(index))  # type: ignore[no-untyped-call]  # torch's
            for index, parameter in enumerate(watched)
        ]

    @property
    def passes(self) -> int | None:
        """The number of backward passes so far; None if none was seen."""
        return max(self._counts, default=0) or None

    def stop(self) -> None:
        """Stops counting; no effect if it has been stopped."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _counting(self, index: int) -> Callable[[Tensor], None]:
        counts = self._counts

        def count(_: Tensor) -> None:
            counts[index] += 1

        return count

"""Counts the backward passes of a network in the user's training loop."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["BackwardCount"]


class BackwardCount:
    """Counts how often gradients reach a network, until :meth:`stop`.

    A measured step consists of one forward and one backward pass. With gradient accumulation, one
    step of the optimizer has several backward passes. A pass is counted when a gradient has been
    added to a parameter, so the count is also right if the network is compiled, wrapped, or called
    through its submodules. The gradients are not changed.

    The first and the last trainable parameter are watched, and the larger count is used. Training
    code may freeze the first one, such as a layer of a pretrained network, or replace the last one,
    such as its head. Passes of copies of the network, in this process or others, are not counted.

    Args:
        network: the counter does not keep it alive.

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
        """Stops counting; a second call has no effect."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _counting(self, index: int) -> Callable[[Tensor], None]:
        counts = self._counts

        def count(_: Tensor) -> None:
            counts[index] += 1

        return count

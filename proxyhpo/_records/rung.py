"""A rung of a ladder: the size of the network and the budget with which trials are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proxyhpo._validation import check_fraction, check_whole, suggesting_arguments
from proxyhpo.errors import ArgumentError, unknown_name

__all__ = ["Rung"]


@suggesting_arguments
@dataclass(frozen=True)
class Rung:
    """A density and a budget at which trials are trained, and how many of them are promoted.

    Args:
        density: fraction of its channels (or weights) that each prunable layer keeps, in (0, 1].
            1 is the full network itself.
        cost: instead of a density: the target fraction of the full network's cost.
        budget: fraction of a full training, in (0, 1].
        keep: how many trials are promoted from here to the next rung; not for the last rung.
        by: whether the cost is the measured step time or the FLOPs of a forward pass.

    Raises:
        ArgumentError: for a value outside its range, both or neither of density and cost, or
            ``by`` without a cost.
    """

    density: float | None = None
    budget: float = 1.0
    keep: int | None = None
    cost: float | None = None
    by: Literal["time", "flops"] = "time"

    def __post_init__(self) -> None:
        if (self.density is None) == (self.cost is None):
            raise ArgumentError(
                f"Rung: give either density or cost, got density={self.density!r}, "
                f"cost={self.cost!r}"
            )
        if self.by not in ("time", "flops"):
            raise unknown_name("value of by in a Rung:", self.by, ["time", "flops"])
        if self.by != "time" and self.cost is None:
            raise ArgumentError(f"Rung: by={self.by!r} only applies to a cost; set cost=, too")
        for name in ("density", "budget", "cost"):
            if (number := getattr(self, name)) is not None:
                check_fraction(f"Rung: {name}", number)
        if self.keep is not None:
            object.__setattr__(self, "keep", check_whole("Rung: keep", self.keep, 1))

    @property
    def is_base(self) -> bool:
        """Whether this rung trains the full network for its full budget."""
        return self.density == 1 and self.budget == 1

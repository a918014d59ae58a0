"""A check before a search: whether the proxy ranks configs well, and whether it is cheaper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from proxyhpo._engine.prediction import fixed_share, outside_steps
from proxyhpo._proxy.choosing import WORTHWHILE
from proxyhpo._records.rung import Rung
from proxyhpo._report.cost import Cost
from proxyhpo._report.fidelity import Fidelity, Verdict
from proxyhpo._report.result import Result
from proxyhpo.errors import counted

__all__ = ["Check", "check_of", "ladder_to_check"]

_LARGEST = 0.5  # highest density of a proxy that is worth trying
_NOTABLE = 0.25  # smallest share of a training that is mentioned


@dataclass(frozen=True, repr=False)
class Check:
    """A comparison of the same random configs, trained on a proxy and on the full network.

    Args:
        fidelity: of the proxy, with the verdict, and with its ceiling if there was a second seed.
        cost: of the check itself.
        yield_ratio: time between two reports on the proxy, as a fraction of that on the full
            network; the median over the configs. None if no config succeeded on both.
        step_ratio: the same for a forward and backward pass of the example batch.
        density: the recommended density.
        advice: what to do, one sentence per entry.
        result: of the check, with every record.
    """

    fidelity: Fidelity
    cost: Cost
    yield_ratio: float | None
    step_ratio: float
    density: float
    advice: Sequence[str]
    result: Result

    @property
    def verdict(self) -> Verdict:
        """The verdict of :attr:`fidelity`."""
        return self.fidelity.verdict

    @property
    def fixed_share(self) -> float | None:
        """Share of a training of the full network that is spent outside the network's steps.

        Estimated by comparing ``yield_ratio`` with ``step_ratio``; None if that is not possible.
        """
        if self.yield_ratio is None:
            return None
        return fixed_share(self.yield_ratio, self.step_ratio)

    def __repr__(self) -> str:
        """A summary of a few lines."""
        base = self.cost.base_trainings
        of_base = "" if base is None else f", {base:.1f} base trainings"
        lines = [
            *str(self.fidelity).splitlines(),
            f"this check took {self.cost.seconds:.1f} s{of_base}",
            f"a step of the proxy takes {self.step_ratio:.0%} of the full network's time",
        ]
        if self.yield_ratio is not None:
            lines.append(
                f"the time between two reports is {self.yield_ratio:.0%} of the full network's"
            )
        return "\n".join([*lines, *(f"-> {sentence}" for sentence in self.advice)])


def ladder_to_check(ladder: Sequence[Rung], n: int, *, second_seed: bool) -> list[Rung]:
    """The first rung, and the full network once or twice. All ``n`` configs are trained on each."""
    first = ladder[0]
    lower = replace(first, keep=n)
    return [lower, *([Rung(1, keep=n)] if second_seed else []), Rung(1)]


def check_of(result: Result, step_seconds: Callable[[float], float | None]) -> Check:
    """Evaluates a study in which every config was promoted.

    Args:
        result: of a ladder made by :func:`ladder_to_check`.
        step_seconds: density → time of a step, or None if no such proxy can be made.
    """
    fidelity = result.fidelity[0]
    below, top = result.measured[0], result.measured[len(result.ladder) - 1]
    step_ratio = below.step_seconds / top.step_seconds
    yield_ratio = _yield_ratio(result, fidelity)
    fixed = 0.0 if yield_ratio is None else fixed_share(yield_ratio, step_ratio) or 0.0

    def cost(density: float) -> float | None:
        seconds = step_seconds(density)
        return None if seconds is None else fixed + (1 - fixed) * seconds / top.step_seconds

    density = _advised(fidelity.verdict, below.density, fixed + (1 - fixed) * step_ratio, cost)
    return Check(
        fidelity=fidelity,
        cost=result.cost,
        yield_ratio=yield_ratio,
        step_ratio=step_ratio,
        density=density,
        advice=[
            *_on_verdict(
                fidelity,
                below.density,
                density,
                interrupted=result.interrupted,
                is_exhausted=len(result.history.trials) >= result.space.size,
            ),
            *(_on_time(yield_ratio, step_ratio, fixed) if below.density < 1 else ()),
        ],
        result=result,
    )


def _yield_ratio(result: Result, fidelity: Fidelity) -> float | None:
    seconds: dict[tuple[int, int], float] = {
        (record.rung, record.trial): record.training_seconds / len(record.reports)
        for record in result.records
        if record.state == "finished"
    }
    ratios = [
        below / seconds[fidelity.upper, trial]
        for (rung, trial), below in seconds.items()
        if rung == 0 and seconds.get((fidelity.upper, trial))
    ]
    return median(ratios) if ratios else None


def _advised(
    verdict: Verdict, density: float, cost: float, cost_at: Callable[[float], float | None]
) -> float:
    """Twice the density for a bad proxy; otherwise the largest density of about the same cost."""
    if verdict == "do not use this proxy":
        return min(1.0, 2 * density) if density < _LARGEST else 1.0
    while 2 * density <= _LARGEST:
        dearer = cost_at(2 * density)
        if dearer is None or dearer > WORTHWHILE * cost:
            break
        density *= 2
    return density


def _on_verdict(
    fidelity: Fidelity, density: float, advised: float, *, interrupted: bool, is_exhausted: bool
) -> list[str]:
    if interrupted and fidelity.verdict == "too little evidence":
        return [f"call hpo.check again: only {fidelity.n} configs were trained on both networks"]
    if fidelity.verdict == "too little evidence":
        few = f"{counted(fidelity.n, 'config')} trained on both networks: too few for a verdict"
        return [f"{few}, but the space has no more" if is_exhausted else f"{few}; check more"]
    if fidelity.verdict == "do not use this proxy":
        if advised < 1:
            return [f"try density {advised:g}"]
        whole = "search on the full network, proxies=False"
        shorter = "or with short trainings first, ladder=[Rung(1, budget=0.25, keep=5), Rung(1)]"
        return [whole if density == 1 else f"{whole}, {shorter}"]
    found = []
    if advised > density:
        found.append(
            f"use density {advised:g}: it costs hardly more and is closer to the full network"
        )
    if fidelity.verdict == "trust with re-ranking":
        found.append("train a few finalists on the full network and choose among them")
    return found


def _on_time(yield_ratio: float | None, step_ratio: float, fixed: float) -> list[str]:
    if yield_ratio is None:
        return []
    if yield_ratio * WORTHWHILE > 1:
        reason = "a step of the proxy is hardly faster"
        if step_ratio * WORTHWHILE <= 1:
            reason = f"{outside_steps(fixed)}; reduce that first"
        return [f"pruning will not help: {reason}"]
    if fixed >= _NOTABLE:
        return [f"{outside_steps(fixed)}; proxies cannot shorten that part"]
    return []

"""The quality of each search over time, and when it is as good as another one's final result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.pages import blank_figure
from benchmarks.rows import Row

__all__ = ["Search", "draw", "reached", "table"]

Floats = npt.NDArray[np.float64]

OURS, REFERENCE = "proxyhpo", "Optuna TPE"
HEAD = (
    "search", "full trainings", "seconds", "share of the time", "test accuracy", "difference",
    "accuracy at proxyhpo's end", "as good after", "reached",
)  # fmt: skip
_RESAMPLES = 2000


@dataclass(frozen=True)
class Search:
    """A search with one seed.

    Args:
        moments: seconds after which it would have returned another config, ascending.
        qualities: test accuracy of each of these configs.
        seconds: that it took in all.
        full_trainings: of the full network, to the end.
    """

    moments: Floats
    qualities: Floats
    seconds: float
    full_trainings: int

    @classmethod
    def from_row(cls, row: Row) -> Search:
        """Reads a row of the file."""
        incumbents = row["incumbents"]
        return cls(
            np.array([each["seconds"] for each in incumbents], float),
            np.array([each["test"] for each in incumbents], float),
            row["seconds"],
            row["full_trainings"],
        )

    def at(self, moments: Floats) -> Floats:
        """Quality of the config it would have returned at each time; 0 before there is any."""
        found = np.concatenate([[0.0], self.qualities])
        return found[np.searchsorted(self.moments, moments, side="right")]

    @property
    def end(self) -> float:
        """Quality of the returned config."""
        return float(self.at(np.array(np.inf)))


def reached(searches: Sequence[Search], targets: Floats, drawn: npt.NDArray[np.int64]) -> Floats:
    """Seconds until the mean quality over the seeds first reaches a target.

    Args:
        searches: one a seed.
        targets: of shape (resamples,).
        drawn: which seeds each resample has, of shape (resamples, seeds).

    Returns:
        Of shape (resamples,), infinite where it never does.
    """
    moments = np.unique(np.concatenate([each.moments for each in searches]))
    by_seed = np.stack([each.at(moments) for each in searches])
    there = by_seed[drawn].mean(1) >= targets[:, None] - 1e-12
    return np.where(there.any(1), moments[there.argmax(1)], np.inf)


def table(found: Mapping[str, Sequence[Search]]) -> Iterator[str]:
    """As markdown, where the reference is among the searches; intervals are over the seeds."""
    n = len(found.get(REFERENCE, ()))
    if not n:
        yield f"no seed has been finished by all of {', '.join(found)} ({REFERENCE} among them)"
        return
    yield f"{n} seeds; intervals are bootstrapped over them. Times are shares of {REFERENCE}'s, and"
    yield "the difference is to its accuracy. *As good after* is when the mean test accuracy over"
    yield "the seeds first comes to what it ends with; *reached*: in how many resamples it does."
    yield ""
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    drawn = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    drawn = np.concatenate([np.arange(n)[None], drawn])  # the first one is what was observed
    for name, searches in found.items():
        yield f"| {' | '.join([name, *_cells(searches, found, drawn)])} |"


def _cells(
    searches: Sequence[Search], found: Mapping[str, Sequence[Search]], drawn: npt.NDArray[np.int64]
) -> Iterator[str]:
    reference = found[REFERENCE]
    seconds, whole = (np.array([s.seconds for s in each]) for each in (searches, reference))
    ends, others = (np.array([s.end for s in each]) for each in (searches, reference))
    yield f"{np.mean([each.full_trainings for each in searches]):.1f}"
    yield f"{seconds.mean():.0f}"
    yield _interval(_ratio(seconds, whole, drawn), "{:.2f}")
    yield _interval(100 * ends[drawn].mean(1), "{:.2f}")
    yield _interval(100 * (ends - others)[drawn].mean(1), "{:+.2f}")
    if OURS in found:
        own_ends = [each.seconds for each in found[OURS]]
        then = [each.at(np.array(end)) for each, end in zip(searches, own_ends, strict=True)]
        yield _interval(100 * np.array(then)[drawn].mean(1), "{:.2f}")
    else:
        yield ""
    after = reached(searches, others[drawn].mean(1), drawn) / whole[drawn].mean(1)
    yield _interval(after, "{:.2f}")
    yield f"{np.isfinite(after[1:]).mean():.0%}"


def _ratio(part: Floats, whole: Floats, drawn: npt.NDArray[np.int64]) -> Floats:
    ratio: Floats = part[drawn].mean(1) / whole[drawn].mean(1)
    return ratio


def _interval(values: Floats, form: str) -> str:
    """What was observed, and 95 % of the resamples; of those that are infinite, "never"."""
    low, high = np.quantile(values[1:], [0.025, 0.975], method="inverted_cdf")
    shown = [form.format(v) if np.isfinite(v) else "never" for v in (values[0], low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def draw(found: Mapping[str, Sequence[Search]], path: Path) -> None:
    """Mean test accuracy of what each search would have returned, against time, as an image.

    A line begins where the last seed's search has trained its first full network.
    """
    figure = blank_figure(8, 5)
    whole = np.mean([each.seconds for each in found[REFERENCE]])
    axis = figure.subplots()
    for name, searches in found.items():
        moments = np.unique(np.concatenate([each.moments for each in searches]))
        moments = moments[moments >= max(each.moments[0] for each in searches)]
        mean = np.mean([each.at(moments) for each in searches], axis=0)
        end = np.mean([each.seconds for each in searches])
        x = np.concatenate([moments, [max(end, moments[-1])]]) / whole
        y = 100 * np.concatenate([mean, mean[-1:]])
        axis.step(x, y, where="post", label=name, linewidth=3 if name == OURS else 1)
    axis.set(xlabel=f"time, of {REFERENCE}'s", ylabel="test accuracy, %", ylim=(30, None))
    axis.legend()
    figure.savefig(path, dpi=110)

"""How long trainings take: predicted from step times at first, later from ended trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung

__all__ = [
    "FEW",
    "MOST_COST",
    "Timing",
    "fixed_share",
    "n_reports",
    "outside_steps",
    "share_of_training",
    "step_ratio",
]

MOST_COST = 2 / 3
"""Maximum cost of a training on the proxy, as a fraction of a full training.

Above it, proxies save less than a third.
"""

FEW = 3
"""Trainings at rung 0 after which proxies are judged by the share of time that steps take."""

_ABOVE_FLOPS = 2.0
"""The measured ratio of step times is limited to this many times the ratio of FLOPs.

A larger network uses the hardware better, not worse. So a larger ratio comes from a busy machine.
"""


@dataclass(frozen=True)
class Timing:
    """The durations of a study's trainings, measured or predicted.

    A training above rung 0 takes the training time of rung 0 times a ratio. The time for building
    and pruning a network stays the same. Once trials have been trained on both rungs, the ratio is
    measured on their trainings. Before that, it is predicted by Amdahl's law: only the part of a
    training that is spent in the network's steps takes longer on a larger network. The duration of
    this part is the number of backward passes times the measured time of a step.

    Steps are measured with a batch of ``example_inputs``, without the optimizer. The prediction
    therefore assumes that trainings use batches of that size. With any size, it is at most the
    ratio of step times, because the steps of a training take no longer than the whole training. If
    passes were not counted, for example because trainings run in their own processes, the ratio of
    step times is used. It is then only an upper bound; see :meth:`is_known`.

    Args:
        ladder: the rungs.
        history: of the study.
    """

    ladder: Sequence[Rung]
    history: History

    @cached_property
    def _by_rung(self) -> list[list[Record]]:
        found: list[list[Record]] = [[] for _ in self.ladder]
        for record in self.history.records:
            if record.seconds > 0:
                found[record.rung].append(record)
        return found

    @cached_property
    def _whole(self) -> list[Record]:
        """Trainings at rung 0 that were not stopped, like most trainings of promoted trials."""
        timed = self._by_rung[0]
        return [record for record in timed if record.state != "stopped"] or timed

    @property
    def trial(self) -> float | None:
        """Seconds of one more trial at rung 0; None if unknown."""
        return fmean(r.seconds for r in self._by_rung[0]) if self._by_rung[0] else None

    @property
    def base(self) -> float | None:
        """Seconds of one full training of the full network; None if unknown."""
        return self.training(len(self.ladder) - 1)

    @property
    def is_measured(self) -> bool:
        """Whether a training of the full network has finished, so that nothing is predicted."""
        return any(record.state == "finished" for record in self._by_rung[-1])

    def training(self, rung: int) -> float | None:
        """Seconds of one complete training at a rung, including building and pruning.

        This is the mean of the trainings that finished there, or a prediction if there are none.
        """
        if finished := [r.seconds for r in self._by_rung[rung] if r.state == "finished"]:
            return fmean(finished)
        ratio = self.ratio(rung)
        if not self._whole or ratio is None:
            return None
        making = fmean(record.overhead_seconds for record in self._whole)
        return making + ratio * fmean(record.training_seconds for record in self._whole)

    def ratio(self, rung: int) -> float | None:
        """How many times longer a training takes at a rung than at rung 0; None if unknown.

        It is an upper bound unless :meth:`is_known`.
        """
        observed = self.observed_ratio(rung)
        return self._predicted_ratio(rung) if observed is None else observed

    def _predicted_ratio(self, rung: int) -> float | None:
        share = self.share_of_steps
        return step_ratio(self.history, self.ladder, rung, 1.0 if share is None else share)

    def is_known(self, rung: int) -> bool:
        """Whether the time of a training at a rung is measured, or predicted from its steps."""
        if rung == 0 or any(record.state == "finished" for record in self._by_rung[rung]):
            return True
        # A ratio that does not depend on the share is known without it: that of two budgets.
        history, ladder = self.history, self.ladder
        bounds = step_ratio(history, ladder, rung, 0.0), step_ratio(history, ladder, rung, 1.0)
        return self.share_of_steps is not None or bounds[0] == bounds[1]

    @property
    def share_of_steps(self) -> float | None:
        """Fraction of a training at rung 0 that is spent in steps; None if they were not counted.

        The median over trainings, because the first one of a process may load libraries or compile.
        """
        shares = [
            record.backward_passes * self.history.measured[0].step_seconds / record.training_seconds
            for record in self._by_rung[0]
            if record.backward_passes and record.training_seconds and 0 in self.history.measured
        ]
        return min(1.0, median(shares)) if shares else None

    def observed_ratio(self, rung: int) -> float | None:
        """The ratio, measured on trials that were trained at both rungs; None if there are none."""
        pairs = self._pairs(rung)
        seconds = sum(below for _, below in pairs)
        return sum(above for above, _ in pairs) / seconds if seconds else None

    def _pairs(self, rung: int) -> list[tuple[float, float]]:
        """The seconds of the trainings at a rung and at rung 0, for each trial trained on both."""
        whole = n_reports(self._by_rung[0])
        above = {
            record.trial: record.training_seconds
            for record in self._by_rung[rung]
            if record.state == "finished" and not record.replicate
        }
        below = {
            record.trial: record.training_seconds / share_of_training(record, whole)
            for record in self._by_rung[0]
            if record.trial in above
        }
        return [(above[trial], seconds) for trial, seconds in below.items()]

    def trial_share(self) -> float | None:
        """Time of a trial at rung 0, as a fraction of a full training of the full network.

        None until trials have been trained on both.
        """
        if self.observed_ratio(len(self.ladder) - 1) is None:
            return None
        return self._trial_share()

    def predicted_trial_share(self) -> float | None:
        """The same, predicted; None until passes were counted in a few trials at rung 0."""
        counted = [record for record in self._by_rung[0] if record.backward_passes]
        return self._trial_share() if len(counted) >= FEW else None

    def _trial_share(self) -> float | None:
        """The smaller one of two estimates.

        The first estimate divides by the time of the trainings of the full network. If configs have
        different networks, these few may be much smaller than the others. So the second estimate
        multiplies the time of all trials at rung 0 by the ratio. It alone would depend on the time
        of very few trainings. If proxies of a small network save nothing, those of larger networks
        still may. So the ratio of step times counts, too, until a few trials have been trained on
        both networks.
        """
        top = len(self.ladder) - 1
        ratio = self.ratio(top)
        if self.trial is None or not self.base or not ratio:
            return None
        if self.has_many_networks and len(self._pairs(top)) < FEW:
            ratio = max(ratio, self._predicted_ratio(top) or 0.0)
        making = fmean(record.overhead_seconds for record in self._by_rung[-1] or self._whole)
        same = making + ratio * fmean(record.training_seconds for record in self._whole)
        return self.trial / max(self.base, same)

    @property
    def has_many_networks(self) -> bool:
        """Whether the network depends on the config, as far as the widths of proxies show it."""
        return len({record.width_ratio for record in self._by_rung[0] if record.width_ratio}) > 1

    @property
    def fixed_share(self) -> float | None:
        """Share of a full training that proxies cannot reduce; see :func:`fixed_share`.

        Estimated from trials that were trained on both networks; None if there are none. It is also
        None if configs have different networks, because the steps of only one were measured.
        """
        top = len(self.ladder) - 1
        steps, ratio = step_ratio(self.history, self.ladder, top), self.observed_ratio(top)
        if steps is None or not ratio or self.ladder[0].budget < 1 or self.has_many_networks:
            return None
        return fixed_share(1 / ratio, 1 / steps)


def fixed_share(training: float, step: float) -> float | None:
    """Share of a full training that pruning cannot reduce, estimated from a proxy's time.

    A training consists of its steps and of a fixed part, which is assumed to be the same on both
    networks. The cause of the fixed part is unknown, because only whole trainings are timed.

    >>> fixed_share(training=0.75, step=0.5)
    0.5

    Args:
        training: time of a training on the proxy, as a fraction of one on the full network.
        step: the same for a step.

    Returns:
        The share; None if a step of the proxy is not faster.
    """
    return None if step >= 1 else min(1.0, max(0.0, (training - step) / (1 - step)))


def outside_steps(share: float) -> str:
    """The meaning of :func:`fixed_share`, as a sentence.

    >>> outside_steps(0.28)
    "28% of a training is spent outside the network's steps (Python code, data loading, evaluation)"
    """
    return (
        f"{share:.0%} of a training is spent outside the network's steps (Python code, data "
        "loading, evaluation)"
    )


def step_ratio(
    history: History, ladder: Sequence[Rung], rung: int, share: float = 1.0
) -> float | None:
    """How many times longer a training takes at a rung than at rung 0, by the measured steps.

    Args:
        history: has measurements of rung 0 and of the last one; other rungs are estimated.
        ladder: the rungs.
        rung: its index.
        share: fraction of a training at rung 0 that is spent in steps; the rest stays the same.
    """
    measured, top = history.measured, len(ladder) - 1
    if 0 not in measured or top not in measured:
        return None
    below = measured[0]
    budgets = ladder[rung].budget / ladder[0].budget
    known = measured.get(rung)
    if known is None:
        steps = _guessed(ladder, rung, below.step_seconds, measured[top].step_seconds)
        steps /= below.step_seconds
    else:
        steps = _steps(below, known)
    return max(1.0, (1 + share * (steps - 1)) * budgets)


def _steps(below: Measurement, above: Measurement) -> float:
    steps = above.step_seconds / below.step_seconds
    if below.flops and above.flops:
        return min(steps, _ABOVE_FLOPS * above.flops / below.flops)
    return steps


def _guessed(ladder: Sequence[Rung], rung: int, below: float, top: float) -> float:
    """Estimates the step seconds of an unmeasured rung; linear in the density, an overestimate."""
    wanted, first = ladder[rung], ladder[0].density
    if wanted.cost is not None:
        return wanted.cost * top
    if wanted.density is None or first is None or first >= 1:
        return top
    return below + (top - below) * (wanted.density - first) / (1 - first)


def n_reports(records: Sequence[Record]) -> float | None:
    """Mean number of reports of a complete training at a rung; None if unknown."""
    counts = [len(record.reports) for record in records if record.state == "finished"]
    return fmean(counts) if counts else None


def share_of_training(record: Record, whole: float | None) -> float:
    """Fraction of a complete training that was done, measured in reports.

    Args:
        record: of the training.
        whole: number of reports of a complete training, if known.
    """
    if record.state != "stopped" or not record.reports or not whole:
        return 1.0
    return min(1.0, len(record.reports) / whole)

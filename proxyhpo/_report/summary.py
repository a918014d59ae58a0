"""The text that a result prints: best config, cost, trust, and next steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from proxyhpo._engine.prediction import MOST_COST
from proxyhpo._engine.standing import Noise, Standing, noise_of, standings
from proxyhpo._records.correction import Correction
from proxyhpo._records.ending import Ending
from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.advice import Decision, saving
from proxyhpo._report.cost import Cost, cost_of
from proxyhpo._report.fidelity import Fidelity, fidelities
from proxyhpo._report.wording import config_words, rung_words, table
from proxyhpo.errors import counted
from proxyhpo.space import Space

__all__ = ["Findings"]

_WARNINGS = 2  # maximum in a summary; the ledger lists all
_STEPS = 2  # maximum number of next steps in a summary

_DETAILS = "result.plot(), .leaderboard(), .ledger(), .cost, .fidelity, .failures"

_ADVICE = {
    "do not use this proxy": "search on a wider proxy, or on the full network: proxies=False",
    "too little evidence": (
        "hpo.check() measures whether the proxy ranks configs like the full network"
    ),
    "trust with re-ranking": "keep several finalists: the full network must choose among them",
}


_DEPENDS_ON_WIDTH = re.compile(
    "dropout|drop_path|label_smoothing|mixup|cutmix|augment", re.IGNORECASE
)
"""Names of hyperparameters of regularisation, whose best values depend on the width."""


@dataclass(frozen=True)
class Findings:
    """The findings of a study, as text; see :class:`~proxyhpo.Result`."""

    space: Space
    history: History
    ladder: Sequence[Rung]
    direction: str
    best: Record | None
    search_seconds: float
    pretrained: bool
    ending: Ending
    checked: Fidelity | None
    why_full: str
    is_stored: bool

    @cached_property
    def cost(self) -> Cost:
        """The cost of the study, and the estimated cost of a full search."""
        return cost_of(self.history, self.ladder, self.search_seconds)

    @cached_property
    def standing(self) -> Sequence[Standing]:
        """The trials of the full network, best first."""
        return standings(self.history.records, len(self.ladder) - 1)

    @cached_property
    def noise(self) -> Noise | None:
        """By how much the seed alone changes a training of the full network; None if unknown."""
        return noise_of(self.standing)

    @cached_property
    def fidelity(self) -> Sequence[Fidelity]:
        """The fidelity between each rung and the next one, and between the first and the last."""
        return fidelities(self.history, self.ladder)

    @cached_property
    def failures(self) -> Sequence[Record]:
        """The trainings that failed."""
        return tuple(record for record in self.history.records if record.state == "failed")

    def summary(self) -> list[str]:
        """A summary of at most 12 lines."""
        facts = [*self.facts(), ("details", _DETAILS)]
        return [self.title(), *(f"  {title:<12} {text}" for title, text in facts)]

    def title(self) -> str:
        """How many trials there were, and whether the search has ended."""
        state = f", {self.ending.state}" if self.ending.state in ("interrupted", "running") else ""
        return f"Result of {counted(len(self.history.trials), 'trial')} ({self.direction}{state})"

    def facts(self) -> list[tuple[str, str]]:
        """What was found, what it cost, what to trust and what to do next, each with its name."""
        found = [*self._found(), *self._known()]
        if self.why_full:
            found.append(("proxies", self.why_full))
        elif self._overall is not None and self._has_values:
            found.append(("trust", self._trust(self._overall)))
        found += [("warning", text) for text in self._warnings()[:_WARNINGS]]
        if self.failures:
            count = f"{len(self.failures)} of {len(self.history.records)} trainings"
            found.append(("failures", f"{count}, first: {self.failures[0].reason}"))
        found += [("next", text) for text in list(dict.fromkeys(self._next()))[:_STEPS]]
        return found

    def ledger(self) -> list[str]:
        """A table with one line per rung: what was trained there, and the cost."""
        titles = (
            "rung",
            "trains",
            "width ratio",
            "trainings",
            "stopped",
            "failed",
            "seconds",
            "base trainings",
        )
        measured = self.history.measured
        rows = [
            [
                rung,
                rung_words(self.history, self.ladder, rung),
                f"{measured[rung].width_ratio:.3g}",
                cost.runs,
                cost.stopped,
                cost.failed,
                f"{cost.seconds:.1f}",
                "" if cost.base_trainings is None else f"{cost.base_trainings:.1f}",
            ]
            for rung, cost in zip(sorted(self.history.openings), self.cost.rungs, strict=True)
        ]
        n_known = len(self.history.known)
        added = "known result was" if n_known == 1 else "known results were"
        known = [f"{n_known} {added} added: not trained, not charged"] if n_known else []
        notes = [*known, *self._further_seeds(), *self._corrections(), *self._warnings()]
        return [*table(titles, rows), *notes]

    def not_climbed(self) -> str:
        """Why there is no best training of the full network, and what to do next."""
        tried = [r for r in self.history.records if r.rung == len(self.ladder) - 1]
        failed = [record for record in tried if record.state == "failed"]
        if failed:
            return (
                f"all {len(failed)} trainings of the full network failed, the first with "
                f"{failed[0].reason!r} (result.failures has the tracebacks)"
            )
        is_running = self.ending.state == "running"
        if self._has_values:
            text = (
                "the full network has not been trained: result.leaderboard(0) lists the best on "
                "the proxy"
            )
            return (
                text if is_running else f"{text}, and hpo.climb() trains those on the full network"
            )
        if self.failures:
            first = self.failures[0].reason
            return f"all {len(self.failures)} trainings failed, the first with {first!r}"
        return "nothing has been trained yet" + ("" if is_running else ": call hpo.run(n_trials)")

    @property
    def _has_values(self) -> bool:
        """Whether any training has succeeded."""
        return any(record.loss is not None for record in self.history.records)

    @property
    def _decision(self) -> Decision | None:
        """The comparison of the best config; None if the full network has not been trained."""
        if not self.standing:
            return None
        return Decision(self.history, self.ladder, self.standing, self.noise, self.is_stored)

    def _known(self) -> Iterator[tuple[str, str]]:
        """The best known result, if it is better than all trainings here."""
        known = min(self.history.known, key=lambda known: known.loss, default=None)
        if known is None:
            return
        best = None if self.best is None else self.best.loss
        if best is None or known.loss < best:
            source = f" ({known.source})" if known.source else ""
            text = f"{known.value:.6g}{source} with {config_words(known.config)}"
            yield "better known", f"{text}; not trained in this study, so it has no weights"

    def _found(self) -> list[tuple[str, str]]:
        decision, saved = self._decision, saving(self.cost)
        if self.best is None or decision is None:
            return [("best", self.not_climbed()), *([saved] if self._has_values else [])]
        return [
            saved,
            ("best value", decision.best()),
            ("how sure", decision.certainty()),
            ("best config", config_words(self.best.config)),
        ]

    @property
    def _overall(self) -> Fidelity | None:
        """How well the first rung stands in for the full network, if there is a lower rung.

        A search with too little evidence of its own has that of a check, if the check has enough.
        """
        if len(self.ladder) == 1:
            return None
        found = [self.fidelity[-1], *([self.checked] if self.checked else [])]
        enough = (each for each in found if each.verdict != "too little evidence")
        return next(enough, found[0])

    def _trust(self, overall: Fidelity) -> str:
        words = rung_words(self.history, self.ladder, overall.lower)
        compared = f"{counted(overall.n, 'trial')} trained on both"
        if overall is self.checked:
            compared = f"{counted(overall.n, 'config')} trained on both by hpo.check()"
        unproven = "; unproven for pretrained networks" if self.pretrained else ""
        question = f"does {words} rank configs like the full network?"
        return f"{question} {overall.verdict} ({compared}{unproven}{self._of_width()})"

    def _of_width(self) -> str:
        """Names hyperparameters for which a proxy is a poor guide; empty if there is none."""
        names = [name for name in self.space.names if _DEPENDS_ON_WIDTH.search(name)]
        if not names:
            return ""
        depend = "depends" if len(names) == 1 else "depend"
        return f"; the best {', '.join(names)} {depend} on the width: use more finalists"

    def _warnings(self) -> list[str]:
        found = (measured.warning for measured in self.history.measured.values())
        return list(dict.fromkeys(warning for warning in found if warning))

    def _next(self) -> Iterator[str]:
        if self.ending.text:
            yield self.ending.text
        if self.ending.state == "running":
            return
        if self.failures and not self._has_values:
            yield (
                "result.failures has the reasons and tracebacks; a training must report finite "
                "values"
            )
        if self.best is None or self._decision is None:
            return
        saved, verdict = self.cost.saved, self._overall.verdict if self._overall else ""
        uses_proxies = self._overall is not None and not self.why_full
        if uses_proxies and saved is not None and saved <= 0:
            yield self._why_nothing_saved()
            verdict = ""  # a proxy that saves nothing is useless, even if it ranks well
        elif uses_proxies and verdict == "do not use this proxy":
            yield _ADVICE[verdict]
        yield from self._decision.steps(self.ending)
        if uses_proxies and verdict in _ADVICE:
            yield _ADVICE[verdict]

    def _why_nothing_saved(self) -> str:
        """Why a search on proxies cost as much as a full search, and what would cost less."""
        lowest, unit = self.cost.rungs[0], self.cost.base_training_seconds
        if unit and lowest.runs and lowest.seconds / lowest.runs < MOST_COST * unit:
            why = (
                "nothing was saved, although the first rung is cheap: in a search of so few "
                "trials, measuring the networks and training the finalists cost too much"
            )
            return f"{why}; a longer search saves more" if self.ending.n_further else why
        return "the proxy saved nothing here: search on the full network, proxies=False"

    def _further_seeds(self) -> Iterator[str]:
        """What it cost to distinguish the best trials of the full network by further seeds."""
        again = [record for record in self.history.records if record.replicate]
        unit = self.cost.base_training_seconds
        if again and unit:
            spent = sum(record.seconds for record in again) / unit
            yield (
                f"rung {len(self.ladder) - 1}: {len(again)} of these trainings "
                f"({spent:.1f} base trainings) repeat the best trials under further seeds"
            )

    def _corrections(self) -> Iterator[str]:
        """How hyperparameters and updates were scaled for the proxies."""
        for rung, opening in sorted(self.history.openings.items()):
            if opening.exponents:
                powers = (f"{k} x width_ratio^{v:.3g}" for k, v in opening.exponents.items())
                yield f"rung {rung} trained with {', '.join(powers)}"
            done = [r.correction for r in self.history.records if r.rung == rung and r.correction]
            for rule in dict.fromkeys(correction.rule for correction in done):
                yield f"rung {rung}: {_done([each for each in done if each.rule == rule])}"


def _done(corrections: Sequence[Correction]) -> str:
    """How the updates of some trainings were scaled, all by the same rule."""
    rule = corrections[0].rule
    factors = [factor for each in corrections for factor in (each.smallest, each.largest) if factor]
    if not factors:
        return f"{rule} scaled no updates in {len(corrections)} trainings"
    optimizers = dict.fromkeys(name for each in corrections for name in each.optimizers)
    scaled = sum(each.smallest is not None for each in corrections)
    return (
        f"{rule} multiplied the updates of {', '.join(optimizers)} by {min(factors):.3g} to "
        f"{max(factors):.3g}, layer by layer, in {scaled} of {len(corrections)} trainings"
    )

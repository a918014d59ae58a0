"""What a result prints: the best, the cost, what to trust, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyhpo._report.wording import config_words, rung_words, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyhpo._report.fidelity import Fidelity
    from proxyhpo._report.result import Result

__all__ = ["ledger", "not_climbed", "summary"]

_WARNINGS = 2  # that a summary shows; the ledger has all of them
_STEPS = 2  # likewise, of what to do next

_ADVICE = {
    "do not use this proxy": "search a wider proxy, or the full network alone: ladder=[Rung(1)]",
    "too little evidence": "check() measures whether the proxy ranks configs like the full network",
    "trust with re-ranking": "keep several finalists: the full network has to choose among them",
}


def summary(result: Result) -> list[str]:
    """At most 12 lines."""
    found = [*_found(result), *_cost(result)]
    overall = _overall(result)
    if overall is not None:
        found.append(("trust", _trust(result, overall)))
    found += [("warning", text) for text in _warnings(result)[:_WARNINGS]]
    if result.failures:
        total, first = len(result.records), result.failures[0].reason
        found.append(("failures", f"{len(result.failures)} of {total} trainings, first: {first}"))
    found += [("next", text) for text in list(_next(result, overall))[:_STEPS]]
    found.append(("details", "result.leaderboard(), .ledger(), .cost, .fidelity, .failures"))
    state = ", interrupted" if result.interrupted else ""
    head = f"Result of {len(result.history.trials)} trials ({result.direction}{state})"
    return [head, *(f"  {title:<12} {text}" for title, text in found)]


def ledger(result: Result) -> str:
    """A line for each rung: what was trained there, and what that cost."""
    titles = ["rung", "trains", "width ratio", "trainings", "stopped", "failed", "seconds", "base"]
    rows = [
        [
            rung,
            rung_words(result.history, result.ladder, rung),
            f"{result.measured[rung].width_ratio:.3g}",
            cost.runs,
            cost.stopped,
            cost.failed,
            f"{cost.seconds:.1f}",
            "" if cost.base_trainings is None else f"{cost.base_trainings:.1f}",
        ]
        for rung, cost in zip(sorted(result.openings), result.cost.rungs, strict=True)
    ]
    return "\n".join([*table(titles, rows), *_corrections(result), *_warnings(result)])


def not_climbed(result: Result) -> str:
    """Why there is no best training of the full network, and what to do about it."""
    tried = [r for r in result.history.records if r.rung == len(result.ladder) - 1]
    failed = [record for record in tried if record.state == "failed"]
    if failed:
        return (
            f"all {len(failed)} trainings of the full network failed, the first with "
            f"{failed[0].reason!r} (result.failures has the tracebacks)"
        )
    if any(record.loss is not None for record in result.history.records):
        return (
            "the full network has not been trained: result.leaderboard(0) shows the best on "
            "the proxy, and climb() trains those on the full network"
        )
    if result.failures:
        first = result.failures[0].reason
        return f"all {len(result.failures)} trainings failed, the first with {first!r}"
    return "nothing has been trained yet: call run()"


def _found(result: Result) -> list[tuple[str, str]]:
    if result.best is None:
        return [("best", not_climbed(result))]
    value = f"{result.best_value:.6g} on the full network (trial {result.best.trial})"
    return [("best value", value), ("best config", config_words(result.best_config))]


def _cost(result: Result) -> list[tuple[str, str]]:
    cost = result.cost
    if cost.base_trainings is None or cost.full_search_base_trainings is None:
        return [("cost", f"{cost.seconds:.1f} s")]
    unit = f"one takes {cost.base_training_seconds:.3g} s, {cost.base_training_source}"
    spent = f"{cost.base_trainings:.1f} base trainings, {cost.seconds:.1f} s"
    return [("cost", f"{spent}; a full search: {cost.full_search_base_trainings:.1f} ({unit})")]


def _overall(result: Result) -> Fidelity | None:
    """How well the first rung stands in for the full network, if there is a rung below it."""
    return result.fidelity[-1] if len(result.ladder) > 1 else None


def _trust(result: Result, overall: Fidelity) -> str:
    words = rung_words(result.history, result.ladder, overall.lower)
    compared = f"{overall.n} trials trained on both"
    unproven = "; unproven for pretrained networks" if result.pretrained else ""
    return f"{words}: {overall.verdict} ({compared}{unproven})"


def _warnings(result: Result) -> list[str]:
    found = (measured.warning for measured in result.measured.values())
    return list(dict.fromkeys(warning for warning in found if warning))


def _next(result: Result, overall: Fidelity | None) -> Iterator[str]:
    if result.interrupted:
        yield "run() again resumes the study"
    if result.best is None or overall is None:
        return
    saved = result.cost.saved
    if saved is not None and saved <= 0:
        yield "the proxy saved nothing here: search the full network alone, ladder=[Rung(1)]"
    elif overall.verdict in _ADVICE:
        yield _ADVICE[overall.verdict]


def _corrections(result: Result) -> Iterator[str]:
    """How hyperparameters were changed for the narrower networks."""
    for rung, opening in sorted(result.openings.items()):
        if opening.exponents:
            powers = ", ".join(f"{k} x width_ratio^{v:.3g}" for k, v in opening.exponents.items())
            basis = f" ({opening.basis})" if opening.basis else ""
            yield f"rung {rung} trained with {powers}{basis}"

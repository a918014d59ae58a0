"""Makes the tables that ``benchmarks.networks`` prints: networks, and counts for each family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.networks.catalogue import Entry
from benchmarks.rows import Row

__all__ = ["counted", "exceptions", "table"]

_SMALLER = 0.9
_FAR_BELOW = 0.125
"""A proxy with a smaller fraction of the parameters is too small.

At half of the width, a quarter of the parameters is expected. This is half of that.
"""


def counted(rows: Sequence[tuple[Entry, Row]]) -> str:
    """A markdown table: how many networks of each family became smaller, were refused or failed.

    A proxy is real if it keeps less than .9 of the FLOPs (or of the parameters, if FLOPs cannot be
    counted) and at least an eighth of the parameters, and if its loss is finite after five steps.
    The peer's proxies count if a forward and a backward pass run, and the shapes of the outputs
    have not changed.
    """
    verdicts = ("real proxy", "too small", "no smaller", "refused", "failed")
    titles = ["library", "networks", *verdicts, "median", "longest", "Torch-Pruning"]
    lines = [_line(titles), "|---" * len(titles) + "|"]
    for family in [*dict.fromkeys(entry.family for entry, _ in rows), "all"]:
        own = [row for entry, row in rows if family in (entry.family, "all")]
        found = [_verdict(row) for row in own]
        took = sorted(row.get("prune_seconds", 0.0) for row in own)
        peers = [row["peer"] for row in own if "peer" in row]
        smaller = sum(isinstance(peer, float) and peer < _SMALLER for peer in peers)
        cells = [family, str(len(own)), *(str(found.count(verdict)) for verdict in verdicts)]
        times = [f"{took[len(took) // 2]:.1f} s", f"{took[-1]:.1f} s"]
        lines.append(_line([*cells, *times, f"{smaller} of {len(peers)}" if peers else ""]))
    return "\n".join(lines)


def exceptions(rows: Sequence[tuple[Entry, Row]]) -> str:
    """A markdown table of the networks without a real proxy, with reasons."""
    lines = [_line(["network", "result", "reason"]), "|---" * 3 + "|"]
    for entry, row in rows:
        verdict = _verdict(row)
        if verdict != "real proxy":
            lines.append(_line([entry.name, verdict, _reason(row)]))
    return "\n".join(lines) if len(lines) > 2 else "Every network has a real proxy."


def _verdict(row: Row) -> str:
    if "refused" in row:
        return "refused"
    if "error" in row or not all(map(math.isfinite, row["losses"])):
        return "failed"
    full, proxy = row["flops"] if all(row["flops"]) else row["parameters"]
    if proxy >= _SMALLER * full:
        return "no smaller"
    full, proxy = row["parameters"]
    return "real proxy" if proxy >= _FAR_BELOW * full else "too small"


def _reason(row: Row) -> str:
    if "refused" in row or "error" in row:
        return " ".join(str(row.get("refused") or row["error"]).split())[:240]
    kept = _ratio(row["parameters"], 1e-6, "M")
    return f"{kept}; {_skipped(row['skipped'])}".removesuffix("; ")


def table(rows: Iterable[tuple[Entry, Row]], *, peer: bool = False) -> str:
    """The rows as markdown, under a heading for each family."""
    columns: dict[str, Callable[[Entry, Row], str]] = {
        "network": lambda entry, _: entry.name,
        "parameters": lambda _, row: _ratio(row["parameters"], 1e-6, "M"),
        "FLOPs": lambda entry, row: _asked(row["flops"], entry.asked),
        "step": lambda _, row: _ratio(row["step_seconds"], 1e3, " ms"),
        "pruned in": lambda _, row: f"{row['prune_seconds']:.1f} s",
        "loss, 5 steps": lambda _, row: f"{row['losses'][0]:.3g} → {row['losses'][-1]:.3g}",
        "not pruned": lambda _, row: _skipped(row["skipped"]),
    }
    if peer:
        columns["Torch-Pruning FLOPs"] = lambda _, row: _in_short(row.get("peer", ""))
    lines, family = [], None
    for entry, row in rows:
        if entry.family != family:
            family = entry.family
            lines += ["", f"**{family}**", "", _line(columns), _line(["---"] * len(columns))]
        lines.append(_line(_cells(columns, entry, row)))
    return "\n".join(lines).strip()


def _cells(columns: Mapping[str, Callable[[Entry, Row], str]], entry: Entry, row: Row) -> list[str]:
    if "error" in row or "refused" in row:
        said = "refused" if "refused" in row else "failed"
        return [entry.name, f"{said}: {_reason(row)}"] + [""] * (len(columns) - 2)
    return [column(entry, row) for column in columns.values()]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _ratio(pair: Sequence[float] | None, scale: float, unit: str) -> str:
    if pair is None:
        return ""
    full, proxy = pair
    return f"{_rounded(full * scale)} → {_rounded(proxy * scale)}{unit} ({proxy / full:.2f})"


def _rounded(value: float) -> str:
    """Three digits, without an exponent.

    >>> _rounded(1258.3), _rounded(0.01934)
    ('1260', '0.0193')
    """
    return f"{float(f'{value:.3g}'):g}"


def _asked(pair: Sequence[float | None], asked: float) -> str:
    full, proxy = pair
    if full is None or proxy is None:
        return "cannot be counted"
    verdict = "" if proxy <= asked * full else f", asked {asked}"
    return f"{full / 1e9:.3g} → {proxy / 1e9:.3g} G ({proxy / full:.2f}{verdict})"


def _skipped(skipped: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"`{name}`: {reason}" for name, reason in skipped[:3]) + (
        f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    )


def _in_short(result: float | str) -> str:
    return f"{result:.2f}" if isinstance(result, float) else f"fails: {result.split(':')[0]}"

"""A result as an HTML card, for notebooks.

The card inherits its colors from the page, so that it is readable in dark themes, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from proxyhpo._report.incumbent import incumbents, spending
from proxyhpo._report.leaderboard import columns_of, ranks_of
from proxyhpo._report.svg import FULL, PROXY, Steps, escaped, step_chart
from proxyhpo._report.wording import rung_words

if TYPE_CHECKING:
    from proxyhpo._report.result import Result
    from proxyhpo._report.summary import Findings

__all__ = ["STYLE", "card", "chart", "html_table", "leaderboard_rows"]

STYLE = """
.proxyhpo{font:14px/1.45 system-ui,sans-serif;color:inherit;max-width:60rem}
.proxyhpo-card{border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:14px 18px}
.proxyhpo .columns{display:flex;flex-wrap:wrap;gap:8px 28px;align-items:flex-start}
.proxyhpo .columns>*{flex:1 1 300px;min-width:0}
.proxyhpo .title{opacity:.75;margin:0 0 6px}
.proxyhpo .big{font-size:30px;font-weight:600;line-height:1.1;color:#e4572e}
.proxyhpo .key{font-size:12px}
.proxyhpo h4{margin:12px 0 0;font-size:14px}
.proxyhpo dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 14px;margin:8px 0 0}
.proxyhpo dt{opacity:.65}
.proxyhpo dd{margin:0;overflow-wrap:anywhere}
.proxyhpo .scroll{overflow-x:auto}
.proxyhpo table{border-collapse:collapse;margin:8px 0 0;font-size:13px;color:inherit}
.proxyhpo th,.proxyhpo td{text-align:left;padding:3px 14px 3px 0;background:none;color:inherit;
border:0;border-bottom:1px solid rgba(128,128,128,.25);vertical-align:top}
.proxyhpo th{font-weight:600;opacity:.75;white-space:nowrap}
.proxyhpo td:last-child{min-width:14rem}
.proxyhpo tr{background:none!important}
.proxyhpo .faded{opacity:.55}
"""

_FINALISTS = 5


def card(result: Result, findings: Findings) -> str:
    """The HTML card of a result. All text in it is escaped.

    Args:
        result: of a study.
        findings: about it.
    """
    facts = findings.facts()
    best = "" if result.best is None else f'<div class="big">{result.best_value:.6g}</div>'
    shown = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(text)}</dd>" for name, text in facts)
    drawn = chart(result)
    board = leaderboard_rows(result, -1, _FINALISTS)
    finalists = f"<h4>Trained on the full network</h4>{html_table(*board)}" if board[1] else ""
    return (
        f'<style>{STYLE}</style><div class="proxyhpo proxyhpo-card">'
        f'<p class="title">{escaped(findings.title())}</p>'
        f'<div class="columns"><div>{best}<dl>{shown}</dl></div>'
        f"<div>{drawn}</div></div>{finalists}</div>"
    )


def chart(result: Result) -> str:
    """The best values so far against the cost, as SVG; empty if there are none."""
    found = incumbents(result)
    if not found:
        return ""
    spent, unit = spending(result)
    top = len(result.ladder) - 1
    lines = [
        Steps(each.costs, each.best, FULL if each.rung == top else PROXY, each.rung == top)
        for each in found
    ]
    price = result.cost.full_search_base_trainings if top else None
    mark = None if price is None else (price, f"full search, estimated: {price:.3g}")
    proxies = "proxies (their values are those of smaller networks)"
    keys = [(FULL, "full network"), *([(PROXY, proxies)] if top else [])]
    legend = " ".join(
        f'<span style="color:{color}">&#9644;</span> {words}' for color, words in keys
    )
    drawn = step_chart(lines, spent[-1], f"cost in {unit}", mark=mark)
    return f'<div class="title key">best value so far: {legend}</div>{drawn}'


def leaderboard_rows(
    result: Result, rung: int, count: int
) -> tuple[Sequence[str], list[tuple[Sequence[str], bool]]]:
    """The titles and rows of a leaderboard, and whether each row is faded (stopped trainings).

    On rungs above the first, a row also gives the trial's rank on the rung below.
    """
    index = rung % len(result.ladder)
    below = ranks_of(result.leaderboard(index - 1)) if index else {}
    there = [f"rank at {rung_words(result.history, result.ladder, index - 1)}"] if index else []
    board = result.leaderboard(index)
    ranks, (titles, cells) = ranks_of(board), columns_of(board, count)
    rows: list[tuple[Sequence[str], bool]] = []
    for record, row in zip(board[:count], cells, strict=True):
        before = [str(below.get(record.trial, ""))] if index else []
        rows.append(([str(ranks[record.trial]), *before, *row], record.state == "stopped"))
    return ["rank", *there, *titles], rows


def html_table(titles: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]]) -> str:
    """An HTML table with escaped cells, in which some rows are faded."""
    head = "".join(f"<th>{escaped(title)}</th>" for title in titles)
    body = "".join(
        f"<tr{' class=faded' if faded else ''}>"
        + "".join(f"<td>{escaped(cell)}</td>" for cell in cells)
        + "</tr>"
        for cells, faded in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'

"""A study as one HTML file without external resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from proxyhpo import plots
from proxyhpo._report.card import html_table, leaderboard_rows
from proxyhpo._report.result import Result
from proxyhpo._report.svg import escaped
from proxyhpo._report.wording import config_words, rung_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["study_page"]

_ROWS = 30  # of a leaderboard
_FAILURES = 20
_SLICES = 12

_STYLE = """
:root{color-scheme:light dark}
body{margin:0 auto;max-width:1180px;padding:1rem;font:15px/1.5 system-ui,sans-serif;
background:#fff;color:#1d232a}
@media (prefers-color-scheme:dark){body{background:#14181d;color:#e3e7ec}}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}h4{margin:1rem 0 0}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem}nav a{color:inherit}
main.proxyhpo,main .proxyhpo{max-width:none}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:1.2rem}
figure{margin:0;min-width:0}figcaption{font-weight:600;margin-bottom:.3rem}
figure svg{width:100%;height:auto}
pre{overflow-x:auto;white-space:pre-wrap;font-size:12.5px;background:rgba(128,128,128,.12);padding:.7rem;
border-radius:6px}
summary{cursor:pointer}
"""

_INK = "#010203"  # placeholder in matplotlib's SVG for the page's text color

_LOOK: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], _INK
    ),
}

_PLOTS: Sequence[tuple[str, Callable[[Result, Any], Any]]] = (
    ("Best value against cost", plots.plot_incumbent),
    ("Climb", plots.plot_climb),
    ("Learning curves", plots.plot_curves),
    ("Agreement with the full network", plots.plot_agreement),
    ("Importance", plots.plot_importance),
    ("Parallel coordinates", plots.plot_parallel),
    ("Two hyperparameters", plots.plot_contour),
    ("Cost", plots.plot_cost),
    ("Timeline", plots.plot_timeline),
)


def study_page(result: Result) -> str:
    """The page of a result: card, plots, leaderboards, costs and failures, all escaped."""
    sections = {
        "Summary": result._repr_html_(),
        "Plots": _plots(_PLOTS, result),
        "Hyperparameters": _plots(_slices(result), result),
        "Leaderboards": "".join(_leaderboards(result)),
        "Cost": f"<pre>{escaped(result.cost)}</pre><pre>{escaped(result.ledger())}</pre>",
        "Trust": "".join(f"<pre>{escaped(each)}</pre>" for each in result.fidelity),
        "Failures": "".join(_failures(result)),
    }
    filled = {title: body for title, body in sections.items() if body}
    links = "".join(f'<a href="#{title.lower()}">{title}</a>' for title in filled)
    bodies = "".join(
        f'<section id="{title.lower()}"><h2>{title}</h2>{body}</section>'
        for title, body in filled.items()
    )
    searched = ", ".join(result.space.names)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>proxyhpo: {escaped(searched)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>Search over {escaped(searched)}</h1><nav>{links}</nav>"
        f'<main class="proxyhpo">{bodies}</main></body></html>\n'
    )


def _slices(result: Result) -> list[tuple[str, Callable[[Result, Any], Any]]]:
    def slice_of(name: str) -> Callable[[Result, Any], Any]:
        return lambda result, ax: plots.plot_slice(result, ax, name=name)

    return [(name, slice_of(name)) for name in result.most_important(_SLICES)]


def _plots(wanted: Sequence[tuple[str, Callable[[Result, Any], Any]]], result: Result) -> str:
    try:
        drawn = [
            f"<figure><figcaption>{escaped(title)}</figcaption>{_svg(draw, result)}</figure>"
            for title, draw in wanted
        ]
    except ImportError as error:
        return f"<p>{escaped(error)}</p>"
    return f'<div class="plots">{"".join(drawn)}</div>'


def _svg(draw: Callable[[Result, Axes], object], result: Result) -> str:
    """A plot as an SVG element that uses the page's text color."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("There are no plots without matplotlib.") from error

    written = StringIO()
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        draw(result, figure.subplots())
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def _leaderboards(result: Result) -> Iterator[str]:
    for rung in reversed(range(len(result.ladder))):
        titles, rows = leaderboard_rows(result, rung, _ROWS)
        if rows:
            words = rung_words(result.history, result.ladder, rung)
            count = len(result.leaderboard(rung))
            shown = f", the best {len(rows)} of {count}" if len(rows) < count else ""
            yield f"<h4>Rung {rung}: {escaped(words)}{shown}</h4>{html_table(titles, rows)}"


def _failures(result: Result) -> Iterator[str]:
    failed = result.failures
    if len(failed) > _FAILURES:
        yield f"<p>The last {_FAILURES} of {len(failed)}.</p>"
    for record in failed[-_FAILURES:]:
        where = f"trial {record.trial} at rung {record.rung}"
        said = escaped(record.traceback or "It raised no exception.")
        yield (
            f"<details><summary>{escaped(where)}: {escaped(record.reason)}</summary>"
            f"<p>{escaped(config_words(record.config))}</p><pre>{said}</pre></details>"
        )

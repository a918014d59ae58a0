"""Plots of a result, drawn with matplotlib (the extra ``plots``).

Each function takes a :class:`~proxyhpo.Result`, draws on the given axes or on new ones, and returns
them. Scales come from the space: a hyperparameter that was searched on a log scale has a
logarithmic axis. Stopped trainings are faded, and failed ones are omitted unless a function says
otherwise. If there is nothing to show yet, the axes say so.

``result.plot()`` draws :func:`plot_summary`, and ``result.save_html("study.html")`` writes all of
them into one file.
"""

from proxyhpo.plots._agreement import plot_agreement
from proxyhpo.plots._climb import plot_climb
from proxyhpo.plots._contour import plot_contour
from proxyhpo.plots._cost import plot_cost
from proxyhpo.plots._curves import plot_curves
from proxyhpo.plots._importance import plot_importance
from proxyhpo.plots._incumbent import plot_incumbent
from proxyhpo.plots._parallel import plot_parallel
from proxyhpo.plots._slice import plot_slice
from proxyhpo.plots._summary import plot_summary
from proxyhpo.plots._timeline import plot_timeline

__all__ = [
    "plot_agreement",
    "plot_climb",
    "plot_contour",
    "plot_cost",
    "plot_curves",
    "plot_importance",
    "plot_incumbent",
    "plot_parallel",
    "plot_slice",
    "plot_summary",
    "plot_timeline",
]

import matplotlib as mpl
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

from proxyhpo.plots import plot_agreement, plot_cost, plot_hyperparameter
from tests.test_hpo import study


@pytest.fixture(scope="module")
def result():
    return study().run(6, finalists=3)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_agreement_shows_the_trials_on_both(result, ax):
    assert plot_agreement(result, ax) is ax
    [points] = ax.collections
    assert sorted(points.get_offsets()[:, 1].tolist()) == sorted(
        record.value for record in result.leaderboard(1)
    )
    assert "density 0.25" in ax.get_xlabel()


def test_cost_bars_add_up(result, ax):
    plot_cost(result, ax)
    *parts, full = ax.patches
    assert sum(bar.get_width() for bar in parts) == pytest.approx(result.cost.base_trainings)
    assert full.get_width() == pytest.approx(result.cost.full_search_base_trainings)


def test_a_hyperparameter_is_shown_in_base_terms(result, ax):
    plot_hyperparameter(result, "lr", ax, log=True)
    shown = sorted(x for points in ax.collections for x in points.get_offsets()[:, 0].tolist())
    assert shown == sorted(record.config["lr"] for record in result.records)
    assert ax.get_xscale() == "log"


def test_new_axes_are_made_where_none_are_given(result):
    ax = plot_cost(result)
    assert ax.get_xlabel() == "base trainings"
    plt.close(ax.figure)

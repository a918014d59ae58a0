"""Each plot shows what the result holds, on the scales of the space, and never raises."""

from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from proxyhpo import Choice, Float, Int, Space, plots
from proxyhpo._report.importance import Importance
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.plots._scale import Scale
from tests.plots.results import search

ON_AXES = sorted(set(plots.__all__) - {"plot_summary"})


def texts(ax):
    return [text.get_text() for text in ax.texts]


def offsets(collection):
    return np.asarray(collection.get_offsets()).tolist()


@pytest.mark.parametrize("name", ON_AXES)
def test_each_plot_draws_on_the_axes_that_it_is_given(name, result, ax):
    assert getattr(plots, name)(result, ax) is ax
    assert ax.has_data()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("which", ["begun", "failed", "single"])
@pytest.mark.parametrize("name", ON_AXES)
def test_each_plot_can_be_drawn_of_a_search_without_much_to_show(name, which, ax, request):
    assert getattr(plots, name)(request.getfixturevalue(which), ax) is ax


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (2e-3, 8e-2),
        (1e-5, 1),
        (1e-3, 1e-1),
        (3e-4, 6e-4),
        (0.01, 0.0101),
        (2e-9, 5e-8),
        (150, 9000),
    ],
)
@pytest.mark.parametrize("which", ["x", "y"])
def test_the_labels_of_a_log_axis_can_be_read(low, high, which, result, ax):
    space = Space({"lr": Float(low, high, log=True)})
    ax.plot([low, high], [low, high])
    Scale(replace(result, space=space), "lr").apply(ax, which)
    ax.figure.canvas.draw()
    axis = ax.xaxis if which == "x" else ax.yaxis
    view = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    shown = [t.label1 for t in ticks if t.label1.get_text() and view[0] <= t.get_loc() <= view[1]]
    boxes = sorted(
        (box.x0, box.x1) if which == "x" else (box.y0, box.y1)
        for box in (label.get_window_extent() for label in shown)
    )
    assert len({label.get_text() for label in shown}) == len(shown) >= 2
    assert all(end < start for (_, end), (start, _) in pairwise(boxes))


def test_new_axes_are_made_where_none_are_given(result):
    ax = plots.plot_cost(result)
    assert ax.get_xlabel() == "base trainings"
    plt.close(ax.figure)


def test_the_incumbent_only_gets_better_and_the_price_of_a_full_search_is_marked(result, ax):
    plots.plot_incumbent(result, ax)
    *steps, _full_trainings, price = ax.lines
    for line in steps:
        values = np.asarray(line.get_ydata(), float)
        assert (np.diff(values) >= 0).all()
    full = steps[-1]
    assert full.get_ydata()[-1] == result.best_value
    assert full.get_xdata()[-1] == pytest.approx(result.cost.base_trainings, rel=0.01)
    assert price.get_xdata()[0] == pytest.approx(result.cost.full_search_base_trainings)
    assert any("full search, estimated: " in text for text in texts(ax))


@pytest.mark.parametrize("seconds", [0.01, 1e6])
def test_the_price_of_a_full_search_stays_within_the_axes(seconds, result, ax):
    """The line is far left if measuring and searching cost more than a full search."""
    plots.plot_incumbent(replace(result, search_seconds=seconds), ax)
    ax.figure.canvas.draw()
    (price,) = (text for text in ax.texts if "full search" in text.get_text())
    box, around = price.get_window_extent(), ax.get_window_extent()
    assert around.x0 < box.x0 < box.x1 < around.x1


def test_the_incumbent_is_the_mean_over_seeds_and_known_results_are_marked(ax):
    def train(network, config):
        full = network[0].out_features == 32
        for _ in range(4):
            yield {"value": config["x"] + full * torch.rand(()), "seconds": 10.0}

    hpo = search(train, {"x": Float(0, 0.1)}, finalists=2, repeats=4)
    hpo.add({"x": 0.05}, 3.0)
    result = hpo.run(6)
    assert any(record.replicate for record in result.records)
    plots.plot_incumbent(result, ax)
    star = offsets(ax.collections[-1])[0]
    best, known = ax.lines[-4], ax.lines[-2]
    assert star[1] == best.get_ydata()[-1] == result.best_value
    assert star in np.stack(best.get_data(), 1).tolist()
    assert known.get_ydata()[0] == 3


def test_the_climb_shows_the_ranks_of_those_that_climbed(result, ax):
    plots.plot_climb(result, ax)
    ranks = [
        {record.trial: rank for rank, record in enumerate(result.leaderboard(rung), 1)}
        for rung in range(3)
    ]
    lines = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 2]
    ways = [[below[trial], above[trial]] for below, above in pairwise(ranks) for trial in above]
    assert sorted(map(list, lines)) == sorted(ways)
    assert f"trial {result.best.trial}, the best" in texts(ax)


def test_stopped_curves_are_faded(result, ax):
    plots.plot_curves(result, ax)
    faded = [line for line in ax.lines if line.get_alpha() < 0.5]
    assert len(faded) == sum(record.state == "stopped" for record in result.records) > 0
    assert {line.get_marker() for line in faded} == {"x"}


def test_curves_of_one_rung_are_its_alone(result, ax):
    plots.plot_curves(result, ax, rung=-1)
    assert len(ax.lines) == len(result.leaderboard())


def test_agreement_shows_the_trials_on_both_and_the_verdict(result, ax):
    plots.plot_agreement(result, ax)
    assert sorted(y for _, y in offsets(ax.collections[0])) == sorted(
        record.value for record in result.leaderboard()
    )
    assert result.fidelity[-1].verdict in ax.get_title()


def test_agreement_shows_the_noise_ceiling_where_it_was_measured(ax):
    found = search().check(3, second_seed=True).result
    plots.plot_agreement(found, ax)
    assert "noise ceiling" in ax.get_title()
    assert "another seed" in ax.get_legend_handles_labels()[1]


def test_agreement_needs_two_rungs(result, ax):
    with pytest.raises(ArgumentError, match="both rung 2"):
        plots.plot_agreement(result, ax, lower=2)
    with pytest.raises(ArgumentError, match="upper must be the index of a rung, below 3, got 3"):
        plots.plot_agreement(result, ax, upper=3)


def test_a_slice_has_the_scale_of_the_space(result, ax):
    plots.plot_slice(result, ax, name="lr")
    assert ax.get_xscale() == "log"
    *rungs, best = ax.collections
    shown = sorted(x for points in rungs for x, _ in offsets(points))
    finished = [record for record in result.records if record.state == "finished"]
    assert shown == sorted(record.config["lr"] for record in finished)
    assert offsets(best) == [[result.best_config["lr"], result.best_value]]
    failed = [line for line in ax.lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in failed) == len(result.failures) > 0


def test_a_choice_has_a_place_for_each_option_and_no_option_is_a_formula(result, ax):
    plots.plot_slice(result, ax, name="kind")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["adam", r"sgd in \$", "<i>"]


def test_a_name_that_there_is_not_is_refused(result, ax):
    with pytest.raises(UnknownNameError, match="did you mean 'depth'"):
        plots.plot_slice(result, ax, name="dept")
    with pytest.raises(ArgumentError, match="two different hyperparameters"):
        plots.plot_contour(result, ax, names=("lr", "lr"))


def test_a_value_that_exploded_does_not_decide_the_limits(result, ax):
    assert min(record.value for record in result.leaderboard(0)) == -1e9
    plots.plot_curves(result, ax)
    assert ax.get_ylim()[0] > -100
    assert any("beyond this axis" in text for text in texts(ax))


def test_parallel_coordinates_have_a_line_a_config(result, ax):
    plots.plot_parallel(result, ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(lines) == len(result.leaderboard(0))
    assert [label.get_text() for label in ax.get_xticklabels()] == [*result.space.names, "rank"]
    momentum = result.space.names.index("momentum")
    gaps = sum(np.isnan(line.get_ydata()[momentum]) for line in lines)
    assert gaps == sum("momentum" not in record.config for record in result.leaderboard(0))


def test_a_contour_lies_over_any_two_hyperparameters(result, ax):
    plots.plot_contour(result, ax, names=("lr", "kind"))
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "lr", "kind")


@pytest.fixture(scope="module")
def fixed():
    """Of a search in which some hyperparameters have a single value."""
    space = {
        "beta": Choice([0.999, 0.9999]),
        "decay": Float(3e-4, 3e-4, log=True),
        "depth": Int(4, 4),
        "lr": Float(0, 1),
        "units": Int(1, 2),
    }
    return search(lambda network, config: config["lr"], space, finalists=1).run(6)


def test_a_single_value_is_the_only_one_on_its_axis(fixed, ax):
    plots.plot_slice(fixed, ax, name="decay")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.0003"]
    assert ax.get_xscale() == "linear"


def test_parallel_coordinates_name_each_of_a_few_values_once_where_its_lines_pass(fixed, ax):
    plots.plot_parallel(fixed, ax)
    labels = [(round(t.xy[0]), t.xy[1], t.get_text()) for t in ax.texts]
    names = fixed.space.names
    for name, expected in {
        "beta": [(0.25, "0.999"), (0.75, "0.9999")],
        "decay": [(0.5, "0.0003")],
        "units": [(0.25, "1"), (0.75, "2")],
    }.items():
        column = names.index(name)
        assert [(place, label) for at, place, label in labels if at == column] == expected


def test_a_contour_needs_more_than_one_value_of_each(fixed, ax):
    plots.plot_contour(fixed, ax, names=("lr", "decay"))
    assert texts(ax) == ["A contour needs two hyperparameters with more than one value."]
    ax.clear()
    plots.plot_contour(fixed, ax)
    assert {ax.get_xlabel(), ax.get_ylabel()} <= {"beta", "lr", "units"}


def test_the_page_of_a_search_with_a_single_value_can_be_written(tmp_path):
    space = {"decay": Float(3e-4, 3e-4), "lr": Float(0, 1)}
    result = search(lambda network, config: config["lr"], space, finalists=1).run(6)
    result.save_html(tmp_path / "study.html")
    assert "more than one value" in (tmp_path / "study.html").read_text()


def test_importance_finds_what_the_values_depend_on(result, ax):
    plots.plot_importance(result, ax)
    found = result.importance
    assert found.decrease.keys() == set(result.space.names)
    means = [mean for mean, _, _ in found.decrease.values()]
    assert means == sorted(means, reverse=True) == [bar.get_width() for bar in ax.patches]
    assert result.most_important(2) == list(found.decrease)[:2]
    assert result.most_important(1) == ["lr"]
    assert f"{found.n} trainings" in ax.get_title()


def test_cost_bars_add_up(result, ax):
    plots.plot_cost(result, ax)
    *parts, full = ax.patches
    assert sum(bar.get_width() for bar in parts) == pytest.approx(result.cost.base_trainings)
    assert full.get_width() == pytest.approx(result.cost.full_search_base_trainings)


def test_the_timeline_has_a_line_for_each_training_that_ran_at_a_time(result, ax):
    history = result.history.snapshot()
    history._records = [
        replace(record, started_at=100.0 + i, ended_at=101.5 + i)
        for i, record in enumerate(result.records)
    ]
    plots.plot_timeline(replace(result, history=history), ax)
    assert len(ax.patches) == len(result.records)
    assert {round(bar.get_y() + bar.get_height() / 2) for bar in ax.patches} == {0, 1}
    assert min(bar.get_x() for bar in ax.patches) == 0


def test_trainings_say_when_they_ran(result):
    for record in result.records:
        assert record.started_at <= record.ended_at
    began = [record.started_at for record in result.records]
    assert began == sorted(began)


@pytest.mark.parametrize("which", ["result", "single"])
def test_the_summary_is_four_plots(which, request):
    figure = request.getfixturevalue(which).plot()
    assert len([ax for ax in figure.axes if ax.has_data()]) >= 3
    assert len(figure.axes) == 4
    figure.canvas.draw()
    plt.close(figure)


def titles(figure):
    return [part.get_suptitle() for part in figure.subfigs]


def test_the_summary_leaves_out_what_says_nothing(result, monkeypatch):
    assert result.fidelity[-1].verdict == "too little evidence"
    monkeypatch.setitem(result.__dict__, "importance", Importance(0, 12, 0.05, {"lr": (0, 0, 0)}))
    figure = result.plot()
    assert titles(figure) == ["Best value against cost", "Climb", "Learning curves", "Values"]
    plt.close(figure)
    monkeypatch.setitem(result.__dict__, "importance", Importance(0, 12, 0.5, {"lr": (1, 0, 2)}))
    figure = result.plot()
    assert titles(figure)[-1] == "Importance"
    plt.close(figure)


@pytest.mark.parametrize("backend", ["inline", "module://matplotlib_inline.backend_inline"])
def test_a_notebook_shows_a_figure_once(backend, monkeypatch):
    figure = plots.plot_cost(search().result).figure
    monkeypatch.setattr("matplotlib.get_backend", lambda: backend)
    with pytest.raises(NotImplementedError):  # IPython then uses its usual formats
        figure._ipython_display_()
    assert not plt.fignum_exists(figure.number), "pyplot does not show it again"


def test_other_backends_keep_the_figure():
    figure = plots.plot_cost(search().result).figure
    with pytest.raises(NotImplementedError):
        figure._ipython_display_()
    assert plt.fignum_exists(figure.number)
    plt.close(figure)

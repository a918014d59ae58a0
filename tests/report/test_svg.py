"""Charts for notebooks."""

import re

from proxyhpo._report.svg import FULL, PROXY, Steps, step_chart


def labels(drawn):
    return re.findall(r">([^<>]+)</text>", drawn)


def test_the_value_axis_is_labelled_at_its_ends():
    assert labels(step_chart([Steps([1, 2], [0.5, 0.75], PROXY)], 3, "cost"))[:2] == ["0.5", "0.75"]


def test_a_single_value_is_labelled_once_in_the_middle():
    drawn = step_chart([Steps([1], [0.5], PROXY)], 3, "cost")
    assert labels(drawn) == ["0.5", "0", "3", "cost"]


def test_a_line_that_begins_at_the_end_has_a_visible_dot():
    drawn = step_chart([Steps([1], [0.5], PROXY), Steps([3], [0.6], FULL)], 3, "cost")
    (dot,) = re.findall(rf'<circle cx="([0-9.]+)" [^>]*fill="{FULL}"', drawn)
    assert float(dot) > 400

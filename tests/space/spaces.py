"""Random spaces, with conditions, for the laws that hold in all of them."""

import itertools

from hypothesis import strategies as st
from torch import nn

from proxyhpo._records.records import config_key
from proxyhpo.space import Choice, Float, Int, Space

OBJECTS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
PLAIN = [None, False, True, 0, 1, 1.0, 2.5, "", "sgd", "ädam"]


@st.composite
def floats(draw, when=None):
    low = draw(st.floats(-1e3, 1e3))
    return Float(low, low + draw(st.floats(1e-2, 1e4)), when=when)


@st.composite
def log_floats(draw, when=None):
    low = 10 ** draw(st.floats(-12, 3))
    return Float(low, low * 10 ** draw(st.floats(0.01, 12)), log=True, when=when)


@st.composite
def stepped_floats(draw, when=None):
    low, step = draw(st.integers(-50, 50)) / 10, draw(st.sampled_from([0.1, 0.25, 1.0, 1 / 3]))
    return Float(low, low + step * draw(st.integers(0, 30)), step=step, when=when)


@st.composite
def ints(draw, when=None):
    low, step = draw(st.integers(-(10**15), 10**15)), draw(st.integers(1, 7))
    return Int(low, low + step * draw(st.integers(0, 10**4)), step=step, when=when)


@st.composite
def log_ints(draw, when=None):
    low = draw(st.integers(1, 10**5))
    return Int(low, low + draw(st.integers(0, 10**6)), log=True, when=when)


@st.composite
def choices(draw, when=None):
    if draw(st.booleans()):
        labels = draw(st.lists(st.sampled_from(sorted(OBJECTS)), min_size=1, unique=True))
        return Choice({label: OBJECTS[label] for label in labels}, when=when)
    options = st.sampled_from(range(len(PLAIN)))  # by index, as 1 == 1.0 == True
    return Choice([PLAIN[i] for i in draw(st.lists(options, min_size=1, unique=True))], when=when)


@st.composite
def small_ints(draw, when=None):
    low = draw(st.integers(1, 3))
    return Int(low, low + draw(st.integers(0, 3)), log=draw(st.booleans()), when=when)


@st.composite
def small_choices(draw, when=None):
    options = st.sampled_from(range(len(PLAIN)))  # by index, as 1 == 1.0 == True
    indices = draw(st.lists(options, min_size=1, max_size=4, unique=True))
    return Choice([PLAIN[i] for i in indices], when=when)


SMALL = [small_ints, small_choices]
KINDS = [floats, log_floats, stepped_floats, ints, log_ints, choices]


@st.composite
def spaces(draw, kinds=tuple(KINDS)):
    """A space of up to five hyperparameters, each perhaps depending on an earlier one."""
    definitions = {}
    for name in draw(st.permutations("abcde"))[: draw(st.integers(1, 5))]:
        when = draw(conditions(definitions)) if definitions else None
        definitions[name] = draw(draw(st.sampled_from(kinds))(when=when))
    if draw(st.booleans()):
        definitions["constant"] = draw(st.sampled_from(PLAIN))
    return Space(definitions)


@st.composite
def conditions(draw, definitions):
    parent = draw(st.none() | st.sampled_from(sorted(definitions)))
    if parent is None:
        return None
    fractions = draw(st.lists(st.floats(0, 1), min_size=1, max_size=2))
    return parent, [definitions[parent].decode(fraction) for fraction in fractions]


def all_configs(space, axes=None):
    """Every config of a small space by its key: all combinations, less what is inactive."""
    axes = axes or {name: space[name].values for name in space.names}
    found = {}
    for combination in itertools.product(*(axes[name] for name in space.names)):
        values = {name: space[name] for name in space if name not in space.names}
        for name, value in zip(space.names, combination, strict=True):
            if space.is_active(name, values):
                values[name] = value
        found[config_key(values)] = values
    return found


def points(space):
    """Points of the unit cube, its faces and corners among them."""
    fraction = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
    return st.lists(fraction, min_size=len(space.names), max_size=len(space.names))

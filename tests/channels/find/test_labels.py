import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.channels.find.labels import DIVIDES, FIXED, INPUT, Labels

PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20)


def classes(labels: Labels, of: np.ndarray) -> list[int]:
    return labels.find(of).tolist()


@given(PAIRS)
def test_joining_in_bulk_gives_the_classes_of_joining_one_by_one(pairs):
    bulk, single = Labels(), Labels()
    many, few = bulk.new(12), single.new(12)
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    bulk.join(many[left], many[right])
    for one, other in reversed(pairs):
        single.join(few[[one]], few[[other]])
    assert classes(bulk, many) == classes(single, few)


@given(PAIRS, st.sets(st.integers(0, 11)))
def test_protection_reaches_the_whole_class_whenever_it_comes(pairs, some):
    before, after = Labels(), Labels()
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    for labels, early in ((before, True), (after, False)):
        dim = labels.new(12)
        if early:
            labels.protect(dim[sorted(some)], "because")
        labels.join(dim[left], dim[right])
        if not early:
            labels.protect(dim[sorted(some)], "because")
    assert before.protected(dim).tolist() == after.protected(dim).tolist()
    roots = set(classes(after, dim[sorted(some)]))
    assert after.protected(dim).tolist() == [root in roots for root in classes(after, dim)]


def test_a_partner_of_a_fixed_index_is_protected_and_fixed_ones_stay_apart():
    labels = Labels()
    dim = labels.new(4)
    labels.join(dim[:2], np.array([FIXED, FIXED]))
    assert labels.protected(dim).tolist() == [True, True, False, False]
    assert labels.reason(dim[0]) == INPUT
    assert classes(labels, dim) == dim.tolist()


def test_the_first_reason_stays():
    labels = Labels()
    dim = labels.new(2)
    labels.protect(dim, "first")
    labels.protect(dim, "second")
    assert labels.reason(dim[1]) == "first"


def test_a_tie_joins_equal_columns():
    labels = Labels()
    matrix = labels.new(6).reshape(3, 2)
    labels.tie(matrix)
    assert len(set(classes(labels, matrix[:, 0]))) == 1
    assert len(set(classes(labels, matrix[0]))) == 2


# One dimension seen as several.


@given(st.integers(2, 5), st.integers(1, 5))
def test_flattening_beside_pixels_repeats_labels_and_the_way_back_finds_them(channels, pixels):
    labels = Labels()
    dim, fixed = labels.new(channels), np.zeros(pixels, np.int64)
    whole = labels.merge([dim, fixed])
    assert whole.tolist() == np.repeat(dim, pixels).tolist()
    again, rest = labels.divide(whole, [channels, pixels])
    assert classes(labels, again) == classes(labels, dim)
    assert (rest == FIXED).all()


def test_only_one_part_is_pruned_and_the_last_where_nothing_else_decides():
    labels = Labels()
    whole = labels.new(12)
    heads, inside = labels.divide(whole, [3, 4])
    labels.settle()
    assert labels.protected(heads).all()
    assert labels.reason(heads[0]) == DIVIDES
    assert not labels.protected(whole).any()
    assert classes(labels, whole) == np.tile(labels.find(inside), 3).tolist()


def test_what_is_learned_later_decides_which_part_is_pruned():
    labels = Labels()
    whole = labels.new(12)
    channels, rows, columns = labels.divide(whole, [3, 2, 2])
    labels.protect(rows, "a convolution slides")
    labels.protect(columns, "a convolution slides")
    labels.settle()
    assert not labels.protected(channels).any()
    assert classes(labels, whole) == np.repeat(labels.find(channels), 4).tolist()


@given(st.permutations([0, 1, 2]))
def test_parts_that_are_moved_and_merged_again_agree_with_the_whole(order):
    labels = Labels()
    sizes = [2, 3, 4]
    whole = labels.new(math.prod(sizes))
    parts = labels.divide(whole, sizes)
    again = labels.merge([parts[axis] for axis in order])
    labels.settle()
    moved = whole.reshape(sizes).transpose(order).ravel()
    assert classes(labels, again) == classes(labels, moved)
    assert len(set(classes(labels, whole))) == 4


def test_a_whole_that_must_stay_keeps_all_of_its_parts():
    labels = Labels()
    parts = [labels.new(2), labels.new(3)]
    whole = labels.merge(parts)
    labels.protect(whole, "it is an output")
    labels.settle()
    assert all(labels.protected(part).all() for part in parts)
    assert labels.reason(parts[0][0]) == "it is an output"


def test_a_size_that_only_python_gave_is_not_what_is_pruned():
    labels = Labels()
    channels, copies = labels.new(4), labels.new(2, solid=False)
    whole = labels.merge([channels, copies])
    labels.settle()
    assert not labels.protected(channels).any()
    assert labels.protected(copies).all()
    assert classes(labels, whole) == np.repeat(labels.find(channels), 2).tolist()

"""How many classes stay: what is asked for, within rounding, whatever the squares demand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from proxyhpo.channels import shrink
from proxyhpo.channels.cut.counting import counts, shares
from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.trace import trace
from proxyhpo.errors import UnsupportedNetworkError
from tests.channels.cut.test_plan import TOKENS, l1, transformer

densities = st.floats(0.05, 1)
rounding = st.sampled_from([1, 4, 8])


@given(st.integers(1, 512), densities, rounding)
def test_a_share_stays_and_never_less_than_half_of_it(n, density, round_to):
    [kept] = shares([n], [], density, round_to)
    asked = max(1, round(n * density))
    assert 1 <= kept <= asked <= n
    assert 2 * kept >= asked
    assert kept == asked or kept % round_to == 0


@st.composite
def squares_between_groups(draw):
    sizes = draw(st.lists(st.integers(1, 48).map(lambda n: 8 * n), min_size=2, max_size=8))
    places = st.lists(st.integers(0, len(sizes) - 1), min_size=2, max_size=3)
    return sizes, draw(st.lists(places, max_size=12))


@given(squares_between_groups(), densities, rounding)
def test_no_square_drives_a_group_away_from_the_density(drawn, density, round_to):
    sizes, squares = drawn
    for n, kept in zip(sizes, shares(sizes, squares, density, round_to), strict=True):
        assert max(1, round(n * density)) / 4 <= kept <= max(2 * density, 1 / min(sizes)) * n


@given(st.integers(1, 64), st.integers(1, 12), densities, rounding)
def test_a_width_and_its_heads_keep_the_same_share(width, heads, density, round_to):
    kept = shares([width * heads, width], [(0, 1)], density, round_to)
    assert kept[0] == kept[1] * heads


def test_squares_that_cannot_agree_are_given_up_and_the_refusal_names_their_layers():
    network = transformer(24, 12, 8)  # heads of 2 and of 3: their widths can only agree at 24
    found = trace(network, TOKENS, ignore=(), clock=Clock(30))
    assert all(8 <= 24 * len(some) / group.n <= 16 for group, some in counts(found, 0.5, 8))
    with pytest.raises(UnsupportedNetworkError, match="qkv"):
        shrink(network, TOKENS, density=0.5, score=l1)


class Nested(nn.Module):
    """Pixels within patches, as in TNT: 16 pixels of a narrow width make up a wide one."""

    def __init__(self, inner=24, outer=384):
        super().__init__()
        self.stem, self.head = nn.Linear(4, inner), nn.Linear(outer, 3)
        self.project = nn.Linear(16 * inner, outer)
        self.inside, self.mixed = nn.Linear(inner, inner), nn.Linear(outer, outer)

    def forward(self, x):  # (n, patches, 16, 4)
        x = self.stem(x)
        x = x + self.inside(x).relu()
        y = self.project(x.flatten(2))
        return self.head(y + self.mixed(y).relu())


class Concatenated(nn.Module):
    """A square weight whose columns come from two layers of unequal width."""

    def __init__(self, left=40, right=88):
        super().__init__()
        self.left, self.right = nn.Linear(4, left), nn.Linear(4, right)
        self.mixed, self.head = nn.Linear(left + right, left + right), nn.Linear(left + right, 3)

    def forward(self, x):
        y = torch.cat([self.left(x), self.right(x)], -1)
        return self.head(y + self.mixed(y).relu())


@pytest.mark.parametrize("density", [0.5, 0.25])
@pytest.mark.parametrize(
    ("network", "inputs"),
    [(Nested(), torch.rand(2, 3, 16, 4)), (Concatenated(), TOKENS)],
    ids=["nested", "concatenated"],
)
def test_nested_and_concatenated_squares_keep_what_is_asked(network, inputs, density):
    shrunk = shrink(network, inputs, density=density, score=l1)
    assert not shrunk.skipped
    for name, full in network.named_parameters():
        small = shrunk.network.get_parameter(name)
        for kept, n in zip(small.shape, full.shape, strict=True):
            assert kept == n or density / 2 <= kept / n <= 1.5 * density, name
    rows, columns = shrunk.network.mixed.weight.shape
    assert rows == columns

import random
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.building import Builder
from proxyhpo._networks.initialisation import is_constant
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError


def new():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


class Half(nn.Module):
    """A pretrained body under a new head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 2)
        with torch.no_grad():
            self.body.weight.copy_(torch.arange(32.0).reshape(8, 4))

    def forward(self, x):
        return self.head(self.body(x))


def calls(build, config=None, **options):
    """What ``build`` was called with."""
    return Builder(build).build({"a": 1} if config is None else config, **options).called


def recorded(*arguments, **keywords):
    """A network that remembers how its constructor was called."""
    network = nn.Linear(1, 1)
    network.called = (arguments, keywords)
    return network


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: recorded(), ((), {})),  # noqa: PLW0108 - the signature is what is tested
        (lambda c: recorded(c), (({"a": 1},), {})),  # noqa: PLW0108 - as above
        (lambda config=None: recorded(config), (({"a": 1},), {})),
        (lambda hidden=3: recorded(hidden), ((3,), {})),
        (lambda *, config: recorded(config), (({"a": 1},), {})),
        (lambda width: recorded(width), ((1.0,), {})),  # noqa: PLW0108 - as above
        (lambda *, width=64: recorded(width), ((64,), {})),
        (lambda c, width: recorded(c, width), (({"a": 1}, 1.0), {})),  # noqa: PLW0108 - as above
        (lambda width, c: recorded(c, width), (({"a": 1}, 1.0), {})),
        (lambda hidden=3, config=None: recorded(hidden, config), ((3, {"a": 1}), {})),
        (partial(lambda c, depth: recorded(c, d=depth), depth=5), (({"a": 1},), {"d": 5})),
        (recorded, ((), {})),
    ],
)
def test_a_constructor_gets_what_its_signature_asks_for(build, expected):
    assert calls(build) == expected


def test_a_class_is_a_constructor():
    network = Builder(Half).build({})
    assert isinstance(network, Half)


def test_a_constructor_cannot_change_the_config():
    config = {"a": 1}
    Builder(lambda config: recorded(config.pop("a"))).build(config)
    assert config == {"a": 1}


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda config, depth: new(), "depth"),
        (lambda config, *, depth: new(), "depth"),
        (lambda a, b, width: new(), "b"),
        (3, "build"),
        (new(), "pretrained"),
    ],
)
def test_what_cannot_be_called_is_refused_at_once(build, named):
    with pytest.raises(ArgumentError, match=named):
        Builder(build)


def test_pretrained_is_checked():
    with pytest.raises(ArgumentError, match="pretrained must be True, False or None, got 'yes'"):
        Builder(new, pretrained="yes")


def test_a_result_that_is_not_a_network_is_rejected():
    with pytest.raises(ArgumentError, match="Module, got str"):
        Builder(lambda: "network").build({})


def test_a_lazy_network_is_refused_until_it_has_run():
    def build():
        return nn.Sequential(nn.LazyLinear(3))

    with pytest.raises(UnsupportedNetworkError, match=r"'0.weight' has no shape yet"):
        Builder(build).examined({})

    def run_once():
        network = build()
        network(torch.zeros(1, 2))
        return network

    assert Builder(run_once).examined({}).shapes["0.weight"] == (3, 2)


def test_a_network_is_copied():
    network = new()
    copied = Builder(network, pretrained=True).build({})
    assert copied is not network
    assert torch.equal(copied[0].weight, network[0].weight)
    assert copied[0].weight.data_ptr() != network[0].weight.data_ptr()


def test_seeded_networks_repeat_and_leave_the_callers_random_states():
    def build():
        network = new()
        network.drawn = (random.random(), np.random.rand(), torch.rand(1).item())
        return network

    builder = Builder(build)
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    one, two, other = builder.seeded({}, 5), builder.seeded({}, 5), builder.seeded({}, 6)
    assert torch.equal(state[0], torch.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()
    assert state[2] == random.getstate()
    assert one.drawn == two.drawn
    assert all(a != b for a, b in zip(one.drawn, other.drawn, strict=True))
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_pretrained_parameters_are_distinguished_from_new_and_constant_ones():
    assert Builder(Half).origins({}).inherited == {"body.weight"}
    assert Builder(new).origins({}).inherited == frozenset()


def test_pretrained_says_so_for_all():
    names = {name for name, _ in Half().named_parameters()}
    assert Builder(Half, pretrained=True).origins({}).inherited == names
    assert Builder(Half, pretrained=False).origins({}).inherited == frozenset()
    assert Builder(Half(), pretrained=True).origins({}).inherited == names


def test_a_choice_between_pretrained_and_new_weights_is_followed():
    def build(config):
        network = Half()
        if not config["pretrained"]:
            nn.init.normal_(network.body.weight)
        return network

    builder = Builder(build)
    assert builder.origins({"pretrained": False}).inherited == frozenset()
    assert builder.origins({"pretrained": True}).inherited == {"body.weight"}
    assert builder.origins({"pretrained": False}).inherited == frozenset()


def test_it_is_found_out_once_where_the_config_does_not_matter():
    built = []
    builder = Builder(lambda: built.append(1) or Half())
    for _ in range(3):
        assert builder.origins({}).inherited
        assert builder.examined({}).shapes
    assert len(built) == 2


def test_shapes():
    assert Builder(Half).examined({}).shapes == {
        "body.weight": (8, 4),
        "body.bias": (8,),
        "head.weight": (2, 8),
        "head.bias": (2,),
    }


def test_a_constructor_that_seeds_itself_is_distinguished_from_a_pretrained_network():
    def build():
        torch.manual_seed(0)
        return new()

    with pytest.raises(ArgumentError, match="build seeds torch's random state"):
        Builder(build).origins({})
    assert Builder(build, pretrained=False).origins({}).inherited == frozenset()
    assert Builder(build).examined({}).shapes


def test_a_constructor_that_returns_the_same_weights_is_refused():
    network, body = new(), nn.Linear(4, 4)
    for build in (lambda: network, lambda: nn.Sequential(body, nn.Linear(4, 2))):
        with pytest.raises(ArgumentError, match="the same weights twice"):
            Builder(build).examined({})


def test_finding_out_leaves_the_callers_random_state():
    state = torch.get_rng_state()
    Builder(Half).origins({})
    assert torch.equal(state, torch.get_rng_state())


def test_wrapped_networks_keep_their_own_names():
    assert "0.weight" in Builder(lambda: nn.DataParallel(new())).examined({}).shapes


def test_constant():
    assert is_constant(torch.zeros(3, 2))
    assert is_constant(torch.tensor(2.0))
    assert is_constant(torch.zeros(0))
    assert not is_constant(torch.tensor([1.0, 1.0, 1.1]))


def test_layer_widths_are_outputs_whatever_the_shape_of_the_weights():
    network = nn.Sequential(
        nn.Conv2d(3, 70, 3), nn.BatchNorm2d(70), nn.ConvTranspose2d(70, 8, 3), nn.LSTM(8, 16),
        nn.MultiheadAttention(16, 2), nn.Linear(16, 5),
    )  # fmt: skip
    builder = Builder(lambda: deepcopy(network), pretrained=False)
    assert list(builder.examined({}).widths.values()) == [70, 8, 16, 16, 5]

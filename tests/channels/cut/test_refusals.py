"""What is left whole, what is refused, and what is said about it."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from proxyhpo._inputs import call
from proxyhpo.channels import shrink
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from tests.channels.zoo import ZOO, half, l1

WAYS_OUT = (r"build\(.*width", "rule", "lower density")


def reasons(shrunk) -> str:
    return "\n".join(f"{name}: {reason}" for name, reason in shrunk.skipped)


# Wrappers are taken off, whatever they are around.


def compiled(network: nn.Module) -> nn.Module:
    return torch.compile(network, backend="eager")


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
def test_wrapped_networks_are_unwrapped(wrap):
    member = ZOO["cnn"]
    network = member.network()
    expected = half(network, member.inputs()).network
    small = half(wrap(network), member.inputs()).network
    assert type(small) is type(network)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(small.state_dict()[name], tensor)


def test_a_distributed_network_is_unwrapped(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        member = ZOO["mlp"]
        network = nn.parallel.DistributedDataParallel(member.network())
        small = half(network, member.inputs()).network
        assert isinstance(small, nn.Sequential)
        assert small[0].out_features == 16
    finally:
        torch.distributed.destroy_process_group()


def test_a_compiled_block_inside_is_unwrapped():
    network = nn.Sequential(
        nn.Linear(16, 32), compiled(nn.Sequential(nn.ReLU(), nn.Linear(32, 32))), nn.Linear(32, 5)
    )
    small = half(network, torch.zeros(4, 16)).network
    assert [tuple(p.shape) for p in small.parameters()] == [
        (16, 16),
        (16,),
        (16, 16),
        (16,),
        (5, 16),
        (5,),
    ]


# Refused by name.


def test_a_script_module_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, and still about
        scripted = torch.jit.script(nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 5)))
    with pytest.raises(UnsupportedNetworkError, match="ScriptModule"):
        half(scripted, torch.zeros(4, 16))
    with pytest.raises(UnsupportedNetworkError, match=r"body.*ScriptModule"):
        half(nn.ModuleDict({"body": scripted}), torch.zeros(4, 16))


def test_an_uninitialised_lazy_module_is_refused():
    network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.LazyLinear(5))
    with pytest.raises(UnsupportedNetworkError, match=r"2.*LazyLinear"):
        half(network, torch.zeros(4, 16))
    network(torch.zeros(4, 16))
    assert half(network, torch.zeros(4, 16)).network[2].in_features == 16


@pytest.mark.parametrize("density", [0, -0.5, 1.5, float("nan")])
def test_a_density_outside_its_range_is_refused(density):
    with pytest.raises(ArgumentError, match=r"density.*\(0, 1\]"):
        shrink(nn.Linear(2, 2), torch.zeros(4, 2), density=density, score=l1)


def test_an_unknown_name_to_ignore_is_refused_and_the_nearest_suggested():
    network = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 5))
    with pytest.raises(ArgumentError, match="ignore"):
        half(network, torch.zeros(4, 16), ignore=["7"])


def test_a_network_without_tensors_in_its_outputs_is_refused():
    class Counts(nn.Linear):
        def forward(self, x):
            return len(super().forward(x))

    with pytest.raises(UnsupportedNetworkError, match=r"Counts must return a tensor.*got int"):
        half(Counts(16, 5), torch.zeros(4, 16))


def test_a_forward_that_fails_by_itself_says_its_own_error():
    network = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 5))
    with pytest.raises(UnsupportedNetworkError, match="example_inputs") as caught:
        half(network, torch.zeros(4, 15))
    assert isinstance(caught.value.__cause__, RuntimeError)


# Nothing to prune: the reasons and the ways out.


def test_a_network_whose_every_channel_is_an_output_is_refused_with_the_ways_out():
    with pytest.raises(UnsupportedNetworkError) as caught:
        half(nn.Sequential(nn.Linear(16, 5), nn.Tanh()), torch.zeros(4, 16))
    assert caught.match(r"weight .*: its size is the size of an output")
    for way in WAYS_OUT:
        assert caught.match(way)


class Literal(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 5)
        self.sizes = [str(size) for size in sizes]  # no integers, so that they stay

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.second(hidden.view(*map(int, self.sizes)).reshape(-1, 32))


@pytest.mark.parametrize("sizes", [(-1, 2, 16), (4, 32), (4, 2, 16)])
def test_literal_sizes_are_refused_with_the_place_of_each_and_the_remedy(sizes):
    with pytest.raises(UnsupportedNetworkError, match="first") as caught:
        half(Literal(*sizes), torch.zeros(4, 16))
    *_, remedy = str(caught.value).splitlines()
    assert remedy.startswith("Does forward contain a literal size? Write x.flatten(1)")
    assert "operator" not in remedy
    assert "density" not in remedy


def test_everything_ignored_is_refused():
    network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))
    with pytest.raises(UnsupportedNetworkError, match="ignore"):
        half(network, torch.zeros(4, 16), ignore=["0", "2"])


# Left whole, reported, and the rest pruned all the same.


def test_a_literal_view_leaves_its_layer_whole_and_says_so():
    member = ZOO["view_literal"]
    shrunk = half(member.network(), member.inputs())
    assert shrunk.network.second.out_channels == 32
    assert shrunk.network.first.out_channels == 16
    assert "second" in reasons(shrunk)
    assert "first" not in {name.partition(".")[0] for name, _ in shrunk.skipped}


def test_ignored_modules_are_not_pruned():
    member = ZOO["cifar_resnet"]
    network = member.network()
    inner = {
        name: module for name, module in network.named_modules() if name.startswith("layers.2.")
    }
    shrunk = half(network, member.inputs(), ignore=["layers.2"])
    for name, module in inner.items():
        for key, parameter in module.named_parameters(recurse=False):
            assert shrunk.network.get_submodule(name).get_parameter(key).shape == parameter.shape
    assert shrunk.network.layers[0].conv1.out_channels == 8
    assert "layers.2" in reasons(shrunk)


class Between(nn.Module):
    """A function that is not known, between two halves of an ordinary network."""

    def __init__(self, function, inside=24):
        super().__init__()
        self.before = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 24))
        self.function = function
        self.after = nn.Sequential(nn.Linear(inside, 64), nn.ReLU(), nn.Linear(64, 5))

    def forward(self, x):
        return self.after(self.function(self.before(x)))


@torch.library.custom_op("proxyhpo_tests::flip_by_hand", mutates_args=())
def flip_by_hand(x: torch.Tensor) -> torch.Tensor:
    return x.flip(-1).clone()


@flip_by_hand.register_fake
def _(x):
    return torch.empty_like(x)


flip_by_hand.register_autograd(lambda _, gradient: gradient.flip(-1))


@pytest.mark.parametrize(
    ("function", "inside", "operator"),
    [
        (lambda x: torch.sort(x, dim=-1).values, 24, "sort"),
        (flip_by_hand, 24, "flip_by_hand"),
    ],
    ids=["sort", "custom"],
)
def test_an_unknown_operator_protects_what_it_touches_and_is_named(function, inside, operator):
    network = Between(function, inside)
    shrunk = half(network, torch.randn(4, 16))
    assert shrunk.network.before[0].out_features == 32
    assert shrunk.network.before[2].out_features == 24
    assert shrunk.network.after[0].in_features == inside
    assert shrunk.network.after[0].out_features == 32
    assert any(operator in reason and "before.2" in name for name, reason in shrunk.skipped), (
        shrunk.skipped
    )


def test_a_literal_inside_an_attention_leaves_the_rest_pruned():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.qkv, self.out = nn.Linear(16, 32), nn.Linear(32, 96), nn.Linear(32, 32)
            self.mlp = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 5))

        def forward(self, x):
            x = self.stem(x)
            q, k, v = self.qkv(x).view(-1, 6, 3, 4, 8).unbind(2)
            y = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.mlp(x + self.out(y.reshape(-1, 6, 32)))

    network, inputs = Heads(), torch.randn(4, 6, 16)
    shrunk = half(network, inputs)
    assert shrunk.network.mlp[0].out_features == 64
    assert shrunk.network.qkv.out_features == 96
    assert "qkv" in reasons(shrunk)
    assert call(copy.deepcopy(shrunk.network), inputs).shape == (4, 6, 5)


@pytest.mark.parametrize("name", ["parameters", "children"])
def test_a_part_that_hides_a_method_is_refused_by_name(name):
    network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))
    setattr(network, name, nn.ParameterList([nn.Parameter(torch.zeros(2))]))
    with pytest.raises(UnsupportedNetworkError, match=f"hides the method {name}"):
        half(network, torch.zeros(4, 16))

"""The scale of the user's initialisation is kept, whatever it is and whatever pruned the network.

The networks here are cut by a pruner of the test's own, so that only the rescaling is at stake.
"""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from proxyhpo._inputs import call
from proxyhpo._networks.fans import fans_of
from proxyhpo._networks.initialisation import rescale
from proxyhpo.channels.find.forward import outputs_of
from proxyhpo.pruners import L1StructuredPruner, MagnitudePruner
from tests.channels.zoo import ZOO

# Wide enough that the scale of one network says something: its spread grows with depth / width.
WIDTH, DEPTH = 320, 8


def kaiming(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def truncated(weight):
    nn.init.trunc_normal_(weight, std=1.4 / math.sqrt(weight[0].numel()))


def default(weight):
    """PyTorch's own: the network falls silent, and so must its proxy, by as much."""


def orthogonal(weight):
    nn.init.orthogonal_(weight, gain=1.4)


def mlp(init, activation=nn.ReLU):
    layers = [nn.Linear(32, WIDTH), activation()]
    for _ in range(DEPTH - 2):
        layers += [nn.Linear(WIDTH, WIDTH), activation()]
    network = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    return initialised(network, init)


def cnn(init, activation=nn.ReLU, width=160, depth=6):
    layers = [nn.Conv2d(3, width, 3, padding=1), activation()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(width, width, 3, padding=1), activation()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    return initialised(network, init)


def initialised(network, init):
    for module in network:
        if hasattr(module, "weight"):
            init(module.weight)
    return network


def sliced(network, density):
    """Keeps, in each layer of a chain, the channels of largest L1 norm."""
    network = copy.deepcopy(network)
    layers = [module for module in network if hasattr(module, "weight")]
    for layer, after in pairwise(layers):
        norms = layer.weight.detach().abs().flatten(1).sum(1)
        kept = norms.topk(round(density * len(norms))).indices.sort().values
        layer.weight = nn.Parameter(layer.weight.detach()[kept])
        layer.bias = nn.Parameter(layer.bias.detach()[kept])
        after.weight = nn.Parameter(after.weight.detach()[:, kept])
    return network


def output_std(network, inputs):
    with torch.no_grad():
        return float(torch.stack([x.std() for x in outputs_of(call(network, inputs))]).mean())


def mean_ratio(make, prune, inputs, *, rescaled=True, seeds=12):
    """The proxy's output std over the full network's, averaged over seeds."""
    stds = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        full = make()
        proxy = prune(full)
        if rescaled:
            rescale(proxy, full)
        stds.append((output_std(proxy, inputs), output_std(full, inputs)))
    of_proxies, of_full = zip(*stds, strict=True)
    return sum(of_proxies) / sum(of_full)


@pytest.mark.parametrize("density", [0.5, 0.25])
@pytest.mark.parametrize(
    ("init", "activation"),
    [
        (kaiming, nn.ReLU),
        (kaiming, nn.GELU),
        (kaiming, nn.Tanh),
        (kaiming, nn.LeakyReLU),
        (truncated, nn.ReLU),
        (orthogonal, nn.ReLU),
        (default, nn.ReLU),
    ],
)
def test_a_deep_mlp_keeps_the_scale_of_its_output(init, activation, density):
    inputs = torch.randn(256, 32)
    ratio = mean_ratio(lambda: mlp(init, activation), lambda n: sliced(n, density), inputs)
    assert 0.8 < ratio < 1.2


@pytest.mark.parametrize("density", [0.5, 0.25])
def test_without_rescaling_it_does_not(density):
    inputs = torch.randn(256, 32)
    raw = mean_ratio(
        lambda: mlp(kaiming), lambda n: sliced(n, density), inputs, rescaled=False, seeds=3
    )
    assert raw < 0.5


@pytest.mark.parametrize("density", [0.5, 0.25])
def test_so_does_a_deep_cnn(density):
    inputs = torch.randn(16, 3, 6, 6)
    ratio = mean_ratio(lambda: cnn(kaiming), lambda n: sliced(n, density), inputs)
    assert 0.8 < ratio < 1.2


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("density", [0.5, 0.25])
def test_so_does_a_masked_one(scope, density):
    inputs = torch.randn(256, 32)

    def prune(network):
        return (
            MagnitudePruner(scope=scope)
            .prune(network, inputs, density=density, generator=torch.Generator())
            .network
        )

    assert 0.8 < mean_ratio(lambda: mlp(kaiming), prune, inputs, seeds=4) < 1.2


@pytest.mark.parametrize("density", [0.5, 0.25])
@pytest.mark.parametrize(
    "name",
    [
        "residual_mlp",
        "glu",
        "einsum",
        "parameter_lists",
        "tied_autoencoder",
        "pixel_shuffle",
        "upsampling",
        "weight_norm",
        "lstm_2_layers_1_directions_h_n",
        "gru_1_layers_2_directions_h_n",
        "cross_attention",
    ],
)
def test_networks_of_every_kind_keep_the_scale_of_their_outputs(name, density):
    """They are small, so that many are averaged; 30 % is about three standard errors."""
    member = ZOO[name]
    inputs, pruner = member.inputs(), L1StructuredPruner()
    generator = torch.Generator()

    def prune(network):
        pruned = pruner.prune(network, inputs, density=density, generator=generator)
        rescale(pruned.network, network, contracted=pruned.contracted)
        return pruned.network

    ratio = mean_ratio(member.build, prune, inputs, rescaled=False, seeds=16)
    assert 0.7 < ratio < 1.3


def test_each_weight_gets_its_scale_back():
    full = mlp(kaiming)
    proxy = sliced(full, 0.25)
    rescale(proxy, full)
    for name, parameter in proxy.named_parameters():
        original = full.get_parameter(name)
        fan, before = (fans_of(network)[name].fan_in or 1 for network in (proxy, full))
        rms, was = (p.square().mean().sqrt().item() for p in (parameter, original))
        assert rms * math.sqrt(fan) == pytest.approx(was * math.sqrt(before), rel=1e-4)


def test_inherited_and_constant_parameters_stay():
    full = mlp(kaiming)
    nn.init.zeros_(full[4].weight)
    nn.init.constant_(full[6].bias, 0.3)
    proxy = sliced(full, 0.5)
    before = copy.deepcopy(proxy)
    rescale(proxy, full, inherited={"0.weight", "2.weight"})
    for name in ("0.weight", "2.weight", "4.weight", "6.bias"):
        assert torch.equal(proxy.get_parameter(name), before.get_parameter(name)), name
    assert not torch.equal(proxy[8].weight, before[8].weight)


def test_an_equal_network_is_not_changed():
    full = mlp(kaiming)
    copied = copy.deepcopy(full)
    rescale(copied, full)
    assert all(
        torch.equal(a, b) for a, b in zip(copied.parameters(), full.parameters(), strict=True)
    )


@pytest.mark.parametrize("shape", [(64, 64), (96, 32), (32, 96)])
def test_slices_of_an_orthogonal_matrix_are_made_orthogonal_again(shape):
    full = nn.Sequential(nn.Linear(shape[1], shape[0], bias=False))
    nn.init.orthogonal_(full[0].weight, gain=2)
    proxy = copy.deepcopy(full)
    proxy[0].weight = nn.Parameter(
        full[0].weight.detach()[: shape[0] // 2, : shape[1] // 2].clone()
    )
    assert not _is_orthogonal(proxy[0].weight)
    rescale(proxy, full)
    assert _is_orthogonal(proxy[0].weight)
    power = [float(n[0].weight.detach().square().mean()) for n in (proxy, full)]
    assert power[0] * (shape[1] // 2) == pytest.approx(power[1] * shape[1], rel=1e-4)


def _is_orthogonal(weight):
    weight = weight.detach()
    matrix = weight if weight.shape[0] <= weight.shape[1] else weight.T
    gram = matrix @ matrix.T
    scale = gram.diagonal().mean()
    return torch.allclose(gram, scale * torch.eye(len(gram)), atol=1e-4 * float(scale))


def test_an_orthogonal_kernel_too():
    full = nn.Sequential(nn.Conv2d(16, 32, 3, bias=False))
    nn.init.orthogonal_(full[0].weight)
    proxy = nn.Sequential(nn.Conv2d(8, 16, 3, bias=False))
    proxy[0].weight = nn.Parameter(full[0].weight.detach()[::2, ::2].clone())
    rescale(proxy, full)
    assert _is_orthogonal(proxy[0].weight.flatten(1))


def test_masked_weights_stay_zero():
    torch.manual_seed(0)
    full = mlp(orthogonal)
    inputs = torch.randn(4, 32)
    proxy = MagnitudePruner().prune(full, inputs, density=0.3, generator=torch.Generator()).network
    away = {name: p == 0 for name, p in proxy.named_parameters()}
    rescale(proxy, full)
    assert all((p[away[name]] == 0).all() for name, p in proxy.named_parameters())


def test_a_tied_weight_is_used_both_ways():
    full, proxy = (nn.ParameterDict({"w": torch.randn(n, n)}) for n in (40, 10))
    proxy["w"] = nn.Parameter(full["w"].detach()[:10, :10].clone())
    rescale(proxy, full, contracted={"w": (0, 1)})
    power = [float(n["w"].detach().square().mean()) for n in (proxy, full)]
    assert power[0] / power[1] == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_spectral_norms_are_those_of_the_smaller_weight(training):
    full = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(64, 64)))
    proxy = copy.deepcopy(full).train(training)
    parametrized = proxy[0].parametrizations.weight
    parametrized.original = nn.Parameter(parametrized.original.detach()[:16, :16].clone())
    parametrized[0]._u, parametrized[0]._v = (
        torch.nn.functional.normalize(vector[:16], dim=0)
        for vector in (parametrized[0]._u, parametrized[0]._v)
    )
    rescale(proxy, full)
    assert parametrized[0].training == training
    with torch.no_grad():
        assert float(torch.linalg.matrix_norm(proxy.eval()[0].weight, 2)) < 1.1


def test_half_precision():
    full = nn.Sequential(nn.Linear(64, 64)).bfloat16()
    proxy = nn.Sequential(nn.Linear(32, 32)).bfloat16()
    proxy[0].weight = nn.Parameter(full[0].weight.detach()[:32, :32].clone())
    rescale(proxy, full)
    assert proxy[0].weight.dtype == torch.bfloat16
    power = [float(n[0].weight.detach().float().square().mean()) for n in (proxy, full)]
    assert power[0] / power[1] == pytest.approx(2, rel=0.05)


FANS = {
    "linear": (nn.Linear(6, 4), {"weight": 6, "bias": None}),
    "bilinear": (nn.Bilinear(3, 5, 4), {"weight": 15}),
    "conv": (nn.Conv2d(4, 8, 3), {"weight": 36}),
    "grouped": (nn.Conv2d(4, 8, 3, groups=2), {"weight": 18}),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), {"weight": 9}),
    "transposed": (nn.ConvTranspose2d(4, 6, 3), {"weight": 36}),
    "transposed depthwise": (nn.ConvTranspose1d(4, 4, 3, groups=4), {"weight": 3}),
    "embedding": (nn.Embedding(10, 4), {"weight": None}),
    "lstm": (nn.LSTM(5, 7, proj_size=3), {"weight_ih_l0": 5, "weight_hh_l0": 3, "weight_hr_l0": 7}),
    "attention": (
        nn.MultiheadAttention(8, 2, add_bias_kv=True),
        {"in_proj_weight": 8, "out_proj.weight": 8, "bias_k": None, "in_proj_bias": None},
    ),
    "norm": (nn.LayerNorm((3, 4)), {"weight": None}),
    "raw": (nn.ParameterList([torch.zeros(3, 4, 5)]), {"0": 20}),
    "weight norm": (
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)),
        {"parametrizations.weight.original0": 1, "parametrizations.weight.original1": 6},
    ),
}


@pytest.mark.parametrize("kind", FANS)
def test_fan_in_by_the_type_of_the_module(kind):
    module, expected = FANS[kind]
    network = nn.ModuleDict({"m": module})
    fans = fans_of(network)
    assert {name: fans[f"m.{name}"].fan_in for name in expected} == expected


def test_fan_in_as_the_pruner_saw_it():
    network = nn.ParameterDict({"w": torch.zeros(3, 4, 5)})
    assert fans_of(network, {"w": (0,)})["w"].fan_in == 3
    assert fans_of(network, {"w": ()})["w"].fan_in is None


def test_weight_norm_keeps_its_own_scale():
    full = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)))
    proxy = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(32, 32)))
    for index in (0, 1):
        name = f"original{index}"
        original = getattr(full[0].parametrizations.weight, name).detach()
        part = original[:32, : original.shape[1] // 2 or 1].clone()
        setattr(proxy[0].parametrizations.weight, name, nn.Parameter(part))
    rescale(proxy, full)
    rms = proxy[0].weight.detach().square().mean() * 32
    assert float(rms) == pytest.approx(float(full[0].weight.detach().square().mean() * 64), rel=0.1)

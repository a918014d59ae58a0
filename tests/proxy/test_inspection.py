import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._proxy.inspection import inspect
from proxyhpo.errors import ArgumentError, UnknownNameError, UnsupportedNetworkError
from proxyhpo.pruners import ByWidthPruner, MagnitudePruner


class Network(nn.Module):
    def __init__(self, width=1.0):
        super().__init__()
        n = round(32 * width)
        self.scale = nn.Parameter(torch.ones(1))
        self.words = nn.Embedding(20, n)
        self.rnn = nn.LSTM(n, n, batch_first=True)
        self.up = nn.ConvTranspose1d(n, n // 2, 3)
        self.norm = nn.BatchNorm1d(n // 2)
        self.head = nn.Linear(n // 2, 3)

    def forward(self, x):
        x = self.rnn(self.words(x))[0].transpose(1, 2)
        return self.head(self.norm(self.up(x)).mean(2)) * self.scale


TOKENS = torch.arange(24).reshape(4, 6) % 20


def by_width(**options):
    return inspect(Network, TOKENS, pruner=ByWidthPruner(), **options)


def test_each_layer():
    layers = {layer.name: layer for layer in by_width(density=0.5).layers}
    assert list(layers) == ["", "words", "rnn", "up", "norm", "head"]
    kinds = ["Network", "Embedding", "LSTM", "ConvTranspose1d", "BatchNorm1d", "Linear"]
    assert [layer.kind for layer in layers.values()] == kinds
    channels = [layer.channels for layer in layers.values()]
    assert channels == [(1, 1), (16, 32), (16, 32), (8, 16), (8, 16), (3, 3)]
    assert layers["words"].parameters == (20 * 16, 20 * 32)
    assert layers["head"].parameters == (3 * 8 + 3, 3 * 16 + 3)
    assert layers["head"].flops == (2 * 4 * 3 * 8, 2 * 4 * 3 * 16)
    assert layers["norm"].flops == (0, 0)


def test_totals():
    inspection = by_width(density=0.5)
    for side, total in enumerate((inspection.proxy, inspection.base)):
        assert sum(layer.parameters[side] for layer in inspection.layers) == total.parameters
        assert sum(layer.flops[side] for layer in inspection.layers) == total.flops
    assert inspection.flops_ratio == inspection.proxy.flops / inspection.base.flops
    assert inspection.time_ratio > 0


def test_what_it_prints():
    text = repr(by_width(density=0.5))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "type", "channels", "parameters", "FLOPs"]
    assert any(line.split()[:5] == ["rnn", "LSTM", "16", "of", "32"] for line in lines)
    for word in ("density      0.5", "parameters   ", "FLOPs        ", "step time    "):
        assert word in text


def test_what_a_notebook_shows_is_escaped():
    class Strange(nn.Sequential):
        pass

    Strange.__name__ = "<script>"
    network = Strange(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    network.spare = nn.Parameter(torch.zeros(1))
    shown = inspect(
        network, torch.zeros(2, 4), pruner=MagnitudePruner(), density=0.5, pretrained=True
    )._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "<td>32 of 32</td>" in shown


def test_masks():
    network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 2))
    inspection = inspect(
        network, torch.zeros(2, 4), pruner="magnitude", density=0.5, pretrained=True
    )
    first, second, head = inspection.layers
    assert first.parameters == (4 * 16 + 32, 4 * 32 + 32)
    assert second.channels == (32, 32)
    assert head.parameters == (66, 66)
    assert inspection.proxy.parameters == sum(layer.parameters[0] for layer in inspection.layers)
    assert "not pruned:  3.weight: head" in repr(inspection)


def test_warnings():
    network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    inspection = inspect(
        network, torch.zeros(2, 4), pruner="magnitude", density=0.5, pretrained=True
    )
    weak, unproven = inspection.warnings
    assert "saves no time on dense hardware" in weak
    assert "4 parameters are pretrained" in unproven
    assert "unproven" in repr(inspection)


def test_the_full_network_itself():
    inspection = inspect(Network, TOKENS, density=1, pruner="magnitude")
    assert inspection.warnings == []
    assert inspection.flops_ratio == 1


def test_flops_that_cannot_be_counted():
    class Elementwise(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = (nn.Parameter(torch.rand(1, n, 1)) for n in (8, 2))

        def forward(self, x):
            return torch.fft.fft(x * self.inner).real * self.outer[:, :1]

    inspection = inspect(Elementwise, torch.rand(3, 8, 4), density=1, pruner="magnitude")
    assert inspection.flops_ratio is None
    assert "not counted: no operator" in repr(inspection)


def test_the_config_and_the_seed_reach_build():
    def build(config):
        return nn.Sequential(nn.Linear(4, config["n"]), nn.Linear(config["n"], 2))

    inspections = [
        inspect(build, torch.zeros(2, 4), pruner="magnitude", config={"n": 50}, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert inspections[0].layers[0].channels == (50, 50)
    sums = [float(i.base.network[0].weight.detach().sum()) for i in inspections]
    assert sums[0] == sums[1] != sums[2]


def test_what_cannot_be_pruned_is_refused():
    with pytest.raises(UnsupportedNetworkError):
        inspect(lambda: nn.Sequential(nn.Linear(4, 2)), torch.zeros(2, 4), pruner="magnitude")
    with pytest.raises(UnknownNameError, match="did you mean 'magnitude'"):
        inspect(Network, TOKENS, pruner="magnitud")


class Distilled(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
        self.head, self.off = nn.Linear(64, 1), nn.Linear(64, 5)
        self.head.bias.data = torch.ones(1)
        self.teacher = nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 512))
        self.teacher.requires_grad_(False)
        self.positions = nn.Parameter(torch.arange(8.0))

    def forward(self, x):
        return self.head(self.student(x + self.positions).relu())


def test_inherited_frozen_and_unreached_parameters_are_reported():
    inspection = inspect(Distilled, torch.randn(16, 8), density=0.25)
    assert inspection.proxy.width_ratio == pytest.approx(
        (512 + 64 * 64 / 4 + 64 / 4) / (512 + 4160)
    )
    text = repr(inspection)
    for line in (
        "width ratio: the mean kept fan-in of 3 weight matrices, from 0.25 (student.2.weight) to 1",
        "(student.0.weight); frozen and unreached ones are excluded",
        "inherited:   positions; 0% of the weights are pretrained, but the network is not",
        "frozen:      teacher\n",
        "unreached:   off, teacher; no output depends on them in training",
    ):
        assert line in text
    assert not inspection.warnings or "pretrained" not in " ".join(inspection.warnings)


def test_a_pretrained_network_is_reported():
    class Tuned(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(8, 64), nn.Linear(64, 4)
            self.body.weight.data = torch.arange(512.0).sin().reshape(64, 8)

        def forward(self, x):
            return self.head(self.body(x).relu())

    inspection = inspect(Tuned, torch.randn(16, 8))
    assert (
        "inherited:   body.weight; 67% of the weights are pretrained, the network is considered"
        in repr(inspection)
    )
    assert any("pretrained and inherited" in warning for warning in inspection.warnings)


@pytest.mark.parametrize(
    ("width", "pretrained", "density"), [(64, False, 1 / 8), (48, False, 1 / 4), (64, True, 1 / 2)]
)
def test_the_default_density_is_that_of_a_search(width, pretrained, density):
    def build():
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2))

    inputs = torch.randn(16, 8)
    assert inspect(build, inputs, pretrained=pretrained).proxy.density == density
    study = ProxyHPO(
        build,
        lambda network, config: config["lr"],
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=inputs,
        direction="minimize",
        pretrained=pretrained,
    )
    assert study.ladder[0].density == density


def test_a_build_of_a_config_needs_one():
    def build(config):
        return nn.Sequential(nn.Linear(8, config["d"]), nn.ReLU(), nn.Linear(config["d"], 1))

    with pytest.raises(ArgumentError, match=r"build takes a config: .*, for example config=\{"):
        inspect(build, torch.randn(16, 8))
    assert inspect(build, torch.randn(16, 8), config={"d": 64}).proxy.width_ratio < 1


class Normalised(nn.Module):
    def __init__(self, *, norm):
        super().__init__()
        self.first, self.inner, self.head = nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 2)
        self.norm = norm

    def forward(self, x):
        x = self.inner(self.first(x).relu()).relu()
        return self.head(nn.functional.layer_norm(x, x.shape[-1:]) if self.norm else x)


@pytest.mark.parametrize("norm, most, said", [(True, "4", ""), (False, "2.83", "no ")])
def test_scaled_updates_are_reported(norm, most, said):
    text = repr(inspect(lambda: Normalised(norm=norm), torch.randn(16, 8), density=0.25))
    adam = f"parameters are multiplied by 1 to {most} (inner.weight, head.weight) in Adam; {said}"
    assert f"updates of 2 of 6 {adam}normalisation layers" in text
    assert "5 of 6 parameters are multiplied by 0.5 to 4 (head.weight, inner.weight, " in text
    whole = inspect(lambda: Normalised(norm=norm), torch.randn(16, 8), density=1)
    assert "layerwise" not in repr(whole)

import pytest
import torch
from torch import nn

from proxyhpo._proxy import Proxy
from proxyhpo._proxy import factory as proxies
from proxyhpo._proxy.choosing import density_for_cost, weak_saving
from proxyhpo.errors import ArgumentError, UnknownNameError, UnsupportedNetworkError
from proxyhpo.pruners import MagnitudePruner
from tests.proxy.perceptrons import Fixed, Random, build, factory, seed


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    """A step takes what its weights take, and an overhead."""
    monkeypatch.setattr(proxies, "step_seconds", lambda network, *_, **__: cost_of(network))


class TestDensityForCost:
    @pytest.mark.parametrize("cost", [0.5, 0.2, 0.1, 0.05])
    def test_the_flops_come_near(self, cost):
        made = factory()
        base = made.measured({}, density=1, seed=seed())
        found = density_for_cost(made, {}, cost, seed=seed(), by="flops")
        assert found.flops / base.flops == pytest.approx(cost, rel=0.2)
        assert found.density < 1

    def test_time_is_what_counts_by_default(self):
        found = density_for_cost(factory(), {}, 0.3, seed=seed())
        assert cost_of(found.network) / cost_of(build()) == pytest.approx(0.3, rel=0.2)

    def test_the_nearest_of_coarse_steps_is_taken(self):
        made = factory(pruner=Random(rounding=16))
        base = made.measured({}, density=1, seed=seed())
        found = density_for_cost(made, {}, 0.3, seed=seed(), by="flops")
        assert len(found.network[0].weight) == 32
        assert found.flops < base.flops

    def test_few_networks_are_built(self):
        built = []

        class Counting(Random):
            def prune(self, *arguments, **options):
                built.append(options["density"])
                return super().prune(*arguments, **options)

        for cost in (0.5, 0.1):
            density_for_cost(factory(pruner=Counting()), {}, cost, seed=seed(), by="flops")
        assert len(built) <= 8

    def test_densities_that_save_nothing_are_passed_over(self):
        class Coarse(Random):
            """Whole from a density of .1 on."""

            def prune(self, network, example_inputs, *, density, generator):
                density = 1 if density > 0.1 else density
                return super().prune(network, example_inputs, density=density, generator=generator)

        found = density_for_cost(factory(pruner=Coarse()), {}, 0.3, seed=seed(), by="flops")
        assert found.density < 0.1

    def test_where_no_density_saves_anything_the_reason_is_given(self):
        with pytest.raises(UnsupportedNetworkError, match="keeps 100% of the cost"):
            density_for_cost(factory(pruner=Fixed(1)), {}, 0.3, seed=seed())

    def test_a_cost_of_1_is_the_full_network(self):
        assert density_for_cost(factory(), {}, 1, seed=seed()).density == 1

    def test_a_small_saving_is_logged_with_the_reason(self, monkeypatch, caplog):
        density_for_cost(factory(), {}, 0.3, seed=seed())
        assert not caplog.records
        monkeypatch.setattr(proxies, "step_seconds", lambda *_, **__: 1.0)
        density_for_cost(factory(), {}, 0.3, seed=seed(), by="flops")
        density_for_cost(factory(pruner=MagnitudePruner()), {}, 0.3, seed=seed())
        by_size, by_masks = caplog.records
        assert {(r.name, r.levelname) for r in caplog.records} == {("proxyhpo", "WARNING")}
        assert by_size.getMessage().startswith("cost 0.3: a step of the proxy of density ")
        assert "most time is not spent on arithmetic" in by_size.getMessage()
        assert "masked, which saves no time" in by_masks.getMessage()

    @pytest.mark.parametrize("cost", [0, 1.5, True, float("nan")])
    def test_cost_is_checked(self, cost):
        with pytest.raises(ArgumentError, match=r"cost must be in \(0, 1\]"):
            density_for_cost(factory(), {}, cost, seed=seed())

    def test_by_is_checked(self):
        with pytest.raises(UnknownNameError, match="did you mean 'flops'"):
            density_for_cost(factory(), {}, 0.5, seed=seed(), by="flop")

    def test_flops_that_cannot_be_counted(self):
        class Elementwise(nn.Module):
            def __init__(self):
                super().__init__()
                self.w = nn.Parameter(torch.rand(6))

            def forward(self, x):
                return x * self.w

        with pytest.raises(ArgumentError, match=r"cannot be counted, no operator.*; use by='time'"):
            density_for_cost(factory(Elementwise), {}, 0.5, seed=seed(), by="flops")


def cost_of(network):
    return 1 + sum(p.numel() for p in network.parameters()) / 500


def measured(seconds, flops, skipped=(), *, density=0.5):
    return Proxy(nn.Identity(), density, 10, flops, seconds, 0.5, skipped)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        (measured(0.5, 25), None),
        (measured(1.0, 100, density=0.125), "density 0.125 is not faster than one of the full"),
        (measured(4.5, 25), "takes 4.5 times as long as one of the full network: its FLOPs"),
        (measured(0.8, 25), "1.25x faster: its FLOPs are 25%, but at this size"),
        (measured(0.9, 95, [("conv", "view")]), "its FLOPs are 95%; not pruned: conv"),
        (measured(0.9, 95, [("conv", "x gives shape (2, 4) instead of (2, 2)")]), "x.flatten(1)"),
        (measured(1.0, 100), "masked"),
        (measured(1.0, None), "could not be counted"),
    ],
)
def test_a_weak_saving_is_reported_with_its_reason(proxy, said):
    text = weak_saving(proxy, measured(1.0, 100))
    assert text is None if said is None else said in text

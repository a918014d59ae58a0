"""The rule, and what a study makes of it."""

import copy
import gc
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import optimizer as torch_optimizer

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo._networks.fans import FanRatios
from proxyhpo._records.records import Record
from proxyhpo.errors import ArgumentError
from proxyhpo.transfers import (
    LayerwiseTransfer,
    Transfer,
    Update,
    UpdateKind,
    scaled_updates,
    update_kind,
)

RULE = LayerwiseTransfer().update_rule()
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))


def build():
    return nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )


def train(network, config):
    optimizer = torch.optim.AdamW(network.parameters(), lr=config["lr"])
    for _ in range(2):
        optimizer.zero_grad()
        loss = network(X).square().mean()
        loss.backward()
        optimizer.step()
        yield float(loss)


def study(train=train, **settings):
    settings = {"transfer": "layerwise", "ladder": [Rung(0.25, keep=1), Rung(1)]} | settings
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-4, 1e-2, log=True)},
        example_inputs=X,
        direction="minimize",
        progress=False,
        stopper=None,
        proxies=True,
        **settings,
    )


def update(optimizer, r_in=0.25, r_out=0.25, **group):
    return Update("weight", r_in, r_out, optimizer, group)


def made(kind, **settings):
    return kind([nn.Parameter(torch.zeros(4, 4))], **settings)


@pytest.mark.parametrize(
    "optimizer, hidden, first, readout",
    [
        (made(torch.optim.SGD), 2, 0.5, 4),
        (made(torch.optim.SGD, momentum=0.9), 2, 0.5, 4),
        (made(torch.optim.Adam), 4, 1, 4),
        (made(torch.optim.AdamW), 4, 1, 4),
        (made(torch.optim.RMSprop), 4, 1, 4),
        (made(torch.optim.Adafactor), 2, 1, 2),
        (made(torch.optim.Muon), 1, 1, 1),
        (made(torch.optim.LBFGS), None, None, None),
        (made(torch.optim.ASGD), None, None, None),
    ],
    ids=lambda given: type(given).__name__,
)
def test_the_table_of_factors(optimizer, hidden, first, readout):
    assert RULE(update(optimizer)) == hidden
    assert RULE(update(optimizer, r_in=1)) == first
    assert RULE(update(optimizer, r_out=1)) == readout


def test_without_normalisation_the_exponent_of_adam_is_smaller():
    adam, sgd = made(torch.optim.Adam), made(torch.optim.SGD)
    plain = replace(update(adam), has_norms=False)
    assert RULE(plain) == 4**0.75
    assert RULE(replace(update(sgd), has_norms=False)) == 2
    assert LayerwiseTransfer(1).layerwise(plain) == 4
    assert LayerwiseTransfer(0.5).layerwise(update(adam)) == 2
    with pytest.raises(ArgumentError, match="LayerwiseTransfer: exponent must be a finite number"):
        LayerwiseTransfer("1")


@pytest.mark.parametrize(
    "module, has_norms",
    [
        (nn.LayerNorm(64), True),
        (nn.BatchNorm1d(64), True),
        (nn.RMSNorm(64), True),
        (type("LlamaRMSNorm", (nn.Identity,), {})(), True),
        (nn.Tanh(), False),
        (nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), False),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(64, 64)), False),
    ],
    ids=lambda given: type(given).__name__,
)
def test_normalisation_layers_are_found(module, has_norms):
    network = nn.Sequential(nn.Linear(16, 64), module, nn.Linear(64, 2))
    seen = []
    with scaled_updates(network, {"0.weight": FanRatios(1.0, 0.25)}, seen.append):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        network(X).sum().backward()
        optimizer.step()
    assert [one.has_norms for one in seen] == [has_norms]


@pytest.mark.parametrize(
    "name, kind",
    [
        ("FusedAdam", UpdateKind.NORMALISED),
        ("PagedAdamW8bit", UpdateKind.NORMALISED),
        ("DeepSpeedCPUAdam", UpdateKind.NORMALISED),
        ("Lion", UpdateKind.NORMALISED),
        ("LAMB", UpdateKind.RELATIVE),
        ("AdamWScheduleFree", None),
        ("DAdaptAdam", None),
        ("Prodigy", None),
        ("Adamantium", None),
    ],
)
def test_optimizers_of_other_libraries_are_known_by_name(name, kind):
    optimizer = type(name, (torch.optim.Optimizer,), {})([nn.Parameter(torch.zeros(1))], {})
    assert update_kind(update(optimizer)) is kind


def test_settings_that_change_the_kind():
    muon = made(torch.optim.Muon)
    assert update_kind(update(muon, use_muon=False)) is UpdateKind.NORMALISED
    assert RULE(update(muon, adjust_lr_fn="match_rms_adamw")) == 2
    assert RULE(update(made(torch.optim.Adafactor), scale_parameter=False)) == 4


def test_records_say_what_was_done():
    result = study().run(n_trials=3)
    proxies = [record for record in result.history.records if record.rung == 0]
    for record in proxies:
        assert record.correction.rule == "layerwise"
        assert record.correction.optimizers == ("AdamW",)
        assert (record.correction.smallest, record.correction.largest) == (1, 4**0.75)
        assert record.trained_config == record.config
    (full,) = [record for record in result.history.records if record.rung == 1]
    assert full.correction is None
    assert Record.from_json(full.to_json()) == full
    assert Record.from_json(proxies[0].to_json()) == proxies[0]


def test_a_proxy_trains_differently_and_the_full_network_alike():
    def values(transfer):
        records = study(transfer=transfer).run(n_trials=2).history.records
        return [record.value for record in records if record.trial == 0]

    scaled, plain = values("layerwise"), values("identity")
    assert scaled[0] != plain[0]
    assert scaled[1:] == plain[1:]


def test_what_cannot_be_scaled_warns_once():
    def lbfgs(network, config):
        optimizer = torch.optim.LBFGS(network.parameters(), max_iter=1)

        def closure():
            optimizer.zero_grad()
            loss = network(X).square().mean()
            loss.backward()
            return loss

        return float(optimizer.step(closure).detach())

    with pytest.warns(UserWarning, match="LBFGS were not scaled.*power-law") as warned:
        study(lbfgs).run(n_trials=3)
    assert len({str(warning.message) for warning in warned}) == 1


class Doubling(Transfer):
    def exponents(self, space, history):
        return {}

    def update_rule(self):
        return double


def double(update):
    return 2.0 if update.parameter == "2.weight" else 1.0


def test_a_plug_in_may_bring_a_rule():
    record = study(transfer=Doubling()).run(n_trials=1).history.records[0]
    assert record.correction.rule == "double"
    assert (record.correction.smallest, record.correction.largest) == (1, 2)


def hooks():
    return len(torch_optimizer._global_optimizer_pre_hooks)


def test_the_network_of_asked_is_scaled_until_tell():
    before = hooks()
    with study() as hpo:
        asked = hpo.ask(1)
        network = asked.network()
        assert hooks() == before + 1
        reports = list(train(network, asked.config))
        record = hpo.tell(asked, reports)
        assert hooks() == before
        assert record.correction.largest == 4**0.75
        asked = hpo.ask(1)
        asked.network()
        assert asked.density == 1
        assert hooks() == before
        hpo.tell(asked, 1.0)


def test_in_process_and_asked_for_are_the_same_training():
    ran = study().run(n_trials=1).history.records[0]
    with study() as hpo:
        asked = hpo.ask(1)
        network = asked.network()
        torch.manual_seed(asked.seed)
        told = hpo.tell(asked, list(train(network, asked.config)))
    assert told.reports == ran.reports


def test_a_network_that_is_never_told_leaves_no_hooks():
    before = hooks()
    with study() as hpo:
        asked = hpo.ask(1)
        asked.network()
        gc.collect()
        copy.deepcopy(asked.network())  # beginning another one ends those that are gone
        hpo.tell(asked, None)
    assert hooks() == before


def test_closing_ends_the_scaling_of_networks_that_were_never_told():
    before, hpo = hooks(), study()
    network = hpo.ask(1).network()
    assert hooks() > before
    hpo.close()
    assert hooks() == before
    assert network is not None

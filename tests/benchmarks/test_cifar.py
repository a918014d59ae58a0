import json

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.cifar import table as cifar_table
from benchmarks.cifar import training as cifar_training
from benchmarks.cifar.live import live, live_lines
from benchmarks.cifar.networks import CONTEXT, TASKS, Task
from benchmarks.cifar.rules import BY_NORMS, LAYERWISE, RULES, WEAKER, rule_of, scaled
from benchmarks.cifar.table import DENSITIES, Run, configs, fill, read, wanted
from benchmarks.text import VOCABULARY, read_sources
from proxyhpo._networks.fans import FanRatios, fan_ratios
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner
from proxyhpo.transfers import LayerwiseTransfer, Update, scaled_updates

HALF = FanRatios(0.5, 0.5)


def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )


@pytest.fixture
def images(tmp_path):
    """Whose class is how bright they are."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 64), ("val", 40), ("test", 40)):
        labels = rng.integers(0, 10, n)
        noise = rng.integers(0, 20, (n, 3, 32, 32))
        arrays[f"{name}_images"] = (labels[:, None, None, None] * 23 + noise).astype(np.uint8)
        arrays[f"{name}_labels"] = labels.astype(np.uint8)
    np.savez(tmp_path / "images.npz", **arrays)
    return cifar_training.load("vgg", tmp_path / "images.npz")


@pytest.fixture
def quick(monkeypatch):
    for name in ("resnet", "vgg"):
        task = TASKS[name]
        monkeypatch.setitem(TASKS, name, Task(tiny, task.optimizer, task.space))
    monkeypatch.setattr(cifar_training, "EPOCHS", 1)
    monkeypatch.setattr(cifar_table, "N_TWICE", 1)
    monkeypatch.setattr(cifar_table, "N_VARIANTS", 1)
    monkeypatch.setattr(cifar_table, "DENSITIES", (1 / 4, 1 / 2))
    monkeypatch.setattr(cifar_table, "SMALLEST", 1 / 4)
    monkeypatch.setattr(cifar_table, "BEST", 0.5)


def test_images_are_halved_and_standardised(images):
    inputs, labels = images.train
    assert inputs.shape == (64, 3, 16, 16)
    assert labels.dtype == torch.int64
    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)


def test_images_need_a_path():
    with pytest.raises(SystemExit, match="vgg is trained on CIFAR-10: --data"):
        cifar_training.load("vgg", None)


def test_text_comes_with_the_next_character_of_each():
    parts = read_sources(CONTEXT, train=50, validation=20, test=20)
    for (inputs, labels), n in zip(parts, (50, 20, 20), strict=True):
        assert inputs.shape == labels.shape == (n, CONTEXT)
        assert torch.equal(inputs[:, 1:], labels[:, :-1])
        assert inputs.max() < VOCABULARY
    again = read_sources(CONTEXT, train=50, validation=20, test=20)
    assert torch.equal(parts[2][0], again[2][0])


def test_the_language_model_sees_no_later_character():
    network = TASKS["language"].build().eval()
    inputs = torch.zeros(1, CONTEXT, dtype=torch.long)
    changed = inputs.clone()
    changed[0, 40:] = 5
    before, after = network(inputs), network(changed)
    torch.testing.assert_close(before[0, :40], after[0, :40])
    assert not torch.allclose(before[0, 40:], after[0, 40:])


def test_dropout_is_set_where_it_is_searched():
    network = TASKS["perceptron"].build()
    cifar_training.set_dropout(network, 0.25)
    assert {each.p for each in network.modules() if isinstance(each, nn.Dropout)} == {0.25}
    cifar_training.set_dropout(network, None)
    assert {each.p for each in network.modules() if isinstance(each, nn.Dropout)} == {0.25}


def test_training_learns_and_repeats_itself(images):
    config = {"lr": 0.02, "weight_decay": 1e-4, "beta1": 0.9, "batch_size": 32,
              "label_smoothing": 0.0}  # fmt: skip

    def trained(seed):
        torch.manual_seed(0)
        return list(cifar_training.train(tiny(), TASKS["vgg"], config, images, seed=seed))

    assert trained(1) == trained(1)
    assert len(trained(1)) == cifar_training.EPOCHS
    assert max(trained(1)) > 0.15


def test_a_training_that_diverges_ends_with_what_it_reached(images):
    config = {"lr": 1e30, "weight_decay": 0.0, "momentum": 0.9, "batch_size": 32,
              "label_smoothing": 0.0}  # fmt: skip
    reports = list(cifar_training.train(tiny(), TASKS["resnet"], config, images, seed=0))
    assert len(reports) == 1
    assert 0 <= reports[0] <= 0.4


def trained_once(task, rule, decay=0.0):
    """What one step changes in a narrow network under a rule, parameter by parameter."""
    full = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 3))
    torch.manual_seed(0)
    narrow = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3))
    before = [parameter.detach().clone() for parameter in narrow.parameters()]
    config = {"lr": 0.1, "weight_decay": decay, "momentum": 0.0, "beta1": 0.9}
    optimizer = TASKS[task].optimizer(narrow, config)
    narrow(torch.ones(2, 6)).sum().backward()
    with scaled(narrow, fan_ratios(narrow, full), rule):
        optimizer.step()
    changes = zip(narrow.parameters(), before, strict=True)
    return [(parameter.detach() - was).norm().item() for parameter, was in changes]


@pytest.mark.parametrize(
    ("task", "rule", "expected"),
    [
        ("resnet", LAYERWISE, [0.5, 0.5, 2, 0.5, 4, 1]),
        ("resnet", "layerwise, matrices -0.75", [0.5, 0.5, 2, 0.5, 4, 1]),
        ("vgg", LAYERWISE, [1, 1, 4, 1, 4, 1]),
        ("vgg", "layerwise, vectors -0.5", [2, 2, 4, 2, 4, 1]),
        ("vgg", "layerwise, vectors -1", [4, 4, 4, 4, 4, 1]),
        ("vgg", "layerwise, matrices -0.75", [1, 1, 4**0.75, 1, 4**0.75, 1]),
        ("vgg", "layerwise, decay scaled", [1, 1, 4, 1, 4, 1]),
        ("vgg", "", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_updates_are_scaled_by_what_a_layer_kept(task, rule, expected):
    ratios = np.divide(trained_once(task, rule), trained_once(task, ""))
    assert ratios == pytest.approx(expected, rel=1e-4)


def test_decoupled_decay_is_scaled_in_only_one_variant():
    apart, scaled_too = (
        trained_once("vgg", r, 5.0) for r in (LAYERWISE, "layerwise, decay scaled")
    )
    assert scaled_too[2] > 1.2 * apart[2]
    assert scaled_too[0] == pytest.approx(apart[0])


def test_a_table_is_filled_config_by_config_and_resumed_where_it_was_cut(quick, images, tmp_path):
    fill("vgg", images, tmp_path, 2)
    path = tmp_path / "cifar_vgg.jsonl"
    whole = read(path)
    full = {number: runs[Run(number)].value for number, runs in whole.items()}
    best = max(full, key=lambda number: full[number])
    expected = {run for number in (0, 1) for run in wanted("vgg", number)}
    expected |= {Run(best, seed=seed) for seed in (1, 2)}
    assert {run for runs in whole.values() for run in runs} == expected
    drawn = [next(iter(runs.values())).config for runs in whole.values()]
    assert drawn == configs(TASKS["vgg"], "vgg", 2)
    lines = path.read_text().splitlines()
    assert len(lines) == len(expected)
    path.write_text("\n".join(lines[:4])[:-30])
    assert sum(map(len, read(path).values())) == 3
    fill("vgg", images, tmp_path, 2)
    again = read(path)
    assert again.keys() == whole.keys()
    for number, runs in again.items():
        for run, row in runs.items():
            assert _but_seconds(row) == _but_seconds(whole[number][run])


def _but_seconds(row):
    return {name: value for name, value in vars(row).items() if name != "seconds"}


def test_every_training_has_a_seed_of_its_own():
    runs = [(net, run) for net in TASKS for number in (0, 1) for run in wanted(net, number)]
    states = {tuple(run.seeds(net).generate_state(2)) for net, run in runs}
    assert len(states) == len(runs)
    assert {run.rule for _, run in runs} == {"", *RULES}


def test_the_rule_by_norms_is_the_library_s():
    for net in TASKS:
        rule, own = RULES[rule_of(net, BY_NORMS)], LayerwiseTransfer().update_rule()
        network = TASKS[net].build()
        optimizer = TASKS["vgg"].optimizer(network, {"lr": 1, "beta1": 0.9, "weight_decay": 0})
        fans = dict.fromkeys(dict(network.named_parameters()), HALF)
        with scaled_updates(network, fans, own) as seen:
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
        update = Update("", 0.5, 0.5, optimizer, {})
        assert seen.correction.largest == pytest.approx(rule(update))


def test_networks_without_norms_get_the_weaker_rule():
    weaker = {net for net in TASKS if rule_of(net, BY_NORMS) == WEAKER}
    assert weaker == {"vgg", "perceptron"}
    assert rule_of("vit", BY_NORMS) == LAYERWISE
    assert rule_of("vgg", "") == ""


@pytest.mark.parametrize("net", TASKS)
def test_the_networks_can_be_pruned_to_a_sixteenth(net):
    is_text = TASKS[net].is_text
    shape, outputs = ((4, CONTEXT), (4, CONTEXT, VOCABULARY)) if is_text else (
        (4, 3, 16, 16), (4, 10)
    )  # fmt: skip
    inputs = torch.zeros(shape, dtype=torch.long if is_text else torch.float)
    factory = NetworkFactory(TASKS[net].build, L1StructuredPruner(), inputs)
    before = sum(p.numel() for p in TASKS[net].build().parameters())
    sizes = []
    for density in DENSITIES:
        small = factory.network({}, density=density, seed=np.random.SeedSequence(0))
        assert small(inputs).shape == outputs
        sizes.append(sum(p.numel() for p in small.parameters()) / before)
    assert sizes == sorted(sizes)
    assert sizes[0] < 1 / 16
    assert sizes[-1] < 0.6


def test_configs_are_rounded_and_inside_the_space():
    for net, task in TASKS.items():
        for config in configs(task, net, 20):
            task.space.validate(config)
            assert json.loads(json.dumps(config)) == config
            decay = config["weight_decay"]
            assert float(f"{decay:.4g}") == decay


def test_a_live_search_trains_and_is_resumed_where_it_was(quick, images, tmp_path):
    found = live("vgg", images, 4, tmp_path)
    again = live("vgg", images, 4, tmp_path)
    assert {**again, "outside": 0} == {**found, "outside": 0}
    assert found["config"]["batch_size"] == 128
    assert len(found["test"]) == 3
    assert all(0 <= value <= 1 for value in found["test"])
    assert found["seconds"] > 0
    path = tmp_path / "live.jsonl"
    assert list(live_lines(path)) == []
    path.write_text(json.dumps(found) + "\n")
    *_, line = live_lines(path)
    assert line.startswith("| vgg | 4 |")

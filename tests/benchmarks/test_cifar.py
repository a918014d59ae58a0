import json

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import cifar_table, cifar_training
from benchmarks.cifar_live import live, live_lines
from benchmarks.cifar_networks import TASKS, Task
from benchmarks.cifar_table import DENSITIES, Run, complete, configs, fill, fill_longer, read
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner


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
    return cifar_training.load(tmp_path / "images.npz")


@pytest.fixture
def quick(monkeypatch):
    for name in ("resnet", "vgg"):
        task = TASKS[name]
        monkeypatch.setitem(TASKS, name, Task(tiny, task.optimizer, task.space))
    monkeypatch.setattr(cifar_training, "EPOCHS", 1)
    monkeypatch.setattr(cifar_table, "N_TWICE", 1)
    monkeypatch.setattr(cifar_table, "BEST", 0.5)


def test_images_are_halved_and_standardised(images):
    inputs, labels = images.train
    assert inputs.shape == (64, 3, 16, 16)
    assert labels.dtype == torch.int64
    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)


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


def test_a_table_is_filled_config_by_config_and_goes_on_where_it_was_cut(quick, images, tmp_path):
    nets = ["resnet", "vgg"]
    fill(nets, images, tmp_path, 2)
    paths = [tmp_path / f"cifar_{net}.jsonl" for net in nets]
    whole = [read(path) for path in paths]
    for rows, net in zip(whole, nets, strict=True):
        runs = [row.run for row in rows]
        assert len(set(runs)) == len(runs)
        best = max((row for row in rows if row.run == Run(row.number)), key=lambda row: row.value)
        expected = {run for number in (0, 1) for run in cifar_table.first_pass(number)}
        assert set(runs) == expected | {Run(best.number, seed=seed) for seed in (1, 2)}
        assert set(complete(rows)) == {0, 1}
        assert [row.config for row in rows if row.run == Run(1)] == configs(TASKS[net], net, 2)[1:]
    lines = paths[0].read_text().splitlines()
    paths[0].write_text("\n".join(lines[:14])[:-30])
    assert len(read(paths[0])) == 13
    assert set(complete(read(paths[0]))) == {0}
    fill(nets, images, tmp_path, 2)
    again = [read(path) for path in paths]
    for rows, before in zip(again, whole, strict=True):
        assert [_but_seconds(r) for r in rows] == [_but_seconds(r) for r in before]


def _but_seconds(row):
    return {name: value for name, value in vars(row).items() if name != "seconds"}


def test_longer_trainings_have_a_table_of_their_own(quick, images, tmp_path):
    fill_longer(["vgg"], images, tmp_path, 2)
    (path,) = tmp_path.glob("*.jsonl")
    assert path.name == "cifar_vgg_longer.jsonl"
    rows = read(path)
    assert {len(row.validation) for row in rows} == {cifar_table.LONGER}
    assert set(complete(rows, cifar_table.longer_pass)) == {0, 1}


def test_every_training_has_a_seed_of_its_own():
    runs = [*cifar_table.first_pass(0), *cifar_table.first_pass(1)]
    states = {tuple(run.seeds(net).generate_state(2)) for run in runs for net in TASKS}
    assert len(states) == len(runs) * len(TASKS)


@pytest.mark.parametrize("net", TASKS)
def test_the_networks_can_be_pruned_to_an_eighth(net):
    factory = NetworkFactory(TASKS[net].build, L1StructuredPruner(), torch.zeros(4, 3, 16, 16))
    for density in DENSITIES:
        small = factory.network({}, density=density, seed=np.random.SeedSequence(0))
        assert small(torch.zeros(4, 3, 16, 16)).shape == (4, 10)
        ratio = sum(p.numel() for p in small.parameters())
        ratio /= sum(p.numel() for p in TASKS[net].build().parameters())
        assert ratio == pytest.approx(density**2, rel=0.4)


def test_configs_are_rounded_and_inside_the_space():
    for net, task in TASKS.items():
        for config in configs(task, net, 20):
            task.space.validate(config)
            assert json.loads(json.dumps(config)) == config
            assert float(f"{config['lr']:.4g}") == config["lr"]


def test_a_live_search_trains_and_goes_on_where_it_was(quick, images, tmp_path):
    found = live("vgg", images, 4, tmp_path)
    again = live("vgg", images, 4, tmp_path)
    assert {**again, "outside": 0} == {**found, "outside": 0}
    assert found["config"]["batch_size"] == 128
    assert len(found["test"]) == 3
    assert all(0 <= value <= 1 for value in found["test"])
    assert 0 < found["seconds"] < 60

    fill(["vgg"], images, tmp_path, 2)
    table = complete(read(tmp_path / "cifar_vgg.jsonl"))
    path = tmp_path / "live.jsonl"
    assert list(live_lines(path, {"vgg": table})) == []
    path.write_text(json.dumps(found) + "\n")
    *_, line = live_lines(path, {"vgg": table})
    assert line.startswith("| vgg | 4 |")
    same = [n for n, runs in table.items() if runs[Run(n)].config["batch_size"] == 128]
    assert f"(of {len(same)} random configs)" in line or "| unknown |" in line

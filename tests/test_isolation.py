import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from proxyhpo._isolation import TorchSettings, isolated
from tests.studies import small_search

outlive = []


def state():
    return {
        "settings": TorchSettings.current(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "anomalies": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "directory": Path.cwd(),
        "streams": (sys.stdout, sys.stderr),
    }


def enter_inference_mode():
    mode = torch.inference_mode()
    mode.__enter__()
    outlive.append(mode)


CHANGES = {
    "gradients": lambda: torch.set_grad_enabled(False),
    "inference mode": enter_inference_mode,
    "autocasting": lambda: torch.autocast("cpu").__enter__(),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "determinism": lambda: torch.use_deterministic_algorithms(True),
    "cudnn": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": lambda: torch.set_num_threads(2),
    "hooks": lambda: nn.modules.module.register_module_forward_hook(lambda *_: 1 / 0),
    "directory": lambda: os.chdir("/"),
    "streams": lambda: setattr(sys, "stdout", None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_block_changes_is_put_back(change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = state()
    with isolated():
        change()
    assert state() == before
    assert nn.Linear(2, 2)(torch.ones(1, 2)).requires_grad


def test_the_block_has_gradients_whatever_the_caller_has():
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            before = state()
            with isolated():
                nn.Linear(2, 2)(torch.ones(1, 2)).sum().backward()
            assert state() == before


def test_settings_hold_inside_the_block():
    with isolated():
        torch.set_default_dtype(torch.float64)
        settings = TorchSettings.current()
    with isolated(settings):
        assert torch.ones(1).dtype == torch.float64
    assert torch.ones(1).dtype == torch.float32


def test_a_directory_that_is_gone_is_not_returned_to(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passing").mkdir()
    os.chdir("passing")
    with isolated():
        os.chdir(tmp_path)
        (tmp_path / "passing").rmdir()
    assert "cannot return to the working directory" in caplog.text
    (tmp_path / "passing").mkdir()
    os.chdir("passing")
    (tmp_path / "passing").rmdir()
    with isolated():  # begun where there is none
        os.chdir(tmp_path)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_search_goes_on_after_any_training(change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def train(network, config):
        optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
        network(torch.ones(4, 8)).sum().backward()
        optimizer.step()
        yield network[0].weight.detach().sum().item()
        change()

    before = state()
    result = small_search(train, progress=False)
    assert [each.traceback for each in result.failures] == []
    assert state() == before

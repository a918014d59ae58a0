"""The devices and the number of workers that arguments ask for; no worker starts."""

import pytest
import torch

from proxyhpo.errors import ArgumentError
from proxyhpo.executors import ProcessExecutor
from proxyhpo.executors._devices import automatic_workers, cores, environments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers must be a whole number >= 1, got 0"),
        ({"workers": True}, "workers must be a whole number"),
        ({"threads": 1.5}, "threads must be a whole number >= 1, got 1.5"),
        ({"ahead": -1}, "ahead must be a whole number >= 0, got -1"),
        ({"trial_timeout": 0}, "trial_timeout must be a finite number of seconds > 0, got 0"),
        ({"grace": "1"}, "grace must be a finite number of seconds > 0, got '1'"),
        ({"devices": "cuda:0"}, "devices must be a list"),
        ({"devices": []}, "devices must be a list"),
        ({"devices": 2}, "devices must be a list with at least one device, got 2"),
        ({"devices": [torch.device("cuda:0")]}, "devices: device.*is neither 'cpu' nor"),
        ({"devices": ["gpu"]}, "devices: 'gpu' is neither 'cpu' nor one of the 0 CUDA devices"),
        ({"workers": 1, "devices": ["cpu", "cpu"]}, "at most one device for each of the 1 workers"),
    ],
)
def test_arguments_are_checked_at_once(arguments, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ArgumentError, match=message):
        ProcessExecutor(**arguments)


def test_there_is_a_place_for_each_worker():
    assert ProcessExecutor().capacity == 2
    assert ProcessExecutor(4, ahead=0).capacity == 4
    assert ProcessExecutor(devices=["cpu"] * 3).capacity == 3


def test_devices_are_shared_out_and_counted_as_the_study_sees_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = environments(["cuda:0", "cuda:1"], workers=3)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["0", "1", "0"]
    (seen,) = environments([torch.device("cuda", 1)])
    assert seen == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-7f")
    seen = environments(["cuda:1", "cuda:0"], workers=2)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["GPU-7f", "5"]
    with pytest.raises(ArgumentError, match="'cuda:2' is neither 'cpu' nor"):
        environments(["cuda:2"], workers=1)


def test_workers_are_one_a_core_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert automatic_workers(None, 1) == (["cpu"], cores())
    assert automatic_workers(["cpu"], 2 * cores()) == (["cpu"], 1)
    assert ProcessExecutor("auto").capacity == cores()


def test_all_gpus_are_used_by_default(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("proxyhpo.executors._devices.cores", lambda: 12)
    assert automatic_workers(None, 1) == (["cuda:0", "cuda:1"], 6)
    assert automatic_workers([torch.device("cuda:1")], 1) == (["cuda:1"], 12)
    assert ProcessExecutor("auto").capacity == 2


def test_another_word_is_refused():
    with pytest.raises(ArgumentError, match="workers must be a whole number or 'auto', got 'all'"):
        ProcessExecutor("all")

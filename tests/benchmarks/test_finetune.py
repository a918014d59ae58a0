import sys

import numpy as np
import pytest
import torch

from benchmarks.finetune import __main__ as finetune
from benchmarks.finetune import report as finetune_report
from benchmarks.finetune.__main__ import RUNS, SPACE, TASKS, FineTuning
from benchmarks.finetune.report import AGAIN, TARGET, Run, page, table
from benchmarks.images import Images
from benchmarks.rows import Rows

NAME = "five classes, then the other five"


def made(n=60):
    generator = torch.Generator().manual_seed(0)

    def part():
        labels = torch.arange(n) % 10
        noise = 0.1 * torch.randn(n, 3, 16, 16, generator=generator)
        return noise + labels[:, None, None, None] / 5 - 1, labels

    return Images(part(), part(), part())


@pytest.fixture
def task(tmp_path):
    return FineTuning(NAME, made(), 16, (2, 1), tmp_path / "weights.pt")


def test_the_tasks_meet_classes_that_pretraining_has_not_seen():
    for first, second in TASKS.values():
        assert set(second) - set(first)
        assert finetune.FEW % len(second) == 0


def test_the_body_is_pretrained_once_and_the_head_is_new(task, tmp_path, monkeypatch):
    first = task.build()
    monkeypatch.setattr(finetune, "_fit", None)
    second = FineTuning(NAME, made(), 16, (2, 1), tmp_path / "weights.pt").build()
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[-1].weight, second[-1].weight)
    assert first[-1].out_features == 5


def test_a_proxy_inherits_what_was_pretrained(task):
    network = task._networks.network({}, density=0.5, seed=np.random.SeedSequence(3))
    full, kept = task.build()[0].weight, network[0].weight
    assert len(kept) == 8
    rows = {tuple(row.flatten().tolist()) for row in full}
    assert all(tuple(row.flatten().tolist()) in rows for row in kept)


@pytest.mark.parametrize("exponent", [-0.5, 0.5])
def test_learning_rates_follow_the_width_ratio(task, exponent):
    as_is = task.measure(0, Run(0.5, 0))["config"]
    moved = task.measure(0, Run(0.5, exponent))["config"]
    factor = task._width_ratio(0.5) ** exponent
    assert factor != 1
    for name in ("lr", "head_lr"):
        assert moved[name] == pytest.approx(as_is[name] * factor)
    assert moved["weight_decay"] == as_is["weight_decay"]
    assert as_is == SPACE.validate(as_is)
    assert task.measure(0, TARGET)["config"] == as_is


def test_trainings_repeat_and_no_two_share_a_seed(task, monkeypatch):
    drawn = []
    monkeypatch.setattr(FineTuning, "_fine_tune", lambda *_: drawn.append(torch.rand(()).item()))
    for number in (0, 1):
        for run in RUNS:
            task.measure(number, run)
    assert len(set(drawn)) == len(drawn) == 2 * len(RUNS)
    task.measure(0, RUNS[0])
    assert drawn[-1] == drawn[0]


def test_fine_tuning_learns_the_new_classes(tmp_path):
    task = FineTuning(NAME, made(200), 16, (3, 12), tmp_path / "weights.pt")
    network = task.build()
    before = task._accuracy(network)
    task._fine_tune(network, {"lr": 1e-3, "head_lr": 1e-2, "weight_decay": 0, "batch_size": 16})
    assert task._accuracy(network) > max(before, 0.5)  # one of five by chance


def test_nothing_is_trained_twice(task, monkeypatch, tmp_path):
    path = tmp_path / "rows.jsonl"
    trained = []
    measure = FineTuning.measure

    def counted(self, number, run):
        trained.append((number, run))
        return measure(self, number, run)

    monkeypatch.setattr(FineTuning, "measure", counted)
    monkeypatch.setattr(finetune, "RUNS", [TARGET, AGAIN])
    finetune.fill([task], 1, Rows(path))
    finetune.fill([task], 2, Rows(path))
    assert trained == [(n, run) for n in (0, 1) for run in (TARGET, AGAIN)]
    path.write_text(path.read_text()[:-20])
    found = list(finetune.complete(NAME, 16, (2, 1), 5, Rows(path)))
    assert len(found) == 1
    assert 0 <= found[0][TARGET]["accuracy"] <= 1


def configs(n=20):
    """Proxies with the learning rate as it is rank well, with +.5 the wrong way round."""
    rng = np.random.default_rng(0)
    found = []
    for accuracy in rng.random(n):
        row = {TARGET: accuracy, AGAIN: accuracy + 0.1 * rng.standard_normal()}
        for density in (0.25, 0.5):
            row[Run(density, 0.0)] = accuracy / 2
            row[Run(density, 0.5)] = -accuracy
        found.append({run: {"accuracy": a, "seconds": run.density} for run, a in row.items()})
    return found


def test_the_table_tells_good_proxies_from_bad_ones():
    made = configs()
    worst = 100 * (max(c[TARGET]["accuracy"] for c in made) - sorted(
        c[TARGET]["accuracy"] for c in made)[finetune_report.K - 1])  # fmt: skip
    lines = [line.strip("| ").split(" | ") for line in table(made)][2:]
    assert [line[0] for line in lines] == ["0.25", "0.25", "0.5", "0.5", "1, another seed"]
    wrong, right = lines[0], lines[1]
    assert wrong[1:5] == ["^+0.5", "0.25", "-1.00 [-1.00, -1.00]", "-2.00 [-2.00, -2.00]"]
    assert wrong[6].startswith("0.00")
    assert wrong[7].startswith(f"{worst:.1f}")
    assert right[1:4] == ["unchanged", "0.25", "1.00 [1.00, 1.00]"]
    assert right[6].startswith("1.00")  # resamples have ties
    assert right[7] == "0.0 [0.0, 0.0]"
    assert 0.8 < float(lines[-1][3].split()[0]) < 1


def test_too_few_configs_are_no_table():
    text = "\n".join(page({"a task": configs(3), "another": configs(9)}))
    assert "Only 3 configs have been trained on all networks: no table" in text
    assert text.count("| density |") == 1


def test_the_command_trains_and_reports(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(finetune, "read_cifar10", lambda *_, **__: made())
    monkeypatch.setattr(finetune, "FEW", 20)
    options = (
        f"--configs 8 --width 16 --epochs 1 1 --out {tmp_path}/rows.jsonl --page {tmp_path}/p.md"
    )
    command = ["finetune", *options.split(), "--tasks", NAME]
    training = ["--data", "made.npz", "--weights", str(tmp_path / "weights")]
    monkeypatch.setattr(sys, "argv", [*command, *training])
    finetune.main()
    monkeypatch.setattr(sys, "argv", [*command, "--report"])
    finetune.main()
    text = (tmp_path / "p.md").read_text()
    assert text in capsys.readouterr().out
    assert "8 configs; the full network's accuracies" in text
    assert text.count("\n| 0.") == 12
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        finetune.main()
    assert "--data is needed" in capsys.readouterr().err

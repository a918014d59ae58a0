"""A metric whose name contradicts the direction."""

import pytest

from proxyhpo.evaluators._monitors import check_monitor

USUAL = {
    "minimize": ["val_loss", "eval_loss", "valid_loss", "MeanSquaredError", "perplexity"],
    "maximize": ["val_acc", "valid/accuracy", "test_AUC", "eval_f1", "f1"],
}
UNKNOWN = ["score", "accumulated_steps", "neg_mean_squared_error", "-reward", "space"]


@pytest.mark.parametrize("direction", USUAL)
def test_only_a_contradiction_is_warned_about(direction, caplog):
    for monitor in [*USUAL[direction], *UNKNOWN]:
        check_monitor(monitor, direction)
    assert not caplog.records
    other = "maximize" if direction == "minimize" else "minimize"
    for monitor in USUAL[other]:
        check_monitor(monitor, direction)
    assert len(caplog.records) == len(USUAL[other])
    assert f"did you mean direction='{other}'?" in caplog.text

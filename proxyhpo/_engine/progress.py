"""A progress bar that counts trainings, at rung 0 and above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study
    from proxyhpo._records.records import Record

__all__ = ["ProgressBar"]


class ProgressBar:
    """A callback that draws a tqdm bar, in a terminal or a notebook.

    Args:
        study: whose trainings are counted.
        n_trials: total number of trials; infinite if only a budget ends the search.
    """

    def __init__(self, study: Study, n_trials: float) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 - only when a bar is wanted

        self._study = study
        self._n_trials = n_trials
        self._bar: Any = tqdm(
            total=study.expected_runs(n_trials),
            initial=len(study.history.records),
            unit="run",
            dynamic_ncols=True,
        )

    def __call__(self, record: Record) -> None:
        """Advances the bar by one training."""
        rung = self._study.parts.ladder[record.rung]
        density = self._study.history.measured[record.rung].density
        self._bar.set_description(f"density {density:g}")
        best = self._study.state.best
        if rung.is_base and best is not None:
            self._bar.set_postfix_str(f"best {best.value:.4g}")
        self._bar.total = self._study.expected_runs(self._n_trials)
        self._bar.update()

    def close(self) -> None:
        """Closes the bar and leaves it on the screen."""
        self._bar.close()

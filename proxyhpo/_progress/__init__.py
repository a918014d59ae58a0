"""Shows the progress of a study: a panel in a notebook, a bar in a terminal, or plain lines."""

from proxyhpo._progress.progress import Progress

__all__ = ["Progress"]

"""Shows how far a study has come: a panel in a notebook, a bar in a terminal, or plain lines."""

from proxyhpo._progress.progress import Progress

__all__ = ["Progress"]

"""A figure that a notebook shows once."""

from __future__ import annotations

from typing import final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

__all__ = ["ShownOnce"]

_INLINE = ("inline", "module://matplotlib_inline.backend_inline")


@final
class ShownOnce(Figure):
    """A figure that a notebook shows once, although pyplot knows it and a cell returns it.

    The inline backend shows all of pyplot's figures when a cell ends. A figure that is the value of
    the cell would be shown twice.
    """

    def _ipython_display_(self) -> None:
        """Leaves the display to IPython, after which pyplot no longer shows the figure.

        Raises:
            NotImplementedError: always; IPython then uses its usual formats.
        """
        if mpl.get_backend() in _INLINE:
            plt.close(self)
        raise NotImplementedError

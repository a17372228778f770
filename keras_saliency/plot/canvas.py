"""Figures that belong to whoever asked for them: shown once in a notebook, saved in a script."""

from __future__ import annotations

import io
import warnings
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Plain

from keras_saliency._io import in_notebook

_WIDEST = 30000  # pixels per side that PNG files take
_NOTEBOOK = 110  # pixels per inch


class Figure(Plain):
    """A figure that pyplot does not manage.

    A notebook shows it once, as the result of its cell. pyplot neither draws it again at the end of
    the cell, nor keeps it in memory, nor counts it. `show` displays it anywhere else.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Return the PNG that notebooks show."""
        return png_of(self, _NOTEBOOK)

    def show(self, warn: bool = True) -> None:
        """Display the figure: in a notebook below its cell, in a script in a window.

        Args:
            warn: As in matplotlib; whether to warn where the backend has no windows.
        """
        if in_notebook():
            from IPython.display import display

            display(self)
            return
        from matplotlib import pyplot

        if pyplot.get_backend().lower() == "agg":
            if warn:
                text = "there is no window to show a figure in: write it with figure.savefig(path)"
                warnings.warn(text, stacklevel=2)
            return
        manager = pyplot.figure(figsize=self.get_size_inches()).canvas.manager  # with its window
        if manager is not None:
            manager.canvas.figure = self
            self.set_canvas(manager.canvas)
        pyplot.show()


def png_of(figure: Plain, dpi: float) -> bytes:
    """Return the bytes of a PNG file, of fewer pixels an inch where it would be too large."""
    buffer, own = io.BytesIO(), figure.get_dpi()
    figure.savefig(buffer, format="png", dpi=min(dpi, _WIDEST / max(figure.get_size_inches())))
    figure.set_dpi(own)
    return buffer.getvalue()

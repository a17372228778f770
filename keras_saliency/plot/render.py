"""Figures as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render_png(
    draw: Callable[..., Figure], panels: Any, *, dpi: float = 150, **options: Any
) -> bytes:
    """Draw without pyplot and without a display, and return the bytes of a PNG file.

    Args:
        draw: :func:`pair`, :func:`overlay` or :func:`grid`.
        panels: Its first argument.
        dpi: Pixels per inch; lowered for figures that would pass 30000 pixels a side.
        **options: Its further arguments, except ``figure``.

    Example:
        >>> panel = plot.Panel(np.zeros((8, 8)), np.ones((8, 8)))
        >>> render_png(plot.pair, [panel], percentile=99.5)[1:4]
        b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure, buffer = Figure(), io.BytesIO()
    draw(panels, figure=figure, **options)
    figure.set_dpi(min(dpi, 30000 / max(figure.get_size_inches())))
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()

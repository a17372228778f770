"""Predicted and measured densities of fixations side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.plot.panel import Panel
from keras_saliency.plot.pixels import blend, grey, rgb, shrink
from keras_saliency.plot.scale import limits, scales
from keras_saliency.plot.sheet import MARGIN, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _ALPHA = 0.15, 0.75


def comparison(
    rows: Sequence[Sequence[Panel]], figure: Figure | None = None, percentile: float = 99.0
) -> Figure:
    """Draw densities of the same pictures beside each other: a row a picture.

    The densities of a row share one scale, so that their heights can be compared.

    Args:
        rows: The panels of a row share one picture; the first's title goes over it, and each
            one's method over its density.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: Where the colour scale of a row ends, in (0, 100].

    Raises:
        MethodError: No rows, an empty row, or a percentile out of range.

    Example:
        >>> heap = np.exp(-np.hypot(*np.mgrid[-8:9, -8:9]))
        >>> panel = Panel(np.zeros((17, 17)), heap, "crossing", "measured")
        >>> figure = comparison([[panel, panel]])
    """
    for row in rows or [()]:
        scales(row, percentile)
    sheet = Sheet(figure, [panel for row in rows for panel in row], size=2.2, points=8.5)
    for row in rows:
        title, *heads = sheet.row(0.14, row[0].title, *(panel.method for panel in row))
        sheet.image(MARGIN, row[0], rgb(row[0].picture), title)
        times = [shrink(panel.map) / (np.mean(panel.map) or 1.0) for panel in row]
        top = max(limits(one, False, percentile)[1] for one in times)
        ground = grey(row[0].picture)
        for k, (panel, one) in enumerate(zip(row, times, strict=True)):
            x = MARGIN + (k + 1) * (sheet.column + _GAP)
            pixels = blend(ground, np.minimum(one / top, 1.0), False, _ALPHA)
            sheet.image(x, panel, pixels, heads[k])
    return sheet.finish(
        f"Colour: density of fixations, each row from 0 to the {percentile:g}th percentile of its "
        "highest map."
    )

"""Many methods' maps over one picture, with words over each: what a comparison looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_saliency.errors import MethodError
from keras_saliency.plot.figures import over
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.pixels import rgb
from keras_saliency.plot.scale import caption, scales
from keras_saliency.plot.sheet import MARGIN, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _ALPHA = 0.18, 0.7


def gallery(
    rows: Sequence[Sequence[Panel]],
    figure: Figure | None = None,
    percentile: float = 99.0,
    size: float = 1.9,
    across: int = 6,
    note: str = "",
) -> Figure:
    """Draw maps over their picture, shown grey, in as many lines as they need.

    Args:
        rows: The panels of a row share one picture, which is drawn first under the title of the
            first panel; each map stands under its ``method``, which may have several lines.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: Where each map's colour scale ends, in (0, 100].
        size: Width of a square picture, in inches.
        across: How many pictures stand side by side, the first included.
        note: Added to the words under the figure.

    Raises:
        MethodError: No rows, an empty row, or a percentile or a number out of range.

    Example:
        >>> panels = explain(model, img).panels() * 3
        >>> figure = gallery([panels])
    """
    if not (isinstance(across, int) and across > 0):
        raise MethodError(
            f"across={across!r} was asked for.",
            "It must be a whole number above 0.",
            "Take such a value.",
            "help(keras_saliency.plot.gallery)",
        )
    ends = [scales(row, percentile) for row in rows or [()]]
    panels = [panel for row in rows for panel in row]
    across = min(across, _even(1 + max(map(len, rows)), across))
    sheet = Sheet(figure, panels, size, points=8.5)
    for row, row_ends in zip(rows, ends, strict=True):
        texts = [row[0].title, *(panel.method for panel in row)]
        for k in range(len(texts)):
            if k % across == 0:
                words = sheet.row(0.16, *texts[k : k + across])
            lines, x = words[k % across], MARGIN + k % across * (sheet.column + _GAP)
            if k == 0:
                sheet.image(x, row[0], rgb(row[0].picture), lines)
            else:
                over(sheet, x, row[k - 1], row_ends[k - 1], _ALPHA, lines)
    return sheet.finish(" ".join(filter(None, [caption(panels, percentile), note])))


def _even(count: int, most: int) -> int:
    """Return how many stand in a line, so that the last line is about as long as the others."""
    lines = -(-count // most)
    return -(-count // lines)

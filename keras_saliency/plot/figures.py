"""The figures: where the pictures, maps and colour bars of some panels go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import ImageError, MethodError
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.pixels import blend, grey, rgb, shrink
from keras_saliency.plot.scale import caption, colormap, label, marks, scales
from keras_saliency.plot.sheet import MARGIN, Sheet
from keras_saliency.plot.text import width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 0.12


def pair(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    colorbar: bool = True,
) -> Figure:
    """Draw each picture beside its map, a row per panel.

    Args:
        panels: One or more panels.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: Where each map's colour scale ends, in (0, 100]; see :func:`limits`.
        colorbar: Whether to draw the scale beside each map.

    Raises:
        MethodError: No panels, or a percentile out of range.

    Example:
        >>> figure = pair([Panel(np.zeros((8, 8)), np.ones((8, 8)), "espresso", "gradient")])
    """
    ends = scales(panels, percentile)
    ticks = max(width(text) for scale in ends for text in marks(scale))
    sheet = Sheet(figure, panels)
    x = MARGIN + sheet.column + _GAP
    for panel, scale in zip(panels, ends, strict=True):
        title, method = sheet.row(0.2, panel.title, panel.method)
        sheet.image(MARGIN, panel, rgb(panel.picture), title)
        sheet.map(x, panel, scale, method)
        if colorbar:
            sheet.tall_bar(x, panel, scale, label(panel, scale, percentile), ticks)
    return sheet.finish()


def overlay(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    alpha: float = 0.6,
) -> Figure:
    """Draw each map over its picture, shown gray; opacity grows with the map's magnitude.

    Args:
        panels, figure, percentile: As in :func:`pair`.
        alpha: Opacity at the end of the scale, in (0, 1].

    Raises:
        MethodError: No panels, or a percentile or an opacity out of range.
    """
    ends = scales(panels, percentile)
    if not 0 < alpha <= 1:
        raise MethodError(
            "An overlay has an opacity at the end of its colour scale.",
            f"The alpha given is {alpha!r}.",
            "Pass a number above 0 and up to 1, such as 0.6.",
            "help(keras_saliency.plot.overlay)",
        )
    across = len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels)))
    sheet = Sheet(figure, panels)
    for k, (panel, scale) in enumerate(zip(panels, ends, strict=True)):
        if k % across == 0:
            row = panels[k : k + across]
            words = sheet.row(0.16, *(f"{each.title}\n{each.method}" for each in row))
        x = MARGIN + k % across * (sheet.column + 0.2)
        over(sheet, x, panel, scale, alpha, words[k % across])
    return sheet.finish(caption(panels, percentile))


def over(
    sheet: Sheet,
    x: float,
    panel: Panel,
    scale: tuple[float, float],
    alpha: float,
    words: Sequence[str],
) -> None:
    """Draw a map over its picture, shown gray, between the scale's ends, and the scale under it."""
    from matplotlib.colors import ListedColormap

    low, high = scale
    share = shrink(np.clip(panel.map, low, high)) / high
    sheet.image(x, panel, blend(grey(panel.picture), share, panel.signed, alpha), words)
    bar = blend(np.full(256, 0.6), np.linspace(low / high, 1, 256), panel.signed, alpha)
    sheet.flat_bar(x, panel, scale, ListedColormap(bar))


def _rows(given: Sequence[Any]) -> Sequence[Sequence[Panel]]:
    """Return explanations, a column each, as rows of panels."""
    if not given or not all(hasattr(one, "panels") for one in given):
        return given
    columns = [one.panels() for one in given]
    if len(counts := {len(column) for column in columns}) > 1:
        raise ImageError(
            "A grid compares explanations of the same pictures.",
            f"The explanations have {sorted(counts)} pictures.",
            "Pass explanations of equally many pictures.",
            "help(keras_saliency.plot.grid)",
        )
    return [list(row) for row in zip(*columns, strict=True)]


def grid(
    rows: Sequence[Any],
    figure: Figure | None = None,
    percentile: float = 99.0,
    size: float = 1.6,
) -> Figure:
    """Compare explanations of the same pictures: a row per picture, a column per explanation.

    The first column shows each row's picture under the title of its first panel. Methods are
    named over the first row, and again wherever a row departs from the one above.

    Args:
        rows: Explanations of the same pictures (whatever has ``panels()``), a column each; or
            rows of panels, where the panels of a row share one picture.
        figure, percentile: As in :func:`pair`.
        size: Width of a square picture, in inches.

    Raises:
        ImageError: The panels of one row have different frames.
        MethodError: No rows, an empty row, or a percentile out of range.

    Example:
        >>> figure = grid([explain(model, img, name) for name in ("gradient", "grad_cam")])
    """
    rows = _rows(rows)
    ends = [scales(row, percentile) for row in rows or [()]]
    for row in rows:
        if len(frames := {np.shape(panel.map) for panel in row}) > 1:
            raise ImageError(
                "A row of a grid compares maps of one picture.",
                f"One row has the frames {sorted(frames)}.",
                "Put maps of different pictures in different rows.",
                "help(keras_saliency.plot.grid)",
            )
    panels = [panel for row in rows for panel in row]
    sheet = Sheet(figure, panels, size, points=8.5)
    above: list[str] = []
    for row, row_ends in zip(rows, ends, strict=True):
        names = [panel.method for panel in row]
        new = ["" if [name] == above[k : k + 1] else name for k, name in enumerate(names)]
        title, *heads = sheet.row(0.11, row[0].title, *new)
        sheet.image(MARGIN, row[0], rgb(row[0].picture), title)
        for k, (panel, scale) in enumerate(zip(row, row_ends, strict=True)):
            x = MARGIN + (k + 1) * (sheet.column + _GAP)
            sheet.map(x, panel, scale, heads[k])
            sheet.flat_bar(x, panel, scale, colormap(panel.signed))
        above = names
    return sheet.finish(caption(panels, percentile))

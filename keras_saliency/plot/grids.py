"""Figures of many maps of the same pictures: methods, classes or layers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import ImageError, MethodError, _arguments
from keras_saliency.plot.colours import caption, scales
from keras_saliency.plot.panel import Panel, rgb
from keras_saliency.plot.sheet import GAP, MARGIN, Sheet
from keras_saliency.plot.views import Photo, check_alpha, check_photo, heat, over, smoothed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _rows(rows: Sequence[Any]) -> Sequence[Sequence[Panel]]:
    """Return explanations, a column each, as rows of panels; rows of panels as they are."""
    if not rows or not all(hasattr(one, "panels") for one in rows):
        return rows
    columns = [one.panels() for one in rows]
    if len(counts := {len(column) for column in columns}) > 1:
        raise ImageError(
            "Expected explanations of the same pictures in a grid.",
            f"Got explanations of {sorted(counts)} pictures.",
            "Pass explanations of equally many pictures.",
            "help(keras_saliency.plot.grid)",
        )
    named = (one.info.get("layer") for one in rows)
    layers = [f"layer {name}" if name else "" for name in named]
    return [_headed(row, layers) for row in zip(*columns, strict=True)]


def _headed(row: Sequence[Panel], layers: Sequence[str]) -> list[Panel]:
    """Return maps of one picture with what they share over the picture, the rest over each.

    What is compared are methods, layers or classes; where all are one, it is the methods.
    """
    parts = [(p.title, p.method, layer) for p, layer in zip(row, layers, strict=True)]
    differs = [len(set(filter(None, column))) > 1 for column in zip(*parts, strict=True)]
    if not any(differs):
        differs[1] = True
    over_picture = [text for text, own in zip(parts[0], differs, strict=True) if not own]
    return [
        replace(
            panel,
            title="\n".join(filter(None, over_picture[:2])),
            method="\n".join(text for text, own in zip(part, differs, strict=True) if own),
        )
        for panel, part in zip(row, parts, strict=True)
    ]


def grid(
    rows: Sequence[Any],
    figure: Figure | None = None,
    percentile: float = 99.0,
    size: float = 1.6,
    *,
    alpha: float | None = None,
    photo: Photo = "gray",
    cmap: Any = None,
    smooth: float | bool = 0.0,
) -> Figure:
    """Compare explanations of the same pictures: a row per picture, a column per explanation.

    The first column shows each row's picture under what its maps share. Over each map stands how
    it differs: its method, its layer or its class; again in a row that departs from the one above.

    Args:
        rows: Explanations of the same pictures (objects with ``panels()``), a column each; or
            rows of panels, where the panels of a row share one picture.
        figure, percentile: As in :func:`pair`.
        size: Width of a square picture, in inches.
        alpha: Opacity of maps over their picture, in (0, 1]; None draws them alone.
        photo, cmap, smooth: As in :func:`overlay`.

    Raises:
        ImageError: The panels of one row have different frames.
        MethodError: No rows, an empty row, or an option out of range.

    Example:
        >>> figure = grid([explain(model, img, name) for name in ("gradient", "grad_cam")])
    """
    rows = _rows(rows)
    for row in rows or [()]:
        scales(row, percentile)
    check_photo(photo)
    if alpha is not None:
        check_alpha(alpha)
    rows = [smoothed(row, smooth) for row in rows]
    ends = [scales(row, percentile) for row in rows]
    for row in rows:
        if len(frames := {np.shape(panel.map) for panel in row}) > 1:
            raise ImageError(
                "Expected maps of one frame in a row of a grid, since they share a picture.",
                f"Got frames {sorted(frames)} in one row.",
                "Put maps of different pictures in different rows.",
                "help(keras_saliency.plot.grid)",
            )
    panels = [panel for row in rows for panel in row]
    sheet = Sheet(figure, panels, size, points=8.5)
    above: list[str] = []
    for row, row_ends in zip(rows, ends, strict=True):
        names = [panel.method for panel in row]
        new = ["" if [name] == above[k : k + 1] else name for k, name in enumerate(names)]
        title, *heads = sheet.row(0.11, row[0].heading, *new)
        sheet.image(MARGIN, row[0], rgb(row[0].picture), title)
        for k, (panel, scale) in enumerate(zip(row, row_ends, strict=True)):
            x = MARGIN + (k + 1) * (sheet.column + GAP)
            view = over(panel, scale, alpha, photo, cmap) if alpha else heat(panel, scale, cmap)
            sheet.view(x, panel, view, heads[k])
            sheet.flat_bar(x, panel, scale, view.bar)
        above = names
    return sheet.finish(caption(panels, percentile))


_BETWEEN, _ALPHA = 0.18, 0.7


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
        rows: The panels of a row share one picture, which is drawn first, under the title of the
            first panel; each map is drawn under its ``method``, which may have several lines.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of each map's colour scale, in (0, 100].
        size: Width of a square picture, in inches.
        across: Number of pictures per line, the first included.
        note: Text added to the caption under the figure.

    Raises:
        MethodError: No rows, an empty row, or a percentile or a number out of range.

    Example:
        >>> panels = explain(model, img).panels() * 3
        >>> figure = gallery([panels])
    """
    if not (_arguments.is_count(across)):
        raise MethodError(
            "Expected across to be a whole number above 0.",
            f"Got across={across!r}.",
            "Take such a value.",
            "help(keras_saliency.plot.gallery)",
        )
    ends = [scales(row, percentile) for row in rows or [()]]
    panels = [panel for row in rows for panel in row]
    across = min(across, _even(1 + max(map(len, rows)), across))
    sheet = Sheet(figure, panels, size, points=8.5)
    for row, row_ends in zip(rows, ends, strict=True):
        texts = [row[0].heading, *(panel.method for panel in row)]
        for k in range(len(texts)):
            if k % across == 0:
                words = sheet.row(0.16, *texts[k : k + across])
            lines, x = words[k % across], MARGIN + k % across * (sheet.column + _BETWEEN)
            if k == 0:
                sheet.image(x, row[0], rgb(row[0].picture), lines)
            else:
                view = over(row[k - 1], row_ends[k - 1], _ALPHA)
                sheet.view(x, row[k - 1], view, lines)
                sheet.flat_bar(x, row[k - 1], row_ends[k - 1], view.bar)
    return sheet.finish(" ".join(filter(None, [caption(panels, percentile), note])))


def _even(count: int, most: int) -> int:
    """Return the number per line that makes the last line about as long as the others."""
    lines = -(-count // most)
    return -(-count // lines)

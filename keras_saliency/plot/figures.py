"""Figures of attributions: layouts of pictures, maps and colour bars; methods' scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import ImageError, MethodError, _arguments
from keras_saliency.plot import signals, tables, volumes
from keras_saliency.plot import words as words_of
from keras_saliency.plot.colours import caption, colormap, label, limits, marks, scales
from keras_saliency.plot.panel import Panel, rgb
from keras_saliency.plot.sheet import MARGIN, Sheet, width
from keras_saliency.plot.signals import WIDE

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
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of each map's colour scale, in (0, 100]; see :func:`limits`.
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
        title, method = sheet.row(0.2, panel.heading, panel.method)
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
            "Expected alpha, the opacity at the end of the colour scale, above 0 and up to 1.",
            f"Got alpha={alpha!r}.",
            "Pass a number above 0 and up to 1, such as 0.6.",
            "help(keras_saliency.plot.overlay)",
        )
    across = len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels)))
    sheet = Sheet(figure, panels)
    for k, (panel, scale) in enumerate(zip(panels, ends, strict=True)):
        if k % across == 0:
            row = panels[k : k + across]
            words = sheet.row(0.16, *(f"{each.heading}\n{each.method}" for each in row))
        x = MARGIN + k % across * (sheet.column + 0.2)
        sheet.flat_bar(x, panel, scale, sheet.over(x, panel, scale, alpha, words[k % across]))
    return sheet.finish(caption(panels, percentile))


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
        rows: Explanations of the same pictures (objects with ``panels()``), a column each; or
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
            x = MARGIN + (k + 1) * (sheet.column + _GAP)
            sheet.map(x, panel, scale, heads[k])
            sheet.flat_bar(x, panel, scale, colormap(panel.signed))
        above = names
    return sheet.finish(caption(panels, percentile))


def several(
    panels: Sequence[Panel | tuple[str, Panel]],
    figure: Figure | None = None,
    percentile: float = 99.0,
) -> Figure:
    """Draw inputs of any kind below each other, such as all inputs of one model.

    A picture is drawn beside its map. A signal is drawn over its attribution as colour, with an
    axis of attribution below; of a volume the slices with the most attribution and the maximum
    along each axis; of a video frames and the attribution of each; of tokens shaded words; of a
    table bars.

    Args:
        panels: One or more, each alone or as ``(name, panel)``. Under a name, the
            same title is printed once.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of each map's colour scale, in (0, 100]; see :func:`limits`.

    Raises:
        MethodError: No panels, something else among them, no figure, or a percentile out of range.

    Example:
        >>> age = Panel(np.array([41.0]), np.array([0.3]), kind="table", names=("age",))
        >>> photo = Panel(np.zeros((8, 8)), np.ones((8, 8)))
        >>> figure = several([("photo", photo), ("patient", age)])
    """
    items = _named(panels)
    for _, panel in items:
        limits(panel.map, panel.signed, percentile)  # checks the percentile before a figure opens
    sheet, above = Sheet(figure, [panel for _, panel in items], size=2.6), ""
    for name, panel in items:
        texts = "\n".join(filter(None, [panel.heading, panel.method]))
        head = "" if name and texts == above else texts
        for k, text in enumerate([one for one in (head, name) if one] or [""]):
            sheet.heading(0.06 if k else 0.24, text, WIDE)
        _DRAW[panel.kind](sheet, panel, percentile)
        above = texts
    coloured = [panel for _, panel in items if panel.kind != "table"]
    return sheet.finish(caption(coloured, percentile) if coloured else "")


def _named(panels: Any) -> list[tuple[str, Panel]]:
    """Return panels with their names, ``""`` where they have none.

    Raises:
        MethodError: There is none, or something else among them.
    """
    items = list(panels) if isinstance(panels, list | tuple) else []
    pairs = [("", one) if isinstance(one, Panel) else one for one in items]
    if pairs and all(
        isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str)
        and isinstance(one[1], Panel) for one in pairs
    ):  # fmt: skip
        return pairs
    got = "an empty list" if isinstance(panels, list | tuple) and not items else repr(panels)[:80]
    raise MethodError(
        "Expected a list of one or more panels, each alone or as (name, panel).",
        f"Got {'a single Panel' if isinstance(panels, Panel) else got}.",
        "Pass a list such as [('photo', Panel(picture, map))], or explanation.panels().",
        "help(keras_saliency.plot.several)",
    )


def _beside(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw a picture and its map side by side."""
    scale = limits(panel.map, panel.signed, percentile)
    x = MARGIN + sheet.column + _GAP
    sheet.image(MARGIN, panel, rgb(panel.picture))
    sheet.map(x, panel, scale)
    text, ticks = label(panel, scale, percentile), max(map(width, marks(scale)))
    sheet.tall_bar(x, panel, scale, text, ticks)


_DRAW: dict[str, Callable[[Sheet, Panel, float], None]] = {
    "picture": _beside,
    "signal": signals.draw,
    "volume": volumes.slices,
    "video": volumes.frames,
    "tokens": words_of.draw,
    "table": tables.draw,
}

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
            "help(keras_saliency.plot.figures)",
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
                bar = sheet.over(x, row[k - 1], row_ends[k - 1], _ALPHA, lines)
                sheet.flat_bar(x, row[k - 1], row_ends[k - 1], bar)
    return sheet.finish(" ".join(filter(None, [caption(panels, percentile), note])))


def _even(count: int, most: int) -> int:
    """Return the number per line that makes the last line about as long as the others."""
    lines = -(-count // most)
    return -(-count // lines)

"""Figures of inputs that are no pictures, one for each map, and a sheet of them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from keras_saliency._results.explanation import Explanation
from keras_saliency.errors import ImageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_saliency.plot import Panel

_SLICES = 6  # of a volume, side by side
_WIDE = 8  # how many times as wide as high the strip of a signal is


def figure(one: Explanation) -> bytes:
    """Return a PNG of one input and its map: what a notebook shows of the explanation."""
    try:
        return one._repr_png_()
    except ImageError:  # `plot` draws pictures only: others are laid out flat
        from keras_saliency import plot

        return plot.render_png(plot.pair, [_strip(one)])


def _strip(one: Explanation) -> Panel:
    """Return an input and its map laid out as a picture: rows of channels, or slices."""
    from keras_saliency.plot import Panel

    grid = np.asarray(one.maps()[0])
    picture = np.asarray(one.pictures[0], np.float64).reshape(*grid.shape, -1)
    if grid.ndim == 1:
        rows = picture.T
        times = max(1, math.ceil(len(grid) / _WIDE / len(rows)))
        picture = rows.repeat(times, axis=0)[..., None]
        grid = np.broadcast_to(grid, picture.shape[:2])
    elif grid.ndim == 3:
        count = min(_SLICES, len(grid))
        slices = np.linspace(0, len(grid) - 1, count).round().astype(int)
        picture = np.concatenate(list(picture[slices]), axis=1)
        grid = np.concatenate(list(grid[slices]), axis=1)
    return Panel(picture, grid, one.title(), one.info["method"], one.signed)


class Drawn(NamedTuple):
    """A figure as a PNG, and the text above it."""

    png: bytes
    text: str


def sheet(
    rows: Sequence[Sequence[Drawn]],
    figure: Figure | None = None,
    *,
    size: float = 4.4,
    across: int = 3,
    note: str = "",
) -> Figure:
    """Draw figures beside each other, each below its text.

    Args:
        rows: The figures of each input.
        figure: Figure to draw on; it is cleared and resized. None makes one in pyplot.
        size: Width of each, in inches.
        across: How many stand side by side.
        note: Text under all of them.
    """
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure()
    figure.clear()
    lines = [list(row[k : k + across]) for row in rows for k in range(0, len(row), across)]
    images = [[np.asarray(Image.open(io.BytesIO(cell.png))) for cell in line] for line in lines]
    heights = [
        max(size * image.shape[0] / image.shape[1] for image in some)
        + 0.17 * max(2 + cell.text.count("\n") for cell in line)
        for some, line in zip(images, lines, strict=True)
    ]
    columns = max(map(len, lines))
    figure.set_size_inches(columns * size, sum(heights) + 0.3)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(len(lines), columns, squeeze=False, height_ratios=heights)
    for place in axes.flat:
        place.set_axis_off()
    for line, some, places in zip(lines, images, axes, strict=True):
        for cell, image, place in zip(line, some, places, strict=False):
            place.imshow(image)
            place.set_title(cell.text, size=7.5, loc="left")
    figure.supxlabel(note, size=7.5)
    return figure

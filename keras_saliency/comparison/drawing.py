"""Figures of inputs that are no pictures, one for each map, and a sheet of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from keras_saliency._results.explanation import Explanation
from keras_saliency.errors import MethodError
from keras_saliency.plot.sheet import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_READ = "help(keras_saliency.Comparison)"


def figure(one: Explanation) -> bytes:
    """Return a PNG of one input and its map: what a notebook shows of the explanation."""
    return one._repr_png_()


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
        figure: Figure to draw on; it is cleared and resized. None makes one.
        size: Width of each, in inches.
        across: How many stand side by side.
        note: Text under all of them.
    """
    figure = page(figure)
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


def figure_of(comparison: Any, kind: str, drawn: int) -> tuple[Any, Any]:
    """Return a function that draws one of a comparison's figures, and its first argument."""
    from keras_saliency import plot

    if kind == "maps" and not comparison.are_flat:
        if not comparison.explanations:
            raise MethodError(
                "Expected a comparison with a map to draw.", "Got none.", "Print it.", _READ
            )
        return partial(sheet, note=under_maps(comparison, drawn)), _drawn(comparison, drawn)
    if kind == "maps":
        return partial(plot.gallery, note=under_maps(comparison, drawn)), comparison.panels()
    if kind == "scores":
        note = "Filled: best."
        if len(comparison) > 1:
            several = f"{len(comparison)} {comparison.nouns}"
            what = f"Blue: mean over {several} and its 95% bootstrap interval"
            note = f"{what}; grey: single {comparison.nouns}. {note}"
        return partial(plot.scores, comparison.methods, note=note), comparison.columns()
    raise MethodError(
        f"No plot is called {kind!r}.",
        "Known: 'maps', 'scores'.",
        "Take one of these.",
        _READ,
    )


def _drawn(comparison: Any, count: int) -> list[list[Drawn]]:
    """Return the first inputs that are no pictures with a figure of each of their maps."""
    return [
        [
            Drawn(figure(result[i]), f"{name}\n{comparison._lines(method, i)}")
            for method, result in comparison.explanations.items()
        ]
        for i, name in enumerate(comparison.names[:count])
    ]


def under_maps(comparison: Any, drawn: int) -> str:
    """Return the note under the figure of all maps, of which so many are drawn."""
    said = []
    if comparison.metrics:
        said.append("Scores: ↑ higher is better, ↓ lower is better, * best.")
    if len(comparison) > 1:
        said.append(f"Seconds are those for all {len(comparison)} {comparison.nouns}.")
    if len(comparison) > drawn:
        said.append(f"The first {drawn} {comparison.nouns} are shown.")
    if comparison.errors:
        said.append(f"Without a map: {', '.join(comparison.errors)}.")
    return " ".join(said)

"""Scores of methods by metrics, with their intervals, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.plot.sheet import INK, SMALL, height, page, width, wrap, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE, _AXIS, _APART, _MARGIN, _POINTS = 0.27, 1.9, 0.3, 0.15, 9.0
_COLOUR, _FAINT = "#1f5fa8", "0.72"


@dataclass(frozen=True, eq=False)
class Column:
    """One metric of M methods on B pictures.

    Attributes:
        name: The metric's name.
        values: (M, B); NaN where there is no number.
        intervals: (M, 3), mean, low and high.
        higher_is_better: Whether higher numbers are better.
        best: (M,) bool, the methods to mark.
    """

    name: str
    values: np.ndarray
    intervals: np.ndarray
    higher_is_better: bool
    best: np.ndarray


def scores(
    methods: Sequence[str], columns: Sequence[Column], figure: Figure | None = None, note: str = ""
) -> Figure:
    """Draw each method's mean, its interval and the pictures' numbers, an axis for each metric.

    Args:
        methods: Names, one per line, from top to bottom.
        columns: One or more metrics.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        note: Text under the figure.

    Raises:
        MethodError: No methods or no metrics.

    Example:
        >>> ends = np.array([[0.2, 0.1, 0.3], [0.5, 0.4, 0.6]])
        >>> column = Column("deletion", ends, ends, False, np.array([True, False]))
        >>> figure = scores(["grad_cam", "gradient"], [column])
    """
    if not len(methods) or not len(columns):
        raise MethodError(
            "Expected one or more methods and one or more metrics.",
            f"Got {len(methods)} methods and {len(columns)} metrics.",
            "Compare with at least one of each.",
            "help(keras_saliency.plot.scores)",
        )
    figure = page(figure)
    left = _MARGIN + max(width(name, _POINTS) for name in methods) + 0.12
    across = left + len(columns) * (_AXIS + _APART) - _APART + _MARGIN + 0.1
    lines = wrap(note, across - 2 * _MARGIN)
    top, body = _MARGIN + height(2, _POINTS), _LINE * (len(methods) + 0.4)
    down = top + body + 0.3 + height(len(lines)) + _MARGIN
    figure.set_size_inches(across, down)
    for k, column in enumerate(columns):
        x = left + k * (_AXIS + _APART)
        axes = figure.add_axes((x / across, 1 - (top + body) / down, _AXIS / across, body / down))
        _draw(axes, column, len(methods))
        axes.set_yticks(range(len(methods)), methods if k == 0 else [], size=_POINTS)
    figure.text(
        _MARGIN / across, 0.8 * _MARGIN / down, "\n".join(lines), size=SMALL, color=INK, va="bottom"
    )
    return figure


def _draw(axes, column: Column, count: int) -> None:
    for row, (values, (mean, low, high)) in enumerate(
        zip(column.values, column.intervals, strict=True)
    ):
        axes.axhline(row, color="0.92", linewidth=0.8, zorder=0)
        several = np.isfinite(values).sum() > 1
        if several:
            axes.plot(values, np.full(len(values), row), ".", color=_FAINT, markersize=5, zorder=1)
            axes.plot([low, high], [row, row], color=_COLOUR, linewidth=1.6, zorder=2)
        filled = bool(column.best[row])  # not by colour alone
        axes.plot(mean, row, "o", color=_COLOUR, markerfacecolor=_COLOUR if filled else "white",
                  markersize=8 if filled else 6, zorder=3)  # fmt: skip
    axes.set_ylim(count - 0.3, -0.7)
    better = "higher is better \u2192" if column.higher_is_better else "\u2190 lower is better"
    for text, above in ((column.name, 4 + 1.25 * _POINTS), (better, 4)):
        write(axes, text, (0.5, 1), (0, above), size=_POINTS, ha="center", va="baseline")
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="both", labelsize=SMALL, colors=INK, length=2)
    axes.tick_params(axis="y", labelsize=_POINTS, length=0)
    axes.margins(x=0.12)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set(color="0.7")

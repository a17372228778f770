"""Predicted and measured densities of fixations side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.plot.panel import Panel, blend, grey, limits, rgb, scales, shrink
from keras_saliency.plot.sheet import INK, MARGIN, SMALL, Sheet, height, width, wrap, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _ALPHA = 0.15, 0.75


def comparison(
    rows: Sequence[Sequence[Panel]], figure: Figure | None = None, percentile: float = 99.0
) -> Figure:
    """Draw densities of the same pictures beside each other: a row per picture.

    The densities of a row share one scale, so that their heights can be compared.

    Args:
        rows: The panels of a row share one picture; the first's title goes over it, and each
            one's method over its density.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: End of a row's colour scale, in (0, 100].

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
        title, *heads = sheet.row(0.14, row[0].heading, *(panel.method for panel in row))
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


_LINE, _AXIS, _BETWEEN, _MARGIN, _POINTS = 0.27, 1.9, 0.3, 0.15, 9.0
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
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
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
            "help(keras_saliency.plot.comparison)",
        )
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure()
    figure.clear()
    figure.set_layout_engine("none")
    left = _MARGIN + max(width(name, _POINTS) for name in methods) + 0.12
    across = left + len(columns) * (_AXIS + _BETWEEN) - _BETWEEN + _MARGIN + 0.1
    lines = wrap(note, across - 2 * _MARGIN)
    top, body = _MARGIN + height(2, _POINTS), _LINE * (len(methods) + 0.4)
    down = top + body + 0.3 + height(len(lines)) + _MARGIN
    figure.set_size_inches(across, down)
    for k, column in enumerate(columns):
        x = left + k * (_AXIS + _BETWEEN)
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


def losses(rows: Sequence[Mapping[str, Any]], figure: Figure | None = None) -> Figure:
    """Draw the losses of a training, epoch after epoch, its stages side by side.

    Args:
        rows: One for each epoch, with ``stage``, ``loss`` and ``validation_loss``.
        figure: Figure to draw on; it is cleared. None makes one in pyplot.

    Example:
        >>> row = {"stage": "readout", "loss": 0.9, "validation_loss": 0.8}
        >>> figure = losses([row])
    """
    from matplotlib.ticker import MaxNLocator

    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure()
    figure.clear()
    figure.set_size_inches(6.0, 3.4)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    epochs = range(1, len(rows) + 1)
    for key, colour, label in (
        ("loss", "#888888", "training (augmented, with dropout)"),
        ("validation_loss", "#1b6ca8", "validation"),
    ):
        values = [row[key] for row in rows]
        axes.plot(epochs, values, "o-", color=colour, markersize=3.5, label=label)
    starts = [i for i in epochs if i == 1 or rows[i - 1]["stage"] != rows[i - 2]["stage"]]
    for start in starts:
        if start > 1:
            axes.axvline(start - 0.5, color="#cccccc", linewidth=0.8, zorder=0)
        axes.annotate(
            rows[start - 1]["stage"],
            (start - 0.4, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8.5,
        )
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(facecolor="white", edgecolor="none", framealpha=1.0, fontsize=8.5)
    return figure

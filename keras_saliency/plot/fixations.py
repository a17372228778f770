"""Figures of fixations: their density, densities side by side, the losses of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.plot.colours import blend, clipping, colormap, limits, scales
from keras_saliency.plot.panel import Panel, grey, rgb, shrink
from keras_saliency.plot.sheet import MARGIN, Sheet, height, page, width, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _NARROW, _ALPHA = 0.2, 0.15, 0.75
_WIDE = 2.2  # the three views of a picture of this ratio or wider are stacked
_READ = "help(keras_saliency.plot.density)"


def density(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    shares: Sequence[float] = (0.25, 0.5, 0.75, 0.9),
) -> Figure:
    """Draw where people are expected to look: a row per picture, with three views of it.

    The picture; the density over it, as a multiple of the uniform density; and the outlines of the
    smallest areas that hold these shares of all fixations. The views of panoramas are stacked.

    Args:
        panels: One or more, whose maps are densities: at least 0, any sum above 0.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of each colour scale, in (0, 100]; see :func:`limits`.
        shares: Share of the fixations in each outlined area, increasing, each in (0, 1).

    Raises:
        MethodError: No panels, a map that is no density, a percentile out of range, or shares that
            do not increase within (0, 1).

    Example:
        >>> heap = np.exp(-np.hypot(*np.mgrid[-8:9, -8:9]))
        >>> figure = density([Panel(np.zeros((17, 17)), heap, "crossing.jpg")])
    """
    scales(panels, percentile)
    _check(panels, shares)
    ratios = [np.shape(panel.map)[1] / np.shape(panel.map)[0] for panel in panels]
    wide = float(np.median(ratios)) >= _WIDE
    sheet = Sheet(figure, panels, size=3.6 if wide else 2.4)
    heads = ("density, times uniform", "areas that hold most fixations")
    for panel in panels:
        titles = (panel.heading or "picture", *heads)
        words = [] if wide else sheet.row(0.2, *titles)
        views: tuple[Any, ...] = (
            _picture,
            partial(_heat, percentile=percentile),
            partial(_areas, shares=shares),
        )
        for k, draw in enumerate(views):
            x = MARGIN + (0 if wide else k * (sheet.column + _GAP))
            lines = sheet.row(0.14 if k else 0.2, titles[k])[0] if wide else words[k]
            draw(sheet, x, panel, lines)
    return sheet.finish(_caption(panels, percentile, shares))


def comparison(
    rows: Sequence[Sequence[Panel]], figure: Figure | None = None, percentile: float = 99.0
) -> Figure:
    """Draw densities of the same pictures beside each other: a row per picture.

    The densities of a row share one scale, so that their heights can be compared.

    Args:
        rows: The panels of a row share one picture; the first's title goes over it, and each
            one's method over its density.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
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
            x = MARGIN + (k + 1) * (sheet.column + _NARROW)
            pixels = blend(ground, np.minimum(one / top, 1.0), False, _ALPHA)
            sheet.image(x, panel, pixels, heads[k])
    return sheet.finish(
        f"Colour: density of fixations, each row from 0 to the {percentile:g}th percentile of its "
        "highest map."
    )


def levels(density: np.ndarray, shares: Sequence[float]) -> list[float]:
    """Return, for each share, the density at the edge of the smallest area that holds it.

    Example:
        >>> levels(np.array([[4.0, 3.0], [2.0, 1.0]]), (0.4, 0.9))
        [4.0, 2.0]
    """
    falling = np.sort(density, axis=None)[::-1].astype(np.float64)
    held = np.cumsum(falling)
    positions = np.searchsorted(held, np.asarray(shares) * held[-1])
    return falling[np.minimum(positions, falling.size - 1)].tolist()


def _picture(sheet: Sheet, x: float, panel: Panel, words: Any) -> None:
    sheet.image(x, panel, rgb(panel.picture), words)


def _heat(sheet: Sheet, x: float, panel: Panel, words: Any, percentile: float) -> None:
    from matplotlib.colors import ListedColormap

    times = shrink(panel.map)
    times = times / times.mean()
    _, top = limits(times, False, percentile)
    share = np.minimum(times / top, 1.0)
    ground = grey(panel.picture)
    sheet.image(x, panel, blend(ground, share, False, _ALPHA), words)
    bar = blend(np.full(256, ground.mean()), np.linspace(0, 1, 256), False, _ALPHA)
    sheet.flat_bar(x, panel, (0.0, top), ListedColormap(bar))


def _areas(sheet: Sheet, x: float, panel: Panel, words: Any, shares: Sequence[float]) -> None:
    from matplotlib.patheffects import withStroke

    pale = 0.25 + 0.6 * grey(panel.picture)
    sheet.image(x, panel, np.repeat(pale[..., None], 3, axis=-1), words)
    axes = sheet.boxes[-1][0]
    heap = shrink(panel.map)
    sizes = zip(heap.shape, np.shape(panel.map), strict=True)
    rows, columns = ((np.arange(n) + 0.5) * size / n - 0.5 for n, size in sizes)
    colours = colormap(False)(np.linspace(0.95, 0.5, len(shares)))
    held = dict(zip(levels(heap, shares), colours, strict=True))  # fewer where the map has steps
    edges = sorted(level for level in held if heap.min() < level < heap.max())
    if edges and min(heap.shape) > 1:
        lines = axes.contour(
            columns, rows, heap, edges, colors=[held[edge] for edge in edges], linewidths=1.4
        )
        lines.set_path_effects([withStroke(linewidth=2.6, foreground="0.1")])
    _legend(sheet, x, shares, colours)


def _legend(sheet: Sheet, x: float, shares: Sequence[float], colours: Any) -> None:
    """Name each outline under the picture, in as many lines as the picture's width needs."""
    from matplotlib.patheffects import withStroke

    axes, _, top, across, down = sheet.boxes[-1]
    at, line, step = 0.0, 0, height(1)
    for share, colour in zip(shares, colours, strict=True):
        label = f"{100 * share:g} %"
        needed = 0.14 + width(label)
        if at and at + needed > across:
            at, line = 0.0, line + 1
        below = -72 * (0.1 + line * step)
        dash = {"color": colour, "path_effects": [withStroke(linewidth=1.2, foreground="0.1")]}
        write(axes, "\u2501", (0, 0), (72 * at, below), size=11, va="center", **dash)
        write(axes, label, (0, 0), (72 * (at + 0.14), below), va="center")
        sheet.right = max(sheet.right, x + at + needed)
        at += needed + 0.12
    sheet.bottom = max(sheet.bottom, top + down + 0.1 + (line + 1) * step)


def _caption(panels: Sequence[Panel], percentile: float, shares: Sequence[float]) -> str:
    *most, last = (f"{100 * share:g}" for share in shares)
    several = f"areas that hold {', '.join(most)} and {last} %"
    areas = several if most else f"area that holds {last} %"
    own = ", each on its own scale" * (len(panels) > 1)
    clipped = clipping(percentile) * (percentile < 100)
    return (
        f"Colour: density as a multiple of the uniform density{own}{clipped}. "
        f"Outlined: the smallest {areas} of all expected fixations."
    )


def _check(panels: Sequence[Panel], shares: Sequence[float]) -> None:
    for panel in panels:
        values = np.asarray(panel.map)
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise MethodError(
                "Expected a density: finite, nowhere below 0 and somewhere above 0.",
                f"Got the map {panel.title!r} from {values.min():.3g} to {values.max():.3g}.",
                "Pass a finite map that is nowhere below 0 and somewhere above; plot.pair draws "
                "any map.",
                _READ,
            )
    rising = len(shares) > 0 and all(a < b for a, b in zip((0, *shares), (*shares, 1), strict=True))
    if not rising:
        raise MethodError(
            "Expected shares of the fixations: increasing numbers between 0 and 1.",
            f"Got shares={tuple(shares)!r}.",
            "Pass increasing numbers between 0 and 1, such as (0.25, 0.5, 0.75, 0.9).",
            _READ,
        )


def losses(rows: Sequence[Mapping[str, Any]], figure: Figure | None = None) -> Figure:
    """Draw the losses of a training, epoch after epoch, its stages side by side.

    Args:
        rows: One for each epoch, with ``stage``, ``loss`` and ``validation_loss``.
        figure: Figure to draw on; it is cleared. None makes one.

    Example:
        >>> row = {"stage": "readout", "loss": 0.9, "validation_loss": 0.8}
        >>> figure = losses([row])
    """
    from matplotlib.ticker import MaxNLocator

    figure = page(figure)
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

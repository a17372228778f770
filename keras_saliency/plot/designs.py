"""The figure of two designs: their densities on one scale, the difference, shares of regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._io.files import shown
from keras_saliency.plot.colours import blend, colormap, limits
from keras_saliency.plot.panel import grey, shrink
from keras_saliency.plot.sheet import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ALPHA, _WIDE, _POINTS = 0.75, 3.3, 8.5
_COLOURS = ("#8a8a8a", "#1b6ca8")  # of A and of B
_BAR = 0.42  # inches of a region's two bars


@dataclass(frozen=True, eq=False)
class Designs:
    """What the figure shows.

    Attributes:
        pictures: Of A and of B, (H0, W0, 3) or (H0, W0, 1) uint8.
        densities: Of A and of B, (H0, W0), at least 0.
        difference: (H, W), B minus A, in A's frame.
        names: Printed over the designs.
        shares: By region the share in A and in B; none draws no bars.
        regions: For A and for B, (H0, W0) weights by name; their outlines are drawn.
        note: Printed under the figure.
    """

    pictures: tuple[np.ndarray, np.ndarray]
    densities: tuple[np.ndarray, np.ndarray]
    difference: np.ndarray
    names: tuple[str, ...]
    shares: Mapping[str, tuple[float, float]]
    regions: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]
    note: str = ""


def compared(designs: Designs, figure: Figure | None = None, percentile: float = 99.0) -> Figure:
    """Draw two designs beside each other.

    Args:
        designs: What is drawn.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of the colour scales, in (0, 100].

    Raises:
        MethodError: The percentile is out of range.

    Example:
        >>> flat, heap = np.ones((8, 8)), np.exp(-np.hypot(*np.mgrid[-4:4, -4:4]))
        >>> pictures = (np.zeros((8, 8, 3), "uint8"),) * 2
        >>> pair = Designs(pictures, (flat, heap), heap - flat, ("A", "B"), {}, ({}, {}))
        >>> figure = compared(pair)
    """
    from matplotlib.ticker import PercentFormatter

    times = [shrink(one) / np.mean(one) for one in designs.densities]
    top = max(limits(one, False, percentile)[1] for one in times)
    # In units of the uniform density, as the other two.
    change = shrink(designs.difference) * np.size(designs.difference)
    end = limits(change, True, percentile)[1]
    figure = page(figure)
    ratio = float(np.clip(np.divide(*designs.difference.shape), 0.3, 2.2))
    bars = len(designs.shares)
    heights = [_WIDE * ratio + 0.65, 0.55 + _BAR * bars if bars else 0.0]
    figure.set_size_inches(3 * _WIDE + 0.4, sum(heights) + 0.45)
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    count = 2 if bars else 1
    rows: Any = figure.subfigures(count, 1, height_ratios=heights[:count], squeeze=False)[:, 0]
    axes = rows[0].subplots(1, 3)
    for i in range(2):
        share = np.minimum(times[i] / top, 1.0)
        pixels = blend(grey(designs.pictures[i]), share, False, _ALPHA)
        _image(axes[i], pixels, designs.densities[i].shape, designs.names[i])
        _outlines(axes[i], designs.regions[i])
        _scale(figure, axes[i], (0.0, top), colormap(False), "density, times uniform")
    pixels = blend(grey(designs.pictures[0]), np.clip(change / end, -1.0, 1.0), True, 0.9)
    _image(axes[2], pixels, designs.difference.shape, "B minus A: red is seen more in B")
    _scale(figure, axes[2], (-end, end), colormap(True), "difference, times uniform")
    if bars:
        below = rows[1].subplots()
        _bars(below, designs)
        below.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.supxlabel(shown(designs.note), fontsize=_POINTS, color="0.3", x=0.01, ha="left")
    return figure


def _image(axes: Any, pixels: np.ndarray, shape: tuple[int, ...], title: str) -> None:
    axes.imshow(pixels, extent=(0, shape[1], shape[0], 0), interpolation="nearest")
    axes.set_title(shown(title), fontsize=_POINTS, color="0.3", loc="left")
    axes.set_xticks([])
    axes.set_yticks([])


def _scale(figure: Figure, axes: Any, ends: tuple[float, float], colours: Any, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(Normalize(*ends), colours), ax=axes, location="bottom", fraction=0.05,
        pad=0.02, aspect=30,
    )  # fmt: skip
    bar.set_ticks([ends[0], ends[1]], labels=[f"{one:.3g}" for one in ends])
    bar.ax.tick_params(labelsize=_POINTS - 1, colors="0.3", length=2)
    bar.set_label(label, fontsize=_POINTS - 1, color="0.3", labelpad=-8)
    bar.outline.set_visible(False)


def _outlines(axes: Any, regions: Mapping[str, np.ndarray]) -> None:
    """Draw each region's edge, and its name inside."""
    from matplotlib.patheffects import withStroke

    stroke = [withStroke(linewidth=2.4, foreground="0.1")]
    for name, weights in regions.items():
        inside = np.pad(weights > 0, 1)  # a region at the picture's edge is closed there
        rows, columns = np.arange(inside.shape[0]) - 0.5, np.arange(inside.shape[1]) - 0.5
        lines = axes.contour(columns, rows, inside, [0.5], colors=["white"], linewidths=1.2)
        lines.set_path_effects(stroke)
        top, left = (int(np.flatnonzero(inside.any(axis=k))[0]) - 1 for k in (1, 0))
        above = top > 0.08 * len(inside)  # else there is no room for the name over the box
        axes.annotate(
            shown(name), (left, top), xytext=(0 if above else 3, 3 if above else -3),
            textcoords="offset points", va="bottom" if above else "top", fontsize=_POINTS,
            color="white", path_effects=stroke, clip_on=True,
        )  # fmt: skip
    axes.set_xlim(0, axes.get_images()[0].get_extent()[1])
    axes.set_ylim(axes.get_images()[0].get_extent()[2], 0)


def _bars(axes: Any, designs: Designs) -> None:
    """Draw the shares of each region in A and in B, with their numbers."""
    names = list(designs.shares)
    places = np.arange(len(names))
    for k, (colour, letter) in enumerate(zip(_COLOURS, "AB", strict=True)):
        values = [designs.shares[name][k] for name in names]
        drawn = axes.barh(places + (k - 0.5) * 0.36, values, 0.34, color=colour, label=letter)
        axes.bar_label(drawn, [f"{v:.1%}" for v in values], padding=3, fontsize=_POINTS - 0.5)
    axes.set_yticks(places, [shown(name) for name in names], fontsize=_POINTS)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(0.05, *(max(pair) for pair in designs.shares.values())))
    axes.tick_params(axis="x", labelsize=_POINTS - 1)
    axes.set_title("share of the expected fixations", fontsize=_POINTS, color="0.3", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        fontsize=_POINTS, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1),
        borderaxespad=0,
    )  # fmt: skip

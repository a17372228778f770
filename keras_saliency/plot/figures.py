"""Figures of one map of each picture: beside it, alone, over it, and as outlines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from keras_saliency.plot.colours import caption, changes, chosen, label, marks, scales
from keras_saliency.plot.panel import Panel, rgb
from keras_saliency.plot.sheet import GAP, MARGIN, Sheet, width
from keras_saliency.plot.views import (
    Photo,
    Scale,
    View,
    check_alpha,
    check_axes,
    check_levels,
    check_photo,
    heat,
    in_axes,
    outlined,
    over,
    smoothed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def pair(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    colorbar: bool = True,
    *,
    cmap: Any = None,
    smooth: float | bool = 0.0,
) -> Figure:
    """Draw each picture beside its map, a row per panel.

    Args:
        panels: One or more panels.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of each map's colour scale, in (0, 100]; see :func:`limits`.
        colorbar: Whether to draw the scale beside each map.
        cmap: A colormap of matplotlib, or its name; None takes that of :func:`colormap`.
        smooth: Standard deviation of a Gaussian that blurs each map, in pixels of its picture;
            True takes 1% of the longer side. The figure says so.

    Raises:
        MethodError: No panels, or an option out of range.

    Example:
        >>> figure = pair([Panel(np.zeros((8, 8)), np.ones((8, 8)), "espresso", "gradient")])
    """
    scales(panels, percentile)  # checks what is drawn
    panels = smoothed(panels, smooth)
    ends = scales(panels, percentile)
    chosen(cmap, signed=False)
    ticks = max(width(text) for scale in ends for text in marks(scale))
    sheet = Sheet(figure, panels)
    x = MARGIN + sheet.column + GAP
    for panel, scale in zip(panels, ends, strict=True):
        title, method = sheet.row(0.2, panel.heading, panel.method)
        sheet.image(MARGIN, panel, rgb(panel.picture), title)
        sheet.view(x, panel, view := heat(panel, scale, cmap), method)
        if colorbar:
            sheet.bar(x, panel, scale, view.bar, label(panel, scale, percentile), ticks)
    return sheet.finish(changes(panels))


@overload
def heatmap(
    panels: Sequence[Panel],
    figure: Figure | None = ...,
    percentile: float = ...,
    *,
    ax: None = ...,
    cmap: Any = ...,
    smooth: float | bool = ...,
    colorbar: bool = ...,
) -> Figure: ...
@overload
def heatmap(
    panels: Sequence[Panel], figure: None = ..., percentile: float = ...,
    *, ax: Axes, cmap: Any = ..., smooth: float | bool = ..., colorbar: bool = ...,
) -> Axes: ...  # fmt: skip
def heatmap(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    *,
    ax: Axes | None = None,
    cmap: Any = None,
    smooth: float | bool = 0.0,
    colorbar: bool = True,
) -> Figure | Axes:
    """Draw each map alone.

    Args:
        panels: One or more; with ``ax`` one.
        figure, percentile, cmap, smooth: As in :func:`pair`.
        ax: Axes of your own to draw into, which are returned.
        colorbar: Whether to draw the scale.

    Raises:
        MethodError: No panels, several for one ``ax``, or an option out of range.
    """
    return _each(panels, figure, percentile, ax, smooth, colorbar, lambda panel, scale: heat(
        panel, scale, cmap))  # fmt: skip


@overload
def overlay(
    panels: Sequence[Panel],
    figure: Figure | None = ...,
    percentile: float = ...,
    alpha: float = ...,
    *,
    ax: None = ...,
    photo: Photo = ...,
    cmap: Any = ...,
    smooth: float | bool = ...,
    colorbar: bool = ...,
) -> Figure: ...
@overload
def overlay(
    panels: Sequence[Panel], figure: None = ..., percentile: float = ..., alpha: float = ...,
    *, ax: Axes, photo: Photo = ..., cmap: Any = ..., smooth: float | bool = ...,
    colorbar: bool = ...,
) -> Axes: ...  # fmt: skip
def overlay(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    alpha: float = 0.6,
    *,
    ax: Axes | None = None,
    photo: Photo = "gray",
    cmap: Any = None,
    smooth: float | bool = 0.0,
    colorbar: bool = True,
) -> Figure | Axes:
    """Draw each map over its picture; opacity grows with the map's magnitude.

    The colour bar shows the map's colours as they are seen on the picture's mean brightness.

    Args:
        panels: One or more; with ``ax`` one.
        figure, percentile, cmap, smooth: As in :func:`pair`.
        alpha: Opacity at the end of the scale, in (0, 1].
        ax: Axes of your own to draw into, which are returned.
        photo: The picture in ``"gray"``, on which colours are the map's alone, or in ``"color"``.
        colorbar: Whether to draw the scale.

    Raises:
        MethodError: No panels, several for one ``ax``, or an option out of range.

    Example:
        >>> panel = Panel(np.zeros((8, 8, 3), "uint8"), np.ones((8, 8)))
        >>> figure = overlay([panel], photo="color", cmap="viridis", alpha=0.8)
    """
    check_alpha(alpha)
    check_photo(photo)
    return _each(panels, figure, percentile, ax, smooth, colorbar, lambda panel, scale: over(
        panel, scale, alpha, photo, cmap))  # fmt: skip


@overload
def contours(
    panels: Sequence[Panel],
    figure: Figure | None = ...,
    percentile: float = ...,
    levels: Sequence[float] = ...,
    *,
    ax: None = ...,
    photo: Photo = ...,
    cmap: Any = ...,
    smooth: float | bool | None = ...,
    colorbar: bool = ...,
) -> Figure: ...
@overload
def contours(
    panels: Sequence[Panel], figure: None = ..., percentile: float = ...,
    levels: Sequence[float] = ..., *, ax: Axes, photo: Photo = ..., cmap: Any = ...,
    smooth: float | bool | None = ..., colorbar: bool = ...,
) -> Axes: ...  # fmt: skip
def contours(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    levels: Sequence[float] = (0.25, 0.5, 0.75),
    *,
    ax: Axes | None = None,
    photo: Photo = "color",
    cmap: Any = None,
    smooth: float | bool | None = None,
    colorbar: bool = True,
) -> Figure | Axes:
    """Draw each picture with outlines of its map; dashed where a signed map is negative.

    Args:
        panels: One or more; with ``ax`` one.
        figure, percentile, cmap: As in :func:`pair`.
        levels: Where the lines are, as shares of the scale's end, each in (0, 1].
        ax: Axes of your own to draw into, which are returned.
        photo: The picture in ``"gray"`` or in ``"color"``.
        smooth: As in :func:`pair`; None takes 1% of the longer side, since lines around single
            pixels say nothing, but 0 for a map that was enlarged for display, such as a CAM.
        colorbar: Whether to draw the scale, with the lines' colours.

    Raises:
        MethodError: No panels, several for one ``ax``, or an option out of range.

    Example:
        >>> heap = np.exp(-np.hypot(*np.mgrid[-8:9, -8:9]) / 4)
        >>> figure = contours([Panel(np.zeros((17, 17)), heap)], levels=(0.5,))
    """
    levels = check_levels(levels)
    check_photo(photo)
    if smooth is None:
        scales(panels, percentile)
        panels = [smoothed([panel], not panel.drawn)[0] for panel in panels]
    return _each(panels, figure, percentile, ax, smooth or 0.0, colorbar, lambda panel, scale:
        outlined(panel, scale, levels, photo, cmap))  # fmt: skip


def _each(
    panels: Sequence[Panel],
    figure: Figure | None,
    percentile: float,
    ax: Axes | None,
    smooth: float | bool,
    colorbar: bool,
    view: Callable[[Panel, Scale], View],
) -> Any:
    """Draw one view of each panel, in lines, over its scale; or of one panel into axes."""
    scales(panels, percentile)  # checks what is drawn
    if ax is not None:
        check_axes(ax, panels, figure)
    panels = smoothed(panels, smooth)
    ends = scales(panels, percentile)
    views = [view(panel, scale) for panel, scale in zip(panels, ends, strict=True)]
    if ax is not None:
        return in_axes(ax, panels, views[0], ends[0], colorbar)
    across = len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels)))
    sheet = Sheet(figure, panels)
    for k, (panel, scale, one) in enumerate(zip(panels, ends, views, strict=True)):
        if k % across == 0:
            row = panels[k : k + across]
            words = sheet.row(0.16, *(f"{each.heading}\n{each.method}" for each in row))
        x = MARGIN + k % across * (sheet.column + 0.2)
        sheet.view(x, panel, one, words[k % across])
        if colorbar:
            sheet.flat_bar(x, panel, scale, one.bar)
    return sheet.finish(caption(panels, percentile))

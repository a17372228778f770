"""Signals: each channel over its attribution as colour, and attribution on an axis of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.plot.colours import limits, paper, shares
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.sheet import INK, MARGIN, SMALL, Sheet, cut, width, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, CURVE = 7.2, 0.45  # inches of whatever runs along time, and of the height of a curve
_MOST = 12  # channels
_EACH = 4  # channels up to which each has an axis of attribution
_COLUMNS = 1200  # stripes of colour
_ALPHA = 0.75
_NAME = 1.1  # inches


def draw(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw a signal below what is on a sheet: a row per channel, all on one axis of time.

    Of more than 12 channels, the 12 with the most attribution are drawn. Up to 4 channels have an
    axis of attribution each; more share one, of the map.
    """
    series, parts = _channels(panel)
    stripes = np.apply_along_axis(strongest, 0, parts, _COLUMNS)
    scale = limits(stripes, panel.signed, percentile)  # of what is drawn
    shown = largest(parts, _MOST)
    names = [_name(panel, k, series.shape[1]) for k in shown]
    ticks = [_ends(series[:, k]) for k in shown]
    each = len(shown) <= _EACH and panel.attributions is not None
    text = "attribution" if each or len(shown) == 1 else "attribution\nof all channels"
    label = max(width(cut(line, _NAME)) for line in [*names, *text.split("\n")])
    left = MARGIN + label + 0.1 + max(width(one) for pair in ticks for one in pair) + 0.1
    left = max(left, MARGIN + label + 0.1 + width("−0.0000"))
    tall = 1.3 if len(shown) == 1 else 0.85 if each else max(0.36, 0.85 - 0.06 * len(shown))
    y = sheet.y
    for k, name, ends in zip(shown, names, ticks, strict=True):
        axes = sheet.axes(left, y, WIDE, tall)
        _stripes(axes, stripes[:, k], len(series), scale, panel.signed)
        _line(axes, series[:, k])
        _side(axes, cut(name, _NAME), ends, left - MARGIN, series[:, k])
        y += tall + (0.04 if each else 0.06)
        if each:
            curve(sheet, left, y, by_sign(parts[:, k]), panel.signed, "attribution")
            y += CURVE + 0.16
    if not each:
        curve(sheet, left, y, by_sign(panel.map), panel.signed, text)
        y += CURVE + 0.06
    numbered(sheet.boxes[-1][0], "step")
    sheet.right = max(sheet.right, left + WIDE + 0.12)
    foot = y + (0.02 if each else 0.14)
    if len(shown) < series.shape[1]:
        note = f"{len(shown)} of {series.shape[1]} channels drawn, those with the most attribution"
        write(sheet.boxes[-1][0], note, (1, 0), (0, -16), ha="right", va="top")
    sheet.scale_bar(left, foot + 0.1, 1.8, scale, _faded(panel.signed))


def _channels(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return the series and the attribution of each channel, both (T, C) float64."""
    series = np.asarray(panel.picture, np.float64).reshape(len(panel.picture), -1)
    if panel.attributions is None:
        return series, np.repeat(np.asarray(panel.map, np.float64)[:, None], series.shape[1], 1)
    parts = np.asarray(panel.attributions, np.float64)
    return series, parts if panel.signed else np.abs(parts)


def largest(parts: np.ndarray, count: int) -> list[int]:
    """Return the columns with the largest sums of magnitudes, at most ``count``, in their order.

    Example:
        >>> largest(np.array([[0.0, -2.0, 1.0]]), 2)
        [1, 2]
    """
    sums = np.abs(np.nan_to_num(parts, posinf=0.0, neginf=0.0)).sum(axis=0)
    return sorted(np.argsort(-sums, kind="stable")[:count].tolist())


def _name(panel: Panel, k: int, count: int) -> str:
    if len(panel.names):
        return panel.names[k]
    return "signal" if count == 1 else f"channel {k}"


def _faded(signed: bool, alpha: float = _ALPHA) -> Any:
    """Return the colours of stripes: paler than those of the map, so that a line shows on them."""
    from matplotlib.colors import ListedColormap

    colours = paper(signed)(np.linspace(0, 1, 256))[:, :3]
    return ListedColormap(1 - alpha * (1 - colours))


def _stripes(
    axes: Axes, values: np.ndarray, steps: int, scale: tuple[float, float], signed: bool
) -> None:
    """Colour the ground of a channel, from top to bottom."""
    axes.imshow(
        shares(values[None], scale),
        cmap=_faded(signed),
        vmin=-1 if signed else 0,
        vmax=1,
        extent=(-0.5, steps - 0.5, 0, 1),
        transform=axes.get_xaxis_transform(),
        aspect="auto",
        interpolation="nearest",
        zorder=0,
    )


def strongest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the value of largest magnitude in each of up to ``count`` equal parts, in order.

    A mean would hide a narrow peak, and cancel what is signed.

    Example:
        >>> strongest(np.array([0.0, 1.0, -3.0, 2.0]), 2).tolist()
        [1.0, -3.0]
    """
    if len(values) <= count:
        return np.asarray(values, np.float64)
    edges = np.linspace(0, len(values), count + 1).astype(int)
    finite = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    high = np.maximum.reduceat(finite, edges[:-1])
    low = np.minimum.reduceat(finite, edges[:-1])
    return np.where(high >= -low, high, low)


def _line(axes: Axes, series: np.ndarray) -> None:
    steps = np.arange(len(series))
    finite = np.where(np.isfinite(series), series, np.nan)
    dots: dict[str, Any] = {"marker": "o", "markersize": 2.5} if len(series) <= 30 else {}
    axes.plot(steps, finite, color="0.1", linewidth=1.0 if len(series) < 2000 else 0.5, **dots)
    low, high = _range(series)
    room = 0.08 * (high - low) or 1.0
    axes.set(xlim=(-0.5, len(series) - 0.5), ylim=(low - room, high + room))


def _range(series: np.ndarray) -> tuple[float, float]:
    finite = series[np.isfinite(series)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _ends(series: np.ndarray) -> tuple[str, str]:
    low, high = (f"{value:.3g}".replace("-", "\u2212") for value in _range(series))
    return low, high


def _side(axes: Axes, name: str, ends: tuple[str, str], far: float, series: np.ndarray) -> None:
    """Write a row's name at the far left, and its least and greatest value beside it."""
    write(axes, name, (0, 0.5), (-72 * far, 0), ha="left", va="center")
    low, high = axes.get_ylim()
    for value, text in zip(dict.fromkeys(_range(series)), ends, strict=False):
        at = (value - low) / (high - low)
        align = "bottom" if at < 0.4 else "top" if at > 0.6 else "center"
        write(axes, text, (0, at), (-3, 0), ha="right", va=align, size=SMALL - 1)


def curve(
    sheet: Sheet, x: float, y: float, both: tuple[np.ndarray, np.ndarray], signed: bool, text: str
) -> Axes:
    """Draw attribution as heights above and below 0, whole: this axis is not clipped.

    Args:
        sheet, x, y: Where.
        both: (T,) above 0 and (T,) below.
        signed: Whether the sign has meaning.
        text: Written at the far left.
    """
    axes = sheet.axes(x, y, WIDE, CURVE)
    heights(axes, *both, signed)
    axes.set_xlim(-0.5, len(both[0]) - 0.5)
    _numbers(axes, *both)
    write(axes, text, (0, 0.5), (-72 * (x - MARGIN), 0), ha="left", va="center", color="0.45")
    return axes


def _numbers(axes: Axes, above: np.ndarray, below: np.ndarray) -> None:
    """Write the ends of an axis of attribution on its left."""
    low, high = axes.get_ylim()
    for value in dict.fromkeys((float(above.max()), float(below.min()))):
        if value:
            whole = 99.5 <= abs(value) < 1e5  # where two digits would be 1e+02
            label = f"{value:{'.0f' if whole else '.2g'}}".replace("-", "\u2212")
            at, align = (value - low) / (high - low), "top" if value > 0 else "bottom"
            write(axes, label, (0, at), (-3, 0), ha="right", va=align, size=SMALL - 1)


def heights(axes: Axes, above: np.ndarray, below: np.ndarray, signed: bool) -> None:
    """Fill what lies above 0 and what lies below, in the colours of for and against."""
    for part, colour in zip((above, below), tints(signed), strict=True):
        if part.any():
            columns = strongest(part, 2 * _COLUMNS)
            edges = np.linspace(-0.5, len(part) - 0.5, len(columns) + 1)
            axes.stairs(columns, edges, fill=True, color=colour, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.6)
    low, high = float(below.min()), float(above.max())
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room * (low < 0 or high == 0), high + room)


def by_sign(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what lies above 0 and what lies below; 0 where it is not finite."""
    finite = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    return finite.clip(min=0), finite.clip(max=0)


def tints(signed: bool) -> tuple[Any, Any]:
    """Return the colours of attribution above and below 0 where its height says how much."""
    colours = paper(signed)
    return (colours(0.85), colours(0.15)) if signed else (colours(0.7), "0.6")


def numbered(axes: Axes, name: str) -> None:
    """Number the axis of time below the lowest row, and name it."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelsize=SMALL - 0.5, colors=INK, length=2, pad=1)
    write(axes, name, (0, 0), (-8, -3.5), ha="right", va="top", size=SMALL - 0.5)

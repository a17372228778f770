"""Tables: features as bars, the largest first."""

from __future__ import annotations

import numpy as np

from keras_saliency.plot.panel import Panel
from keras_saliency.plot.sheet import INK, MARGIN, SMALL, Sheet, cut, width
from keras_saliency.plot.signals import tints

_MOST = 20
_LINE, _BAR, _BARS, _NAME = 0.2, 0.62, 3.4, 2.4  # inches; a bar's share of its line; inches
_POINTS = 8.5


def draw(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw a bar per feature below what is on a sheet, by size; of the rest beyond 20 the sum.

    Bars are as long as attributions, so that no percentile ends them.
    """
    names, sizes = rows(panel)
    numbers = [f"{size:.3g}".replace("-", "\u2212") for size in sizes.tolist()]
    drawn = np.nan_to_num(sizes, posinf=0.0, neginf=0.0)
    left = MARGIN + max(width(name, _POINTS) for name in names) + 0.1
    tall = _LINE * len(names) + 0.06
    axes = sheet.axes(left, sheet.y, _BARS, tall)
    above, below = tints(panel.signed)
    lines = np.arange(len(names))
    colours = [above if size >= 0 else below for size in drawn]
    bars = axes.barh(lines, drawn, height=_BAR, color=colours, linewidth=0)
    if len(panel.map) > _MOST:
        bars[-1].set_alpha(0.5)
    axes.axvline(0, color="0.5", linewidth=0.7)
    low, high = min(0.0, drawn.min()), max(0.0, drawn.max())
    aside = max(width(text) for text in numbers) + 0.1
    ends = aside * (low < 0), aside
    unit = ((high - low) or 1.0) / (_BARS - sum(ends))  # of the axis, per inch
    axes.set(xlim=(low - unit * ends[0], high + unit * ends[1]), ylim=(len(names) - 0.35, -0.65))
    axes.set_yticks(lines, names, size=_POINTS, color=INK)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.tick_params(axis="y", length=0, pad=4)
    axes.spines[:].set_visible(False)
    for line, text, size in zip(lines.tolist(), numbers, drawn.tolist(), strict=True):
        side = "right" if size < 0 else "left"
        at = size + unit * (-0.05 if size < 0 else 0.05)
        axes.text(
            at, line, text, size=SMALL, color=INK, ha=side, va="center_baseline", parse_math=False
        )


def rows(panel: Panel) -> tuple[list[str], np.ndarray]:
    """Return names with values, and attributions: the 20 largest by size, then the others' sum.

    Example:
        >>> panel = Panel(np.array([1.5, 2]), np.array([0.1, -3]), kind="table", names=("a", "b"))
        >>> rows(panel)
        (['b = 2', 'a = 1.5'], array([-3. ,  0.1]))
    """
    given, values = np.asarray(panel.picture), np.asarray(panel.map, np.float64)
    falling = np.argsort(-np.abs(np.nan_to_num(values, posinf=0.0, neginf=0.0)), kind="stable")
    shown, others = falling[:_MOST], falling[_MOST:]
    names = []
    for k in shown.tolist():
        value = f" = {given[k]:.4g}".replace("-", "\u2212")
        name = panel.names[k] if len(panel.names) else f"feature {k}"
        names.append(cut(name, _NAME - width(value, _POINTS), _POINTS) + value)
    sizes = values[shown]
    if len(others):
        names.append(f"sum of {len(others)} other{'s' * (len(others) > 1)}")
        sizes = np.append(sizes, values[others].sum())
    return names, sizes

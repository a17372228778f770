"""Figures of attribution maps: side by side, overlaid, or several methods in a grid.

This module draws and knows nothing about models. Scaling for the eye happens here and only
here: the maps handed in are never modified, and every colour scale is drawn beside its map.
Matplotlib is imported when something is drawn, not before. All text is laid out by measuring
it, so titles wrap rather than overlap, and pictures of any shape keep their proportions.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import ImageError, MethodError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_TITLE, _HEAD, _SMALL = 9.5, 8.5, 7.5  # type sizes, in points
_SIZE, _MARGIN, _GAP, _BAR = 3.0, 0.15, 0.12, 0.08  # inches; the first, of a square picture
_MOST_PIXELS = 1200  # of a side; larger arrays are averaged down before they are drawn
_INK, _EDGE = "0.3", "0.7"


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture and one map of it, with the words to print over them.

    Args:
        picture: (H, W, 3) RGB, or (H, W) or (H, W, 1) gray. ``uint8`` is shown as it is; any
            other dtype is shown scaled from its least to its greatest finite value.
        map: (H, W) attribution, any range, in the picture's frame. Non-finite values stay blank.
        title: Printed over the picture; wrapped when long.
        method: Printed over the map.
        signed: Whether the map's sign has meaning (for and against).

    Raises:
        ImageError: The picture is not one of these shapes, or the map has another frame.

    Example:
        >>> panel = Panel(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8)), "espresso", "gradient")
    """

    picture: np.ndarray
    map: np.ndarray
    title: str = ""
    method: str = ""
    signed: bool = False

    def __post_init__(self) -> None:
        """Check that the two shapes belong together."""
        shape, frame = np.shape(self.picture), np.shape(self.map)
        if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or 0 in shape:
            raise ImageError(
                "A panel shows one gray or RGB picture.",
                f"This picture has shape {shape}.",
                "Pass an array of shape (H, W, 3), (H, W, 1) or (H, W).",
                "help(keras_saliency.plot.Panel)",
            )
        if frame != shape[:2]:
            raise ImageError(
                f"A map is drawn in the frame of its picture, here {shape[:2]}.",
                f"This map has shape {frame}.",
                f"Resize or sum the map over channels until its shape is {shape[:2]}.",
                "help(keras_saliency.plot.Panel)",
            )


def limits(map: np.ndarray, signed: bool, percentile: float = 99.0) -> tuple[float, float]:
    """Return the values at the two ends of a map's colour scale.

    Gradient maps are heavy-tailed: a few pixels would leave everything else black, so the scale
    ends at a percentile. Where that percentile is zero (a sparse map), it ends at the maximum.

    Args:
        map: Attribution of any shape; non-finite values are ignored.
        signed: Whether the sign has meaning.
        percentile: Share of the map's values (signed: of their magnitudes), in percent, that the
            scale covers; in (0, 100].

    Returns:
        ``(0, q)``, or ``(-q, q)`` when signed, with ``q > 0``; ``q`` is 1 for a map without
        positive (signed: non-zero) values.

    Raises:
        MethodError: The percentile is outside (0, 100].

    Example:
        >>> limits(np.arange(101.0), signed=False, percentile=90)
        (0.0, 90.0)
    """
    if not 0 < percentile <= 100:
        raise MethodError(
            "A colour scale ends at a percentile of the map.",
            f"The percentile given is {percentile!r}.",
            "Pass a number above 0 and up to 100; 100 clips nothing.",
            "help(keras_saliency.plot.limits)",
        )
    values = np.asarray(map, np.float64)
    values = values[np.isfinite(values)]
    values = np.abs(values) if signed else values
    top = float(np.percentile(values, percentile)) if values.size else 0.0
    if top <= 0 and values.size:
        top = float(values.max())
    top = top if top > 0 else 1.0
    return (-top if signed else 0.0), top


def colormap(signed: bool) -> Colormap:
    """Return the colour map of a kind of map.

    Unsigned: inferno, perceptually uniform, dark to light. Signed: RdBu reversed, red for and
    blue against, white at zero; lightness falls alike on both sides, and red and blue stay
    apart under the three colour-vision deficiencies (``PuOr`` is darker on one side).

    Args:
        signed: Whether the sign has meaning.

    Example:
        >>> colormap(signed=True).name
        'RdBu_r'
    """
    import matplotlib

    return matplotlib.colormaps["RdBu_r" if signed else "inferno"]


def pair(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    colorbar: bool = True,
) -> Figure:
    """Draw each picture beside its map, a row per panel.

    Args:
        panels: One or more panels.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: Where each map's colour scale ends, in (0, 100]; see :func:`limits`.
        colorbar: Whether to draw the scale beside each map.

    Returns:
        The figure.

    Raises:
        MethodError: No panels, or a percentile out of range.

    Example:
        >>> panel = Panel(np.zeros((8, 8)), np.ones((8, 8)), "espresso, p = 0.90", "gradient")
        >>> figure = pair([panel])
    """
    scales = _scales(panels, percentile)
    column, y = _column(panels, _SIZE), _MARGIN
    sheet, x = _Sheet(figure), _MARGIN + column + _GAP
    ticks = max(_width(text, _SMALL) for scale in scales for text in _marks(scale))
    for panel, scale in zip(panels, scales, strict=True):
        (w, h), cmap = _fit(panel, column), colormap(panel.signed)
        title, method = _wrap(panel.title, column), _wrap(panel.method, column)
        y += _height(max(len(title), len(method)))
        _show(sheet.axes(_MARGIN, y, w, h, title), panel, _rgb(panel.picture))
        _map(sheet.axes(x, y, w, h, method), panel, scale)
        if colorbar:
            label = _wrap(_label(panel, scale, percentile), max(h, 0.8), _SMALL)
            sheet.tall_bar(x + w + 0.07, y, h, scale, cmap, label, ticks)
        y += max(h, 0.5) + 0.2
    return sheet.finish()


def overlay(
    panels: Sequence[Panel],
    figure: Figure | None = None,
    percentile: float = 99.0,
    alpha: float = 0.6,
) -> Figure:
    """Draw each map over its picture, shown gray; opacity grows with the map's magnitude.

    Args:
        panels: One or more panels.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: Where each map's colour scale ends, in (0, 100]; see :func:`limits`.
        alpha: Opacity at the end of the scale, in (0, 1].

    Returns:
        The figure.

    Raises:
        MethodError: No panels, or a percentile or an opacity out of range.

    Example:
        >>> panel = Panel(np.zeros((8, 8)), np.ones((8, 8)), "espresso, p = 0.90", "grad_cam")
        >>> figure = overlay([panel], alpha=0.5)
    """
    from matplotlib.colors import ListedColormap

    scales = _scales(panels, percentile)
    if not 0 < alpha <= 1:
        raise MethodError(
            "An overlay has an opacity at the end of its colour scale.",
            f"The alpha given is {alpha!r}.",
            "Pass a number above 0 and up to 1, such as 0.6.",
            "help(keras_saliency.plot.overlay)",
        )
    across = len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels)))
    column, sheet, y = _column(panels, _SIZE), _Sheet(figure), _MARGIN
    for start in range(0, len(panels), across):
        row = panels[start : start + across]
        words = [_wrap(panel.title, column) + _wrap(panel.method, column) for panel in row]
        y += _height(max(map(len, words)))
        for k, (panel, scale) in enumerate(zip(row, scales[start:], strict=False)):
            x, (w, h) = _MARGIN + k * (column + 0.2), _fit(panel, column)
            gray = _rgb(panel.picture) @ np.array([0.299, 0.587, 0.114]) / 255
            share = _shrink(np.clip(panel.map, *scale)) / scale[1]
            axes = sheet.axes(x, y, w, h, words[k])
            _show(axes, panel, _blend(gray, share, panel.signed, alpha))
            share = np.linspace(scale[0] / scale[1], 1, 256)
            colours = _blend(np.full(256, 0.6), share, panel.signed, alpha)
            sheet.flat_bar(x, y + h + 0.06, w, scale, ListedColormap(colours))
        y += max(_fit(panel, column)[1] for panel in row) + 0.45
    return sheet.finish(_caption(panels, percentile))


def grid(
    rows: Sequence[Sequence[Panel]],
    figure: Figure | None = None,
    percentile: float = 99.0,
    size: float = 1.6,
) -> Figure:
    """Compare maps of the same pictures: a row per picture, a column per method.

    The first column shows each row's picture under the title of its first panel. Methods are
    named over the first row, and again wherever a row departs from the one above.

    Args:
        rows: One or more rows of one or more panels; the panels of a row share one picture.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one in pyplot.
        percentile: Where each map's own colour scale ends, in (0, 100]; see :func:`limits`.
        size: Width of a square picture, in inches.

    Returns:
        The figure.

    Raises:
        ImageError: The panels of one row have different frames.
        MethodError: No rows, an empty row, or a percentile out of range.

    Example:
        >>> picture, maps = np.zeros((8, 8)), {"gradient": np.ones((8, 8)), "occlusion": np.eye(8)}
        >>> figure = grid([[Panel(picture, maps[name], "espresso", name) for name in maps]])
    """
    scales = [_scales(row, percentile) for row in rows]
    panels = [panel for row in rows for panel in row]
    _scales(panels[:1], percentile)
    for row in rows:
        if len(frames := {np.shape(panel.map) for panel in row}) > 1:
            raise ImageError(
                "A row of a grid compares maps of one picture.",
                f"One row has the frames {sorted(frames)}.",
                "Put maps of different pictures in different rows.",
                "help(keras_saliency.plot.grid)",
            )
    column, sheet, y = _column(panels, size), _Sheet(figure, _HEAD), _MARGIN
    above: list[str] = []
    for row, ends in zip(rows, scales, strict=True):
        (w, h), names = _fit(row[0], column, 1.25 * size), [panel.method for panel in row]
        title = _wrap(row[0].title, column, _HEAD)
        heads = [
            [] if n in above[k : k + 1] else _wrap(n, column, _HEAD) for k, n in enumerate(names)
        ]
        above, y = names, y + _height(max(map(len, [title, *heads])), _HEAD)
        _show(sheet.axes(_MARGIN, y, w, h, title), row[0], _rgb(row[0].picture))
        for k, (panel, scale) in enumerate(zip(row, ends, strict=True)):
            x, cmap = _MARGIN + (k + 1) * (column + _GAP), colormap(panel.signed)
            _map(sheet.axes(x, y, w, h, heads[k]), panel, scale)
            sheet.flat_bar(x, y + h + 0.06, w, scale, cmap)
        y += h + 0.4
    return sheet.finish(_caption(panels, percentile))


def render_png(
    draw: Callable[..., Figure], panels: Any, *, dpi: float = 150, **options: Any
) -> bytes:
    """Draw without pyplot and without a display, and return the file's bytes.

    Args:
        draw: :func:`pair`, :func:`overlay` or :func:`grid`.
        panels: Its first argument.
        dpi: Pixels per inch; lowered for figures that would pass 30000 pixels a side.
        **options: Its further arguments, except ``figure``.

    Returns:
        A PNG file.

    Example:
        >>> panel = Panel(np.zeros((8, 8)), np.ones((8, 8)))
        >>> render_png(pair, [panel], percentile=99.5)[1:4]
        b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure, buffer = Figure(), io.BytesIO()
    draw(panels, figure=figure, **options)
    figure.set_dpi(min(dpi, 30000 / max(figure.get_size_inches())))
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


class _Sheet:
    """A figure laid out in inches from its top left corner, and sized once all is placed."""

    def __init__(self, figure: Figure | None, size: float = _TITLE) -> None:
        if figure is None:
            from matplotlib import pyplot

            figure = pyplot.figure()
        figure.clear()
        figure.set_layout_engine("none")
        self.figure, self.size, self.right, self.bottom = figure, size, 0.0, 0.0
        self.boxes: list[tuple[Axes, float, float, float, float]] = []

    def axes(self, x: float, y: float, w: float, h: float, words: Sequence[str] = ()) -> Axes:
        """Add bare axes with words over their left edge."""
        axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(linewidth=0.5, color=_EDGE)
        self.boxes.append((axes, x, y, w, h))
        right = max([w, *(_width(line, self.size) for line in words)])
        self.right, self.bottom = max(self.right, x + right), max(self.bottom, y + h)
        if words:
            _text(axes, "\n".join(words), (0, 1), (0, 4), size=self.size, va="bottom", ha="left")
        return axes

    def tall_bar(self, x, y, h, scale, cmap, label: Sequence[str], ticks: float) -> None:
        """Add a colour bar on the right of a map, as tall as the map, with its label."""
        axes, values = self.axes(x, y, _BAR, h), _marks(scale)
        axes.imshow(np.linspace(1, 0, 256)[:, None], cmap=cmap, aspect="auto", extent=(0, 1, 0, 1))
        for text, at, align in zip(values, (0, 0.5, 1), ("bottom", "center", "top"), strict=True):
            if at != 0.5 or h > 0.5:
                _text(axes, text, (1, at), (3, 0), ha="left", va=align)
        reach = _BAR + ticks + 0.1
        _text(axes, "\n".join(label), (reach / _BAR, 0.5), rotation=90, ha="left", va="center")
        self.right = max(self.right, x + reach + _height(len(label), _SMALL))

    def flat_bar(self, x, y, w, scale, cmap) -> None:
        """Add a colour bar under a map, as wide as the map."""
        axes = self.axes(x, y, w, _BAR)
        axes.imshow(np.linspace(0, 1, 256)[None], cmap=cmap, aspect="auto", extent=(0, 1, 0, 1))
        low, middle, high = _marks(scale)
        if (room := w / _width(low + high, _SMALL)) < 1.2:
            low, high = f"{low} to {high}", ""
            self.right = max(self.right, x + _width(low, _SMALL))
        _text(axes, low, (0, 0), (0, -2), ha="left", va="top")
        _text(axes, high, (1, 0), (0, -2), ha="right", va="top")
        if scale[0] < 0 and room > 1.7:
            _text(axes, middle, (0.5, 0), (0, -2), ha="center", va="top")
        self.bottom = max(self.bottom, y + _BAR + 0.15)

    def finish(self, caption: str = "") -> Figure:
        """Size the figure to what was placed on it and put everything in its place."""
        lines = _wrap(caption, self.right - _MARGIN, _SMALL)
        width, height = self.right + _MARGIN, self.bottom + _height(len(lines), _SMALL) + _MARGIN
        self.figure.set_size_inches(width, height)
        for axes, x, y, w, h in self.boxes:
            axes.set_position((x / width, 1 - (y + h) / height, w / width, h / height))
        if lines:
            x, y = _MARGIN / width, 0.8 * _MARGIN / height
            self.figure.text(x, y, "\n".join(lines), size=_SMALL, color=_INK, va="bottom")
        return self.figure


def _scales(panels: Sequence[Panel], percentile: float) -> list[tuple[float, float]]:
    """Return the limits of every panel, after checking that there are any."""
    if isinstance(panels, Panel) or len(panels) == 0:
        raise MethodError(
            "A figure draws a list of at least one panel.",
            "One was given bare, without a list."
            if isinstance(panels, Panel)
            else "The list given (or a row of it) is empty.",
            "Pass a list such as [Panel(picture, map)].",
            "help(keras_saliency.plot.pair)",
        )
    return [limits(panel.map, panel.signed, percentile) for panel in panels]


def _column(panels: Sequence[Panel], size: float) -> float:
    """Return a column's width in inches: ``size`` for squares, more for wide pictures."""
    ratio = float(np.median([np.shape(p.map)[1] / np.shape(p.map)[0] for p in panels]))
    return size * min(max(math.sqrt(ratio), 0.72), 1.7)


def _fit(panel: Panel, column: float, tallest: float = 1.25 * _SIZE) -> tuple[float, float]:
    """Return a picture's width and height in inches, as large as a column and a height allow."""
    height, width = np.shape(panel.map)
    scale = min(column / width, tallest / height)
    return scale * width, scale * height


def _rgb(picture: np.ndarray) -> np.ndarray:
    """Return a picture as (h, w, 3) uint8, averaged down when it is huge."""
    picture = np.asarray(picture)
    small = _shrink(picture.reshape(*picture.shape[:2], -1))
    if picture.dtype != np.uint8:
        finite = small[np.isfinite(small)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        small = 255 * (np.nan_to_num(small, nan=low, posinf=high, neginf=low) - low)
        small = small / ((high - low) or 1.0)
    return np.broadcast_to(np.round(small).astype(np.uint8), (*small.shape[:2], 3))


def _shrink(array: np.ndarray) -> np.ndarray:
    """Return (H, W, ...) as float, in means of blocks along a side over ``_MOST_PIXELS``."""
    array = array if array.dtype == np.uint8 else array.astype(np.float64)
    for axis in (0, 1):
        if (step := -(-array.shape[axis] // _MOST_PIXELS)) > 1:
            whole = np.moveaxis(array, axis, 0)[: array.shape[axis] // step * step]
            mean = np.sum([whole[k::step] for k in range(step)], axis=0, dtype=np.float32) / step
            array = np.moveaxis(mean, 0, axis)
    return array.astype(np.float64)


def _blend(gray: np.ndarray, share: np.ndarray, signed: bool, alpha: float) -> np.ndarray:
    """Return RGB in [0, 1]: the colours of ``share`` in [-1, 1] over gray in [0, 1]."""
    opacity = alpha * np.nan_to_num(np.abs(share))[..., None] ** 0.6
    colours = colormap(signed)((share + 1) / 2 if signed else share)[..., :3]
    ground = 0.35 + 0.65 * gray if signed else 0.7 * gray  # away from the colours' strong end
    return ground[..., None] * (1 - opacity) + colours * opacity


def _show(axes: Axes, panel: Panel, array: np.ndarray, **options: Any) -> None:
    """Draw an array in a panel's frame: pixels stay sharp when magnified, are averaged if not."""
    height, width = np.shape(panel.map)
    box = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(array, extent=box, interpolation="antialiased", **options)


def _map(axes: Axes, panel: Panel, scale: tuple[float, float]) -> None:
    """Draw a map in colour between its limits; what is not finite stays blank."""
    _show(
        axes,
        panel,
        _shrink(np.clip(panel.map, *scale)),
        cmap=colormap(panel.signed),
        vmin=scale[0],
        vmax=scale[1],
        interpolation_stage="rgba",  # averaging values would cancel signed noise
    )


def _text(axes: Axes, text: str, at, offset=(0, 0), color: str = _INK, **style: Any) -> None:
    """Write at a place in axes fractions, moved by an offset in points, without mathtext."""
    note = axes.annotate(
        text,
        at,
        xycoords="axes fraction",
        xytext=offset,
        textcoords="offset points",
        annotation_clip=False,
        color=color,
        **{"size": _SMALL, **style},
    )
    note.set_parse_math(False)


def _marks(scale: tuple[float, float]) -> list[str]:
    """Return the two ends of a scale and its middle, in order, to two digits."""
    texts = (f"{value:.2g}" for value in (scale[0], (scale[0] + scale[1]) / 2, scale[1]))
    return [t.replace("e-0", "e-").replace("e+0", "e").replace("-", "\u2212") for t in texts]


def _clipping(percentile: float) -> str:
    """Return ``, clipped at the 99th percentile`` for 99.0."""
    text = f"{percentile:g}"
    plain = "." in text or text in ("11", "12", "13")
    ending = "th" if plain else {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return f", clipped at the {text}{ending} percentile"


def _label(panel: Panel, scale: tuple[float, float], percentile: float) -> str:
    """Say what a colour bar measures."""
    values = np.asarray(panel.map)[np.isfinite(panel.map)]
    if not values.any():
        return "attribution, zero everywhere"
    clipped = values.min() < scale[0] or values.max() > scale[1]
    return "attribution" + _clipping(percentile) * bool(clipped)


def _caption(panels: Sequence[Panel], percentile: float) -> str:
    """Say what the colour bars of a whole figure measure."""
    scale = ", each map on its own scale" * (len(panels) > 1)
    return f"Attribution{scale}{_clipping(percentile) * (percentile < 100)}."


def _width(text: str, size: float) -> float:
    """Return the width of a line in inches, and a little more: hinting widens small type."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] * 1.06 / 72


def _height(lines: int, size: float = _TITLE) -> float:
    """Return the height in inches of so many lines and the space under them."""
    return lines * size * 1.2 / 72 + (0.06 if lines else 0)


def _wrap(text: str, width: float, size: float = _TITLE) -> list[str]:
    """Break a text into lines of about one length, none wider than ``width`` inches."""
    best = _fill(text, width, size)
    for share in np.linspace(0.95, 0.5, 10):
        if len(best) < 2 or len(lines := _fill(text, share * width, size)) > len(best):
            break
        best = lines
    return best


def _fill(text: str, width: float, size: float) -> list[str]:
    """Break a text into as few lines as fit, inside a word if need be."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.replace(" = ", "\u00a0=\u00a0").split(" "):
            if line and _width(f"{line} {word}", size) <= width:
                line = f"{line} {word}"
                continue
            lines += [line] if line else []
            while len(word) > 1 and _width(word, size) > width:
                fits = [k for k in range(2, len(word)) if _width(word[:k], size) <= width]
                cut = max(fits, default=1)
                lines, word = [*lines, word[:cut]], word[cut:]
            line = word
        lines += [line] if line else []
    return lines

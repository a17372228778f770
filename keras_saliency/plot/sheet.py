"""Layout of figures; text is measured, so it wraps and does not overlap. Lengths in inches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._io.files import shown
from keras_saliency.errors import MethodError
from keras_saliency.plot.colours import marks
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.views import View, frame, outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.text import Text

SMALL, INK = 7.5, "0.3"  # points; a gray


@lru_cache(4096)
def width(line: str, size: float = SMALL) -> float:
    """Return the width of a line in inches, with a margin: hinting widens small type."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] * 1.06 / 72


def height(lines: int, size: float = SMALL) -> float:
    """Return the height of some lines, in inches, with the space under them."""
    return lines * size * 1.2 / 72 + (0.06 if lines else 0)


def wrap(text: str, room: float, size: float = SMALL) -> list[str]:
    """Break each line of a text into as few as fit, of about one length."""
    lines: list[str] = []
    for part in shown(text).replace(" = ", "\u00a0=\u00a0").splitlines():
        best = _fill(part, room, size)
        for share in np.linspace(0.95, 0.5, 10):
            if len(best) < 2 or len(tighter := _fill(part, share * room, size)) > len(best):
                break
            best = tighter
        lines += best
    return lines


def cut(text: str, room: float, size: float = SMALL) -> str:
    """Return a text in one line, cut short with an ellipsis where it is wider than the room.

    Example:
        >>> cut("a name of many words", 0.6)
        'a name…'
    """
    text = " ".join(shown(text).split()) or "\u2423" * bool(text)
    if width(text, size) <= room:
        return text
    most = bisect_right(range(1, len(text)), room, key=lambda n: width(text[:n] + "\u2026", size))
    return text[: max(most, 1)].rstrip() + "\u2026"


def _fill(text: str, room: float, size: float) -> list[str]:
    """Break at the last space that fits, or inside a word that does not."""
    lines = []
    while text := text.strip(" "):
        ends = range(1, len(text) + 1)
        most = bisect_right(ends, room, key=lambda end: width(text[:end], size)) or 1
        space = -1 if most == len(text) else text.rfind(" ", 0, most + 1)
        cut = space if space > 0 else most
        lines.append(text[:cut].rstrip(" "))
        text = text[cut:]
    return lines


def write(axes: Axes, text: str, at: tuple, offset: tuple = (0, 0), **style: Any) -> None:
    """Write at a position in axes fractions, moved by an offset in points, without mathtext."""
    style = {"size": SMALL, "color": INK, "annotation_clip": False, "parse_math": False, **style}
    axes.annotate(
        shown(text),
        at,
        xycoords="axes fraction",
        xytext=offset,
        textcoords="offset points",
        **style,
    )


MARGIN, GAP, _BAR = 0.15, 0.12, 0.08
_FLAT = 0.4  # inches, in which the numbers of a tall bar overlap


def page(figure: Any) -> Figure:
    """Return an empty figure: the one passed, or a new one for None.

    Raises:
        MethodError: It is no figure.
    """
    from matplotlib.figure import Figure

    from keras_saliency.plot import canvas

    figure = canvas.Figure() if figure is None else figure
    if not isinstance(figure, Figure):
        raise MethodError(
            "Expected figure to be a matplotlib.figure.Figure, or None for a new one.",
            f"Got a {type(figure).__name__}.",
            "Pass matplotlib.figure.Figure(), or axes.figure: the figure is laid out anew.",
            "help(keras_saliency.plot.several)",
        )
    figure.clear()
    figure.set_layout_engine("none")
    return figure


def render_png(
    draw: Callable[..., Figure], panels: Any, *, dpi: float = 150, **options: Any
) -> bytes:
    """Draw without pyplot and without a display, and return the bytes of a PNG file.

    Args:
        draw: :func:`pair`, :func:`overlay`, :func:`grid` or :func:`several`.
        panels: Its first argument.
        dpi: Pixels per inch; lowered for figures that would exceed 30000 pixels per side.
        **options: Its further arguments, except ``figure``.

    Example:
        >>> panel = plot.Panel(np.zeros((8, 8)), np.ones((8, 8)))
        >>> render_png(plot.pair, [panel], percentile=99.5)[1:4]
        b'PNG'
    """
    from keras_saliency.plot import canvas

    return canvas.png_of(draw(panels, figure=canvas.Figure(), **options), dpi)


class Sheet:
    """Rows of pictures: ``size`` is the width of a square one, ``points`` the size of titles."""

    def __init__(
        self, figure: Figure | None, panels: Sequence[Panel], size: float = 3.0, points: float = 9.5
    ) -> None:
        figure = page(figure)
        ratios = [p.space[1] / p.space[0] for p in panels if p.kind == "picture"]
        ratio = np.median(ratios) if ratios else 1.0
        self.column, self.tallest = size * float(np.clip(ratio**0.5, 0.72, 1.7)), 1.25 * size
        self.figure, self.points, self.y, self.right, self.bottom = figure, points, 0.0, 0.0, 0.0
        self.boxes: list[tuple[Axes, float, float, float, float]] = []
        self.texts: list[tuple[Text, float, float]] = []

    def text(self, x, y, words: Sequence[str], size: float = SMALL, **style: Any) -> None:
        """Write lines whose top left corner is at a position, and make room for them."""
        style = {"color": INK, "va": "top", "parse_math": False, **style}
        self.texts.append((self.figure.text(0, 0, "\n".join(words), size=size, **style), x, y))
        self.right = max([self.right, *(x + width(line, size) for line in words)])
        self.bottom = max(self.bottom, y + height(len(words), size))

    def row(self, gap: float, *titles: str) -> list[list[str]]:
        """Start a row with room for titles above it, and return these as lines."""
        words = [wrap(title, self.column, self.points) for title in titles]
        top = self.bottom + gap if self.bottom else MARGIN
        self.y = top + height(max(map(len, words)), self.points)
        return words

    def heading(self, gap: float, text: str, room: float) -> None:
        """Start a row with a title of its own above it, as wide as the room."""
        top, words = self.bottom + gap if self.bottom else MARGIN, wrap(text, room, self.points)
        if words:
            self.text(MARGIN, top, words, self.points)
        self.y = top + height(len(words), self.points)

    def image(self, x, panel: Panel, pixels: np.ndarray, words=(), **options: Any) -> None:
        """Draw in a panel's frame: pixels stay sharp when enlarged, and are averaged otherwise."""
        axes = self.axes(x, self.y, *self._fit(panel))
        axes.imshow(pixels, extent=frame(panel), interpolation="antialiased", **options)
        self.right = max([self.right, *(x + width(line, self.points) for line in words)])
        write(axes, "\n".join(words), (0, 1), (0, 4), size=self.points, va="bottom", ha="left")

    def view(self, x, panel: Panel, view: View, words: Sequence[str] = ()) -> None:
        """Draw a view of a panel in its frame."""
        self.image(x, panel, view.pixels, words, **view.options)
        outline(self.boxes[-1][0], view, panel)

    def bar(self, x, panel: Panel, scale, cmap: Colormap, text: str, ticks: float) -> None:
        """Add a colour bar with its label: as tall as the map, or below a map that is very flat."""
        if self._fit(panel)[1] >= _FLAT:
            return self._tall_bar(x, panel, scale, cmap, text, ticks)
        self.flat_bar(x, panel, scale, cmap)
        return self.text(x, self.bottom + 0.02, wrap(text, self.column))

    def _tall_bar(self, x, panel: Panel, scale, cmap: Colormap, text: str, ticks: float) -> None:
        (w, h), ramp, reach = self._fit(panel), np.linspace(1, 0, 256)[:, None], _BAR + ticks + 0.1
        axes = self._bar(x := x + w + 0.07, self.y, _BAR, h, ramp, cmap)
        ticks_at = zip(marks(scale), (0, 0.5, 1), ("bottom", "center", "top"), strict=True)
        for value, at, align in ticks_at:
            if at != 0.5 or h > 0.5:
                write(axes, value, (1, at), (3, 0), ha="left", va=align)
        lines = wrap(text, max(h, 0.8))
        write(axes, "\n".join(lines), (reach / _BAR, 0.5), rotation=90, ha="left", va="center")
        self.right = max(self.right, x + reach + height(len(lines)))
        self.bottom = max(self.bottom, self.y + 0.5)

    def flat_bar(self, x, panel: Panel, scale, cmap: Colormap) -> None:
        """Add a colour bar under a map, as wide as the map."""
        w, h = self._fit(panel)
        self.scale_bar(x, self.y + h + 0.06, w, scale, cmap)

    def scale_bar(self, x, y, w, scale: tuple[float, float], cmap: Colormap) -> None:
        """Add a colour bar of some width with its numbers below."""
        axes = self._bar(x, y, w, _BAR, np.linspace(0, 1, 256)[None], cmap)
        low, middle, high = marks(scale)
        if (room := w / width(low + high)) < 1.2:
            low, high = f"{low} to {high}", ""
            self.right = max(self.right, x + width(low))
        write(axes, low, (0, 0), (0, -2), ha="left", va="top")
        write(axes, high, (1, 0), (0, -2), ha="right", va="top")
        if scale[0] < 0 and room > 1.7:
            write(axes, middle, (0.5, 0), (0, -2), ha="center", va="top")
        self.bottom = max(self.bottom, y + _BAR + 0.15)

    def finish(self, caption: str = "") -> Figure:
        """Size the figure to its content, position the content, and add the caption."""
        lines = wrap(caption, self.right - MARGIN)
        across, down = self.right + MARGIN, self.bottom + height(len(lines)) + MARGIN
        self.figure.set_size_inches(across, down)
        for axes, x, y, w, h in self.boxes:
            axes.set_position((x / across, 1 - (y + h) / down, w / across, h / down))
        for text, x, y in self.texts:
            text.set_position((x / across, 1 - y / down))
        x, y, note = MARGIN / across, 0.8 * MARGIN / down, "\n".join(lines)
        self.figure.text(x, y, note, size=SMALL, color=INK, va="bottom", parse_math=False)
        return self.figure

    def _fit(self, panel: Panel) -> tuple[float, float]:
        """Return a picture's width and height, as large as a column and a row allow."""
        h, w = np.shape(panel.map)
        scale = min(self.column / w, self.tallest / h)
        return scale * w, scale * h

    def axes(self, x, y, w, h) -> Axes:
        """Add empty axes at a position on the sheet, and make room for them."""
        axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(linewidth=0.5, color="0.7")
        self.boxes.append((axes, x, y, w, h))
        self.right, self.bottom = max(self.right, x + w), max(self.bottom, y + h)
        return axes

    def _bar(self, x, y, w, h, ramp: np.ndarray, cmap: Colormap) -> Axes:
        axes = self.axes(x, y, w, h)
        axes.imshow(ramp, cmap=cmap, aspect="auto", extent=(0, 1, 0, 1))
        return axes

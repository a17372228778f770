"""Text, laid out by measuring it so that it wraps rather than overlaps. Lengths are in inches."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL, INK = 7.5, "0.3"  # points; a gray


@lru_cache(4096)
def width(line: str, size: float = SMALL) -> float:
    """Return the width of a line, and a little more: hinting widens small type."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] * 1.06 / 72


def height(lines: int, size: float = SMALL) -> float:
    """Return the height of so many lines and the space under them."""
    return lines * size * 1.2 / 72 + (0.06 if lines else 0)


def wrap(text: str, room: float, size: float = SMALL) -> list[str]:
    """Break each line of a text into as few as fit, of about one length."""
    lines: list[str] = []
    for part in text.replace(" = ", "\u00a0=\u00a0").splitlines():
        best = _fill(part, room, size)
        for share in np.linspace(0.95, 0.5, 10):
            if len(best) < 2 or len(tighter := _fill(part, share * room, size)) > len(best):
                break
            best = tighter
        lines += best
    return lines


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
    """Write at a place in axes fractions, moved by an offset in points, without mathtext."""
    style = {"size": SMALL, "color": INK, "annotation_clip": False, "parse_math": False, **style}
    axes.annotate(
        text, at, xycoords="axes fraction", xytext=offset, textcoords="offset points", **style
    )

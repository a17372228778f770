"""Tokens: words shaded by their attribution, as a figure and as HTML."""

from __future__ import annotations

import html as markup
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_saliency._io.files import shown
from keras_saliency.errors import MethodError
from keras_saliency.plot.colours import clipping, limits, marks, paper, shares
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.sheet import MARGIN, Sheet, cut, width
from keras_saliency.plot.signals import WIDE

_LINE, _SPACE, _PAD, _POINTS = 0.26, 0.05, 0.045, 9.5  # inches; points
_MOST = 1000  # words in a figure


def draw(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw shaded words below what is on a sheet, in lines; at most the first 1000."""
    from matplotlib.patches import Rectangle

    scale = limits(panel.map, panel.signed, percentile)
    texts, colours = words(panel)[:_MOST], shades(panel, scale)[:_MOST]
    places, x, line = [], 0.0, 0
    for text in (texts := [cut(text, WIDE - 2 * _PAD, _POINTS) for text in texts]):
        wide = width(text, _POINTS) + 2 * _PAD
        if x and x + wide > WIDE:
            x, line = 0.0, line + 1
        places.append((x, line * _LINE, wide))
        x += wide + _SPACE
    tall = (line + 1) * _LINE
    axes = sheet.axes(MARGIN, sheet.y, WIDE, tall)
    axes.set(xlim=(0, WIDE), ylim=(tall, 0), frame_on=False)
    for (x, y, wide), text, colour in zip(places, texts, colours, strict=True):
        box = Rectangle((x, y), wide, _LINE - _SPACE, color=colour, linewidth=0)
        axes.add_patch(box)
        middle = (x + wide / 2, y + (_LINE - _SPACE) / 2)
        style: Any = {"ha": "center", "va": "center_baseline", "parse_math": False}
        axes.text(*middle, text, size=_POINTS, color=_ink(colour), **style)
    if len(panel.map) > _MOST:
        note = f"the first {_MOST} of {len(panel.map)} words drawn"
        sheet.text(MARGIN, sheet.bottom + 0.02, [note])
    sheet.scale_bar(MARGIN, sheet.bottom + 0.1, 1.8, scale, paper(panel.signed))


def words(panel: Panel) -> list[str]:
    """Return the words of tokens as text that can be shown; their numbers where they are unknown.

    Example:
        >>> words(Panel(np.array([4, 7]), np.zeros(2), kind="tokens"))
        ['4', '7']
    """
    if not len(panel.names):
        return [f"{number:g}" for number in np.asarray(panel.picture).tolist()]
    return [_visible(name) for name in panel.names]


def _visible(name: str) -> str:
    """Return a word in one line, with its control characters replaced and a space that is seen."""
    text = " ".join(shown(name).split()) or "\u2423"
    return "".join("\ufffd" if unicodedata.category(one) == "Cc" else one for one in text)


def shades(panel: Panel, scale: tuple[float, float]) -> np.ndarray:
    """Return the colour behind each word, (T, 3) in [0, 1]; pale where attribution is 0."""
    share = shares(panel.map, scale)
    return paper(panel.signed)((share + 1) / 2 if panel.signed else share)[:, :3]


def _ink(colour: np.ndarray) -> str:
    """Return the colour of text on a ground: black or white, at least 4.5 to 1 (WCAG)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return "#ffffff" if linear @ [0.2126, 0.7152, 0.0722] < 0.179 else "#000000"


def html(panels: Sequence[Panel], percentile: float = 99.0) -> str:
    """Return tokens as HTML: each word shaded by its attribution, which a pointer shows.

    All text is escaped. The ground is white in light and in dark pages.

    Args:
        panels: One or more of kind ``"tokens"``.
        percentile: End of each colour scale, in (0, 100]; see :func:`limits`.

    Raises:
        MethodError: No panels, one of another kind, or a percentile out of range.

    Example:
        >>> panel = Panel(np.array([4, 7]), np.array([0.1, -2]), "class 1", "", True, "tokens")
        >>> "class 1" in html([panel])
        True
    """
    one = isinstance(panels, Panel)
    if one or not len(panels) or any(panel.kind != "tokens" for panel in panels):
        kinds = "a single Panel" if one else ", ".join(repr(panel.kind) for panel in panels)
        raise MethodError(
            "Expected a list of one or more panels of tokens.",
            f"Got {kinds or 'an empty list'}.",
            "Draw other kinds with keras_saliency.plot.several.",
            "help(keras_saliency.plot.html)",
        )
    texts = "".join(_text(panel, percentile) for panel in panels)
    return (
        '<div style="background:#ffffff;color:#1a1a1a;padding:10px 14px;max-width:60em;'
        f'font:14px/2 sans-serif;color-scheme:light">{texts}</div>'
    )


_WORD = "padding:2px 4px;margin:0 1px;border-radius:3px;unicode-bidi:isolate"


def _text(panel: Panel, percentile: float) -> str:
    scale = limits(panel.map, panel.signed, percentile)
    spans = " ".join(
        f'<span style="background:{_hex(colour)};color:{_ink(colour)};{_WORD}" '
        f'title="{value:.3g}">{markup.escape(word)}</span>'
        for word, value, colour in zip(
            words(panel), np.asarray(panel.map).tolist(), shades(panel, scale), strict=True
        )
    )
    head = ", ".join(filter(None, [panel.title, panel.method]))
    small = "font-size:12px;line-height:1.5;color:#4d4d4d"
    heading = f'<div style="{small}">{markup.escape(shown(head))}</div>' if head else ""
    low, _, high = marks(scale)
    stops = ",".join(_hex(one) for one in paper(panel.signed)(np.linspace(0, 1, 9))[:, :3])
    cut_off = bool((np.abs(np.nan_to_num(panel.map)) > scale[1]).any())
    bar = (
        f'<div style="{small}">{low} <span style="display:inline-block;width:120px;height:8px;'
        f'border:1px solid #b3b3b3;background:linear-gradient(90deg,{stops})"></span> {high} '
        f"attribution{clipping(percentile) * cut_off}</div>"
    )
    return f'{heading}<div dir="auto" style="overflow-wrap:anywhere">{spans}</div>{bar}'


def _hex(colour: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour)

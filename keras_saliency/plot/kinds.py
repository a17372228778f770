"""Figures of inputs of any kind, one below the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keras_saliency.errors import MethodError
from keras_saliency.plot import signals, tables, volumes
from keras_saliency.plot import words as words_of
from keras_saliency.plot.colours import caption, label, limits, marks
from keras_saliency.plot.panel import Panel, rgb
from keras_saliency.plot.sheet import GAP, MARGIN, Sheet, width
from keras_saliency.plot.signals import WIDE
from keras_saliency.plot.views import heat

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def several(
    panels: Sequence[Panel | tuple[str, Panel]],
    figure: Figure | None = None,
    percentile: float = 99.0,
) -> Figure:
    """Draw inputs of any kind below each other, such as all inputs of one model.

    A picture is drawn beside its map. A signal is drawn over its attribution as colour, with an
    axis of attribution below; of a volume the slices with the most attribution and the maximum
    along each axis; of a video frames and the attribution of each; of tokens shaded words; of a
    table bars.

    Args:
        panels: One or more, each alone or as ``(name, panel)``. Under a name, the
            same title is printed once.
        figure: Figure to draw on; it is cleared and resized to fit. None makes one.
        percentile: End of each map's colour scale, in (0, 100]; see :func:`limits`.

    Raises:
        MethodError: No panels, something else among them, no figure, or a percentile out of range.

    Example:
        >>> age = Panel(np.array([41.0]), np.array([0.3]), kind="table", names=("age",))
        >>> photo = Panel(np.zeros((8, 8)), np.ones((8, 8)))
        >>> figure = several([("photo", photo), ("patient", age)])
    """
    items = _named(panels)
    for _, panel in items:
        limits(panel.map, panel.signed, percentile)  # checks the percentile before a figure opens
    sheet, above = Sheet(figure, [panel for _, panel in items], size=2.6), ""
    for name, panel in items:
        texts = "\n".join(filter(None, [panel.heading, panel.method]))
        head = "" if name and texts == above else texts
        for k, text in enumerate([one for one in (head, name) if one] or [""]):
            sheet.heading(0.06 if k else 0.24, text, WIDE)
        _DRAW[panel.kind](sheet, panel, percentile)
        above = texts
    coloured = [panel for _, panel in items if panel.kind != "table"]
    return sheet.finish(caption(coloured, percentile) if coloured else "")


def _named(panels: Any) -> list[tuple[str, Panel]]:
    """Return panels with their names, ``""`` where they have none.

    Raises:
        MethodError: There is none, or something else among them.
    """
    items = list(panels) if isinstance(panels, list | tuple) else []
    pairs = [("", one) if isinstance(one, Panel) else one for one in items]
    if pairs and all(
        isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str)
        and isinstance(one[1], Panel) for one in pairs
    ):  # fmt: skip
        return pairs
    got = "an empty list" if isinstance(panels, list | tuple) and not items else repr(panels)[:80]
    raise MethodError(
        "Expected a list of one or more panels, each alone or as (name, panel).",
        f"Got {'a single Panel' if isinstance(panels, Panel) else got}.",
        "Pass a list such as [('photo', Panel(picture, map))], or explanation.panels().",
        "help(keras_saliency.plot.several)",
    )


def _beside(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw a picture and its map side by side."""
    scale = limits(panel.map, panel.signed, percentile)
    x, view = MARGIN + sheet.column + GAP, heat(panel, scale)
    sheet.image(MARGIN, panel, rgb(panel.picture))
    sheet.view(x, panel, view)
    text, ticks = label(panel, scale, percentile), max(map(width, marks(scale)))
    sheet.bar(x, panel, scale, view.bar, text, ticks)


_DRAW: dict[str, Callable[[Sheet, Panel, float], None]] = {
    "picture": _beside,
    "signal": signals.draw,
    "volume": volumes.slices,
    "video": volumes.frames,
    "tokens": words_of.draw,
    "table": tables.draw,
}

"""Explanations: several explanations of the same inputs, drawn side by side in one figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from keras_saliency.errors import MethodError, _arguments, did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

One = TypeVar("One")

_KINDS = ("heatmap", "overlay")
_READ = "help(keras_saliency.Explanations)"


class Explanations(list[One]):
    """A list of explanations of the same pictures: of several classes, methods or layers.

    A plain list, which draws itself: a row for each picture, a column for each explanation.

    Example:
        >>> from keras_saliency import Explanations
        >>> both = Explanations(explain(model, img, name) for name in ("gradient", "grad_cam"))
        >>> figure = both.plot("overlay")
    """

    def __init__(self, explanations: Iterable[One] = ()) -> None:
        super().__init__(explanations)

    def plot(self, kind: Literal["heatmap", "overlay"] = "heatmap", **options: Any) -> Figure:
        """Draw all in one figure; over each map stands how it differs from the others.

        Args:
            kind: ``"heatmap"``, maps alone beside the picture, or ``"overlay"``, maps over it.
                Inputs that are no pictures are drawn one below the other.
            **options: See `keras_saliency.plot.grid`; of what is no picture those of
                `keras_saliency.plot.several`.

        Raises:
            MethodError: No explanations, no such kind, or an option out of range.
        """
        from keras_saliency import plot

        if not _arguments.is_word(kind, _KINDS):
            raise MethodError(
                f"No plot of several explanations is called {kind!r}.",
                f"Known: {', '.join(map(repr, _KINDS))}.",
                did_you_mean(str(kind), _KINDS) or "Take one of these.",
                _READ,
            )
        if all(getattr(one, "_is_of_pictures", False) for one in self):
            if kind == "overlay":
                options = {"alpha": 0.6, **options}
            return plot.grid(self, **options)
        return plot.several([panel for one in self for panel in _panels(one)], **options)

    def _repr_png_(self) -> bytes | None:
        """Return the PNG that notebooks show; of the first 8 pictures."""
        from keras_saliency import plot

        return plot.render_png(_first, self) if self else None


def _first(explanations: Explanations[Any], figure: Figure) -> Figure:
    some = [one[:8] if getattr(one, "_is_of_pictures", False) else one for one in explanations]
    return Explanations(some).plot(figure=figure)


def _panels(one: Any) -> list[Any]:
    """Return the panels of an explanation, those of several inputs under their names."""
    if hasattr(one, "panels"):
        return one.panels()
    return [(name, panel) for name, part in one.items() for panel in part.panels()]

"""Inputs of any kind. Here: the kinds, which say what the axes of an array mean.

Everything after reading works on arrays (B, *space, C) with one to three spatial axes. Only this
room and ``plot`` know more about a kind than these facts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from keras_saliency.errors import MethodError, did_you_mean

KindName = Literal["picture", "signal", "volume", "video", "tokens", "table", "several"]


@dataclass(frozen=True)
class Kind:
    """What the axes of one input mean.

    Attributes:
        name: ``"picture"``, ``"signal"``, ``"volume"``, ``"video"``, ``"tokens"`` or ``"table"``.
        axes: Names of the spatial axes.
        one: What a single input is called in messages.
        has_channels: Whether the input itself has an axis of channels, the last.
        has_neighbours: Whether values side by side belong together, so that they can be blurred,
            resized and cut into segments.
        is_embedded: Whether the array is what an Embedding makes of the input.
    """

    name: KindName
    axes: tuple[str, ...]
    one: str
    has_channels: bool = True
    has_neighbours: bool = True
    is_embedded: bool = False

    @property
    def noun(self) -> str:
        """What one is called, such as ``"picture"`` or ``"text"``; several have an s."""
        return self.one.split(" ", 1)[1]

    @property
    def rank(self) -> int:
        """The number of axes of the input itself, without the batch axis."""
        return len(self.axes) + self.has_channels

    @property
    def shape(self) -> str:
        """The axes as text, such as ``"(time, channels)"``."""
        axes = (*self.axes, *(("channels",) if self.has_channels else ()))
        return f"({', '.join(axes)}{',' * (len(axes) == 1)})"

    def without_channels(self) -> Kind:
        """Return the kind of an input that has no axis of channels."""
        return replace(self, has_channels=False)

    def as_given(self, attributions: np.ndarray) -> np.ndarray:
        """Return attributions (B, *space, C) in the shape of the input itself."""
        one_channel = not self.has_channels and not self.is_embedded
        return attributions[..., 0] if one_channel else attributions


PICTURE = Kind("picture", ("height", "width"), "a picture")
SIGNAL = Kind("signal", ("time",), "a signal")
VOLUME = Kind("volume", ("depth", "height", "width"), "a volume")
VIDEO = Kind("video", ("time", "height", "width"), "a video")
TOKENS = Kind(
    "tokens", ("position",), "a text", has_channels=False, has_neighbours=False, is_embedded=True
)
TABLE = Kind("table", ("feature",), "a row", has_channels=False, has_neighbours=False)
# Several inputs together, all their values in a row. No input is of this kind.
SEVERAL = Kind("several", ("value",), "several inputs", has_channels=False, has_neighbours=False)

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (PICTURE, SIGNAL, VOLUME, VIDEO, TOKENS, TABLE)
}


def kind_named(name: object) -> Kind:
    """Return the kind of a name.

    Raises:
        MethodError: There is none.
    """
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    raise MethodError(
        f"No kind of input is called {name!r}.",
        f"Known: {', '.join(map(repr, KINDS))}.",
        did_you_mean(str(name), KINDS) or "Pass one of these, or leave kind= out.",
        "help(keras_saliency.explain)",
    )

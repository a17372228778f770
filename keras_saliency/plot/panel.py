"""One input and its map, and the pixels of a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_saliency.errors import ImageError, InputError, MethodError, _arguments, did_you_mean

# The axes of each kind, without channels; the room that reads inputs stands above this one.
AXES: dict[str, tuple[str, ...]] = {
    "picture": ("H", "W"),
    "signal": ("T",),
    "volume": ("D", "H", "W"),
    "video": ("T", "H", "W"),
    "tokens": ("T",),
    "table": ("F",),
}
_PLAIN = ("tokens", "table")  # no channels


@dataclass(frozen=True, eq=False)
class Panel:
    """One input and one map of it, with the texts to print over them.

    Args:
        picture: The input, (*space) or (*space, C): (H, W, C) of a picture, (T, C) of a signal,
            (D, H, W, C) of a volume, (T, H, W, C) of a video; (T,) of tokens, (F,) of a table. Of
            pictures, volumes and videos one channel is drawn gray, three as RGB; of two the first
            is drawn, of more the first three, and the figure says so. ``uint8`` is shown as it is;
            any other dtype is shown scaled from its least to its greatest finite value.
        map: (*space) attribution, any range. Non-finite values stay blank.
        title: Printed over the picture; wrapped when long.
        method: Printed over the map.
        signed: Whether the map's sign has meaning (for and against).
        kind: ``"picture"``, ``"signal"``, ``"volume"``, ``"video"``, ``"tokens"``, ``"table"``.
        attributions: (T, C) of a signal, the attribution of each channel; None colours every
            channel by the map.
        drawn: What was done to the map for display only, such as ``"bicubic from 7 × 7"``; the
            figure says it. Empty where it is drawn as it is.
        names: Words of tokens, features of a table, or channels of a signal, as many as there are;
            empty where they are unknown.

    Raises:
        ImageError: A picture is not one of these shapes, or its map has another frame.
        InputError: The same of another kind; or names or attributions that do not fit.
        MethodError: No such kind.

    Example:
        >>> Panel(np.array([4, 7]), np.array([0.1, -2.0]), kind="tokens", names=("a", "bear")).space
        (2,)
    """

    picture: np.ndarray
    map: np.ndarray
    title: str = ""
    method: str = ""
    signed: bool = False
    kind: str = "picture"
    attributions: np.ndarray | None = None
    names: Sequence[str] = ()
    drawn: str = ""

    def __post_init__(self) -> None:
        """Check that the shapes fit."""
        read = "help(keras_saliency.plot.Panel)"
        if not _arguments.is_word(self.kind, AXES):
            raise MethodError(
                f"No kind of input is called {self.kind!r}.",
                f"Known: {', '.join(map(repr, AXES))}.",
                did_you_mean(str(self.kind), AXES) or "Take one of these.",
                read,
            )
        axes, shape, frame = AXES[self.kind], np.shape(self.picture), np.shape(self.map)
        rank, plain = len(axes), self.kind in _PLAIN
        ranks = (rank,) if plain else (rank, rank + 1)
        if 0 in shape or len(frame) != rank or len(shape) not in ranks or shape[:rank] != frame:
            space = _tuple(axes)
            one = space if plain else f"{space} or {_tuple((*axes, 'C'))}"
            error = ImageError if self.kind == "picture" else InputError
            name = "tokens" if self.kind == "tokens" else f"one {self.kind}"
            raise error(
                f"Expected {name} {one} and one map {space} in its frame.",
                f"Got a {_IS.get(self.kind, self.kind)} of shape {shape} and a map of shape "
                f"{frame}.",
                f"Resize the map, or sum it over channels, until its shape is {space}.",
                read,
            )
        count = 1 if len(shape) == 1 and self.kind == "signal" else shape[-1]
        if self.attributions is not None and np.shape(self.attributions) != (*frame, count):
            raise InputError(
                f"Expected attributions of each channel, {(*frame, count)}.",
                f"Got shape {np.shape(self.attributions)}.",
                "Pass None to colour each channel by the map.",
                read,
            )
        if len(self.names) not in (0, count):
            raise InputError(
                f"Expected {count} names, or none.",
                f"Got {len(self.names)}.",
                "Leave names out where they are unknown.",
                read,
            )

    @property
    def space(self) -> tuple[int, ...]:
        """The sizes of the spatial axes, without channels."""
        return np.shape(self.map)

    @property
    def heading(self) -> str:
        """The title, and the drawn channels of the picture if these are not all."""
        flat = np.shape(self.picture)[len(self.space) - 2 :] if len(self.space) > 1 else ()
        return "\n".join(filter(None, [self.title, channels(flat)]))


_IS = {"tokens": "text", "table": "row"}


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' * (len(names) == 1)})"


def channels(shape: tuple[int, ...]) -> str:
    """Return text on the drawn channels of a picture of this shape; empty where all are.

    Example:
        >>> channels((8, 8, 13)), channels((8, 8, 2)), channels((8, 8, 3))
        ('channels 1-3 of 13 drawn', 'channel 1 of 2 drawn', '')
    """
    count = shape[2] if len(shape) == 3 else 1
    if count in (1, 3):
        return ""
    return "channel 1 of 2 drawn" if count == 2 else f"channels 1-3 of {count} drawn"


_MOST = 1200  # pixels per side


def shrink(array: np.ndarray) -> np.ndarray:
    """Return (H, W, ...) float64, as means of blocks along a side above 1200 pixels."""
    (h, w), rest = array.shape[:2], array.shape[2:]
    down, across = -(-h // _MOST), -(-w // _MOST)
    whole = array[: h // down * down, : w // across * across]
    blocks = whole.reshape(h // down, down, w // across, across, *rest)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def rgb(picture: np.ndarray) -> np.ndarray:
    """Return a picture as (h, w, 3) uint8; other dtypes are scaled from least to greatest.

    Of two channels the first is shown grey, of four and more the first three as colours;
    `keras_saliency.plot.panel.channels` returns text on that.
    """
    return _coloured(np.asarray(picture), shrink)


def rgb_whole(picture: np.ndarray) -> np.ndarray:
    """Return a picture as `rgb` does, in its own size (H, W, 3)."""
    return _coloured(np.asarray(picture), lambda array: array.astype(np.float64))


def _coloured(picture: np.ndarray, sized: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    whole = picture.reshape(*picture.shape[:2], -1)
    small = sized(whole[..., : 3 if whole.shape[-1] >= 3 else 1])
    if picture.dtype != np.uint8:
        small = stretched(small)
    return np.broadcast_to(np.round(small).astype(np.uint8), (*small.shape[:2], 3))


def stretched(values: np.ndarray) -> np.ndarray:
    """Return values scaled from their least to their greatest finite one, in [0, 255]."""
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    values = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low
    return 255 * values / ((high - low) or 1.0)


def grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture's luma (ITU-R BT.601), (h, w) in [0, 1]."""
    return luma(rgb(picture))


def luma(colours: np.ndarray) -> np.ndarray:
    """Return the luma of (H, W, 3) uint8, (H, W) in [0, 1]."""
    return colours @ np.array([0.299, 0.587, 0.114]) / 255


def grey_whole(picture: np.ndarray) -> np.ndarray:
    """Return a picture's luma as `grey` does, in its own size (H, W)."""
    return luma(rgb_whole(picture))

"""Geometry between a picture and a model's input, in both directions; boxes in a picture."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from keras_saliency._inputs import resampling

Fit = Literal["stretch", "crop", "pad"]


@dataclass(frozen=True)
class Geometry:
    """A window of the original picture and the model input that it fills.

    Attributes:
        original: Height and width of the original picture; of other inputs, their spatial sizes.
        size: Height and width of the model input.
        window: ``(top, left, height, width)`` in original pixels, possibly past the edges
            (``fit="pad"``). The window is scaled to ``size``. Other inputs are not scaled: one
            that is shorter than the model's input lies at its beginning.
    """

    original: tuple[int, ...]
    size: tuple[int, ...]
    window: tuple[float, ...]

    @classmethod
    def of(cls, original: tuple[int, ...], size: tuple[int, ...]) -> Geometry:
        """Return the geometry of an input that is not scaled, only padded at its end."""
        return cls(original, size, (*[0.0] * len(size), *map(float, size)))

    @classmethod
    @functools.lru_cache(1024)
    def fitted(
        cls, original: tuple[int, int], size: tuple[int, int], fit: Fit = "stretch"
    ) -> Geometry:
        """Return the geometry that fits a picture into a model input.

        Args:
            original: Height and width of the picture.
            size: Height and width of the model input.
            fit: ``"stretch"`` scales height and width (the whole picture is seen), ``"crop"``
                preserves the aspect ratio and cuts the middle, ``"pad"`` preserves it and adds
                black.
        """
        (height, width), (rows, columns) = original, size
        if fit == "stretch" or original == size:
            return cls(original, size, (0.0, 0.0, float(height), float(width)))
        pick = min if fit == "crop" else max
        scale = pick(height / rows, width / columns)  # original pixels a model pixel
        h, w = rows * scale, columns * scale
        return cls(original, size, ((height - h) / 2, (width - w) / 2, h, w))

    @property
    def _is_identity(self) -> bool:
        return self.size == self.original

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a (H0, W0, C) uint8 picture as the model sees it, (H, W, C) uint8, bicubic."""
        if self._is_identity:
            return picture
        top, left, height, width = self.window
        return resampling.resize_picture(
            picture, self.size, (top, left, top + height, left + width)
        )

    def undo(self, grid: np.ndarray) -> np.ndarray:
        """Return a (H, W) map in the original's frame, (H0, W0); 0 where it was cut away."""
        if self._is_identity:
            return grid
        if len(self.size) != 2:
            return grid[tuple(map(slice, self.original))]
        top, left, height, width = self.window
        # The same window gives the model-input point of each original pixel's centre.
        rows, columns = self.size
        scale = rows / height, columns / width
        part = (
            -top * scale[0],
            -left * scale[1],
            (self.original[0] - top) * scale[0],
            (self.original[1] - left) * scale[1],
        )
        return resampling.resize(grid[None], self.original, part)[0]


EMPTY = -1e4  # log density of padding: exp() of it is 0, and unlike -inf it survives a product


@dataclass(frozen=True)
class Letterbox:
    """A part of a picture and its box on a canvas, in pixels.

    Attributes:
        window: ``(top, left, height, width)`` of the picture's part; fractions are allowed.
        box: ``(top, left, height, width)`` that it fills on the canvas, whole pixels.
        canvas: Height and width of the canvas.
    """

    window: tuple[float, float, float, float]
    box: tuple[int, int, int, int]
    canvas: tuple[int, int]

    @classmethod
    def fitted(
        cls,
        size: tuple[int, int],
        canvas: tuple[int, int],
        window: tuple[float, float, float, float] | None = None,
    ) -> Letterbox:
        """Return how a picture is laid on a canvas: as large as fits, in the middle.

        Args:
            size: Height and width of the picture.
            canvas: Height and width of the canvas.
            window: The part of the picture to show; ``None`` shows all of it.

        Example:
            >>> Letterbox.fitted((300, 400), (64, 64)).box
            (8, 0, 48, 64)
        """
        window = window or (0.0, 0.0, float(size[0]), float(size[1]))
        _, _, height, width = window
        scale = min(canvas[0] / height, canvas[1] / width)
        rows = min(canvas[0], max(1, round(height * scale)))
        columns = min(canvas[1], max(1, round(width * scale)))
        box = ((canvas[0] - rows) // 2, (canvas[1] - columns) // 2, rows, columns)
        return cls(window, box, canvas)

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels to one pixel of the picture: down, across."""
        return self.box[2] / self.window[2], self.box[3] / self.window[3]

    @property
    def _inside(self) -> tuple[slice, slice]:
        top, left, height, width = self.box
        return slice(top, top + height), slice(left, left + width)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a (h, w, 3) uint8 picture on its canvas, (H, W, 3) float32 0..255 or NaN."""
        top, left, height, width = self.window
        canvas = np.full((*self.canvas, 3), np.nan, np.float32)
        corners = (left, top, left + width, top + height)
        size = (self.box[3], self.box[2])
        shown = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, box=corners)
        canvas[self._inside] = np.asarray(shown)
        return canvas

    def points(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coordinates on the canvas of points of the picture inside the window."""
        top, left, height, width = self.window
        seen = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
        y = (y[seen] - top) * self.scale[0]
        x = (x[seen] - left) * self.scale[1]
        # A rounding up onto the edge would be a pixel of the padding.
        y = np.minimum(y, np.nextafter(self.box[2], 0.0)) + self.box[0]
        x = np.minimum(x, np.nextafter(self.box[3], 0.0)) + self.box[1]
        return y, x

    def undo(self, log_density: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return a log density on the canvas as one on the whole picture, exp() summing to 1.

        Args:
            log_density: (H, W) natural logarithms.
            size: Height and width of the picture; the window is taken to be all of it.

        Returns:
            (h, w) float64.
        """
        inside = log_density[self._inside]
        grid = resampling.resize(inside[None], size)[0].astype(np.float64)
        grid -= grid.max()
        return grid - np.log(np.exp(grid).sum())


ORDER = "(top, left, bottom, right)"
_NAMES = ("top", "left", "bottom", "right")


class Box(NamedTuple):
    """A rectangle with named edges, in pixels; ``bottom`` and ``right`` are exclusive.

    Four plain numbers in this order, or a dict with these names, work everywhere as well.

    Example:
        >>> from keras_saliency import Box
        >>> Box(left=170, top=60, right=380, bottom=330)
        Box(top=60, left=170, bottom=330, right=380)
    """

    top: float
    left: float
    bottom: float
    right: float


BoxLike = Sequence[float] | Mapping[str, float] | np.ndarray  # four numbers, or their names


class NoBox(ValueError):
    """A value that is no box: the problem and the fix; callers raise an error of their own."""

    def __init__(self, got: str, fix: str) -> None:
        self.got, self.fix = got, fix
        super().__init__(f"{got} {fix}")


def is_box(given: Any) -> bool:
    """Whether a value is one box: named, or four numbers in a row."""
    if isinstance(given, Box | Mapping):
        return True
    if isinstance(given, np.ndarray):
        return given.shape == (4,) and given.dtype != bool
    return isinstance(given, list | tuple) and len(given) == 4 and all(map(_is_number, given))


def read(
    given: Any, size: Sequence[int | None] | None = None, *, whole: bool = False, cut: bool = False
) -> Box:
    """Return a box from names or four numbers.

    Args:
        given: A `Box`, a dict with its four names, or four numbers in its order.
        size: Height and width of the frame around it; None is not checked.
        whole: Whether its edges must be whole numbers.
        cut: Whether it may reach past ``size``; the caller cuts that part off.

    Raises:
        NoBox: It is no box, is empty, or does not lie in ``size``.
    """
    box, named = _edges(given), isinstance(given, Box | Mapping)
    if not all(_is_number(edge) and math.isfinite(edge) for edge in box):
        raise NoBox(f"{given!r} has an edge that is no finite number.", f"Pass four: {ORDER}.")
    if whole and any(float(edge) != int(edge) for edge in box):
        raise NoBox(f"{_shown(box)} has edges that are no whole numbers.", "Round them to pixels.")
    if whole:
        box = Box(*map(int, box))
    if not (box.top < box.bottom and box.left < box.right):
        raise NoBox(f"{_shown(box)} is empty.", _fix(False, box))
    if size is not None and not _lies_in(box, size):
        # A named box is unambiguous; four numbers may be (left, top, right, bottom).
        other = Box(box.left, box.top, box.right, box.bottom)
        swapped = not named and _lies_in(other, size)
        if swapped or not cut:
            height, width = size
            result = f"{_shown(box)} does not lie in {height} rows and {width} columns."
            raise NoBox(result, _fix(swapped, other))
    return box


def _edges(given: Any) -> Box:
    if isinstance(given, Mapping):
        if set(given) != set(_NAMES):
            names = ", ".join(map(repr, given))
            raise NoBox(f"A dict with the names {names} is no box.", f"Its names are {ORDER}.")
        return Box(**given)
    try:
        edges = np.asarray(given)
        if isinstance(given, list | tuple) and any(isinstance(one, bool) for one in given):
            raise ValueError
        if edges.shape != (4,) or edges.dtype.kind not in "iuf":
            raise ValueError
    except (TypeError, ValueError):
        raise NoBox(f"{given!r} is no box.", f"Pass four finite numbers {ORDER}.") from None
    return Box(*edges.tolist())


def _lies_in(box: Box, size: Sequence[int | None] | None) -> bool:
    height, width = (math.inf if one is None else one for one in size or (None, None))
    return 0 <= box.top < box.bottom <= height and 0 <= box.left < box.right <= width


def _fix(swapped: bool, other: Box) -> str:
    fix = f"The order is {ORDER}, bottom and right exclusive"
    return f"{fix}: is it {_shown(other)} that you mean?" if swapped else f"{fix}."


def _shown(box: Box) -> str:
    return f"Box({', '.join(f'{name}={edge:g}' for name, edge in box._asdict().items())})"


def _is_number(edge: Any) -> bool:
    return isinstance(edge, numbers.Real) and not isinstance(edge, bool | np.bool_)

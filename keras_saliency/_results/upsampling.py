"""Smoother enlargements of a map that was computed on a grid, such as a CAM of 7 × 7 cells.

`keras_saliency.explain` enlarges a grid linearly, which shows as facets. Figures draw it by bicubic
interpolation; `guided` lets edges of the picture decide where a map ends.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from keras_saliency._inputs import resampling
from keras_saliency.errors import MethodError, _arguments, did_you_mean

_ALIKE = 1e-3  # of the largest magnitude: float32 and a grid's inversion
KNOWN = ("linear", "bicubic", "guided")
EPSILON = 1e-3  # He et al.: variances of a picture in [0, 1] below this count as flat


def cells(values: np.ndarray, grid: Sequence[int]) -> np.ndarray | None:
    """Return the grid (h, w) float64 that was enlarged linearly to a map, or None if it was not.

    Args:
        values: (H, W) the map.
        grid: The grid's height and width.

    Example:
        >>> one = np.array([[1.0, 2.0], [3.0, 5.0]], "float32")
        >>> large = resampling.resize(one[None], (8, 8))[0]
        >>> cells(large, (2, 2)).round(3).tolist()
        [[1.0, 2.0], [3.0, 5.0]]
    """
    too_many = any(few > many for few, many in zip(grid, values.shape, strict=True))
    if too_many or not np.isfinite(values).all():
        return None
    down, across = (_inverse(*both) for both in zip(values.shape, grid, strict=True))
    reduced = down @ values.astype(np.float64) @ across.T
    back = resampling.resize(reduced[None].astype(np.float32), values.shape)[0]
    alike = np.abs(back - values).max() <= _ALIKE * np.abs(values).max()
    return reduced if alike else None


@functools.lru_cache(16)
def _inverse(many: int, few: int) -> np.ndarray:
    """Return what takes an axis of ``many`` pixels back to its ``few`` cells."""
    return np.linalg.pinv(resampling.triangle(many, few))


def bicubic(values: np.ndarray, grid: Sequence[int]) -> np.ndarray | None:
    """Return a map (H, W) float32 enlarged from its grid bicubically; None if it has no such grid.

    Cubics (Keys, 1981) overshoot a peak by some per cent; where the map is nowhere negative, the
    result is not either.
    """
    reduced = cells(values, grid)
    if reduced is None:
        return None
    one = Image.fromarray(reduced.astype(np.float32), mode="F")
    large = np.asarray(one.resize(values.shape[::-1], Image.Resampling.BICUBIC))
    return large if values.min() < 0 else large.clip(min=0)


def guided(values: np.ndarray, guide: np.ndarray, radius: int) -> np.ndarray:
    """Return a map filtered by the edges of its picture, (H, W) float32.

    The guided filter of He, Sun and Tang (2010): in each window the map is fitted by a linear
    function of the picture. The result is clipped to the map's range.

    Args:
        values: (H, W) the map.
        guide: (H, W) the picture in gray, in [0, 1].
        radius: Of the windows, in pixels: about half a cell of the grid.

    Example:
        >>> step = np.repeat([0.0, 1.0], 8)[None].repeat(16, axis=0)
        >>> ramp = np.linspace(0, 1, 16)[None].repeat(16, axis=0)
        >>> sharp = guided(ramp, step, radius=4)
        >>> bool(sharp[8, 8] - sharp[8, 7] > 3 * (ramp[8, 8] - ramp[8, 7]))
        True
    """

    def mean(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(array, 2 * radius + 1, mode="nearest")

    guide, target = guide.astype(np.float64), values.astype(np.float64)
    means = mean(guide), mean(target)
    slope = (mean(guide * target) - means[0] * means[1]) / (
        mean(guide**2) - means[0] ** 2 + EPSILON
    )
    result = mean(slope) * guide + mean(means[1] - slope * means[0])
    return result.clip(target.min(), target.max()).astype(np.float32)


def check(upsampling: Any, known: Sequence[str] = KNOWN) -> None:
    """Refuse an unknown way to enlarge maps."""
    if not _arguments.is_word(upsampling, known):
        raise MethodError(
            f"No upsampling is called {upsampling!r}.",
            f"Known: {', '.join(map(repr, known))}.",
            did_you_mean(str(upsampling), known) or "Take one of these.",
            _PLOT,
        )


def without_grid(method: str, drawn: str) -> MethodError:
    """Return the error for a map that cannot be enlarged anew."""
    why = f"is {drawn} already" if drawn else "has a value for each pixel"
    return MethodError(
        "Expected a map of a grid, such as a CAM, to enlarge.",
        f"Got one by {method!r}, which {why}.",
        "Leave upsampling out; smooth= blurs any map for display.",
        _PLOT,
    )


_PLOT = "help(keras_saliency.Explanation.plot)"

"""Maps of one picture and points on them: checked, counted and blurred; regions of a density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from keras_saliency._inputs import geometry
from keras_saliency.errors import FixationError


def counts(y: np.ndarray, x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return how many fixations fell on each pixel; repetitions count.

    Args:
        y: Rows in pixels, 0-based, ``0 <= y < H``; a pixel is the floor of its points.
        x: Columns in pixels, ``0 <= x < W``.
        size: Height and width of the picture.

    Returns:
        (H, W) float64.

    Example:
        >>> counts([0.9, 0.2, 1.0], [2.0, 2.9, 0.5], (2, 3)).tolist()
        [[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]]
    """
    result = np.zeros(size, np.float64)
    rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
    np.add.at(result, (rows, columns), 1.0)
    return result


def blurred(y: np.ndarray, x: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Return the density of fixations: counts under a Gaussian, zero outside, divided by the sum.

    Args:
        y: Rows in pixels, ``0 <= y < H``.
        x: Columns in pixels, ``0 <= x < W``.
        size: Height and width of the picture.
        sigma: Standard deviation in pixels, by custom one degree of visual angle.

    Returns:
        (H, W) float64, at least 0, sum 1; all 0 where there is no fixation.
    """
    result = ndimage.gaussian_filter(counts(y, x, size), sigma, mode="constant", truncate=4.0)
    total = result.sum()
    return result / total if total else result


_READ = "help(keras_saliency.FixationPrediction.expected_fixations)"


def checked_count(count: Any) -> float:
    """Return a number of fixations, 0 or more.

    Raises:
        FixationError: It is no such number.
    """
    try:
        number = float(count)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < np.inf:
        raise FixationError(
            "Expected count to be a number of fixations, 0 or more.",
            f"Got count={count!r}.",
            "Pass a number such as 10.",
            _READ,
        )
    return number


def checked_share(share: Any) -> None:
    """Refuse a share that is not above 0 and up to 1.

    Raises:
        FixationError: It is not.
    """
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise FixationError(
            "Expected share, of the fixations, to be a number above 0 and up to 1.",
            f"Got share={share!r}.",
            "Pass 0.5 for half of them.",
            "help(keras_saliency.FixationPrediction.area)",
        )


def covered(density: np.ndarray, share: float) -> float:
    """Return which part of all pixels the fewest are that hold ``share`` of a density's sum."""
    falling = np.cumsum(np.sort(density, axis=None)[::-1], dtype=np.float64)
    return float(np.searchsorted(falling, share * falling[-1]) + 1) / falling.size


def weights(region: Any, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return a region, or one for each picture, as (H0, W0) weights 0..1.

    Args:
        region: A box, a mask, or a list of these.
        sizes: Heights and widths of the pictures.

    Raises:
        FixationError: A region is neither box nor mask, or does not lie in its picture.
    """
    several = isinstance(region, list) and not geometry.is_box(region)
    regions = region if several else [region] * len(sizes)
    if len(regions) != len(sizes):
        raise FixationError(
            "Expected one region, or a list with one for each picture.",
            f"Got {len(regions)} regions for {len(sizes)} pictures.",
            f"Pass one region, or a list of {len(sizes)}.",
            _READ,
        )
    return [_weights(one, size) for one, size in zip(regions, sizes, strict=True)]


def _weights(region: Any, size: tuple[int, int]) -> np.ndarray:
    if geometry.is_box(region):
        return _of_box(region, size)
    what = f"Expected a region, a box or a mask, of a picture of {size[0]}x{size[1]} pixels."
    fix = f"Pass a box {geometry.ORDER}, or a mask of shape {size}."
    try:
        mask = np.asarray(region).astype(np.float64)
    except (TypeError, ValueError):
        result = f"Got type {type(region).__name__}."
        raise FixationError(what, result, fix, _READ) from None
    if mask.shape != size:
        raise FixationError(what, f"Got shape {mask.shape}.", fix, _READ)
    if not ((mask >= 0) & (mask <= 1)).all():
        result = f"Got mask values from {mask.min():g} to {mask.max():g}."
        raise FixationError(what, result, "Pass truth values, or weights 0..1: mask > 0.", _READ)
    return mask


def _of_box(box: Any, size: tuple[int, int]) -> np.ndarray:
    try:
        top, left, bottom, right = geometry.read(box, size, whole=True)
    except geometry.NoBox as error:
        what = f"Expected a box of whole numbers in a picture of {size[0]} rows, {size[1]} columns."
        raise FixationError(what, error.got, error.fix, _READ) from None
    weights = np.zeros(size)
    weights[top:bottom, left:right] = 1.0
    return weights


_UNIT = 1e-3  # how far from 1 a density's sum may be: 0.0014 bit


def finite(values: ArrayLike, what: str) -> np.ndarray:
    """Return a map as (H, W) float64."""
    result = np.asarray(values, np.float64)
    if result.ndim != 2 or not result.size:
        raise FixationError(
            f"Expected {what} to be one picture's, of shape (H, W).",
            f"Got shape {result.shape}.",
            "Score one picture at a time, without batch and channels: such as maps[0, ..., 0].",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    if not np.isfinite(result).all():
        wrong = ~np.isfinite(result)
        row, column = np.argwhere(wrong)[0]
        raise FixationError(
            f"Expected {what} to be finite.",
            f"{wrong.sum()} of {result.size} values are not; the first, at (y, x) = "
            f"({row}, {column}), is {result[row, column]}.",
            "Crop padding off; add a small uniform share to a density that is 0 somewhere.",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    return result


def log_density(values: ArrayLike, what: str) -> np.ndarray:
    """Return a map of logarithms that belong to a density."""
    result = finite(values, what)
    with np.errstate(over="ignore"):
        total = np.exp(result).sum()
    if abs(total - 1.0) > _UNIT:
        raise FixationError(
            f"Expected {what} to be the natural logarithm of a density over pixels.",
            f"Its exponentials sum to {total:.6g}, not 1.",
            "Subtract scipy.special.logsumexp(log_density), also after resizing or cropping.",
            "help(keras_saliency.fixation.metrics.scores.information_gain)",
        )
    return result


def same_shape(one: np.ndarray, other: np.ndarray, what: str) -> None:
    """Refuse two maps that do not lie on the same pixels; ``what`` is the second."""
    if one.shape != other.shape:
        raise FixationError(
            f"Expected {what} to have the shape of the map it is compared with, {one.shape}.",
            f"Got shape {other.shape}.",
            "Make both at the picture's size.",
            "help(keras_saliency.fixation.metrics.scores)",
        )


def at(values: np.ndarray, y: ArrayLike, x: ArrayLike, whose: str = "") -> np.ndarray:
    """Return the map's values (N,) at the fixations' pixels."""
    return values[pixels(y, x, values.shape, whose)]


def pixels(
    y: ArrayLike, x: ArrayLike, size: tuple[int, ...], whose: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns (N,) of the fixations' pixels, one or more, all on the map."""
    rows, columns = np.asarray(y, np.float64), np.asarray(x, np.float64)
    name = f"fixations {whose}".strip()
    if rows.ndim != 1 or rows.shape != columns.shape or not rows.size:
        raise FixationError(
            f"Expected {name} as y and x, (N,) each, one or more.",
            f"Got shapes {rows.shape} and {columns.shape}.",
            "Leave out pictures without fixations; repeat a point for each fixation on it.",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    height, width = size
    # What is not inside is outside: this also refuses NaN.
    outside = ~((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise FixationError(
            f"Expected {name} on the map of {height} by {width} pixels (height, width).",
            f"{outside.sum()} of {rows.size} do not; the first, number {i}, is at (y, x) = "
            f"({rows[i]:.6g}, {columns[i]:.6g}).",
            "Rows come first, then columns, in the map's own pixels; scale points, never counts.",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    return rows.astype(np.intp), columns.astype(np.intp)


def densities(saliency: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both maps divided by their sums."""
    values, wanted = pair(saliency, truth)
    if values.min() < 0:
        raise FixationError(
            "Expected the saliency map to be a density, at least 0 everywhere.",
            f"Got values down to {values.min():.6g}.",
            "Pass np.exp of a log density, or subtract a map's minimum.",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    if not wanted.any():
        raise FixationError(
            "Expected the truth to be the density of one or more fixations.",
            "Got 0 everywhere: a picture without fixations.",
            "Leave the picture out.",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    # Peak 1 first, so that no sum overflows and no tiny map sums to a denormal.
    values = values / values.max() if values.any() else np.ones_like(values)
    wanted = wanted / wanted.max()
    return values / values.sum(), wanted / wanted.sum()


def pair(saliency: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return a saliency map and the density of fixations, both (H, W) float64."""
    values, wanted = (
        finite(saliency, "the saliency map"),
        finite(truth, "the truth"),
    )
    same_shape(values, wanted, "the truth")
    if wanted.min() < 0:
        raise FixationError(
            "Expected the truth to be a density of fixations, at least 0 everywhere.",
            f"Got values down to {wanted.min():.6g}.",
            "Make it from fixations with recording.density(); saliency comes first, then truth.",
            "help(keras_saliency.fixation.metrics.scores)",
        )
    return values, wanted

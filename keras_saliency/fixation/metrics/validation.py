"""Inputs of a metric, one map and the points on it, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.errors import FixationError

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

"""What a metric may be given, one map and the points on it, or an error that says what is wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.errors import FixationError

_UNIT = 1e-3  # how far from 1 a density's sum may be: 0.0014 bit


def finite(values: ArrayLike, what: str) -> np.ndarray:
    """Return a map as (H, W) float64."""
    found = np.asarray(values, np.float64)
    if found.ndim != 2 or not found.size:
        raise FixationError(
            f"{what} must be one picture's, of shape (H, W).",
            f"It has shape {found.shape}.",
            "Score one picture at a time, without batch and channels: such as maps[0, ..., 0].",
            "help(keras_saliency.metrics.fixation)",
        )
    if not np.isfinite(found).all():
        wrong = ~np.isfinite(found)
        row, column = np.argwhere(wrong)[0]
        raise FixationError(
            f"{what} must be finite.",
            f"{wrong.sum()} of {found.size} values are not; the first, at (y, x) = "
            f"({row}, {column}), is {found[row, column]}.",
            "Crop padding off; give a density that is 0 somewhere a small uniform share.",
            "help(keras_saliency.metrics.fixation)",
        )
    return found


def log_density(values: ArrayLike, what: str) -> np.ndarray:
    """Return a map of logarithms that belong to a density."""
    found = finite(values, what)
    with np.errstate(over="ignore"):
        total = np.exp(found).sum()
    if abs(total - 1.0) > _UNIT:
        raise FixationError(
            f"{what} must be the natural logarithm of a density over pixels.",
            f"Its exponentials sum to {total:.6g}, not 1.",
            "Subtract scipy.special.logsumexp(log_density), also after resizing or cropping.",
            "help(keras_saliency.metrics.fixation.information_gain)",
        )
    return found


def same_shape(one: np.ndarray, other: np.ndarray, what: str) -> None:
    """Refuse two maps that do not lie on the same pixels; ``what`` is the second."""
    if one.shape != other.shape:
        raise FixationError(
            f"{what} must lie on the same pixels as the map it is compared with.",
            f"Their shapes are {other.shape} and {one.shape}.",
            "Make both at the picture's size.",
            "help(keras_saliency.metrics.fixation)",
        )


def at(values: np.ndarray, y: ArrayLike, x: ArrayLike, whose: str = "") -> np.ndarray:
    """Return the map's values (N,) at the fixations' pixels."""
    return values[pixels(y, x, values.shape, whose)]


def pixels(
    y: ArrayLike, x: ArrayLike, size: tuple[int, ...], whose: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns (N,) of the fixations' pixels, one or more, all on the map."""
    rows, columns = np.asarray(y, np.float64), np.asarray(x, np.float64)
    name = f"Fixations {whose}".strip()
    if rows.ndim != 1 or rows.shape != columns.shape or not rows.size:
        raise FixationError(
            f"{name} must be given as y and x, (N,) each, one or more.",
            f"Their shapes are {rows.shape} and {columns.shape}.",
            "Leave out pictures that nobody looked at; repeat a point for each fixation on it.",
            "help(keras_saliency.metrics.fixation)",
        )
    height, width = size
    # What is not inside is outside: this also refuses NaN.
    outside = ~((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise FixationError(
            f"{name} must lie on the map of {height} by {width} pixels (height, width).",
            f"{outside.sum()} of {rows.size} do not; the first, number {i}, is at (y, x) = "
            f"({rows[i]:.6g}, {columns[i]:.6g}).",
            "Rows come first, then columns, in the map's own pixels; scale points, never counts.",
            "help(keras_saliency.metrics.fixation)",
        )
    return rows.astype(np.intp), columns.astype(np.intp)

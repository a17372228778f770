"""From fixations to maps: counts, and the density of one degree that stands for them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


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

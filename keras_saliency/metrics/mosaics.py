"""Pictures of different classes side by side: a truth that nobody has to draw."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs
from keras_saliency.metrics.localization import share_inside

__all__ = ["grid_pointing_game", "mosaic"]


def mosaic(images: ArrayLike) -> np.ndarray:
    """Return one picture made of n * n, row by row.

    Args:
        images: (n * n, H, W, C), each of another class, each recognised with certainty.

    Returns:
        (n H, n W, C), of the pictures' type.

    Raises:
        MetricError: Their number is no square.

    Source:
        M. Böhle, M. Fritz, B. Schiele: Convolutional dynamic alignment networks for interpretable
        classifications, 2021, arXiv:2104.00032.

    Example:
        >>> mosaic(np.arange(4.0).reshape(4, 1, 1, 1))[..., 0]
        array([[0., 1.],
               [2., 3.]])
    """
    found = inputs.pictures(images)
    count, height, width, channels = found.shape
    side = math.isqrt(count)
    if side * side != count:
        raise inputs.refused(
            "A mosaic has as many pictures down as across.",
            f"{count} pictures were given.",
            "Give 4 or 9.",
            "help(keras_saliency.metrics.mosaics.mosaic)",
        )
    cells = found.reshape(side, side, height, width, channels)
    return cells.transpose(0, 2, 1, 3, 4).reshape(side * height, side * width, channels)


def grid_pointing_game(maps: ArrayLike, cells: ArrayLike, *, grid: int = 2) -> np.ndarray:
    """Return which share of positive values lies in the right cell. Higher is better.

    Args:
        maps: (B, n H, n W) of mosaics, each map that of the class of one cell.
        cells: (B,) whole numbers, which cell: 0 is the upper left, then row by row.
        grid: Cells a side, n.

    Returns:
        (B,) float64, 0 to 1; chance is 1 / n^2, and a constant map has it. A map without a positive
        value points nowhere and has 0.

    Raises:
        MetricError: Maps are not (B, H, W) and finite or not of n by n cells, or there is no such
            cell.

    Source:
        M. Böhle, M. Fritz, B. Schiele: Convolutional dynamic alignment networks for interpretable
        classifications, 2021, arXiv:2104.00032.

    Example:
        >>> grid_pointing_game([[[3, 1], [0, -5]]], [0])
        array([0.75])
    """
    values = inputs.maps(maps)
    grid = inputs.count(grid, "grid", low=2)
    _, height, width = values.shape
    if height % grid or width % grid:
        raise inputs.refused(
            f"Maps of mosaics of {grid} by {grid} cells were asked for.",
            f"{height} by {width} pixels cannot be cut into such cells.",
            "Say grid=, or pass the maps of mosaic(images).",
            "help(keras_saliency.metrics.mosaics.grid_pointing_game)",
        )
    wanted = np.asarray(cells)
    if (
        wanted.shape != values.shape[:1]
        or not np.issubdtype(wanted.dtype, np.integer)
        or not ((wanted >= 0) & (wanted < grid * grid)).all()
    ):
        raise inputs.refused(
            f"For each of {len(values)} maps the number of a cell, 0 to {grid * grid - 1}, was "
            "asked for.",
            f"{cells!r} was given.",
            "Count cells from the upper left, row by row.",
            "help(keras_saliency.metrics.mosaics.grid_pointing_game)",
        )
    numbers = (np.arange(height) * grid // height)[:, None] * grid
    numbers = numbers + np.arange(width) * grid // width
    return share_inside(values, numbers == wanted[:, None, None])

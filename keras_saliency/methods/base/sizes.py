"""Ways to enlarge a layer's map to the picture."""

from __future__ import annotations

from typing import Literal

import numpy as np

from keras_saliency import postprocess

Interpolation = Literal["bilinear", "corners", "nearest"]
INTERPOLATIONS = ("bilinear", "corners", "nearest")


def enlarge(maps: np.ndarray, size: tuple[int, ...], how: str) -> np.ndarray:
    """Return maps (B, h, w) enlarged to (B, H, W) float32.

    Args:
        maps: What to enlarge.
        size: Height and width of the result.
        how: ``"bilinear"``, where pixels are areas (half-pixel centres); ``"corners"``, bilinear
            with the centres of corner cells on those of corner pixels; ``"nearest"``, the value of
            the cell that a pixel's centre lies in.
    """
    if how == "bilinear":
        return postprocess.resize(maps, (size[0], size[1]))
    sides = list(zip(size, maps.shape[1:], strict=True))
    if how == "nearest":
        rows, columns = ((2 * np.arange(side) + 1) * cells // (2 * side) for side, cells in sides)
        return maps[:, rows[:, None], columns].astype(np.float32, copy=False)
    down, right = (_between_corners(side, cells) for side, cells in sides)
    return (down @ maps @ right.T).astype(np.float32)


def _between_corners(side: int, cells: int) -> np.ndarray:
    """Return the weights (side, cells) of cells in each pixel."""
    places = np.linspace(0, cells - 1, side)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))

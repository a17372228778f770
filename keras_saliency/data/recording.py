"""One picture and where people looked at it: what every data set here is read into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_saliency import density


@dataclass(frozen=True, eq=False)
class Recording:
    """One picture and the fixations of all who viewed it.

    Attributes:
        name: Unique within its data set.
        dataset: The data set's name, such as ``"osie"``.
        split: ``"train"``, ``"val"`` or another.
        picture: The picture's file, or its pixels (H, W, 3) uint8.
        size: Height and width of the picture in pixels.
        y: (N,) float32, rows in pixels, 0-based, ``0 <= y < H``; the pixel is the floor.
        x: (N,) float32, columns likewise.
        subject: (N,) int, the viewer's number within the data set; None where it is not known.
        sigma: Pixels to one degree of visual angle, the blur of the ground truth.
        category: Of the picture, where the data set has them.
    """

    name: str
    dataset: str
    split: str
    picture: Path | np.ndarray
    size: tuple[int, int]
    y: np.ndarray
    x: np.ndarray
    sigma: float
    subject: np.ndarray | None = None
    category: str | None = None

    def density(self) -> np.ndarray:
        """Return the ground truth, (H, W) float64, sum 1: fixations blurred by ``sigma``."""
        return density.blurred(self.y, self.x, self.size, self.sigma)

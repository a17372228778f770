"""One picture and where people looked at it: what every data set here is read into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_saliency import density
from keras_saliency.data.pixels import Picture, read


@dataclass(frozen=True, eq=False)
class Recording:
    """One picture and the fixations of all who viewed it.

    Attributes:
        name: Unique within its data set.
        dataset: The data set's name, such as ``"osie"``.
        split: ``"train"``, ``"val"`` or another.
        picture: The picture's file, the bytes of one, a function that returns these bytes, or
            its pixels (H, W, 3) uint8; read it with ``pixels()``.
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
    picture: Picture
    size: tuple[int, int]
    y: np.ndarray
    x: np.ndarray
    sigma: float
    subject: np.ndarray | None = None
    category: str | None = None

    def __repr__(self) -> str:
        """Return one line: what it is, and how much of it."""
        height, width = self.size
        return (
            f"<Recording {self.dataset}/{self.name} ({self.split}): {width}x{height}, "
            f"{len(self.y)} fixations>"
        )

    def density(self) -> np.ndarray:
        """Return the ground truth, (H, W) float64, sum 1: fixations blurred by ``sigma``."""
        return density.blurred(self.y, self.x, self.size, self.sigma)

    def pixels(self) -> np.ndarray:
        """Return the picture as it is stored, (H, W, 3) uint8; EXIF turns nothing.

        Raises:
            FixationError: It is missing, truncated, not 8-bit, or not of ``size``.
        """
        return read(self.picture, self.size, f"{self.dataset}/{self.name}")


def inside(y: np.ndarray, x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which fixations fall on a picture of ``size`` (H, W): (N,) bool, False for NaN.

    Example:
        >>> inside([0.0, 1.9, 2.0, -0.1], [0.0, 2.9, 0.0, 0.0], (2, 3)).tolist()
        [True, True, False, False]
    """
    y, x = np.asarray(y), np.asarray(x)
    return (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])

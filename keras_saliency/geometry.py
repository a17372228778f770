"""Where a picture went when it was fitted into a model's input, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_saliency import postprocess

Fit = Literal["stretch", "crop", "pad"]


@dataclass(frozen=True)
class Geometry:
    """A window of the original picture and the model input that it fills.

    Attributes:
        original: Height and width of the picture as it came.
        size: Height and width of the model input.
        window: ``(top, left, height, width)`` in original pixels, possibly past the edges
            (``fit="pad"``). The window is scaled to ``size``.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    window: tuple[float, float, float, float]

    @classmethod
    def fitted(
        cls, original: tuple[int, int], size: tuple[int, int], fit: Fit = "stretch"
    ) -> Geometry:
        """Return the geometry that fits a picture into a model input.

        Args:
            original: Height and width of the picture.
            size: Height and width of the model input.
            fit: ``"stretch"`` scales both sides (the whole picture is seen), ``"crop"`` keeps the
                aspect ratio and cuts the middle, ``"pad"`` keeps it and adds black.
        """
        (height, width), (rows, columns) = original, size
        if fit == "stretch" or original == size:
            return cls(original, size, (0.0, 0.0, float(height), float(width)))
        pick = min if fit == "crop" else max
        scale = pick(height / rows, width / columns)  # original pixels a model pixel
        h, w = rows * scale, columns * scale
        return cls(original, size, ((height - h) / 2, (width - w) / 2, h, w))

    @property
    def _changes_nothing(self) -> bool:
        return self.size == self.original

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a (H0, W0, C) uint8 picture as the model sees it, (H, W, C) uint8, bicubic."""
        if self._changes_nothing:
            return picture
        top, left, height, width = self.window
        return postprocess.resize_picture(
            picture, self.size, (left, top, left + width, top + height)
        )

    def undo(self, grid: np.ndarray) -> np.ndarray:
        """Return a (H, W) map in the original's frame, (H0, W0); 0 where it was cut away."""
        if self._changes_nothing:
            return grid
        top, left, height, width = self.window
        # The model-input point of each original pixel's centre is found by the same window.
        rows, columns = self.size
        scale = rows / height, columns / width
        box = (
            -left * scale[1],
            -top * scale[0],
            (self.original[1] - left) * scale[1],
            (self.original[0] - top) * scale[0],
        )
        return postprocess.resize(grid[None], self.original, box)[0]

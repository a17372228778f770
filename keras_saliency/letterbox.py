"""A picture placed on a canvas: aspect ratio kept, in the middle, NaN around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from keras_saliency import postprocess

EMPTY = -1e4  # log density of padding: exp() of it is 0, and unlike -inf it survives a product


@dataclass(frozen=True)
class Letterbox:
    """Which part of a picture goes where on a canvas, in pixels.

    Attributes:
        window: ``(top, left, height, width)`` of the picture's part; fractions are allowed.
        box: ``(top, left, height, width)`` that it fills on the canvas, whole pixels.
        canvas: Height and width of the canvas.
    """

    window: tuple[float, float, float, float]
    box: tuple[int, int, int, int]
    canvas: tuple[int, int]

    @classmethod
    def fitted(
        cls,
        size: tuple[int, int],
        canvas: tuple[int, int],
        window: tuple[float, float, float, float] | None = None,
    ) -> Letterbox:
        """Return how a picture is laid on a canvas: as large as fits, in the middle.

        Args:
            size: Height and width of the picture.
            canvas: Height and width of the canvas.
            window: The part of the picture to show; ``None`` shows all of it.

        Example:
            >>> Letterbox.fitted((300, 400), (64, 64)).box
            (8, 0, 48, 64)
        """
        window = window or (0.0, 0.0, float(size[0]), float(size[1]))
        _, _, height, width = window
        scale = min(canvas[0] / height, canvas[1] / width)
        rows = min(canvas[0], max(1, round(height * scale)))
        columns = min(canvas[1], max(1, round(width * scale)))
        box = ((canvas[0] - rows) // 2, (canvas[1] - columns) // 2, rows, columns)
        return cls(window, box, canvas)

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels to one pixel of the picture: down, across."""
        return self.box[2] / self.window[2], self.box[3] / self.window[3]

    @property
    def _inside(self) -> tuple[slice, slice]:
        top, left, height, width = self.box
        return slice(top, top + height), slice(left, left + width)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a (h, w, 3) uint8 picture on its canvas, (H, W, 3) float32 0..255, else NaN."""
        top, left, height, width = self.window
        canvas = np.full((*self.canvas, 3), np.nan, np.float32)
        corners = (left, top, left + width, top + height)
        size = (self.box[3], self.box[2])
        shown = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, box=corners)
        canvas[self._inside] = np.asarray(shown)
        return canvas

    def points(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where points of the picture lie on the canvas; those outside the window go."""
        top, left, height, width = self.window
        seen = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
        y = (y[seen] - top) * self.scale[0]
        x = (x[seen] - left) * self.scale[1]
        # A rounding up onto the edge would be a pixel of the padding.
        y = np.minimum(y, np.nextafter(self.box[2], 0.0)) + self.box[0]
        x = np.minimum(x, np.nextafter(self.box[3], 0.0)) + self.box[1]
        return y, x

    def undo(self, log_density: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return a log density on the canvas as one on the whole picture, exp() summing to 1.

        Args:
            log_density: (H, W) natural logarithms.
            size: Height and width of the picture; the window is taken to be all of it.

        Returns:
            (h, w) float64.
        """
        inside = log_density[self._inside]
        grid = postprocess.resize(inside[None], size)[0].astype(np.float64)
        grid -= grid.max()
        return grid - np.log(np.exp(grid).sum())

"""How a picture is shown in training: a part, perhaps mirrored, its fixations moved along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_saliency import density
from keras_saliency.data.recording import Recording
from keras_saliency.letterbox import Letterbox


@dataclass(frozen=True)
class View:
    """One way to show one picture.

    Attributes:
        number: Of the recording.
        letterbox: Which part of the picture goes where on the canvas.
        mirrored: Whether the canvas is mirrored left to right afterwards.
    """

    number: int
    letterbox: Letterbox
    mirrored: bool = False

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Return a (h, w, 3) uint8 picture as it is shown, (H, W, 3) float32, else NaN."""
        canvas = self.letterbox.apply(pixels)
        return np.ascontiguousarray(canvas[:, ::-1]) if self.mirrored else canvas

    def mask(self) -> np.ndarray:
        """Return (H, W, 1) float32: 1 on the picture, 0 around it."""
        top, left, height, width = self.letterbox.box
        mask = np.zeros((*self.letterbox.canvas, 1), np.float32)
        mask[top : top + height, left : left + width] = 1.0
        return np.ascontiguousarray(mask[:, ::-1]) if self.mirrored else mask

    def truth(self, y: np.ndarray, x: np.ndarray, sigma: float) -> np.ndarray:
        """Return where people looked, on the canvas.

        Args:
            y: Rows of the fixations in pixels of the picture.
            x: Columns likewise.
            sigma: One degree of visual angle in pixels of the picture.

        Returns:
            (H, W, 2) float32: the density blurred by one degree, and the share of the fixations on
            each pixel. Both sum to 1.
        """
        y, x = self.letterbox.points(y, x)
        top, left, height, width = self.letterbox.box
        size, y, x = (height, width), y - top, x - left
        scale = float(np.sqrt(np.prod(self.letterbox.scale)))
        truth = np.zeros((*self.letterbox.canvas, 2), np.float32)
        inside = truth[top : top + height, left : left + width]
        inside[..., 0] = density.blurred(y, x, size, sigma * scale)
        inside[..., 1] = density.counts(y, x, size) / max(len(y), 1)
        # Mirroring the array, not the points: a point's pixel is its floor on one side only.
        return np.ascontiguousarray(truth[:, ::-1]) if self.mirrored else truth


@dataclass(frozen=True)
class Augment:
    """What varies from epoch to epoch; people look at mirrored pictures in a mirrored way.

    Attributes:
        flip: Probability of a mirror image.
        crop: Probability of a window instead of the whole.
        smallest: The smallest window, as a share of each side.
        stretch: The largest change of the window's aspect ratio, in log units.
    """

    flip: float = 0.5
    crop: float = 0.5
    smallest: float = 0.75
    stretch: float = 0.08

    def draw(
        self, number: int, one: Recording, canvas: tuple[int, int], rng: np.random.Generator
    ) -> View:
        """Draw one view of a recording; the whole picture where nobody looked into the window."""
        mirrored = bool(rng.random() < self.flip)
        window = self._window(one.size, rng) if rng.random() < self.crop else None
        letterbox = Letterbox.fitted(one.size, canvas, window)
        if window is not None and not len(letterbox.points(one.y, one.x)[0]):
            letterbox = Letterbox.fitted(one.size, canvas)
        return View(number, letterbox, mirrored)

    def _window(
        self, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[float, float, float, float]:
        share = rng.uniform(self.smallest, 1.0)
        height = size[0] * share
        width = min(size[1], size[1] * share * np.exp(rng.uniform(-self.stretch, self.stretch)))
        return rng.uniform(0, size[0] - height), rng.uniform(0, size[1] - width), height, width

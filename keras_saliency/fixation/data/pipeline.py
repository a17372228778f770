"""From recordings to batches: one pipeline for every backend, reproducible from its seed.

A ``keras.utils.PyDataset``: Keras' own, so it needs nothing that is not installed and feeds all
three backends. A batch depends on seed, epoch and its number alone, so an interrupted training
resumes exactly.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_saliency._inputs.geometry import Letterbox
from keras_saliency.errors import FixationError, _arguments
from keras_saliency.fixation import maps
from keras_saliency.fixation.data.recording import Recording


class FixationBatches(keras.utils.PyDataset):
    """Batches of pictures and their human fixations.

    Pictures of one batch lie on canvases of one size: for each picture the one of ``canvases`` on
    which it is largest. With ``shuffle`` the last batch of a canvas is filled up from the start of
    its order, so that all batches have one size and nothing is compiled twice.

    Args:
        recordings: Of pictures with fixations.
        canvases: Heights and widths, multiples of 32.
        batch_size: Pictures a batch.
        augment: How to vary pictures from epoch to epoch; ``None`` shows them as they are.
        shuffle: Whether to draw a new order for each epoch.
        seed: Of order and variation.
        workers: Threads that prepare batches ahead, where Keras runs them.

    Attributes:
        epoch: Whose order and variation the batches have; may be set. ``fit`` counts it up.

    Raises:
        FixationError: There is no recording, or one has no fixation; a canvas' height or width is
            no multiple of 32; or a batch has no picture.

    Example:
        >>> from keras_saliency.fixation.data import Recording
        >>> one = Recording("sky", "lab", "train", np.zeros((30, 40, 3), np.uint8), (30, 40),
        ...                 y=np.array([15.0]), x=np.array([20.0]), sigma=2.0)
        >>> pictures, truth = FixationBatches([one], [(64, 64)])[0]
        >>> pictures.shape, truth.shape, round(float(truth[..., 0].sum()), 3)
        ((1, 64, 64, 3), (1, 64, 64, 2), 1.0)
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        canvases: Sequence[tuple[int, int]] = ((512, 512),),
        batch_size: int = 8,
        *,
        augment: Augment | None = None,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 2,
    ) -> None:
        super().__init__(workers=workers, use_multiprocessing=False, max_queue_size=8)
        unseen = [f"{one.dataset}/{one.name}" for one in recordings if not len(one.y)]
        if unseen or not len(recordings):
            raise FixationError(
                "Expected one or more recordings, each with a fixation.",
                f"Got {len(recordings)} recordings; {len(unseen)} have no fixation, such as "
                f"{unseen[0]!r}."
                if unseen
                else f"Got {len(recordings)} recordings.",
                "Pass recordings of pictures with fixations.",
                "help(keras_saliency.fixation.data.FixationBatches)",
            )
        read = "help(keras_saliency.fixation.data.FixationBatches)"
        batch_size = _arguments.integer(batch_size, "batch_size", FixationError, read)
        seed = _arguments.seed(seed, FixationError, read)
        lengths = [length for canvas in canvases for length in canvas]
        if not lengths or any(length < 32 or length % 32 for length in lengths):
            raise FixationError(
                "Expected canvases of heights and widths that are multiples of 32.",
                f"Got canvases={tuple(canvases)}.",
                "Pass such as canvases=[(384, 512)].",
                "help(keras_saliency.fixation.data.FixationBatches)",
            )
        self.recordings, self.batch_size = list(recordings), batch_size
        self.augment, self.shuffle, self.seed = augment, shuffle, seed
        self._groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, recording in enumerate(self.recordings):
            self._groups[largest_on(recording.size, canvases)].append(number)
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose order and variation the batches have."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        rng = np.random.default_rng((self.seed, epoch))
        batches: list[tuple[tuple[int, int], np.ndarray]] = []
        for canvas, numbers in self._groups.items():
            order = np.array(numbers)
            if self.shuffle:
                order = rng.permutation(order)
                order = np.resize(order, -(-len(order) // self.batch_size) * self.batch_size)
            for start in range(0, len(order), self.batch_size):
                batches.append((canvas, order[start : start + self.batch_size]))
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        self._epoch, self._batches = epoch, batches

    def on_epoch_end(self) -> None:
        """Go on to the next epoch; Keras calls it."""
        self.epoch += 1

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures (B, H, W, 3) 0..255 or NaN, and truth (B, H, W, 2), both float32."""
        views = self.views(index)
        pictures = np.stack([self.picture(view) for view in views])
        return pictures, np.stack([self.truth(view) for view in views])

    def views(self, index: int) -> list[View]:
        """Return which part of which picture the examples of a batch show."""
        canvas, numbers = self._batches[index]
        return [self._view(int(number), canvas) for number in numbers]

    def _view(self, number: int, canvas: tuple[int, int]) -> View:
        one = self.recordings[number]
        if self.augment is None:
            return View(number, Letterbox.fitted(one.size, canvas))
        rng = np.random.default_rng((self.seed, self.epoch, number))
        return self.augment.draw(number, one, canvas, rng)

    def every_view(self) -> list[View]:
        """Return all views there can be, where no windows are drawn: pictures and mirror images."""
        mirrored = (False, True) if self.augment is not None and self.augment.flip else (False,)
        return [
            View(number, Letterbox.fitted(self.recordings[number].size, canvas), mirror)
            for canvas, numbers in self._groups.items()
            for number in numbers
            for mirror in mirrored
        ]

    def fingerprint(self) -> str:
        """Return a SHA-256 of what the batches depend on; of pictures, their names and sizes."""
        options = (self.batch_size, self.augment, self.shuffle, self.seed, dict(self._groups))
        sha = hashlib.sha256(repr(options).encode())
        for one in self.recordings:
            sha.update(repr((one.dataset, one.name, tuple(one.size), float(one.sigma))).encode())
            sha.update(np.stack([one.y, one.x]).astype("<f4").tobytes())
        return sha.hexdigest()

    def picture(self, view: View) -> np.ndarray:
        """Return what a view shows, (H, W, 3) float32, 0..255, NaN around the picture."""
        return view.picture(self.recordings[view.number].pixels())

    def truth(self, view: View) -> np.ndarray:
        """Return density and share of the fixations, (H, W, 2) float32, each summing to 1."""
        one = self.recordings[view.number]
        return view.truth(one.y, one.x, one.sigma)

    def without_windows(self) -> FixationBatches:
        """Return the same batches, never cropped, whose features can be computed once."""
        augment = self.augment and Augment(flip=self.augment.flip, crop=0.0)
        canvases = list(self._groups)
        return FixationBatches(
            self.recordings,
            canvases,
            self.batch_size,
            augment=augment,
            shuffle=self.shuffle,
            seed=self.seed,
            workers=self.workers,
        )


def largest_on(size: tuple[int, int], canvases: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the canvas on which a picture of ``size`` is largest; the smallest such one.

    Example:
        >>> largest_on((400, 300), [(288, 384), (384, 288)])
        (384, 288)
    """

    def quality(canvas: Any) -> tuple[float, int]:
        return min(canvas[0] / size[0], canvas[1] / size[1]), -canvas[0] * canvas[1]

    height, width = max(canvases, key=quality)
    return int(height), int(width)


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
        inside[..., 0] = maps.blurred(y, x, size, sigma * scale)
        inside[..., 1] = maps.counts(y, x, size) / max(len(y), 1)
        # The array is mirrored, not the points: the floor of a mirrored point is another pixel.
        return np.ascontiguousarray(truth[:, ::-1]) if self.mirrored else truth


@dataclass(frozen=True)
class Augment:
    """Variation from epoch to epoch; people look at mirrored pictures in a mirrored way.

    Attributes:
        flip: Probability of a mirror image.
        crop: Probability of a window instead of the whole.
        smallest: The smallest window, as a share of height and of width.
        stretch: The largest change of the window's aspect ratio, in log units.
    """

    flip: float = 0.5
    crop: float = 0.5
    smallest: float = 0.75
    stretch: float = 0.08

    def draw(
        self, number: int, one: Recording, canvas: tuple[int, int], rng: np.random.Generator
    ) -> View:
        """Draw one view of a recording; the whole picture where the window has no fixation."""
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

"""From recordings to batches: one pipeline for every backend, the same from the same seed.

A ``keras.utils.PyDataset``: Keras' own, so it needs nothing that is not installed and feeds all
three backends. A batch depends on seed, epoch and its number alone, which is what lets a training
that was killed go on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_saliency.data.recording import Recording
from keras_saliency.data.view import Augment, View
from keras_saliency.errors import FixationError
from keras_saliency.letterbox import Letterbox


class FixationBatches(keras.utils.PyDataset):
    """Batches of pictures and where people looked at them.

    Pictures of one batch lie on canvases of one size: for each picture the one of ``canvases`` on
    which it is largest. With ``shuffle`` the last batch of a canvas is filled up from the start of
    its order, so that all batches have one size and nothing is compiled twice.

    Args:
        recordings: What to show.
        canvases: Heights and widths, multiples of 32.
        batch_size: Pictures a batch.
        augment: What to vary from epoch to epoch; ``None`` shows all pictures as they are.
        shuffle: Whether to draw a new order for each epoch.
        seed: Of order and variation.
        workers: Threads that prepare batches ahead, where Keras runs them.

    Attributes:
        epoch: Whose order and variation the batches have; may be set. ``fit`` counts it up.

    Raises:
        FixationError: There is no recording, or nobody looked at one; a canvas' sides are no
            multiples of 32; or a batch has no picture.

    Example:
        >>> from keras_saliency.data import Recording
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
                f"Batches of {len(recordings)} recordings were asked for.",
                f"{len(unseen)} have no fixation, such as {unseen[0]!r}."
                if unseen
                else "There is none.",
                "Give recordings of pictures that somebody looked at.",
                "help(keras_saliency.data.FixationBatches)",
            )
        sides = [side for canvas in canvases for side in canvas]
        if not sides or batch_size < 1 or any(side < 32 or side % 32 for side in sides):
            raise FixationError(
                f"Batches of {batch_size} on canvases {tuple(canvases)} were asked for.",
                "Heights and widths must be multiples of 32, batches have a picture or more.",
                "Give such as canvases=[(384, 512)], batch_size=8.",
                "help(keras_saliency.data.FixationBatches)",
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
        """Return the same batches, never cropped: what can be computed once and kept."""
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

"""How the score changes as the map's pixels go or stay: deletion, insertion, average drop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs
from keras_saliency.metrics.inputs import Score

__all__ = [
    "Curves",
    "average_drop",
    "deletion",
    "deletion_curves",
    "increase_in_confidence",
    "insertion",
    "insertion_curves",
]


_STEPS = 32  # where the caller names none


@dataclass(frozen=True, eq=False)
class Curves:
    """The score while pixels are replaced.

    Attributes:
        shares: (steps + 1,), the share of pixels replaced so far, 0 to 1.
        scores: (B, steps + 1), float64.
    """

    shares: np.ndarray
    scores: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """The area under each curve, (B,) float64: the mean score, by the trapezoid rule."""
        return np.trapezoid(self.scores, self.shares, axis=1)


def deletion(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    baselines: ArrayLike,
    *,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """Return the area under the deletion curve. Lower is better.

    Pixels are replaced by the baseline, highest first; a faithful map makes the score fall early.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``; a probability in the paper.
            ``rows`` holds the number of the picture from which each is made.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        maps: (B, *space). Only the order of values counts: the lowest come last, also if negative.
        baselines: (B, *space, C) or broadcastable to it: the end of the curve, such as black or
            the mean.
        steps: Number of equal shares in which pixels are replaced; each costs a run of the model.
            None takes 32, or one for each pixel where there are fewer, as in a row of a table.
        seed: Of the order of equal values (not the raster's), the same for all pictures.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, the mean score, in the range of the score: 0 to 1 for a probability.

    Raises:
        MetricError: Arrays do not fit, are not finite, or there are more steps than pixels.

    Source:
        V. Petsiuk, A. Das, K. Saenko: RISE, 2018, arXiv:1806.07421.

    Example:
        >>> def bright(images, rows):  # looks at the first pixel only
        ...     return images[:, 0, 0, 0]
        >>> image, black = np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1))
        >>> deletion(bright, image, np.array([[[4, 3], [2, 1]]]), black, steps=4)
        array([0.125])
        >>> deletion(bright, image, np.array([[[1, 2], [3, 4]]]), black, steps=4)
        array([0.875])
    """
    return deletion_curves(
        score, images, maps, baselines, steps=steps, seed=seed, batch_size=batch_size
    ).areas


def insertion(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    baselines: ArrayLike,
    *,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """Return the area under the insertion curve. Higher is better.

    Pixels of the picture replace the baseline, highest first; a faithful map makes the score rise
    early. The paper starts at a blurred picture: on black, pixels make edges of no picture.

    Args:
        score: As in `deletion`.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        maps: (B, *space). Only the order of values counts.
        baselines: (B, *space, C) or broadcastable to it: the start, such as a blur.
        steps: Number of equal shares in which pixels are inserted; None as in `deletion`.
        seed: Of the order of equal values.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, the mean score, in the range of the score: 0 to 1 for a probability.

    Raises:
        MetricError: As in `deletion`.

    Source:
        V. Petsiuk, A. Das, K. Saenko: RISE, 2018, arXiv:1806.07421.

    Example:
        >>> image, black = np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1))
        >>> first = lambda images, rows: images[:, 0, 0, 0]
        >>> insertion(first, image, np.array([[[4, 3], [2, 1]]]), black, steps=4)
        array([0.875])
    """
    return insertion_curves(
        score, images, maps, baselines, steps=steps, seed=seed, batch_size=batch_size
    ).areas


def deletion_curves(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    baselines: ArrayLike,
    *,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 8,
) -> Curves:
    """Return the scores from the picture to the baseline; arguments as in `deletion`."""
    images = inputs.pictures(images)
    baselines = inputs.baselines(baselines, images)
    return _curves(score, images, baselines, inputs.maps(maps, images), steps, seed, batch_size)


def insertion_curves(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    baselines: ArrayLike,
    *,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 8,
) -> Curves:
    """Return the scores from the baseline to the picture; arguments as in `insertion`."""
    images = inputs.pictures(images)
    baselines = inputs.baselines(baselines, images)
    return _curves(score, baselines, images, inputs.maps(maps, images), steps, seed, batch_size)


def _curves(
    score: Score,
    start: np.ndarray,
    end: np.ndarray,
    maps: np.ndarray,
    steps: int | None,
    seed: int,
    batch_size: int,
) -> Curves:
    """Replace the pixels of ``start`` by those of ``end``, the map's highest first."""
    count, pixels = len(start), maps[0].size
    steps = min(_STEPS, pixels) if steps is None else inputs.count(steps, "steps", high=pixels)
    until = np.rint(np.linspace(0, pixels, steps + 1)).astype(int)
    order = inputs.highest_first(maps, seed)

    def replaced() -> Iterator[inputs.Variant]:
        for row in range(count):
            now, then = (np.array(a[row]).reshape(pixels, -1) for a in (start, end))
            for first, last in zip([0, *until[:-1]], until, strict=True):
                moved = order[row, first:last]
                now[moved] = then[moved]
                yield row, now.reshape(start.shape[1:]).copy()

    result = inputs.all_scores(score, replaced(), (count, steps + 1), batch_size)
    return Curves(until / pixels, result)


def average_drop(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    baselines: ArrayLike,
    *,
    batch_size: int = 8,
) -> np.ndarray:
    """Return the drop of the score, in percent, on the masked picture. Lower is better.

    The map, with negative values set to 0 and its peak scaled to 1, blends the picture into the
    baseline. With a black baseline this is the paper's product of picture and map.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``, a probability: at least 0.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        maps: (B, *space). One without a positive value hides all, a constant one shows all.
        baselines: (B, *space, C) or broadcastable to it: the pixels where the map is 0.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, ``100 max(0, y - o) / y``, 0 to 100 for each picture; 0 where the picture's
        own score y is 0. Their mean is the paper's "average drop %".

    Raises:
        MetricError: Arrays do not fit or are not finite, or a score is negative.

    Source:
        A. Chattopadhay, A. Sarkar, P. Howlader, V. N. Balasubramanian: Grad-CAM++, 2018,
        arXiv:1710.11063.

    Example:
        >>> first = lambda images, rows: images[:, 0, 0, 0]
        >>> average_drop(first, np.ones((1, 1, 2, 1)), np.array([[[1.0, 4.0]]]), 0.0)
        array([75.])
    """
    whole, shown = _seen(score, images, maps, baselines, batch_size)
    lost = np.maximum(whole - shown, 0.0)
    return 100.0 * np.divide(lost, whole, out=np.zeros_like(whole), where=whole > 0)


def increase_in_confidence(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    baselines: ArrayLike,
    *,
    batch_size: int = 8,
) -> np.ndarray:
    """Return whether the masked picture scores above the whole one. Higher is better.

    Args:
        score: As in `average_drop`.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        maps: (B, *space).
        baselines: (B, *space, C) or broadcastable to it.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, 100 where it is higher and 0 where it is not. Their mean is the paper's
        "% increase in confidence".

    Raises:
        MetricError: As in `average_drop`.

    Source:
        A. Chattopadhay, A. Sarkar, P. Howlader, V. N. Balasubramanian: Grad-CAM++, 2018,
        arXiv:1710.11063.

    Example:
        >>> less = lambda images, rows: images[:, 0, 0, 0] / images.sum(axis=(1, 2, 3))
        >>> increase_in_confidence(less, np.ones((1, 1, 2, 1)), np.array([[[4.0, 1.0]]]), 0.0)
        array([100.])
    """
    whole, shown = _seen(score, images, maps, baselines, batch_size)
    return 100.0 * (shown > whole)


def _seen(
    score: Score, images: ArrayLike, maps: ArrayLike, baselines: ArrayLike, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores (B,) of the pictures, and of the masked pictures."""
    images = inputs.pictures(images)
    baselines = inputs.baselines(baselines, images)
    positive = np.maximum(inputs.maps(maps, images), 0.0)

    def faded() -> Iterator[inputs.Variant]:
        for row, (image, behind, one) in enumerate(zip(images, baselines, positive, strict=True)):
            shown = (one / (one.max() or 1.0))[..., None]
            yield row, (behind + shown * (image - behind)).astype(images.dtype)

    whole = inputs.of_pictures(score, images, batch_size)
    seen = inputs.all_scores(score, faded(), (len(images),), batch_size)
    if min(whole.min(), seen.min()) < 0:
        raise inputs.refused(
            "Expected scores of 0 or more, such as probabilities, for a drop in percent.",
            f"Got a lowest score of {min(whole.min(), seen.min()):.6g}.",
            "Score the probability of the class, not its logit.",
            "help(keras_saliency.metrics.curves)",
        )
    return whole, seen

"""How confident is the model if it sees only what the map highlights?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs
from keras_saliency.metrics import inputs as variants
from keras_saliency.metrics.inputs import Score

__all__ = ["average_drop", "increase_in_confidence"]


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

    def faded() -> Iterator[variants.Variant]:
        for row, (image, behind, one) in enumerate(zip(images, baselines, positive, strict=True)):
            shown = (one / (one.max() or 1.0))[..., None]
            yield row, (behind + shown * (image - behind)).astype(images.dtype)

    whole = variants.of_pictures(score, images, batch_size)
    seen = variants.all_scores(score, faded(), (len(images),), batch_size)
    if min(whole.min(), seen.min()) < 0:
        raise inputs.refused(
            "Expected scores of 0 or more, such as probabilities, for a drop in percent.",
            f"Got a lowest score of {min(whole.min(), seen.min()):.6g}.",
            "Score the probability of the class, not its logit.",
            "help(keras_saliency.metrics.confidence)",
        )
    return whole, seen

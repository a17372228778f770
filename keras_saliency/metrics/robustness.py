"""How much does a map change under a small change of the picture?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs

__all__ = ["max_sensitivity"]


def max_sensitivity(
    attribute: Callable[[np.ndarray], ArrayLike],
    images: ArrayLike,
    *,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """Return the largest relative change of the map near the picture. Lower is better.

    Args:
        attribute: ``attribute(images (B, H, W, C)) -> (B, H, W)`` or (B, H, W, C): explains noisy
            copies of all pictures, in order. It should explain the class of the picture itself:
            otherwise a change of the predicted class counts as a change of the map.
        images: (B, H, W, C) in the model's input range.
        radius: Half the width of the uniform noise, as a share of (max - min) of that picture.
        samples: Number of copies, with the same draws for every picture.
        seed: Of the draws.

    Returns:
        (B,) float64, the maximum over copies of ``|a(x + d) - a(x)| / |a(x)|`` in the Euclidean
        norm, 0 or more. Where ``a(x)`` is 0 everywhere, it is divided by 1.

    Raises:
        MetricError: Pictures or maps do not fit or are not finite.

    Source:
        C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar: On the (in)fidelity and
        sensitivity of explanations, 2019, arXiv:1901.09392.

    Example:
        >>> result = max_sensitivity(lambda images: images[..., 0], np.ones((1, 4, 4, 1)) * [1, 2])
        >>> bool(0.0 < result[0] <= 0.02)
        True
    """
    images = inputs.pictures(images)
    radius = inputs.number(radius, "radius", 0.0)
    samples = inputs.count(samples, "samples")
    span = np.ptp(images, axis=(1, 2, 3), keepdims=True).astype(np.float64)
    original = inputs.attributions(attribute(images), images)
    size = _norm(original)
    generator, largest = inputs.generator(seed), np.zeros(len(images))
    for _ in range(samples):
        noise = generator.uniform(-radius, radius, images.shape[1:])
        near = inputs.attributions(attribute((images + span * noise).astype(images.dtype)), images)
        largest = np.maximum(largest, _norm(near - original) / np.where(size > 0, size, 1.0))
    return largest


def _norm(values: np.ndarray) -> np.ndarray:
    return np.linalg.norm(values.reshape(len(values), -1), axis=1)

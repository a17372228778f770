"""How few pixels does a map highlight? Of equally faithful maps, the simpler is better."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs

__all__ = ["complexity", "sparseness"]


def complexity(attributions: ArrayLike) -> np.ndarray:
    """Return the entropy of the map's shares. Lower is better.

    Args:
        attributions: (B, *space) or (B, *space, C), of any scale; absolute values count. Maps of
            pictures are (B, H, W).

    Returns:
        (B,) float64, in nat: 0 (one value holds all) to log N (N equal values; a map of zeros
        counts as uniform).

    Raises:
        MetricError: Attributions do not have such a shape or are not finite.

    Source:
        U. Bhatt, A. Weller, J. M. F. Moura: Evaluating and aggregating feature-based model
        explanations, 2020, arXiv:2005.00631.

    Example:
        >>> complexity([[[1, 1], [1, -1]], [[0, 0], [9, 0]]]).round(4)
        array([1.3863, 0.    ])
    """
    shares = _shares(attributions)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return 0.0 - (shares * logs).sum(axis=1)  # 0 - 0 is 0, where -(0) would be -0


def sparseness(attributions: ArrayLike) -> np.ndarray:
    """Return the Gini index of the map's absolute values. Higher is better.

    Args:
        attributions: (B, *space) or (B, *space, C), of any scale; absolute values count. Maps of
            pictures are (B, H, W).

    Returns:
        (B,) float64: 0 (N equal values; a map of zeros counts as uniform) to 1 - 1 / N (one value
        holds all).

    Raises:
        MetricError: Attributions do not have such a shape or are not finite.

    Source:
        P. Chalasani, J. Chen, A. R. Chowdhury, S. Jha, X. Wu: Concise explanations of neural
        networks using adversarial training, 2020, arXiv:1810.06583.

    Example:
        >>> sparseness([[[1, 1], [1, -1]], [[0, 0], [9, 0]]])
        array([0.  , 0.75])
    """
    shares = np.sort(_shares(attributions), axis=1)
    count = shares.shape[1]
    above = (count - np.arange(count) - 0.5) / count
    # N equal shares do not sum to 1 exactly; nothing is less sparse than they are.
    return np.maximum(0.0, 1.0 - 2.0 * (shares * above).sum(axis=1) / shares.sum(axis=1))


def _shares(attributions: ArrayLike) -> np.ndarray:
    """Return absolute values (B, N) divided by their sum; a map of zeros is uniform."""
    values = np.abs(inputs.attributions(attributions)).reshape(len(np.asarray(attributions)), -1)
    peak = values.max(axis=1, keepdims=True)
    # Peak 1 first, so that no sum overflows and no tiny map sums to a denormal.
    values = np.where(peak > 0, values / np.where(peak > 0, peak, 1.0), 1.0)
    return values / values.sum(axis=1, keepdims=True)

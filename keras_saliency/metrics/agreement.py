"""What maps show by themselves: how alike two of a picture are, and how few pixels one highlights.

Neither runs a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.stats import rankdata

from keras_saliency.metrics import inputs

__all__ = ["complexity", "pearson", "rank_correlation", "sparseness", "ssim"]

_ROUNDING = 1e-12  # of their size: sums that differ by less are equal
_WINDOW = {"sigma": 1.5, "radius": 5}  # the paper's Gaussian, 11 along each axis
_K1, _K2 = 0.01, 0.03  # the paper's, as shares of the largest value, which is 1 here


def pearson(one: ArrayLike, other: ArrayLike) -> np.ndarray:
    """Return Pearson's correlation along the last axis.

    Args:
        one: (..., N).
        other: (..., N).

    Returns:
        (...) float64, -1 to 1; 0 where either is constant, up to rounding.

    Example:
        >>> pearson([[1, 2, 3], [5, 5, 5]], [[2, 4, 6], [1, 2, 3]])
        array([1., 0.])
    """
    a, b = _standardised(np.asarray(one, float)), _standardised(np.asarray(other, float))
    return np.clip((a * b).mean(axis=-1), -1.0, 1.0)


def rank_correlation(maps: ArrayLike, others: ArrayLike, *, absolute: bool = False) -> np.ndarray:
    """Return Spearman's rank correlation of two maps of each picture.

    Args:
        maps: (B, H, W), or (B, *space) of other inputs.
        others: (B, *space), on the same pixels.
        absolute: Compare absolute values, so that a map and its opposite are alike.

    Returns:
        (B,) float64, -1 to 1; ties get the mean of their ranks. 0 where either map is constant,
        also if both are: two empty maps are no evidence of agreement.

    Raises:
        MetricError: Maps are not (B, *space) and finite, or differ in shape.

    Example:
        >>> rank_correlation([[[1, 2], [3, 4]]], [[[1, 4], [9, 16]]])
        array([1.])
    """
    a, b = _pair(maps, others)
    if absolute:
        a, b = np.abs(a), np.abs(b)
    ranks = (np.stack([rankdata(one.ravel()) for one in each]) for each in (a, b))
    return pearson(*ranks)


def ssim(maps: ArrayLike, others: ArrayLike, *, absolute: bool = False) -> np.ndarray:
    """Return the structural similarity of two maps of each picture, each scaled to a peak of 1.

    Args:
        maps: (B, H, W), 11 by 11 pixels or more; or (B, *space), 11 or more along each axis, over
            which the window reaches.
        others: (B, *space), on the same pixels.
        absolute: Compare absolute values.

    Returns:
        (B,) float64, -1 to 1, the mean over all windows that lie on the map. Each map is divided by
        its largest absolute value, if that is not 0. Two maps of zeros have 1.

    Raises:
        MetricError: Maps are not (B, *space) and finite, differ in shape, or are too small.

    Source:
        Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, IEEE Transactions on Image Processing
        13(4), 2004.

    Example:
        >>> ramp = np.arange(256.0).reshape(1, 16, 16)
        >>> ssim(ramp, 3 * ramp)
        array([1.])
    """
    a, b = _pair(maps, others)
    side = 2 * _WINDOW["radius"] + 1
    if min(a.shape[1:]) < side:
        window = " by ".join([str(side)] * (a.ndim - 1))
        raise inputs.refused(
            f"Expected maps of {window} pixels or more, the window of structural similarity.",
            f"Got {' by '.join(map(str, a.shape[1:]))} pixels.",
            "Enlarge the maps, or take the rank correlation.",
            "help(keras_saliency.metrics.agreement.ssim)",
        )
    if absolute:
        a, b = np.abs(a), np.abs(b)
    return np.array([_ssim(_peak_one(x), _peak_one(y)) for x, y in zip(a, b, strict=True)])


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    edge = int(_WINDOW["radius"])
    whole = (slice(edge, -edge),) * a.ndim  # where the window lies on the map

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, **_WINDOW)[whole]

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = _K1**2, _K2**2
    level = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((level * (2 * covariance + c2) / (variances + c2)).mean())


def _peak_one(one: np.ndarray) -> np.ndarray:
    return one / (np.abs(one).max() or 1.0)


def _pair(maps: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = inputs.maps(maps), inputs.maps(others)
    if a.shape != b.shape:
        raise inputs.refused(
            "Expected two batches of maps of the same shape.",
            f"Got shapes {a.shape} and {b.shape}.",
            "Compute both at the picture's size.",
        )
    return a, b


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return ``(values - mean) / std`` along the last axis, or 0 where they are constant."""
    low, high = values.min(axis=-1, keepdims=True), values.max(axis=-1, keepdims=True)
    size = np.maximum(np.abs(low), np.abs(high))
    moves = high - low > _ROUNDING * size
    # To 0..1 first: squares of very large or very small values stay in range.
    unit = np.divide(values - low, high - low, out=np.zeros_like(values), where=moves)
    away = unit - unit.mean(axis=-1, keepdims=True)
    return away / np.where(moves, unit.std(axis=-1, keepdims=True), 1.0)


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

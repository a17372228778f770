"""How well one picture's map predicts its human fixations, in NumPy float64.

The metrics are defined as in the MIT/Tuebingen benchmark (M. Kuemmerer, T. S. A. Wallis, M. Bethge,
ECCV 2018, arXiv:1704.08615). What each favours: Z. Bylinskii et al., TPAMI 2019, arXiv:1604.03605.

A map is (H, W) and finite. Points are two arrays of N numbers, rows ``y`` and columns ``x``,
0-based and on the map, ``0 <= y < H``; a fixation's pixel is the floor of its point, and
repetitions count. A data set's figure is the mean over its pictures. Never resize a map of counts:
move the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.errors import FixationError
from keras_saliency.fixation import maps

__all__ = [
    "auc",
    "cc",
    "information_gain",
    "kl_divergence",
    "log_likelihood",
    "nss",
    "others",
    "shuffled_auc",
    "similarity",
]

_EPSILON = 2.2204e-16  # the benchmark's regularisation of the KL divergence, digit for digit


def auc(saliency: ArrayLike, y: ArrayLike, x: ArrayLike) -> float:
    """Return the area under the ROC curve with all pixels as negatives.

    The probability that the map is higher at a fixation than at a pixel drawn at random, ties one
    half. A growing function of the map has the same AUC.

    Args:
        saliency: (H, W), any scale.
        y: (N,) rows in pixels, ``0 <= y < H``.
        x: (N,) columns, ``0 <= x < W``.

    Returns:
        0 to 1; a constant map gives 0.5.

    Raises:
        FixationError: The map is not two-dimensional and finite, or there is no fixation, or one
            lies outside.

    Source:
        T. Judd, K. Ehinger, F. Durand, A. Torralba, ICCV 2009 ("AUC-Judd", with the benchmark's
        handling of ties).

    Example:
        >>> auc([[0, 1], [1, 2]], [1, 0], [1, 1])
        0.6875
    """
    values = maps.finite(saliency, "the saliency map")
    return _area(maps.at(values, y, x), values)


def shuffled_auc(
    saliency: ArrayLike, y: ArrayLike, x: ArrayLike, other_y: ArrayLike, other_x: ArrayLike
) -> float:
    """Return the area under the ROC curve with other pictures' fixations as negatives.

    A map of the centre bias alone gets 0.5: it is as high where people look in other pictures.

    Args:
        saliency: (H, W), any scale.
        y: (N,) rows in pixels, ``0 <= y < H``.
        x: (N,) columns, ``0 <= x < W``.
        other_y: (M,) rows of the fixations of *all other* pictures of the data set, scaled to this
            picture's size (`others` does it).
        other_x: (M,) columns likewise.

    Returns:
        0 to 1; a constant map gives 0.5.

    Raises:
        FixationError: The map is not two-dimensional and finite, or there is no fixation, or no
            other one, or one lies outside.

    Source:
        B. W. Tatler, R. J. Baddeley, I. D. Gilchrist, Vision Research 45(5), 2005; L. Zhang et al.,
        Journal of Vision 8(7):32, 2008.

    Example:
        >>> shuffled_auc([[0, 1], [1, 2]], [1], [1], [0, 1, 1], [0, 0, 1])
        0.8333333333333334
    """
    values = maps.finite(saliency, "the saliency map")
    return _area(maps.at(values, y, x), maps.at(values, other_y, other_x, "of other pictures"))


def nss(saliency: ArrayLike, y: ArrayLike, x: ArrayLike) -> float:
    """Return the normalised scanpath saliency: how high the map is at fixations, in its own std.

    Args:
        saliency: (H, W), any scale and offset.
        y: (N,) rows in pixels, ``0 <= y < H``.
        x: (N,) columns, ``0 <= x < W``.

    Returns:
        The mean over fixations of ``(map - mean) / std``, with the population's standard deviation
        over pixels. 0 is chance; a constant map gives 0.

    Raises:
        FixationError: The map is not two-dimensional and finite, or there is no fixation, or one
            lies outside.

    Source:
        R. J. Peters, A. Iyer, L. Itti, C. Koch, Vision Research 45(18), 2005.

    Example:
        >>> nss([[0, 0], [0, 4]], [1.5], [1.2]).__round__(4)
        1.7321
    """
    return float(maps.at(_standardised(maps.finite(saliency, "the saliency map")), y, x).mean())


def cc(saliency: ArrayLike, truth: ArrayLike) -> float:
    """Return Pearson's correlation, over pixels, of a map with the blurred fixation map.

    Args:
        saliency: (H, W), any scale and offset.
        truth: (H, W), at least 0: fixations under a Gaussian of one degree, such as
            ``maps.blurred(...)`` or ``recording.density()``.

    Returns:
        -1 to 1; 0 if either map is constant.

    Raises:
        FixationError: A map is not two-dimensional and finite, they differ in shape, or the truth
            is negative somewhere.

    Source:
        O. Le Meur, P. Le Callet, D. Barba, Vision Research 47(19), 2007.

    Example:
        >>> cc([[1, 2], [3, 4]], [[0, 2], [4, 6]]).__round__(9)
        1.0
    """
    values, wanted = maps.pair(saliency, truth)
    return float(np.clip((_standardised(values) * _standardised(wanted)).mean(), -1.0, 1.0))


def similarity(saliency: ArrayLike, truth: ArrayLike) -> float:
    """Return SIM, the histogram intersection of two maps, each divided by its sum.

    Args:
        saliency: (H, W), at least 0, such as a density: no minimum is subtracted. All 0 counts as
            uniform, as in the benchmark.
        truth: (H, W), at least 0, not 0 everywhere: the blurred fixation map.

    Returns:
        0 (no overlap) to 1 (equal).

    Raises:
        FixationError: A map is not two-dimensional and finite, is negative somewhere, they differ
            in shape, or the truth is 0 everywhere.

    Source:
        M. J. Swain, D. H. Ballard, IJCV 7, 1991; for saliency: T. Judd, F. Durand, A. Torralba,
        MIT-CSAIL-TR-2012-001.

    Example:
        >>> similarity([[1, 1], [0, 0]], [[2, 0], [2, 0]])
        0.5
    """
    return float(np.minimum(*maps.densities(saliency, truth)).sum())


def kl_divergence(saliency: ArrayLike, truth: ArrayLike) -> float:
    """Return KLD, the divergence of a map from the truth: ``sum q log(eps + q / (p + eps))``.

    Args:
        saliency: (H, W), at least 0; divided by its sum it is ``p``. All 0 counts as uniform, as in
            the benchmark.
        truth: (H, W), at least 0, not 0 everywhere: the blurred fixation map, ``q``.

    Returns:
        0 (equal) or more, in nat (natural logarithm); ``eps`` is 2.2204e-16, so a map that is 0
        where people looked pays about 36 nat times the truth it misses, not infinity.

    Raises:
        FixationError: A map is not two-dimensional and finite, is negative somewhere, they differ
            in shape, or the truth is 0 everywhere.

    Source:
        S. Kullback, R. A. Leibler, 1951; in this form in Z. Bylinskii et al., TPAMI 2019,
        arXiv:1604.03605.

    Example:
        >>> kl_divergence([[1, 1], [1, 1]], [[0, 0], [0, 1]]).__round__(4)  # log(4)
        1.3863
    """
    p, q = maps.densities(saliency, truth)
    return float((q * np.log(_EPSILON + q / (p + _EPSILON))).sum())


def information_gain(
    log_density: ArrayLike, log_baseline: ArrayLike, y: ArrayLike, x: ArrayLike
) -> float:
    """Return the gain of a density over a baseline, by custom the centre bias, in bit a fixation.

    Args:
        log_density: (H, W), natural logarithm of a density over pixels: finite, its exponentials
            sum to 1.
        log_baseline: (H, W) likewise, such as ``CentreBias.log_density(size)``.
        y: (N,) rows in pixels, ``0 <= y < H``.
        x: (N,) columns, ``0 <= x < W``.

    Returns:
        The mean over fixations of ``log2 p - log2 baseline``, in bit; negative where the density is
        the worse of the two.

    Raises:
        FixationError: A map is not two-dimensional and finite, they differ in shape, one is no
            logarithm of a density, or there is no fixation, or one lies outside.

    Source:
        M. Kuemmerer, T. S. A. Wallis, M. Bethge, PNAS 112(52), 2015, arXiv:1409.7686.

    Example:
        >>> p, uniform = np.log([[0.125, 0.125], [0.25, 0.5]]), np.log(np.full((2, 2), 0.25))
        >>> information_gain(p, uniform, [1, 1], [1, 0])
        0.5
    """
    density = maps.log_density(log_density, "the log density")
    baseline = maps.log_density(log_baseline, "the baseline's log density")
    maps.same_shape(density, baseline, "the baseline")
    return float((maps.at(density, y, x) - maps.at(baseline, y, x)).mean() / np.log(2.0))


def log_likelihood(log_density: ArrayLike, y: ArrayLike, x: ArrayLike) -> float:
    """Return the gain of a density over the uniform one, in bit a fixation.

    Counted from the uniform density, the likelihood does not depend on how many pixels the picture
    has; the benchmark's "LL" is this number.

    Args:
        log_density: (H, W), natural logarithm of a density over pixels: finite, its exponentials
            sum to 1.
        y: (N,) rows in pixels, ``0 <= y < H``.
        x: (N,) columns, ``0 <= x < W``.

    Returns:
        The mean over fixations of ``log2 p + log2(H * W)``, in bit; the uniform density gives 0.

    Raises:
        FixationError: The map is not two-dimensional and finite, is no logarithm of a density, or
            there is no fixation, or one lies outside.

    Source:
        M. Kuemmerer, T. S. A. Wallis, M. Bethge, PNAS 112(52), 2015, arXiv:1409.7686.

    Example:
        >>> log_likelihood(np.log([[0.125, 0.125], [0.25, 0.5]]), [1], [1])
        1.0
    """
    density = maps.log_density(log_density, "the log density")
    return float(maps.at(density, y, x).mean() / np.log(2.0) + np.log2(density.size))


def others(recordings: Sequence[Any], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fixations of every other picture, scaled to one: the negatives of `shuffled_auc`.

    Args:
        recordings: One for each picture, with ``.y`` and ``.x`` (N,) in pixels and ``.size``.
        index: Which of them is scored; its own fixations stay out.

    Returns:
        Rows (M,) and columns (M,), float64, inside the picture at ``index``.

    Raises:
        FixationError: No other picture has a fixation.

    Source:
        The scaling is the benchmark's: it preserves each point's share of height and width.

    Example:
        >>> from types import SimpleNamespace as Seen
        >>> small, large = Seen(y=[1], x=[3], size=(2, 4)), Seen(y=[10], x=[0], size=(20, 20))
        >>> [points.tolist() for points in others([small, large], 0)]
        [[1.0], [0.0]]
    """
    size = recordings[index].size
    rest = [one for i, one in enumerate(recordings) if i != index and len(one.y)]
    if not rest:
        raise FixationError(
            "Expected fixations of other pictures, the negatives of shuffled AUC.",
            f"None of the other {len(recordings) - 1} recordings has one.",
            "Pass all recordings of the data set.",
            "help(keras_saliency.fixation.metrics.scores.others)",
        )
    # Product first: then what was below the height stays below it, also after rounding.
    y, x = (
        np.concatenate([np.asarray(getattr(one, n), float) * size[a] / one.size[a] for one in rest])
        for a, n in enumerate("yx")
    )
    return y, x


def _area(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return the share of pairs in which the positive is higher, ties one half."""
    ranked = np.sort(negatives, axis=None)
    below = np.searchsorted(ranked, positives, "left").sum()
    not_above = np.searchsorted(ranked, positives, "right").sum()
    return float((below + not_above) / (2 * len(positives) * ranked.size))  # exact up to here


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return ``(values - mean) / std``, or 0 everywhere for a constant map.

    Constant is what has one value: rounding gives such a map a std that is not quite 0. Moving to
    0..1 first keeps squares of very large or very small values in range and changes nothing else.
    """
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros_like(values)
    unit = (values - low) / (high - low)
    return (unit - unit.mean()) / unit.std()

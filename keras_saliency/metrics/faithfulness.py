"""Do attributions add up to the change of the score when their pixels are removed?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import agreement, inputs
from keras_saliency.metrics.inputs import Score

__all__ = ["completeness_error", "mu_fidelity", "sensitivity_n"]

# A smaller relative difference of float32 scores, or of sums, is rounding.
_STILL = 1e-6
_CELLS = 8  # along each axis, where the caller names no number


def sensitivity_n(
    score: Score,
    images: ArrayLike,
    attributions: ArrayLike,
    baselines: ArrayLike,
    *,
    n: int | float = 0.1,
    samples: int = 100,
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """Return how attributions of random n pixels and score drops correlate. Higher is better.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        attributions: (B, *space), or (B, *space, C), which is summed over channels.
        baselines: (B, *space, C) or broadcastable to it: the values that replace the pixels of a
            set.
        n: Pixels in a set: a count (int), or a share of all, above 0 and below 1 (float). The
            paper draws a curve over it.
        samples: Number of sets, the same for every picture.
        seed: Of the sets.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, Pearson's correlation over the sets, -1 to 1; 0 where the sums or the score do
        not change (a change below a millionth of the score is rounding).

    Raises:
        MetricError: Arrays do not fit or are not finite, or n is not below the number of pixels.

    Source:
        M. Ancona, E. Ceolini, C. Öztireli, M. Gross: Towards better understanding of gradient-based
        attribution methods for deep neural networks, 2018, arXiv:1711.06104.

    Example:
        >>> total = lambda images, rows: images.sum(axis=(1, 2, 3))
        >>> image = np.random.default_rng(0).random((1, 6, 6, 1))
        >>> sensitivity_n(total, image, image, 0.0, n=6).round(6)
        array([1.])
    """
    images = inputs.pictures(images)
    shape = images.shape[1:-1]
    pixels = math.prod(shape)
    size = n
    if isinstance(n, float):
        if not 0 < n < 1:
            raise inputs.option(n, "n", "a whole number, or a share above 0 and below 1")
        size = int(np.clip(round(n * pixels), 1, max(1, pixels - 1)))
    size = inputs.count(size, "n", high=pixels - 1)

    def draw(generator: np.random.Generator) -> np.ndarray:
        chosen = np.zeros(pixels, bool)
        chosen[generator.choice(pixels, size, replace=False)] = True
        return chosen.reshape(shape)

    return _correlations(score, images, attributions, baselines, draw, samples, seed, batch_size)


def mu_fidelity(
    score: Score,
    images: ArrayLike,
    attributions: ArrayLike,
    baselines: ArrayLike,
    *,
    grid_size: int | Literal["each"] | None = None,
    subset: float = 0.2,
    samples: int = 100,
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """Return how attributions of random cells and score drops correlate. Higher is better.

    Cells instead of pixels: a few single pixels hardly change the score of a photograph.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        attributions: (B, *space), or (B, *space, C), which is summed over channels.
        baselines: (B, *space, C) or broadcastable to it: the values that replace the cells of a
            set.
        grid_size: Cells along each axis. None takes 8, or one for each pixel along an axis that
            has fewer; ``"each"`` one for each pixel, as in the paper: for tables, whose neighbours
            mean nothing.
        subset: Share of the cells in a set, above 0 and below 1.
        samples: Number of sets, the same for every picture.
        seed: Of the sets.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, Pearson's correlation over the sets, -1 to 1; 0 where the sums or the score do
        not change (a change below a millionth of the score is rounding).

    Raises:
        MetricError: Arrays do not fit or are not finite, or there are more cells than pixels
            along an axis, or a set holds none or all.

    Source:
        U. Bhatt, A. Weller, J. M. F. Moura: Evaluating and aggregating feature-based model
        explanations, 2020, arXiv:2005.00631 (there over features; the grid is customary for
        pictures).

    Example:
        >>> total = lambda images, rows: images.sum(axis=(1, 2, 3))
        >>> image = np.random.default_rng(0).random((1, 6, 6, 1))
        >>> mu_fidelity(total, image, image, 0.0, grid_size=3).round(6)
        array([1.])
    """
    images = inputs.pictures(images)
    shape = images.shape[1:-1]
    if grid_size is None:
        counts = [min(_CELLS, n) for n in shape]
    elif isinstance(grid_size, str):
        inputs.choice(grid_size, "grid_size", ("each",))
        counts = list(shape)
    else:
        counts = [inputs.count(grid_size, "grid_size", low=2, high=min(shape))] * len(shape)
    cells = math.prod(counts)
    size = round(inputs.number(subset, "subset", 0.0, 1.0) * cells)
    size = inputs.count(size, "subset (in cells)", high=cells - 1)
    along = np.ix_(*[np.arange(n) * side // n for n, side in zip(shape, counts, strict=True)])

    def draw(generator: np.random.Generator) -> np.ndarray:
        chosen = np.zeros(cells, bool)
        chosen[generator.choice(cells, size, replace=False)] = True
        return chosen.reshape(counts)[along]

    return _correlations(score, images, attributions, baselines, draw, samples, seed, batch_size)


def completeness_error(
    score: Score,
    images: ArrayLike,
    attributions: ArrayLike,
    baselines: ArrayLike,
    *,
    batch_size: int = 8,
) -> np.ndarray:
    """Return how far attributions miss the score gap they should sum to. Lower is better.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
        attributions: (B, *space) or (B, *space, C).
        baselines: (B, *space, C) or broadcastable to it: that of the attributions.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, ``|sum(attributions) - gap| / |gap|``, 0 or more, gap the score above that of
        the baseline. Where the gap is 0 (below a millionth of the scores is rounding): 0 if the sum
        is too, else NaN, as no share of 0 is an error.

    Raises:
        MetricError: Arrays do not fit or are not finite.

    Source:
        M. Sundararajan, A. Taly, Q. Yan: Axiomatic attribution for deep networks, 2017,
        arXiv:1703.01365 (the axiom).

    Example:
        >>> total = lambda images, rows: images.sum(axis=(1, 2, 3))
        >>> image = np.ones((1, 2, 2, 1))
        >>> completeness_error(total, image, 0.75 * image, 0.0)
        array([0.25])
    """
    images = inputs.pictures(images)
    baselines = inputs.baselines(baselines, images)
    values = inputs.attributions(attributions, images)
    whole = inputs.of_pictures(score, images, batch_size)
    behind = inputs.of_pictures(score, baselines, batch_size)
    gap, values = whole - behind, values.reshape(len(values), -1)
    sums, size = values.sum(axis=1), np.abs(whole) + np.abs(behind)
    level = np.abs(gap) <= _STILL * size
    nothing = np.abs(sums) <= _STILL * (size + np.abs(values).sum(axis=1))
    missed = np.abs(sums - gap) / np.where(level, 1.0, np.abs(gap))
    return np.where(level, np.where(nothing, 0.0, np.nan), missed)


def _correlations(
    score: Score,
    images: np.ndarray,
    attributions: ArrayLike,
    baselines: ArrayLike,
    draw: Callable[[np.random.Generator], np.ndarray],
    samples: int,
    seed: int,
    batch_size: int,
) -> np.ndarray:
    """Correlate, over drawn sets of pixels (*space), the sum of attributions and the score drop."""
    baselines = inputs.baselines(baselines, images)
    values = inputs.attributions(attributions, images)
    values = values.sum(axis=-1) if values.ndim == images.ndim else values
    samples = inputs.count(samples, "samples", low=2)
    sums = np.zeros((len(images), samples))

    def without() -> Iterator[inputs.Variant]:
        for row, (image, behind) in enumerate(zip(images, baselines, strict=True)):
            generator = inputs.generator(seed)
            for number in range(samples):
                chosen = draw(generator)
                sums[row, number] = values[row][chosen].sum()
                yield row, np.where(chosen[..., None], behind, image)

    whole = inputs.of_pictures(score, images, batch_size)[:, None]
    left = inputs.all_scores(score, without(), sums.shape, batch_size)
    size = np.maximum(np.abs(left).max(axis=1, keepdims=True), np.abs(whole))
    still = np.ptp(left, axis=1, keepdims=True) <= _STILL * size
    return agreement.pearson(sums, np.where(still, 0.0, whole - left))

"""ROAD, remove and debias: deletion with pixels imputed from their neighbours along each axis.

A black pixel reveals to the model that pixels were removed, and their shape. An imputed pixel
reveals almost nothing, so the score falls only for the missing content.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs
from keras_saliency.metrics.inputs import Score

__all__ = ["Removals", "impute", "removals", "road"]


def _neighbours(axes: int) -> list[tuple[tuple[int, ...], float]]:
    """Return the steps to a pixel's neighbours and their weights, together 1.

    As in the paper, where there are two axes: a neighbour beside it weighs twice as much as one
    that is diagonal along one more axis: 1/6 and 1/12.
    """
    steps = [step for step in itertools.product((-1, 0, 1), repeat=axes) if any(step)]
    halved = [2.0 ** (np.count_nonzero(step) - 1) for step in steps]
    total = sum(1 / one for one in halved)
    return [(step, 1 / (total * one)) for step, one in zip(steps, halved, strict=True)]


@dataclass(frozen=True, eq=False)
class Removals:
    """The score after shares of the pixels were removed.

    Attributes:
        removed: (P,), in percent.
        most_first: (B, P) float64, the map's highest removed ("MoRF"): lower is better.
        least_first: (B, P) float64, its lowest removed ("LeRF"): higher is better.
    """

    removed: np.ndarray
    most_first: np.ndarray
    least_first: np.ndarray


def road(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    *,
    removed: Sequence[float] = (20, 40, 60, 80),
    noise: float = 0.01,
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """Return the score drop for the highest pixels less that for the lowest. Higher is better.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``; a probability in the paper.
        images: (B, H, W, C) in the model's input range, or other inputs whose values have
            neighbours, (B, *space, C).
        maps: (B, *space). Only the order of values counts.
        removed: Percents of the pixels to remove, above 0 and below 100; the result is the mean
            over these.
        noise: Standard deviation of the noise on imputed pixels, as a share of (max - min) of that
            picture.
        seed: Of the noise, and of the order of equal values; the same for every picture.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, ``(LeRF - MoRF) / 2``: -0.5 to 0.5 for a probability; a constant map has 0.

    Raises:
        MetricError: Arrays do not fit or are not finite, or no pixel or all would be removed.

    Source:
        Y. Rong, T. Leemann, V. Borisov, G. Kasneci, E. Kasneci: A consistent and efficient
        evaluation strategy for attribution methods, 2022, arXiv:2202.00449.

    Example:
        >>> image = np.zeros((1, 8, 8, 1))
        >>> image[0, 2:4, 2:4] = 1
        >>> spot = lambda images, rows: images[:, 2:4, 2:4].mean(axis=(1, 2, 3))
        >>> bool(road(spot, image, image[..., 0])[0] > 0.4)
        True
    """
    result = removals(
        score, images, maps, removed=removed, noise=noise, seed=seed, batch_size=batch_size
    )
    return (result.least_first - result.most_first).mean(axis=1) / 2.0


def removals(
    score: Score,
    images: ArrayLike,
    maps: ArrayLike,
    *,
    removed: Sequence[float] = (20, 40, 60, 80),
    noise: float = 0.01,
    seed: int = 0,
    batch_size: int = 8,
) -> Removals:
    """Return the scores with the highest pixels removed and the lowest; arguments as in `road`."""
    images = inputs.pictures(images)
    values = inputs.maps(maps, images)
    noise = inputs.number(noise, "noise", 0.0)
    pixels = values[0].size
    if np.ndim(removed) != 1:
        raise inputs.option(removed, "removed", "percents in a row, such as (20, 40)")
    percents = [inputs.number(one, "removed", 0.0, 100.0) for one in removed]
    # Removing none leaves the picture as it is; removing all leaves nothing to impute from.
    counts = [
        inputs.count(round(p / 100 * pixels), f"removed (pixels of {pixels})", high=pixels - 1)
        for p in percents
    ]
    inputs.count(len(counts), "len(removed)")
    orders = [inputs.highest_first(one, seed) for one in (values, -values)]
    drawn = inputs.generator(seed).standard_normal(images.shape[1:])

    def imputed() -> Iterator[inputs.Variant]:
        for row, image in enumerate(images):
            disturbance = noise * np.ptp(image) * drawn
            for order in orders:
                for count in counts:
                    missing = np.zeros(pixels, bool)
                    missing[order[row, :count]] = True
                    missing = missing.reshape(image.shape[:-1])
                    filled = impute(image, missing) + missing[..., None] * disturbance
                    yield row, filled.astype(images.dtype)

    shape = (len(images), 2, len(counts))
    result = inputs.all_scores(score, imputed(), shape, batch_size)
    return Removals(np.array(percents), result[:, 0], result[:, 1])


def impute(image: ArrayLike, missing: ArrayLike) -> np.ndarray:
    """Return a picture whose missing pixels are weighted means of their eight neighbours.

    One linear system solves for all missing pixels, so each is a mean of known ones near and far.
    At the picture's edge the weights of the existing neighbours are raised to sum to 1. A value of
    a signal has two neighbours, so that gaps are bridged linearly; a voxel has 26.

    Args:
        image: (H, W, C), finite; or (*space, C).
        missing: (*space) bool; one pixel or more is not missing.

    Returns:
        (*space, C) float64.

    Raises:
        MetricError: Shapes do not fit, or every pixel is missing.

    Example:
        >>> impute(np.array([[[1.0], [9.0], [3.0]]]), np.array([[False, True, False]]))[0, :, 0]
        array([1., 2., 3.])
    """
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    result, lost = np.array(image, np.float64), np.asarray(missing)
    fits = result.ndim > 1 and lost.shape == result.shape[:-1]
    if not fits or lost.dtype != bool or lost.all():
        raise inputs.refused(
            "Expected a picture (H, W, C), or (*space, C), and a bool mask (*space) of its missing "
            "pixels, not all.",
            f"Got shape {result.shape} and {lost.dtype} of shape {lost.shape}, and "
            f"{np.count_nonzero(lost)} of {lost.size} are missing.",
            "Leave one pixel or more from which to impute.",
            "help(keras_saliency.metrics.road.impute)",
        )
    if not lost.any():
        return result
    places = np.nonzero(lost)
    count = len(places[0])
    unknown = np.full(lost.shape, -1)
    unknown[lost] = np.arange(count)
    diagonal, known = np.zeros(count), np.zeros((count, result.shape[-1]))
    rows, columns, weights = [], [], []
    for step, weight in _neighbours(lost.ndim):
        near = [place + one for place, one in zip(places, step, strict=True)]
        inside = np.ones(count, bool)
        for place, length in zip(near, lost.shape, strict=True):
            inside &= (place >= 0) & (place < length)
        at = np.flatnonzero(inside)
        to = tuple(place[at] for place in near)
        diagonal[at] += weight
        number = unknown[to]
        here = number < 0
        known[at[here]] += weight * result[tuple(place[here] for place in to)]
        rows.append(at[~here])
        columns.append(number[~here])
        weights.append(np.full(len(rows[-1]), -weight))
    own = np.arange(count)
    entries = np.concatenate([diagonal, *weights])
    indices = np.concatenate([own, *rows]), np.concatenate([own, *columns])
    matrix = csc_array((entries, indices), shape=(count, count))
    # Symmetric and positive definite: an ordering for such matrices is several times faster.
    solver = splu(matrix, "MMD_AT_PLUS_A", 0.0, options={"SymmetricMode": True})
    result[lost] = solver.solve(known)
    return result

"""Infidelity and max-sensitivity (Yeh et al. 2019, arXiv:1901.09392).

Do attributions predict what a meaningful change of the picture does to the score, and do they
change when the picture hardly does?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import inputs
from keras_saliency.metrics.inputs import Score

__all__ = ["infidelity", "max_sensitivity"]

# Picture (*space, C) and generator, to the values subtracted from the picture, (*space, C).
Perturbation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def infidelity(
    score: Score,
    images: ArrayLike,
    attributions: ArrayLike,
    baselines: ArrayLike,
    *,
    perturbation: Literal["square", "subset", "gaussian"] | Perturbation = "square",
    contributions: bool = False,
    normalize: bool | Literal["positive"] = False,
    noise: float = 0.2,
    samples: int = 100,
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """Return the mean squared error of attributions as to the score's change. Lower is better.

    Args:
        score: ``score(images (N, *space, C), rows (N,)) -> (N,)``.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C), ``x``.
        attributions: (B, *space, C), or (B, *space), the same for all channels, ``a``.
        baselines: (B, *space, C) or broadcastable to it: the values in a square.
        perturbation: The values subtracted from the picture, ``I``: ``"square"``, picture minus
            baseline in a random square, its side 1 to half of the shortest side, 0 outside (of
            one spatial axis it is an interval, of three a cube); ``"subset"``, the same in a random
            set of positions, 1 to half of them: for tables, whose neighbours mean nothing;
            ``"gaussian"``, noise; or a function ``(image, generator) -> (*space, C)``.
        contributions: Attributions hold the factor ``x - baseline`` already, as those that sum to
            the score gap do; ``I`` is then 1 in the square or set, 0 outside. Those two only.
        normalize: Scale the attributions first by the best factor of each picture, so that maps of
            different scale can be compared. ``"positive"`` takes a factor of 0 or more;
            True any, as captum does: a map and its opposite are then one.
        noise: Standard deviation of ``"gaussian"``, as a share of (max - min) of that picture.
        samples: Number of perturbations, of the same draws for every picture.
        seed: Of the draws.
        batch_size: Number of pictures scored at once.

    Returns:
        (B,) float64, the mean of ``(sum(I a) - (score(x) - score(x - I)))^2``, 0 or more, in the
        score's unit squared. Normalized, attributions of 0 have the mean square of the change.

    Raises:
        MetricError: Arrays do not fit or are not finite, no such perturbation, or contributions
            with a perturbation other than squares and sets.

    Source:
        C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar: On the (in)fidelity and
        sensitivity of explanations, 2019, arXiv:1901.09392: square removal, and the subset of the
        difference to the baseline. The distribution of a set's size is this package's.

    Example:
        >>> total = lambda images, rows: images.sum(axis=(1, 2, 3))
        >>> image = np.random.default_rng(0).random((1, 6, 6, 1))
        >>> infidelity(total, image, np.ones((1, 6, 6)), 0.0).round(9)  # the gradient
        array([0.])
        >>> infidelity(total, image, image, 0.0, contributions=True).round(9)
        array([0.])
    """
    images = inputs.pictures(images)
    baselines = inputs.baselines(baselines, images)
    values = inputs.attributions(attributions, images)
    values = values[..., None] if values.ndim < images.ndim else values
    samples = inputs.count(samples, "samples")
    noise = inputs.number(noise, "noise", 0.0)
    if not isinstance(normalize, bool):
        inputs.choice(normalize, "normalize", ("positive",))
    if not callable(perturbation):
        inputs.choice(perturbation, "perturbation", (*_REMOVED, "gaussian"))
    if contributions and (callable(perturbation) or perturbation not in _REMOVED):
        raise inputs.refused(
            "Expected perturbation='square' or 'subset' with contributions=True: only there the "
            "change is the factor picture minus baseline that contributions hold.",
            f"Got perturbation={perturbation!r}.",
            "Take perturbation='square', or attributions without that factor.",
            "help(keras_saliency.metrics.infidelity)",
        )
    said = np.zeros((len(images), samples))

    def changed() -> Iterator[inputs.Variant]:
        for row, (image, behind) in enumerate(zip(images, baselines, strict=True)):
            generator = inputs.generator(seed)
            for number in range(samples):
                if not callable(perturbation) and perturbation in _REMOVED:
                    removed = _REMOVED[perturbation](image.shape, generator)
                    taken = removed if contributions else removed * (image - behind)
                    left = np.where(removed, behind, image)
                else:
                    taken = _taken(perturbation, image, noise, generator)
                    left = (image - taken).astype(images.dtype)
                # A map stands for every channel; a contribution is the whole pixel's.
                taken = taken if contributions else taken.astype(np.float64)
                said[row, number] = (taken * values[row]).sum()
                yield row, left

    whole = inputs.of_pictures(score, images, batch_size)[:, None]
    happened = whole - inputs.all_scores(score, changed(), said.shape, batch_size)
    if normalize:
        size = (said**2).sum(axis=1, keepdims=True)
        along = (said * happened).sum(axis=1, keepdims=True)
        factor = np.divide(along, size, out=np.zeros_like(size), where=size > 0)
        said *= np.maximum(factor, 0.0) if normalize == "positive" else factor
    return ((said - happened) ** 2).mean(axis=1)


def _taken(
    perturbation: str | Perturbation, image: np.ndarray, noise: float, draw: np.random.Generator
) -> np.ndarray:
    if not callable(perturbation):
        return noise * np.ptp(image) * draw.standard_normal(image.shape)
    result = np.asarray(perturbation(image, draw), np.float64)
    if result.shape != image.shape or not np.isfinite(result).all():
        raise inputs.refused(
            f"Expected perturbation(image, generator) to return finite numbers of shape "
            f"{image.shape}.",
            f"Got shape {result.shape}"
            + (" with NaN or infinity." if result.shape == image.shape else "."),
            "Return the values to subtract from the picture.",
            "help(keras_saliency.metrics.infidelity)",
        )
    return result


def _square(shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    """Return a bool mask (*space, 1) of a random square inside the picture."""
    space = shape[:-1]
    side = int(draw.integers(1, max(1, min(space) // 2), endpoint=True))
    starts = [int(draw.integers(0, n - side, endpoint=True)) for n in space]
    mask = np.zeros((*space, 1), bool)
    mask[tuple(slice(start, start + side) for start in starts)] = True
    return mask


def _subset(shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    """Return a bool mask (*space, 1) of a random set of positions, 1 to half of all."""
    count = math.prod(shape[:-1])
    size = int(draw.integers(1, max(1, count // 2), endpoint=True))
    mask = np.zeros(count, bool)
    mask[draw.choice(count, size, replace=False)] = True
    return mask.reshape(*shape[:-1], 1)


_REMOVED = {"square": _square, "subset": _subset}  # where the baseline replaces the picture


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
        attribute: ``attribute(images (B, *space, C)) -> (B, *space)`` or (B, *space, C): explains
            noisy copies of all pictures, in order. It should explain the class of the picture
            itself: otherwise a change of the predicted class counts as a change of the map.
        images: (B, H, W, C) in the model's input range, or other inputs, (B, *space, C).
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
    every = tuple(range(1, images.ndim))
    span = np.ptp(images, axis=every, keepdims=True).astype(np.float64)
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

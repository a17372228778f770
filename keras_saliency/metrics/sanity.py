"""Does a map depend on the model's trained weights? One that does not shows only the picture.

A map that hardly changes when weights are randomised, labels are shuffled or another class is
explained is no explanation, however convincing it looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.metrics import agreement, inputs
from keras_saliency.metrics.randomization import randomized

__all__ = [
    "Cascade",
    "RandomLabels",
    "cascading_randomization",
    "random_label_similarity",
    "random_logit",
]

Maps = Callable[[Any], ArrayLike]  # a model to maps (B, H, W), always of the same pictures


@dataclass(frozen=True, eq=False)
class Cascade:
    """Similarity of maps while layers are randomised, one after another. Lower is better.

    Attributes:
        layers: Paths of the L layers, in the order in which they were randomised: output first.
        similarity: (L, B) rank correlation with the maps of the original model.
        absolute: (L, B) the same of absolute values.
        ssim: (L, B) structural similarity of absolute values, or None if not requested.
    """

    layers: tuple[str, ...]
    similarity: np.ndarray
    absolute: np.ndarray
    ssim: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class RandomLabels:
    """Similarity of a model's maps to those of a twin trained on shuffled labels.

    Attributes:
        similarity: (B,) rank correlation. Lower is better.
        absolute: (B,) the same of absolute values.
        losses: Final training loss, with the labels and with shuffled ones. The comparison is
            meaningful only if both models fit their labels, so train long enough.
    """

    similarity: np.ndarray
    absolute: np.ndarray
    losses: tuple[float, float]


def cascading_randomization(
    model: Any,
    maps: Maps,
    *,
    how: Literal["shuffle", "draw"] = "shuffle",
    seed: int = 0,
    ssim: bool = False,
) -> Cascade:
    """Return the similarity of maps while layers are randomised, from output to input.

    The model's weights are restored at the end, also after an exception.

    Args:
        model: A built Keras model.
        maps: ``maps(model) -> (B, H, W)``. It should explain one class throughout: the predicted
            class changes with the weights.
        how: As in `randomization.randomized`.
        seed: Of the new weights.
        ssim: Compute the structural similarity too; maps need 11 by 11 pixels.

    Returns:
        Similarities (L, B) after each of L layers. A constant map has rank correlation 0.

    Raises:
        MetricError: No layer has weights, or maps are not (B, H, W) and finite.

    Source:
        J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim: Sanity checks for
        saliency maps, 2018, arXiv:1810.03292.

    Example:
        >>> maps = lambda model: explain(model, img, "input_x_gradient", target=0).values
        >>> result = cascading_randomization(model, maps)
        >>> result.layers
        ('classes', 'backbone/conv5_block3_out')
        >>> result.similarity.shape
        (2, 1)
    """
    original = np.array(maps(model), np.float64)
    paths, rows = [], []
    with randomized(model, how=how, seed=seed) as steps:
        for path in steps:
            now = np.asarray(maps(model))
            row = [agreement.rank_correlation(original, now, absolute=a) for a in (False, True)]
            if ssim:
                row.append(agreement.ssim(original, now, absolute=True))
            paths.append(path)
            rows.append(row)
    similarity, absolute, *rest = np.stack(rows, axis=1)
    return Cascade(tuple(paths), similarity, absolute, *rest)


def random_label_similarity(
    make_model: Callable[[], Any],
    x: ArrayLike,
    y: ArrayLike,
    maps: Maps,
    *,
    fit_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> RandomLabels:
    """Train a model on labels and a twin on shuffled ones, and compare their maps.

    Both start from the same weights. To reproduce the numbers, seed Keras before the call
    (``keras.utils.set_random_seed``): it draws the initial weights and the order of batches.

    Args:
        make_model: ``make_model() -> model``, built and compiled, anew at each call.
        x: Training pictures (N, H, W, C).
        y: Their labels (N, ...).
        maps: ``maps(model) -> (B, H, W)``, always of the same pictures and classes.
        fit_options: For ``model.fit(x, y, **fit_options)``, such as epochs.
        seed: Of the permutation of the labels.

    Returns:
        Similarities (B,) and both losses.

    Raises:
        MetricError: There are not as many labels as pictures, two or more, or maps are not
            (B, H, W) and finite.

    Source:
        J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim: Sanity checks for
        saliency maps, 2018, arXiv:1810.03292 (data randomisation).

    Example:
        >>> result = random_label_similarity(make_model, x, y, maps)  # doctest: +SKIP
        >>> result.similarity.mean(), result.losses  # doctest: +SKIP
    """
    pictures, labels = np.asarray(x), np.asarray(y)
    if labels.ndim == 0 or len(pictures) != len(labels) or len(labels) < 2:
        raise inputs.refused(
            "Expected a label for each picture, and two or more pictures.",
            f"Got x of shape {pictures.shape} and y of shape {labels.shape}.",
            "Pass the arrays that the model is trained on.",
            "help(keras_saliency.metrics.sanity.random_label_similarity)",
        )
    options = {"verbose": 0, **(fit_options or {})}
    shuffled = labels[inputs.generator(seed).permutation(len(labels))]
    first: list[np.ndarray] | None = None
    result, losses = [], []
    for wanted in (labels, shuffled):
        model = make_model()
        if first is None:
            first = [np.array(one) for one in model.get_weights()]
        model.set_weights(first)
        losses.append(float(model.fit(pictures, wanted, **options).history["loss"][-1]))
        result.append(np.array(maps(model), np.float64))
    signed, absolute = (agreement.rank_correlation(*result, absolute=a) for a in (False, True))
    return RandomLabels(signed, absolute, (losses[0], losses[1]))


def random_logit(
    maps_of: Callable[[np.ndarray], ArrayLike],
    classes: ArrayLike,
    count: int,
    *,
    absolute: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """Return the similarity of a class's map to that of another, random class. Lower is better.

    Args:
        maps_of: ``maps_of(classes (B,)) -> (B, H, W)``, maps of always the same pictures.
        classes: (B,) whole numbers, the explained class of each picture.
        count: Number of classes.
        absolute: Compare absolute values.
        seed: Of the other class: one offset, modulo ``count``, from each picture's own class.

    Returns:
        (B,) float64, rank correlation, -1 to 1; 0 where either map is constant.

    Raises:
        MetricError: There are fewer than two classes, a class is out of range, or maps are not
            (B, H, W) and finite.

    Source:
        L. Sixt, M. Granz, T. Landgraf: When explanations lie, 2020, arXiv:1912.09818 (there by
        structural similarity).

    Example:
        >>> maps_of = lambda classes: explain(model, img, target=classes).values
        >>> random_logit(maps_of, [0], count=3).shape
        (1,)
    """
    count = inputs.count(count, "count", low=2)
    own = np.asarray(classes)
    fits = own.ndim == 1 and np.issubdtype(own.dtype, np.integer)
    if not fits or not ((own >= 0) & (own < count)).all():
        raise inputs.refused(
            f"Expected the class of each picture, (B,) whole numbers from 0 to {count - 1}.",
            f"Got {classes!r}.",
            "Pass explanation.targets, and count= the number of the model's classes.",
            "help(keras_saliency.metrics.sanity.random_logit)",
        )
    away = inputs.generator(seed).integers(1, count)
    other = (own + away) % count
    first = np.array(maps_of(own), np.float64)
    return agreement.rank_correlation(first, maps_of(other), absolute=absolute)

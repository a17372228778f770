"""Does a map depend on the model's trained weights? One that does not shows only the picture.

A map that hardly changes when weights are randomised, labels are shuffled or another class is
explained is no explanation, however convincing it looks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency import _graph
from keras_saliency._graph.model_cache import KerasModel
from keras_saliency.metrics import agreement, inputs

__all__ = [
    "Cascade",
    "RandomLabels",
    "cascading_randomization",
    "random_label_similarity",
    "random_logit",
    "randomized",
]

Maps = Callable[[Any], ArrayLike]  # a model to maps (B, *space), always of the same pictures


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
    model: KerasModel,
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
        maps: ``maps(model) -> (B, *space)``, (B, H, W) of pictures. It should explain one class
            throughout: the predicted class changes with the weights.
        how: As in `randomized`.
        seed: Of the new weights.
        ssim: Compute the structural similarity too; maps need 11 pixels along each axis.

    Returns:
        Similarities (L, B) after each of L layers. A constant map has rank correlation 0.

    Raises:
        MetricError: No layer has weights, or maps are not (B, *space) and finite.

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
        x: Training pictures (N, H, W, C), or whatever the model takes, (N, ...).
        y: Their labels (N, ...).
        maps: ``maps(model) -> (B, *space)``, always of the same pictures and classes.
        fit_options: For ``model.fit(x, y, **fit_options)``, such as epochs.
        seed: Of the permutation of the labels.

    Returns:
        Similarities (B,) and both losses.

    Raises:
        MetricError: There are not as many labels as pictures, two or more, or maps are not
            (B, *space) and finite.

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
        maps_of: ``maps_of(classes (B,)) -> (B, *space)``, maps of always the same pictures.
        classes: (B,) whole numbers, the explained class of each picture.
        count: Number of classes.
        absolute: Compare absolute values.
        seed: Of the other class: one offset, modulo ``count``, from each picture's own class.

    Returns:
        (B,) float64, rank correlation, -1 to 1; 0 where either map is constant.

    Raises:
        MetricError: There are fewer than two classes, a class is out of range, or maps are not
            (B, *space) and finite.

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


@contextlib.contextmanager
def randomized(
    model: KerasModel, *, how: Literal["shuffle", "draw"] = "shuffle", seed: int = 0
) -> Iterator[Iterator[str]]:
    """Randomise a model layer after layer, from the output to the input, for the time of a block.

    Each step adds one layer to those that are randomised already; nested layers are layers of their
    own. Non-trainable state, such as the statistics of batch normalisation, stays. At the end of
    the block the model has its weights again, also after an exception.

    Args:
        model: A built Keras model.
        how: ``"shuffle"`` permutes the numbers of each weight, which preserves their distribution
            (and changes nothing where all are equal); ``"draw"`` replaces them by normal ones of
            mean 0 and the same standard deviation. It leaves a weight whose numbers are all equal,
            such as the scale of a fresh batch normalisation, which would become 0.
        seed: Of the new weights.

    Yields:
        An iterator that randomises the next layer and yields its path.

    Raises:
        MetricError: No layer has weights, or no such ``how``.

    Example:
        >>> with randomized(model) as steps:
        ...     for path in steps:
        ...         scores = model.predict(img[None], verbose=0)
    """
    inputs.choice(how, "how", ("shuffle", "draw"))
    owned = _owned(model)
    if not owned:
        raise inputs.refused(
            "Expected a built model with trainable weights.",
            f"No layer of model {getattr(model, 'name', model)!r} has any.",
            "Call the model once, so that it is built; pass the model, not a function.",
            "help(keras_saliency.metrics.sanity.randomized)",
        )
    saved = [np.array(one) for one in model.get_weights()]
    generator = inputs.generator(seed)

    def steps() -> Generator[str]:
        for path, layer, indices in owned:
            weights = layer.get_weights()
            for index in indices:
                weights[index] = _random(np.asarray(weights[index]), how, generator)
            layer.set_weights(weights)
            yield path

    running = steps()
    try:
        yield running
    finally:
        running.close()  # a step after the block would change the model for good
        model.set_weights(saved)


def _owned(model: Any) -> list[tuple[str, Any, list[int]]]:
    """Return path, layer and indices of its trained weights, output first, each weight once.

    A weight belongs to the innermost layer that lists it, so a layer made of layers owns only its
    own weights.
    """
    last: dict[int, str] = {}
    result = [
        (path, layer) for path, layer in _graph.walk(model) if getattr(layer, "weights", None)
    ]
    for path, layer in result:  # outer layers come before inner ones
        last.update((id(weight), path) for weight in layer.weights)
    owned = []
    for path, layer in reversed(result):
        # Not `trainable_weights`: a frozen layer has none, although it was trained.
        counted = {id(weight) for weight in getattr(layer, "_non_trainable_variables", ())}
        indices = [
            index
            for index, weight in enumerate(layer.weights)
            if last[id(weight)] == path and id(weight) not in counted
        ]
        if indices:
            owned.append((path, layer, indices))
    return owned


def _random(weight: np.ndarray, how: str, generator: np.random.Generator) -> np.ndarray:
    if how == "shuffle":
        return generator.permutation(weight.ravel()).reshape(weight.shape)
    if weight.size and (weight == weight.flat[0]).all():
        return weight
    drawn = generator.normal(0.0, weight.astype(np.float64).std(), weight.shape)
    return drawn.astype(weight.dtype)

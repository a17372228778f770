"""Randomise a model's weights, layer after layer, and restore them at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Literal

import numpy as np

from keras_saliency import _graph
from keras_saliency.metrics import inputs

__all__ = ["randomized"]


@contextlib.contextmanager
def randomized(
    model: Any, *, how: Literal["shuffle", "draw"] = "shuffle", seed: int = 0
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
            "help(keras_saliency.metrics.randomization.randomized)",
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

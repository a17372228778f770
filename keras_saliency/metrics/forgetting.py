"""A model that forgets its weights, layer after layer, and has them back in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Literal

import numpy as np

from keras_saliency import layers
from keras_saliency.metrics import inputs

__all__ = ["randomized"]


@contextlib.contextmanager
def randomized(
    model: Any, *, how: Literal["shuffle", "draw"] = "shuffle", seed: int = 0
) -> Iterator[Iterator[str]]:
    """Randomise a model layer after layer, from the output to the input, for the time of a block.

    Each step adds one layer to those that are randomised already; nested layers are layers of their
    own. What a layer counts instead of learning, such as the statistics of batch normalisation,
    stays. At the end of the block the model has its weights again, also after an exception.

    Args:
        model: A built Keras model.
        how: ``"shuffle"`` permutes the numbers of each weight, which keeps their distribution (and
            changes nothing where all are equal); ``"draw"`` replaces them by normal ones of mean 0
            and their standard deviation, and leaves a weight whose numbers are all equal: of those,
            such as the scale of a fresh batch normalisation, it would make 0.
        seed: Of the new weights.

    Yields:
        An iterator that randomises the next layer and gives its path.

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
            "A model was asked to forget its weights, layer after layer.",
            f"No layer of {getattr(model, 'name', model)!r} has weights to learn.",
            "Call the model once, so that it is built; pass the model, not a function.",
            "help(keras_saliency.metrics.forgetting.randomized)",
        )
    saved = [np.array(one) for one in model.get_weights()]
    generator = np.random.default_rng(seed)

    def steps() -> Generator[str]:
        for path, layer, places in owned:
            weights = layer.get_weights()
            for place in places:
                weights[place] = _random(np.asarray(weights[place]), how, generator)
            layer.set_weights(weights)
            yield path

    running = steps()
    try:
        yield running
    finally:
        running.close()  # a step after the block would change the model for good
        model.set_weights(saved)


def _owned(model: Any) -> list[tuple[str, Any, list[int]]]:
    """Return path, layer and places of its weights to learn, output first, each weight once.

    A weight belongs to the innermost layer that lists it, so a layer made of layers keeps only what
    is its own.
    """
    last: dict[int, str] = {}
    found = [(path, layer) for path, layer in layers.walk(model) if getattr(layer, "weights", None)]
    for path, layer in found:  # those around stand before those inside
        last.update((id(weight), path) for weight in layer.weights)
    owned = []
    for path, layer in reversed(found):
        # Not `trainable_weights`: a frozen layer has none, and it has learnt all the same.
        counted = {id(weight) for weight in getattr(layer, "_non_trainable_variables", ())}
        places = [
            place
            for place, weight in enumerate(layer.weights)
            if last[id(weight)] == path and id(weight) not in counted
        ]
        if places:
            owned.append((path, layer, places))
    return owned


def _random(weight: np.ndarray, how: str, generator: np.random.Generator) -> np.ndarray:
    if how == "shuffle":
        return generator.permutation(weight.ravel()).reshape(weight.shape)
    if weight.size and (weight == weight.flat[0]).all():
        return weight
    drawn = generator.normal(0.0, weight.astype(np.float64).std(), weight.shape)
    return drawn.astype(weight.dtype)

"""The networks that are timed, and pictures for them. Random weights: they cost what others do."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

SIDE = 224
_MODULES = {"MobileNetV2": "mobilenet_v2", "ResNet50": "resnet50", "VGG16": "vgg16"}
NAMES = tuple(_MODULES)


@lru_cache(maxsize=1)  # one at a time: memory is what runs out first
def network(name: str) -> Any:
    """Return a network as users have it, with a softmax at its end."""
    import keras

    keras.utils.set_random_seed(0)
    return getattr(keras.applications, name)(weights=None)


@lru_cache(maxsize=1)
def twin(name: str) -> Any:
    """Return another network of the same weights that gives logits."""
    import keras

    built = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    built.set_weights(network(name).get_weights())
    return built


def pictures(name: str, count: int) -> np.ndarray:
    """Return a batch (B, 224, 224, 3) float32 of noise, preprocessed as the network wants it."""
    import keras

    module = getattr(keras.applications, _MODULES[name])
    pixels = np.random.default_rng(0).uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32)
    # "caffe" gives a view with the channels turned round, which torch does not take.
    return np.ascontiguousarray(module.preprocess_input(pixels, data_format="channels_last"))

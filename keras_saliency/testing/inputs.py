"""Small networks for each kind of input, inputs for them, and cheap options of each method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 2


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(BATCH, *shape)).astype("float32")


def signal() -> Any:
    """Conv1D, batch normalisation and pooling, a dense head."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            keras.Input((32, 3)),
            L.Conv1D(6, 5, activation="relu", padding="same"),
            L.MaxPooling1D(2),
            L.Conv1D(5, 3, activation="relu", padding="same"),
            L.GlobalAveragePooling1D(),
            L.Dense(3),
        ]
    )


def lone_signal() -> Any:
    """A signal without an axis of channels."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            keras.Input((32,)),
            L.Reshape((32, 1)),
            L.Conv1D(4, 5, activation="relu"),
            L.Flatten(),
            L.Dense(3),
        ]
    )


def volume() -> Any:
    """Conv3D."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            keras.Input((6, 8, 10, 1)),
            L.Conv3D(4, 3, activation="relu", padding="same"),
            L.MaxPooling3D(2),
            L.Conv3D(5, 3, activation="relu", padding="same"),
            L.GlobalAveragePooling3D(),
            L.Dense(3),
        ]
    )


def video() -> Any:
    """A picture network for each frame, then a dense head over time."""
    import keras
    from keras import layers as L

    frames = keras.Sequential(
        [
            keras.Input((8, 10, 3)),
            L.Conv2D(4, 3, activation="relu", padding="same"),
            L.MaxPooling2D(2),
            L.Conv2D(5, 3, activation="relu", padding="same"),
            L.GlobalAveragePooling2D(),
        ]
    )
    return keras.Sequential(
        [keras.Input((4, 8, 10, 3)), L.TimeDistributed(frames), L.Flatten(), L.Dense(3)]
    )


def tokens() -> Any:
    """An Embedding, Conv1D."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            L.Embedding(20, 6),
            L.Conv1D(5, 3, activation="relu", padding="same"),
            L.GlobalAveragePooling1D(),
            L.Dense(3),
        ]
    )


def table() -> Any:
    """Dense layers."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            keras.Input((7,)),
            L.Dense(8, activation="relu"),
            L.Dense(6, activation="relu"),
            L.Dense(3),
        ]
    )


def picture() -> Any:
    """Conv2D, without an axis of channels in the input."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            keras.Input((12, 10)),
            L.Reshape((12, 10, 1)),
            L.Conv2D(4, 3, activation="relu", padding="same"),
            L.GlobalAveragePooling2D(),
            L.Dense(3),
        ]
    )


INPUTS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "picture": (picture, (12, 10)),
    "signal": (signal, (32, 3)),
    "lone_signal": (lone_signal, (32,)),
    "volume": (volume, (6, 8, 10, 1)),
    "video": (video, (4, 8, 10, 3)),
    "tokens": (tokens, (12,)),
    "table": (table, (7,)),
}


def options(method: str) -> dict[str, Any]:
    """Return options that make a method cheap, and its result clear, on networks so small.

    Args:
        method: A method's name.
    """
    from keras_saliency import methods

    path = methods.IntegratedGradients(steps=8, baseline=0.0)
    cheap: dict[str, dict[str, Any]] = {
        "blur_integrated_gradients": {"steps": 12, "max_sigma": 3},
        "expected_gradients": {"samples": 6},
        "finer_cam": {"similar": 1},
        "guided_integrated_gradients": {"steps": 8},
        "idgi": {"base": path},
        "integrated_gradients": {"steps": 24, "baseline": 0.0},
        "kernel_shap": {"fill": 0.0, "segments": "grid", "samples": 200},
        "lime": {"fill": 0.0, "segments": "grid", "samples": 150, "ridge": 0.01},
        "occlusion": {"fill": 0.0},
        "rise": {"masks": 400, "fill": 0.0},
        "shapley_sampling": {"fill": 0.0, "segments": "grid", "samples": 2},
        "smooth_grad": {"samples": 3},
        "xrai": {"base": path, "min_area": 4},
    }
    return cheap.get(method, {})


def case(name: str) -> tuple[Any, np.ndarray]:
    """Return a network of random weights and a batch of inputs for it.

    Args:
        name: One of `INPUTS`.
    """
    import keras

    keras.utils.set_random_seed(4)
    make, shape = INPUTS[name]
    if name == "tokens":
        return make(), np.random.default_rng(0).integers(1, 20, (BATCH, *shape))
    return make(), _numbers(*shape)


def planted(
    name: str, given: tuple[Any, np.ndarray] | None = None
) -> tuple[Any, np.ndarray, tuple[slice, ...]]:
    """Return a network of positive weights, an input that is 0 but for a block, and the block.

    Below a threshold nothing passes, so that all evidence is in the block.

    Args:
        name: One of `INPUTS`.
        given: A `case` of that name whose network to give these weights, since other weights
            compile nothing; None makes one.
    """
    model, x = case(name) if given is None else given
    weights = [np.abs(w) if w.ndim > 1 else w - 0.05 for w in model.get_weights()]
    blocks: dict[str, tuple[slice, ...]] = {
        "picture": (slice(3, 6), slice(2, 5)),
        "signal": (slice(10, 16),),
        "lone_signal": (slice(10, 16),),
        "volume": (slice(1, 3), slice(2, 5), slice(4, 7)),
        "video": (slice(1, 3), slice(2, 5), slice(4, 7)),
        "tokens": (slice(4, 7),),
        "table": (slice(3, 4),),
    }
    block = blocks[name]
    x = np.zeros_like(x)
    x[(slice(None), *block)] = 1
    if name == "tokens":
        weights[0] = np.zeros_like(weights[0])
        weights[0][1] = 1.0
    model.set_weights(weights)
    return model, x, block

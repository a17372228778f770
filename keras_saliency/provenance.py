"""What a manifest says about where a map comes from: versions, hashes of model and pictures."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np


@cache
def versions() -> dict[str, str]:
    """Return the versions of this package, Python, Keras, NumPy and Keras' backend."""
    import keras

    found = {"python": platform.python_version()}
    for name in ("keras-saliency", "keras", "numpy", keras.config.backend()):
        found[name] = _version(name)
    return found


def _version(name: str) -> str:
    # TensorFlow goes by several names.
    for candidate in (name, f"{name}-cpu"):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return "unknown"


def of_backend() -> dict[str, Any]:
    """Return the backend and the versions."""
    import keras

    return {"backend": keras.config.backend(), "versions": versions()}


def of_run(model: Any) -> dict[str, Any]:
    """Return the model's name, the backend and the versions."""
    return {"model": model.name, **of_backend()}


def model_hash(model: Any) -> Callable[[], str]:
    """Return a function that gives the SHA-256 of a model's weights, names and shapes.

    For saving, not for each call: hashing 100 MB at each explain() would cost more than a small
    network's gradient. It tells the weights as they stand at that moment.
    """

    def digest() -> str:
        import keras

        sha = hashlib.sha256()
        for variable in model.variables:
            value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
            sha.update(f"{variable.path} {value.dtype} {value.shape}".encode())
            sha.update(value.tobytes())
        return sha.hexdigest()

    return digest


def picture_hash(picture: np.ndarray) -> str:
    """Return the SHA-256 of a picture's dtype, shape and values."""
    sha = hashlib.sha256(f"{picture.dtype} {picture.shape}".encode())
    sha.update(np.ascontiguousarray(picture).tobytes())
    return sha.hexdigest()

"""Provenance for manifests: versions, hashes of model and pictures."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from keras_saliency._engine import weights


@cache
def versions() -> dict[str, str]:
    """Return the versions of this package, Python, Keras, NumPy and Keras' backend."""
    import keras

    result = {"python": platform.python_version()}
    for name in ("keras-saliency", "keras", "numpy", keras.config.backend()):
        result[name] = _version(name)
    return result


def _version(name: str) -> str:
    # TensorFlow goes by several names.
    for candidate in (name, f"{name}-cpu"):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return "unknown"


@cache
def of_backend() -> Mapping[str, Any]:
    """Return the backend and the versions; the same object each time."""
    import keras

    return {"backend": keras.config.backend(), "versions": versions()}


def of_run(model: Any) -> dict[str, Any]:
    """Return the model's name, the backend and the versions."""
    return {"model": model.name, **of_backend()}


def model_hash(model: Any) -> str:
    """Return the SHA-256 of a model's weights, names and shapes, as they are now.

    The hash of unchanged weights is cached.

    Raises:
        ModelError: Another thread changes them, or holds them.
    """
    return weights.digest(model)


def picture_hash(picture: np.ndarray) -> str:
    """Return the SHA-256 of a picture's dtype, shape and values."""
    sha = hashlib.sha256(f"{picture.dtype} {picture.shape}".encode())
    sha.update(np.ascontiguousarray(picture).tobytes())
    return sha.hexdigest()

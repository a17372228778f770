"""Baselines: pictures without content, shared by methods and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency._inputs.kinds import PICTURE, Kind
from keras_saliency.errors import MethodError, did_you_mean

FILLS = ("black", "white", "mean", "blur")

_BLUR = 0.1  # sigma of the blur, as a share of the picture's shorter side


def fill(
    value: Any,
    images: np.ndarray,
    preprocess: Callable[[np.ndarray], np.ndarray] | None,
    kind: Kind = PICTURE,
) -> np.ndarray:
    """Return pictures without content, (B, H, W, C) in the model's input range.

    Args:
        value: ``"black"`` or ``"white"`` (in picture space, preprocessed as pictures are),
            ``"mean"`` (the picture's own mean colour), ``"blur"`` (the picture, blurred), a number
            or an array that broadcasts to the pictures (in the model's input range).
        images: (B, H, W, C) in the model's input range.
        preprocess: The preprocessing of pixels 0..255, or None where the inputs are float arrays
            and it is unknown; black is then 0.
        kind: What the pictures are.

    Raises:
        MethodError: Another word, an array that does not fit, or white where the preprocessing is
            unknown.
    """
    if isinstance(value, str):
        if value in ("mean", "blur"):
            _check_neighbours(value, kind)
        if value == "mean":
            mean = images.mean(axis=resampling.spatial_axes(images), keepdims=True)
            return np.broadcast_to(mean, images.shape)
        if value == "blur":
            return resampling.blur(images, _BLUR * min(images.shape[1:-1]))
        if value in ("black", "white"):
            return _flat(value, images, preprocess)
        raise MethodError(
            f"Expected a fill: {', '.join(map(repr, FILLS))}, a number or an array.",
            f"Got {value!r}.",
            did_you_mean(value, FILLS) or "Pass one of these.",
            "help(keras_saliency._inputs.baselines.fill)",
        )
    try:
        array = np.asarray(value)
        is_bool = array.dtype == bool
        filled = None if is_bool else _spread(array.astype(images.dtype), images, kind)
    except (TypeError, ValueError):
        filled = None
    if filled is None or not np.isfinite(filled).all():
        raise MethodError(
            "Expected a finite number, or a finite array that broadcasts to the pictures "
            f"{images.shape}, as fill.",
            f"Got {type(value).__name__} of shape {np.shape(value)}, which does not fit or is not "
            "finite.",
            "Pass a finite number, or an array that broadcasts to the pictures.",
            "help(keras_saliency._inputs.baselines.fill)",
        )
    return filled


def _spread(array: np.ndarray, images: np.ndarray, kind: Kind) -> np.ndarray:
    """Return an array broadcast to images; one of an input without channels has none either."""
    if array.ndim and not kind.has_channels and not kind.is_embedded:
        with contextlib.suppress(ValueError):
            return np.broadcast_to(array[..., None], images.shape)
    return np.broadcast_to(array, images.shape)


def _check_neighbours(value: str, kind: Kind) -> None:
    """Raise MethodError where a fill mixes values that are not of one kind."""
    if kind.name == "table" or (value == "blur" and not kind.has_neighbours):
        raise MethodError(
            f"Expected a fill for {kind.one}, {kind.shape}: a number or an array.",
            f"Got {value!r}, which mixes values side by side; those of {kind.one} are unrelated.",
            "Pass fill=0.0 (or baseline=0.0), or an array such as the mean of the training data, "
            "data.mean(axis=0).",
            "help(keras_saliency._inputs.baselines.fill)",
        )


def _flat(
    value: str, images: np.ndarray, preprocess: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    if preprocess is None:
        if value == "black":
            return np.zeros_like(images)
        raise MethodError(
            "Expected a known preprocessing for the fill 'white'.",
            "Got float arrays of unknown preprocessing, so the value of white is unknown.",
            "Pass the number that white has in the model's input, or explain(preprocess=...).",
            "help(keras_saliency._inputs.baselines.fill)",
        )
    pixels = np.full((1, *images.shape[1:]), 0 if value == "black" else 255, np.uint8)
    return np.broadcast_to(preprocess(pixels).astype(images.dtype), images.shape)

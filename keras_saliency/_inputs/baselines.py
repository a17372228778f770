"""Baselines: pictures without content, shared by methods and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.errors import MethodError, did_you_mean

FILLS = ("black", "white", "mean", "blur")

_BLUR = 0.1  # sigma of the blur, as a share of the picture's shorter side


def fill(
    value: Any, images: np.ndarray, preprocess: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    """Return pictures without content, (B, H, W, C) in the model's input range.

    Args:
        value: ``"black"`` or ``"white"`` (in picture space, preprocessed as pictures are),
            ``"mean"`` (the picture's own mean colour), ``"blur"`` (the picture, blurred), a number
            or an array that broadcasts to the pictures (in the model's input range).
        images: (B, H, W, C) in the model's input range.
        preprocess: The preprocessing of pixels 0..255, or None where the inputs are float arrays
            and it is unknown; black is then 0.

    Raises:
        MethodError: Another word, an array that does not fit, or white where the preprocessing is
            unknown.
    """
    if isinstance(value, str):
        if value == "mean":
            return np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
        if value == "blur":
            return resampling.blur(images, _BLUR * min(images.shape[1:3]))
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
        filled = None if is_bool else np.broadcast_to(array.astype(images.dtype), images.shape)
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

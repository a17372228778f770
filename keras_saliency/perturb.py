"""What a part of a picture is replaced with, shared by methods and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_saliency import postprocess
from keras_saliency.errors import MethodError, did_you_mean

FILLS = ("black", "white", "mean", "blur")

_BLUR = 0.1  # sigma of the blur, as a share of the picture's shorter side


def fill(
    value: Any, images: np.ndarray, preprocess: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    """Return pictures (B, H, W, C) that hold nothing, in the model's input range.

    Args:
        value: ``"black"`` or ``"white"`` (in picture space, preprocessed as pictures are),
            ``"mean"`` (the picture's own mean colour), ``"blur"`` (the picture, blurred), a number
            or an array that broadcasts to the pictures (in the model's input range).
        images: (B, H, W, C) in the model's input range.
        preprocess: What pixels 0..255 go through, or None where float arrays were given and nobody
            knows it; black is then 0.

    Raises:
        MethodError: Another word, an array that does not fit, or white where nobody knows what
            white is.
    """
    if isinstance(value, str):
        if value == "mean":
            return np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
        if value == "blur":
            return postprocess.blur(images, _BLUR * min(images.shape[1:3]))
        if value in ("black", "white"):
            return _flat(value, images, preprocess)
        raise MethodError(
            f"The filling {value!r} was asked for.",
            f"Known: {', '.join(map(repr, FILLS))}, a number, an array.",
            did_you_mean(value, FILLS) or "Take one of these.",
            "help(keras_saliency.perturb.fill)",
        )
    try:
        array = np.asarray(value, images.dtype)
        filled = np.broadcast_to(array, images.shape)
    except (TypeError, ValueError):
        filled = None
    if filled is None or not np.isfinite(filled).all():
        raise MethodError(
            "A number or an array was asked for as filling.",
            f"{type(value).__name__} of shape {np.shape(value)} was given for pictures "
            f"{images.shape}, or it is not finite.",
            "Give a finite number, or an array that broadcasts to the pictures.",
            "help(keras_saliency.perturb.fill)",
        )
    return filled


def _flat(
    value: str, images: np.ndarray, preprocess: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    if preprocess is None:
        if value == "black":
            return np.zeros_like(images)
        raise MethodError(
            "The filling 'white' was asked for.",
            "Float arrays were given and their preprocessing is not known, so neither is white.",
            "Give the number that white has in the model's input, or pass explain(preprocess=...).",
            "help(keras_saliency.perturb.fill)",
        )
    pixels = np.full((1, *images.shape[1:]), 0 if value == "black" else 255, np.uint8)
    return np.broadcast_to(preprocess(pixels).astype(images.dtype), images.shape)

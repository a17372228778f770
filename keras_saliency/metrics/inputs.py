"""What a metric of maps may be given: a batch of pictures, maps, baselines; or a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.errors import MetricError

_READ = "help(keras_saliency.metrics)"


def refused(asked: str, found: str, fix: str, read: str = _READ) -> MetricError:
    """Return the error to raise: what was asked, what was found, what would work."""
    return MetricError(asked, found, fix, read)


def pictures(images: ArrayLike) -> np.ndarray:
    """Return pictures (B, H, W, C) in their own float type, which is what the model is given."""
    found = np.asarray(images)
    if not np.issubdtype(found.dtype, np.floating):
        found = _as_float(found, "Pictures")
    if found.ndim != 4 or not found.size:
        raise refused(
            "Pictures must be a batch of shape (B, H, W, C), one or more.",
            f"They have shape {found.shape}.",
            "Add an axis to a single picture: image[None].",
        )
    return _finite(found, "Pictures")


def maps(values: ArrayLike, images: np.ndarray | None = None) -> np.ndarray:
    """Return maps (B, H, W) as float64, on the pixels of the pictures where these are given."""
    found = _as_float(values, "Maps")
    if found.ndim != 3 or not found.size:
        raise refused(
            "Maps must be a batch of shape (B, H, W), one or more.",
            f"They have shape {found.shape}.",
            "Pass explanation.values; add an axis to a single map: values[None].",
        )
    _on_the_pixels(found, images, "Maps")
    return _finite(found, "Maps")


def attributions(values: ArrayLike, images: np.ndarray | None = None) -> np.ndarray:
    """Return maps (B, H, W) or attributions (B, H, W, C) as float64."""
    found = _as_float(values, "Attributions")
    if found.ndim not in (3, 4) or not found.size:
        raise refused(
            "Attributions must have shape (B, H, W) or (B, H, W, C).",
            f"They have shape {found.shape}.",
            "Pass explanation.values or explanation.attributions.",
        )
    _on_the_pixels(found, images, "Attributions")
    return _finite(found, "Attributions")


def baselines(values: ArrayLike, images: np.ndarray) -> np.ndarray:
    """Return what replaces each picture, (B, H, W, C) in the pictures' type."""
    try:
        found = np.broadcast_to(np.asarray(values, images.dtype), images.shape)
    except (TypeError, ValueError):
        raise refused(
            f"Baselines must have the shape of the pictures, {images.shape}.",
            f"They have shape {np.shape(values)}.",
            "Give what replaces each picture, in the model's input range, or one number.",
        ) from None
    return _finite(found, "Baselines")


def masks(values: ArrayLike, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return masks (B, H, W) bool, each with a pixel inside."""
    found = np.asarray(values)
    if found.dtype != bool or found.shape != shape:
        raise refused(
            f"{what} must be bool and of the maps' shape {shape}.",
            f"They are {found.dtype} of shape {found.shape}.",
            "Pass masks > 0, at the size of the maps; or boxes (left, top, right, bottom).",
        )
    empty = np.flatnonzero(~found.any(axis=(1, 2)))
    if empty.size:
        raise refused(
            f"{what} must hold a pixel in every picture.",
            f"{empty.size} of {len(found)} hold none; the first is picture {empty[0]}.",
            "Leave these pictures out, or enlarge boxes that lie between pixel centres.",
        )
    return found


def number(value: Any, name: str, low: float, high: float = np.inf) -> float:
    """Return an option that is a finite number, ``low <= value <= high``."""
    good = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (good and np.isfinite(value) and low <= value <= high):
        raise option(value, name, f"a number from {low:g} to {high:g}")
    return float(value)


def count(value: Any, name: str, low: int = 1, high: float = np.inf) -> int:
    """Return an option that is a whole number, ``low <= value <= high``."""
    good = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (good and low <= value <= high):
        raise option(value, name, f"a whole number from {low} to {high:g}")
    return int(value)


def choice(value: Any, name: str, known: tuple[str, ...]) -> None:
    """Refuse an option that is none of the known words."""
    if not (isinstance(value, str) and value in known):
        raise option(value, name, f"one of {known}")


def option(value: Any, name: str, wanted: str) -> MetricError:
    """Return the error to raise for an option that cannot be used."""
    return refused(
        f"{name}={value!r} was asked for.", f"{name} must be {wanted}.", "Take such a value."
    )


def _as_float(values: ArrayLike, what: str) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise refused(
            f"{what} must be an array of numbers.",
            f"A {type(values).__name__} was given that is none.",
            "Pass arrays; pictures of different sizes one at a time.",
        ) from None


def _on_the_pixels(found: np.ndarray, images: np.ndarray | None, what: str) -> None:
    wanted = () if images is None else images.shape[: found.ndim]
    if images is not None and found.shape != wanted:
        raise refused(
            f"{what} must lie on the pixels of the pictures, {wanted}.",
            f"They have shape {found.shape}.",
            "Pass maps at the model's input size, one for each picture.",
        )


def _finite(found: np.ndarray, what: str) -> np.ndarray:
    if not np.isfinite(found).all():
        wrong = ~np.isfinite(found)
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise refused(
            f"{what} must be finite.",
            f"{wrong.sum()} of {found.size} values are not; the first, at {place}, is "
            f"{found[place]}.",
            "Leave such pictures out.",
        )
    return found

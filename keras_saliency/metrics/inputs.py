"""Checked inputs of metrics: batches of pictures, maps and baselines; scores of variants.

What is said of pictures (B, H, W, C) and their maps (B, H, W) holds for signals, volumes and all
other inputs (B, *space, C) of one to three spatial axes, and maps (B, *space).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.errors import MetricError, _arguments

_READ = "help(keras_saliency.metrics)"
_AXES = range(1, 4)  # how many spatial axes there may be


def refused(what: str, got: str, fix: str, read: str = _READ) -> MetricError:
    """Return the error to raise: what was expected, what it got, the nearest fix."""
    return MetricError(what, got, fix, read)


def pictures(images: ArrayLike) -> np.ndarray:
    """Return pictures (B, *space, C) in their own float dtype, which is the model's input."""
    result = np.asarray(images)
    if not np.issubdtype(result.dtype, np.floating):
        result = _as_float(result, "pictures")
    if result.ndim - 2 not in _AXES or not result.size:
        raise refused(
            "Expected a batch of one or more pictures, (B, H, W, C), or of other inputs, "
            "(B, *space, C) with one to three spatial axes.",
            f"Got shape {result.shape}.",
            "Add an axis to a single picture: image[None]; to the features of a table (B, F) one "
            "for its channel: rows[..., None].",
        )
    return _finite(result, "pictures")


def maps(values: ArrayLike, images: np.ndarray | None = None) -> np.ndarray:
    """Return maps (B, *space) float64, of the pictures' size if these are passed."""
    result = _as_float(values, "maps")
    if result.ndim - 1 not in _AXES or not result.size:
        raise refused(
            "Expected a batch of one or more maps, (B, H, W), or (B, *space) with one to three "
            "spatial axes.",
            f"Got shape {result.shape}.",
            "Pass explanation.values; add an axis to a single map: values[None].",
        )
    _check_size(result, images, "maps")
    return _finite(result, "maps")


def attributions(values: ArrayLike, images: np.ndarray | None = None) -> np.ndarray:
    """Return maps (B, *space) or attributions (B, *space, C) as float64.

    Which of the two they are shows beside the pictures (B, *space, C) only.
    """
    result = _as_float(values, "attributions")
    if not 2 <= result.ndim <= 5 or not result.size:
        raise refused(
            "Expected attributions (B, *space) or (B, *space, C), such as (B, H, W) or "
            "(B, H, W, C).",
            f"Got shape {result.shape}.",
            "Pass explanation.values or explanation.attributions.",
        )
    _check_size(result, images, "attributions", channels=True)
    return _finite(result, "attributions")


def baselines(values: ArrayLike, images: np.ndarray) -> np.ndarray:
    """Return the baseline of each picture, (B, *space, C) in the pictures' dtype."""
    try:
        result = np.broadcast_to(np.asarray(values, images.dtype), images.shape)
    except (TypeError, ValueError):
        raise refused(
            f"Expected baselines of the pictures' shape, {images.shape}.",
            f"Got shape {np.shape(values)}.",
            "Pass a baseline for each picture, in the model's input range, or one number.",
        ) from None
    return _finite(result, "baselines")


def masks(values: ArrayLike, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return masks (B, *space) bool, each with one pixel or more."""
    result = np.asarray(values)
    if result.dtype != bool or result.shape != shape:
        raise refused(
            f"Expected {name} to be bool and of the maps' shape {shape}.",
            f"Got {result.dtype} of shape {result.shape}.",
            "Pass masks > 0, at the size of the maps; or of pictures boxes (top, left, bottom, "
            "right).",
        )
    empty = np.flatnonzero(~result.any(axis=space(result)))
    if empty.size:
        raise refused(
            f"Expected {name} to hold a pixel in every picture.",
            f"Got {empty.size} of {len(result)} without one; the first is picture {empty[0]}.",
            "Leave these pictures out, or enlarge boxes that lie between pixel centres.",
        )
    return result


def space(maps: np.ndarray) -> tuple[int, ...]:
    """Return the spatial axes of maps (B, *space)."""
    return tuple(range(1, maps.ndim))


def number(value: Any, name: str, low: float, high: float = np.inf) -> float:
    """Return an option that is a finite number, ``low <= value <= high``."""
    if not (_arguments.is_number(value) and low <= value <= high):
        raise option(value, name, f"a number from {low:g} to {high:g}")
    return float(value)


def count(value: Any, name: str, low: int = 1, high: float = np.inf) -> int:
    """Return an option that is a whole number, ``low <= value <= high``."""
    if not (_arguments.is_integer(value) and low <= value <= high):
        raise option(value, name, f"a whole number from {low} to {high:g}")
    return operator.index(value)


def generator(seed: Any) -> np.random.Generator:
    """Return NumPy's generator for a seed, a whole number of 0 or more."""
    return np.random.default_rng(count(seed, "seed", low=0))


def choice(value: Any, name: str, known: tuple[str, ...]) -> None:
    """Raise MetricError unless an option is one of the known words."""
    if not (isinstance(value, str) and value in known):
        raise option(value, name, f"one of {known}")


def option(value: Any, name: str, wanted: str) -> MetricError:
    """Return the error to raise for an option that cannot be used."""
    return refused(
        f"Expected {name} to be {wanted}.", f"Got {name}={value!r}.", "Take such a value."
    )


def _as_float(values: ArrayLike, name: str) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise refused(
            f"Expected {name} to be an array of numbers.",
            f"Got a {type(values).__name__} that is none.",
            "Pass arrays; pictures of different sizes one at a time.",
        ) from None


def _check_size(
    result: np.ndarray, images: np.ndarray | None, name: str, channels: bool = False
) -> None:
    if images is None or result.shape == images.shape[:-1]:
        return
    if not (channels and result.shape == images.shape):
        also = f" or {images.shape}" if channels else ""
        raise refused(
            f"Expected {name} of the pictures' size, {images.shape[:-1]}{also}.",
            f"Got shape {result.shape}.",
            "Pass maps at the model's input size, one for each picture; add an axis to a single "
            "picture: image[None].",
        )


def _finite(result: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(result).all():
        wrong = ~np.isfinite(result)
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise refused(
            f"Expected {name} to be finite.",
            f"Got {wrong.sum()} of {result.size} values that are not; the first, at {first}, is "
            f"{result[first]}.",
            "Leave such pictures out.",
        )
    return result


# Pictures (N, *space, C) and the number (N,) of the picture each was made from, to scores (N,).
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
Variant = tuple[int, np.ndarray]  # the number of the picture, and its changed copy (*space, C)


def scores(score: Score, variants: Iterable[Variant], batch_size: int) -> Iterator[float]:
    """Yield the score of each variant, in order; at most ``batch_size`` of them exist at once.

    Raises:
        MetricError: The score does not return a finite number for each picture.
    """
    batch_size = count(batch_size, "batch_size")
    stream = iter(variants)
    while chunk := list(islice(stream, batch_size)):
        rows, images = zip(*chunk, strict=True)
        result = np.asarray(score(np.stack(images), np.asarray(rows, np.intp)), np.float64)
        if result.shape != (len(rows),) or not np.isfinite(result).all():
            raise refused(
                f"Expected score(images, rows) to return a finite number for each of {len(rows)} "
                "pictures.",
                f"Got shape {result.shape}"
                + (" with NaN or infinity." if result.shape == (len(rows),) else "."),
                "Return one number per picture, (N,).",
            )
        yield from result.tolist()


def all_scores(
    score: Score, variants: Iterable[Variant], shape: tuple[int, ...], batch_size: int
) -> np.ndarray:
    """Return the scores of all variants as an array of ``shape``, float64."""
    result = np.fromiter(scores(score, variants, batch_size), np.float64, int(np.prod(shape)))
    return result.reshape(shape)


def of_pictures(score: Score, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the scores (B,) of the pictures as they are."""
    return all_scores(score, enumerate(images), (len(images),), batch_size)


def highest_first(maps: np.ndarray, seed: int) -> np.ndarray:
    """Return the flat pixel numbers of each map (B, *space) by falling value, (B, pixels).

    Equal values have an order drawn from the seed, the same for every picture: many maps are 0
    over large areas, and the order of rows would favour the picture's top. The opposite map,
    ``-maps``, breaks its ties alike, so a constant map ranks as its opposite.

    Example:
        >>> highest_first(np.array([[[1, 3], [0, 2]]]), seed=0)
        array([[1, 3, 0, 2]])
    """
    flat = maps.reshape(len(maps), -1)
    drawn = generator(seed).permutation(flat.shape[1])
    return drawn[np.argsort(-flat[:, drawn], axis=1, kind="stable")]

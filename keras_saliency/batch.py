"""Pictures made ready for one model: read, fitted, preprocessed, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency import pictures, preprocessing
from keras_saliency.adapter import Adapter, Input, Packing
from keras_saliency.errors import ImageError, ModelError, did_you_mean
from keras_saliency.geometry import Geometry
from keras_saliency.preprocessing import Preprocess

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Batch:
    """Pictures made ready for one model.

    Attributes:
        images: (B, H, W, C) in the model's input range, channels last.
        sides: What goes into the model's other inputs, each with B rows, in the model's order.
        packing: Which of the model's inputs takes what.
        originals: The pictures as they came: (H0, W0, C) uint8, or float as preprocessed.
        geometries: How each original was fitted to (H, W).
        preprocess: What was done to the pixels; ``None`` where floats came and nobody knows.
    """

    images: np.ndarray
    sides: tuple[np.ndarray, ...]
    packing: Packing
    originals: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    preprocess: Preprocess | None


def prepare(adapter: Adapter, image: Any, preprocess: Any = "auto") -> Batch:
    """Return pictures as a batch for a model; a model without weights is built on the way.

    Args:
        adapter: The model.
        image: One picture (path, PIL, array), a batch (B, H, W, C), or a list of pictures. For a
            model with several inputs a dict by input name (or a tuple in the model's order); the
            first entry that takes pictures is the one explained.
        preprocess: See `keras_saliency.preprocessing.resolve`.

    Raises:
        ImageError: A picture cannot be read or does not fit.
        PreprocessError: Pixels were given and nobody knows their preprocessing.
    """
    inputs, given = _by_input(adapter, image)
    explained = _explained(adapter, inputs, list(given))
    frame = _frame(inputs[explained], adapter.channels_first)
    known = preprocessing.resolve(preprocess, adapter.model)

    originals: list[np.ndarray] = []
    geometries, fitted = [], []
    for array in _read_all(given[inputs[explained].name]):
        array = _channels_last(array, frame) if adapter.channels_first else array
        first = originals[0] if originals else array
        original, geometry = _fit(adapter, array, frame, known, first.shape)
        originals.append(original)
        geometries.append(geometry)
        fitted.append(geometry.apply(original))
    _check_alike(fitted)
    stacked = np.stack(fitted)
    if stacked.dtype == np.uint8:
        stacked = (known or Preprocess())(stacked)
    wide = inputs[explained].dtype == "float64"
    images = stacked.astype("float64" if wide else "float32", copy=False)

    others = [one for i, one in enumerate(inputs) if i != explained]
    sides = tuple(_side(adapter, one, given[one.name], len(images)) for one in others)
    named = isinstance(image, Mapping) and adapter.symbolic("input") is None
    packing = Packing(explained, tuple(one.name for one in inputs) if named else None)
    batch = Batch(images, sides, packing, tuple(originals), tuple(geometries), known)
    if not adapter.model.built:  # outside of any trace, where it may make its weights
        adapter.build(images[:1], [side[:1] for side in sides], packing)
    return batch


# ---------------------------------------------------------------------- several inputs


def _by_input(adapter: Adapter, image: Any) -> tuple[tuple[Input, ...], dict[str, Any]]:
    """Return the model's inputs, and what was given for each by name, in the caller's order."""
    inputs, model = adapter.inputs, adapter.model
    if adapter.symbolic("input") is None and isinstance(image, Mapping | tuple):
        # A subclassed model does not say what it takes: it gets what was given.
        keys = list(image) if isinstance(image, Mapping) else [str(i) for i in range(len(image))]
        inputs = tuple(Input(key, None, model.input_dtype) for key in keys)
    names = [one.name for one in inputs]
    if isinstance(image, tuple) and len(names) > 1:
        image = dict(zip(names, image, strict=False))
    if not isinstance(image, Mapping) and len(names) == 1:
        return inputs, {names[0]: image}
    given = dict(image) if isinstance(image, Mapping) else {}
    for key in given:
        if key not in names:
            raise ImageError(
                f"Input {key!r} of model {model.name!r} was given.",
                f"Its inputs are {names}.",
                did_you_mean(str(key), names) or "Use these names.",
                _READ,
            )
    if len(given) < len(names):
        raise ImageError(
            f"Model {model.name!r} takes {len(names)} inputs: {names}.",
            "Not all of them were given.",
            "Give a dict by input name, the picture to explain first, as in "
            f"{{{', '.join(f'{name!r}: ...' for name in names)}}}.",
            _READ,
        )
    return inputs, given


def _explained(adapter: Adapter, inputs: tuple[Input, ...], order: list[str]) -> int:
    """The number of the picture input: the first (H, W, C), then (H, W), in the caller's order."""
    numbers = [[one.name for one in inputs].index(name) for name in order]
    for rank in (3, 2):
        for number in numbers:
            if inputs[number].rank == rank:
                return number
    raise ModelError(
        f"Model {adapter.model.name!r} was to be called on pictures.",
        f"Its inputs have shapes {[one.shape for one in inputs]}.",
        "Give a model with an input (H, W, C) or (H, W).",
        _READ,
    )


def _side(adapter: Adapter, one: Input, given: Any, count: int) -> np.ndarray:
    """Return what was given for an input that is not explained, a row for each picture."""
    array = np.asarray(given)
    if one.shape is not None and array.ndim == len(one.shape):
        array = array[None]
    if array.ndim == 0 or len(array) != count:
        raise ImageError(
            f"Input {one.name!r} of model {adapter.model.name!r} was given for {count} pictures.",
            f"It has {len(array) if array.ndim else 0} rows.",
            "Give one row a picture.",
            _READ,
        )
    return array.astype(one.dtype, copy=False)


# ---------------------------------------------------------------------- the pictures themselves

_Frame = tuple[int | None, int | None, int | None]  # height, width, channels; None: free


def _frame(one: Input, channels_first: bool) -> _Frame:
    if one.shape is None:
        return None, None, None
    if len(one.shape) == 2:
        return one.shape[0], one.shape[1], 1
    first, second, third = one.shape
    return (second, third, first) if channels_first else (first, second, third)


def _channels_last(array: np.ndarray, frame: _Frame) -> np.ndarray:
    """Return a float picture channels last where it came (C, H, W), as the model has it."""
    height, width, channels = frame

    def fits(size: tuple[int, ...], depth: int) -> bool:
        return depth == channels and (height, width) in ((None, None), size)

    first = fits(array.shape[1:], array.shape[0])
    last = fits(array.shape[:2], array.shape[2])
    return np.moveaxis(array, 0, -1) if array.dtype.kind == "f" and first and not last else array


def _fit(
    adapter: Adapter,
    array: np.ndarray,
    frame: _Frame,
    known: Preprocess | None,
    first: tuple[int, ...],
) -> tuple[np.ndarray, Geometry]:
    """Return a picture with the model's channels, and where it goes in the model's frame."""
    height, width, channels = frame
    pixels = array.dtype == np.uint8
    if pixels and channels == 3 and array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    elif pixels and channels == 1 and array.shape[-1] == 3:
        array = pictures.grey(array)
    own, size = array.shape[:2], (height or first[0], width or first[1])
    if channels not in (None, array.shape[-1]) or not (pixels or own == size):
        takes = ", ".join("any" if side is None else str(side) for side in frame)
        raise ImageError(
            f"A picture was given to model {adapter.model.name!r}.",
            f"It has shape {array.shape} and dtype {array.dtype}; the model takes ({takes}).",
            "Give an RGB or grey picture as a path, a PIL image or uint8, which are resized; "
            "float arrays must fit as they are.",
            _READ,
        )
    if not pixels:
        return array, Geometry.fitted(own, own)
    if known is None:
        raise preprocessing.unknown(adapter.model)
    if own != size and min(own) < pictures.MIN_SIDE:
        raise ImageError(
            f"A picture was to be resized to {size[0]}x{size[1]} for model {adapter.model.name!r}.",
            f"It has only {own[0]}x{own[1]} pixels (height x width).",
            f"Give one of at least {pictures.MIN_SIDE}x{pictures.MIN_SIDE}.",
            _READ,
        )
    return array, Geometry.fitted(own, size, known.fit)


def _read_all(picture: Any) -> list[np.ndarray]:
    """Return a picture, a batch or a list of pictures as a list of (H, W, C) arrays."""
    given = pictures.apart(picture)
    if not given:
        raise ImageError(
            "Pictures were asked for.", "The batch is empty.", "Give at least one.", _READ
        )
    return [pictures.read(one) for one in given]


def _check_alike(fitted: list[np.ndarray]) -> None:
    kinds = {(array.shape, array.dtype.kind) for array in fitted}
    if len(kinds) > 1:
        raise ImageError(
            f"{len(fitted)} pictures were given in one batch.",
            f"They differ: {sorted(kinds)}.",
            "Give pictures alone or arrays alone, all of one shape once fitted to the model.",
            _READ,
        )

"""Pictures made ready for one model: read, fitted to its size, preprocessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency._graph.adapter import Adapter, Input, Part
from keras_saliency._inputs import Kind, pictures, preprocessing
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.given import Given, Ready
from keras_saliency._inputs.pictures import check_uint8
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency.errors import ImageError, PreprocessError, _arguments

_READ = "help(keras_saliency.explain)"


def ready(given: Given, number: int, kind: Kind, preprocess: Any, together: set[int]) -> Ready:
    """Return the pictures passed for one input.

    Args:
        given: What the caller passed.
        number: Which input.
        kind: That of pictures, with or without channels.
        preprocess: See `keras_saliency._inputs.preprocessing.resolve`.
        together: Numbers of all inputs that are explained.

    Raises:
        ImageError: A picture cannot be read or does not fit.
        PreprocessError: The preprocessing of pixels is unknown, or floats lie where the known
            preprocessing puts no pixels.
    """
    adapter, one = given.adapter, given.inputs[number]
    frame = _frame(one, given.takes.channels_first)
    arrays = _read_all(_batched(given.value(number), kind, frame))
    if given.takes.channels_first:
        arrays = [_channels_last(array, frame) for array in arrays]

    extra_inputs = given.extra_inputs(len(arrays), together)
    part = Part(number, has_channels=kind.has_channels)
    packing, others = given.layout(part), tuple(extra_inputs.values())
    filled = [mine or own for mine, own in zip(frame, arrays[0].shape, strict=True)]
    if not adapter.model.built:  # outside of any trace, where it may make its weights
        empty = np.zeros((1, *filled), "float32")
        adapter.build(empty, [other[:1] for other in others], packing)
    seen = {
        "explained": number,
        "shape": tuple(filled),
        "extra_inputs": others,
        "packing": packing,
    }
    known = _preprocessing(adapter, preprocess, seen)

    each = []
    for array in arrays:
        array = _channels(adapter, array, frame)
        if array.dtype == np.uint8:
            if known is None:
                raise preprocessing.unknown(adapter.model, **seen)
            each.append(_from_pixels(adapter, array, frame, known, arrays[0].shape))
        else:
            each.append(_from_floats(adapter, array, frame, known, arrays[0].shape))
    fitted = [picture.fitted for picture in each]
    _check_alike(fitted)
    stacked = np.stack(fitted)
    if stacked.dtype == np.uint8:
        stacked = (known or Preprocess())(stacked)
    wide = one.dtype == "float64"
    return Ready(
        kind=kind,
        part=part,
        images=stacked.astype("float64" if wide else "float32", copy=False),
        originals=tuple(picture.original for picture in each),
        geometries=tuple(picture.geometry for picture in each),
        preprocess=known,
        findings=tuple(picture.findings for picture in each),
        floats=each[0].original.dtype.kind == "f",
        extra_inputs=extra_inputs,
    )


def _preprocessing(adapter: Adapter, given: Any, seen: dict[str, Any]) -> Preprocess | None:
    """Return the preprocessing of explain()'s argument; ``None`` where it is unknown."""
    if isinstance(given, str) and given == "auto" and adapter.model.built:
        key = ("auto", seen["explained"], seen["packing"], seen["shape"])
        found = adapter.cache.get_or_create(key, lambda: preprocessing.lasting(adapter, seen))
        if found is not preprocessing.CHANGING:
            return found
    return preprocessing.resolve(given, adapter.model, **seen)


_Frame = tuple[int | None, int | None, int | None]  # height, width, channels; None: free


def _frame(one: Input, channels_first: bool) -> _Frame:
    if one.shape is None:
        return None, None, None
    if len(one.shape) == 2:
        return one.shape[0], one.shape[1], 1
    first, second, third = one.shape
    return (second, third, first) if channels_first else (first, second, third)


def _channels_last(array: np.ndarray, frame: _Frame) -> np.ndarray:
    """Return a float picture channels last where it is (C, H, W), the model's layout."""
    height, width, channels = frame

    def fits(size: tuple[int, ...], depth: int) -> bool:
        return depth == channels and (height, width) in ((None, None), size)

    first = fits(array.shape[1:], array.shape[0])
    last = fits(array.shape[:2], array.shape[2])
    return np.moveaxis(array, 0, -1) if array.dtype.kind == "f" and first and not last else array


@dataclass(frozen=True)
class _Fitted:
    """One picture: the original, the one at the model's size, the geometry, the findings."""

    original: np.ndarray
    fitted: np.ndarray
    geometry: Geometry
    findings: tuple[str, ...] = ()


def _channels(adapter: Adapter, array: np.ndarray, frame: _Frame) -> np.ndarray:
    """Return a picture with the model's channels."""
    if array.dtype == np.uint8 and frame[2] == 3 and array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    elif array.dtype == np.uint8 and frame[2] == 1 and array.shape[-1] == 3:
        array = pictures.grey(array)
    if frame[2] not in (None, array.shape[-1]):
        raise _misfit(adapter, array, frame)
    return array


def _from_pixels(
    adapter: Adapter,
    array: np.ndarray,
    frame: _Frame,
    known: Preprocess,
    first: tuple[int, ...],
) -> _Fitted:
    own, size = array.shape[:2], known.size or (frame[0] or first[0], frame[1] or first[1])
    if own != size and min(own) < pictures.MIN_SIDE:
        raise ImageError(
            f"Expected a picture of at least {pictures.MIN_SIDE}x{pictures.MIN_SIDE} pixels, to "
            f"resize it to {size[0]}x{size[1]} for model {adapter.model.name!r}.",
            f"Got only {own[0]}x{own[1]} pixels (height x width).",
            "Pass a larger picture.",
            _READ,
        )
    fitted, geometry = known.fitted(array, size)
    if known.converter is not None and not _fits(fitted, frame):
        raise PreprocessError(
            f"Expected shape {_takes(frame)} from the image converter of keras_hub task "
            f"{adapter.model.name!r}.",
            f"Got {fitted.shape} for a picture {array.shape}.",
            f"Set task.preprocessor.image_size = {(frame[0], frame[1])}, or resize the picture.",
            "help(keras_saliency.Preprocess)",
        )
    findings = check_uint8(array) if known.range(array.shape[-1]) is not None else ()
    if known.converter is not None:
        findings += known.converter.findings(own)
    return _Fitted(array, fitted, geometry, findings)


def _from_floats(
    adapter: Adapter,
    array: np.ndarray,
    frame: _Frame,
    known: Preprocess | None,
    first: tuple[int, ...],
) -> _Fitted:
    numbers = known.range(array.shape[-1]) if known else None
    findings = numbers.check(array, known.name) if known and numbers else ()
    own, size = array.shape[:2], (frame[0] or first[0], frame[1] or first[1])
    if own != size or (known and known.size not in (None, own)):
        raise _misfit(adapter, array, (*((known and known.size) or frame[:2]), frame[2]))
    return _Fitted(array, array, Geometry.fitted(own, own), findings)


def _fits(array: np.ndarray, frame: _Frame) -> bool:
    return all(want in (None, have) for want, have in zip(frame, array.shape, strict=True))


def _takes(frame: _Frame) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in frame) + ")"


def _misfit(adapter: Adapter, array: np.ndarray, frame: _Frame) -> ImageError:
    return ImageError(
        f"Expected shape {_takes(frame)} for model {adapter.model.name!r}.",
        f"Got shape {array.shape} and dtype {array.dtype}.",
        "Pass an RGB or grey picture as a path, a PIL image or uint8, which are resized; "
        "float arrays must fit as they are.",
        _READ,
    )


def _batched(value: Any, kind: Kind, frame: _Frame) -> Any:
    """Return a batch (B, H, W) of pictures without channels as a list of them."""
    if kind.has_channels or _arguments.rank(value) != 3:
        return value
    is_one = value.shape[-1] == 1 and frame[1] != 1  # (H, W, 1)
    return value if is_one else list(_arguments.to_array(value))


def _read_all(picture: Any) -> list[np.ndarray]:
    """Return a picture, a batch or a list of pictures as a list of (H, W, C) arrays."""
    given = pictures.apart(picture)
    if not given:
        raise ImageError(
            "Expected one picture or more.", "Got an empty batch.", "Pass at least one.", _READ
        )
    return [pictures.read(one) for one in given]


def _check_alike(fitted: list[np.ndarray]) -> None:
    kinds = {(array.shape, array.dtype.kind) for array in fitted}
    if len(kinds) > 1:
        raise ImageError(
            "Expected the pictures of one batch to have one shape and kind of numbers.",
            f"Got {len(fitted)} that differ: {sorted(kinds)}.",
            "Pass pixels alone or float arrays alone, all of one shape once fitted to the model.",
            _READ,
        )

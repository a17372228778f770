"""Batches for one model: pictures read, fitted and preprocessed, with their originals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency._graph.adapter import Adapter, Input, InputLayout
from keras_saliency._inputs import arrays as arrays_of_a_kind
from keras_saliency._inputs import pictures, preprocessing, text, video
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.kinds import PICTURE, Kind
from keras_saliency._inputs.pixel_range import check_uint8
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency._inputs.recognition import Recognised, recognise
from keras_saliency.errors import (
    ImageError,
    KerasSaliencyError,
    ModelError,
    PreprocessError,
    did_you_mean,
)
from keras_saliency.errors import _arguments as arrays

_READ = "help(keras_saliency.explain)"
ORDER = ("picture", "video", "volume", "signal", "tokens", "table")  # which comes first


@dataclass(frozen=True)
class Batch:
    """Pictures made ready for one model.

    Attributes:
        images: (B, H, W, C) in the model's input range, channels last.
        extra_inputs: Arrays for the model's other inputs, each with B rows, in the model's order.
        packing: Which of the model's inputs takes which array.
        originals: The pictures before fitting: (H0, W0, C) uint8, or float if preprocessed.
        geometries: How each original was fitted to (H, W).
        preprocess: The preprocessing of the pixels; ``None`` for floats where it is unknown.
        findings: For each picture, what is suspicious about its numbers.
        floats: Whether the inputs were floats, which count as preprocessed.
        kind: What they are. The images of other kinds are (B, *space, C).
        names: Names of a table's columns, or ().
        words: The tokens of each text, without padding; () where numbers were passed.
    """

    images: np.ndarray
    extra_inputs: tuple[np.ndarray, ...]
    packing: InputLayout
    originals: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    preprocess: Preprocess | None
    findings: tuple[tuple[str, ...], ...] = ()
    floats: bool = False
    kind: Kind = PICTURE
    names: tuple[str, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()

    @property
    def info(self) -> dict[str, list[Any]]:
        """Names along the spatial axis, for the manifest: ``features``, ``words``."""
        features = (
            {"features": list(self.names)} if self.kind.name == "table" and self.names else {}
        )
        return features | ({"words": [list(each) for each in self.words]} if self.words else {})

    def is_padding(self) -> np.ndarray:
        """Where the batch is padded, (B, *space) bool; nowhere in a picture."""
        result = np.zeros(self.images.shape[:-1], bool)
        if self.kind.name != "picture":
            for row, geometry in zip(result, self.geometries, strict=True):
                row[geometry.original[0] :] = True
        return result

    @property
    def preprocessed(self) -> str:
        """The preprocessing's name, for the manifest."""
        if self.preprocess is None:
            return "given as floats"
        name, same = self.preprocess.name, self.preprocess.leaves_pixels
        return f"given as floats; of pixels: {name}" if self.floats and not same else name


def prepare(
    adapter: Adapter, image: Any, preprocess: Any = "auto", kind: str | None = None
) -> Batch:
    """Return pictures, or another kind of input, as a batch; a model without weights is built.

    Args:
        adapter: The model.
        image: One picture (path, PIL, array), a batch (B, H, W, C), or a list of pictures; or
            inputs of another kind, texts among them where the model has a tokenizer. For a model with several inputs a dict by input name (or a tuple in the model's order); the
            first entry that takes pictures is the one explained.
        preprocess: See `keras_saliency._inputs.preprocessing.resolve`.
        kind: A name of `keras_saliency._inputs.kinds`; None finds it.

    Raises:
        InputError: An input of another kind does not fit.
        ImageError: A picture cannot be read or does not fit.
        PreprocessError: The preprocessing of pixels is unknown, or floats lie where the known
            preprocessing puts no pixels.
    """
    texts = text.tokenized(adapter, image)
    if texts is not None:
        return _of_texts(adapter, texts, preprocess)
    inputs, given = _by_input(adapter, image)
    explained, known = _explained(adapter, inputs, given, kind)
    named = isinstance(image, Mapping) and adapter.symbolic("input") is None
    names = tuple(one.name for one in inputs) if named else None
    if known.kind.name == "picture":
        return _pictures(adapter, inputs, given, explained, names, known.kind, preprocess)
    return _others(adapter, inputs, given, explained, names, known, preprocess)


def _of_texts(adapter: Adapter, texts: text.Tokenized, preprocess: Any) -> Batch:
    batch = prepare(adapter, texts.inputs, preprocess, "tokens")
    originals = [one[: len(words)] for one, words in zip(batch.originals, texts.words, strict=True)]
    geometries = [Geometry.of(one.shape, batch.images.shape[1:2]) for one in originals]
    return replace(
        batch,
        originals=tuple(originals),
        geometries=tuple(geometries),
        findings=texts.findings,
        words=texts.words,
    )


def _pictures(
    adapter: Adapter,
    inputs: tuple[Input, ...],
    given: dict[str, Any],
    explained: int,
    names: tuple[str, ...] | None,
    kind: Kind,
    preprocess: Any,
) -> Batch:
    frame = _frame(inputs[explained], adapter.channels_first)
    arrays = _read_all(given[inputs[explained].name])
    if adapter.channels_first:
        arrays = [_channels_last(array, frame) for array in arrays]

    others = [one for i, one in enumerate(inputs) if i != explained]
    extra_inputs = tuple(_extra_input(adapter, one, given[one.name], len(arrays)) for one in others)
    packing = InputLayout(explained, names, has_channels=kind.has_channels)
    filled = [mine or own for mine, own in zip(frame, arrays[0].shape, strict=True)]
    if not adapter.model.built:  # outside of any trace, where it may make its weights
        empty = np.zeros((1, *filled), "float32")
        adapter.build(empty, [one[:1] for one in extra_inputs], packing)
    seen = {
        "explained": explained,
        "shape": tuple(filled),
        "extra_inputs": extra_inputs,
        "packing": packing,
    }
    known = preprocessing.resolve(preprocess, adapter.model, **seen)

    ready = []
    for array in arrays:
        array = _channels(adapter, array, frame)
        if array.dtype == np.uint8:
            if known is None:
                raise preprocessing.unknown(adapter.model, **seen)
            ready.append(_from_pixels(adapter, array, frame, known, arrays[0].shape))
        else:
            ready.append(_from_floats(adapter, array, frame, known, arrays[0].shape))
    fitted = [one.fitted for one in ready]
    _check_alike(fitted)
    stacked = np.stack(fitted)
    if stacked.dtype == np.uint8:
        stacked = (known or Preprocess())(stacked)
    wide = inputs[explained].dtype == "float64"
    return Batch(
        images=stacked.astype("float64" if wide else "float32", copy=False),
        extra_inputs=extra_inputs,
        packing=packing,
        originals=tuple(one.original for one in ready),
        geometries=tuple(one.geometry for one in ready),
        preprocess=known,
        findings=tuple(one.findings for one in ready),
        floats=ready[0].original.dtype.kind == "f",
        kind=kind,
    )


def _others(
    adapter: Adapter,
    inputs: tuple[Input, ...],
    given: dict[str, Any],
    explained: int,
    names: tuple[str, ...] | None,
    known: Recognised,
    preprocess: Any,
) -> Batch:
    one, kind = inputs[explained], known.kind
    ready = arrays_of_a_kind.read(given[one.name], one, known)
    values, count = ready.values, len(ready.values)
    extra_inputs = [
        _extra_input(adapter, other, given[other.name], count)
        for number, other in enumerate(inputs)
        if number != explained
    ]
    packing = InputLayout(explained, names, len(kind.axes), kind.has_channels)
    pixels = kind.name == "video" and values.dtype == np.uint8
    if pixels:
        seen = {"explained": explained, "shape": values.shape[1:]}
        seen |= {"extra_inputs": tuple(extra_inputs), "packing": packing}
        function = video.preprocess(preprocess, adapter, **seen)
    else:
        function = _own_function(preprocess, kind)
    if kind.is_embedded:
        extra_inputs.insert(explained, values)
        packing = replace(packing, has_channels=True, embedding=known.consumer.path)
        images = adapter.embedded(extra_inputs, packing)
    else:
        wide = "float64" if one.dtype == "float64" else "float32"
        images = values if kind.has_channels else values[..., None]
        images = function(images.astype(wide)).astype(wide, copy=False)
        if not adapter.model.built:
            adapter.build(np.zeros_like(images[:1]), [one[:1] for one in extra_inputs], packing)
    return Batch(
        images=images,
        extra_inputs=tuple(extra_inputs),
        packing=packing,
        originals=ready.originals,
        geometries=ready.geometries,
        preprocess=function,
        findings=((),) * count,
        floats=not pixels,
        kind=kind,
        names=ready.names,
    )


def _own_function(preprocess: Any, kind: Kind) -> Preprocess:
    """Return the caller's preprocessing of what is no picture: a callable, or none.

    Raises:
        PreprocessError: It is one of pictures.
    """
    if preprocess in ("auto", None):
        return Preprocess(name="none")
    if isinstance(preprocess, Preprocess):
        if not preprocess.is_of_pictures:
            return preprocess
    elif callable(preprocess):
        return Preprocess(preprocess, name=getattr(preprocess, "__qualname__", repr(preprocess)))
    raise PreprocessError(
        f"Expected preprocess=None or a callable of a batch (B, ...), since {kind.one} is "
        "explained.",
        f"Got preprocess={preprocess!r}, which is for pictures.",
        "Leave it out and pass the numbers that the model takes.",
        _READ,
    )


# ---------------------------------------------------------------------- several inputs


def _by_input(adapter: Adapter, image: Any) -> tuple[tuple[Input, ...], dict[str, Any]]:
    """Return the model's inputs, and the caller's array for each by name, in the caller's order."""
    inputs, model = adapter.inputs, adapter.model
    known = len(inputs) > 1 and isinstance(image, tuple)  # by how it was built
    if adapter.symbolic("input") is None and isinstance(image, Mapping | tuple) and not known:
        # A subclassed model does not declare its inputs: it gets what the caller passed.
        keys = list(image) if isinstance(image, Mapping) else [str(i) for i in range(len(image))]
        inputs = tuple(Input(key, None, model.input_dtype) for key in keys)
    names = [one.name for one in inputs]
    if isinstance(image, tuple | list) and len(image) == len(names) > 1:
        image = dict(zip(names, image, strict=True))  # a list as Keras' predict takes it
    if not isinstance(image, Mapping) and len(names) == 1:
        return inputs, {names[0]: image}
    given = dict(image) if isinstance(image, Mapping) else {}
    for key in given:
        if key not in names:
            raise ImageError(
                f"No input is called {key!r} in model {model.name!r}.",
                f"Its inputs are {names}.",
                did_you_mean(str(key), names) or "Use these names.",
                _READ,
            )
    if len(given) < len(names):
        raise ImageError(
            f"Expected {len(names)} inputs of model {model.name!r}: {names}.",
            f"Got {len(given)} of them." if given else f"Got one {type(image).__name__} for all.",
            "Pass a dict by input name, the picture to explain first, as in "
            f"{{{', '.join(f'{name!r}: ...' for name in names)}}}.",
            _READ,
        )
    return inputs, given


def _explained(
    adapter: Adapter, inputs: tuple[Input, ...], given: dict[str, Any], kind: str | None
) -> tuple[int, Recognised]:
    """Return the number of the input that is explained, and its kind.

    The first picture in the caller's order; else the first that the layers show to be something.
    """
    numbers = [[one.name for one in inputs].index(name) for name in given]
    problem: KerasSaliencyError | None = None
    known: list[tuple[int, Recognised]] = []
    for number in numbers:
        try:
            one = recognise(adapter, number, given[inputs[number].name], kind, inputs[number])
        except ModelError as error:
            problem = problem or error
            continue
        if one.kind.name == "picture" and one.kind.has_channels:
            return number, one
        known.append((number, one))
    if not known:
        raise problem or _nothing(adapter, inputs)
    # A table beside something else is the lesser of them, such as the age beside the signal.
    return min(known, key=lambda each: ORDER.index(each[1].kind.name))


def _nothing(adapter: Adapter, inputs: tuple[Input, ...]) -> ModelError:
    return ModelError(
        f"Expected model {adapter.model.name!r} to have an input that can be explained.",
        f"Its inputs have shapes {[one.shape for one in inputs]}.",
        "Pass a model that takes pictures, signals, volumes, videos, texts or tables.",
        _READ,
    )


def _extra_input(adapter: Adapter, one: Input, given: Any, count: int) -> np.ndarray:
    """Return the array for an input that is not explained, a row for each picture."""
    try:
        array = arrays.to_array(given)
        dtype = "float32" if one.dtype == "bfloat16" else one.dtype
        array = array.astype(dtype, copy=False)
    except Exception as error:  # whatever a tensor without values raises
        raise ImageError(
            f"Expected {one.dtype} numbers for input {one.name!r} of model {adapter.model.name!r}.",
            f"Got {type(given).__module__}.{type(given).__qualname__}, which does not convert: "
            f"{' '.join(str(error).split())[:200]}.",
            "Pass a NumPy array.",
            _READ,
        ) from error
    if one.shape is not None and array.ndim == len(one.shape):
        array = array[None]
    if array.ndim == 0 or len(array) != count:
        raise ImageError(
            f"Expected {count} rows, one per picture, for input {one.name!r} of model "
            f"{adapter.model.name!r}.",
            f"Got {len(array) if array.ndim else 0} rows.",
            "Pass one row per picture.",
            _READ,
        )
    return array


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

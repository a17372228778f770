"""Batches for one model: its explained inputs made ready, with the originals; pictures fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._graph.adapter import Adapter, Input, InputLayout, Part
from keras_saliency._inputs import PICTURE, Kind, pictures, preprocessing, resampling
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.pictures import check_uint8
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency.errors import ImageError, MethodError, PreprocessError, _arguments

if TYPE_CHECKING:
    from keras_saliency._inputs.given import Given, Ready

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Batch:
    """Inputs made ready for one model.

    Attributes:
        images: (B, H, W, C) in the model's input range, channels last; (B, *space, C) of other
            kinds. Where several inputs are explained, (B, N, 1): all their values, one input after
            the other.
        extra_inputs: Arrays for the model's other inputs, each with B rows, in the model's order.
        packing: Which of the model's inputs takes which array.
        originals: The pictures before fitting: (H0, W0, C) uint8, or float if preprocessed.
        geometries: How each original was fitted to (H, W).
        preprocess: The preprocessing of the pixels; ``None`` for floats where it is unknown.
        findings: For each picture, what is suspicious about its numbers.
        floats: Whether the inputs were floats, which count as preprocessed.
        kind: What they are.
        names: Names of a table's columns.
        input: Name of the explained input, where the model has others; else "".
        parts: The batch of each explained input by its name, where several are.
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
    input: str = ""
    parts: Mapping[str, Batch] | None = None
    words: tuple[tuple[str, ...], ...] = ()

    @property
    def preprocessed(self) -> str:
        """The preprocessing's name, for the manifest."""
        if self.parts:
            return "; ".join(f"{name}: {one.preprocessed}" for name, one in self.parts.items())
        if self.preprocess is None:
            return "given as floats"
        name, same = self.preprocess.name, self.preprocess.leaves_pixels
        return f"given as floats; of pixels: {name}" if self.floats and not same else name

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the manifest: the input's name, a table's columns, the words of texts."""
        facts: dict[str, Any] = {"input": self.input} if self.input else {}
        if self.names and self.kind.name == "table":
            facts["features"] = list(self.names)
        return facts | ({"words": [list(each) for each in self.words]} if self.words else {})

    def is_padding(self) -> np.ndarray:
        """Where the batch is padded, (B, *space) bool; nowhere in a picture."""
        result = np.zeros(self.images.shape[:-1], bool)
        if self.kind.name != "picture" and not self.parts:
            for row, geometry in zip(result, self.geometries, strict=True):
                row[geometry.original[0] :] = True
        return result

    def apart(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return values of ``images``' shape as one array (B, *space, C) for each input."""
        pairs = zip(self.parts or (), self.packing.apart(images), strict=True)
        return {name: its for name, (_, its) in pairs}

    def fill(self, value: Any, images: np.ndarray) -> np.ndarray:
        """Return inputs without content; see `keras_saliency._inputs.resampling.fill`.

        Args:
            value: A fill, or where several inputs are explained a dict of one for each.
            images: What it replaces.

        Raises:
            MethodError: It does not fit.
        """
        if not self.parts:
            return resampling.fill(value, images, self.preprocess, self.kind)
        by_name = value if isinstance(value, Mapping) else dict.fromkeys(self.parts, value)
        if set(by_name) != set(self.parts):
            raise MethodError(
                f"Expected one fill for all inputs, or a dict for {list(self.parts)}.",
                f"Got a dict for {list(by_name)}.",
                "Name each explained input.",
                _READ,
            )
        apart = self.apart(images)
        return flat([one.fill(by_name[name], apart[name]) for name, one in self.parts.items()])

    def as_images(self, value: Any) -> np.ndarray:
        """Return arrays in the shape of what the model takes as images, such as references.

        Args:
            value: (N, ...) in the input's own axes or as images, or a dict of such by name.
        """
        if self.parts and isinstance(value, Mapping):
            return flat([one.as_images(value[name]) for name, one in self.parts.items()])
        array = np.asarray(value, self.images.dtype)
        bare = not self.kind.has_channels and array.ndim == self.images.ndim - 1
        return array[..., None] if bare and not self.kind.is_embedded else array

    def spans(self, images: np.ndarray) -> list[Any]:
        """Return greatest minus least value of each image; of several inputs, of each value's."""
        if not self.parts:
            return [np.ptp(image) for image in images]
        spread = []
        for its in self.apart(images).values():
            span = np.ptp(its.reshape(len(its), -1), axis=1)
            spread.append(np.broadcast_to(span.reshape(-1, *[1] * (its.ndim - 1)), its.shape))
        return list(flat(spread))


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of the same rows as one (B, N, 1)."""
    return np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)[..., None]


def fitted(given: Given, number: int, kind: Kind, preprocess: Any, together: set[int]) -> Ready:
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
    seen = {"explained": number, "shape": tuple(filled)}
    seen |= {"extra_inputs": others, "packing": packing}
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
    ready = [picture.fitted for picture in each]
    _check_alike(ready)
    stacked = np.stack(ready)
    if stacked.dtype == np.uint8:
        stacked = (known or Preprocess())(stacked)
    wide = one.dtype == "float64"
    return given.ready(
        part,
        extra_inputs,
        kind=kind,
        images=stacked.astype("float64" if wide else "float32", copy=False),
        originals=tuple(picture.original for picture in each),
        geometries=tuple(picture.geometry for picture in each),
        preprocess=known,
        findings=tuple(picture.findings for picture in each),
        floats=each[0].original.dtype.kind == "f",
    )


def _preprocessing(adapter: Adapter, given: Any, seen: dict[str, Any]) -> Preprocess | None:
    """Return the preprocessing of explain()'s argument; ``None`` where it is unknown."""
    if isinstance(given, str) and given == "auto" and adapter.model.built:
        key = ("auto", seen["explained"], seen["packing"], seen["shape"])
        lasting = adapter.cache.get_or_create(key, lambda: preprocessing.lasting(adapter, seen))
        if lasting is not preprocessing.CHANGING:
            return lasting
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

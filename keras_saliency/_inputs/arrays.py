"""Reading signals, volumes, videos, tokens and tables: they become checked arrays, as they are.

Numbers are never scaled here: their units are the model's business.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._graph.adapter import Input, Part
from keras_saliency._inputs import Kind, reading, video
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency._inputs.recognition import Recognised
from keras_saliency.errors import InputError, PreprocessError, _arguments

if TYPE_CHECKING:
    from keras_saliency._inputs.given import Given, Ready

_READ = "help(keras_saliency.explain)"
_NUMBERS = (int, float, np.number, np.bool_)


def ready(
    given: Given, number: int, known: Recognised, preprocess: Any, together: set[int]
) -> Ready:
    """Return what was passed for one input that is no picture.

    Args:
        given: What the caller passed: arrays, or paths of files with these (see
            `keras_saliency._inputs.reading`). Lists may differ in length where the model masks what
            is padded. A table may be a pandas DataFrame, its columns in the order of the model's
            features, or a Series.
        number: Which input.
        known: Its kind.
        preprocess: A callable of a batch, or none.
        together: Numbers of all inputs that are explained.

    Raises:
        InputError: It does not fit.
        PreprocessError: The preprocessing is one of pictures.
    """
    kind, adapter = known.kind, given.adapter
    first = kind.has_channels and adapter.is_channels_first(len(kind.axes))
    one = _channels_last(given.inputs[number]) if first else given.inputs[number]
    names, value = _named_columns(given.value(number), one, known)
    singles = []
    for each in reading.opened(value, one, kind):
        names = names or each.names
        apart = [each.values] if each.is_one else _apart(each.values, one, known)
        apart = [_turned(single, one) for single in apart] if first else apart
        singles += [_checked(single, one, known, each.about) for single in apart]
    if not singles:
        raise _misfit(one, known, "an empty batch")
    fill = _padded if len({each.shape for each in singles}) > 1 else _filled
    values = np.stack(fill(singles, one, known))
    extra_inputs = given.extra_inputs(len(values), together)
    part = Part(number, len(kind.axes), kind.has_channels)
    pixels = kind.name == "video" and values.dtype == np.uint8
    function = None if pixels else _own_function(preprocess, kind)
    if kind.is_embedded:
        images = _vectors(given, known, {**extra_inputs, number: values})
        extra_inputs[number] = values
        part = Part(number, len(kind.axes), embedding=known.embedding)
    else:
        wide = "float64" if one.dtype == "float64" else "float32"
        images = (values if kind.has_channels else values[..., None]).astype(wide)
        layout, others = given.layout(part), tuple(extra_inputs.values())
        if not adapter.model.built:
            adapter.build(np.zeros_like(images[:1]), [other[:1] for other in others], layout)
        if function is None:
            seen = {"explained": number, "shape": images.shape[1:]}
            seen |= {"extra_inputs": others, "packing": layout}
            function = video.preprocess(preprocess, adapter, **seen)
        images = function(images).astype(wide, copy=False)
    frames = [each.shape[: len(kind.axes)] for each in singles]
    return given.ready(
        part,
        extra_inputs,
        kind=kind,
        images=images,
        originals=tuple(singles),
        geometries=tuple(Geometry.of(frame, images.shape[1:-1]) for frame in frames),
        preprocess=function,
        findings=((),) * len(values),
        floats=not pixels,
        names=names,
    )


def _channels_last(one: Input) -> Input:
    """Return an input (C, *space) as (*space, C): attributions are channels last."""
    return one if one.shape is None else replace(one, shape=(*one.shape[1:], one.shape[0]))


def _turned(given: Any, one: Input) -> Any:
    """Return an array channels last where only its axes (C, *space) fit the model."""
    shape = np.shape(given)
    fits = _fits((*shape[1:], shape[0]), one) if shape and one.shape else False
    return np.moveaxis(np.asarray(given), 0, -1) if fits and not _fits(shape, one) else given


def _vectors(given: Given, known: Recognised, arrays: dict[int, np.ndarray]) -> np.ndarray:
    """Return what the Embedding makes of words, (B, T, D)."""
    rows = len(next(iter(arrays.values())))
    every = [
        arrays[number] if number in arrays else _stand_in(given, number, rows)
        for number in range(len(given.inputs))
    ]
    calls = given.adapter.embeddings(every, given.names, until=known.embedding)
    return np.asarray(calls[-1].vectors, np.float32)


def _stand_in(given: Given, number: int, count: int) -> np.ndarray:
    """Return ones for an input that has no influence here."""
    one = given.inputs[number]
    return np.ones([count, *[size or 8 for size in one.shape or ()]], one.dtype)


def _own_function(preprocess: Any, kind: Kind) -> Preprocess:
    """Return the caller's preprocessing of what is no picture: a callable, or none.

    Raises:
        PreprocessError: It is one of pictures.
    """
    if preprocess is None or (isinstance(preprocess, str) and preprocess == "auto"):
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


def _apart(given: Any, one: Input, known: Recognised) -> list[Any]:
    """Return one input, a batch or a list of inputs as a list of arrays."""
    rank = known.kind.rank
    if isinstance(given, list | tuple) and len(given):
        ranks = {_arguments.rank(single) for single in given}
        if ranks == {rank} or (len(ranks) > 1 and rank - 1 not in ranks):
            return list(given)
        if None in ranks and not any(map(_is_number, given)):
            return list(given)
    array = _to_array(given, one, known)
    if array.ndim == rank + 1:
        return list(array)
    if array.ndim == rank and (_fits(array.shape, one) or not known.kind.has_channels):
        return [array]
    if known.kind.has_channels and _channel_missing(array, one, rank):
        return [array[..., None]] if array.ndim == rank - 1 else list(array[..., None])
    return [array]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _channel_missing(array: np.ndarray, one: Input, rank: int) -> bool:
    """Whether an array fits once it has an axis for its only channel."""
    wanted = one.shape[-1] if one.shape else None
    space = array.shape if array.ndim == rank - 1 else array.shape[1:]
    return wanted == 1 and array.ndim in (rank - 1, rank) and _fits((*space, 1), one)


def _fits(shape: tuple[int, ...], one: Input) -> bool:
    if one.shape is None:
        return True
    return len(shape) == len(one.shape) and all(
        want in (None, have) for want, have in zip(one.shape, shape, strict=True)
    )


def _to_array(given: Any, one: Input, known: Recognised) -> np.ndarray:
    try:
        array = _arguments.to_array(given)
    except Exception as error:  # whatever a tensor without values raises
        kind = f"{type(given).__module__}.{type(given).__qualname__}"
        raise _misfit(one, known, f"{kind}: {' '.join(str(error).split())[:160]}") from error
    if array.dtype.kind not in "fuib":
        raise _misfit(one, known, f"dtype {array.dtype} of shape {array.shape}")
    return array


def _checked(given: Any, one: Input, known: Recognised, about: str = "") -> np.ndarray:
    """Return one input as an array of the right shape and finite numbers.

    Args:
        given: The input.
        one: The model's input.
        known: Its kind.
        about: The file it comes from, for messages.

    Raises:
        InputError: It is something else.
    """
    array, kind = _to_array(given, one, known), known.kind
    if kind.name == "video":
        array = video.fitted(array, one)
    got = f"{about}shape {array.shape} and dtype {array.dtype}"
    if array.ndim != kind.rank or not array.size:
        raise _misfit(one, known, f"{got}, which is empty" if array.ndim == kind.rank else got)
    masks = known.padding is not None
    longest = one.shape[0] or 0 if masks and one.shape else 0
    padded = (max(longest, array.shape[0]), *array.shape[1:])
    if not _fits(padded, one):
        raise _misfit(one, known, got)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise _misfit(one, known, f"{about}{count} values that are NaN or infinite")
    if kind.is_embedded:
        _check_tokens(array, one, known)
    return array


def _check_tokens(array: np.ndarray, one: Input, known: Recognised) -> None:
    """Raise InputError where numbers of words are none that the Embedding knows."""
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and (array != np.round(array)).any()):
        raise _misfit(one, known, f"dtype {array.dtype}, which are no numbers of words")
    least, most = int(array.min()), int(array.max())
    size = known.words
    if least < 0 or most >= size:
        raise _misfit(
            one, known, f"numbers from {least} to {most}; the Embedding has words 0 to {size - 1}"
        )
    if known.padding == 0 and most == 0:
        raise _misfit(one, known, "nothing but padding (0)")


def _filled(singles: list[np.ndarray], one: Input, known: Recognised) -> list[np.ndarray]:
    """Return arrays of one length, padded where the model takes longer ones."""
    wanted = one.shape[0] if one.shape and known.kind.rank else None
    if known.padding is None or wanted is None or singles[0].shape[0] == wanted:
        return singles
    return [_longer(single, wanted, known) for single in singles]


def _padded(singles: list[np.ndarray], one: Input, known: Recognised) -> list[np.ndarray]:
    """Return arrays of several lengths, padded to the longest or to the model's own.

    Raises:
        InputError: The model does not mask what is padded.
    """
    shapes = sorted({single.shape for single in singles})
    if known.padding is None or len({shape[1:] for shape in shapes}) > 1:
        raise InputError(
            f"Expected {known.kind.one} of one length each for input {one.name!r}: the model masks "
            "no padding, so a padded one would be another.",
            f"Got shapes {', '.join(map(str, shapes[:4]))}.",
            "Explain them one by one, or give the model a Masking layer or "
            "Embedding(mask_zero=True).",
            _READ,
        )
    length = (one.shape[0] if one.shape else None) or shapes[-1][0]
    return [_longer(single, length, known) for single in singles]


def _longer(single: np.ndarray, length: int, known: Recognised) -> np.ndarray:
    more = length - len(single)
    widths = [(0, more)] + [(0, 0)] * (single.ndim - 1)
    return np.pad(single, widths, constant_values=known.padding or 0)


def _named_columns(given: Any, one: Input, known: Recognised) -> tuple[tuple[str, ...], Any]:
    """Return the names of a table's columns, where it has them, and its numbers.

    Args:
        given: Anything; a DataFrame or a Series of pandas, or what looks like one.
        one: The model's input.
        known: Its kind.

    Raises:
        InputError: Columns hold no numbers, or miss some.
    """
    if isinstance(given, type) or not hasattr(given, "to_numpy"):
        return (), given
    if not hasattr(given, "columns"):
        names, values = list(getattr(given, "index", ())), _numbers(given.to_numpy())
        if values is not None:
            return _texts(names), values
        given = {name: given.iloc[i : i + 1] for i, name in enumerate(names)}
    if hasattr(given, "items"):
        columns = list(given.items())
    else:
        columns = [(name, given[name]) for name in given.columns]
    numbers = [_column(column) for _, column in columns]
    wrong = [i for i, column in enumerate(numbers) if column is None]
    empty = [i for i, column in enumerate(numbers) if column is not None and np.isnan(column).any()]
    for some, why in ((wrong, "hold no numbers"), (empty, "miss values (NaN)")):
        if some:
            listed = ", ".join(repr(columns[i][0]) for i in some[:6])
            raise InputError(
                f"Expected a table of numbers for input {one.name!r}.",
                f"Got {len(some)} of {len(columns)} columns that {why}: {listed}.",
                "Encode or fill them as in training, or leave them out: table.drop(columns=[...]).",
                _READ,
            )
    held = [column for column in numbers if column is not None]
    values = np.column_stack(held) if held else np.zeros((len(given), 0))
    return _texts([name for name, _ in columns]), values


def _column(column: Any) -> np.ndarray | None:
    """Return a column's numbers; None where it has others than numbers and missing ones."""
    array = np.asarray(column.to_numpy())
    if array.dtype.kind == "O" and "int" in str(column.dtype).lower():  # pandas' Int64 with NA
        array = column.to_numpy(dtype=float, na_value=np.nan)
    return _numbers(array)


def _numbers(array: np.ndarray) -> np.ndarray | None:
    if array.dtype.kind == "O" and all(isinstance(one, _NUMBERS) for one in array):
        return array.astype(np.float64)
    return array if array.dtype.kind in "fuib" else None


def _texts(names: Iterable[Any]) -> tuple[str, ...]:
    """Return names as text; () where they are only numbers of columns."""
    names = list(names)
    return tuple(map(str, names)) if any(isinstance(name, str | tuple) for name in names) else ()


def _misfit(one: Input, known: Recognised, got: str) -> InputError:
    kind = known.kind
    shape = kind.shape if one.shape is None else _shown(one.shape)
    what = "whole numbers of words" if kind.is_embedded else "finite numbers"
    return InputError(
        f"Expected {kind.one} of {what}, {kind.shape} = {shape}, a batch or a list of these for "
        f"input {one.name!r}.",
        f"Got {got}.",
        f"Pass {shape}, or (B, {shape[1:-1].rstrip(',')}) for a batch.",
        _READ,
    )


def _shown(shape: tuple[int | None, ...]) -> str:
    sizes = ", ".join("any" if size is None else str(operator.index(size)) for size in shape)
    return f"({sizes}{',' * (len(shape) == 1)})"

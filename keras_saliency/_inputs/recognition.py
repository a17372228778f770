"""What an input is, shown by the layers that first take it; where nothing shows it, a question."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from keras_saliency._graph import ends, walk
from keras_saliency._graph.adapter import Adapter, Input
from keras_saliency._graph.ends import Consumer, EmbeddingCall, is_embedding
from keras_saliency._inputs import (
    PICTURE,
    SIGNAL,
    TABLE,
    TOKENS,
    VIDEO,
    VOLUME,
    Kind,
    kind_named,
    reading,
    text,
)
from keras_saliency.errors import ModelError, _arguments

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Recognised:
    """An input's kind, and facts of the layer that shows it.

    Attributes:
        kind: The kind.
        embedding: Of tokens, the path of their Embedding layer and the number of its call.
        words: How many words that knows.
        padding: The number that the model masks; None where it masks none.
    """

    kind: Kind
    embedding: tuple[str, int] | None = None
    words: int = 0
    padding: float | None = None

    @classmethod
    def by(cls, kind: Kind, consumer: Consumer) -> Recognised:
        """Return a kind shown by a layer."""
        masks = type(consumer.layer).__name__ == "Masking"
        return cls(kind, padding=float(consumer.layer.mask_value) if masks else None)


_READINGS = {2: (SIGNAL, PICTURE.without_channels()), 4: (VOLUME, VIDEO)}


def recognise(adapter: Adapter, number: int, given: Any, one: Input) -> Recognised:
    """Return the kind of an input that the model does not show: a picture by what was passed.

    Args:
        adapter: The model.
        number: Which input.
        given: What the caller passed for it: a path or uint8 pixels can only be a picture.
        one: The input itself.

    Raises:
        ModelError: Nothing shows it, or it has too many axes or too few.
    """
    readings = _READINGS.get(len(one.shape or ()), ())
    if PICTURE.without_channels() in readings and _is_picture(given):
        return Recognised(PICTURE.without_channels())
    raise _unclear(adapter, one, readings)


def shown(
    adapter: Adapter,
    number: int,
    wanted: str | None,
    one: Input,
    values: Sequence[Any] | None = None,
    names: tuple[str, ...] | None = None,
) -> Recognised | None:
    """Return the kind that a model shows one of its inputs to have; None where it is unclear.

    Args:
        adapter: The model.
        number: Which input.
        wanted: The kind's name by the caller, or None.
        one: The input itself.
        values: What was passed for every input, for a model that is no graph.
        names: Names of a dict of these.

    Raises:
        ModelError: Several kinds are possible, or the wanted one is not.
        MethodError: No kind is called so.
    """
    layers = _consumers(adapter, number)
    kind = kind_named(wanted) if wanted is not None else None
    if kind is not None and not kind.is_embedded:
        return _as_wanted(adapter, one, layers, kind)
    rank = None if one.shape is None else len(one.shape)
    if kind is not None or rank == 1 or (rank is None and _has(layers, TOKENS)):
        calls = _embeddings(adapter, number, values, names)
        if len({call.where for call in calls}) > 1:
            raise _several(adapter, one, calls)
        if calls:
            layer = dict(walk(adapter.model))[calls[0].path]
            padding = 0.0 if getattr(layer, "mask_zero", False) else None
            return Recognised(TOKENS, calls[0].where, layer.input_dim, padding)
        if kind is not None:
            raise _not_embedded(adapter, one)
        if rank == 1 and "float" not in one.dtype:  # a mask, a number of a class
            return None
    if rank is None:
        return _of_layers(adapter, one, layers)
    if rank == 3:
        return Recognised(PICTURE)
    fitting = [
        (reading, each)
        for each in layers
        for reading in _READINGS.get(rank, (SIGNAL.without_channels(),))
        if (each.kind, each.has_channels) == (reading.name, reading.has_channels)
        and reading.rank == rank
    ]
    if rank == 1 and not fitting:
        return Recognised(TABLE)
    if len({reading for reading, _ in fitting}) == 1:
        return Recognised.by(*fitting[0])
    return None


def kind_of(own: Adapter, given: Any, wanted: str | None) -> Kind:
    """Return the kind of input that a model explains, as far as it shows without all its inputs.

    Args:
        own: The model.
        given: One input, such as a path, which may show it; or None.
        wanted: The kind's name by the caller, or None.

    Raises:
        MethodError: No kind is called so.
    """
    if wanted is not None:
        return kind_named(wanted)
    if text.takes_texts(own):
        return TOKENS
    if not own.model.built or len(own.inputs) != 1:
        return PICTURE  # the caller's dict decides
    try:
        one = own.inputs[0]
        return (shown(own, 0, None, one) or recognise(own, 0, given, one)).kind
    except ModelError:  # explain() will report it, with what it needs to know
        return PICTURE


def _has(layers: Sequence[Consumer], kind: Kind) -> bool:
    return any(each.kind == kind.name for each in layers)


def _embeddings(
    adapter: Adapter, number: int, values: Sequence[Any] | None, names: tuple[str, ...] | None
) -> list[EmbeddingCall]:
    """Return the calls of Embedding layers that take the words of one input.

    The model is run twice, with other words in this input only.
    """
    if not any(is_embedding(layer) for _, layer in walk(adapter.model)):
        return []
    runs = []
    for word in (0, 1):
        try:
            if values is None:
                arrays = [_example(one, adapter.fixed_rows or 1) for one in adapter.inputs]
            else:
                arrays = [np.atleast_2d(_arguments.to_array(value)) for value in values]
            if arrays[number].dtype.kind not in "fuib":  # a path, or a text
                arrays[number] = _example(adapter.inputs[number], 1)
            arrays[number] = np.full_like(arrays[number], word)
            runs.append(adapter.embeddings(arrays, names))
        except Exception:  # it does not run on these
            return []
    return [
        one
        for one, other in zip(*runs, strict=False)
        if one.where == other.where
        and one.words.shape == other.words.shape == arrays[number].shape
        and (one.words != other.words).any()
    ]


def _example(one: Input, rows: int) -> np.ndarray:
    """Return ones for an input."""
    return np.ones([rows, *[size or 8 for size in one.shape or ()]], one.dtype)


def _consumers(adapter: Adapter, number: int) -> list[Consumer]:
    symbolic = ends.symbolic(adapter.model)
    if symbolic is None:
        return ends.of_layers(adapter.model)
    return ends.of_input(adapter.model, symbolic[0][number])


def _as_wanted(adapter: Adapter, one: Input, layers: Sequence[Consumer], kind: Kind) -> Recognised:
    if kind.has_channels and one.shape is not None and len(one.shape) == kind.rank - 1:
        kind = kind.without_channels()
    if one.shape is None or len(one.shape) == kind.rank:
        same = [each for each in layers if each.kind == kind.name]
        return Recognised.by(kind, same[0]) if same else Recognised(kind)
    raise ModelError(
        f"Expected an input {kind.shape} in model {adapter.model.name!r}, since "
        f"kind={kind.name!r}.",
        f"Its input {one.name!r} has shape {one.shape}.",
        "Leave kind= out, or name one that has as many axes.",
        _READ,
    )


def _of_layers(adapter: Adapter, one: Input, layers: Sequence[Consumer]) -> Recognised:
    """Return the kind of a model that does not say what it takes, by all of its layers."""
    seen = {each.kind for each in layers}
    if not seen or "picture" in seen:
        return Recognised(PICTURE)
    if len(seen) == 1 and not _has(layers, TOKENS):
        return Recognised.by(kind_named(layers[0].kind), layers[0])
    if seen == {VIDEO.name, SIGNAL.name}:  # frames, then what became of them
        return Recognised(VIDEO)
    raise _unclear(adapter, one, [kind_named(name) for name in sorted(seen)])


def _is_picture(given: Any) -> bool:
    first = given[0] if isinstance(given, list | tuple) and len(given) else given
    if isinstance(first, str | os.PathLike | Image.Image):
        return not reading.is_array_file(first)
    try:
        return bool(_arguments.to_array(first).dtype == "uint8")
    except Exception:  # whatever a tensor without values raises
        return False


def _not_embedded(adapter: Adapter, one: Input) -> ModelError:
    return ModelError(
        f"Expected an Embedding layer that takes input {one.name!r} of model "
        f"{adapter.model.name!r}, since kind='tokens'.",
        "There is no such layer.",
        "Leave kind= out, or explain the input that holds the words.",
        _READ,
    )


def _several(adapter: Adapter, one: Input, calls: Sequence[EmbeddingCall]) -> ModelError:
    where = ", ".join(f"{call.path}@{call.number}" for call in calls)
    return ModelError(
        f"Expected one Embedding of input {one.name!r} of model {adapter.model.name!r}: "
        "attributions of words are those of its output.",
        f"It is embedded {len(calls)} times: {where}.",
        "Explain a model with one Embedding of these words.",
        _READ,
    )


def _unclear(adapter: Adapter, one: Input, readings: Sequence[Kind]) -> ModelError:
    shape = f"Its input {one.name!r} has shape {one.shape}"
    if len(one.shape or ()) == 1:
        return ModelError(
            f"Expected an input of model {adapter.model.name!r} that can be explained.",
            f"{shape} and dtype {one.dtype}: whole numbers that no Embedding layer takes.",
            "Explain another input, or pass kind='table' with a method that needs no gradient.",
            _READ,
        )
    if not readings:
        return ModelError(
            f"Expected model {adapter.model.name!r} to take pictures, signals, volumes, videos, "
            "texts or tables.",
            f"{shape}: {len(one.shape or ())} axes.",
            "Reshape inside the model from one to four axes without the batch.",
            _READ,
        )
    return ModelError(
        f"Expected a model that shows what it takes; {adapter.model.name!r} does not.",
        f"{shape}, and no layer shows whether it is "
        f"{' or '.join(f'{kind.one} {kind.shape}' for kind in readings)}.",
        f"Say it: {' or '.join(f'kind={kind.name!r}' for kind in readings)}.",
        _READ,
    )

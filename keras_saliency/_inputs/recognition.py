"""What an input is, shown by the layers that first take it; where nothing shows it, a question."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from keras_saliency._graph import consumers
from keras_saliency._graph.adapter import Adapter, Input
from keras_saliency._graph.consumers import Consumer
from keras_saliency._inputs import kinds, reading, text
from keras_saliency._inputs.kinds import PICTURE, SIGNAL, TABLE, TOKENS, Kind
from keras_saliency.errors import ModelError, _arguments

_READ = "help(keras_saliency.explain)"
_NONE = Consumer("", None, "")


@dataclass(frozen=True)
class Recognised:
    """An input's kind, and the layer that shows it: for tokens their Embedding."""

    kind: Kind
    consumer: Consumer = _NONE


def recognise(
    adapter: Adapter, number: int, given: Any, wanted: str | None, one: Input
) -> Recognised:
    """Return the kind of one of a model's inputs.

    Args:
        adapter: The model.
        number: Which input.
        given: What the caller passed for it: a path or uint8 pixels can only be a picture.
        wanted: The kind's name by the caller, or None.
        one: The input itself.

    Raises:
        ModelError: Nothing shows it, or it has too many axes or too few.
        MethodError: No kind is called so.
    """
    shown = _consumers(adapter, number)
    if wanted is not None:
        return _as_wanted(adapter, one, shown, kinds.get(wanted))
    if one.shape is None:
        return _of_layers(adapter, shown)
    rank = len(one.shape)
    embedded = [each for each in shown if each.kind == TOKENS.name]
    if rank == 1:
        if embedded:
            return Recognised(TOKENS, embedded[0])
        signals = [each for each in shown if each.kind == SIGNAL.name and not each.has_channels]
        return Recognised(SIGNAL.without_channels(), signals[0]) if signals else Recognised(TABLE)
    if rank == 3:
        return Recognised(PICTURE)
    if rank == 2:
        readings = [SIGNAL, PICTURE.without_channels()]
    elif rank == 4:
        readings = [kinds.VOLUME, kinds.VIDEO]
        if (only := reading.shown_kind(_first(given))) is not None:
            return _as_wanted(adapter, one, shown, kinds.get(only))
    else:
        readings = []
    fitting = [
        (kind, each)
        for each in shown
        for kind in readings
        if (each.kind, each.has_channels) == (kind.name, kind.has_channels)
    ]
    if len({kind for kind, _ in fitting}) == 1:
        return Recognised(*fitting[0])
    if rank == 2 and _is_picture(given):
        return Recognised(PICTURE.without_channels())
    raise _unclear(adapter, one, readings)


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
        return kinds.get(wanted)
    if text.takes_texts(own):
        return TOKENS
    if len(own.inputs) != 1:
        return PICTURE  # the caller's dict decides
    try:
        return recognise(own, 0, given, None, own.inputs[0]).kind
    except ModelError:  # explain() will report it, with what it needs to know
        return PICTURE


def _consumers(adapter: Adapter, number: int) -> list[Consumer]:
    ends = consumers.symbolic(adapter.model)
    if ends is None:
        return consumers.of_layers(adapter.model)
    return consumers.of_input(adapter.model, ends[0][number])


def _as_wanted(adapter: Adapter, one: Input, shown: Sequence[Consumer], kind: Kind) -> Recognised:
    embedded = [each for each in shown if each.kind == TOKENS.name]
    if kind.is_embedded:
        if not embedded:
            raise ModelError(
                f"Expected an Embedding layer that takes input {one.name!r} of model "
                f"{adapter.model.name!r}, since kind='tokens'.",
                "No such layer was found.",
                "Leave kind= out, or explain the input that holds the words.",
                _READ,
            )
        return Recognised(kind, embedded[0])
    same = next((each for each in shown if each.kind == kind.name), _NONE)
    if one.shape is None or len(one.shape) == kind.rank:
        return Recognised(kind, same)
    if kind.has_channels and len(one.shape) == kind.rank - 1:
        return Recognised(kind.without_channels(), same)
    raise ModelError(
        f"Expected an input {kind.shape} in model {adapter.model.name!r}, since "
        f"kind={kind.name!r}.",
        f"Its input {one.name!r} has shape {one.shape}.",
        "Leave kind= out, or name one that has as many axes.",
        _READ,
    )


def _of_layers(adapter: Adapter, shown: Sequence[Consumer]) -> Recognised:
    """Return the kind of a model that does not say what it takes, by all of its layers."""
    found = {each.kind for each in shown}
    if not found or "picture" in found:
        return Recognised(PICTURE)
    if len(found) == 1:
        return Recognised(kinds.get(found.pop()), shown[0])
    if TOKENS.name in found and found <= {TOKENS.name, SIGNAL.name}:  # vectors of words in time
        return Recognised(TOKENS, next(each for each in shown if each.kind == TOKENS.name))
    if found == {kinds.VIDEO.name, SIGNAL.name}:  # frames, then what became of them
        return Recognised(kinds.VIDEO)
    raise _unclear(adapter, adapter.inputs[0], [kinds.get(name) for name in sorted(found)])


def _first(given: Any) -> Any:
    return given[0] if isinstance(given, list | tuple) and len(given) else given


def _is_picture(given: Any) -> bool:
    first = _first(given)
    if isinstance(first, str | os.PathLike | Image.Image):
        return not reading.is_array_file(first)
    try:
        return bool(_arguments.to_array(first).dtype == "uint8")
    except Exception:  # whatever a tensor without values raises
        return False


def _unclear(adapter: Adapter, one: Input, readings: Sequence[Kind]) -> ModelError:
    shape = f"Its input {one.name!r} has shape {one.shape}"
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

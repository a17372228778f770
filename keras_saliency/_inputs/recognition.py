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
from keras_saliency._inputs import kinds
from keras_saliency._inputs.kinds import PICTURE, SIGNAL, TABLE, TOKENS, VIDEO, VOLUME, Kind
from keras_saliency.errors import ModelError, _arguments

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Recognised:
    """An input's kind, and facts of the layer that shows it.

    Attributes:
        kind: The kind.
        path: The layer's path: of tokens, of their Embedding.
        words: How many words an Embedding knows.
        padding: The number that the model masks; None where it masks none.
    """

    kind: Kind
    path: str = ""
    words: int = 0
    padding: float | None = None

    @classmethod
    def by(cls, kind: Kind, consumer: Consumer) -> Recognised:
        """Return a kind shown by a layer."""
        layer, padding = consumer.layer, None
        if kind.is_embedded:
            padding = 0.0 if getattr(layer, "mask_zero", False) else None
        elif type(layer).__name__ == "Masking":
            padding = float(layer.mask_value)
        return cls(kind, consumer.path, getattr(layer, "input_dim", 0), padding)


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
    if (known := shown(adapter, number, wanted, one)) is not None:
        return known
    readings = _READINGS.get(len(one.shape or ()), ())
    if PICTURE.without_channels() in readings and _is_picture(given):
        return Recognised(PICTURE.without_channels())
    raise _unclear(adapter, one, readings)


_READINGS = {2: (SIGNAL, PICTURE.without_channels()), 4: (VOLUME, VIDEO)}


def shown(adapter: Adapter, number: int, wanted: str | None, one: Input) -> Recognised | None:
    """Return the kind that the model alone shows, as `recognise` does; None where it is unclear."""
    layers = _consumers(adapter, number)
    if wanted is not None:
        return _as_wanted(adapter, one, layers, kinds.get(wanted))
    if one.shape is None:
        return _of_layers(adapter, one, layers)
    if len(one.shape) == 3:
        return Recognised(PICTURE)
    fitting = [
        (kind, each)
        for each in layers
        for kind in _READINGS.get(len(one.shape), (TOKENS, SIGNAL.without_channels()))
        if (each.kind, each.has_channels or kind.is_embedded) == _like(kind)
        if kind.rank == len(one.shape)
    ]
    if len(one.shape) == 1 and not fitting:
        return Recognised(TABLE)
    if len({kind for kind, _ in fitting}) == 1 or len(one.shape) == 1:
        return Recognised.by(*fitting[0])
    return None


def _like(kind: Kind) -> tuple[str, bool]:
    return kind.name, kind.has_channels or kind.is_embedded


def _consumers(adapter: Adapter, number: int) -> list[Consumer]:
    ends = consumers.symbolic(adapter.model)
    if ends is None:
        return consumers.of_layers(adapter.model)
    return consumers.of_input(adapter.model, ends[0][number])


def _as_wanted(adapter: Adapter, one: Input, layers: Sequence[Consumer], kind: Kind) -> Recognised:
    embedded = [each for each in layers if each.kind == TOKENS.name]
    if kind.is_embedded:
        if not embedded:
            raise ModelError(
                f"Expected an Embedding layer that takes input {one.name!r} of model "
                f"{adapter.model.name!r}, since kind='tokens'.",
                "No such layer was found.",
                "Leave kind= out, or explain the input that holds the words.",
                _READ,
            )
        return Recognised.by(kind, embedded[0])
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
    found = {each.kind for each in layers}
    if not found or "picture" in found:
        return Recognised(PICTURE)
    if len(found) == 1:
        return Recognised.by(kinds.get(layers[0].kind), layers[0])
    if TOKENS.name in found and found <= {TOKENS.name, SIGNAL.name}:  # vectors of words in time
        return Recognised.by(TOKENS, next(each for each in layers if each.kind == TOKENS.name))
    if found == {VIDEO.name, SIGNAL.name}:  # frames, then what became of them
        return Recognised(VIDEO)
    raise _unclear(adapter, one, [kinds.get(name) for name in sorted(found)])


def _is_picture(given: Any) -> bool:
    first = given[0] if isinstance(given, list | tuple) and len(given) else given
    if isinstance(first, str | os.PathLike | Image.Image):
        return True
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

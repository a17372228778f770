"""The scores behind a terminal softmax or sigmoid, found while the model runs, without changing it.

Every layer that ends in a softmax or sigmoid is asked for its value before that activation as well.
Whichever of these outputs turns out to *be* the model's output gives the logits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from keras_saliency.intercept import Handler, intercept

# "softmax": over the channels, "other softmax": over anything else, such as all pixels.
Activation = Literal["softmax", "other softmax", "sigmoid"]

# Operations that move values about without changing any: logits pass through them as outputs do.
_CARRIERS = ("Cast", "Dropout", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape",
             "Squeeze", "Transpose")  # fmt: skip

# Layers whose output is their activation's. An RNN's cell has one too, but uses it on the way.
_ENDING = (
    "Dense", "EinsumDense",
    *(f"{kind}Conv{n}D" for n in (1, 2, 3) for kind in ("", "Separable", "Depthwise")),
    *(f"Conv{n}DTranspose" for n in (1, 2, 3)),
)  # fmt: skip


class Logits:
    """What was seen before each softmax or sigmoid during one run of a model."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._seen: dict[int, tuple[Any, Any, Activation]] = {}

    def of(self, output: Any) -> tuple[Any, Activation | None]:
        """Return the logits behind ``output`` and the activation between; itself where none is."""
        _, logits, activation = self._seen.get(id(output), (output, output, None))
        return logits, activation

    def _note(self, output: Any, logits: Any, activation: Activation) -> None:
        self._seen[id(output)] = (output, logits, activation)  # kept, so that no id is used twice


@contextlib.contextmanager
def recorded(operations: Iterable[Any], channels_first: bool = False) -> Iterator[Logits]:
    """Run a model inside this block, then ask the result for the logits of its outputs.

    Args:
        operations: The model's layers and operations.
        channels_first: Whether its maps are (B, C, H, W).
    """
    logits = Logits()
    sites = []
    for operation in operations:
        handler = _handler(operation, logits, channels_first)
        if handler is not None:
            sites.append((operation, handler))
    with intercept(sites):
        yield logits


def _handler(operation: Any, logits: Logits, channels_first: bool) -> Handler | None:
    import keras

    kind = type(operation).__name__
    # What a subclass does with its activation nobody can know.
    if not type(operation).call.__module__.startswith("keras."):
        return None
    function = getattr(operation, "activation", None)
    softmax, sigmoid = (function is getattr(keras.activations, n) for n in ("softmax", "sigmoid"))
    if kind in ("Softmax", "Sigmoid") or (kind == "Activation" and (softmax or sigmoid)):
        name: Activation = "softmax" if softmax or kind == "Softmax" else "sigmoid"
        return _after(operation, logits, name, channels_first)
    if kind in _ENDING and (softmax or sigmoid):
        return _inside(operation, logits, "softmax" if softmax else "sigmoid")
    linear = kind == "Activation" and function is keras.activations.linear
    return _carry(logits, kind) if linear or kind in _CARRIERS else None


def _after(operation: Any, logits: Logits, activation: Activation, channels_first: bool) -> Handler:
    """Handle an operation that does nothing but apply its activation."""
    axis = getattr(operation, "axis", -1)

    def handler(original, *args, **kwargs):
        output = original(*args, **kwargs)
        rank = len(output.shape)
        channels = 1 if channels_first and rank == 4 else rank - 1
        among_channels = isinstance(axis, int) and axis % rank == channels
        moved = activation == "softmax" and not among_channels
        before = args[0] if args else next(iter(kwargs.values()))
        logits._note(output, before, "other softmax" if moved else activation)
        return output

    return handler


def _inside(layer: Any, logits: Logits, activation: Activation) -> Handler:
    """Handle a layer that ends in its activation: run it without, then apply that."""
    import keras

    # A shallow copy shares every variable; only the copy's activation is replaced.
    linear = _bare_copy(layer)
    object.__setattr__(linear, "activation", keras.activations.linear)

    def handler(original, *args, **kwargs):
        quantized = getattr(layer, "quantization_mode", None) is not None
        before = (linear.quantized_call if quantized else linear.call)(*args, **kwargs)
        output = layer.activation(before)
        logits._note(output, before, activation)
        return output

    return handler


def _bare_copy(layer: Any) -> Any:
    twin = object.__new__(type(layer))
    hidden = ("call", "quantized_call", "rematerialized_call")  # our own dispatchers stay behind
    twin.__dict__.update({k: v for k, v in layer.__dict__.items() if k not in hidden})
    return twin


def _carry(logits: Logits, kind: str) -> Handler:
    """Handle an operation that only moves values: what it does to outputs it does to logits."""

    def handler(original, *args, **kwargs):
        output = original(*args, **kwargs)
        if args and id(args[0]) in logits._seen and output is not args[0]:
            _, before, activation = logits._seen[id(args[0])]
            moved = kind in ("Permute", "Transpose") or output.shape[-1] != before.shape[-1]
            if activation == "softmax" and moved:
                activation = "other softmax"
            logits._note(output, original(before, *args[1:], **kwargs), activation)
        return output

    return handler

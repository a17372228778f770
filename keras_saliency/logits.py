"""The scores behind a terminal softmax or sigmoid, found while the model runs, without changing it.

Every layer that ends in a softmax or sigmoid is asked for its value before that activation as well.
Whichever of these outputs turns out to *be* the model's output gives the logits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from keras_saliency.intercept import Handler, intercept
from keras_saliency.layers import walk

Activation = Literal["softmax", "sigmoid"]

# Operations that move values about without changing any: logits pass through them as outputs do.
_CARRIERS = {
    "Cast", "Dropout", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape", "Squeeze",
    "Transpose",
}  # fmt: skip


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
def recorded(model: Any) -> Iterator[Logits]:
    """Run ``model`` inside this block, then ask the result for the logits of its outputs."""
    logits = Logits()
    sites = []
    for _, operation in walk(model):
        handler = _handler(operation, logits)
        if handler is not None:
            sites.append((operation, handler))
    with intercept(sites):
        yield logits


def _handler(operation: Any, logits: Logits) -> Handler | None:
    import keras

    kind = type(operation).__name__
    if not _is_keras(operation):
        return None
    activation = _activation(operation)
    if activation is not None:
        if kind in ("Softmax", "Sigmoid", "Activation"):
            return _after(logits, activation)
        return _inside(operation, logits, activation)
    linear = kind == "Activation" and operation.activation is keras.activations.linear
    return _carry(logits) if linear or kind in _CARRIERS else None


def _is_keras(operation: Any) -> bool:
    """Whether ``call`` is Keras' own: what a subclass does with its activation nobody can know."""
    return type(operation).call.__module__.startswith("keras.")


def _activation(operation: Any) -> Activation | None:
    import keras

    kind = type(operation).__name__
    if kind in ("Softmax", "Sigmoid"):
        last = getattr(operation, "axis", -1) in (-1, (-1,), [-1])
        return kind.lower() if last else None  # type: ignore[return-value]
    if isinstance(operation, keras.layers.RNN):
        return None  # its activation is applied at every step, not to its output
    function = getattr(operation, "activation", None)
    if function is keras.activations.softmax:
        return "softmax"
    return "sigmoid" if function is keras.activations.sigmoid else None


def _after(logits: Logits, activation: Activation) -> Handler:
    def handler(original, *args, **kwargs):
        output = original(*args, **kwargs)
        logits._note(output, args[0] if args else next(iter(kwargs.values())), activation)
        return output

    return handler


def _inside(layer: Any, logits: Logits, activation: Activation) -> Handler:
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


def _carry(logits: Logits) -> Handler:
    def handler(original, *args, **kwargs):
        output = original(*args, **kwargs)
        if args and id(args[0]) in logits._seen and output is not args[0]:
            _, before, activation = logits._seen[id(args[0])]
            logits._note(output, original(before, *args[1:], **kwargs), activation)
        return output

    return handler

"""The values before a terminal softmax or sigmoid, and what kind of output they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from keras_saliency._backend.hooks import intercept, is_builtin_keras_layer
from keras_saliency._graph import operations as steps
from keras_saliency._graph.calls import Call
from keras_saliency._graph.operations import Run, Step
from keras_saliency._graph.survey import CallTrace

# "softmax": over the channels, "other softmax": over other axes, such as all pixels.
Activation = Literal["softmax", "other softmax", "sigmoid"]

# Operations that move values about without changing any: logits pass through them as outputs do.
_CARRIERS = ("Cast", "Dropout", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape",
             "Squeeze", "Transpose", "linear")  # fmt: skip
_ACTIVATIONS = {"Softmax": "softmax", "softmax": "softmax", "Sigmoid": "sigmoid",
                "sigmoid": "sigmoid"}  # fmt: skip


class Logits:
    """The values before each softmax or sigmoid during one run of a model."""

    def __init__(self, channels_first: bool) -> None:
        """Start empty."""
        self._channels_first = channels_first
        self._seen: dict[int, tuple[Any, Any, Activation]] = {}

    def of(self, output: Any) -> tuple[Any, Activation | None]:
        """Return the logits behind ``output`` and the activation between; itself where none is."""
        _, logits, activation = self._seen.get(id(output), (output, output, None))
        return logits, activation

    def watch(self, step: Step, output: Any) -> None:
        """Look at a step of the run and its output."""
        if step.name in _ACTIVATIONS:
            self._note(output, step.inputs[0], self._activation(step, output))
        elif step.name in _CARRIERS and step.inputs and id(step.inputs[0]) in self._seen:
            self._carry(step, output)
        elif step.name == "Concatenate" and all(id(one) in self._seen for one in step.inputs):
            before = [self._seen[id(one)] for one in step.inputs]
            sigmoids = all(activation == "sigmoid" for _, _, activation in before)
            logits = step.function(*(one for _, one, _ in before))
            self._note(output, logits, "sigmoid" if sigmoids else "other softmax")

    def _activation(self, step: Step, output: Any) -> Activation:
        if _ACTIVATIONS[step.name] == "sigmoid":
            return "sigmoid"
        axis, rank = getattr(step.operation, "axis", -1), len(output.shape)
        if step.name == "softmax":  # a function: over the last axis
            axis = -1
        channels = 1 if self._channels_first and rank == 4 else rank - 1
        return "softmax" if axis in (channels, channels - rank) else "other softmax"

    def _carry(self, step: Step, output: Any) -> None:
        """Apply an operation on outputs to their logits as well."""
        given, *others = step.inputs
        if output is given:
            return
        _, before, activation = self._seen[id(given)]
        moved = step.name in ("Permute", "Transpose") or output.shape[-1] != before.shape[-1]
        if activation == "softmax" and moved:
            activation = "other softmax"
        self._note(output, step.function(before, *others), activation)

    def _note(self, output: Any, logits: Any, activation: Activation) -> None:
        self._seen[id(output)] = (output, logits, activation)  # held, so that no id is reused


@contextlib.contextmanager
def recorded(
    operations: Iterable[Any], channels_first: bool = False, run: Run | None = None
) -> Iterator[Logits]:
    """Run a model inside this block; the result then has the logits of its outputs.

    Args:
        operations: The model's layers and operations.
        channels_first: Whether its maps are (B, C, H, W).
        run: Runs each step of the model; ``None`` runs them as they are.
    """
    logits = Logits(channels_first)

    def watched(step):
        output = (run or Step.run)(step)
        logits.watch(step, output)
        return output

    sites = [one for one in operations if run is not None or _matters(one)]
    with intercept((one, steps.handler(one, watched)) for one in sites):
        yield logits


def _matters(operation: Any) -> bool:
    """Whether an operation has a step that logits are known by."""
    if not is_builtin_keras_layer(operation):
        return False
    kind, function = type(operation).__name__, getattr(operation, "activation", None)
    if kind == "Activation" or steps.ends_in_activation(operation):
        name = steps.name_of(function)
        return name in _ACTIVATIONS or (kind == "Activation" and name == "linear")
    return kind in _ACTIVATIONS or kind in _CARRIERS or kind == "Concatenate"


_LINEAR = ("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "SeparableConv1D",
           "SeparableConv2D")  # fmt: skip
# Their outputs are logits if their inputs are.
_NEUTRAL = ("Add", "Average", "Cast", "Dropout", "ExpandDims", "Flatten", "GetItem",
             "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
             "Identity", "Mean", "Permute", "Reshape", "Squeeze", "Transpose")  # fmt: skip
_FLATTENING = ("Flatten", "Reshape")
_REGRESSIONS = ("circle", "cosinesimilarity", "huber", "logcosh", "meanabsoluteerror",
                "meanabsolutepercentageerror", "meansquarederror", "meansquaredlogarithmicerror",
                "poisson")  # fmt: skip


@dataclass(frozen=True)
class Head:
    """The layer that made an output; its path is ``""`` where no single layer did."""

    path: str
    kind: str
    is_linear: bool

    def __str__(self) -> str:
        """Return words for a message."""
        return f"{self.path!r} ({self.kind})" if self.path else "arithmetic outside any layer"


def head(result: CallTrace) -> Head:
    """Return the layer that made the output of a survey."""
    contributing = [call.number for call in result.calls if call.contributes]
    number = min((n for n in contributing if result.calls[n].is_end), default=None)
    if number is None:
        return Head("", "", False)
    path, kind = result.calls[number].path, _kind(result.calls[number].layer)
    while number >= 0:
        call = result.calls[number]
        operation = call.layer
        if _has_inner(operation) and call.begins < number:
            number -= 1
        elif _carries(operation):
            number = max((n for n in contributing if n < number), default=-1)
        else:
            after = [result.calls[n] for n in contributing if n > number]
            return Head(path, kind, _is_linear(operation) and not _is_laid_out(operation, after))
    return Head(path, kind, False)


def _is_laid_out(operation: Any, after: list[Call]) -> bool:
    """Whether an output flattens a convolution's map: its positions are no classes."""
    flat = [one.shape[-1] or 0 for one in after if type(one.layer).__name__ in _FLATTENING]
    return 0 < getattr(operation, "filters", 0) < max(flat, default=0)


def _kind(operation: Any) -> str:
    name = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return type(operation).__name__ + ("" if name == "linear" else f" with {name}")


def is_regression(loss: Any) -> bool:
    """Whether a loss, as ``compile`` takes it, is for numbers or embeddings, not for classes."""
    import keras

    if isinstance(loss, str | dict):
        try:
            loss = keras.losses.get(loss)
        except (TypeError, ValueError):  # no name of Keras
            return False
    kind = loss if isinstance(loss, type) else type(loss)
    names = [one.__name__ for one in kind.__mro__] + [getattr(loss, "__name__", "")]
    return any(str(name).replace("_", "").lower() in _REGRESSIONS for name in names)


def _has_inner(operation: Any) -> bool:
    import keras

    return not is_builtin_keras_layer(operation) or isinstance(operation, keras.Model)


def _carries(operation: Any) -> bool:
    if not is_builtin_keras_layer(operation):
        return False
    name = type(operation).__name__
    return name in _NEUTRAL or (name == "Activation" and _is_plain(operation))


def _is_linear(operation: Any) -> bool:
    named = type(operation).__name__ in _LINEAR and is_builtin_keras_layer(operation)
    return named and _is_plain(operation)


def _is_plain(operation: Any) -> bool:
    function = getattr(operation, "activation", None)
    return function is None or getattr(function, "__name__", "") == "linear"

"""Programs that add to, replace or read the outputs of layers during a run, and what they return.

Each takes ``body(images, target_args, extra_inputs) -> (scores, aux)`` and returns a function of
more arguments.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency import _graph


def changed_at(body: Callable[..., Any], call: _graph.Call) -> Callable[..., Any]:
    """The same, with zeros added to one layer's output, whose gradient is the layer's."""
    from keras import ops

    def changed(delta, images, target_args, extra_inputs):
        def add(output, part):
            return output + ops.cast(part, output.dtype)

        with _graph.tap(call, add, delta) as seen:
            scores, aux = body(images, target_args, extra_inputs)
        return scores, {**aux, "activations": ops.cast(seen.joined(call), delta.dtype)}

    return changed


def replaced_at(body: Callable[..., Any], call: _graph.Call) -> Callable[..., Any]:
    """The same, with one layer's output replaced; steps that only lead to it are compiled away."""
    from keras import ops

    def replaced(activations, images, target_args, extra_inputs):
        def replace(output, part):
            return ops.cast(part, output.dtype)

        with _graph.tap(call, replace, activations):
            return body(images, target_args, extra_inputs)

    return replaced


def seen_at(body: Callable[..., Any], call: _graph.Call) -> Callable[..., Any]:
    """The same, with one layer's output in ``aux``."""
    from keras import ops

    def seen_at(images, target_args, extra_inputs):
        with _graph.tap(call, lambda output, _: output) as seen:
            scores, aux = body(images, target_args, extra_inputs)
        return scores, {**aux, "activations": ops.cast(seen.joined(call), images.dtype)}

    return seen_at


def weakened(reference: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with every kernel multiplied by a number; the model's own are left alone."""
    import keras

    def run(*args):
        strength = args[-1]
        weaker = [
            (variable, variable.value * keras.ops.cast(strength[0], variable.dtype))
            for variable in reference().variables
            if len(variable.shape) > 1 and "float" in str(variable.dtype)
        ]
        with keras.StatelessScope(state_mapping=weaker):
            return function(*args[:-1])

    return run


def answering(body: Callable[..., Any], calls: tuple[_graph.Call, ...]) -> Callable[..., Any]:
    """The same, with zeros added to the outputs of several calls, and their cells in ``aux``."""
    from keras import ops

    def answering(deltas, images, target_args, extra_inputs):
        def add(output, part):
            return output + ops.cast(part, output.dtype)

        with contextlib.ExitStack() as stack:
            seen = [
                stack.enter_context(_graph.tap(call, add, delta))
                for call, delta in zip(calls, deltas, strict=True)
            ]
            scores, _ = body(images, target_args, extra_inputs)
        cells = {}
        for number, call in enumerate(calls):
            output = ops.cast(seen[number].joined(call), images.dtype)
            if call.channels_first and call.has_map_shape:
                output = ops.moveaxis(output, 1, -1)
            mixed = np.random.default_rng(0).normal(size=(output.shape[-1], _MIXED))
            cells[str(number)] = ops.matmul(output, ops.convert_to_tensor(mixed, images.dtype))
        return scores, {"cells": cells}

    return answering


ANSWERS = ("answers", "answers' gradient")
_MIXED = 4  # random sums of a cell's channels: a change of all of them seen in none is unlikely

AT_A_LAYER: dict[str, Callable[..., Any]] = {
    "activations": seen_at,
    "scores of activations": replaced_at,
    "layer gradient": changed_at,
    "answers": answering,
    "answers' gradient": answering,
}


Variant = tuple[int, np.ndarray]  # index of the source picture, and the changed one (H, W, C)


@dataclass(frozen=True)
class LayerOutput:
    """A layer's output.

    Attributes:
        layer: Its path, with ``"@k"`` for the k-th call where it is called more than once.
        activations: (B, h, w, K) channels last, without tokens that are no picture.
        finding: What looks wrong about the choice of the layer, or ``""``.
        call: Its call.
        whole: The output as the layer returns it.
    """

    layer: str
    activations: np.ndarray
    finding: str
    call: _graph.Call
    whole: np.ndarray


@dataclass(frozen=True)
class LayerGradient(LayerOutput):
    """A layer's output and the gradient of the score by it, of the same shape."""

    gradients: np.ndarray


@dataclass(frozen=True)
class Backward:
    """A rule's result: values at the pictures (B, H, W, C), in its probes, and its notes."""

    values: np.ndarray
    collected: tuple[np.ndarray, ...]
    seen: dict[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """What an engine's pictures are made from: the pictures of a call, and the target's choice."""

    reference_images: np.ndarray
    indices: list[int]
    target_args: dict[str, np.ndarray]

"""Programs that change, replace or read layers' outputs during a run; normalisation folded into it.

Each program takes ``body(images, target_args, extra_inputs) -> (scores, aux)`` and returns a
function of more arguments.

Folding: in inference a convolution and the batch normalisation behind it are linear, so one
convolution with other weights does the work of both (Jacob et al. 2018, arXiv:1712.05877, section
3.2). The convolution itself is traced as well: where another layer or a tap reads its output, it
exists, and elsewhere it is compiled away. On TensorFlow that takes MobileNetV2's gradient to 0.75
of the time.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency import _backend, _graph, config
from keras_saliency._graph import linear_steps, operations
from keras_saliency._graph.operations import Step, ends_in_activation
from keras_saliency._hooks import Handler, intercept


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
    shared: Callable[..., Any] | None = None  # results that several targets share


_EXACT = ("float32", "float64")


@contextlib.contextmanager
def folded(model: Any) -> Iterator[None]:
    """Fold within this block, where the backend gains by it.

    A handler that intercepts a layer inside the block wraps the fold.

    Args:
        model: A Keras model.
    """
    made: dict[int, tuple[Any, Step]] = {}  # by id of a convolution's output, which it holds
    handlers: list[tuple[Any, Handler]] = []
    folds = _backend.current().FOLDS and config.is_rewriting_enabled()
    for _, one in _graph.walk(model) if folds else ():
        if _is_convolution(one):
            handlers.append((one, _noting(one, made)))
        elif type(one).__name__ == "BatchNormalization" and _is_as_keras_made_it(one):
            handlers.append((one, _folding(one, made)))
    with intercept(handlers):
        yield


def _is_convolution(layer: Any) -> bool:
    name = type(layer).__name__
    return (
        name in operations.KERNELS
        and "Conv" in name
        and not name.startswith("Separable")
        and _is_as_keras_made_it(layer)
        and not ends_in_activation(layer)
        and getattr(layer, "quantization_mode", None) is None
    )


def _is_as_keras_made_it(layer: Any) -> bool:
    """Whether its arithmetic is unchanged, in a subclass and on the instance."""
    own = [layer.__dict__.get(name) for name in ("call", "convolution_op")]
    own = [getattr(one, "_replaced", one) for one in own]  # dispatchers of `intercept` do not count
    return type(layer).__module__.startswith("keras.") and not any(own)


def _noting(layer: Any, made: dict[int, tuple[Any, Step]]) -> Handler:
    def handler(original, *args, **kwargs):
        output = original(*args, **kwargs)
        if len(args) == 1:
            made[id(output)] = output, Step(layer, type(layer).__name__, original, args)
        return output

    return handler


def _folding(norm: Any, made: dict[int, tuple[Any, Step]]) -> Handler:
    def handler(original, *args, training=None, **kwargs):
        before = made.get(id(args[0])) if len(args) == 1 else None
        if before is not None and not training and _is_worth_it(before[0], before[1].operation):
            output, step = before
            (linear_step,) = linear_steps.linear_steps(step)
            whole = linear_step.folded(norm, len(output.shape))
            if whole is not None:
                return whole.apply(step.inputs[0], whole.kernel) + whole.bias
        return original(*args, training=training, **kwargs)

    return handler


def _is_worth_it(output: Any, layer: Any) -> bool:
    """Whether scaling the kernel costs less than a pass over the activations, which it saves."""
    import keras

    shape = tuple(output.shape[1:])
    exact = keras.backend.standardize_dtype(output.dtype) in _EXACT
    return exact and None not in shape and math.prod(layer.kernel.shape) <= math.prod(shape)

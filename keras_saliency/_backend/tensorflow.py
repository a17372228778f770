"""TensorFlow: ``tf.function`` without XLA, which is up to 12 times slower on depthwise networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_saliency._backend.shared import not_differentiable

COMPILES = True
FOLDS = True

Variables = Callable[[], list[Any]]


def _tensors(args: Any) -> Any:
    return tf.nest.map_structure(tf.convert_to_tensor, args)


def _compile(run: Callable[..., Any]) -> Any:
    compiled = tf.function(run, autograph=False)
    # TensorFlow takes several models explained in a row for one function traced too often, and
    # warns. The attribute is private; without it the warning comes, and nothing else happens.
    compiled._omit_frequent_tracing_warning = True
    return compiled


def forward(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``function`` of arrays."""

    def run(*args):
        with keras.StatelessScope():
            return function(*args)

    compiled = _compile(run)
    return lambda *args: compiled(*_tensors(args))


def value_and_grad(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``(x, *rest) -> (scores, aux, gradient of sum(scores) by x)``."""

    def run(x, *rest):
        # Weights are not watched, so their gradients are never part of the graph.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tf.nest.flatten(x))
            with keras.StatelessScope():
                scores, aux = function(x, *rest)
            total = tf.reduce_sum(scores)
        gradients = tape.gradient(total, tf.nest.flatten(x))
        if all(one is None for one in gradients):
            raise not_differentiable()
        gradients = [
            tf.zeros_like(given) if one is None else one
            for given, one in zip(tf.nest.flatten(x), gradients, strict=True)
        ]
        return scores, aux, tf.nest.pack_sequence_as(x, gradients)

    compiled = _compile(run)
    return lambda *args: compiled(*_tensors(args))


def vjp(function: Callable[..., Any], *inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return ``function(*inputs)`` and ``upstream -> gradients``, one for each input."""
    cut = [tf.stop_gradient(one) for one in inputs]
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
        tape.watch(cut)
        output = function(*cut)
    return output, lambda upstream: tape.gradient(
        output, cut, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )


def redirect(output: Any, inputs: Any, backward: Callable[[Any], Any]) -> Any:
    """Return ``output``, whose gradient reaches ``inputs`` as ``backward(upstream)``, a tuple."""
    output = tf.stop_gradient(output)

    @tf.custom_gradient
    def through(*inputs):
        return tf.identity(output), lambda upstream: tuple(backward(upstream))

    return through(*inputs)


def dry_run(function: Callable[..., Any], variables: Variables, *args: np.ndarray) -> None:
    """Trace ``function`` into a graph; nothing is computed."""

    def run(*tensors):
        with keras.StatelessScope():
            function(*tensors)
        return tf.constant(0)

    tf.function(run, autograph=False).get_concrete_function(*_tensors(args))


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether the device has not the memory for what was asked."""
    return isinstance(error, tf.errors.ResourceExhaustedError)

"""TensorFlow: ``tf.function`` without XLA, which is up to 12 times slower on depthwise networks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_saliency._backend import not_differentiable, switched, values_of

try:  # tf.custom_gradient does the same, and in a graph holds model and graph for ever
    from tensorflow.python.eager import record
except ImportError:
    record = None

COMPILES = True
FOLDS = True
READS_ARE_APART = True  # who writes to a variable that was read writes into a new buffer

Variables = Callable[[], list[Any]]


def _tensors(args: Any) -> Any:
    return tf.nest.map_structure(tf.convert_to_tensor, args)


def _compile(run: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile a function of the variables' values and of arrays, for each shape of these."""

    def stateless(values, *args):
        mapping = list(zip(variables(), values, strict=True))
        return run(lambda: keras.StatelessScope(state_mapping=mapping), *args)

    compiled = tf.function(stateless, autograph=False)
    # TensorFlow takes several models explained in a row for one function traced too often, and
    # warns. The attribute is private; without it only the warning appears.
    compiled._omit_frequent_tracing_warning = True
    traced: dict[Any, Any] = {}

    def call(*args):
        tensors, values = _tensors(args), values_of(variables(), read)
        # Finding the trace by shape here saves 5 ms of looking at each of MobileNetV2's weights.
        key = tuple((tuple(one.shape), one.dtype) for one in tf.nest.flatten(tensors))
        if key not in traced:
            traced[key] = compiled.get_concrete_function(values, *tensors)
        return traced[key](values, *tensors)

    return call


_readers: dict[int, Any] = {}  # by a model's first variable, which cannot be hashed


def read(variables: list[Any], apart: bool = False) -> list[Any]:
    """Return the values of variables, all at once; later writes do not change them."""
    if not variables:
        return []
    stored = [variable._value for variable in variables]  # its property takes ten times as long
    key = id(variables[0])
    known = _readers.get(key)
    if known is None or len(known[0]) != len(stored) or any(map(_is_other, known[0], stored)):
        # One by one takes ten times as long.
        together = tf.function(lambda: [one.value() for one in stored], autograph=False)
        gone = weakref.ref(variables[0], lambda _: _readers.pop(key, None))
        known = _readers[key] = stored, together.get_concrete_function(), gone
    return known[1]()


def _is_other(one: Any, other: Any) -> bool:
    return one is not other


def marked(variables: list[Any]) -> Any:
    """Return marks that show whether variables were written since: their values, held."""
    return read(variables)


def held(marks: Any) -> list[Any]:
    """Return the values that were marked."""
    return marks


def are_marked(marks: Any, variables: list[Any]) -> bool:
    """Whether variables are unchanged since they were marked."""
    values = read(variables)
    if len(values) != len(marks):
        return False
    if values and "GPU" in values[0].device:
        return all(map(_has_same_content, marks, values))
    try:
        return list(map(_place, marks)) == list(map(_place, values))
    except (BufferError, TypeError, ValueError):
        return all(map(_has_same_bytes, marks, values))


def content(values: list[Any]) -> Any:
    """Do nothing: values that were read are never written to."""


def _place(value: Any) -> int:
    """Return where a tensor's buffer lies; asking for its shape would take ten times as long."""
    return np.frombuffer(value, np.uint8).__array_interface__["data"][0]


def _has_same_bytes(held: Any, value: Any) -> bool:
    return held.numpy().tobytes() == value.numpy().tobytes()


def _has_same_content(held: Any, value: Any) -> bool:
    """Whether two tensors on a GPU hold the same; NaN is never the same."""
    return held.shape == value.shape and bool(tf.reduce_all(held == value))


@switched
def forward(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``function`` of arrays."""

    def run(scope, *args):
        with scope():
            return function(*args)

    return _compile(run, variables)


@switched
def value_and_grad(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``(x, *rest) -> (scores, aux, gradient of sum(scores) by x)``."""

    def run(scope, x, *rest):
        # Weights are not watched, so their gradients are never part of the graph.
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(tf.nest.flatten(x))
            with scope():
                scores, aux = function(x, *rest)
            totals = tf.nest.map_structure(tf.reduce_sum, scores)
        if isinstance(totals, tuple):
            return scores, aux, tuple(_gradient(tape, one, x) for one in totals)
        return scores, aux, _gradient(tape, totals, x)

    return _compile(run, variables)


def _gradient(tape: Any, total: Any, x: Any) -> Any:
    gradients = tape.gradient(total, tf.nest.flatten(x))
    if all(one is None for one in gradients):
        raise not_differentiable()
    gradients = [
        tf.zeros_like(given) if one is None else one
        for given, one in zip(tf.nest.flatten(x), gradients, strict=True)
    ]
    return tf.nest.pack_sequence_as(x, gradients)


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
    if record is None:

        @tf.custom_gradient
        def through(*inputs):
            return tf.identity(output), lambda upstream: tuple(backward(upstream))

        return through(*inputs)
    with record.stop_recording():
        result = tf.identity(output)
    sources = [tf.convert_to_tensor(one) for one in inputs]  # some are variables
    record.record_operation("redirect", [result], sources, backward)
    return result


def ancestors(
    function: Callable[..., Any], variables: Variables, *args: Any
) -> dict[Any, frozenset[Any]]:
    """Trace ``function(note, *args)``; return which noted tensors each one is computed from.

    Names are hashable. A tensor is among its own ancestors, and so is every other name of it.
    """
    noted: list[tuple[Any, Any]] = []

    def run(*tensors):
        with keras.StatelessScope():
            function(lambda name, tensor: noted.append((name, tensor)), *tensors)
        return tf.constant(0)

    graph = tf.function(run, autograph=False).get_concrete_function(*_tensors(args)).graph
    bits: dict[Any, int] = {}
    for bit, (_, tensor) in enumerate(noted):
        if getattr(tensor, "graph", None) is graph:  # not inside a loop, which cannot be followed
            bits[tensor.ref()] = bits.get(tensor.ref(), 0) | 1 << bit
    masks: dict[Any, int] = {}
    for operation in graph.get_operations():  # in the order of their making
        mask = 0
        for tensor in operation.inputs:
            mask |= masks.get(tensor.ref(), 0)
        for tensor in operation.outputs:
            masks[tensor.ref()] = mask | bits.get(tensor.ref(), 0)

    def of(tensor):
        mask = masks.get(tensor.ref(), 0) if tf.is_tensor(tensor) else 0
        return frozenset(name for bit, (name, _) in enumerate(noted) if mask >> bit & 1)

    return {name: of(tensor) for name, tensor in noted}


def dry_run(function: Callable[..., Any], variables: Variables, *args: np.ndarray) -> None:
    """Trace ``function`` into a graph, without computing."""

    def run(*tensors):
        with keras.StatelessScope():
            function(*tensors)
        return tf.constant(0)

    tf.function(run, autograph=False).get_concrete_function(*_tensors(args))


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error reports that the device's memory ran out."""
    return isinstance(error, tf.errors.ResourceExhaustedError)

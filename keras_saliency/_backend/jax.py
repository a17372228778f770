"""JAX: everything under jit, weights as arguments.

Weights that are closed over become constants: 27 s and 1.5 GB to compile VGG16 instead of 3 s and
0.3 GB, and stale for ever. They are read anew at each call, since ``fit`` donates their buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from jax.custom_derivatives import SymbolicZero

from keras_saliency._backend.jax_cpu import rewritten
from keras_saliency._backend.shared import not_differentiable

COMPILES = True
FOLDS = False

Variables = Callable[[], list[Any]]


def _stateless(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    def run(values, *args):
        given = list(zip(variables(), values, strict=True))
        with keras.StatelessScope(state_mapping=given), rewritten():
            return function(*args)

    return run


def _values(variables: Variables) -> list[Any]:
    return [variable.value for variable in variables()]


def forward(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``function`` of arrays."""
    compiled = jax.jit(_stateless(function, variables))
    return lambda *args: compiled(_values(variables), *_dealt_out(args))


def value_and_grad(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``(x, *rest) -> (scores, aux, gradient of sum(scores) by x)``."""
    run = _stateless(function, variables)

    def traced(x, values, *rest):
        mark, reached = _mark()

        def total(x):
            scores, aux = run(values, x, *rest)
            return mark(scores).sum(), (scores, aux)

        (_, (scores, aux)), gradient = jax.value_and_grad(total, has_aux=True)(x)
        if not reached:
            raise not_differentiable()
        return scores, aux, gradient

    compiled = jax.jit(traced)

    def differentiated(*args):
        x, *rest = _dealt_out(args)
        return compiled(x, _values(variables), *rest)

    return differentiated


def _dealt_out(args: Any) -> Any:
    """Put equally many rows on each device of Keras' distribution, where there is one."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return args

    def put(array):
        layout = distribution.get_data_layout(array.shape)
        mesh = layout.device_mesh
        devices = mesh.shape[mesh.axis_names.index(layout.axes[0])]
        if array.shape[0] % devices:
            return array  # and JAX has every device do all of it
        return keras.distribution.distribute_tensor(array, layout)

    return jax.tree.map(put, args)


def _mark() -> tuple[Callable[[Any], Any], list[bool]]:
    """Return an identity, and a list that is filled once a derivative passes through it.

    Where none does, JAX gives a gradient of zeros without a word.
    """
    reached: list[bool] = []

    @jax.custom_jvp
    def mark(scores):
        return scores

    def rule(primals, tangents):
        if not isinstance(tangents[0], SymbolicZero):
            reached.append(True)
        return primals[0], tangents[0]

    mark.defjvp(rule, symbolic_zeros=True)
    return mark, reached


def vjp(function: Callable[..., Any], *inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return ``function(*inputs)`` and ``upstream -> gradients``, one for each input."""
    return jax.vjp(function, *map(jax.lax.stop_gradient, inputs))


def redirect(output: Any, inputs: Any, backward: Callable[[Any], Any]) -> Any:
    """Return ``output``, whose gradient reaches ``inputs`` as ``backward(upstream)``, a tuple."""
    output = jax.lax.stop_gradient(output)
    # What a backward pass closes over must not belong to a trace that has ended by then: it is
    # traced here and now, and what it needs travels as an argument.
    traced = jax.make_jaxpr(lambda upstream: tuple(backward(upstream)))(output)

    @jax.custom_vjp
    def through(output, needed, *inputs):
        return output

    def forward(output, needed, *inputs):
        return output, needed

    def back(needed, upstream):
        return None, None, *jax.core.eval_jaxpr(traced.jaxpr, needed, upstream)

    through.defvjp(forward, back)
    return through(output, [jax.lax.stop_gradient(one) for one in traced.consts], *inputs)


def dry_run(function: Callable[..., Any], variables: Variables, *args: np.ndarray) -> None:
    """Trace ``function`` abstractly; nothing is computed."""
    jax.eval_shape(_stateless(function, variables), _values(variables), *args)


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return jax.tree.map(np.asarray, tensors)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether the device has not the memory for what was asked."""
    told = str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in told or "Out of memory" in told
    )

"""JAX: everything under jit, weights as arguments.

Weights that are closed over become constants: 27 s and 1.5 GB to compile VGG16 instead of 3 s and
0.3 GB, and stale for ever. They are read anew at each call, since ``fit`` donates their buffers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from keras_saliency._backend import not_differentiable, switched, values_of
from keras_saliency._backend.jax_cpu import rewritten

COMPILES = True
FOLDS = False
READS_ARE_APART = True  # but `fit` and `predict` may have them deleted

Variables = Callable[[], list[Any]]


def _stateless(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    def run(values, *args):
        given = list(zip(variables(), values, strict=True))
        with keras.StatelessScope(state_mapping=given), rewritten():
            return function(*args)

    return run


def read(variables: list[Any], apart: bool = False) -> list[Any] | None:
    """Return the values of variables, or None where ``fit`` has taken them away.

    ``variable.value`` is then a newly drawn one, so this reads the private attribute.
    """
    values = [variable._value for variable in variables]
    if any(value is None or _is_deleted(value) for value in values):
        return None
    if not apart:
        return values
    try:
        return [jnp.array(value, copy=True) for value in values]
    except (RuntimeError, ValueError):  # the latter where the copy itself finds one deleted
        if any(map(_is_deleted, values)):  # meanwhile
            return None
        raise


def _is_deleted(value: Any) -> bool:
    return (
        isinstance(value, jax.Array)
        and not isinstance(value, jax.core.Tracer)
        and value.is_deleted()
    )


def marked(variables: list[Any]) -> Any:
    """Return marks that show whether variables were assigned since; None where they are deleted."""
    values = read(variables)
    return None if values is None else [weakref.ref(value) for value in values]


def are_marked(marks: Any, variables: list[Any]) -> bool:
    """Whether variables were not assigned since they were marked."""
    values = read(variables)
    if values is None or len(values) != len(marks):
        return False
    return all(mark() is value for mark, value in zip(marks, values, strict=True))


def content(values: list[Any]) -> Any:
    """Do nothing: an array of JAX is never written to."""


@switched
def forward(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``function`` of arrays."""
    compiled = jax.jit(_stateless(function, variables))
    return lambda *args: compiled(values_of(variables(), read), *_dealt_out(args))


@switched
def value_and_grad(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Compile ``(x, *rest) -> (scores, aux, gradient of sum(scores) by x)``."""
    run = _stateless(function, variables)

    def traced(x, values, *rest):
        mark, reached = _mark()

        def totals(x):
            scores, aux = run(values, x, *rest)
            return jax.tree.map(lambda one: mark(one).sum(), scores), (scores, aux)

        sums, pullback, (scores, aux) = jax.vjp(totals, x, has_aux=True)
        if len(reached) < len(jax.tree.leaves(sums)):
            raise not_differentiable()
        if not isinstance(sums, tuple):
            return scores, aux, pullback(jnp.ones_like(sums))[0]
        ones = np.eye(len(sums))
        gradients = [pullback(tuple(map(jnp.full_like, sums, row)))[0] for row in ones]
        return scores, aux, tuple(gradients)

    compiled = jax.jit(traced)

    def differentiated(*args):
        x, *rest = _dealt_out(args)
        return compiled(x, values_of(variables(), read), *rest)

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


def ancestors(
    function: Callable[..., Any], variables: Variables, *args: Any
) -> dict[Any, frozenset[Any]]:
    """Trace ``function(note, *args)``; return which noted tensors each one is computed from."""

    def run(note, values, *args):
        _stateless(lambda *args: function(note, *args), variables)(values, *args)

    return _ancestors(run, _shapes(variables), *args)


def dry_run(function: Callable[..., Any], variables: Variables, *args: np.ndarray) -> None:
    """Trace ``function`` abstractly, without computing."""
    jax.eval_shape(_stateless(function, variables), _shapes(variables), *args)


def _shapes(variables: Variables) -> list[Any]:
    return [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in variables()]


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return jax.tree.map(np.asarray, tensors)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error reports that the device's memory ran out."""
    message = str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in message or "Out of memory" in message
    )


_LOOPS = ("scan", "while", "cond")  # an input may return: every output depends on every input


def _ancestors(function: Callable[..., Any], *args: Any) -> dict[Any, frozenset[Any]]:
    """Return, for each noted tensor, the names of the noted tensors it is computed from.

    Args:
        function: ``(note, *args)``; calls ``note(name, tensor)`` while it is traced. Names are
            hashable. A tensor is among its own ancestors, and so is every other name of it.
        *args: Arrays; only their shapes count.
    """
    names: list[Any] = []

    def note(name, tensor):
        # The equation stays in the jaxpr although its result is unused.
        checkpoint_name(tensor, str(len(names)))
        names.append(name)

    traced = jax.make_jaxpr(lambda *args: function(note, *args))(*args)
    masks: dict[int, int] = {}
    _follow(traced.jaxpr, [0] * len(traced.jaxpr.invars), masks)
    return {
        name: frozenset(names[bit] for bit in _bits(masks.get(number, 0)))
        for number, name in enumerate(names)
    }


def _follow(jaxpr: Jaxpr, given: list[int], masks: dict[int, int]) -> list[int]:
    """Return the ancestors of a jaxpr's outputs, as bits; ``masks`` collects those of the notes."""
    noted: dict[Any, int] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name" and not isinstance(equation.invars[0], Literal):
            noted[equation.invars[0]] = noted.get(equation.invars[0], 0) | 1 << _number(equation)
    known = {
        variable: mask | noted.get(variable, 0)
        for variable, mask in zip(jaxpr.invars, given, strict=True)
    }

    def of(variable: Any) -> int:
        return 0 if isinstance(variable, Literal) else known.get(variable, noted.get(variable, 0))

    for equation in jaxpr.eqns:
        inputs = [of(variable) for variable in equation.invars]
        outputs = _outputs(equation, inputs, masks)
        for variable, mask in zip(equation.outvars, outputs, strict=True):
            known[variable] = mask | noted.get(variable, 0)
    for variable, bits in noted.items():
        for number in _bits(bits):
            masks[number] = masks.get(number, 0) | of(variable)
    return [of(variable) for variable in jaxpr.outvars]


def _outputs(equation: Any, inputs: list[int], masks: dict[int, int]) -> list[int]:
    inner = list(_inside(equation.params))
    counts = len(equation.invars), len(equation.outvars)
    if (
        len(inner) == 1
        and equation.primitive.name not in _LOOPS
        and (len(inner[0].invars), len(inner[0].outvars)) == counts
    ):
        return _follow(inner[0], inputs, masks)
    everything = 0
    for mask in inputs:
        everything |= mask
    before = set(masks)
    for one in inner:
        for mask in _follow(one, [everything] * len(one.invars), masks):
            everything |= mask
    for number in set(masks) - before:  # inside a loop every note may have seen every other
        everything |= masks[number]
    for number in set(masks) - before:
        masks[number] |= everything
    return [everything] * len(equation.outvars)


def _inside(parameters: Mapping[str, Any]) -> Iterator[Jaxpr]:
    """Yield the jaxprs among an equation's parameters."""
    for value in parameters.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _number(equation: Any) -> int:
    return int(equation.params["name"])


def _bits(mask: int) -> Iterator[int]:
    number = 0
    while mask:
        if mask & 1:
            yield number
        mask, number = mask >> 1, number + 1

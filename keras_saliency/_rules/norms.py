"""Normalisation by the input's own spread: y = (x - mean) / spread * gamma + beta.

Layer, RMS, group and unit normalisation, as layers and as ``keras.ops`` functions. (Batch
normalisation divides by a constant, and is none.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency._graph.linear_steps import Linear, precise
from keras_saliency._graph.operations import Step

NAMES = frozenset({
    "LayerNormalization", "LayerNorm", "RMSNormalization", "RMSNorm", "GroupNormalization",
    "UnitNormalization", "Normalize",
})  # fmt: skip


@dataclass(frozen=True)
class Norm:
    """A normalisation in parts: ``scaled(centred(x) * inverse(size(centred(x)**2))) + beta``.

    Attributes:
        centred: ``x`` to what is divided and whose squares are taken; linear.
        size: Squares to their mean or sum, of a shape that broadcasts to x's parts; linear.
        inverse: That to 1 / spread, elementwise.
        scaled: The quotient to gamma times it, in the layer's own shape; linear.
        beta: The final summand; None for none.
    """

    centred: Callable[[Any], Any]
    size: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    scaled: Callable[[Any], Any]
    beta: Any

    def held(self, x: Any) -> Linear:
        """Return it as a linear step of x with the spread held as it is at ``x`` (AttnLRP)."""
        from keras import ops

        quotient = ops.stop_gradient(self.inverse(self.size(ops.square(self.centred(x)))))

        def apply(x, kernel):
            return self.scaled(self.centred(x) * kernel)

        return Linear(apply, quotient, self.beta, None)


def norm(step: Step) -> Norm | None:
    """Return a step that is one of `NAMES` in parts; None where it has a form of its own."""
    layer, name = step.operation, step.name
    if name == "GroupNormalization":
        return _by_group(layer, len(step.inputs[0].shape))
    if name in ("UnitNormalization", "Normalize"):
        return _unit(layer, name)
    if getattr(layer, "rms_scaling", False):  # divides x by the deviation from its mean
        return None
    import keras

    rms = name.startswith("RMS")
    names = ("scale",) if rms else ("gamma", "beta")
    if isinstance(layer, keras.Layer):
        given = {one: getattr(layer, one, None) for one in names}
    else:
        given = dict(zip(names, step.arguments[1:], strict=False)) | dict(step.keywords)
    shape = step.inputs[0].shape
    given_axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
    axes = {one % len(shape) for one in given_axes}
    if axes != set(range(len(shape) - len(axes), len(shape))):
        return None  # Keras' backends differ here, in the axes or in those of the scale
    epsilon = keras.config.epsilon() if layer.epsilon is None else layer.epsilon
    return _by_axes(shape, sorted(axes), epsilon, not rms, *map(given.get, names))


def _by_axes(
    shape: Any, axes: list[int], epsilon: float, mean: bool, gamma: Any, beta: Any = None
) -> Norm:
    from keras import ops

    def along(values):
        values = precise(ops.convert_to_tensor(values))
        wide = [size if axis in axes else 1 for axis, size in enumerate(shape)]
        return values if len(values.shape) == len(shape) else ops.reshape(values, wide)

    def centred(x):
        return x - ops.mean(x, axis=axes, keepdims=True) if mean else x

    return Norm(
        centred,
        lambda squares: ops.mean(squares, axis=axes, keepdims=True),
        lambda size: ops.rsqrt(size + epsilon),
        lambda quotient: quotient if gamma is None else quotient * along(gamma),
        None if beta is None else along(beta),
    )


def _unit(layer: Any, name: str) -> Norm | None:
    import keras
    from keras import ops

    least = 1e-12 if name == "UnitNormalization" else layer.epsilon
    if name == "Normalize" and layer.order != 2:
        return None
    least = keras.config.epsilon() if least is None else least
    axes = layer.axis if isinstance(layer.axis, int) else tuple(layer.axis)
    return Norm(
        lambda x: x,
        lambda squares: ops.sum(squares, axis=axes, keepdims=True),
        lambda size: ops.rsqrt(ops.maximum(size, least**2)),
        lambda quotient: quotient,
        None,
    )


def _by_group(layer: Any, rank: int) -> Norm:
    from keras import ops

    axis = layer.axis % rank

    def grouped(x):
        shape = list(x.shape)
        shape[axis : axis + 1] = [layer.groups, shape[axis] // layer.groups]
        return ops.reshape(x, [-1, *shape[1:]])

    def whole(x):
        shape = list(x.shape)
        shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
        return ops.reshape(x, [-1, *shape[1:]])

    others = [one for one in range(1, rank + 1) if one != axis]

    def centred(x):
        x = grouped(x)
        return x - ops.mean(x, axis=others, keepdims=True)

    def along(variable):
        shape = [1] * rank
        shape[axis] = -1
        return ops.reshape(precise(ops.convert_to_tensor(variable)), shape)

    return Norm(
        centred,
        lambda squares: ops.mean(squares, axis=others, keepdims=True),
        lambda size: ops.rsqrt(size + layer.epsilon),
        lambda quotient: whole(quotient) * along(layer.gamma) if layer.scale else whole(quotient),
        along(layer.beta) if layer.center else None,
    )

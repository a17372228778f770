"""Layers as arithmetic: sums over a kernel, apply(x, kernel) + bias, and normalisations.

A normalisation is by the input's own spread, y = (x - mean) / spread * gamma + beta: layer, RMS,
group and unit normalisation, as layers and as ``keras.ops`` functions. (Batch normalisation divides
by a constant, and is none.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keras_saliency._graph.operations import Step


@dataclass(frozen=True)
class Linear:
    """One linear step.

    Attributes:
        apply: ``(x, kernel) -> y``, linear in both.
        kernel: Its weights.
        bias: The summand, of a shape that broadcasts to y; None for none.
        channels: Along which axis of y, and of the kernel, the output's channels lie; None where a
            kernel does not say.
    """

    apply: Callable[[Any, Any], Any]
    kernel: Any
    bias: Any
    channels: tuple[int, tuple[int, ...]] | None

    def folded(self, norm: Any, rank: int) -> Linear | None:
        """Return this step and the batch normalisation behind it as one step; None: no way."""
        from keras import ops

        if self.channels is None or norm.axis % rank != self.channels[0] % rank:
            return None
        scale = ops.rsqrt(_tensor(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            scale = scale * _tensor(norm.gamma)
        shift = -_tensor(norm.moving_mean) * scale
        if norm.center:
            shift = shift + _tensor(norm.beta)
        along = [1] * rank
        along[self.channels[0]] = -1
        scale_y, shift = ops.reshape(scale, along), ops.reshape(shift, along)
        bias = shift if self.bias is None else self.bias * scale_y + shift
        kernel = self.kernel * ops.reshape(scale, self.channels[1])
        return replace(self, kernel=kernel, bias=bias)


def linear_steps(step: Step) -> list[Linear]:
    """Return a step of one of the kinds `operations.KERNELS` as linear steps, in order."""
    layer, name = step.operation, step.name
    if name == "Dense":
        return [_dense(layer)]
    if name == "EinsumDense":
        return [_einsum(layer)]
    rank = len(step.inputs[0].shape)
    if name.startswith("Separable"):
        return _separable(layer, rank)
    if name.startswith("Depthwise"):
        return [_depthwise(layer, layer.kernel, layer.bias, rank)]
    return [_transposed(layer, rank) if name.endswith("Transpose") else _convolution(layer, rank)]


def precise(tensor: Any) -> Any:
    """Return a tensor in float32 or more: half precision is too coarse for divisions."""
    import keras

    return keras.ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))


def _tensor(variable: Any) -> Any:
    from keras import ops

    return None if variable is None else precise(ops.convert_to_tensor(variable))


def _dense(layer: Any) -> Linear:
    from keras import ops

    return Linear(ops.matmul, _tensor(layer.kernel), _tensor(layer.bias), (-1, (1, -1)))


def _einsum(layer: Any) -> Linear:
    from keras import ops

    def apply(x, kernel):
        return ops.einsum(layer.equation, x, kernel)

    return Linear(apply, _tensor(layer.kernel), _tensor(layer.bias), None)


def _convolution(layer: Any, rank: int) -> Linear:
    from keras import ops

    def causal(x, kernel):  # the layer pads by itself
        axis, length = _channel_axis(layer, rank), layer.dilation_rate[0] * (kernel.shape[0] - 1)
        pads = [(0, 0)] * 3
        pads[3 - axis] = (length, 0)
        return ops.conv(
            ops.pad(x, pads), kernel, strides=list(layer.strides), padding="valid",
            dilation_rate=layer.dilation_rate, data_format=layer.data_format,
        )  # fmt: skip

    kernel_along = (*[1] * (rank - 1), -1)
    apply = causal if layer.padding == "causal" else layer.convolution_op
    return Linear(
        apply, _tensor(layer.kernel), _bias(layer.bias, layer, rank),
        (_channel_axis(layer, rank), kernel_along),
    )  # fmt: skip


def _transposed(layer: Any, rank: int) -> Linear:
    from keras import ops

    def apply(x, kernel):
        return ops.conv_transpose(
            x, kernel, strides=list(layer.strides), padding=layer.padding,
            output_padding=layer.output_padding, dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )  # fmt: skip

    kernel_along = (*[1] * (rank - 2), -1, 1)
    return Linear(
        apply, _tensor(layer.kernel), _bias(layer.bias, layer, rank),
        (_channel_axis(layer, rank), kernel_along),
    )  # fmt: skip


def _depthwise(layer: Any, kernel: Any, bias: Any, rank: int) -> Linear:
    from keras import ops

    def apply(x, kernel):
        return ops.depthwise_conv(
            x, kernel, strides=layer.strides, padding=layer.padding,
            dilation_rate=layer.dilation_rate, data_format=layer.data_format,
        )  # fmt: skip

    kernel_along = (*[1] * (rank - 2), *kernel.shape[-2:])
    return Linear(
        apply, _tensor(kernel), _bias(bias, layer, rank), (_channel_axis(layer, rank), kernel_along)
    )


def _separable(layer: Any, rank: int) -> list[Linear]:
    from keras import ops

    def pointwise(x, kernel):
        return ops.conv(x, kernel, strides=1, padding="valid", data_format=layer.data_format)

    kernel_along = (*[1] * (rank - 1), -1)
    second = Linear(
        pointwise, _tensor(layer.pointwise_kernel), _bias(layer.bias, layer, rank),
        (_channel_axis(layer, rank), kernel_along),
    )  # fmt: skip
    return [_depthwise(layer, layer.depthwise_kernel, None, rank), second]


def _channel_axis(layer: Any, rank: int) -> int:
    return 1 if layer.data_format == "channels_first" else rank - 1


def _bias(bias: Any, layer: Any, rank: int) -> Any:
    from keras import ops

    if bias is None:
        return None
    along = [1] * rank
    along[_channel_axis(layer, rank)] = -1
    return ops.reshape(_tensor(bias), along)


NORMS = frozenset({
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
    """Return a step that is one of `NORMS` in parts; None where it has a form of its own."""
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

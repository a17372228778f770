"""Layers with a kernel, as the sums that they are: apply(x, kernel) + bias."""

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

"""Steps of Keras' layers that copy more than they compute on PyTorch, written otherwise.

The functions they stand in for are Keras' private ones: where one is not found, everything works,
slower. Measured by ``python -m benchmarks run``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import torch
from keras.src.backend.torch import nn

from keras_saliency.intercept import intercept_functions


def rewritten() -> contextlib.AbstractContextManager[None]:
    """Return a block in which this thread's layers run as written here."""
    return intercept_functions(
        nn,
        {
            "_transpose_spatial_inputs": _as_a_view,
            "_transpose_conv_kernel": _kernel,
            "conv": _convolution,
            "batch_normalization": _batch_normalization,
        },
    )


# A permuted view is what torch calls channels_last, and its kernels take that as it is: the same
# gradients to the bit, in 0.8 of the time.
_CHANNELS_TO_FRONT = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}


def _as_a_view(original: Callable[[Any], Any], inputs: Any) -> Any:
    """Stand in for a copy of each activation from NHWC to NCHW memory before a convolution."""
    if inputs.ndim in _CHANNELS_TO_FRONT:
        return inputs.permute(_CHANNELS_TO_FRONT[inputs.ndim])
    return original(inputs)


def _kernel(original: Callable[[Any], Any], kernel: Any) -> Any:
    """Copy a kernel from HWIO to OHWI memory as a matrix, which torch turns block by block.

    On one picture of 224x224 the copy of four axes takes as long as the convolution.
    """
    if kernel.ndim != 4:
        return original(kernel)
    height, width, inputs, outputs = kernel.shape
    turned = kernel.reshape(-1, outputs).t().contiguous()
    return turned.reshape(outputs, height, width, inputs).permute(0, 3, 1, 2)


def _convolution(
    original: Callable[..., Any],
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Run a pointwise convolution as the matrix product that it is: Keras' kernel fits uncopied."""
    last = (data_format or keras.config.image_data_format()) == "channels_last"
    known = isinstance(inputs, torch.Tensor) and inputs.ndim == 4
    # On a GPU products and convolutions are rounded differently, as the user has set.
    plain = last and known and inputs.device.type == "cpu"
    if not plain or tuple(kernel.shape[:3]) != (1, 1, inputs.shape[3]):
        return original(inputs, kernel, strides, padding, data_format, dilation_rate)
    rows, columns = (strides, strides) if isinstance(strides, int) else strides
    kernel = nn.convert_to_tensor(kernel)
    return torch.matmul(inputs[:, ::rows, ::columns], kernel[0, 0])


def _batch_normalization(
    original: Callable[..., Any],
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """Go over the activations once, not three times.

    Where a mean is 1e5 times the spread, digits are lost that Keras' order of steps would keep; it
    is the order that TensorFlow has.
    """
    given = [one for one in (mean, variance, offset, scale) if one is not None]
    given = [nn.convert_to_tensor(one) for one in given]
    if x.dtype not in (torch.float32, torch.float64) or any(g.dtype != x.dtype for g in given):
        return original(x, mean, variance, axis, offset, scale, epsilon)
    mean, variance, *_ = given
    factor = (variance + epsilon).rsqrt()
    if scale is not None:
        factor = factor * given[-1]
    shift = -mean * factor
    if offset is not None:
        shift = shift + given[2]
    along = [1] * x.ndim
    along[axis] = -1
    return torch.addcmul(shift.reshape(along), x, factor.reshape(along))

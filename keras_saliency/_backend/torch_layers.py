"""Faster forms of steps of Keras' layers that copy more than they compute on PyTorch.

They replace private functions of Keras: where one does not exist, or has a call that is unknown
here, the original runs, slower. Measured by ``python -m benchmarks run``.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import keras
import torch

from keras_saliency import config
from keras_saliency._hooks import intercept_functions

PRIVATE = "keras.src.backend.torch.nn"


def rewritten() -> contextlib.AbstractContextManager[None]:
    """Return a block in which this thread's layers run as written here."""
    if not config.is_rewriting_enabled():
        return contextlib.nullcontext()
    try:
        nn = importlib.import_module(PRIVATE)
    except ImportError:  # it moved: the layers run as they are
        return contextlib.nullcontext()
    return intercept_functions(nn, HANDLERS)


# A permuted view is what torch calls channels_last, and its kernels take that as it is: the same
# gradients to the bit, in 0.8 of the time.
_CHANNELS_TO_FRONT = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}


def _as_a_view(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Stand in for a copy of each activation from NHWC to NCHW memory before a convolution."""
    if len(args) == 1 and not kwargs and getattr(args[0], "ndim", 0) in _CHANNELS_TO_FRONT:
        return args[0].permute(_CHANNELS_TO_FRONT[args[0].ndim])
    return original(*args, **kwargs)


def _kernel(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Copy a kernel from HWIO to OHWI memory as a matrix, which torch turns block by block.

    On one picture of 224x224 the copy of four axes takes as long as the convolution.
    """
    if len(args) != 1 or kwargs or getattr(args[0], "ndim", 0) != 4 or 0 in args[0].shape:
        return original(*args, **kwargs)
    (kernel,) = args
    height, width, inputs, outputs = kernel.shape
    turned = kernel.reshape(-1, outputs).t().contiguous()
    return turned.reshape(outputs, height, width, inputs).permute(0, 3, 1, 2)


def _convolution(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a pointwise convolution as the matrix product that it is: Keras' kernel fits uncopied."""
    result = _product(*args, **kwargs) if _are_known(args, kwargs, _OF_CONVOLUTIONS, 2) else None
    return original(*args, **kwargs) if result is None else result


_OF_CONVOLUTIONS = ("inputs", "kernel", "strides", "padding", "data_format", "dilation_rate")


def _product(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Return the product, None where it is not one, or the original would raise."""
    kernel = getattr(kernel, "value", kernel)
    last = (data_format or keras.config.image_data_format()) == "channels_last"
    tensors = isinstance(inputs, torch.Tensor) and isinstance(kernel, torch.Tensor)
    # On a GPU products and convolutions are rounded differently, as the user has set.
    if not (last and tensors) or inputs.ndim != 4 or inputs.device.type != "cpu":
        return None
    same = inputs.dtype == kernel.dtype and inputs.dtype in _EXACT
    fits = kernel.ndim == 4 and tuple(kernel.shape[:3]) == (1, 1, inputs.shape[3])
    steps = (strides, strides) if isinstance(strides, int) else strides
    usual = isinstance(steps, tuple | list) and len(steps) == 2 and padding in ("valid", "same")
    if not (same and fits and usual and 0 not in inputs.shape):
        return None
    if any(type(step) is not int or step < 1 for step in steps):
        return None
    return torch.matmul(inputs[:, :: steps[0], :: steps[1]], kernel[0, 0])


_EXACT = (torch.float32, torch.float64)


def _batch_normalization(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Go over the activations twice, not three times, in Keras' order of steps."""
    result = _normalised(*args, **kwargs) if _are_known(args, kwargs, _OF_NORMS, 4) else None
    return original(*args, **kwargs) if result is None else result


_OF_NORMS = ("x", "mean", "variance", "axis", "offset", "scale", "epsilon")


def _normalised(
    x: Any,
    mean: Any,
    variance: Any,
    axis: Any,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """Return the normalised activations, None where Keras does more than this."""
    given = [getattr(one, "value", one) for one in (mean, variance, offset, scale)]
    mean, variance, offset, scale = given
    if not isinstance(x, torch.Tensor) or x.dtype not in _EXACT or type(axis) is not int:
        return None
    for one in (mean, variance, *(one for one in (offset, scale) if one is not None)):
        if not isinstance(one, torch.Tensor) or one.dtype != x.dtype or one.device != x.device:
            return None
        if not -x.ndim <= axis < x.ndim or tuple(one.shape) != (x.shape[axis],):
            return None
    factor = (variance + epsilon).rsqrt()
    if scale is not None:
        factor = factor * scale
    along = [1] * x.ndim
    along[axis] = -1
    centred = x - mean.reshape(along)
    if offset is None:
        return centred.mul_(factor.reshape(along))
    return torch.addcmul(offset.reshape(along), centred, factor.reshape(along))


def _are_known(args: Any, kwargs: Any, names: tuple[str, ...], needed: int) -> bool:
    """Whether a call has the arguments that are known here, each of them once."""
    given = {*names[: len(args)], *kwargs}
    once = len(args) <= len(names) and kwargs.keys() <= set(names[len(args) :])
    return once and given >= set(names[:needed])


HANDLERS = {
    "_transpose_spatial_inputs": _as_a_view,
    "_transpose_conv_kernel": _kernel,
    "conv": _convolution,
    "batch_normalization": _batch_normalization,
}

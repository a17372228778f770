"""A Keras network as torch.nn modules, channels first, as it would be written in PyTorch.

Same weights, memory channels last, one module a layer under the layer's own name, so that hooks of
PyTorch libraries attach to them. Vision transformers are not converted: there a PyTorch library
runs on the Keras object itself, as it does for everything that needs no map of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.contenders import MakeEntry
from benchmarks.contenders.handwritten import looped, torch_programs

_SAME_LOGITS = 1e-3  # of the largest; measured 1e-6 to 1e-5


def load() -> MakeEntry:
    """Return the hand-written programs on PyTorch without Keras."""
    return lambda method, subject: looped(
        method, subject, torch_programs(ChannelsLast(subject.loaded.native), None)
    )


class NotConvertible(Exception):
    """The network holds a layer that has no module here."""


class Twin(nn.Module):
    """A graph of modules, run in the order in which Keras would."""

    def __init__(self, model: Any) -> None:
        """Convert every layer of a functional model."""
        super().__init__()
        self.layers = nn.ModuleDict()
        self._steps: list[tuple[str, list[int], int]] = []
        for operation in model.operations:
            if isinstance(operation, keras.layers.InputLayer):
                continue
            inputs = operation.input if isinstance(operation.input, list) else [operation.input]
            self.layers[operation.name] = _module(operation)
            step = operation.name, [id(one) for one in inputs], id(operation.output)
            self._steps.append(step)
        self._ends = id(model.inputs[0]), id(model.outputs[0])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes) of pictures (B, C, H, W)."""
        tensors = {self._ends[0]: pictures}
        for name, inputs, output in self._steps:
            tensors[output] = self.layers[name](*(tensors[one] for one in inputs))
        return tensors[self._ends[1]]


def converted(model: Any) -> Twin:
    """Return the twin of a functional model that gives logits, for explaining, not for training.

    Raises:
        NotConvertible: It has a layer that is not known here.
    """
    twin = Twin(model).eval().requires_grad_(False)
    twin = twin.to("cuda" if torch.cuda.is_available() else "cpu")
    return twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def to_tensor(pictures: np.ndarray, gradient: bool = False) -> torch.Tensor:
    """Return pictures (B, H, W, C) as a tensor (B, C, H, W), channels last in memory."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.tensor(pictures, device=device).permute(0, 3, 1, 2).requires_grad_(gradient)


def to_numpy(attributions: torch.Tensor) -> np.ndarray:
    """Return attributions (B, C, H, W) as an array (B, H, W, C)."""
    return attributions.detach().permute(0, 2, 3, 1).cpu().numpy()


def require_same(twin: Twin, pictures: np.ndarray, logits: np.ndarray) -> None:
    """Refuse a twin that is none.

    Raises:
        NotConvertible: It gives other logits.
    """
    with torch.inference_mode():
        result = twin(to_tensor(pictures)).cpu().numpy()
    apart = float(np.abs(result - logits).max() / np.abs(logits).max())
    if not apart <= _SAME_LOGITS:  # NaN fails too
        raise NotConvertible(f"Its logits are {apart:.1e} of the largest away from Keras'.")


class ChannelsLast:
    """A network of modules that is called as a Keras model is, with pictures (B, H, W, C)."""

    def __init__(self, twin: Twin) -> None:
        """Wrap the network."""
        self._twin = twin
        self.parameters, self.requires_grad_ = twin.parameters, twin.requires_grad_

    def __call__(self, pictures: torch.Tensor, training: bool = False) -> torch.Tensor:
        return self._twin(pictures.permute(0, 3, 1, 2))


# --------------------------------------------------------------------------- one layer, one module


class _Function(nn.Module):
    """A module of a function without weights."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.forward = function


def _module(layer: Any) -> nn.Module:
    make = _MODULES.get(type(layer).__name__)
    if make is None:
        raise NotConvertible(f"No torch.nn module for {type(layer).__name__} {layer.name!r}.")
    return make(layer)


def _activation(function: Any) -> nn.Module:
    name = getattr(function, "__name__", str(function))
    known = {"relu": nn.ReLU, "relu6": nn.ReLU6, "linear": nn.Identity, "gelu": nn.GELU}
    if name not in known:
        raise NotConvertible(f"No torch.nn module for the activation {name!r}.")
    return known[name]()


def _convolution(layer: Any) -> nn.Module:
    kernel = _array(layer.kernel)
    if type(layer).__name__ == "DepthwiseConv2D":  # (h, w, inputs, multiplier)
        groups = kernel.shape[2]
        kernel = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
    else:  # (h, w, inputs of a group, outputs)
        groups = layer.groups
        kernel = kernel.transpose(3, 2, 0, 1)
    before, inside = _padding(layer, layer.kernel_size, layer.dilation_rate)
    made = nn.Conv2d(
        kernel.shape[1] * groups, kernel.shape[0], layer.kernel_size, layer.strides,
        padding=inside, dilation=layer.dilation_rate, groups=groups, bias=layer.bias is not None,
    )  # fmt: skip
    _fill(made.weight, kernel)
    if layer.bias is not None:
        _fill(made.bias, _array(layer.bias))
    return _chain(nn.ZeroPad2d(before) if before else None, made, _activation(layer.activation))


def _padding(layer: Any, kernel: Any, dilation: Any) -> tuple[Any, tuple[int, int]]:
    """Return what is padded in front of an uneven layer, and what the layer pads itself."""
    if layer.padding == "valid":
        return None, (0, 0)
    if layer.padding != "same":
        raise NotConvertible(f"The padding {layer.padding!r} of {layer.name!r}.")
    extra_inputs = zip(layer.input.shape[1:3], kernel, layer.strides, dilation, strict=True)
    totals = [
        max((-(-side // stride) - 1) * stride + (size - 1) * wide + 1 - side, 0)
        for side, size, stride, wide in extra_inputs
    ]
    if all(total % 2 == 0 for total in totals):
        return None, (totals[0] // 2, totals[1] // 2)
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return (left, right, top, bottom), (0, 0)


def _pool(layer: Any) -> nn.Module:
    before, inside = _padding(layer, layer.pool_size, (1, 1))
    made = nn.MaxPool2d(layer.pool_size, layer.strides, padding=inside)
    return _chain(nn.ConstantPad2d(before, -float("inf")) if before else None, made)


def _norm(layer: Any) -> nn.Module:
    if layer.axis not in (-1, 3):
        raise NotConvertible(f"Batch norm {layer.name!r} over axis {layer.axis}.")
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    made = nn.BatchNorm2d(len(mean), eps=layer.epsilon)
    _fill(made.weight, _array(layer.gamma) if layer.scale else np.ones_like(mean))
    _fill(made.bias, _array(layer.beta) if layer.center else np.zeros_like(mean))
    _fill(made.running_mean, mean)
    _fill(made.running_var, variance)
    return made


def _dense(layer: Any) -> nn.Module:
    if len(layer.input.shape) != 2:
        raise NotConvertible(f"The dense layer {layer.name!r}, which takes more than vectors.")
    kernel = _array(layer.kernel)
    made = nn.Linear(kernel.shape[0], kernel.shape[1], bias=layer.bias is not None)
    _fill(made.weight, kernel.T)
    if layer.bias is not None:
        _fill(made.bias, _array(layer.bias))
    return _chain(made, _activation(layer.activation))


def _relu(layer: Any) -> nn.Module:
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
        raise NotConvertible(f"The rectifier {layer.name!r}, with a slope, a threshold or a roof.")
    return nn.ReLU6() if layer.max_value else nn.ReLU()


def _zeros(layer: Any) -> nn.Module:
    (top, bottom), (left, right) = layer.padding
    return nn.ZeroPad2d((left, right, top, bottom))


def _mean(layer: Any) -> nn.Module:
    keep = layer.keepdims
    return _Function(lambda x: functional.adaptive_avg_pool2d(x, 1) if keep else x.mean((2, 3)))


def _reshape(layer: Any) -> nn.Module:
    """Keras reads a map row by row, channels innermost; so does this, whatever torch's order."""
    shape = tuple(layer.output.shape[1:])

    def reshaped(x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
        x = x.reshape(len(x), *shape)
        return x.permute(0, 3, 1, 2) if x.ndim == 4 else x

    return _Function(reshaped)


def _rescaling(layer: Any) -> nn.Module:
    scale, offset = (np.asarray(each, np.float32) for each in (layer.scale, layer.offset))
    return _affine(scale, offset)


def _normalization(layer: Any) -> nn.Module:
    deviation = np.sqrt(_array(layer.variance).reshape(-1))
    return _affine(1 / deviation, -_array(layer.mean).reshape(-1) / deviation)


def _affine(scale: np.ndarray, offset: np.ndarray) -> nn.Module:
    factor, term = (torch.tensor(each.reshape(-1, 1, 1)) for each in (scale, offset))
    return _Function(lambda x: x * factor.to(x.device) + term.to(x.device))


def _chain(*modules: nn.Module | None) -> nn.Module:
    """Return modules one after another, without those that do nothing."""
    used = [one for one in modules if one is not None and not isinstance(one, nn.Identity)]
    return used[0] if len(used) == 1 else nn.Sequential(*used)


def _array(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)


def _fill(parameter: Any, value: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.tensor(np.ascontiguousarray(value)))


_MODULES: dict[str, Callable[[Any], nn.Module]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "BatchNormalization": _norm,
    "Dense": _dense,
    "ReLU": _relu,
    "Activation": lambda layer: _activation(layer.activation),
    "ZeroPadding2D": _zeros,
    "MaxPooling2D": _pool,
    "GlobalAveragePooling2D": _mean,
    "Add": lambda layer: _Function(lambda *x: sum(x[1:], start=x[0])),
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Dropout": lambda layer: nn.Identity(),
    "Rescaling": _rescaling,
    "Normalization": _normalization,
}


# -------------------------------------------------------------------------------------- torchvision

_OPERATORS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_torchvision_operators() -> None:
    """Let torchvision be imported where its compiled part does not fit this PyTorch.

    It then fails to register shapes of two undeclared operators. They are declared here, without
    an implementation: a call of them is an error, and no code here calls them.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:  # made for CUDA, say
            continue
        return
    for name in _OPERATORS:
        torch.library.define(f"torchvision::{name}", _SIGNATURE)

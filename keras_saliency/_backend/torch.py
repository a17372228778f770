"""PyTorch: eager (``torch.compile`` is slower here), weights detached, layout copies left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch
from keras.src.backend.torch import nn as keras_nn

from keras_saliency._backend.shared import not_differentiable
from keras_saliency.intercept import intercept_functions

COMPILES = False

Variables = Callable[[], list[Any]]


def _tensors(args: Any) -> Any:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, args)


@contextlib.contextmanager
def _running(variables: Variables) -> Iterator[None]:
    # Detached weights: no weight gradients, and the user's requires_grad is left alone.
    frozen = [(variable, variable.value.detach()) for variable in variables()]
    # The function is Keras' private one: where it is not found, everything works, slower.
    views = intercept_functions(keras_nn, {"_transpose_spatial_inputs": _as_a_view})
    with keras.StatelessScope(state_mapping=frozen), views:
        yield


def forward(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Return ``function`` of arrays, run without recording for gradients."""

    def run(*args):
        with torch.no_grad(), _running(variables):
            return function(*_tensors(args))

    return run


def value_and_grad(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Return ``(x, *rest) -> (scores, aux, gradient of sum(scores) by x)``."""

    def run(x, *rest):
        # The user may have switched gradients off around us.
        with torch.inference_mode(False), torch.enable_grad(), _running(variables):
            x, *others = _tensors((x, *rest))
            x = keras.tree.map_structure(lambda one: one.detach().requires_grad_(True), x)
            scores, aux = function(x, *others)
            if not scores.requires_grad:
                raise not_differentiable()
            flat = keras.tree.flatten(x)
            gradients = torch.autograd.grad(scores.sum(), flat, allow_unused=True)
        if all(one is None for one in gradients):
            raise not_differentiable()
        gradients = [
            torch.zeros_like(given) if one is None else one
            for given, one in zip(flat, gradients, strict=True)
        ]
        return scores, aux, keras.tree.pack_sequence_as(x, gradients)

    return run


def vjp(function: Callable[..., Any], *inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return ``function(*inputs)`` and ``upstream -> gradients``, one for each input."""
    with torch.enable_grad():
        cut = [one.detach().requires_grad_(True) for one in inputs]
        output = function(*cut)
    return output, lambda upstream: torch.autograd.grad(
        output, cut, upstream, retain_graph=True, allow_unused=True, materialize_grads=True
    )


class _Redirect(torch.autograd.Function):
    @staticmethod
    def forward(ctx, output, backward, *inputs):
        ctx.rule = backward
        return output.detach()

    @staticmethod
    def backward(ctx, upstream):
        return None, None, *ctx.rule(upstream)


def redirect(output: Any, inputs: Any, backward: Callable[[Any], Any]) -> Any:
    """Return ``output``, whose gradient reaches ``inputs`` as ``backward(upstream)``, a tuple."""
    return _Redirect.apply(output, backward, *inputs)


def dry_run(function: Callable[..., Any], variables: Variables, *args: np.ndarray) -> None:
    """Run ``function`` once; PyTorch has no cheaper way that fits every layer."""
    forward(function, variables)(*args)


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return keras.tree.map_structure(lambda tensor: tensor.detach().cpu().numpy(), tensors)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether the device has not the memory for what was asked."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


# A permuted view is what torch calls channels_last, and its kernels take that as it is: the same
# gradients to the bit, in 0.8 of the time.
_CHANNELS_TO_FRONT = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}


def _as_a_view(original: Callable[[Any], Any], inputs: Any) -> Any:
    """Stand in for Keras' copy of each activation from NHWC to NCHW memory before a convolution."""
    if inputs.ndim in _CHANNELS_TO_FRONT:
        return inputs.permute(_CHANNELS_TO_FRONT[inputs.ndim])
    return original(inputs)

"""PyTorch: eager at first, recorded where it comes again (``torch.compile`` is slower here)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch

from keras_saliency._backend import torch_layers
from keras_saliency._backend.shared import not_differentiable
from keras_saliency._backend.torch_recorded import Recorded

COMPILES = False
FOLDS = False

Variables = Callable[[], list[Any]]


@contextlib.contextmanager
def _running(variables: Variables, values: list[Any]) -> Iterator[None]:
    mapping = list(zip(variables(), values, strict=True))
    with keras.StatelessScope(state_mapping=mapping), torch_layers.rewritten():
        yield


def forward(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Return ``function`` of arrays, run without recording for gradients."""

    def run(values, *args):
        with torch.no_grad(), _running(variables, values):
            return function(*args)

    return Recorded(run, variables)


def value_and_grad(function: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    """Return ``(x, *rest) -> (scores, aux, gradient of sum(scores) by x)``."""

    def run(values, x, *rest):
        with torch.enable_grad(), _running(variables, values):
            x = keras.tree.map_structure(lambda one: one.detach().requires_grad_(True), x)
            scores, aux = function(x, *rest)
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

    return Recorded(run, variables)


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
    forward(function, variables)(*args)  # once, so nothing is recorded


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return keras.tree.map_structure(lambda tensor: tensor.detach().cpu().numpy(), tensors)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether the device has not the memory for what was asked."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)

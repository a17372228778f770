"""PyTorch: eager at first, recorded where it comes again (``torch.compile`` is slower here)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import torch
from torch._C import _functorch
from torch.utils import _pytree

from keras_saliency._backend import not_differentiable, torch_layers, values_of
from keras_saliency._backend.torch_recorded import Recorded
from keras_saliency._backend.torch_watched import are_marked, content, marked, read

__all__ = ["are_marked", "content", "marked", "read"]

COMPILES = False
FOLDS = False
READS_ARE_APART = False


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
            if isinstance(scores, tuple):
                return scores, aux, tuple(_gradient(one, x, again=True) for one in scores)
            return scores, aux, _gradient(scores, x)

    return Recorded(run, variables)


def _gradient(scores: torch.Tensor, x: Any, again: bool = False) -> Any:
    if not scores.requires_grad:
        raise not_differentiable()
    flat = keras.tree.flatten(x)
    gradients = torch.autograd.grad(scores.sum(), flat, allow_unused=True, retain_graph=again)
    if all(one is None for one in gradients):
        raise not_differentiable()
    gradients = [
        torch.zeros_like(given) if one is None else one
        for given, one in zip(flat, gradients, strict=True)
    ]
    return keras.tree.pack_sequence_as(x, gradients)


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


def ancestors(
    function: Callable[..., Any], variables: Variables, *args: Any
) -> dict[Any, frozenset[Any]]:
    """Run ``function(note, *args)``; return which noted tensors each one is computed from."""
    with torch.inference_mode(False), torch.no_grad():
        values = values_of(variables(), read)
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, args)
        with _running(variables, values):
            return _ancestors(function, *tensors)


def dry_run(function: Callable[..., Any], variables: Variables, *args: np.ndarray) -> None:
    """Run ``function`` once; PyTorch has no cheaper way that fits every layer."""
    forward(function, variables)(*args)  # once, so nothing is recorded


def to_numpy(tensors: Any) -> Any:
    """Return tensors (in any nest) as arrays."""
    return keras.tree.map_structure(_array, tensors)


def _array(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:  # which NumPy does not know
        tensor = tensor.float()
    return tensor.detach().cpu().numpy()


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error reports that the device's memory ran out."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _ancestors(function: Callable[..., Any], *args: Any) -> dict[Any, frozenset[Any]]:
    """Return, for each noted tensor, the names of the noted tensors it is computed from.

    Args:
        function: ``(note, *args)``; calls ``note(name, tensor)`` while it runs. Names are hashable.
            A tensor is among its own ancestors, and so is every other name of it.
        *args: Tensors.
    """
    watch = _Watch()
    with watch:
        function(watch.note, *args)
    return watch.ancestors()


class _Watch(torch.overrides.TorchFunctionMode):
    """Numbers every version of every tensor, and remembers its parents."""

    def __init__(self) -> None:
        super().__init__()
        self._parents: list[tuple[int, ...]] = []
        self._numbers: dict[int, int] = {}  # the newest version of each tensor, by its id
        self._alive: list[Any] = []  # so that no id is reused
        self._sharing: dict[int, list[Any]] = {}  # tensors on the same memory
        self._notes: list[tuple[Any, int]] = []

    def note(self, name: Any, tensor: Any) -> None:
        """Name a tensor as it is now."""
        if isinstance(tensor, torch.Tensor):
            self._notes.append((name, self._number(tensor)))

    def ancestors(self) -> dict[Any, frozenset[Any]]:
        """Return the names that each name depends on."""
        bits: dict[int, int] = {}
        for bit, (_, number) in enumerate(self._notes):
            bits[number] = bits.get(number, 0) | 1 << bit
        masks: list[int] = []
        for number, parents in enumerate(self._parents):  # parents come first
            mask = bits.get(number, 0)
            for parent in parents:
                mask |= masks[parent]
            masks.append(mask)
        names = [name for name, _ in self._notes]
        return {
            name: frozenset(one for bit, one in enumerate(names) if masks[number] >> bit & 1)
            for name, number in self._notes
        }

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        before = [(one, self._number(one), _version(one)) for one in given]
        result = function(*args, **kwargs)
        parents = tuple(number for _, number, _ in before)
        for one, _, version in before:
            if _version(one) != version:  # changed in place: so are all on the same memory
                for other in self._sharing.get(_memory(one), [one]):
                    self._numbers[id(other)] = self._new((*parents, self._number(other)))
        for one in _tensors(result):
            if id(one) not in self._numbers:
                self._keep(one, parents)
        return result

    def _number(self, tensor: torch.Tensor) -> int:
        if id(tensor) not in self._numbers:
            # Not made by a function: a constant, or what `vmap` unpacks, on memory that is known.
            same = self._sharing.get(_memory(tensor), ())
            self._keep(tensor, tuple(self._numbers[id(one)] for one in same))
        return self._numbers[id(tensor)]

    def _keep(self, tensor: torch.Tensor, parents: tuple[int, ...]) -> None:
        self._numbers[id(tensor)] = self._new(parents)
        self._alive.append(tensor)
        self._sharing.setdefault(_memory(tensor), []).append(tensor)

    def _new(self, parents: tuple[int, ...]) -> int:
        self._parents.append(parents)
        return len(self._parents) - 1


def _tensors(nest: Any) -> Iterable[torch.Tensor]:
    return [one for one in _pytree.tree_leaves(nest) if isinstance(one, torch.Tensor)]


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _memory(tensor: torch.Tensor) -> int:
    while _functorch.is_batchedtensor(tensor):  # what a function under `vmap` is given
        tensor = _functorch.get_unwrapped(tensor)
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without plain memory
        return id(tensor)

"""PyTorch: eager at first, recorded where it comes again (``torch.compile`` is slower here).

At the end, slow operations of Keras in faster forms.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import torch
from torch._C import _functorch
from torch.utils import _pytree

from keras_saliency import config
from keras_saliency._backend import not_differentiable, values_of
from keras_saliency._backend.hooks import intercept_functions
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
    with keras.StatelessScope(state_mapping=mapping), rewritten():
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
    pairs = zip(flat, gradients, strict=True)
    filled = [torch.zeros_like(given) if one is None else one for given, one in pairs]
    return keras.tree.pack_sequence_as(x, filled)


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
    """Run ``function(note, *args)``; return which noted tensors each one is computed from.

    It calls ``note(name, tensor)`` while it runs. A tensor is among its own ancestors, and so is
    every other name of it.
    """
    with torch.inference_mode(False), torch.no_grad():
        values = values_of(variables(), read)
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, args)
        watch = _Watch()
        with _running(variables, values), watch:
            function(watch.note, *tensors)
        return watch.ancestors()


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
    with contextlib.suppress(NotImplementedError, RuntimeError):  # sparse: without plain memory
        return tensor.untyped_storage().data_ptr() or id(tensor)
    return id(tensor)


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
    """Copy a kernel from HWIO to OHWI memory as a matrix, which torch turns block by block: on one
    picture of 224x224 the copy of four axes takes as long as the convolution."""
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

"""A run recorded as PyTorch's own operations, and played back without the Python in between.

On one picture of 224x224 Keras' layers and autograd's bookkeeping take longer than the arithmetic:
MobileNetV2's gradient takes 0.4 of the time when it is played back. Recording takes about two
seconds, so only what comes again and again is recorded; the numbers stay the same to the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import torch

# Runs of one shape as they are: recording takes as long as five to twenty of them, with a recurrent
# layer as a hundred.
AFTER = 8

_SAME = 1e-4  # of the largest number: kernels of a GPU may add up in any order
_recording = threading.Lock()  # whoever finds it taken runs as it is


class Recorded:
    """A function of arrays that plays back what it did before with arrays of the same shapes.

    Weights are arguments, so new ones are seen. What cannot be recorded runs as it is for good: a
    ``call`` that asks for a tensor's value or leaves for NumPy, and whatever gives other numbers
    when it is played back, as it may where it draws random ones.

    Args:
        function: ``(values, *args)`` to a nest of tensors; ``values`` are those of the variables.
        variables: Returns the variables.
    """

    def __init__(self, function: Callable[..., Any], variables: Callable[[], list[Any]]) -> None:
        self._function = function
        self._variables = variables
        self._runs: dict[Any, int] = {}
        self._recordings: dict[Any, Callable[..., Any] | None] = {}

    def __call__(self, *args: Any) -> Any:
        """Return ``function`` of the variables' values and of these arrays as tensors."""
        with torch.inference_mode(False):  # which may be on around us
            args = keras.tree.map_structure(keras.ops.convert_to_tensor, args)
            # Detached: no weight gradients, and the user's requires_grad is left alone.
            values = [variable.value.detach() for variable in self._variables()]
            if any(map(torch.is_autocast_enabled, ("cpu", "cuda"))):
                return self._function(values, *args)
            key = (*map(_kind, values), *map(_kind, keras.tree.flatten(args)))
            if play := self._recordings.get(key):
                with torch.no_grad():
                    return play(values, *args)
            result = self._function(values, *args)
            if key not in self._recordings and self._is_due(key):
                self._record(key, values, args, result)
            return result

    def _is_due(self, key: Any) -> bool:
        self._runs[key] = self._runs.get(key, 0) + 1
        return self._runs[key] >= AFTER

    def _record(self, key: Any, values: list[Any], args: Any, result: Any) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        if not _recording.acquire(blocking=False):
            return
        try:
            # With true numbers: a layer that keeps a tensor for the next time keeps a true one.
            with _InSight():
                play = make_fx(self._function, tracing_mode="real")(values, *args)
            play.graph.eliminate_dead_code()  # such as what only leads to a replaced layer
            play.recompile()
            with torch.no_grad():
                same = _are_same(play(values, *args), result)
            self._recordings[key] = play if same else None
        except Exception:  # PyTorch's tracer has no common error
            self._recordings[key] = None
        finally:
            _recording.release()


class _InSight(torch.overrides.TorchFunctionMode):
    """A block in which no tensor leaves for NumPy, where nothing is recorded."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.tolist):
            raise TypeError("A tensor's numbers were asked for while a run was recorded.")
        return function(*args, **(kwargs or {}))


def _kind(tensor: Any) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _are_same(found: Any, wanted: Any) -> bool:
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True)
    return all(_is_same(one, other) for one, other in pairs)


def _is_same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    if torch.equal(found, wanted):
        return True
    finite = wanted[wanted.isfinite()].abs().double()
    tolerance = _SAME * float(finite.max()) if len(finite) else 0.0
    return torch.allclose(found.double(), wanted.double(), 0, tolerance, equal_nan=True)

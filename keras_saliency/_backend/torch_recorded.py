"""A run recorded as PyTorch's own operations, and played back without the Python in between.

On one picture of 224x224 Keras' layers and autograd's bookkeeping take longer than the arithmetic:
MobileNetV2's gradient takes 0.4 of the time when it is played back. Recording takes two seconds, so
only what comes again and again is recorded; the numbers stay the same to the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import torch

AFTER = 8  # runs of one shape as they are; recording takes as long as five to twenty of them

_recording = threading.Lock()  # whoever finds it taken runs as it is


class Recorded:
    """A function of arrays that plays back what it did before with arrays of the same shapes.

    What cannot be recorded (a ``call`` that asks for a tensor's value, random numbers drawn from
    Keras' seeds) runs as it is for good. Weights are arguments, so new ones are seen.

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
            key = (*map(_kind, values), *map(_kind, keras.tree.flatten(args)), _precision())
            if key not in self._recordings and self._is_due(key):
                self._record(key, values, args)
            if play := self._recordings.get(key):
                with torch.no_grad():
                    return play(values, *args)
            return self._function(values, *args)

    def _is_due(self, key: Any) -> bool:
        self._runs[key] = self._runs.get(key, 0) + 1
        return self._runs[key] > AFTER

    def _record(self, key: Any, values: list[Any], args: Any) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        if not _recording.acquire(blocking=False):
            return
        try:
            # Tensors without numbers: whoever looks at one fails, and is not recorded by it.
            make = make_fx(self._function, tracing_mode="fake", _allow_non_fake_inputs=True)
            play = make(values, *args)
            play.graph.eliminate_dead_code()  # such as what only leads to a replaced layer
            play.recompile()
            self._recordings[key] = play
        except Exception:  # PyTorch's tracer has no common error
            self._recordings[key] = None
        finally:
            _recording.release()


def _kind(tensor: Any) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _precision() -> tuple[bool, ...]:
    return tuple(map(torch.is_autocast_enabled, ("cpu", "cuda")))

"""Runs recorded as PyTorch's own operations, and played back without the Python in between.

On one picture of 224x224 Keras' layers and autograd's bookkeeping take longer than the arithmetic:
MobileNetV2's gradient takes 0.4 of the time when it is played back. Recording takes about two
seconds, so only frequent calls are recorded; the numbers stay the same to the last bit.

A recording is valid only where the program is the same for every input: no operation whose
result's shape depends on values, no value that becomes a Python number, no random numbers
(`torch_watched`), no Python that may differ the next time (`torch_purity`). A recording is compared
with a fresh run on the next input that differs, before other inputs use it.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import torch

from keras_saliency import config
from keras_saliency._backend.shared import values_of
from keras_saliency._backend.torch_purity import Guard, Purity
from keras_saliency._backend.torch_watched import Watch, read, writes_outside
from keras_saliency.errors._arguments import leaves

# Unrecorded runs of one shape: recording takes as long as 5 to 20 of them, or 100 with a recurrent
# layer.
AFTER = 8
MOST = 8  # recordings a function, the last used
_COUNTED = 64  # shapes whose runs are counted

_SAME = 1e-4  # of the largest number: kernels of a GPU may add up in any order
_recording = threading.Lock()  # while it is taken, other threads run unrecorded


@dataclass
class _Recording:
    """Operations to play back.

    Attributes:
        play: Runs them.
        guards: Checks of the values that the Python read; the recording is stale if one is False.
        inputs: The recorded ones, until the recording is verified on others.
    """

    play: Callable[..., Any]
    guards: list[Guard]
    inputs: list[Any] | None


class Recorded:
    """A function of arrays that plays back its own recording for arrays of the same shapes.

    Weights are arguments, so new ones are seen. A function that cannot be recorded runs unchanged.

    Args:
        function: ``(values, *args)`` to a nest of tensors; ``values`` are those of the variables.
        variables: Returns the variables.
    """

    def __init__(self, function: Callable[..., Any], variables: Callable[[], list[Any]]) -> None:
        self._function = function
        self._variables = variables
        self._runs: OrderedDict[Any, int] = OrderedDict()
        self._recordings: OrderedDict[Any, _Recording] = OrderedDict()
        self._lock = threading.Lock()  # of the two
        self.refused: str | None = None  # why it is not recorded any more

    def __call__(self, *args: Any) -> Any:
        """Return ``function`` of the variables' values and of these arrays as tensors."""
        with torch.inference_mode(False):  # which may be on around us
            args = keras.tree.map_structure(keras.ops.convert_to_tensor, args)
            # Detached: no weight gradients, and the user's requires_grad is left alone.
            values = values_of(self._variables(), read)
            autocast = any(map(torch.is_autocast_enabled, ("cpu", "cuda")))
            if autocast or self.refused or not config.switch.rewriting:
                return self._function(values, *args)
            key = (*map(_kind, values), *map(_kind, leaves(args)))
            recording = self._lookup(key)
            if recording is not None:
                if recording.inputs is None or _are_equal(recording.inputs, args):
                    with torch.no_grad():
                        return recording.play(values, *args)
                return self._proved(key, recording, values, args)
            result = self._function(values, *args)
            if self._is_due(key):
                self._record(key, values, args, result)
            return result

    def _lookup(self, key: Any) -> _Recording | None:
        with self._lock:
            recording = self._recordings.get(key)
            if recording is None:
                return None
            if all(guard() for guard in recording.guards):
                self._recordings.move_to_end(key)
                return recording
            self._recordings.clear()  # another program now, for every shape
            self._runs.clear()
        return None

    def _is_due(self, key: Any) -> bool:
        with self._lock:
            self._runs[key] = self._runs.get(key, 0) + 1
            self._runs.move_to_end(key)
            while len(self._runs) > _COUNTED:
                self._runs.popitem(last=False)
            return self._runs[key] >= AFTER

    def _proved(self, key: Any, recording: _Recording, values: list[Any], args: Any) -> Any:
        """Run unchanged on an input that was not recorded, and compare the playback."""
        result = self._function(values, *args)
        try:
            with torch.no_grad():
                same = _are_same(recording.play(values, *args), result)
        except Exception:  # operations raise their own for another shape
            same = False
        if not same:
            self._refuse("it gave other numbers on another input")
        elif _differ_in_numbers(recording.inputs, args):
            recording.inputs = None
        return result

    def _refuse(self, reason: str) -> None:
        with self._lock:
            self.refused = reason
            self._recordings.clear()
            self._runs.clear()

    def _record(self, key: Any, values: list[Any], args: Any, result: Any) -> None:
        if not _recording.acquire(blocking=False):
            return
        watch, purity = Watch(), Purity()
        try:
            from torch.fx.experimental.proxy_tensor import make_fx

            def watched(*given: Any) -> Any:
                with watch.watching(), purity.watching():
                    return self._function(*given)

            # With true numbers: a layer that stores a tensor for the next time stores a true one.
            with _no_collection():
                play = make_fx(watched, tracing_mode="real")(values, *args)
            if reason := watch.reason or purity.reason:
                return self._refuse(reason)
            play.graph.eliminate_dead_code()  # such as what only leads to a replaced layer
            if writes_outside(play.graph):
                return self._refuse("it writes to a tensor that outlives it")
            play.recompile()
            with torch.no_grad():
                same = _are_same(play(values, *args), result)
            if not same:
                return self._refuse("it gave other numbers when it was played back")
            inputs = [one.detach().clone() for one in leaves(args)]
            with self._lock:
                self._recordings[key] = _Recording(play, purity.guards, inputs)
                while len(self._recordings) > MOST:
                    self._recordings.popitem(last=False)
        except Exception as error:  # PyTorch's tracer has no common error
            self._refuse(watch.reason or f"{type(error).__name__}: {error}")
        finally:
            _recording.release()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Delay garbage collection: callbacks of the collector must not be recorded."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _kind(tensor: Any) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _are_equal(recorded: list[Any], args: Any) -> bool:
    pairs = zip(recorded, leaves(args), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def _differ_in_numbers(recorded: list[Any] | None, args: Any) -> bool:
    """Whether the pictures are others, not only the explained class."""
    pairs = list(zip(recorded or (), leaves(args), strict=True))
    numbers = [pair for pair in pairs if pair[0].is_floating_point()]
    return any(not torch.equal(one, other) for one, other in numbers or pairs)


def _are_same(result: Any, wanted: Any) -> bool:
    pairs = zip(keras.tree.flatten(result), keras.tree.flatten(wanted), strict=True)
    return all(_is_same(one, other) for one, other in pairs)


def _is_same(result: torch.Tensor, wanted: torch.Tensor) -> bool:
    if torch.equal(result, wanted):
        return True
    finite = wanted[wanted.isfinite()].abs().double()
    tolerance = _SAME * float(finite.max()) if len(finite) else 0.0
    return torch.allclose(result.double(), wanted.double(), 0, tolerance, equal_nan=True)

"""Micro-batches: rows through a compiled function, a given or a measured number at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from keras_saliency import _backend
from keras_saliency.errors import KerasSaliencyError, MethodError, ModelError, _arguments

BatchSize = int | Literal["auto"]

_FIRST, _MOST = 8, 64  # rows; beyond, nothing was ever faster a row
_GAIN = 0.05  # a larger micro-batch must save this share of the time a row
_RUNS = 3  # at each size: the first may compile, of the others the faster one counts


class Size:
    """How many rows go through at once: always the same."""

    def __init__(self, rows: int, *, is_fixed: bool = False) -> None:
        self.rows = rows
        self.is_fixed = is_fixed  # the model takes exactly so many, on every backend

    def took(self, rows: int, seconds: float) -> None:
        """Record how long a run took."""

    def shrink(self) -> bool:
        """Take fewer from now on, since memory ran out; False where that is impossible."""
        return False


class MeasuredSize(Size):
    """Doubled from 8 to 64 while that is faster a row, halved for good when memory runs out.

    It measures the work itself, so it costs compiling only, and only where there are three
    micro-batches of work.
    """

    def __init__(self) -> None:
        super().__init__(_FIRST)
        self._limit = _MOST
        self._seconds: dict[int, list[float]] = {}  # by size, a row
        self.settled = False

    def took(self, rows: int, seconds: float) -> None:
        if self.settled or rows != self.rows:
            return
        here = self._seconds.setdefault(rows, [])
        here.append(seconds / rows)
        if len(here) < _RUNS:
            return
        smaller = self._seconds.get(rows // 2)
        if smaller and min(here[1:]) > (1 - _GAIN) * min(smaller[1:]):
            self.rows, self.settled = rows // 2, True
        elif 2 * rows > self._limit:
            self.settled = True
        else:
            self.rows = 2 * rows

    def shrink(self) -> bool:
        if self.rows == 1:
            return False
        self.rows = self._limit = self.rows // 2
        self.settled = True
        return True


def check_batch_size(batch_size: Any) -> BatchSize:
    """Return a number of pictures as Python's int, or ``"auto"``.

    Raises:
        MethodError: It is neither ``"auto"`` nor a whole number above 0.
    """
    if type(batch_size) is int and 0 < batch_size <= sys.maxsize:
        return batch_size
    if isinstance(batch_size, str) and batch_size == "auto":
        return "auto"
    fix = "Leave it at 8, or pass 'auto'."
    whole = _arguments.integer(
        batch_size, "batch_size", MethodError, "help(keras_saliency.explain)", fix=fix
    )
    return min(whole, sys.maxsize)  # all at once


def run(program: Callable[..., Any], args: Any, size: Size) -> Any:
    """Run a compiled function over all rows of its arguments and put the results together.

    Where a new number of rows costs a compilation, few are used: the micro-batch, and for less the
    powers of two; what is missing is filled with the last row.

    Args:
        program: Takes and returns nests of tensors with equally many rows.
        args: Its arguments, a nest of arrays.
        size: How many rows at once.

    Raises:
        MethodError: Memory ran out, and the size does not shrink.
    """
    backend = _backend.current()
    total, start = len(_first(args)), 0
    parts = []
    while start < total:
        at_once = size.rows
        some = _map(lambda array, chunk=slice(start, start + at_once): array[chunk], args)
        count = padded = min(at_once, total - start)
        if size.is_fixed:
            padded = at_once
        elif backend.COMPILES:
            padded = at_once if total > at_once else min(at_once, 1 << (count - 1).bit_length())
        if more := padded - count:
            some = _map(lambda a, more=more: np.concatenate([a, a[-1:].repeat(more, 0)]), some)
        began = time.perf_counter()
        try:
            result = backend.to_numpy(program(*some))
        except Exception as error:
            if not backend.is_out_of_memory(error):
                if _is_layout(error):
                    raise _no_layout(error) from error
                raise
            if not size.shrink():
                raise _too_much(at_once) from error
            continue
        size.took(padded, time.perf_counter() - began)
        parts.append(_map(lambda array, count=count: array[:count], result) if more else result)
        start += count
    return parts[0] if len(parts) == 1 else _map(lambda *a: np.concatenate(a), *parts)


def _too_much(rows: int) -> MethodError:
    return MethodError(
        f"Expected enough device memory for {rows} pictures at once.",
        "It ran out.",
        "Pass a smaller batch_size, or 'auto'." if rows > 1 else "Explain smaller pictures.",
        "help(keras_saliency.explain)",
    )


def _is_layout(error: Exception) -> bool:
    """Whether TensorFlow reports no kernel for channels first on this device."""
    return "NHWC" in str(error) and not isinstance(error, KerasSaliencyError)


def _no_layout(error: Exception) -> ModelError:
    return ModelError(
        "Expected a device that runs channels first, the model's layout.",
        f"TensorFlow cannot run that on this device: {' '.join(str(error).split())[:200]}.",
        "Run it on a GPU or with another backend (KERAS_BACKEND=torch or jax), or build it with "
        "data_format='channels_last'.",
        "help(keras_saliency.explain)",
    )


def _first(args: Any) -> np.ndarray:
    while isinstance(args, tuple):
        args = args[0]
    return args


def _map(function: Any, *nests: Any) -> Any:
    import keras

    return keras.tree.map_structure(function, *nests)

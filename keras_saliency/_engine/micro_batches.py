"""Micro-batches: rows through a compiled function, a given or a measured number at once.

What takes many rows of one picture is here too: measuring which calls, whose positions no layer
shows, are maps that the score reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from keras_saliency import _backend, _graph
from keras_saliency._engine import programs
from keras_saliency._graph import Call, Measured, probing
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import get_or_create
from keras_saliency._inputs.batch import Batch
from keras_saliency.errors import GradientError, KerasSaliencyError, MethodError, ModelError
from keras_saliency.errors._arguments import leaves
from keras_saliency.targets import Target

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
    total, start = len(leaves(args)[0]), 0
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


def _map(function: Any, *nests: Any) -> Any:
    import keras

    return keras.tree.map_structure(function, *nests)


# Attention may mix tokens until no answer is a token's own. With weaker kernels what is added to a
# token is smaller than the token: a layer is a map if its cells follow at either strength.
_STRENGTHS = (1.0, 0.1)

_Cells = dict[str, np.ndarray]  # cells of each call's output, for each picture
_Answers = tuple[_Cells, Sequence[np.ndarray | None]]  # and the gradients there


def measured_maps(
    calls: list[Call],
    adapter: Adapter,
    target: Target,
    batch: Batch,
    target_args: Mapping[str, np.ndarray],
    size: Size,
    sizes: frozenset[tuple[int, int]],
) -> dict[int, Measured]:
    """Return, for each call by its number, its map, or why it outputs none.

    A map follows the picture's positions (`_graph.probing`), and the score's gradient at it is not
    0 everywhere: behind the last attention a score may read the class token only.

    Args:
        calls: Calls whose outputs have the shape of a map or of tokens.
        adapter: The model.
        target: What is explained.
        batch: The pictures; only their shape and range count.
        target_args: The target's arguments; those of the first picture count.
        size: How many pictures go through at once.
        sizes: Heights and widths of the maps that layers show.
    """

    def make() -> dict[int, Measured]:
        shape = batch.images.shape[1:]
        low, high = _range(batch.images)

        def answers(images: np.ndarray, strength: float) -> _Answers:
            images = images.astype(batch.images.dtype)
            count = len(images)
            zeros = tuple(np.zeros((count, *one.shape[1:]), images.dtype) for one in calls)  # type: ignore[type-var]
            first = {name: one[:1].repeat(count, 0) for name, one in target_args.items()}
            extra_inputs = tuple(one[:1].repeat(count, 0) for one in batch.extra_inputs)
            args = (zeros, images, first, extra_inputs, np.full(count, strength, images.dtype))
            return _run(calls, adapter, target, batch, args, size)

        results: dict[int, Measured] = {}
        for strength in _STRENGTHS:

            @cache
            def cells_of(grid_size: tuple[int, int], strength: float = strength) -> _Cells:
                return answers(probing.patterns(shape, grid_size, low, high), strength)[0]

            cells, gradients = answers(probing.pictures(shape, low, high), strength)
            for k, call in enumerate(calls):
                if call.number in results and not results[call.number].reason:
                    continue
                result = _as_map(call, str(k), cells, cells_of, shape[:2], sizes)
                results[call.number] = _judged(call, result, gradients[k])
            if not any(one.reason for one in results.values()):
                break
        return results

    numbers = tuple(call.number for call in calls)
    key = ("maps", target.static, batch.packing, batch.images.shape[1:], numbers)
    return get_or_create(adapter.model, key, make)


def _run(
    calls: list[Call], adapter: Adapter, target: Target, batch: Batch, args: Any, size: Size
) -> _Answers:
    """Return the cells of each call's output, and the gradients there."""

    def computed(kind: programs.Kind) -> Any:
        program = programs.compiled(kind, adapter, target, batch.packing, tuple(calls))
        return run(program, args, size)

    try:
        _, seen, gradients = computed("answers' gradient")
    except GradientError:  # a score without a derivative can still be read from a map
        (_, seen), gradients = computed("answers"), (None,) * len(calls)
    return seen["cells"], gradients


def _as_map(
    call: Call,
    name: str,
    cells: _Cells,
    cells_of: Callable[[tuple[int, int]], _Cells],
    size: tuple[int, int],
    sizes: frozenset[tuple[int, int]],
) -> Call | None:
    """Return the call as a map; None where its cells do not follow the picture's positions."""
    if len(call.shape) != 3:
        return _graph.as_map(call) if probing.follows(cells[name], size) else None
    for grid in probing.grids(cells[name], size, sizes):
        if probing.holds(cells_of((grid.height, grid.width))[name], grid):
            return _graph.as_map(call, grid)
    return None


def _judged(call: Call, result: Call | None, gradients: np.ndarray | None) -> Measured:
    if result is None:
        shape = f"Its output has shape {call.shape}"
        return Measured(None, f"{shape}, and its cells do not follow the picture's positions.")
    if gradients is not None and not result.to_map(gradients).any():
        reason = "The score does not depend on the part of its output that belongs to the picture."
        return Measured(result, reason)
    return Measured(result)


def _range(images: np.ndarray) -> tuple[float, float]:
    """Return the range of the probes' values: that of the pictures, at least 1 wide."""
    finite = images[np.isfinite(images)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return (low, high) if high - low > 1e-3 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)

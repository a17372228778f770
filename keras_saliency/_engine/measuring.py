"""Measurement of calls whose positions no layer shows: which are maps that the score reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from keras_saliency import _graph
from keras_saliency._engine import micro_batches, programs
from keras_saliency._engine.micro_batches import Size
from keras_saliency._graph import Call, Measured, probing
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import get_or_create
from keras_saliency._inputs.batch import Batch
from keras_saliency.errors import GradientError
from keras_saliency.targets import Target

# Attention may mix tokens until no answer is a token's own. With weaker kernels what is added to a
# token is smaller than the token: a layer is a map if its cells follow at either strength.
_STRENGTHS = (1.0, 0.1)

_Cells = dict[str, np.ndarray]  # cells of each call's output, for each picture
_Answers = tuple[_Cells, Sequence[np.ndarray | None]]  # and the gradients there


def maps(
    calls: list[Call],
    adapter: Adapter,
    target: Target,
    batch: Batch,
    target_args: Mapping[str, np.ndarray],
    size: Size,
    sizes: frozenset[tuple[int, ...]],
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
            def cells_of(grid_size: tuple[int, ...], strength: float = strength) -> _Cells:
                return answers(probing.patterns(shape, grid_size, low, high), strength)[0]

            cells, gradients = answers(probing.pictures(shape, low, high), strength)
            for k, call in enumerate(calls):
                if call.number in results and not results[call.number].reason:
                    continue
                result = _as_map(call, str(k), cells, cells_of, shape[:-1], sizes)
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

    def run(kind: programs.Kind) -> Any:
        program = programs.compiled(kind, adapter, target, batch.packing, tuple(calls))
        return micro_batches.run(program, args, size)

    try:
        _, seen, gradients = run("answers' gradient")
    except GradientError:  # a score without a derivative can still be read from a map
        (_, seen), gradients = run("answers"), (None,) * len(calls)
    return seen["cells"], gradients


def _as_map(
    call: Call,
    name: str,
    cells: _Cells,
    cells_of: Callable[[tuple[int, ...]], _Cells],
    size: tuple[int, ...],
    sizes: frozenset[tuple[int, ...]],
) -> Call | None:
    """Return the call as a map; None where its cells do not follow the picture's positions."""
    if call.has_map_shape:
        return _graph.as_map(call) if probing.follows(cells[name], size) else None
    for grid in probing.grids(cells[name], size, sizes):
        if probing.holds(cells_of(grid.size)[name], grid):
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

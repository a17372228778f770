"""What an engine finds out once about a model, a target and a shape of pictures.

Nothing here depends on pixels or weights, and nothing refers to the model, which the cache that
holds a plan must not keep alive. What changes without the configuration (`Model.compile`) is looked
at again at each call. Calls whose positions no layer shows are measured: which of them are maps
that the score reads.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from keras_saliency import _backend, _graph
from keras_saliency._engine import programs
from keras_saliency._engine.micro_batches import Size
from keras_saliency._graph import Call, Measured, probing
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import Using
from keras_saliency._graph.survey import Measure
from keras_saliency._inputs.batch import Batch
from keras_saliency.errors import GradientError


@dataclass(frozen=True)
class Site:
    """A layer's call, of which the output or its gradient is read.

    Attributes:
        call: The call.
        name: The layer's path, with ``"@k"`` where it is called more than once.
        finding: What looks wrong about its choice, or ``""``.
        maps: Turns its output into (B, h, w, K).
    """

    call: Call
    name: str
    finding: str
    maps: Callable[[np.ndarray], np.ndarray]


@dataclass
class Plan:
    """What is found once; each part when it is first needed.

    Attributes:
        fixed_rows: Number of rows that every batch must have; None for any.
        using: References to the target's callables.
        trace: The calls of a run.
        sites: The calls of methods' layers, by ``layer=``.
        head: The layer that made the output.
        trained: The models whose loss may be that of the output, weakly.
        losses: Their losses, as tokens, when last looked at.
        is_regression: Whether the output's loss was one for numbers then.
    """

    fixed_rows: int | None = None
    using: Using = ()
    trace: _graph.CallTrace | None = None
    sites: dict[str | None, Site] = field(default_factory=dict)
    head: _graph.Head | None = None
    trained: Sequence[Callable[[], Any]] = ()
    losses: Sequence[Any] | None = None
    is_regression: bool = False


def site(layer: str | None, trace: _graph.CallTrace, measure: Measure, model: Any) -> Site:
    """Return the layer call of a method's ``layer=``.

    Args:
        layer: The path, ``"path@k"`` for the k-th call of the layer; None: the last map.
        trace: The calls of a run.
        measure: Decides whether calls whose positions cannot be followed are maps.
        model: The model.

    Raises:
        LayerError: No such layer, or its output is no map.
    """
    if layer is None:
        call = trace.last_map(measure)
        finding = trace.too_early(call)
    else:
        name, at, number = layer.partition("@")
        path, _ = _graph.find(model, name)
        call, finding = trace.call_of(path, number if at else None, measure), ""
    as_it_is = call.grid is None and not call.channels_first
    return Site(call, call.name, finding, np.asarray if as_it_is else call.to_map)


def trained(adapter: Adapter, path: str) -> list[Callable[[], Any]]:
    """Return references to the models around a layer, whose loss may be that of its output."""
    import keras

    inner = dict(_graph.walk(adapter.model))
    parts = path.split("/")
    ways = ["/".join(parts[:count]) for count in range(1, len(parts))]
    models = (inner[way] for way in ways if isinstance(inner.get(way), keras.Model))
    return [weakref.ref(one) for one in (adapter.model, *models)]


# ---------------------------------------------------------------------- measured calls

# Attention may mix tokens until no answer is a token's own. With weaker kernels what is added to a
# token is smaller than the token: a layer is a map if its cells follow at either strength.
_STRENGTHS = (1.0, 0.1)

_Cells = dict[str, np.ndarray]  # cells of each call's output, for each picture
_Answers = tuple[_Cells, Sequence[np.ndarray | None]]  # and the gradients there


def maps(
    calls: list[Call],
    program: Callable[[programs.Kind, tuple[Call, ...]], Callable[..., Any]],
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
        program: Returns the compiled function of a kind and several calls.
        batch: The pictures; only their shape and range count.
        target_args: The target's arguments; those of the first picture count.
        size: How many pictures go through at once.
        sizes: Heights and widths of the maps that layers show.
    """
    shape = batch.images.shape[1:]
    low, high = _range(batch.images)

    def answers(images: np.ndarray, strength: float) -> _Answers:
        images = images.astype(batch.images.dtype)
        count = len(images)
        zeros = tuple(np.zeros((count, *one.shape[1:]), images.dtype) for one in calls)  # type: ignore[type-var]
        first = {name: one[:1].repeat(count, 0) for name, one in target_args.items()}
        extra_inputs = tuple(one[:1].repeat(count, 0) for one in batch.extra_inputs)
        args = (zeros, images, first, extra_inputs, np.full(count, strength, images.dtype))
        return _run(calls, program, args, size)

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


def _run(calls: list[Call], program: Callable[..., Any], args: Any, size: Size) -> _Answers:
    """Return the cells of each call's output, and the gradients there."""

    def run(kind: programs.Kind) -> Any:
        return _backend.in_micro_batches(program(kind, tuple(calls)), args, size)

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

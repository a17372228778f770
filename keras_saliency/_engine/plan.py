"""What an engine finds out once about a model, a target and a shape of pictures; runs in parts.

A plan depends on no pixels or weights and refers to no model, which the cache would keep alive;
what `Model.compile` changes is looked at again at each call. Calls whose positions no layer shows
are measured: which are maps that the score reads. Sizes of micro-batches are measured at work.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np

from keras_saliency import _backend, _graph
from keras_saliency._engine import programs
from keras_saliency._engine.layer_programs import LayerOutput, Variant
from keras_saliency._graph import Call, Measured, probing
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import Using
from keras_saliency._graph.survey import Measure
from keras_saliency._inputs.batch import Batch
from keras_saliency._io import track
from keras_saliency._rules import Rule
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
    """What is computed once; each part when it is first needed.

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


BatchSize = int | Literal["auto"]

_FIRST, _MOST = 8, 64  # rows; beyond, nothing was ever faster a row
_GAIN = 0.05  # a larger micro-batch must save this share of the time a row
_RUNS = 3  # at each size: the first may compile, of the others the faster one counts


@dataclass
class Size:
    """How many rows go through at once: always the same."""

    rows: int
    is_fixed: bool = False  # the model takes exactly so many, on every backend
    is_measured: ClassVar[bool] = False  # by how long runs took

    def shrink(self) -> bool:
        """Take fewer from now on, since memory ran out; False where that is impossible."""
        return False


class MeasuredSize(Size):
    """Doubled from 8 to 64 while that is faster a row, halved for good when memory runs out.

    It measures the work itself, so it costs compiling only, and only where there are three
    micro-batches of work.
    """

    is_measured = True

    def __init__(self) -> None:
        super().__init__(_FIRST)
        self._limit = _MOST
        self._seconds: dict[int, list[float]] = {}  # by size, a row
        self.settled = False

    def took(self, rows: int, seconds: float) -> None:
        """Record how long a run took."""
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


class Variants(ABC):
    """The part of an `Engine` that runs variants of its pictures, in the pictures' own classes."""

    _batch: Batch
    _target_args: dict[str, np.ndarray]

    @abstractmethod
    def _choose(self) -> None: ...

    @abstractmethod
    def _size(self, kind: programs.Kind) -> Size: ...

    @abstractmethod
    def _run(
        self,
        kind: programs.Kind,
        args: tuple[Any, ...] | None = None,
        call: _graph.Call | None = None,
        rule: Rule | None = None,
        rows: list[int] | None = None,
    ) -> tuple[Any, ...]: ...

    def gradients(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield score and gradient (H, W, C) of each variant, in order, a micro-batch at a time."""
        for rows, images in self.chunks(variants, total):
            scores, _, gradients = self._run_variants(rows, images, "gradient")
            yield from zip(scores, gradients, strict=True)

    def variant_scores(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score of each variant, in order, without gradients."""
        for rows, images in self.chunks(variants, total, "scores"):
            yield from self._run_variants(rows, images, "scores")[0]

    def chunks(
        self,
        variants: Iterable[Variant],
        total: int | None = None,
        kind: programs.Kind = "gradient",
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield variants in micro-batches: indices of their sources, and (b, H, W, C)."""
        stream = iter(track(variants, total, "explaining"))
        while chunk := list(islice(stream, self._size(kind).rows)):
            rows, images = zip(*chunk, strict=True)
            yield list(rows), np.stack(images)

    def scores_of_activations(
        self, original: LayerOutput, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score with a layer's output replaced by each variant (h, w, K), in order.

        Args:
            original: The result of `activations` or `layer_gradient`.
            variants: Index of each one's picture, and the output.
            total: How many, for a progress bar.
        """
        self._choose()
        for rows, maps in self.chunks(variants, total, "scores of activations"):
            whole = original.call.from_map(maps, original.whole[rows])
            args = (whole, self._batch.images[rows], *self._args_of(rows))
            yield from self._run("scores of activations", args, original.call, rows=rows)[0]

    def _args_of(self, rows: list[int]) -> tuple[Any, Any]:
        """The target's arguments and the extra inputs of variants of these pictures."""
        target_args = {name: values[rows] for name, values in self._target_args.items()}
        return target_args, tuple(one[rows] for one in self._batch.extra_inputs)

    def _run_variants(
        self, rows: list[int], images: np.ndarray, kind: programs.Kind
    ) -> tuple[Any, ...]:
        self._choose()
        return self._run(kind, (images, *self._args_of(rows)), rows=rows)

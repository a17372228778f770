"""Recording one run of a model: which layers were called, with which inputs and outputs."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras_saliency._backend.hooks import intercept, intercept_functions, is_builtin_keras_layer
from keras_saliency._graph import calls as following
from keras_saliency._graph.calls import Call, Followed
from keras_saliency._graph.model_cache import walk
from keras_saliency._graph.survey import CallTrace

EXPLAINED, SCORE = "the explained input", "the score"  # names of a recorder's notes

# At a model's end their output is the model's own, in another shape.
_RESHAPING = ("Cast", "Concatenate", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape",
              "Squeeze", "Transpose")  # fmt: skip


class Recorder:
    """Watches one run of a model on one picture, and makes a `CallTrace` of it.

    Args:
        model: A Keras model.
        note: ``note(name, tensor)`` of ``_backend.ancestors``. Calls are noted by their numbers.
    """

    def __init__(self, model: Any, note: Callable[[Any, Any], None]) -> None:
        """Start empty."""
        self._model, self._note = model, note
        self._records: list[_Record] = []
        self._casts: dict[int, tuple[Any, Any]] = {}  # by id of the output
        self._maps: dict[int, Followed] = {}  # by id
        self._axes = 2
        # Layers inside TimeDistributed layers that run, with the map that these take.
        self._steps: list[tuple[Any, Followed | None]] = []
        self._frames: list[Any] = []
        self._ends: list[Any] = []
        self._parts: dict[str, tuple[Any, ...]] = {}  # outputs, their logits, copies

    def starts(self, picture: Any, channels_first: bool, axes: int) -> None:
        """Note which tensor goes into the model as its picture, with so many spatial axes."""
        self._axes = axes
        if len(picture.shape) == axes + 2:
            self._maps[id(picture)] = Followed(channels_first, (0.0,) * axes)

    def ends(self, *tensors: Any) -> None:
        """Note which tensors the score is read from: outputs, and the logits behind them."""
        self._ends.extend(tensors)

    def part(self, output: Any, logits_of: Callable[[Any], tuple[Any, Any]]) -> Any:
        """Return a copy of an output, so that the score is seen to read it, or not to.

        Args:
            output: One of the model's outputs.
            logits_of: Returns the logits behind it.
        """
        import keras

        if not keras.ops.is_tensor(output) or "float" not in str(output.dtype):
            return output
        copy = output * 1
        name = f"output {len(self._parts)}"
        self._note(name, copy)
        self._parts[name] = (output, logits_of(output)[0], copy)
        return copy

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every layer within this block."""
        everyone = [("", self._model), *walk(self._model)]
        with (
            _noting(self._casts),
            intercept([(one, self._handler(path, one)) for path, one in everyone]),
        ):
            yield

    def _handler(self, path: str, operation: Any) -> Callable[..., Any]:
        import keras

        flat, records = keras.tree.flatten, self._records

        def handler(original, *args, **kwargs):
            begins = len(records)
            inputs = [_before(tensor, self._casts) for tensor in flat((args, kwargs))]
            tensors = [one for one in inputs if keras.ops.is_tensor(one)]
            with self._stepping(operation, tensors):
                output = original(*args, **kwargs)
            outputs = flat(output)
            for tensor in outputs:  # a cast inside a layer leads no further than to the layer
                self._casts.pop(id(tensor), None)
            if outputs and keras.ops.is_tensor(outputs[0]):
                self._note(len(records), outputs[0])
                followed = following.after(operation, tensors, outputs[0], self._maps)
                if _is_stepping(operation):
                    followed = self._after_steps(operation, tensors)
                if followed is not None:
                    self._maps.setdefault(id(outputs[0]), followed)
            records.append(_Record(path, operation, begins, tensors, outputs))
            return output

        return handler

    @contextlib.contextmanager
    def _stepping(self, operation: Any, inputs: list[Any]) -> Iterator[None]:
        """Know, inside a ``TimeDistributed`` layer, that its steps are frames of a map."""
        if self._steps and operation is self._steps[-1][0] and inputs:
            followed = self._steps[-1][1]
            if followed is not None and len(inputs[0].shape) == followed.axes + 1:
                self._frames.append(inputs[0])  # held, so that no id is reused
                self._maps[id(inputs[0])] = Followed(False, followed.padding[1:])
        if not _is_stepping(operation):
            yield
            return
        followed = self._maps.get(id(inputs[0])) if inputs else None
        is_map = followed is not None and followed.axes > 1 and not followed.channels_first
        self._steps.append((operation.layer, followed if is_map else None))
        try:
            yield
        finally:
            self._steps.pop()

    def _after_steps(self, operation: Any, inputs: list[Any]) -> Followed | None:
        """Return the output of a ``TimeDistributed`` layer as a map, where its steps make maps."""
        made = [one for one in self._records if one.operation is operation.layer]
        before = self._maps.get(id(inputs[0])) if inputs else None
        step = self._maps.get(id(made[-1].outputs[0])) if made and made[-1].outputs else None
        if before is None or step is None or step.axes != before.axes - 1:
            return None
        return Followed(False, (before.padding[0], *step.padding))

    def _with_frames(self, calls: list[Call]) -> None:
        """Make one call of those for each step of a ``TimeDistributed`` layer, at the last's place.

        Each is a frame of a map (B, frames, ...).
        """
        for outer in self._records:
            if not _is_stepping(outer.operation):
                continue
            end = next(n for n, one in enumerate(self._records) if one is outer)
            inner: dict[int, list[int]] = {}
            for number in range(outer.begins, end):
                inner.setdefault(id(self._records[number].operation), []).append(number)
            steps = outer.inputs[0].shape[1] if outer.inputs else None
            for numbers in inner.values():
                last = calls[numbers[-1]]
                if len(numbers) != steps or len(last.shape) != self._axes + 1:
                    continue
                frames = [calls[number] for number in numbers]
                calls[last.number] = replace(
                    last,
                    index=frames[0].index,
                    frames=steps,
                    shape=(last.shape[0], steps, *last.shape[1:]),
                    is_reached=any(one.is_reached for one in frames),
                    contributes=any(one.contributes for one in frames),
                    same_as=last.number,
                )

    def survey(self, ancestors: Mapping[Any, frozenset[Any]], channels_first: bool) -> CallTrace:
        """Return the calls of the run.

        Args:
            ancestors: The result of ``_backend.ancestors`` for the run.
            channels_first: The layout of layers that do not name one.
        """
        records = self._records
        counts: dict[int, int] = {}
        indices = []
        for record in records:
            indices.append(counts.get(id(record.operation), 0))
            counts[id(record.operation)] = indices[-1] + 1
        first_makers: dict[int, int] = {}
        for number, record in enumerate(records):
            for tensor in record.outputs:
                first_makers.setdefault(id(tensor), number)
        before_score = ancestors.get(SCORE, frozenset())
        for name, tensors in self._parts.items():
            if name in before_score:
                self._ends.extend(tensors[:2])
        ends = self._all_ends()
        reached = [EXPLAINED in ancestors.get(number, ()) for number in range(len(records))]
        kernels = [_holds_kernel(record.operation) for record in records]
        learned = {n for n in range(len(records)) if reached[n] and kernels[n]}
        calls = []
        for number, record in enumerate(records):
            first = record.outputs[0] if record.outputs else None
            data_format = getattr(record.operation, "data_format", None)
            shape = tuple(getattr(first, "shape", ()))
            followed = self._maps.get(id(first))
            if followed is not None:
                layout = followed.channels_first
            else:
                layout = data_format == "channels_first" if data_format else channels_first
            calls.append(
                Call(
                    path=record.path,
                    index=indices[number],
                    calls=counts[id(record.operation)],
                    shape=shape,
                    channels_first=layout,
                    reference=weakref.ref(record.operation),
                    begins=record.begins,
                    number=number,
                    same_as=first_makers[id(first)] if record.outputs else number,
                    is_reached=reached[number],
                    contributes=number in before_score,
                    has_features=bool(learned & ancestors.get(number, frozenset())),
                    is_kernel=kernels[number],
                    is_end=id(first) in ends,
                    is_map=followed is not None and followed.is_whole(shape),
                    axes=self._axes,
                )
            )
        self._with_frames(calls)
        return CallTrace(self._model.name, tuple(call for call in calls if call.path))

    def _all_ends(self) -> set[int]:
        """The ends, and tensors that are only reshaped on the way to them."""
        ends = {id(tensor) for tensor in self._ends}
        for record in reversed(self._records):
            kind = type(record.operation).__name__
            reshapes = kind in _RESHAPING and is_builtin_keras_layer(record.operation)
            if reshapes and ends & {id(tensor) for tensor in record.outputs}:
                ends |= {id(tensor) for tensor in record.inputs}
        return ends


@dataclass(frozen=True)
class _Record:
    path: str
    operation: Any
    begins: int
    inputs: list[Any]  # held, so that no id is reused
    outputs: list[Any]


def _is_stepping(operation: Any) -> bool:
    return type(operation).__name__ == "TimeDistributed" and is_builtin_keras_layer(operation)


def _holds_kernel(operation: Any) -> bool:
    """Whether an operation itself, not a layer inside it, mixes by trained weights.

    Scales and shifts of single channels, as of a normalisation, make no features of a picture.
    """
    inner = getattr(operation, "_flatten_layers", None)
    if inner is None:
        return False
    below = {id(w) for one in inner(include_self=False) for w in one.variables}
    own = [w for w in operation.variables if id(w) not in below]
    return any(
        w.path.endswith("kernel") or sum((size or 0) > 1 for size in w.shape) > 1
        for w in own
        if "float" in str(w.dtype)
    )


@contextlib.contextmanager
def _noting(casts: dict[int, tuple[Any, Any]]) -> Iterator[None]:
    """Note casts between layers, as under mixed precision.

    Keras' functions for it are private: if they change, a path is missed, but none is wrong.
    """
    from keras.src import backend

    def note(original, *args, **kwargs):
        output = original(*args, **kwargs)
        if args and output is not args[0]:
            casts[id(output)] = output, args[0]
        return output

    handlers = {"cast": note, "convert_to_tensor": note}
    with intercept_functions(backend, handlers), intercept_functions(backend.core, handlers):
        yield


def _before(tensor: Any, casts: dict[int, tuple[Any, Any]]) -> Any:
    while id(tensor) in casts:
        _, tensor = casts[id(tensor)]
    return tensor

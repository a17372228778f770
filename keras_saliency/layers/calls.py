"""What ran: every call of a layer, which of them lead to an output, and where the picture is."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency import tokens
from keras_saliency.errors import LayerError
from keras_saliency.intercept import intercept, intercept_functions, is_ours_to_split
from keras_saliency.layers.paths import walk

# What these give has the rank of a map, but its axes may be anything.
_REARRANGING = ("Permute", "Transpose", "Reshape", "Moveaxis", "Swapaxes")
_ATTENTIONS = ("MultiHeadAttention", "GroupedQueryAttention")


def is_attention(operation: Any) -> bool:
    """Whether an operation is one of Keras' attention layers, not just called so."""
    return type(operation).__name__ in _ATTENTIONS and is_ours_to_split(operation)


@dataclass(frozen=True)
class Call:
    """One call of one layer during a run: the ``index``-th of that layer, giving ``shape``.

    Of several outputs it is the first. One picture goes through, so a layer that gives another
    number of rows has cut it up, and no row is a picture. Calls since number ``begins`` are inside
    this one. The layer is held weakly: a cached survey must not keep a model alive.
    """

    path: str
    index: int
    shape: tuple[int | None, ...]
    dtype: str
    channels_first: bool
    reference: weakref.ref[Any]
    begins: int = 0
    grid: tokens.Grid | None = None  # of (B, T, D)

    @property
    def layer(self) -> Any:
        """The layer itself."""
        return self.reference()

    @property
    def is_by_picture(self) -> bool:
        """Whether the output has a row for each picture."""
        return self.shape[:1] in ((1,), (None,))

    @property
    def is_map(self) -> bool:
        """Whether the output is a map, or tokens that are one."""
        return self.grid is not None or (len(self.shape) == 4 and self.is_by_picture)

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the output; (1, 1) where it is no map."""
        if self.grid is not None:
            return self.grid.height, self.grid.width
        if not self.is_map:
            return 1, 1
        height, width = self.shape[2:4] if self.channels_first else self.shape[1:3]
        return height or 1, width or 1

    def to_map(self, output: np.ndarray) -> np.ndarray:
        """Return an output of this call as (B, h, w, K)."""
        if self.grid is not None:
            return self.grid.to_map(output)
        return np.moveaxis(output, 1, -1) if self.channels_first else output

    def from_map(self, maps: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return (B, h, w, K) as an output of this call; what is no map stays as in ``output``."""
        if self.grid is not None:
            return self.grid.from_map(maps, output)
        return np.moveaxis(maps, -1, 1) if self.channels_first else maps


@dataclass(frozen=True)
class Survey:
    """Every layer call of one run, in order, and which of them lead to the chosen output."""

    model: str
    calls: tuple[Call, ...]
    leading: frozenset[int]
    ending: frozenset[int]
    first_makers: tuple[int, ...]  # by call: the first call that gave the very same tensor
    output_shape: tuple[int | None, ...]

    def last_spatial(self) -> Call:
        """Return the last call on the way to the output whose map is larger than 1x1.

        Behind the last attention only a class token counts, so where there is one, the map is taken
        from before it.

        Raises:
            LayerError: There is none.
        """
        last = self._last_attention()
        for number in reversed(range(len(self.calls))):
            if number in self.leading and number not in self.ending:
                first = self.first_makers[number]
                call = self.calls[first]
                late = call.grid is not None and call.grid.has_extra and number >= last
                named = type(call.layer).__name__ in _REARRANGING or self._in_attention(first)
                if max(call.map_size) > 1 and not named and not late:
                    return call
        raise LayerError(
            f"Model {self.model!r} was asked for its last spatial layer.",
            "No layer on the way to the output gives a map (B, h, w, K) larger than 1x1.",
            "Name a layer, or use a method that needs none, such as 'gradient' or 'occlusion'.",
            "keras_saliency.layers.tree(model)",
        )

    def attentions(self) -> list[Call]:
        """Return the calls of attention layers on the way to the output, in order."""
        return [self.calls[number] for number in self._attentions()]

    def _attentions(self) -> list[int]:
        numbered = enumerate(self.calls)
        return [n for n, call in numbered if n in self.leading and is_attention(call.layer)]

    def _last_attention(self) -> int:
        """The number of the first call inside the last attention layer."""
        found = self.attentions()
        return found[-1].begins if found else len(self.calls)

    def _in_attention(self, number: int) -> bool:
        """Whether a call is inside an attention layer, where four axes are no map."""
        return any(self.calls[n].begins <= number < n for n in self._attentions())

    def call_of(self, path: str, index: int = -1) -> Call:
        """Return one call of the layer at ``path``; the last one unless ``index`` says otherwise.

        Raises:
            LayerError: The layer did not take part in this run, or less often than asked.
        """
        calls = [call for call in self.calls if call.path == path]
        if not -len(calls) <= index < len(calls):
            raise LayerError(
                f"Call {index} of layer {path!r} of model {self.model!r} was asked for.",
                f"The layer was called {len(calls)} times on the way to the outputs.",
                "Name a layer that takes part, or an earlier call.",
                "keras_saliency.layers.tree(model)",
            )
        return calls[index]


@contextlib.contextmanager
def tap(call: Call, handler: Callable[[Any], Any]) -> Iterator[None]:
    """Let ``handler(output)`` replace the first output of just this one call while a model runs."""
    import keras

    count = 0

    def count_then_handle(original, *args, **kwargs):
        nonlocal count
        output = original(*args, **kwargs)
        count += 1
        if count != call.index + 1:
            return output
        first, *others = keras.tree.flatten(output)
        return keras.tree.pack_sequence_as(output, [handler(first), *others])

    with intercept([(call.layer, count_then_handle)]):
        yield


def without_remat(operations: Iterable[Any]) -> contextlib.AbstractContextManager[None]:
    """Run layers and operations plainly where they are set to compute their outputs twice.

    Rematerialisation saves memory in training; Keras' way of doing it on TensorFlow fails inside a
    graph on every layer called with keywords.
    """
    remat = [operation for operation in operations if getattr(operation, "_remat_mode", None)]
    return intercept([(operation, _as_it_is) for operation in remat])


def _as_it_is(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return original(*args, **kwargs)


def survey(
    model: Any,
    run: Callable[[], list[Any]],
    size: tuple[int, int],
    channels_first: bool = False,
) -> Survey:
    """Watch every layer while ``run()`` calls the model once, on one picture.

    Args:
        model: A Keras model.
        run: Calls the model and returns the tensors whose makers count as the end (the chosen
            output, its logits).
        size: Height and width of the picture.
        channels_first: The layout of layers that do not name one.
    """
    import keras

    flat = keras.tree.flatten
    records: list[_Record] = []
    counts: dict[int, int] = {}
    casts: dict[int, tuple[Any, Any]] = {}  # by what they gave

    def watch(path: str, operation: Any) -> Callable[..., Any]:
        def handler(original, *args, **kwargs):
            begins = len(records)
            output = original(*args, **kwargs)
            index = counts[id(operation)] = counts.get(id(operation), -1) + 1
            inputs = [_before(tensor, casts) for tensor in flat((args, kwargs))]
            for tensor in flat(output):  # a cast inside a layer leads no further than to the layer
                casts.pop(id(tensor), None)
            records.append(_Record(path, operation, index, begins, inputs, flat(output)))
            return output

        return handler

    everyone = [("", model), *walk(model)]
    with _noting(casts), intercept([(one, watch(path, one)) for path, one in everyone]):
        outputs = run()

    leading = _leading(records, outputs)
    records.pop()  # the model's own call
    first_makers: dict[int, int] = {}
    for number, record in enumerate(records):
        for tensor in record.outputs:
            first_makers.setdefault(id(tensor), number)
    ends = {id(tensor) for tensor in outputs}
    return Survey(
        model=model.name,
        calls=_with_grids([record.call(channels_first) for record in records], records, size),
        leading=leading,
        ending=frozenset(
            n for n, record in enumerate(records) if ends & {id(t) for t in record.outputs}
        ),
        first_makers=tuple(
            first_makers[id(record.outputs[0])] if record.outputs else n
            for n, record in enumerate(records)
        ),
        output_shape=tuple(outputs[0].shape),
    )


@contextlib.contextmanager
def _noting(casts: dict[int, tuple[Any, Any]]) -> Iterator[None]:
    """Note what is cast between layers, as under mixed precision.

    Keras' functions for it are private: where they have changed, a way is lost, not found wrong.
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


def _with_grids(
    calls: list[Call], records: list[_Record], size: tuple[int, int]
) -> tuple[Call, ...]:
    """Find the picture in every call that gives tokens."""
    joined = [parts for record in records if (parts := record.joined())]
    attended = any(is_attention(record.operation) for record in records)
    sizes: list[tuple[int, int]] = []
    found = []
    for call in calls:
        if call.is_map and hasattr(call.layer, "data_format"):
            sizes.insert(0, call.map_size)  # of others nobody knows which axes are the picture's
        grid = None
        if len(call.shape) == 3 and call.is_by_picture:
            grid = tokens.find(call.shape[1] or 0, sizes, joined, size if attended else None)
        if grid is not None and not grid.has_extra:
            sizes.insert(0, (grid.height, grid.width))
        found.append(replace(call, grid=grid))
    return tuple(found)


@dataclass(frozen=True)
class _Record:
    path: str
    operation: Any
    index: int
    begins: int
    inputs: list[Any]
    outputs: list[Any]

    def call(self, channels_first: bool) -> Call:
        import keras

        first: Any = self.outputs[0] if self.outputs else None
        data_format = getattr(self.operation, "data_format", None)
        return Call(
            path=self.path,
            index=self.index,
            shape=tuple(getattr(first, "shape", ())),
            dtype=keras.backend.standardize_dtype(first.dtype) if hasattr(first, "dtype") else "",
            channels_first=data_format == "channels_first" if data_format else channels_first,
            reference=weakref.ref(self.operation),
            begins=self.begins,
        )

    def joined(self) -> list[int]:
        """Return numbers of tokens that this call put together; none where it did not."""
        counts = [t.shape[1] or 0 for t in self.inputs if len(getattr(t, "shape", ())) == 3]
        if type(self.operation).__name__ == "Concatenate":
            return counts
        given = [t.shape[1] or 0 for t in self.outputs if len(getattr(t, "shape", ())) == 3]
        if len(counts) == len(given) == 1 and 0 < given[0] - counts[0] <= tokens.MOST_EXTRA:
            return [given[0] - counts[0], counts[0]]  # a class token, put first by a layer
        return []


def _leading(records: list[_Record], outputs: list[Any]) -> frozenset[int]:
    """Numbers of the records from which the outputs can be reached, tensor by tensor.

    The last record is the model's own. In a ``call`` of somebody's own, arithmetic between layers
    (``x + y``) hides the way: where a tensor comes from nowhere, all that ran before in that call
    counts; and all of it, or of a graph, where the walk does not arrive at what was given to it.
    """
    import keras

    makers: dict[int, list[int]] = {}
    for number, record in enumerate(records):
        for tensor in record.outputs:
            makers.setdefault(id(tensor), []).append(number)
    model = len(records) - 1
    reached, waiting = {model}, [id(tensor) for tensor in outputs]
    while waiting:
        for number in makers.get(waiting.pop(), []):
            if number not in reached:
                reached.add(number)
                waiting.extend(id(t) for t in records[number].inputs)

    def nowhere(tensor, before, given):
        known = makers.get(id(tensor), [before])[0] < before or id(tensor) in given
        return not known and keras.ops.is_tensor(tensor) and "float" in str(tensor.dtype)

    for number in reversed(sorted(reached)):  # a call comes after those inside it
        record, own = records[number], not is_ours_to_split(records[number].operation)
        inside = [n for n in range(record.begins, number) if n in reached]
        given = {id(t) for t in record.inputs}
        ways = [t for n in inside for t in records[n].inputs] + record.outputs
        lost = [] if given & {id(t) for t in ways} else [number]
        if own:
            lost += [number] * any(nowhere(t, number, given) for t in record.outputs)
            direct = (n for n in inside if all(one.begins > n for one in records[n + 1 : number]))
            lost += [n for n in direct if any(nowhere(t, n, given) for t in records[n].inputs)]
        if own or isinstance(record.operation, keras.Model):
            reached.update(range(record.begins, max(lost, default=0)))
    return frozenset(reached - {model})

"""Finding a model's layers by path, and the last one that still has a map."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency import tokens
from keras_saliency.errors import LayerError, did_you_mean
from keras_saliency.intercept import intercept


def walk(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(path, operation)`` for every layer and operation inside ``model``, each once.

    A nested layer's path holds the names of the layers around it: ``"backbone/conv5_out"``.
    """
    seen: set[int] = {id(model)}
    yield from _walk(model, "", seen)


def _walk(parent: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    # Layer._flatten_layers is private, but the only list that also holds the sublayers of a
    # subclassed layer; `operations` adds what a Functional graph holds beside layers (ops.relu).
    children = [*getattr(parent, "operations", []), *_children(parent)]
    for child in children:
        if id(child) in seen:
            continue
        seen.add(id(child))
        path = prefix + child.name
        yield path, child
        yield from _walk(child, path + "/", seen)


def _children(parent: Any) -> list[Any]:
    flatten = getattr(parent, "_flatten_layers", None)
    return flatten(include_self=False, recursive=False) if flatten else []


def tree(model: Any) -> str:
    """Return the paths of all layers, one a line, with their class names.

    Example:
        >>> print(layers.tree(model))
        image                      InputLayer
        backbone                   Functional
        backbone/pixels            InputLayer
        backbone/conv5_block3_out  Conv2D
        pool                       GlobalAveragePooling2D
        classes                    Dense
    """
    rows = [(path, type(layer).__name__) for path, layer in walk(model)]
    width = max((len(path) for path, _ in rows), default=0)
    return "\n".join(f"{path:<{width}}  {kind}" for path, kind in rows)


def find(model: Any, name: str) -> tuple[str, Any]:
    """Return the ``(path, layer)`` that ``name`` means: a whole path, or an end of just one path.

    Raises:
        LayerError: No path ends so, or several do.
    """
    known = dict(walk(model))
    if name in known:
        return name, known[name]
    ends = [path for path in known if path.endswith("/" + name)]
    if len(ends) == 1:
        return ends[0], known[ends[0]]
    if ends:
        raise LayerError(
            f"The layer name {name!r} is ambiguous in model {model.name!r}.",
            f"It could be {', '.join(map(repr, ends))}.",
            "Give the whole path.",
            "keras_saliency.layers.tree(model)",
        )
    raise LayerError(
        f"No layer is called {name!r} in model {model.name!r}.",
        f"It has {len(known)} layers.",
        did_you_mean(name, [*known, *(path.rsplit("/", 1)[-1] for path in known)])
        or "Give the path of one of them.",
        "keras_saliency.layers.tree(model)",
    )


# What these give has the rank of a map, but its axes may be anything.
_REARRANGING = ("Permute", "Transpose", "Reshape", "Moveaxis", "Swapaxes")
ATTENTIONS = ("MultiHeadAttention", "GroupedQueryAttention")


@dataclass(frozen=True)
class Call:
    """One call of one layer during a run: the ``index``-th of that layer, giving ``shape``.

    The layer is held weakly: a cached survey must not keep a model alive.
    """

    path: str
    index: int
    shape: tuple[int | None, ...]
    dtype: str
    channels_first: bool
    reference: weakref.ref[Any]
    grid: tokens.Grid | None = None  # of (B, T, D)

    @property
    def layer(self) -> Any:
        """The layer itself."""
        return self.reference()

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the output; (1, 1) where it is no map."""
        if self.grid is not None:
            return self.grid.height, self.grid.width
        if len(self.shape) != 4:
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
                call = self.calls[self.first_makers[number]]
                late = call.grid is not None and call.grid.has_extra and number >= last
                named = type(call.layer).__name__ in _REARRANGING or self._in_attention(call)
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
        return [
            call
            for number, call in enumerate(self.calls)
            if number in self.leading and type(call.layer).__name__ in ATTENTIONS
        ]

    def _last_attention(self) -> int:
        """The number of the first call inside the last attention layer."""
        found = self.attentions()
        paths = [call.path for call in self.calls]
        inside = [n for n, path in enumerate(paths) if found and path.startswith(found[-1].path)]
        return inside[0] if inside else len(paths)

    def _in_attention(self, call: Call) -> bool:
        """Whether a call is inside an attention layer, where four axes are no map."""
        return any(call.path.startswith(one.path + "/") for one in self.attentions())

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
    """Let ``handler(output)`` replace the output of just this one call while a model runs."""
    count = 0

    def count_then_handle(original, *args, **kwargs):
        nonlocal count
        output = original(*args, **kwargs)
        count += 1
        return handler(output) if count == call.index + 1 else output

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
    model: Any, run: Callable[[], tuple[list[Any], list[Any]]], channels_first: bool = False
) -> Survey:
    """Watch every layer while ``run()`` calls the model once.

    Args:
        model: A Keras model.
        run: Calls the model and returns ``(inputs, outputs)``: all tensors that went in, and the
            tensors whose makers count as the end (the chosen output, its logits).
        channels_first: The layout of layers that do not name one.
    """
    import keras

    flat = keras.tree.flatten
    records: list[_Record] = []
    counts: dict[int, int] = {}

    def watch(path: str, operation: Any) -> Callable[..., Any]:
        def handler(original, *args, **kwargs):
            output = original(*args, **kwargs)
            index = counts[id(operation)] = counts.get(id(operation), -1) + 1
            records.append(_Record(path, operation, index, flat((args, kwargs)), flat(output)))
            return output

        return handler

    with intercept([(operation, watch(path, operation)) for path, operation in walk(model)]):
        inputs, outputs = run()

    first_makers: dict[int, int] = {}
    for number, record in enumerate(records):
        for tensor in record.outputs:
            first_makers.setdefault(id(tensor), number)
    ends = {id(tensor) for tensor in outputs}
    return Survey(
        model=model.name,
        calls=_with_grids([record.call(channels_first) for record in records], records),
        leading=_leading(records, inputs, outputs),
        ending=frozenset(
            n for n, record in enumerate(records) if ends & {id(t) for t in record.outputs}
        ),
        first_makers=tuple(
            first_makers[id(record.outputs[0])] if record.outputs else n
            for n, record in enumerate(records)
        ),
        output_shape=tuple(outputs[0].shape),
    )


def _with_grids(calls: list[Call], records: list[_Record]) -> tuple[Call, ...]:
    """Find the picture in every call that gives tokens."""
    joined = [
        [tensor.shape[1] or 0 for tensor in record.inputs if len(getattr(tensor, "shape", ())) == 3]
        for record in records
        if type(record.operation).__name__ == "Concatenate"
    ]
    sizes: list[tuple[int, int]] = []
    found = []
    for call in calls:
        if len(call.shape) == 4 and hasattr(call.layer, "data_format"):
            sizes.insert(0, call.map_size)  # of others nobody knows which axes are the picture's
        is_tokens = len(call.shape) == 3 and call.shape[1]
        grid = tokens.find(call.shape[1], sizes, joined) if is_tokens else None  # type: ignore[arg-type]
        found.append(replace(call, grid=grid))
    return tuple(found)


@dataclass(frozen=True)
class _Record:
    path: str
    operation: Any
    index: int
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
        )


def _leading(records: list[_Record], inputs: list[Any], outputs: list[Any]) -> frozenset[int]:
    """Numbers of the records from which the outputs can be reached, tensor by tensor.

    Arithmetic between layers (``x + y`` in a subclassed ``call``) hides the way. If the walk back
    does not arrive at an input, every record counts.
    """
    makers: dict[int, list[int]] = {}
    for number, record in enumerate(records):
        for tensor in record.outputs:
            makers.setdefault(id(tensor), []).append(number)
    reached: set[int] = set()
    known, waiting = set(), [id(tensor) for tensor in outputs]
    while waiting:
        tensor = waiting.pop()
        known.add(tensor)
        for number in makers.get(tensor, []):
            if number not in reached:
                reached.add(number)
                waiting.extend(id(t) for t in records[number].inputs)
    arrived = any(id(tensor) in known for tensor in inputs)
    return frozenset(reached) if arrived else frozenset(range(len(records)))

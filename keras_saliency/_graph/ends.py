"""A model from outside: layers by path, what its inputs are shown to be, outputs by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_saliency._backend.hooks import is_builtin_keras_layer
from keras_saliency._graph.model_cache import KerasModel, walk
from keras_saliency.errors import LayerError, TargetError, did_you_mean


def layer_tree(model: KerasModel) -> str:
    """Return the paths of all layers, one a line, with their class names.

    Example:
        >>> print(layer_tree(model))
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
    """Return the ``(path, layer)`` of ``name``: a whole path, or an ending of just one path.

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
            f"It matches {', '.join(map(repr, ends))}.",
            "Give the whole path.",
            "keras_saliency.layer_tree(model)",
        )
    raise LayerError(
        f"No layer is called {name!r} in model {model.name!r}.",
        f"It has {len(known)} layers.",
        did_you_mean(name, [*known, *(path.rsplit("/", 1)[-1] for path in known)])
        or "Give the path of one of them.",
        "keras_saliency.layer_tree(model)",
    )


tree = layer_tree  # until version 0.2: keras_saliency.layers.tree


_ONE = ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "RNN", "Masking", "Attention",
        "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention")  # fmt: skip
_SPATIAL = ("Conv", "DepthwiseConv", "SeparableConv", "MaxPooling", "AveragePooling", "MaxPool",
            "GlobalAveragePooling", "GlobalMaxPooling", "UpSampling", "ZeroPadding", "Cropping",
            "SpatialDropout", "AdaptiveAveragePooling", "AdaptiveMaxPooling")  # fmt: skip
_KINDS = {1: "signal", 2: "picture", 3: "volume"}
_PASSED = 100  # operations


@dataclass(frozen=True)
class Consumer:
    """A layer that shows what its input is.

    Attributes:
        kind: ``"tokens"``, ``"signal"``, ``"picture"``, ``"volume"`` or ``"video"``.
        layer: The layer.
        path: Its path.
        has_channels: Whether the input had its axis of channels before; False where the model
            adds one.
    """

    kind: str
    layer: Any
    path: str
    has_channels: bool = True


@dataclass(frozen=True, eq=False)
class EmbeddingCall:
    """One call of an Embedding layer: its path and number, what it took and what it returned."""

    path: str
    number: int
    words: np.ndarray
    vectors: np.ndarray

    @property
    def where(self) -> tuple[str, int]:
        """Path and number."""
        return self.path, self.number


class Reached(Exception):
    """The wanted call of an Embedding layer was made."""


def reading(layer: Any, rank: int) -> str:
    """Return what a layer shows its input of this rank, without the batch axis, to be; or ""."""
    if is_embedding(layer):
        return "tokens"
    if not is_builtin_keras_layer(layer):
        return ""
    name = type(layer).__name__
    if name in _ONE:
        return "signal" if rank == 2 else ""
    if name == "TimeDistributed":
        return "video" if rank == 4 else ""
    if name.startswith("ConvLSTM"):
        return "video" if name == "ConvLSTM2D" and rank == 4 else ""
    if name == "Dense" or name == "EinsumDense":
        return "signal" if rank == 2 else ""
    stem, digit = name.removesuffix("Transpose")[:-2], name.removesuffix("Transpose")[-2:-1]
    if stem in _SPATIAL and digit.isdigit() and rank == int(digit) + 1:
        return _KINDS[int(digit)]
    return ""


def is_embedding(layer: Any) -> bool:
    """Whether a layer turns numbers of words into vectors."""
    import keras

    return isinstance(layer, keras.layers.Embedding)


def of_input(model: Any, tensor: Any) -> list[Consumer]:
    """Return the first layers that show what a symbolic input of a graph is, in order of calls.

    Layers and operations that leave the shape alone are passed, nested models are entered.
    """
    return list(_follow(model, tensor, "", True))


def of_layers(model: Any) -> list[Consumer]:
    """Return what the layers of a model that is no graph would show of their inputs."""
    result = []
    for path, layer in walk(model):
        kinds = (reading(layer, rank) for rank in (2, 3, 4))
        # A dense layer says nothing here: it may come last.
        if type(layer).__name__ not in ("Dense", "EinsumDense") and (kind := max(kinds)):
            result.append(Consumer(kind, layer, path))
    return result


def symbolic(operation: Any) -> tuple[list[Any], list[Any]] | None:
    """Return the symbolic inputs and outputs of what runs as a graph of operations, else None."""
    import keras

    if not isinstance(operation, keras.Model) or not is_builtin_keras_layer(operation):
        return None
    try:
        return keras.tree.flatten(operation.inputs), keras.tree.flatten(operation.outputs)
    except (AttributeError, ValueError):  # a Sequential that is not built
        return None


def nodes_by_input(outputs: list[Any]) -> dict[int, list[tuple[Any, int]]]:
    """Return, by id of each tensor on the way to some outputs, the calls that take it, and where.

    A call is Keras' node, and ``where`` the number of the tensor among its inputs.
    """
    consumers: dict[int, list[tuple[Any, int]]] = {}
    seen: set[int] = set()
    pending = list(outputs)
    while pending:
        operation, number, _ = pending.pop()._keras_history
        node = operation._inbound_nodes[number]
        if id(node) not in seen and not node.is_input:
            seen.add(id(node))
            for i, tensor in enumerate(node.input_tensors):
                consumers.setdefault(id(tensor), []).append((node, i))
                pending.append(tensor)
    return consumers


def _follow(model: Any, tensor: Any, prefix: str, has_channels: bool) -> Iterator[Consumer]:
    ends = symbolic(model)
    if ends is None:
        return
    consumers = nodes_by_input(ends[1])
    pending, passed = [(tensor, has_channels)], 0
    while pending and passed < _PASSED:
        current, own = pending.pop(0)
        for node, i in consumers.get(id(current), []):
            passed += 1
            layer, path = node.operation, prefix + node.operation.name
            inside = symbolic(layer)
            if inside is not None:
                yield from _follow(layer, inside[0][i], path + "/", own)
                continue
            rank = len(current.shape) - 1
            if kind := reading(layer, rank):
                yield Consumer(kind, layer, path, own)
                continue
            for output in node.output_tensors:
                shape = tuple(output.shape)
                if shape == tuple(current.shape):
                    pending.append((output, own))
                elif shape == (*current.shape, 1) and own:
                    pending.append((output, False))


class ModelOutputs:
    """The outputs of a model, ``model``."""

    model: Any

    def symbolic(self, end: Literal["input", "output"]) -> Any:
        """Return the model's symbolic inputs or outputs; None for a model that is no graph."""
        # Sequential raises until it is built, a subclassed model has no such attribute at all.
        try:
            return getattr(self.model, end)
        except (AttributeError, ValueError):
            return None

    def select_output(self, outputs: Any, name: str | int | None) -> list[Any]:
        """Return the output at a path of the structure, as a list of one; all for ``"*"``.

        Args:
            outputs: What the model returned: a tensor, or dicts, lists and tuples of them in any
                nesting.
            name: Path of an output, such as ``"head"`` or ``"aux/0"``; the name of the layer that
                makes it, where a graph has one of this name; its number in the flat order; None for
                the only one. Fields of namedtuples have names and numbers.

        Raises:
            TargetError: No such output, or several and no name.
        """
        walked = [("/".join(path), "/".join(named), leaf) for path, named, leaf in _walk(outputs)]
        leaves = [(path, leaf) for path, _, leaf in walked]
        paths = [path for path, _ in leaves]
        if name == "*" or (name is None and len(leaves) == 1):
            return [leaf for _, leaf in leaves]
        if isinstance(name, int) and -len(leaves) <= name < len(leaves):
            return [leaves[name][1]]
        by_layer = self._layer_names(paths)
        aliases = by_layer | {named: path for path, named, _ in walked if named != path}
        path = str(name) if str(name) in paths else aliases.get(str(name))
        if name is not None and path is not None and paths.count(path) == 1:
            return [leaves[paths.index(path)][1]]
        by_path = {path: layer for layer, path in by_layer.items()}
        listed = ", ".join(
            repr(path) + (f" (layer {by_path[path]!r})" if path in by_path else "")
            for path in paths
        )
        below = [path for path in paths if path.startswith(f"{name}/")]
        first = (below or [by_path.get(one, one) for one in paths] or ["..."])[0]
        raise TargetError(
            f"Expected a target that names one output of model {self.model.name!r}."
            if name is None
            else f"No single output is called {name!r} in model {self.model.name!r}.",
            f"It has {len(leaves)} outputs: {listed}.",
            ("" if name is None or below else did_you_mean(str(name), [*paths, *aliases]))
            or f"Name one in the target, as in targets.TopClass(output={first!r}).",
            "help(keras_saliency.targets)",
        )

    def loss(self, name: str | int | None, path: str = "") -> Any:
        """Return the loss that an output was compiled with; None where it is unknown.

        Args:
            name: The output, as `select_output` takes it.
            path: Of the layer that makes it. It may lie in a nested model with a loss of its own.
        """
        import keras

        given = getattr(self.model, "loss", None)
        if given is None:
            first, _, rest = path.partition("/")
            inner = next((one for way, one in walk(self.model) if way == first), None)
            return outputs_of(inner).loss(None, rest) if isinstance(inner, keras.Model) else None
        losses = {"/".join(map(str, way)): one for way, one in keras.tree.flatten_with_path(given)}
        if "" in losses:  # one for all
            return given
        layer = path.rpartition("/")[2]
        keys, index = [str(name), layer], name if isinstance(name, int) else 0
        outputs = self.symbolic("output")
        if outputs is not None:
            leaves = outputs_by_path(outputs)
            names = list(getattr(self.model, "output_names", ()))
            if name is None and layer in names:
                name = names.index(layer)
            (chosen,) = self.select_output(outputs, name)
            index = next(i for i, (_, leaf) in enumerate(leaves) if leaf is chosen)
            keys = [leaves[index][0], *names[index : index + 1]]
        if result := [losses[key] for key in keys if key in losses]:
            return result[0]
        named = any(isinstance(one, dict) for one in (given, outputs))
        return None if named or not index < len(losses) else list(losses.values())[index]

    def _layer_names(self, paths: list[str]) -> dict[str, str]:
        """Return the path of each output by the name of the layer that makes it, where clear."""
        names = list(getattr(self.model, "output_names", None) or [])
        if self.symbolic("output") is None or len(names) != len(paths):
            return {}
        # Keras lists these names in the flat order, which is that of the paths.
        return {
            name: path
            for name, path in zip(names, paths, strict=True)
            if names.count(name) == 1 and name not in paths
        }


def outputs_of(model: Any) -> ModelOutputs:
    """Return the outputs of a model."""
    outputs = ModelOutputs()
    outputs.model = model
    return outputs


def is_tensor(value: Any) -> bool:
    """Whether a value has a shape and a dtype."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def outputs_by_path(outputs: Any) -> list[tuple[str, Any]]:
    """Return the tensors of a structure with their paths (``"aux/0"``), in Keras' flat order."""
    return [("/".join(path), leaf) for path, _, leaf in _walk(outputs)]


def _walk(outputs: Any) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Any]]:
    """Yield paths of tensors, the same by the fields' names of namedtuples, and the tensors.

    ``keras.tree.flatten_with_path`` numbers these fields by their names on PyTorch.
    """
    if isinstance(outputs, Mapping):
        names = keys = sorted(outputs)
    elif isinstance(outputs, list | tuple):
        keys = list(range(len(outputs)))
        names = getattr(outputs, "_fields", keys)
    else:
        if is_tensor(outputs):
            yield (), (), outputs
        return
    for key, name in zip(keys, names, strict=True):
        for path, named, leaf in _walk(outputs[key]):
            yield (str(key), *path), (str(name), *named), leaf

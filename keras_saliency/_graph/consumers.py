"""The layers that show what an input is: the first that treat its axes as time, space or words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency._backend.hooks import is_builtin_keras_layer
from keras_saliency._graph.configuration import walk

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
    """Return the first layers that show what an input of a graph is, in the order of calls.

    Layers and operations that leave the shape alone are passed, nested models are entered.

    Args:
        model: A Functional or built Sequential model.
        tensor: One of its symbolic inputs.
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

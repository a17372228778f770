"""The scores behind a terminal softmax or sigmoid, found while the model runs, without changing it.

Every layer that ends in a softmax or sigmoid is asked for its value before that activation as well.
Whichever of these outputs turns out to *be* the model's output gives the logits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from keras_saliency import pieces
from keras_saliency.intercept import intercept, is_ours_to_split
from keras_saliency.pieces import Piece, Run

# "softmax": over the channels, "other softmax": over anything else, such as all pixels.
Activation = Literal["softmax", "other softmax", "sigmoid"]

# Operations that move values about without changing any: logits pass through them as outputs do.
_CARRIERS = ("Cast", "Dropout", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape",
             "Squeeze", "Transpose", "linear")  # fmt: skip
_ACTIVATIONS = {"Softmax": "softmax", "softmax": "softmax", "Sigmoid": "sigmoid",
                "sigmoid": "sigmoid"}  # fmt: skip


class Logits:
    """What was seen before each softmax or sigmoid during one run of a model."""

    def __init__(self, channels_first: bool) -> None:
        """Start with nothing seen."""
        self._channels_first = channels_first
        self._seen: dict[int, tuple[Any, Any, Activation]] = {}

    def of(self, output: Any) -> tuple[Any, Activation | None]:
        """Return the logits behind ``output`` and the activation between; itself where none is."""
        _, logits, activation = self._seen.get(id(output), (output, output, None))
        return logits, activation

    def watch(self, piece: Piece, output: Any) -> None:
        """Look at a piece of the run and its output."""
        if piece.name in _ACTIVATIONS:
            self._note(output, piece.inputs[0], self._activation(piece, output))
        elif piece.name in _CARRIERS and piece.inputs and id(piece.inputs[0]) in self._seen:
            self._carry(piece, output)
        elif piece.name == "Concatenate" and all(id(one) in self._seen for one in piece.inputs):
            before = [self._seen[id(one)] for one in piece.inputs]
            sigmoids = all(activation == "sigmoid" for _, _, activation in before)
            logits = piece.function(*(one for _, one, _ in before))
            self._note(output, logits, "sigmoid" if sigmoids else "other softmax")

    def _activation(self, piece: Piece, output: Any) -> Activation:
        if _ACTIVATIONS[piece.name] == "sigmoid":
            return "sigmoid"
        axis, rank = getattr(piece.operation, "axis", -1), len(output.shape)
        if piece.name == "softmax":  # a function: over the last axis
            axis = -1
        channels = 1 if self._channels_first and rank == 4 else rank - 1
        return "softmax" if axis in (channels, channels - rank) else "other softmax"

    def _carry(self, piece: Piece, output: Any) -> None:
        """What an operation does to outputs it does to their logits."""
        given, *others = piece.inputs
        if output is given:
            return
        _, before, activation = self._seen[id(given)]
        moved = piece.name in ("Permute", "Transpose") or output.shape[-1] != before.shape[-1]
        if activation == "softmax" and moved:
            activation = "other softmax"
        self._note(output, piece.function(before, *others), activation)

    def _note(self, output: Any, logits: Any, activation: Activation) -> None:
        self._seen[id(output)] = (output, logits, activation)  # kept, so that no id is used twice


@contextlib.contextmanager
def recorded(
    operations: Iterable[Any], channels_first: bool = False, run: Run | None = None
) -> Iterator[Logits]:
    """Run a model inside this block, then ask the result for the logits of its outputs.

    Args:
        operations: The model's layers and operations.
        channels_first: Whether its maps are (B, C, H, W).
        run: Runs each piece of the model; ``None`` runs them as they are.
    """
    logits = Logits(channels_first)

    def watched(piece):
        output = (run or Piece.run)(piece)
        logits.watch(piece, output)
        return output

    sites = [one for one in operations if run is not None or _matters(one)]
    with intercept((one, pieces.handler(one, watched)) for one in sites):
        yield logits


def _matters(operation: Any) -> bool:
    """Whether an operation has a piece that logits are known by."""
    if not is_ours_to_split(operation):
        return False
    kind, function = type(operation).__name__, getattr(operation, "activation", None)
    if kind == "Activation" or pieces.ends_in_activation(operation):
        name = pieces.name_of(function)
        return name in _ACTIVATIONS or (kind == "Activation" and name == "linear")
    return kind in _ACTIVATIONS or kind in _CARRIERS or kind == "Concatenate"

"""What biases contribute to a score, place by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency import _backend
from keras_saliency.backward import kinds
from keras_saliency.backward.base import Rule, Scores
from keras_saliency.intercept import is_ours_to_split
from keras_saliency.layers import Call, Survey
from keras_saliency.pieces import Piece

_NORMS = ("BatchNormalization", "Normalization", "Rescaling")


@dataclass(frozen=True)
class Biases(Rule):
    """The gradient as it is; on its way each layer's bias times the gradient at it is collected.

    The bias of a layer that only scales is what it makes of 0: of batch normalisation beta - gamma
    mean / std, of rescaling its offset. Each layer with a bias fills a probe (B, h, w, 2), or
    (B, 1, 1, 2) where it gives no map: sums over channels of the size of what the bias contributes,
    and of what it contributes.
    """

    method = "full_grad"

    def probes(self, survey: Callable[[], Survey]) -> tuple[tuple[int, ...], ...]:
        calls = [call for call in survey().calls if _has_bias(call.layer)]
        return tuple((*_places(call), 2) for call in calls)

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        pictures, probes = images if isinstance(images, tuple) else (images, ())  # no bias at all
        waiting = list(probes)

        def run(piece: Piece) -> Any:
            output = piece.run()
            by_itself = piece.name in kinds.KERNELS or piece.name in _NORMS
            if not by_itself or not _has_bias(piece.operation):
                return output
            probe = waiting.pop(0)
            if output.shape[0] not in (pictures.shape[0], None):
                return self.refused(piece, "its rows are windows, or the like, of pictures")
            rank, axis = len(output.shape), _channel_axis(piece.operation, len(output.shape))
            bias = _bias(piece, rank, axis)

            def back(up):
                return up, _collected(bias * up, axis, probe)

            return _backend.current().redirect(output, [output, probe], back)

        return scores(run, pictures, rows, sides)


def _places(call: Call) -> tuple[int, ...]:
    """Height and width of what a call gives, by the axis that its own bias lies along."""
    if len(call.shape) != 4:
        return 1, 1
    axis = _channel_axis(call.layer, 4)
    return tuple(side or 1 for number, side in enumerate(call.shape) if number not in (0, axis))


def _collected(contributions: Any, axis: int, probe: Any) -> Any:
    from keras import ops

    both = [ops.abs(contributions), contributions]
    if len(contributions.shape) == 4:
        sums = [ops.sum(one, axis=axis) for one in both]
    else:
        others = tuple(range(1, len(contributions.shape)))
        sums = [ops.sum(one, axis=others)[:, None, None] for one in both]
    return ops.cast(ops.stack(sums, axis=-1), probe.dtype)


def _has_bias(operation: Any) -> bool:
    name = type(operation).__name__
    if not is_ours_to_split(operation) or name == "EinsumDense":
        return False
    if name == "Rescaling":
        return bool(np.any(operation.offset))
    return name in _NORMS or (name in kinds.KERNELS and operation.use_bias)


def _bias(piece: Piece, rank: int, axis: int) -> Any:
    from keras import ops

    if piece.name in _NORMS:
        return piece.function(*map(ops.zeros_like, piece.inputs))
    shape = [1] * rank
    shape[axis] = -1
    return ops.reshape(ops.convert_to_tensor(piece.operation.bias), shape)


def _channel_axis(operation: Any, rank: int) -> int:
    if type(operation).__name__ == "BatchNormalization":
        return operation.axis % rank
    first = getattr(operation, "data_format", None) == "channels_first"
    return 1 if first else rank - 1

"""What Keras' multi-head attention layers attend to, and the gradients there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency.backward.base import Rule, Scores
from keras_saliency.layers import Call, Survey, is_attention
from keras_saliency.pieces import Piece


@dataclass(frozen=True)
class Attention(Rule):
    """The score and its gradient as they are; what every attention layer attends to is noted.

    A run sees ``"0"``, ``"1"``, ...: for each layer, in order, (B, T, T) attention of each token
    (row) to each token, over heads as ``heads`` says: ``"mean"``, ``"max"`` or ``"min"``.
    """

    heads: str = "mean"
    method = "attention_rollout"

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        from keras import ops

        fuse = {"mean": ops.mean, "max": ops.max, "min": ops.min}[self.heads]
        seen: list[Any] = []

        def look(attention):
            seen.append(ops.cast(fuse(attention, axis=1), images.dtype))
            return attention

        found, learnt = scores(_Watcher(self, look, images).run, images, rows, sides)
        return found, {**learnt, "back": {str(k): one for k, one in enumerate(seen)}}

    def kept(self, seen: dict[str, Any], survey: Callable[[], Survey]) -> dict[str, Any]:
        """Leave out layers that lead to another output only."""
        found = survey()
        leading = {id(call) for call in found.attentions()}
        numbers = [k for k, call in enumerate(_running(found)) if id(call) in leading]
        return {str(k): seen[str(number)] for k, number in enumerate(numbers)}


@dataclass(frozen=True)
class WeightedAttention(Rule):
    """Attention times its gradient, where positive, averaged over heads, (B, T, T) a layer."""

    method = "transformer_attribution"

    def probes(self, survey: Callable[[], Survey]) -> tuple[tuple[int, ...], ...]:
        # All that run fill a probe; where one leads to another output, its gradient is 0.
        counts = [call.shape[1] or 0 for call in _running(survey())]
        return tuple((count, count) for count in counts)

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        from keras import ops

        pictures, probes = images
        waiting = list(probes)

        def collect(attention):
            probe = waiting.pop(0)

            def back(up):
                weighted = ops.mean(ops.relu(attention * up), axis=1)
                return up, ops.cast(weighted, probe.dtype)

            return _backend.current().redirect(attention, [attention, probe], back)

        return scores(_Watcher(self, collect, pictures).run, pictures, rows, sides)


def _running(survey: Survey) -> list[Call]:
    """All attention layers that run, wherever they lead."""
    return [call for call in survey.calls if is_attention(call.layer)]


class _Watcher:
    """Hands what each attention layer attends to, (B, heads, T, T), to somebody, in one run."""

    def __init__(self, rule: Rule, use: Any, images: Any) -> None:
        self._rule, self._use, self._rows = rule, use, images.shape[0]
        self._inside = False

    def run(self, piece: Piece) -> Any:
        if is_attention(piece.operation):
            return self._attention(piece)
        output = piece.run()
        return self._use(output) if self._inside and piece.name == "Softmax" else output

    def _attention(self, piece: Piece) -> Any:
        if getattr(piece.operation, "_flash_attention", False):
            raise self._rule.unsupported(piece, "flash attention never has all of it at once")
        self._inside = True
        try:  # asked to return it, the layer computes attention in the open
            output, attention = piece.function(*piece.inputs, return_attention_scores=True)
        finally:
            self._inside = False
            if hasattr(piece.operation, "_return_attention_scores"):  # a grouped one remembers
                piece.operation._return_attention_scores = False
        if attention.shape[0] not in (self._rows, None):
            raise self._rule.unsupported(piece, "its rows are windows, or the like, of pictures")
        if len(attention.shape) != 4 or attention.shape[2] != attention.shape[3]:
            raise self._rule.unsupported(piece, "it does not attend from tokens to the same tokens")
        return (output, attention) if piece.keywords.get("return_attention_scores") else output

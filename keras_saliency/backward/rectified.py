"""Rectifiers that let only positive gradients back: DeconvNet and guided backpropagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from keras_saliency import _backend
from keras_saliency.backward import hidden, kinds
from keras_saliency.backward.base import Rule, Scores
from keras_saliency.errors import MethodError
from keras_saliency.intercept import is_ours_to_split
from keras_saliency.pieces import Piece, Run


@dataclass(frozen=True)
class Rectified(Rule):
    """At every rectifier relu(upstream); if ``guided``, only where its output is > 0 as well.

    A rectifier's own slope and upper end (``negative_slope``, ``max_value``) count where guided:
    beyond 6 a ReLU6 lets nothing back.
    """

    guided: bool

    @property
    def method(self) -> Literal["guided_backprop", "deconvnet"]:  # type: ignore[override]
        return "guided_backprop" if self.guided else "deconvnet"

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        from keras import ops

        seen: list[str] = []
        with hidden.watched() as unseen:
            found, learnt = scores(self._run(seen), images, rows, sides)
        if unseen:
            raise MethodError(
                f"The method {self.method!r} was asked for.",
                f"The model computes {len(unseen)} rectifiers inside the call() of a layer or "
                "model, or a function, where nobody can change what they let back.",
                "Make them layers (keras.layers.ReLU) or arguments (activation='relu').",
                f"help(keras_saliency.methods.{self.method})",
            )
        count = ops.full((ops.shape(images)[0],), len(seen))
        return found, {**learnt, "back": {"rectifiers": count}}

    def _run(self, seen: list[str]) -> Run:
        from keras import ops

        backend = _backend.current()

        def positive(upstream: Any) -> Any:
            return ops.maximum(upstream, 0)  # no relu: JAX traces this in the middle of a run

        def run(piece: Piece) -> Any:
            # What others run inside, such as Lambda or a recurrent layer, is out of sight too; but
            # Keras may make an elementwise function of a rectifier, such as hard_sigmoid.
            ours = is_ours_to_split(piece.operation)
            with hidden.in_sight(ours and piece.name in kinds.ELEMENTWISE):
                if not ours or piece.name not in kinds.RECTIFIERS:
                    return piece.run()
                seen.append(piece.name)
                if not self.guided:
                    return backend.redirect(piece.run(), piece.inputs, lambda up: (positive(up),))
                output, pullback = backend.vjp(piece.function, *piece.inputs)

            def back(upstream):
                kept = positive(upstream)
                return pullback(ops.where(output > 0, kept, ops.zeros_like(kept)))

            return backend.redirect(output, piece.inputs, back)

        return run

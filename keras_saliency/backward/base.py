"""What every backward rule is."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any

from keras_saliency import _backend
from keras_saliency.errors import MethodError
from keras_saliency.layers import Survey
from keras_saliency.pieces import Piece, Run, is_float

# scores(run, images, rows, sides) -> (scores, learnt): one run of the model, piece by piece
Scores = Callable[[Run | None, Any, Any, Any], tuple[Any, dict[str, Any]]]


class Rule(ABC):
    """How the gradient goes back through a model. Rules are frozen: they tell programs apart."""

    method: str  # the name of the method it stands for, for messages

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        """Run the model once under this rule and return ``(scores, learnt)``.

        Here each piece of it goes through `runner`; a rule that wants more arguments
        (``given``), or more runs, does it in its own way.
        """
        return scores(self.runner(), images, rows, sides)

    def runner(self) -> Run:
        """Return what runs the pieces of one run of the model."""
        return Piece.run

    def at_output(self, logits: Any) -> Any:
        """Return the output's logits, so that back from them goes what the rule starts with."""
        return logits

    def probes(self, survey: Callable[[], Survey]) -> tuple[tuple[int, ...], ...]:
        """Return shapes, without the batch axis, of what the rule collects on its way back.

        Args:
            survey: Tells which layers run; costs a run of the model the first time.
        """
        return ()

    def kept(self, seen: dict[str, Any], survey: Callable[[], Survey]) -> dict[str, Any]:
        """Return what is kept of what a run saw."""
        return seen

    def refused(self, piece: Piece, why: str = "no rule for it is known") -> Any:
        """Run a piece that this rule cannot go back through: an error where something comes back.

        Not before: it may lead to another output only. (JAX traces every way back, and refuses.)
        """
        import keras

        def back(upstream):
            raise self.unsupported(piece, why)

        def cut(leaf):
            if not is_float(leaf):
                return leaf
            return _backend.current().redirect(leaf, piece.inputs, back)

        try:
            output = piece.run()
        except MethodError as inner:  # JAX refuses what runs inside first: its whole is what counts
            raise self.unsupported(piece, why) from inner
        return keras.tree.map_structure(cut, output) if piece.inputs else output

    def opaque(self, piece: Piece) -> Any:
        """Run a layer of somebody's own, with nothing inside that could be seen."""
        return self.refused(piece, "nobody can know what its call() does")

    def unsupported(self, piece: Piece, why: str = "no rule for it is known") -> MethodError:
        """Return the error for a piece that this rule cannot go back through."""
        operation = piece.operation
        return MethodError(
            f"The method {self.method!r} was asked for.",
            f"It cannot go back through {piece.name} (layer {operation.name!r}): {why}.",
            "Take a method that needs no rule for each layer, such as 'integrated_gradients'.",
            "help(keras_saliency.backward)",
        )

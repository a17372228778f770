"""What every target is: a score a picture, its numbers, and what it refuses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_saliency.errors import TargetError, did_you_mean

Score = Literal["logit", "probability", "log_probability"]

SCORES = ("logit", "probability", "log_probability")
READ = "help(keras_saliency.targets)"


@dataclass(frozen=True)
class Output:
    """One output of a model during a run: as it is, before its activation, and which that was."""

    values: Any
    logits: Any
    activation: str | None

    def scored(self, score: Score) -> Any:
        """Return the output's values as logits, probabilities or log probabilities."""
        from keras import ops

        if score == "logit":
            return self.logits
        if score == "probability" and self.activation is not None:
            return self.values
        if self.activation == "other softmax":  # over which axes, only the values tell
            return ops.log(ops.maximum(self.values, 1e-30))
        sigmoid = self.activation == "sigmoid"
        if sigmoid or (self.activation is None and self.logits.shape[-1] == 1):
            return (ops.sigmoid if score == "probability" else ops.log_sigmoid)(self.logits)
        return (ops.softmax if score == "probability" else ops.log_softmax)(self.logits, axis=-1)

    def learnt(self) -> dict[str, Any]:
        """Return, for each row, whether it looks like probabilities although nothing made it so."""
        from keras import ops

        if self.activation is not None or len(self.values.shape) != 2 or self.values.shape[-1] < 2:
            return {}
        values = ops.stop_gradient(self.values)
        one = ops.abs(ops.sum(values, axis=-1) - 1) < 1e-3
        return {"hidden": ops.logical_and(one, ops.all(values >= 0, axis=-1))}


@dataclass(frozen=True)
class Outputs:
    """What a model returned, and how to pick one of its outputs by name or number."""

    raw: Any
    pick: Callable[[str | int | None], Output]


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Turns a model's output into one score a picture.

    A target has a fixed part (`static`, known when a function is compiled) and numbers that may
    differ from picture to picture (`rows`, handed in at every call, so that another class costs no
    compilation). All take ``score=`` (``"logit"``, ``"probability"``, ``"log_probability"``) and
    ``output=``, the name or number of the output for a model with several.
    """

    score: Score = "logit"
    output: str | int | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown score."""
        if self.score not in SCORES:
            raise TargetError(
                f"The score {self.score!r} was asked for.",
                f"Known: {', '.join(map(repr, SCORES))}.",
                did_you_mean(str(self.score), SCORES) or "Take one of these.",
                READ,
            )

    @property
    @abstractmethod
    def static(self) -> tuple[Any, ...]:
        """What makes two targets compile to the same function."""

    @abstractmethod
    def rows(self, count: int) -> dict[str, np.ndarray]:
        """Return the numbers of this target, each with ``count`` rows.

        Raises:
            TargetError: There is not one for each of ``count`` pictures.
        """

    @abstractmethod
    def check(self, shape: tuple[int | None, ...]) -> None:
        """Refuse an output of this shape (with the batch axis) that the target does not fit.

        Raises:
            TargetError: It does not fit.
        """

    @abstractmethod
    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return (B,) scores, and what was learnt on the way (``"index"``, ``"probability"``)."""

    def check_learnt(self, learnt: dict[str, np.ndarray]) -> None:
        """Refuse outputs whose values show that the score is not what it says.

        Raises:
            TargetError: They are probabilities made inside a subclassed ``call``.
        """
        if "hidden" in learnt and learnt["hidden"].all():
            raise TargetError(
                f"The {self.score.replace('_', ' ')} of a class was asked for.",
                "The model's outputs look like probabilities (non-negative, summing to 1), but no "
                "layer makes them: a softmax inside a call() hides the logits.",
                "Explain a log probability: target=lambda y: keras.ops.log(y[:, 0]); or make the "
                "softmax a layer.",
                READ,
            )

    def resolved(self, learnt: dict[str, np.ndarray]) -> Target:
        """Return this target with every choice made as on the given pictures."""
        return self

    def describe(self, count: int) -> list[Any]:
        """Return what was explained, for a manifest: plain values, one for each picture."""
        return [str(self)] * count

    def for_cache(self) -> Target:
        """Return what a compiled function may keep: this target, holding no model."""
        return self


def per_row(numbers: Any, count: int, what: str) -> np.ndarray:
    """Return one whole number, or one for each picture, as ``count`` rows of int32."""
    array = np.atleast_1d(np.asarray(numbers))
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) not in (1, count):
        raise TargetError(
            f"{what} {numbers!r} was asked for on {count} pictures.",
            f"It is {array.dtype} of shape {array.shape}.",
            f"Give one integer, or a list of {count}.",
            READ,
        )
    return np.broadcast_to(array.astype(np.int32), (count,))


def check_indices(indices: Any, size: int | None, what: str) -> None:
    """Raise TargetError for a number outside 0 .. size - 1 (None: unknown)."""
    for index in np.atleast_1d(indices).tolist():
        if size is not None and not 0 <= index < size:
            raise TargetError(
                f"{what} {index} was asked for.",
                f"The model's output has {size}, numbered 0 to {size - 1}.",
                "Take one of these.",
                READ,
            )


def take(values: Any, index: Any) -> Any:
    """Return ``values[i, index[i]]`` for each row i."""
    from keras import ops

    return ops.squeeze(ops.take_along_axis(values, index[:, None], axis=-1), axis=-1)

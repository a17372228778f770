"""One class against those that the model finds most like it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency.errors import TargetError
from keras_saliency.targets.base import READ, Outputs, Target, check_indices, per_row
from keras_saliency.targets.classes import Class, TopClass


@dataclass(frozen=True)
class Contrast(Target):
    """The score of a class less ``gamma`` times the mean score of similar classes.

    Similar are the classes with the highest other logits on the picture; they stay the same when
    the picture is changed (Zhang et al.: Finer-CAM, 2025, arXiv:2501.11309).

    Args:
        index: Class number, or one for each picture; ``None`` takes the predicted class.
        similar: How many classes it is held against.
        gamma: How strongly: at 0 the class alone counts, at 1 only what it has beyond the others.
        others: The classes to hold it against, if not the similar ones: (n,) numbers, or (B, n).

    Example:
        >>> e = explain(model, img, target=targets.Contrast(similar=2, gamma=1.0))
        >>> e.targets[0].startswith(f"class {e.labels[0][-1]} against")
        True
    """

    index: int | Sequence[int] | None = None
    similar: int = 3
    gamma: float = 0.6
    others: Any = None

    def __post_init__(self) -> None:
        """Refuse what cannot be held against each other."""
        super().__post_init__()
        problem = None
        if not isinstance(self.similar, int) or self.similar < 1:
            problem = f"similar={self.similar!r} was given: it must be a whole number above 0"
        elif not isinstance(self.gamma, int | float) or not 0 <= self.gamma < math.inf:
            problem = f"gamma={self.gamma!r} was given: it must be a number, 0 or more"
        elif self.others is not None and not _are_classes(self.others):
            problem = f"others={self.others!r} was given: it must be class numbers, (n,) or (B, n)"
        if problem:
            raise TargetError(
                "A class against similar classes was asked for.",
                f"Instead {problem}.",
                "Take targets.Contrast(similar=3, gamma=0.6).",
                READ,
            )

    @property
    def static(self) -> tuple[Any, ...]:
        chosen = self.similar if self.others is None else None
        return ("contrast", self.index is None, chosen, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {"gamma": np.full(count, self.gamma, np.float32)}
        if self.index is not None:
            rows["index"] = per_row(self.index, count, "The class")
        if self.others is not None:
            others = np.atleast_2d(np.asarray(self.others, np.int32))
            if len(others) not in (1, count):
                raise TargetError(
                    f"Classes to hold against were given for {count} pictures.",
                    f"They have shape {others.shape}.",
                    f"Give (n,), or ({count}, n).",
                    READ,
                )
            rows["others"] = np.broadcast_to(others, (count, others.shape[1]))
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        Class(0 if self.index is None else self.index).check(shape)
        if self.others is not None:
            check_indices(np.ravel(self.others), shape[-1], "Class")
        elif shape[-1] is not None and self.similar >= shape[-1]:
            raise TargetError(
                f"A class against the {self.similar} most similar ones was asked for.",
                f"The model's output has {shape[-1]} classes.",
                f"Take similar={shape[-1] - 1} or less." if shape[-1] > 1 else "Take a Class.",
                READ,
            )

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        kind = {"score": self.score, "output": self.output}
        own = Class(0, **kind) if "index" in rows else TopClass(**kind)  # type: ignore[arg-type]
        score, learnt = own.scores(outputs, rows)
        output = outputs.pick(self.output)
        values = output.scored(self.score)
        others = rows.get("others")
        if others is None:
            logits = ops.stop_gradient(output.logits)
            itself = ops.one_hot(learnt["index"], logits.shape[-1], dtype="bool")
            rest = ops.where(itself, ops.full_like(logits, -math.inf), logits)
            others = ops.top_k(rest, self.similar)[1]
        against = ops.mean(ops.take_along_axis(values, others, axis=-1), axis=-1)
        gamma = ops.cast(rows["gamma"], values.dtype)
        return score - gamma * against, {**learnt, "others": others}

    def resolved(self, learnt: dict[str, np.ndarray]) -> Target:
        if self.index is not None and self.others is not None:
            return self
        return replace(self, index=learnt["index"].tolist(), others=learnt["others"].tolist())

    def describe(self, count: int) -> list[Any]:
        rows = self.rows(count)
        return [
            f"class {index} against {others.tolist()}, gamma {self.gamma}"
            for index, others in zip(rows["index"], rows["others"], strict=True)
        ]


def _are_classes(others: Any) -> bool:
    try:
        array = np.asarray(others)
    except ValueError:  # rows of different lengths
        return False
    return array.ndim in (1, 2) and array.size > 0 and array.dtype.kind in "iu"

"""Targets on an output (B, classes)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_saliency.errors import TargetError, _arguments
from keras_saliency.targets.base import (
    READ,
    Numbers,
    Output,
    Outputs,
    Score,
    Target,
    check_indices,
    per_row,
    take,
)


def _check_classes(shape: tuple[int | None, ...], name: str) -> None:
    if len(shape) != 2 or shape[1] == 0:
        raise TargetError(
            f"Expected an output (B, classes) for {name}.",
            f"Got a model output of shape {shape}.",
            "Take targets.Pixel or targets.Region for a dense output, or a callable.",
            READ,
        )


@dataclass(frozen=True)
class TopClass(Target):
    """The class with the highest score on each picture.

    Example:
        >>> e = explain(model, img, target=targets.TopClass(score="probability"))
        >>> bool(e.scores == e.probabilities)
        True
    """

    @property
    def static(self) -> tuple[Any, ...]:
        return ("top class", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {}

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_classes(shape, "the predicted class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        output = outputs.pick(self.output)
        index = ops.argmax(ops.stop_gradient(output.logits), axis=-1)
        return _class_scores(output, self.score, index)

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        return _Predicted(aux["index"].tolist(), score=self.score, output=self.output)


@dataclass(frozen=True)
class Class(Target):
    """One class, or one class per picture.

    Args:
        index: Class number, or a list with one for each picture.
    """

    predicted: ClassVar[bool] = False

    index: Numbers

    @property
    def static(self) -> tuple[Any, ...]:
        return ("class", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {"index": per_row(self.index, count, "the class")}

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_classes(shape, "a class")
        check_indices(self.index, shape[-1], "class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return _class_scores(outputs.pick(self.output), self.score, rows["index"])

    def describe(self, count: int) -> list[Any]:
        return per_row(self.index, count, "the class").tolist()


@dataclass(frozen=True)
class _Predicted(Class):
    """Classes that the model chose, not the user: one for each picture of its batch."""

    predicted = True

    def __post_init__(self) -> None:
        """Check nothing: the target that chose it is checked."""

    def rows(self, count: int) -> dict[str, np.ndarray]:
        if count != len(self.index):  # type: ignore[arg-type]
            return super().rows(count)
        return {"index": np.array(self.index, np.int32)}

    def describe(self, count: int) -> list[Any]:
        return self.rows(count)["index"].tolist()


def _class_scores(output: Output, score: Score, index: Any) -> tuple[Any, dict[str, Any]]:
    from keras import ops

    aux = {"index": index, **output.aux()}
    if output.activation is not None or output.logits.shape[-1] != 1:
        # One number without a sigmoid may be a price or an age.
        aux["probability"] = take(ops.stop_gradient(output.scored("probability")), index)
    return take(output.scored(score), index), aux


@dataclass(frozen=True)
class Margin(Target):
    """One class against another: the score of ``index`` less the score of ``other``.

    Args:
        index: Class number, or one for each picture.
        other: The class to compare with, or one for each picture.
    """

    index: Numbers
    other: Numbers

    @property
    def static(self) -> tuple[Any, ...]:
        return ("margin", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {
            "index": per_row(self.index, count, "the class"),
            "other": per_row(self.other, count, "the class"),
        }

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_classes(shape, "a margin between classes")
        check_indices(self.index, shape[-1], "class")
        check_indices(self.other, shape[-1], "class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        output = outputs.pick(self.output)
        values = output.scored(self.score)
        return take(values, rows["index"]) - take(values, rows["other"]), output.aux()


@dataclass(frozen=True)
class Contrast(Target):
    """The score of a class less ``gamma`` times the mean score of similar classes.

    The similar classes are those with the highest other logits on the picture; they stay the same
    when the picture is changed (Zhang et al.: Finer-CAM, 2025, arXiv:2501.11309).

    Args:
        index: Class number, or one for each picture; ``None`` takes the predicted class.
        similar: Number of classes to contrast with.
        gamma: Weight of the contrast: at 0 the class alone counts, at 1 only its excess over the
            others.
        others: The classes to contrast with, if not the similar ones: (n,) numbers, or (B, n).

    Example:
        >>> e = explain(model, img, target=targets.Contrast(similar=2, gamma=1.0))
        >>> e.targets[0].startswith(f"class {e.labels[0][-1]} against")
        True
    """

    index: int | Sequence[int] | None = None
    similar: int = 3
    gamma: float = 0.6
    others: npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        wrong = None
        if not _arguments.is_count(self.similar):
            wrong = "similar", "a whole number above 0"
        elif not _arguments.is_number(self.gamma) or not 0 <= self.gamma < math.inf:
            wrong = "gamma", "a number, 0 or more"
        elif self.others is not None and not _are_classes(self.others):
            wrong = "others", "class numbers, (n,) or (B, n)"
        if wrong:
            name, wanted = wrong
            raise TargetError(
                f"Expected {name} to be {wanted}.",
                f"Got targets.Contrast({name}={getattr(self, name)!r}).",
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
            rows["index"] = per_row(self.index, count, "the class")
        if self.others is not None:
            others = np.atleast_2d(np.asarray(self.others, np.int32))
            if len(others) not in (1, count):
                raise TargetError(
                    f"Expected others of shape (n,), or ({count}, n) for {count} pictures.",
                    f"Got shape {others.shape}.",
                    f"Pass (n,), or ({count}, n).",
                    READ,
                )
            rows["others"] = np.broadcast_to(others, (count, others.shape[1]))
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        Class(0 if self.index is None else self.index).check(shape)
        if self.others is not None:
            check_indices(np.ravel(self.others), shape[-1], "class")
        elif shape[-1] is not None and self.similar >= shape[-1]:
            raise TargetError(
                f"Expected more than {self.similar} classes, to contrast one with {self.similar}.",
                f"Got a model output of {shape[-1]} classes.",
                f"Take similar={shape[-1] - 1} or less." if shape[-1] > 1 else "Take a Class.",
                READ,
            )

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        kind = {"score": self.score, "output": self.output}
        own = Class(0, **kind) if "index" in rows else TopClass(**kind)  # type: ignore[arg-type]
        score, aux = own.scores(outputs, rows)
        output = outputs.pick(self.output)
        values = output.scored(self.score)
        others = rows.get("others")
        if others is None:
            logits = ops.stop_gradient(output.logits)
            itself = ops.one_hot(aux["index"], logits.shape[-1], dtype="bool")
            rest = ops.where(itself, ops.full_like(logits, -math.inf), logits)
            others = ops.top_k(rest, self.similar)[1]
        against = ops.mean(ops.take_along_axis(values, others, axis=-1), axis=-1)
        gamma = ops.cast(rows["gamma"], values.dtype)
        return score - gamma * against, {**aux, "others": others}

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        if self.index is not None and self.others is not None:
            return self
        return replace(self, index=aux["index"].tolist(), others=aux["others"].tolist())

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

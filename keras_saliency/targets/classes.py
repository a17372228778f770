"""Targets on an output (B, classes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency.errors import TargetError
from keras_saliency.targets.base import (
    READ,
    Output,
    Outputs,
    Score,
    Target,
    check_indices,
    per_row,
    take,
)


def _check_classes(shape: tuple[int | None, ...], name: str) -> None:
    if len(shape) != 2:
        raise TargetError(
            f"{name} asks for an output (B, classes).",
            f"The model's output has shape {shape}.",
            "Take targets.Pixel or targets.Region for a dense output, or a callable.",
            READ,
        )


@dataclass(frozen=True)
class TopClass(Target):
    """The class with the highest score, picture by picture.

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
        _check_classes(shape, "The predicted class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        output = outputs.pick(self.output)
        index = ops.argmax(ops.stop_gradient(output.logits), axis=-1)
        return _class_scores(output, self.score, index)

    def resolved(self, learnt: dict[str, np.ndarray]) -> Target:
        return Class(learnt["index"].tolist(), score=self.score, output=self.output)


@dataclass(frozen=True)
class Class(Target):
    """One class, or one class a picture.

    Args:
        index: Class number, or a list with one for each picture.
    """

    index: int | Sequence[int]

    @property
    def static(self) -> tuple[Any, ...]:
        return ("class", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {"index": per_row(self.index, count, "The class")}

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_classes(shape, "A class")
        check_indices(self.index, shape[-1], "Class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return _class_scores(outputs.pick(self.output), self.score, rows["index"])

    def describe(self, count: int) -> list[Any]:
        return per_row(self.index, count, "The class").tolist()


def _class_scores(output: Output, score: Score, index: Any) -> tuple[Any, dict[str, Any]]:
    from keras import ops

    probability = take(ops.stop_gradient(output.scored("probability")), index)
    learnt = {"index": index, "probability": probability, **output.learnt()}
    return take(output.scored(score), index), learnt


@dataclass(frozen=True)
class Margin(Target):
    """One class against another: the score of ``index`` less the score of ``other``.

    Args:
        index: Class number, or one for each picture.
        other: The class it is held against, or one for each picture.
    """

    index: int | Sequence[int]
    other: int | Sequence[int]

    @property
    def static(self) -> tuple[Any, ...]:
        return ("margin", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {
            "index": per_row(self.index, count, "The class"),
            "other": per_row(self.other, count, "The class"),
        }

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_classes(shape, "A margin between classes")
        check_indices(self.index, shape[-1], "Class")
        check_indices(self.other, shape[-1], "Class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        output = outputs.pick(self.output)
        values = output.scored(self.score)
        return take(values, rows["index"]) - take(values, rows["other"]), output.learnt()

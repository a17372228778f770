"""Targets on an output (B, classes): one class, or the highest few."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

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


def check_classes(shape: tuple[int | None, ...], name: str) -> None:
    """Raise TargetError for an output that is not (B, classes)."""
    if len(shape) != 2 or shape[1] == 0:
        raise TargetError(
            f"Expected an output (B, classes) for {name}.",
            f"Got a model output of shape {shape}.",
            "Take targets.Pixel or targets.Region for a dense output, or a callable.",
            READ,
        )


def class_count(shape: tuple[int | None, ...]) -> int | None:
    """Return the number of classes: one output may be the sigmoid of two."""
    return 2 if shape[-1] == 1 else shape[-1]


def numbered(output: Output, *indices: Any) -> tuple[Any, ...]:
    """Return an output with both classes of one sigmoid, aux values, and class numbers in it."""
    from keras import ops

    output = output.with_both_classes()
    if output.logits.shape[-1] != 1:
        return output, output.aux(), *indices
    # One number without a sigmoid: check_aux() refuses class 1.
    beyond = [ops.reshape(one > 0, (ops.shape(one)[0], -1)) for one in indices]
    aux = {"beyond": ops.any(ops.concatenate(beyond, axis=-1), axis=-1)} if beyond else {}
    return output, aux, *(ops.zeros_like(one) for one in indices)


@dataclass(frozen=True)
class OfClasses(Target):
    """A target on an output (B, classes).

    The one output of a sigmoid (B, 1) is class 1, with its logit; class 0 has the negated one.
    """

    def check_aux(self, aux: dict[str, np.ndarray]) -> None:
        super().check_aux(aux)
        if "beyond" in aux and aux["beyond"].any():
            raise TargetError(
                "The model's output has no class 1.",
                "It is one number without a sigmoid layer, numbered 0.",
                "Take class 0; or make the sigmoid a layer.",
                READ,
            )


@dataclass(frozen=True)
class TopClass(OfClasses):
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
        check_classes(shape, "the predicted class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        logits = outputs.pick(self.output).with_both_classes().logits
        index = ops.argmax(ops.stop_gradient(logits), axis=-1)
        return _class_scores(outputs.pick(self.output), self.score, index)

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        return _Predicted(aux["index"].tolist(), score=self.score, output=self.output)


@dataclass(frozen=True)
class Top:
    """The k classes with the highest scores on each picture, one explanation for each.

    `keras_saliency.explain` returns a list of k explanations, as for a list of targets: the first
    is of each picture's highest class, the second of its second highest, and so on.

    Args:
        k: How many, at least 1 and at most as many as the model has.

    Raises:
        TargetError: k is out of range.

    Example:
        >>> first, second = explain(model, img, target=targets.Top(2))
        >>> bool(first.scores >= second.scores)
        True
    """

    k: int = 3
    _: KW_ONLY
    score: Score = "logit"
    output: str | int | None = None

    def __post_init__(self) -> None:
        """Check ``k``, ``score`` and ``output``."""
        if not _arguments.is_count(self.k):
            raise TargetError(
                "Expected k, how many classes, to be a whole number above 0.",
                f"Got k={self.k!r}.",
                "Pass one such as 3.",
                "help(keras_saliency.targets.Top)",
            )
        TopClass(score=self.score, output=self.output)

    def each(self) -> list[Target]:
        """Return a target for each of the k classes, the highest first."""
        its: Any = {"score": self.score, "output": self.output}
        return [_Ranked(self.k, rank, **its) for rank in range(self.k)]


@dataclass(frozen=True)
class _Ranked(OfClasses):
    """One of the k highest classes: of rank 0 the highest."""

    k: int
    rank: int

    @property
    def static(self) -> tuple[Any, ...]:
        return ("top", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {"rank": np.full(count, self.rank, np.int32)}

    def check(self, shape: tuple[int | None, ...]) -> None:
        check_classes(shape, "the highest classes")
        count = class_count(shape)
        if count is not None and self.k > count:
            raise TargetError(
                f"Expected k up to {count}, as many classes as the model has.",
                f"Got k={self.k}.",
                f"Take targets.Top({count}).",
                "help(keras_saliency.targets.Top)",
            )

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        output = outputs.pick(self.output)
        logits = ops.stop_gradient(output.with_both_classes().logits)
        if logits.shape[-1] == 1:  # no class 1, which check_aux() says
            return _class_scores(output, self.score, rows["rank"])
        return _class_scores(output, self.score, take(ops.argsort(-logits, axis=-1), rows["rank"]))

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        kind = Class if self.rank else _Predicted
        return kind(aux["index"].tolist(), score=self.score, output=self.output)


@dataclass(frozen=True)
class Class(OfClasses):
    """One class, or one class per picture.

    Args:
        index: Class number, or a list with one for each picture. The one output of a sigmoid is
            class 1; class 0 has the negated logit.
    """

    predicted: ClassVar[bool] = False

    index: Numbers

    @property
    def static(self) -> tuple[Any, ...]:
        return ("class", self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {"index": per_row(self.index, count, "the class")}

    def check(self, shape: tuple[int | None, ...]) -> None:
        check_classes(shape, "a class")
        check_indices(self.index, class_count(shape), "class")

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

    output, aux, at = numbered(output, index)
    aux["index"] = index
    if output.activation is not None or output.logits.shape[-1] != 1:
        # One number without a sigmoid may be a price or an age.
        aux["probability"] = take(ops.stop_gradient(output.scored("probability")), at)
    return take(output.scored(score), at), aux

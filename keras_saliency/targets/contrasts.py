"""Targets on an output (B, classes): classes against others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from keras_saliency.errors import TargetError, _arguments
from keras_saliency.targets.base import READ, Numbers, Outputs, Target, check_indices, per_row, take
from keras_saliency.targets.classes import (
    Class,
    OfClasses,
    TopClass,
    check_classes,
    class_count,
    numbered,
)


@dataclass(frozen=True)
class Margin(OfClasses):
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
        check_classes(shape, "a margin between classes")
        check_indices(self.index, class_count(shape), "class")
        check_indices(self.other, class_count(shape), "class")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        output, aux, index, other = numbered(
            outputs.pick(self.output), rows["index"], rows["other"]
        )
        values = output.scored(self.score)
        return take(values, index) - take(values, other), aux


@dataclass(frozen=True)
class Contrast(OfClasses):
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
            rows["others"] = _of_each(self.others, count, "others")
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        Class(0 if self.index is None else self.index).check(shape)
        if self.others is not None:
            check_indices(np.ravel(self.others), class_count(shape), "class")
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
        output = outputs.pick(self.output).with_both_classes()
        values = output.scored(self.score)
        others = rows.get("others")
        if others is None:
            logits = ops.stop_gradient(output.logits)
            itself = ops.one_hot(aux["index"], logits.shape[-1], dtype="bool")
            rest = ops.where(itself, ops.full_like(logits, -math.inf), logits)
            others = ops.top_k(rest, self.similar)[1]
        elif output.logits.shape[-1] == 1:
            _, more, others = numbered(output, others)
            aux = {**aux, "beyond": ops.logical_or(aux["beyond"], more["beyond"])}
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


@dataclass(frozen=True, eq=False)
class Group(OfClasses):
    """The score of a group of classes, alone or less that of the rest or of another group.

    The probability of a group is the sum of its classes'; its log probability and logit are added
    up likewise, by logsumexp. So with ``against="rest"`` the logit is log P(group) - log P(rest)
    of a softmax.

    Args:
        classes: Class numbers (n,), or (B, n) for each picture its own.
        against: ``"rest"`` (all other classes), the numbers of another group, or None.
        reduce: ``"logsumexp"`` as above; ``"sum"`` or ``"mean"`` of the scores.

    Example:
        >>> e = explain(model, img, target=targets.Group([0, 2], score="probability"))
        >>> bool(0 < e.scores[0] < 1)
        True
    """

    classes: npt.ArrayLike
    against: npt.ArrayLike | Literal["rest"] | None = None
    reduce: Literal["logsumexp", "sum", "mean"] = "logsumexp"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        wrong = None
        if not _are_classes(self.classes):
            wrong = "classes", "class numbers, (n,) or (B, n)"
        elif not (self.against is None or self._is_rest or _are_classes(self.against)):
            wrong = "against", "'rest', class numbers, or None"
        elif not _arguments.is_word(self.reduce, ("logsumexp", "sum", "mean")):
            wrong = "reduce", "'logsumexp', 'sum' or 'mean'"
        if wrong:
            got = f"targets.Group({wrong[0]}={getattr(self, wrong[0])!r})"
            fix = "Take targets.Group([0, 2], against='rest')."
            raise TargetError(f"Expected {wrong[0]} to be {wrong[1]}.", f"Got {got}.", fix, READ)

    @property
    def _is_rest(self) -> bool:
        return _arguments.is_word(self.against, ("rest",))

    @property
    def static(self) -> tuple[Any, ...]:
        against = "rest" if self._is_rest else self.against is not None
        return ("group", against, self.reduce, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {"classes": _of_each(self.classes, count, "classes")}
        if self.against is not None and not self._is_rest:
            rows["against"] = _of_each(self.against, count, "against")
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        check_classes(shape, "a group of classes")
        size, groups = class_count(shape), np.atleast_2d(np.asarray(self.classes))
        check_indices(groups.ravel(), size, "class")
        problem = ""
        if self._is_rest:
            full = any(len(set(group)) == size for group in groups.tolist())
            problem = f"all {size} classes, so that there is no rest" if full else ""
        elif self.against is not None:
            others = np.atleast_2d(np.asarray(self.against))
            check_indices(others.ravel(), size, "class")
            pairs = zip(*np.broadcast_arrays(groups[..., None], others[:, None]), strict=True)
            shared = sorted({int(i) for a, b in pairs for i in a[a == b].tolist()})
            problem = f"class {shared[0]} in both groups" if shared else ""
        if problem:
            what, fix = (
                "Expected a group of classes and others to compare it with.",
                "Leave it out.",
            )
            raise TargetError(what, f"Got {problem}.", fix, READ)

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        output, aux, *groups = numbered(
            outputs.pick(self.output), *(rows[name] for name in sorted(rows, reverse=True))
        )
        values = output.scored(self.score)
        count = values.shape[-1]
        members = [
            ops.max(ops.one_hot(group, count, dtype=values.dtype), axis=1) for group in groups
        ]
        if self._is_rest:
            members.append(1 - members[0])
        score, *others = (self._reduced(values, one) for one in members)
        for other in others:
            score = score - other
        return score, aux

    def _reduced(self, values: Any, members: Any) -> Any:
        from keras import ops

        if self.reduce == "logsumexp" and self.score != "probability":
            return ops.logsumexp(ops.where(members > 0, values, -math.inf), axis=-1)
        total = ops.sum(ops.where(members > 0, values, 0.0), axis=-1)
        return total / ops.sum(members, axis=-1) if self.reduce == "mean" else total

    def describe(self, count: int) -> list[Any]:
        rows = self.rows(count)
        texts = [f"classes {one.tolist()}" for one in rows["classes"]]
        if "against" in rows:
            texts = [
                f"{text} against {one.tolist()}"
                for text, one in zip(texts, rows["against"], strict=True)
            ]
        return [f"{text} against the rest" for text in texts] if self._is_rest else texts


def _of_each(classes: Any, count: int, name: str) -> np.ndarray:
    """Return groups of class numbers, (count, n)."""
    numbers = np.atleast_2d(np.asarray(classes, np.int32))
    if len(numbers) not in (1, count):
        raise TargetError(
            f"Expected {name} of shape (n,), or ({count}, n) for {count} pictures.",
            f"Got shape {numbers.shape}.",
            f"Pass (n,), or ({count}, n).",
            READ,
        )
    return np.broadcast_to(numbers, (count, numbers.shape[1]))


def _are_classes(others: Any) -> bool:
    try:
        array = np.asarray(others)
    except ValueError:  # rows of different lengths
        return False
    return array.ndim in (1, 2) and array.size > 0 and array.dtype.kind in "iu"

"""The base class of methods that follow a path from a baseline to the picture."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency.methods.base.method import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


class PathMethod(Method):
    """A method that follows a path from a baseline to the picture; others can walk its path.

    Gradients are summed by the trapezoidal rule, which holds only two points in memory. A method
    defines where its paths start and which points they have.
    """

    family = "path"
    signed = True
    most_steps: ClassVar[int] = 3200  # where refining ends

    steps: int
    tolerance: float | None

    @abstractmethod
    def starts(self, engine: Engine) -> list[np.ndarray]:
        """Return the baselines, each (B, H, W, C); attributions are averaged over them."""

    @abstractmethod
    def path(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        """Yield ``steps + 1`` points (B, H, W, C), from a baseline to the pictures inclusive."""

    def walk(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[PathPoint]:
        """Yield each point of the path with the scores and the gradients there."""
        count, prefetch = len(engine.images), deque[np.ndarray]()

        def variants() -> Iterator[tuple[int, np.ndarray]]:
            for point in self.path(engine, start, steps):
                prefetch.append(point)
                yield from enumerate(point)

        stream = engine.gradients(variants(), (steps + 1) * count)
        for first in stream:
            yield PathPoint.of(prefetch.popleft(), [first, *islice(stream, count - 1)])

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, starts = engine.images, self.starts(engine)
        everyone = list(range(len(images)))
        before = np.mean([engine.with_images(everyone, start).scores for start in starts], axis=0)
        values, lost = np.zeros(images.shape), np.zeros(len(images), int)
        error, rows, steps = np.zeros(len(images)), everyone, self.steps
        while rows:
            part = engine.with_images(rows, images[rows])
            values[rows], lost[rows] = 0, 0
            for start in starts:
                result, broken = self._integral(part, start[rows], steps)
                values[rows] += result / len(starts)
                lost[rows] += broken
            error = completeness_error(values, engine.scores, before)
            if self.tolerance is None or 2 * steps > self.most_steps:
                break
            rows = [row for row in rows if error[row] > self.tolerance]
            steps *= 2
        return Attribution(
            values,
            {"completeness_error": error},
            findings=gap_findings(values, engine.scores, before, lost),
        )

    def _integral(
        self, engine: Engine, start: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one path's attributions, and how often each picture's gradient was not finite."""
        total, lost = np.zeros(engine.images.shape), np.zeros(len(engine.images), int)
        last: PathPoint | None = None
        for stop in self.walk(engine, start, steps):
            lost += ~stop.whole
            if last is not None:
                way = stop.points.astype(np.float64) - last.points
                total += way * self.slope(last, stop)
            last = stop
        return total, lost

    def slope(self, last: PathPoint, stop: PathPoint) -> np.ndarray:
        """Return the gradient of the step between two points: the mean of both."""
        return (last.gradients + stop.gradients) / 2


@dataclass(frozen=True)
class PathPoint:
    """A point of the pictures' paths, with the model's scores and gradients there.

    Attributes:
        points: (B, H, W, C).
        scores: (B,) float64.
        gradients: (B, H, W, C), 0 where they are not finite.
        whole: (B,) whether a gradient was finite everywhere.
    """

    points: np.ndarray
    scores: np.ndarray
    gradients: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, answers: Iterable[tuple[float, np.ndarray]]) -> PathPoint:
        """Build a point from what `Engine.gradients` yields for each picture."""
        scores, gradients = zip(*answers, strict=True)
        finite, whole = zip(*map(clean, gradients), strict=True)
        return cls(points, np.array(scores, np.float64), np.stack(finite), np.array(whole))


_ROUNDING = 1e-6  # a smaller share of a float32 score is noise


def clean(gradient: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a gradient with 0 where it is not finite, and whether it was finite everywhere."""
    finite = np.isfinite(gradient)
    whole = bool(finite.all())
    return gradient if whole else np.where(finite, gradient, 0), whole


def relative_error(result: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how far sums miss their expected value, as a share of it, (B,)."""
    return np.abs(result - wanted) / np.maximum(np.abs(wanted), np.finfo(np.float32).tiny)


def completeness_error(values: np.ndarray, end: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return how far attributions miss the gap in score, as a share of the gap, (B,).

    Where the gap is nothing but rounding, the error is a share of that rounding.

    Args:
        values: (B, H, W, C) attributions.
        end: (B,) scores of the pictures.
        start: (B,) scores of the baselines.
    """
    gap, axes = end - start, tuple(range(1, values.ndim))
    missed = np.abs(values.sum(axes) - gap)
    return missed / np.maximum(np.abs(gap), _noise(values, end, start))


def gap_findings(
    values: np.ndarray, end: np.ndarray, start: np.ndarray, lost: np.ndarray
) -> list[tuple[str, ...]]:
    """Return the findings of each picture about attributions that should sum to a gap in score.

    Args:
        values: (B, H, W, C) attributions.
        end: (B,) scores of the pictures.
        start: (B,) scores of the baselines.
        lost: (B,) points whose gradient was not finite and counts as 0.
    """
    level = np.abs(end - start) <= _noise(values, end, start)
    findings = []
    for row, count in enumerate(lost):
        said = []
        if count:
            said.append(f"the gradient is NaN or infinite at {count} points: it counts as 0 there")
        if not np.isfinite(end[row] - start[row]):
            said.append("the score of the picture or of the baseline is NaN or infinite")
        elif level[row] and values[row].any():
            said.append("the score is the same at the baseline and at the picture")
        findings.append(tuple(said))
    return findings


def _noise(values: np.ndarray, end: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the rounding error of float32 in a gap of 0, (B,)."""
    size = np.abs(values).sum(axis=tuple(range(1, values.ndim))) + np.abs(end) + np.abs(start)
    return np.maximum(_ROUNDING * size, np.finfo(np.float32).tiny)

"""What methods that go from a baseline to the picture have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency.methods.base.gaps import clean, completeness_error, gap_findings
from keras_saliency.methods.base.method import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


class PathMethod(Method):
    """A method that goes from a baseline to the picture; others can walk its path.

    Gradients are summed by the trapezoidal rule, in which only two points are kept. A method says
    where its paths start and which points they have.
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

    def walk(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[Stop]:
        """Yield each point of the path with the scores and the gradients there."""
        count, ahead = len(engine.images), deque[np.ndarray]()

        def variants() -> Iterator[tuple[int, np.ndarray]]:
            for point in self.path(engine, start, steps):
                ahead.append(point)
                yield from enumerate(point)

        stream = engine.gradients(variants(), (steps + 1) * count)
        for first in stream:
            yield Stop.of(ahead.popleft(), [first, *islice(stream, count - 1)])

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, starts = engine.images, self.starts(engine)
        everyone = list(range(len(images)))
        before = np.mean([engine.at(everyone, start).scores for start in starts], axis=0)
        values, lost = np.zeros(images.shape), np.zeros(len(images), int)
        error, rows, steps = np.zeros(len(images)), everyone, self.steps
        while rows:
            part = engine.at(rows, images[rows])
            values[rows], lost[rows] = 0, 0
            for start in starts:
                found, broken = self._integral(part, start[rows], steps)
                values[rows] += found / len(starts)
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
        last: Stop | None = None
        for stop in self.walk(engine, start, steps):
            lost += ~stop.whole
            if last is not None:
                way = stop.points.astype(np.float64) - last.points
                total += way * self.slope(last, stop)
            last = stop
        return total, lost

    def slope(self, last: Stop, stop: Stop) -> np.ndarray:
        """Return the gradient that stands for the step between two points: the mean of both."""
        return (last.gradients + stop.gradients) / 2


@dataclass(frozen=True)
class Stop:
    """A point of the pictures' paths: where it is, and what the model says there.

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
    def of(cls, points: np.ndarray, answers: Iterable[tuple[float, np.ndarray]]) -> Stop:
        """Make one of what `Engine.gradients` yields for each picture."""
        scores, gradients = zip(*answers, strict=True)
        finite, whole = zip(*map(clean, gradients), strict=True)
        return cls(points, np.array(scores, np.float64), np.stack(finite), np.array(whole))

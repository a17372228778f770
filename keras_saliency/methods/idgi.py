"""Each step's change of the score, distributed by the squares of the gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.methods.base import (
    Attribution,
    Method,
    PathMethod,
    PathPoint,
    completeness_error,
    gap_findings,
    get,
)

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_NOTICED = 1e-3  # of the scores: a smaller unattributed change is not reported


@dataclass(frozen=True)
class Idgi(Method):
    """g^2 / sum(g^2) times the change of the score, summed over the steps of any path.

    On each step of a path method, the change of the score goes to the values in the direction of
    the gradient alone. Attributions sum to y(x) - y(b), whatever the number of steps, except where
    the score moves although the gradient is 0; ``checks[i]["completeness_error"]`` holds that.

    Args:
        base: A path method, or its name: ``"integrated_gradients"``,
            ``"guided_integrated_gradients"``, ``"blur_integrated_gradients"``. Its quadrature and
            its ``tolerance`` are not used, only its path.
        steps: Steps of the path; None uses the base's own number.

    Example:
        >>> e = explain(model, img, methods.Idgi(methods.IntegratedGradients(baseline="mean")))
        >>> e.checks[0]["completeness_error"] < 1e-4
        True
    """

    family = "path"
    signed = True
    complete = True
    reference = (
        "Yang, Wang, Bilgic: IDGI: A Framework to Eliminate Explanation Noise from Integrated "
        "Gradients, 2023, arXiv:2303.14242"
    )

    base: Any = "integrated_gradients"
    steps: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if isinstance(self.base, str | type):
            object.__setattr__(self, "base", get(self.base))
        wanted = "a path method, such as methods.IntegratedGradients()"
        self._require(isinstance(self.base, PathMethod), "base", wanted)
        if self.steps is not None:
            self._require_count("steps")
            object.__setattr__(self, "base", replace(self.base, steps=self.steps))

    @property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """As the base."""
        return self.base.kinds

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        values, count = np.zeros(engine.images.shape), len(engine.images)
        lost, unattributed, before = np.zeros(count, int), np.zeros(count), np.zeros(count)
        starts = self.base.starts(engine)
        for start in starts:
            last: PathPoint | None = None
            for stop in self.base.walk(engine, start, self.base.steps):
                lost += ~stop.whole
                if last is None:
                    before += stop.scores / len(starts)
                else:
                    shares, has_gradient = _shares(last.gradients)
                    moved = (stop.scores - last.scores) / len(starts)
                    values += shares * moved.reshape(-1, *[1] * (values.ndim - 1))
                    unattributed += np.where(has_gradient, 0, np.abs(moved))
                last = stop
        return Attribution(
            values,
            {"completeness_error": completeness_error(values, engine.scores, before)},
            findings=[
                (*said, *_unattributed(amount, score))
                for said, amount, score in zip(
                    gap_findings(values, engine.scores, before, lost),
                    unattributed,
                    np.abs(engine.scores) + np.abs(before),
                    strict=True,
                )
            ],
        )


def _shares(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return g^2 / sum(g^2) of each picture, and (B,) whether its gradient is not 0."""
    squares = gradients.astype(np.float64) ** 2
    sums = squares.sum(axis=tuple(range(1, squares.ndim)), keepdims=True)
    has_gradient = sums > 0
    return squares / np.where(has_gradient, sums, 1), has_gradient.reshape(-1)


def _unattributed(amount: float, score: float) -> tuple[str, ...]:
    if not amount > _NOTICED * score:
        return ()
    return (f"the score moves by {amount:.3g} where its gradient is 0: no pixel gets that",)

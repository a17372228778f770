"""Each step's change of the score, shared out by the squares of the gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.methods.base import (
    Attribution,
    Method,
    PathMethod,
    Stop,
    completeness_error,
    gap_findings,
    get,
)

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_NOTICED = 1e-3  # of the scores: a smaller change that nobody gets is not told


@dataclass(frozen=True)
class Idgi(Method):
    """g^2 / sum(g^2) times the change of the score, summed over the steps of any path.

    On each step of a path method, what the score gains goes to the values in the direction of the
    gradient alone. Attributions sum to y(x) - y(b), whatever the number of steps, except where the
    score moves although the gradient is 0; that is in ``checks[i]["completeness_error"]``.

    Args:
        base: A path method, or its name: ``"integrated_gradients"``,
            ``"guided_integrated_gradients"``, ``"blur_integrated_gradients"``. Its quadrature and
            its ``tolerance`` are not used, only its path.
        steps: Steps of the path; the base's own number where it is None.

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
        """Refuse what has no path."""
        if isinstance(self.base, str | type):
            object.__setattr__(self, "base", get(self.base))
        wanted = "a path method, such as methods.IntegratedGradients()"
        self._require(isinstance(self.base, PathMethod), "base", wanted)
        if self.steps is not None:
            self._require_count("steps")
            object.__setattr__(self, "base", replace(self.base, steps=self.steps))

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        values, count = np.zeros(engine.images.shape), len(engine.images)
        lost, unheard, before = np.zeros(count, int), np.zeros(count), np.zeros(count)
        starts = self.base.starts(engine)
        for start in starts:
            last: Stop | None = None
            for stop in self.base.walk(engine, start, self.base.steps):
                lost += ~stop.whole
                if last is None:
                    before += stop.scores / len(starts)
                else:
                    shares, heard = _shares(last.gradients)
                    moved = (stop.scores - last.scores) / len(starts)
                    values += shares * moved.reshape(-1, 1, 1, 1)
                    unheard += np.where(heard, 0, np.abs(moved))
                last = stop
        return Attribution(
            values,
            {"completeness_error": completeness_error(values, engine.scores, before)},
            findings=[
                (*said, *_unheard(amount, score))
                for said, amount, score in zip(
                    gap_findings(values, engine.scores, before, lost),
                    unheard,
                    np.abs(engine.scores) + np.abs(before),
                    strict=True,
                )
            ],
        )


def _shares(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return g^2 / sum(g^2) of each picture, and (B,) whether there is a gradient at all."""
    squares = gradients.astype(np.float64) ** 2
    sums = squares.sum(axis=(1, 2, 3), keepdims=True)
    heard = sums > 0
    return squares / np.where(heard, sums, 1), heard[:, 0, 0, 0]


def _unheard(amount: float, score: float) -> tuple[str, ...]:
    if not amount > _NOTICED * score:
        return ()
    return (f"the score moves by {amount:.3g} where its gradient is 0: no pixel gets that",)

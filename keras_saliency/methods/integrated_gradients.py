"""Gradients summed along the straight path from a baseline to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import roots_legendre

from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_MOST_STEPS = 3200


@dataclass(frozen=True)
class IntegratedGradients(Method):
    """(x - b) times the integral of the gradient from b to x, by Gauss-Legendre quadrature.

    Attributions sum to y(x) - y(b). How far they miss that, as a share of the gap, is in
    ``checks[i]["completeness_error"]``.

    Args:
        steps: Points on the path.
        baseline: ``"black"`` (in picture space, preprocessed like the picture), ``"white"``,
            ``"mean"``, ``"blur"``, a number or an array in the model's input range, or a list of
            these, whose attributions are averaged.
        tolerance: Double the steps (up to 3200) until the completeness error is below this.

    Example:
        >>> e = explain(model, img, methods.IntegratedGradients(tolerance=0.01))
        >>> e.checks[0]["completeness_error"] <= 0.01
        True
    """

    family = "path"
    signed = True
    complete = True
    reference = (
        "Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, 2017, arXiv:1703.01365"
    )

    steps: int = 50
    baseline: Any = "black"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        self._require_count("steps")
        if self.tolerance is not None:
            self._require_share("tolerance")
        several = isinstance(self.baseline, list | tuple)
        self._require(not several or len(self.baseline) > 0, "baseline", "at least one baseline")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        several = self.baseline if isinstance(self.baseline, list | tuple) else [self.baseline]
        baselines = [engine.fill(one) for one in several]
        everyone = list(range(len(engine.images)))
        gap = engine.scores - np.mean([engine.at(everyone, b).scores for b in baselines], axis=0)
        steps, values, error = self.steps, np.zeros(engine.images.shape), np.full(len(gap), np.inf)
        missed = everyone
        while missed:
            values[missed] = self._integrals(engine, baselines, missed, steps)
            error = _completeness_error(values, gap)
            if self.tolerance is None or 2 * steps > _MOST_STEPS:
                break
            missed = [row for row in missed if error[row] > self.tolerance]
            steps *= 2
        return Attribution(values, {"completeness_error": error})

    def _integrals(
        self, engine: Engine, baselines: list[np.ndarray], rows: list[int], steps: int
    ) -> np.ndarray:
        points, weights = roots_legendre(steps)  # NumPy's takes 10 s for 1600
        points, weights = (points + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
        total = np.zeros((len(rows), *engine.images.shape[1:]))
        places = [(i, b, s) for i in range(len(rows)) for b in baselines for s in range(steps)]

        def path():
            for i, base, step in places:
                image, start = engine.images[rows[i]], base[rows[i]]
                yield rows[i], start + points[step].astype(image.dtype) * (image - start)

        gradients = engine.gradients(path(), len(places))
        for (i, base, step), (_, gradient) in zip(places, gradients, strict=True):
            way = engine.images[rows[i]] - base[rows[i]]
            total[i] += weights[step] / len(baselines) * way * gradient
        return total


def _completeness_error(values: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return how far the sums miss the gap in score, as a share of the gap."""
    sums = values.sum(axis=(1, 2, 3))
    return np.abs(sums - gap) / np.maximum(np.abs(gap), np.finfo(np.float32).tiny)

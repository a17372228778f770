"""Gradients summed along the straight path from a baseline to the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from scipy.special import roots_legendre

from keras_saliency.methods.base import EVERY, PathMethod, PresetMixin, clean

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_MOST_STEPS = 3200


@dataclass(frozen=True)
class IntegratedGradients(PresetMixin, PathMethod):
    """(x - b) times the integral of the gradient along the straight path from b to x.

    Attributions sum to y(x) - y(b). How far they miss that, as a share of the gap, is in
    ``checks[i]["completeness_error"]``.

    Args:
        steps: Points on the path.
        baseline: ``"black"`` (in picture space, preprocessed like the picture), ``"white"``,
            ``"mean"``, ``"blur"``, a number or an array in the model's input range, or a list of
            these, whose attributions are averaged.
        tolerance: Double the steps (up to 3200) until the completeness error is below this.
        quadrature: ``"gauss_legendre"``, or ``"even"``: points at even distances, both ends among
            them, that all weigh the same. This converges slowly.
        like: ``"captum"`` or ``"pair"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.IntegratedGradients(tolerance=0.01))
        >>> e.checks[0]["completeness_error"] <= 0.01
        True
    """

    complete = True
    kinds = EVERY
    reference = (
        "Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, 2017, arXiv:1703.01365"
    )
    presets: ClassVar = {
        "captum": {"baseline": 0.0},
        "pair": {"steps": 25, "baseline": 0.0, "quadrature": "even"},
    }

    steps: int = 50
    baseline: Any = "black"
    tolerance: float | None = None
    quadrature: Literal["gauss_legendre", "even"] = "gauss_legendre"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        known = ("gauss_legendre", "even")
        self._require(self.quadrature in known, "quadrature", f"one of {known}")
        self._require_count("steps")
        if self.tolerance is not None:
            self._require_share("tolerance")
        several = isinstance(self.baseline, list | tuple)
        self._require(
            not several or len(self.baseline) > 0,
            "baseline",
            "a baseline, or a list of one or more",
        )

    @property
    def most_steps(self) -> int:  # type: ignore[override]
        """The most steps that ``tolerance`` may lead to."""
        return _MOST_STEPS

    def starts(self, engine: Engine) -> list[np.ndarray]:
        several = self.baseline if isinstance(self.baseline, list | tuple) else [self.baseline]
        return [engine.fill(one) for one in several]

    def path(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        yield from self._points(engine, start, np.arange(steps) / steps)
        yield engine.images

    def _points(
        self, engine: Engine, start: np.ndarray, positions: np.ndarray
    ) -> Iterator[np.ndarray]:
        way = engine.images - start
        return (start + position * way for position in positions.astype(way.dtype))

    def _integral(
        self, engine: Engine, start: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        points, weights = np.linspace(0, 1, steps), np.full(steps, 1 / steps)
        if self.quadrature == "gauss_legendre":
            points, weights = roots_legendre(steps)  # NumPy's takes 10 s for 1600
            points, weights = (points + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
        way = engine.images - start
        total, lost = np.zeros(way.shape), np.zeros(len(way), int)
        path = (
            variant for point in self._points(engine, start, points) for variant in enumerate(point)
        )
        gradients = engine.gradients(path, steps * len(way))
        for number, (_, gradient) in enumerate(gradients):
            step, row = divmod(number, len(way))
            finite, whole = clean(gradient)
            lost[row] += not whole
            total[row] += weights[step] * way[row] * finite
        return total, lost

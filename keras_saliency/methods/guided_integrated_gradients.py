"""Gradients summed along a path that first moves the values with the smallest gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_saliency._io import track
from keras_saliency.errors import _arguments
from keras_saliency.methods.base import EVERY, PathMethod, PathPoint, PresetMixin

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_CLOSE = 1e-12  # of the whole path: a smaller remainder is rounding


@dataclass(frozen=True)
class GuidedIntegratedGradients(PresetMixin, PathMethod):
    """The integral of the gradient along a path that the gradient chooses.

    Each step covers the same share of the L1 distance from baseline to picture. A step moves the
    values with the smallest absolute gradient, so that steep regions, which are often noise, are
    crossed late and in one step. Steps are sequential: one gradient call each.

    Attributions sum to y(x) - y(b); how far they miss that, as a share of the gap, is in
    ``checks[i]["completeness_error"]``.

    Args:
        steps: Steps of the path.
        fraction: The share of all values that moves together; if that is not enough for a step,
            the next share follows. 1 is the straight path.
        max_distance: How far a value may be ahead of the straight path or behind it, as a share of
            its distance. 0 is the straight path.
        baseline: ``"black"`` (in picture space, preprocessed like the picture), ``"white"``,
            ``"mean"``, ``"blur"``, a number or an array in the model's input range, or a list of
            these, whose attributions are averaged.
        tolerance: Double the steps (up to 1600) until the completeness error is below this.
        quadrature: ``"trapezoid"``, or ``"left"``: the gradient where a step begins counts for all
            of it.
        like: ``"pair"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.GuidedIntegratedGradients(steps=50))
        >>> e.checks[0]["completeness_error"] < 0.05
        True
    """

    complete = True
    kinds = EVERY
    reference = (
        "Kapishnikov et al.: Guided Integrated Gradients: an Adaptive Path Method for Removing "
        "Noise, 2021, arXiv:2106.09788"
    )
    presets: ClassVar = {"pair": {"baseline": 0.0, "quadrature": "left"}}
    most_steps = 1600

    steps: int = 200
    fraction: float = 0.25
    max_distance: float = 0.02
    baseline: Any = "black"
    tolerance: float | None = None
    quadrature: Literal["trapezoid", "left"] = "trapezoid"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        known = ("trapezoid", "left")
        self._require(self.quadrature in known, "quadrature", f"one of {known}")
        self._require_count("steps")
        self._require_share("fraction")
        self._require(self.fraction <= 1, "fraction", "a number above 0, at most 1")
        distance = self.max_distance
        good = _arguments.is_number(distance) and 0 <= distance <= 1
        self._require(good, "max_distance", "a number from 0 to 1")
        if self.tolerance is not None:
            self._require_share("tolerance")
        several = isinstance(self.baseline, list | tuple)
        self._require(
            not several or len(self.baseline) > 0,
            "baseline",
            "a baseline, or a list of one or more",
        )

    def starts(self, engine: Engine) -> list[np.ndarray]:
        several = self.baseline if isinstance(self.baseline, list | tuple) else [self.baseline]
        return [engine.fill(one) for one in several]

    def path(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        return (stop.points for stop in self.walk(engine, start, steps))

    def walk(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[PathPoint]:
        images = engine.images
        way = images.astype(np.float64) - start
        weights = [_shares(np.abs(one)) for one in way]
        positions = np.zeros(images.shape)  # 0 at the baseline, 1 at the picture
        point = start
        for step in track(range(steps + 1), steps + 1, "explaining"):
            stop = PathPoint.of(point, engine.gradients(enumerate(point), len(point)))
            yield stop
            if step == steps:
                return
            for row, gradient in enumerate(stop.gradients):
                self._move(positions[row], weights[row], np.abs(gradient), (step + 1) / steps)
            point = images
            if step + 1 < steps:
                point = (start + positions * way).astype(images.dtype)

    def slope(self, last: PathPoint, stop: PathPoint) -> np.ndarray:
        return last.gradients if self.quadrature == "left" else super().slope(last, stop)

    def _move(
        self, positions: np.ndarray, weights: np.ndarray, steepness: np.ndarray, wanted: float
    ) -> None:
        """Move values, in place, until the weighted mean of their positions is ``wanted``."""
        lowest, highest = max(wanted - self.max_distance, 0), min(wanted + self.max_distance, 1)
        np.maximum(positions, lowest, out=positions)
        group = int(self.fraction * (positions.size - 1))
        missing = wanted - (weights * positions).sum()
        left = (positions < highest) & (weights > 0)
        while missing > _CLOSE and left.any():
            chosen = left
            result = steepness[left]
            if group < len(result):  # equals move together
                chosen = left & (steepness <= np.partition(result, group)[group])
            room = (weights[chosen] * (highest - positions[chosen])).sum()
            share = min(1.0, missing / room)
            old = positions[chosen]
            positions[chosen] = highest if share == 1 else old + share * (highest - old)
            missing -= share * room
            left = left & ~chosen


def _shares(way: np.ndarray) -> np.ndarray:
    """Return each value's share of the whole distance; 0 for all where that is 0."""
    return way / max(way.sum(), np.finfo(np.float64).tiny)

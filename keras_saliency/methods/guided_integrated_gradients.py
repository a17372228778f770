"""Gradients summed along a path that moves first what the score does not answer to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_saliency import progress
from keras_saliency.methods.base import Alike, PathMethod, Stop

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_CLOSE = 1e-12  # of the whole way: what is left over by rounding


@dataclass(frozen=True)
class GuidedIntegratedGradients(Alike, PathMethod):
    """The integral of the gradient along a path that the gradient chooses.

    After each step the path has come the same share of the way from baseline to picture (in L1).
    A step moves the values with the smallest absolute gradient, so that steep places, which are
    often noise, are passed late and in one go. Steps follow one another: a gradient call for each.

    Attributions sum to y(x) - y(b); how far they miss that, as a share of the gap, is in
    ``checks[i]["completeness_error"]``.

    Args:
        steps: Steps of the path.
        fraction: The share of all values that is moved together; what is not enough for a step is
            followed by the next share. 1 is the straight path.
        max_distance: How far a value may be ahead of the straight path or behind it, as a share of
            its way. 0 is the straight path.
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
        """Refuse what is no path."""
        super().__post_init__()
        known = ("trapezoid", "left")
        self._require(self.quadrature in known, "quadrature", f"one of {known}")
        self._require_count("steps")
        self._require_share("fraction")
        self._require(self.fraction <= 1, "fraction", "a number above 0, at most 1")
        distance = self.max_distance
        good = isinstance(distance, int | float) and 0 <= distance <= 1
        self._require(good, "max_distance", "a number from 0 to 1")
        if self.tolerance is not None:
            self._require_share("tolerance")
        several = isinstance(self.baseline, list | tuple)
        self._require(not several or len(self.baseline) > 0, "baseline", "at least one baseline")

    def starts(self, engine: Engine) -> list[np.ndarray]:
        several = self.baseline if isinstance(self.baseline, list | tuple) else [self.baseline]
        return [engine.fill(one) for one in several]

    def path(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        return (stop.points for stop in self.walk(engine, start, steps))

    def walk(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[Stop]:
        images = engine.images
        way = images.astype(np.float64) - start
        weights = [_shares(np.abs(one)) for one in way]
        places = np.zeros(images.shape)  # 0 at the baseline, 1 at the picture
        point = start
        for step in progress.track(range(steps + 1), steps + 1, "explaining"):
            stop = Stop.of(point, engine.gradients(enumerate(point), len(point)))
            yield stop
            if step == steps:
                return
            for row, gradient in enumerate(stop.gradients):
                self._move(places[row], weights[row], np.abs(gradient), (step + 1) / steps)
            point = images
            if step + 1 < steps:
                point = (start + places * way).astype(images.dtype)

    def slope(self, last: Stop, stop: Stop) -> np.ndarray:
        return last.gradients if self.quadrature == "left" else super().slope(last, stop)

    def _move(
        self, places: np.ndarray, weights: np.ndarray, steepness: np.ndarray, wanted: float
    ) -> None:
        """Move values along until their mean place, by weight, is the wanted one; in place."""
        lowest, highest = max(wanted - self.max_distance, 0), min(wanted + self.max_distance, 1)
        np.maximum(places, lowest, out=places)
        group = int(self.fraction * (places.size - 1))
        missing = wanted - (weights * places).sum()
        left = (places < highest) & (weights > 0)
        while missing > _CLOSE and left.any():
            chosen = left
            found = steepness[left]
            if group < len(found):  # equals move together
                chosen = left & (steepness <= np.partition(found, group)[group])
            room = (weights[chosen] * (highest - places[chosen])).sum()
            share = min(1.0, missing / room)
            places[chosen] = (
                highest if share == 1 else places[chosen] + share * (highest - places[chosen])
            )
            missing -= share * room
            left = left & ~chosen


def _shares(way: np.ndarray) -> np.ndarray:
    """Return what each value has of the whole way; 0 for all where there is none."""
    return way / max(way.sum(), np.finfo(np.float64).tiny)

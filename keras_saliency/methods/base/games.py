"""What methods that give Shapley values to segments have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency import coalitions, segments
from keras_saliency.methods.base.method import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class ShapleyMethod(Method):
    """A game of segments, exact where all coalitions can be asked, else as `solver` does it."""

    family = "perturbation"
    signed = True
    stochastic = True
    needs_gradient = False
    local = False

    segments: Any = "slic"
    samples: int = 1
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Refuse what is no game."""
        super().__post_init__()
        self._require(segments.possible(self.segments), "segments", coalitions.WANTED)
        self._require_count("samples")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Play each picture's game."""
        games = coalitions.games(engine.images, engine.fill(self.fill), self.segments)
        return Attribution(**coalitions.shapley(engine, games, lambda n: self.solver(n, seed)))

    def shares(self, maps: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return each segment's value, shared out evenly among its pixels."""
        return segments.shared(self.segments, maps, images)

    @abstractmethod
    def solver(self, players: int, seed: int) -> coalitions.Solver:
        """Return what turns scores of some coalitions into values, for so many players."""

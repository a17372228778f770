"""Games of present and covered segments: exact and estimated Shapley values."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from keras_saliency._inputs import PICTURE, Kind, segments
from keras_saliency.methods.base.method import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

EXACT = 10  # up to so many players all coalitions are scored, 1024 of them
_ROUNDING = 1e-6  # a smaller share of a float32 score is noise

WANTED = f"one of {segments.WAYS}, a whole number above 0, or labels (H, W)"

Wish = tuple[np.ndarray, Any]  # a coalition (players,) of bool, and the solver's note on it
VariantScores = Callable[[Iterable[tuple[int, np.ndarray]], int], Iterator[float]]


@dataclass(frozen=True)
class Game:
    """One picture: image and cover (*space, C), labels (*space) by `segments.of`."""

    image: np.ndarray
    cover: np.ndarray
    labels: np.ndarray

    @property
    def players(self) -> int:
        """The number of segments."""
        return int(self.labels.max()) + 1

    def picture(self, present: np.ndarray) -> np.ndarray:
        """Return the picture with all but these segments covered; pixels of no segment stay."""
        stays = np.append(present, True)[self.labels]
        return np.where(stays[..., None], self.image, self.cover)


class Solver(Protocol):
    """Turns coalitions' scores into a value for each player."""

    @property
    def count(self) -> int:
        """The number of coalitions to score."""

    def wishes(self) -> Iterator[Wish]:
        """Yield the coalitions to score, in order."""

    def learn(self, present: np.ndarray, note: Any, score: float) -> None:
        """Take a coalition's score; they come in the order of the wishes."""


def games(engine: Engine, fill: Any, how: Any) -> list[Game]:
    """Return a game for each picture of an engine, its segments made by ``how``."""
    return [
        Game(image, cover, segments.of(how, image, engine.kind))
        for image, cover in zip(engine.images, engine.fill(fill), strict=True)
    ]


def play(
    variant_scores: VariantScores, all_games: Sequence[Game], solvers: Sequence[Solver]
) -> None:
    """Pass each solver the scores of its coalitions.

    Args:
        variant_scores: Turns (row, picture) into scores, in order, as the engine's does.
        all_games: One a picture.
        solvers: One a game.
    """
    wishes = ((row, wish) for row, solver in enumerate(solvers) for wish in solver.wishes())
    requests, replayed = tee(wishes)
    pictures = ((row, all_games[row].picture(present)) for row, (present, _) in requests)
    scores = variant_scores(pictures, sum(solver.count for solver in solvers))
    for (row, (present, note)), score in zip(replayed, scores, strict=True):
        solvers[row].learn(present, note, score)


class Exact:
    """Shapley values from the scores of all 2^players coalitions."""

    def __init__(self, players: int) -> None:
        self.count = 2**players
        self._players = players
        self._worth = np.zeros(self.count)

    def wishes(self) -> Iterator[Wish]:
        """Yield every coalition; its number has a bit for each player."""
        for number in range(self.count):
            yield (number >> np.arange(self._players)) % 2 == 1, number

    def learn(self, present: np.ndarray, note: int, score: float) -> None:
        """Take a coalition's score."""
        self._worth[note] = score

    @property
    def empty(self) -> float:
        """The score of the empty coalition."""
        return float(self._worth[0])

    def values(self, full: float) -> np.ndarray:
        """Return what each player adds to the score, averaged over all orders of the players."""
        n, numbers = self._players, np.arange(self.count)
        sizes = np.array([number.bit_count() for number in range(self.count)])
        # Orders in which exactly these came before the player, as a share of all orders.
        share = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
        result = np.zeros(n)
        for player in range(n):
            without = numbers[(numbers >> player) % 2 == 0]
            gains = self._worth[without + 2**player] - self._worth[without]
            result[player] = share[sizes[without]] @ gains
        return result


def shapley(engine: Any, all_games: Sequence[Game], solver: Callable[[int], Any]) -> dict[str, Any]:
    """Return maps of Shapley values and what they miss, as `Attribution` takes them.

    Args:
        engine: What has ``scores`` (B,) of the pictures and ``variant_scores``.
        all_games: One a picture.
        solver: Makes the solver for so many players; unused where all coalitions are scored.
    """
    solvers = [
        Exact(game.players) if game.players <= EXACT else solver(game.players) for game in all_games
    ]
    play(engine.variant_scores, all_games, solvers)
    maps, errors = [], []
    for game, one, full in zip(all_games, solvers, engine.scores.tolist(), strict=True):
        values = one.values(full)
        maps.append(segments.paint(game.labels, values))
        errors.append(_missed(values, full, one.empty))
    return {
        "values": np.stack(maps),
        "checks": {"completeness_error": np.array(errors)},
        "info": {"segments": [game.players for game in all_games]},
        "findings": [segments.findings(game.labels) for game in all_games],
    }


def _missed(values: np.ndarray, full: float, empty: float) -> float:
    """Return how far values miss the gap in score, as a share of it.

    A gap that is nothing but the rounding of float32 scores counts as that rounding.
    """
    rounding = max(_ROUNDING * (abs(full) + abs(empty)), float(np.finfo(np.float32).tiny))
    return abs(values.sum() - (full - empty)) / max(abs(full - empty), rounding)


@dataclass(frozen=True)
class ShapleyMethod(Method):
    """A game of segments, exact where all coalitions can be scored, else solved by `solver`."""

    family = "perturbation"
    signed = True
    stochastic = True
    needs_gradient = False
    local = False

    segments: Any = "slic"
    samples: int = 1
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        self._require(segments.possible(self.segments), "segments", WANTED)
        self._require_count("samples")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Play each picture's game."""
        played = games(engine, self.fill, self.segments)
        return Attribution(**shapley(engine, played, lambda n: self.solver(n, seed)))

    def shares(self, maps: np.ndarray, images: np.ndarray, kind: Kind = PICTURE) -> np.ndarray:
        """Return each segment's value, divided evenly among its pixels, (B, H, W)."""
        return segments.shared(self.segments, maps, images, kind)

    @abstractmethod
    def solver(self, players: int, seed: int) -> Solver:
        """Return a solver that estimates the values of so many players from some coalitions."""

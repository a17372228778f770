"""Methods that add up many runs: along a path to the picture, or over coalitions of segments."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, tee
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from keras_saliency._inputs import PICTURE, Kind, segments
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


EXACT = 10  # up to so many players all coalitions are scored, 1024 of them

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
    """Pass each picture's solver the scores of its coalitions, by the engine's variant scores."""
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

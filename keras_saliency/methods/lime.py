"""The weights of a linear model of the score, fitted to pictures with covered segments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._inputs import PICTURE, Kind, segments
from keras_saliency.errors import _arguments
from keras_saliency.methods.base import Attribution, Method, paths

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_POOR = 0.5  # a fit that explains less than this share of the variance is reported


@dataclass(frozen=True)
class Lime(Method):
    """Coefficients of a weighted ridge regression of the score on randomly covered segments.

    A pixel gets its segment's coefficient. As in the authors' code the first sample is the picture
    itself, a sample's weight is exp(-d^2 / (2 width^2)) with d the cosine distance to the picture,
    and the intercept is not penalised. ``checks[i]["r2"]`` is the weighted share of the scores'
    variance that the linear model explains; a value below 0.5 is a finding.

    Args:
        segments: ``"slic"``, ``"felzenszwalb"``, ``"grid"``, about how many, or labels (H, W); see
            `keras_saliency._inputs.segments.of`.
        samples: Number of pictures with covered segments.
        fill: What covers; see `keras_saliency._inputs.resampling.fill`.
        kernel_width: A smaller width gives more weight to samples that are close to the picture.
        ridge: Penalty on squared coefficients; 0 for none.

    Raises:
        MethodError: ``ridge`` is 0 and there are fewer samples than unknowns.

    Example:
        >>> e = explain(model, img, methods.Lime(segments="grid", samples=200), seed=1)
        >>> 0 < e.checks[0]["r2"] <= 1
        True
    """

    family = "perturbation"
    signed = True
    stochastic = True
    needs_gradient = False
    local = False
    reference = 'Ribeiro, Singh, Guestrin: "Why Should I Trust You?", 2016, arXiv:1602.04938'

    segments: Any = "slic"
    samples: int = 1000
    fill: Any = "mean"
    kernel_width: float = 0.25
    ridge: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        self._require(segments.possible(self.segments), "segments", paths.WANTED)
        self._require_count("samples")
        self._require_share("kernel_width")
        good = _arguments.is_number(self.ridge) and self.ridge >= 0
        self._require(good, "ridge", "0 or a number above")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        games = paths.games(engine, self.fill, self.segments)
        for game in games:
            if self.ridge == 0:
                enough = self.samples > game.players
                wanted = f"above {game.players}, the number of segments, where ridge is 0"
                self._require(enough, "samples", wanted)
        fits = [_Fit(game.players, self, seed) for game in games]
        paths.play(engine.variant_scores, games, fits)
        values, r2 = zip(*(fit.solve() for fit in fits), strict=True)
        maps = [segments.paint(g.labels, v) for g, v in zip(games, values, strict=True)]
        return Attribution(
            np.stack(maps),
            checks={"r2": np.array(r2)},
            info={"segments": [game.players for game in games]},
            findings=[self._findings(game, r) for game, r in zip(games, r2, strict=True)],
        )

    def shares(self, maps: np.ndarray, images: np.ndarray, kind: Kind = PICTURE) -> np.ndarray:
        """Return each segment's coefficient, divided evenly among its pixels, (B, H, W)."""
        return segments.shared(self.segments, maps, images, kind)

    def _findings(self, game: paths.Game, r2: float) -> tuple[str, ...]:
        result = list(segments.findings(game.labels))
        if self.samples <= game.players:
            result.append(f"{self.samples} samples for {game.players} segments: too few for a fit")
        if r2 < _POOR:
            result.append(f"a linear model explains only {r2:.0%} of the variance of the scores")
        return tuple(result)


class _Fit:
    """A weighted ridge regression that stores sums, not samples."""

    def __init__(self, players: int, options: Lime, seed: int) -> None:
        self.count = options.samples
        self._players, self._seed = players, seed
        self._width, self._ridge = options.kernel_width, options.ridge
        # Sums of weight * outer(row, row) for rows (1, present..., score).
        self._sums = np.zeros((players + 2, players + 2))
        self._whole: float | None = None

    def wishes(self) -> Iterator[paths.Wish]:
        generator = np.random.default_rng(self._seed)
        yield np.ones(self._players, bool), None
        for _ in range(self.count - 1):
            yield generator.random(self._players) < 0.5, None

    def learn(self, present: np.ndarray, note: None, score: float) -> None:
        if self._whole is None:
            self._whole = score  # a shift of all scores moves the intercept only, and sums cancel
        distance = 1 - math.sqrt(present.mean())  # of (present...) to (1, 1, ...)
        row = np.concatenate([[1.0], present, [score - self._whole]])
        weight = math.exp(-((distance / self._width) ** 2) / 2)
        self._sums += weight * np.outer(row, row)

    def solve(self) -> tuple[np.ndarray, float]:
        """Return coefficients (players,) and the weighted R^2."""
        if not np.isfinite(self._sums).all():  # a score was not; explain() reports it
            return np.full(self._players, np.nan), 0.0
        mean = self._sums[0] / self._sums[0, 0]
        centred = self._sums - self._sums[0, 0] * np.outer(mean, mean)
        left, right, variance = centred[1:-1, 1:-1], centred[1:-1, -1], centred[-1, -1]
        penalised = left + self._ridge * np.eye(len(left))
        result = np.linalg.lstsq(penalised, right, rcond=None)[0]
        missed = variance - 2 * result @ right + result @ left @ result
        return result, float(1 - missed / variance) if variance > 0 else 1.0

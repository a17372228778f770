"""Shapley values of segments, by random orders in which they are added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency.methods.base import ShapleyMethod, paths


@dataclass(frozen=True)
class ShapleySampling(ShapleyMethod):
    """What each segment adds to the score when it is added, averaged over random orders.

    A pixel gets its segment's Shapley value; over segments these sum to y(x) - y(all covered),
    whatever the orders. Up to 10 segments they are exact: all coalitions are scored, whatever
    ``samples`` is. Every second order is the one before it, reversed. How far the sum misses, as a
    share of the gap, is in ``checks[i]["completeness_error"]``.

    Args:
        segments: ``"slic"``, ``"felzenszwalb"``, ``"grid"``, about how many, or labels (H, W); see
            `keras_saliency._inputs.segments.of`.
        samples: Number of orders; each costs as many scores as there are segments.
        fill: What covers; see `keras_saliency._inputs.resampling.fill`.

    Example:
        >>> quarters = np.kron([[0, 1], [2, 3]], np.ones((12, 12), int))
        >>> e = explain(model, img, methods.ShapleySampling(quarters, fill="blur"))
        >>> e.info["segments"]
        [4]
    """

    reference = (
        "Castro, Gómez, Tejada: Polynomial Calculation of the Shapley Value Based on Sampling, "
        "2009, doi:10.1016/j.cor.2008.04.004; Štrumbelj, Kononenko, JMLR 2010"
    )

    samples: int = 25

    def solver(self, players: int, seed: int) -> _Orders:
        return _Orders(players, self.samples, seed)


class _Orders:
    """The mean gain of each player over orders; stores sums."""

    def __init__(self, players: int, samples: int, seed: int) -> None:
        self.count = 1 + samples * (players - 1)
        self.empty = self._before = 0.0
        self._samples, self._seed = samples, seed
        self._gains, self._last = np.zeros(players), np.zeros(players)

    def wishes(self) -> Iterator[paths.Wish]:
        generator = np.random.default_rng(self._seed)
        order = np.arange(len(self._gains))
        yield np.zeros(len(order), bool), None
        for sample in range(self._samples):
            order = order[::-1] if sample % 2 else generator.permutation(len(order))
            present = np.zeros(len(order), bool)
            for player in order[:-1]:
                present = present.copy()
                present[player] = True
                yield present, (player, order)

    def learn(self, present: np.ndarray, note: Any, score: float) -> None:
        if note is None:
            self.empty = score
            return
        player, order = note
        if player == order[0]:
            self._before = self.empty
        self._gains[player] += score - self._before
        self._before = score
        if player == order[-2]:  # who comes last completes the picture
            self._gains[order[-1]] -= score
            self._last[order[-1]] += 1

    def values(self, full: float) -> np.ndarray:
        """Return the mean gains, where the whole picture scores ``full``."""
        return (self._gains + self._last * full) / self._samples

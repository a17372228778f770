"""Shapley values of segments, by a regression over coalitions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from keras_saliency.methods.base import ShapleyMethod, paths


@dataclass(frozen=True)
class KernelShap(ShapleyMethod):
    """What each segment adds to the score, averaged over all orders of the segments.

    A pixel gets its segment's Shapley value; over segments these sum to y(x) - y(all covered). Up
    to 10 segments they are exact: all coalitions are scored, whatever ``samples`` is. Beyond, the
    regression with the Shapley kernel is fitted to sampled coalitions, and the sum is a constraint
    of it. Coalition sizes are enumerated in full as far as samples reach, the rest is drawn in
    pairs (a coalition and its complement). How far the sum misses, as a share of the gap, is in
    ``checks[i]["completeness_error"]``.

    Args:
        segments: ``"slic"``, ``"felzenszwalb"``, ``"grid"``, about how many, or labels (H, W); see
            `keras_saliency._inputs.segments.of`.
        samples: Coalitions, besides the empty and the full one; at least twice the number of
            segments.
        fill: What covers; see `keras_saliency._inputs.resampling.fill`.

    Raises:
        MethodError: There are too few samples to determine the values.

    Example:
        >>> quarters = np.kron([[0, 1], [2, 3]], np.ones((12, 12), int))
        >>> e = explain(model, img, methods.KernelShap(quarters))
        >>> e.checks[0]["completeness_error"] < 1e-4
        True
    """

    reference = (
        "Lundberg, Lee: A Unified Approach to Interpreting Model Predictions, 2017, "
        "arXiv:1705.07874"
    )

    samples: int = 1000

    def solver(self, players: int, seed: int) -> _Regression:
        wanted = f"{2 * players} or more for {players} segments"
        self._require(self.samples >= 2 * players, "samples", wanted)
        return _Regression(players, self.samples, seed)


class _Regression:
    """Least squares with the Shapley kernel and a fixed sum; stores sums, not samples."""

    def __init__(self, players: int, samples: int, seed: int) -> None:
        self._players, self._seed = players, seed
        self.empty = 0.0
        sizes = np.arange(1, players)
        kernel = 1 / (sizes * (players - sizes))  # of all coalitions of a size together
        self._kernel = kernel / kernel.sum()
        self._full_sizes, left = _sizes_in_full(self._kernel, samples)
        self._pairs = left // 2
        self.count = 1 + 2 * self._pairs
        self.count += sum(math.comb(players, size) for size in self._full_sizes)
        self._left, self._right = np.zeros((players, players)), np.zeros(players)

    def wishes(self) -> Iterator[paths.Wish]:
        yield np.zeros(self._players, bool), 0.0
        rest = self._kernel.copy()
        for size in self._full_sizes:
            rest[size - 1] = 0
            weight = self._kernel[size - 1] / math.comb(self._players, size)
            for members in combinations(range(self._players), size):
                yield np.isin(np.arange(self._players), members), weight
        generator = np.random.default_rng(self._seed)
        for _ in range(self._pairs):
            size = generator.choice(len(rest), p=rest / rest.sum()) + 1
            present = generator.permutation(self._players) < size
            yield present, rest.sum() / (2 * self._pairs)
            yield ~present, rest.sum() / (2 * self._pairs)

    def learn(self, present: np.ndarray, weight: float, score: float) -> None:
        if not present.any():  # comes first
            self.empty = score
        self._left += weight * np.outer(present, present)
        self._right += weight * (score - self.empty) * present

    def values(self, full: float) -> np.ndarray:
        """Return the values that fit best among those that sum to the gap in score."""
        n = self._players
        bordered = np.ones((n + 1, n + 1))  # the last row: their sum; the last column: its force
        bordered[:n, :n], bordered[n, n] = self._left, 0
        return np.linalg.solve(bordered, np.append(self._right, full - self.empty))[:n]


def _sizes_in_full(kernel: np.ndarray, samples: int) -> tuple[list[int], int]:
    """Return the sizes of which every coalition is scored, and the number of samples left.

    One player present, or absent, always: these alone determine the values. Then, towards the
    middle, each size that would get at least as many samples as it has coalitions.
    """
    players = len(kernel) + 1
    sizes, left, share = [1, players - 1], samples - 2 * players, 1 - 2 * kernel[0]
    for size in range(2, players // 2 + 1):
        both = sorted({size, players - size})
        count = sum(math.comb(players, one) for one in both)
        weight = sum(kernel[one - 1] for one in both)
        if count > left * weight / share + 1e-6:
            return sizes, left
        sizes += both
        left, share = left - count, share - weight
    return sizes, 0

"""Interleaved rounds, and the few numbers that survive a shared machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

import numpy as np

Seconds = list[float]


def once(function: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def interleaved(
    contestants: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0
) -> dict[str, Seconds]:
    """Call every contestant once a round, in a new random order each round.

    Contestants return what they compute as NumPy arrays, so that no device is still at work when
    the clock stops. One round before the clock starts is not counted.
    """
    for function in contestants.values():
        function()
    order = random.Random(seed)
    seconds: dict[str, Seconds] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in order.sample(list(contestants), len(contestants)):
            seconds[name].append(once(contestants[name]))
    return seconds


def quartiles(values: Seconds) -> dict[str, float]:
    """Return the first quartile, the median and the third quartile, by name."""
    return dict(
        zip(("q1", "median", "q3"), np.percentile(values, (25, 50, 75)).tolist(), strict=True)
    )


def ratios(contestant: Seconds, reference: Seconds) -> Seconds:
    """Return, for each round, how many times as long as the reference the contestant took."""
    return [ours / theirs for ours, theirs in zip(contestant, reference, strict=True)]

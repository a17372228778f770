"""The mean of one number per picture, and its bootstrap interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from keras_saliency.metrics import inputs

__all__ = ["Interval", "bootstrap"]

_AT_ONCE = 1_000_000  # numbers drawn at once


class Interval(NamedTuple):
    """A mean and its interval at the requested level."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: ArrayLike, seed: int = 0, samples: int = 1000, level: float = 0.95
) -> Interval:
    """Return the mean over pictures and its bootstrap interval.

    Args:
        values: (B,), a metric's numbers. NaN, where a metric is undefined, is ignored.
        seed: Of the draws.
        samples: Number of bootstrap samples of B pictures, drawn with replacement.
        level: Share of the drawn means that the interval holds, above 0 and below 1.

    Returns:
        Mean, low, high; for one picture three times its number; for none three times NaN.

    Raises:
        MetricError: Values are not (B,), or infinite.

    Source:
        B. Efron, R. J. Tibshirani: An introduction to the bootstrap, 1993 (percentile interval).

    Example:
        >>> mean, low, high = bootstrap([0, 1, 1, 1, 0, 1, 1, 1])
        >>> mean, low < mean < high
        (0.75, True)
    """
    result = np.asarray(values, np.float64)
    if result.ndim != 1 or np.isinf(result).any():
        raise inputs.refused(
            "Expected one number per picture, (B,), finite or NaN.",
            f"Got an array of shape {result.shape}"
            + (" with infinity in it." if np.isinf(result).any() else "."),
            "Pass what a metric returned.",
            "help(keras_saliency.metrics.summary.bootstrap)",
        )
    samples = inputs.count(samples, "samples")
    level = inputs.number(level, "level", 0.0, 1.0)
    known = result[~np.isnan(result)]
    if not known.size:
        return Interval(np.nan, np.nan, np.nan)
    if known.size == 1:
        return Interval(*known.tolist() * 3)
    drawn = stats.bootstrap(
        (known,),
        np.mean,
        n_resamples=samples,
        batch=max(1, _AT_ONCE // known.size),
        confidence_level=level,
        method="percentile",
        rng=inputs.generator(seed),
    )
    return Interval(float(known.mean()), *map(float, drawn.confidence_interval))

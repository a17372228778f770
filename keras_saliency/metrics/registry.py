"""All metrics of maps in one table: what each needs, which way is better; the mean of many."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency._inputs.kinds import KINDS, Kind
from keras_saliency.errors import did_you_mean
from keras_saliency.metrics import inputs

__all__ = ["METRICS", "Interval", "Metric", "bootstrap", "get", "names"]


@dataclass(frozen=True)
class Metric:
    """A metric: one number for each picture.

    Attributes:
        name: Its function's name.
        module: Its module's name in `keras_saliency.metrics`.
        higher_is_better: Whether higher numbers are better.
        low: Its lower bound, minus infinity if there is none.
        high: Its upper bound.
        reference: Authors, year, arXiv id.
        options: Options that make maps of different scales comparable, where the defaults do not.
        kinds: The kinds of input that it has a meaning for.
        by_kind: Options for a kind of input, unless `options` has others.
    """

    name: str
    module: str
    higher_is_better: bool
    low: float
    high: float
    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = tuple(KINDS)
    by_kind: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def function(self) -> Callable[..., np.ndarray]:
        """The function itself; it returns (B,) float64."""
        return getattr(importlib.import_module(f"{__package__}.{self.module}"), self.name)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of its required arguments, in order.

        ``score``, ``images``, ``maps``, ``attributions``, ``baselines``, ``attribute``, ``inside``
        mean the same in every metric.
        """
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(one.name for one in parameters if one.default is one.empty)

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of its options."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(one.name for one in parameters if one.default is not one.empty)

    def check_options(self) -> None:
        """Check that the function has the options.

        Raises:
            MetricError: It has no option of that name.
        """
        for option in self.options:
            if option not in self.takes:
                raise inputs.refused(
                    f"The metric {self.name!r} has no option {option!r}.",
                    f"Its options are: {', '.join(self.takes)}.",
                    did_you_mean(str(option), self.takes) or "Leave it out.",
                    f"help(keras_saliency.metrics.{self.module}.{self.name})",
                )

    def check_kind(self, kind: Kind) -> None:
        """Check that the metric has a meaning for a kind of input.

        Raises:
            MetricError: It has none.
        """
        if kind.name not in self.kinds:
            others = ", ".join(one.name for one in _ROWS if kind.name in one.kinds)
            raise inputs.refused(
                f"The metric {self.name!r} is for {', '.join(self.kinds)}.",
                f"The explained input is {kind.one}: {kind.shape}.",
                f"Take others: {others}.",
                f"help(keras_saliency.metrics.{self.module}.{self.name})",
            )

    def for_kind(self, kind: str) -> dict[str, Any]:
        """Return the options for a kind of input that the caller has not set."""
        own = self.by_kind.get(kind, {})
        return {name: value for name, value in own.items() if name not in self.options}

    def __call__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Return the function's numbers, with `options` unless overridden."""
        return self.function(*args, **{**self.options, **kwargs})


_ANY = math.inf
_NEIGHBOURS = tuple(kind.name for kind in KINDS.values() if kind.has_neighbours)
# A score has the range of what is scored, so metrics in its unit are bounded only by it.
_ROWS = [
    Metric("deletion", "curves", False, -_ANY, _ANY, "Petsiuk et al. 2018, arXiv:1806.07421"),
    Metric("insertion", "curves", True, -_ANY, _ANY, "Petsiuk et al. 2018, arXiv:1806.07421"),
    Metric(
        "road", "road", True, -_ANY, _ANY, "Rong et al. 2022, arXiv:2202.00449", kinds=_NEIGHBOURS,
    ),
    Metric(
        "average_drop", "curves", False, 0, 100, "Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    Metric(
        "increase_in_confidence", "curves", True, 0, 100,
        "Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    Metric("sensitivity_n", "faithfulness", True, -1, 1, "Ancona et al. 2018, arXiv:1711.06104"),
    Metric(
        "mu_fidelity", "faithfulness", True, -1, 1, "Bhatt et al. 2020, arXiv:2005.00631",
        by_kind={"table": {"grid_size": "each"}},
    ),
    Metric(
        "infidelity", "infidelity", False, 0, _ANY, "Yeh et al. 2019, arXiv:1901.09392",
        {"contributions": True, "normalize": "positive"},
        by_kind={"table": {"perturbation": "subset"}},
    ),
    Metric(
        "completeness_error", "faithfulness", False, 0, _ANY,
        "Sundararajan et al. 2017, arXiv:1703.01365",
    ),
    Metric("max_sensitivity", "infidelity", False, 0, _ANY, "Yeh et al. 2019, arXiv:1901.09392"),
    Metric("complexity", "agreement", False, 0, _ANY, "Bhatt et al. 2020, arXiv:2005.00631"),
    Metric("sparseness", "agreement", True, 0, 1, "Chalasani et al. 2020, arXiv:1810.06583"),
    Metric("pointing_game", "localization", True, 0, 1, "Zhang et al. 2018, arXiv:1608.00507"),
    Metric("energy_inside", "localization", True, 0, 1, "Wang et al. 2020, arXiv:1910.01279"),
    Metric("overlap", "localization", True, 0, 1, "Zhou et al. 2016, arXiv:1512.04150"),
    Metric(
        "grid_pointing_game", "localization", True, 0, 1, "Böhle et al. 2021, arXiv:2104.00032",
        kinds=_NEIGHBOURS,
    ),
    Metric("random_logit", "sanity", False, -1, 1, "Sixt et al. 2020, arXiv:1912.09818"),
]  # fmt: skip

METRICS: Mapping[str, Metric] = {row.name: row for row in _ROWS}


def names() -> list[str]:
    """Return the names of all metrics of maps, in the order of the table."""
    return list(METRICS)


def get(metric: str | Metric) -> Metric:
    """Return the metric of this name; a `Metric` is returned as it is.

    Raises:
        MetricError: No such metric.

    Example:
        >>> get("deletion").needs, get("deletion").higher_is_better
        (('score', 'images', 'maps', 'baselines'), False)
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric in METRICS:
        return METRICS[metric]
    raise inputs.refused(
        f"No metric is called {metric!r}."
        if isinstance(metric, str)
        else f"Expected a metric or its name. Got {metric!r}.",
        f"Known: {', '.join(METRICS)}.",
        did_you_mean(str(metric), METRICS) or "Take one of these.",
    )


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
            "help(keras_saliency.metrics.registry.bootstrap)",
        )
    samples = inputs.count(samples, "samples")
    level = inputs.number(level, "level", 0.0, 1.0)
    known = result[~np.isnan(result)]
    if not known.size:
        return Interval(np.nan, np.nan, np.nan)
    if known.size == 1:
        return Interval(*known.tolist() * 3)
    from scipy import stats  # 0.3 s, for this alone

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

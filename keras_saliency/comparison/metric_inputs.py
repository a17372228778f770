"""The arguments of metrics: scores, pictures, maps, baselines, objects; from one engine.

Pictures stand for inputs of any kind: (B, *space, C), maps (B, *space).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_saliency._engine.engine import Engine
from keras_saliency._engine.micro_batches import BatchSize
from keras_saliency._inputs import resampling
from keras_saliency._results.explanation import Explanation
from keras_saliency.errors import KerasSaliencyError, MetricError
from keras_saliency.methods import Method
from keras_saliency.metrics.registry import Metric
from keras_saliency.targets import Class

_READ = "help(keras_saliency.compare)"
_UNDEFINED = "The metric is not defined there."


class Job(NamedTuple):
    """One score: a metric, a method, its explanation, and the rows of the pictures."""

    metric: Metric
    method: Method
    result: Explanation
    rows: list[int]


@dataclass(frozen=True, eq=False)
class MetricInputs:
    """Passes metrics their arguments.

    Attributes:
        engine: The pictures and the score that is explained, its class fixed.
        sure: The same pictures, and the probability of the class; `engine` itself where the target
            is no class.
        count: Number of classes, or None.
        seed: For metrics and methods that draw.
        batch_size: Pictures that go through the model at once.
        baseline: The replacement of missing pixels; None takes the metric's default.
        ground_truth_masks: For each picture a mask (H0, W0) bool of the object, in its own frame
            (of other inputs in their spatial axes); or None.
    """

    engine: Engine
    sure: Engine
    count: int | None
    seed: int = 0
    batch_size: BatchSize = 8
    baseline: Any = None
    ground_truth_masks: Sequence[np.ndarray] | None = None

    def check(self, metric: Metric) -> None:
        """Check that a metric can get its arguments, and that it takes its options.

        Raises:
            MetricError: It has no meaning for the kind of input, there are no boxes or masks, the
                target is no class, there is no other
                class, an option is unknown or impossible, or it needs another argument.
        """
        metric.check_kind(self.engine.kind)
        needs, name = set(metric.needs), f"the metric {metric.name!r}"
        if "inside" in needs and self.ground_truth_masks is None:
            raise MetricError(
                f"Expected boxes or masks of the objects for {name}.",
                "Got neither boxes= nor masks=.",
                "Pass boxes= or masks=, one for each picture, to keras_saliency.compare.",
                _READ,
            )
        if "classes" in needs and self.count is None:
            raise MetricError(
                f"Expected a class as the target for {name}, which compares classes.",
                f"Got target={self.engine.target}.",
                "Explain a class, or leave this metric out.",
                _READ,
            )
        if "classes" in needs and self.count == 1:
            raise MetricError(
                f"Expected two or more classes for {name}, which compares classes.",
                "Got a model with one.",
                "Leave this metric out, or take a model with an output for each class.",
                _READ,
            )
        if needs - _ARGUMENTS.keys():
            others = ", ".join(sorted(needs - _ARGUMENTS.keys()))
            raise MetricError(
                f"Expected {name} to need only arguments that a comparison has.",
                f"It needs {others}.",
                "Call it yourself.",
                f"help(keras_saliency.metrics.{metric.module}.{metric.name})",
            )
        metric.check_options()
        if metric.options:
            self._try(metric)

    def _try(self, metric: Metric) -> None:
        """Try the options on one picture of noise, with scores and maps of 0 and no model."""
        shape = (1, *self.engine.images.shape[1:])
        noise = np.random.default_rng(0).random(shape).astype(self.engine.images.dtype)
        arguments: dict[str, Any] = {
            "score": lambda images, rows: np.zeros(len(rows)),
            "images": noise,
            "maps": np.zeros(shape[:-1]),
            "attributions": np.zeros(shape[:-1]),
            "baselines": 0 * noise,
            "attribute": lambda images: np.zeros(images.shape[:-1]),
            "classes": [0],
            "count": self.count,
            "maps_of": lambda classes: np.zeros(shape[:-1]),
        }
        if self.ground_truth_masks is not None and "inside" in metric.needs:
            arguments |= {
                "inside": self.ground_truth_masks[0][None],
                "maps": np.zeros((1, *self.ground_truth_masks[0].shape)),
            }
        try:
            own = metric.for_kind(self.engine.kind.name)
            metric(**own, **{name: arguments[name] for name in metric.needs})
        except MetricError:
            raise
        except Exception:  # other errors appear again with the pictures themselves
            return

    def numbers(
        self, metric: Metric, method: Method, result: Explanation
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Return a metric's number for each picture, (B,), and the reason where there is none.

        Pictures on which a metric fails have NaN; the others have their numbers. Completeness is
        measured from a method's own baseline: by the method itself, if it does.
        """
        rows = list(range(len(result)))
        values, why = np.full(len(rows), np.nan), dict[int, str]()
        alone = "inside" in metric.needs  # in the pictures' own frames, which differ in size
        waiting = [[row] for row in rows] if alone else [rows]
        while waiting:
            part = waiting.pop(0)
            try:
                values[part] = self._of(Job(metric, method, result, part))
            except Exception as error:
                if len(part) > 1:
                    waiting = [[row] for row in part]
                else:
                    why[part[0]] = reason(error)
        values[~np.isfinite(values)] = np.nan
        return values, {row: why.get(row, _UNDEFINED) for row in rows if np.isnan(values[row])}

    def _of(self, job: Job) -> np.ndarray:
        metric, method = job.metric, job.method
        # A wrapper may pass on checks of the attributions from which it made its map.
        itself = method.complete or getattr(method, "base", None) is None
        if metric.name == "completeness_error" and itself:
            known = [job.result.checks[row].get(metric.name) for row in job.rows]
            if None not in known:
                return np.array(known, np.float64)
        arguments = {name: _ARGUMENTS[name](self, job) for name in metric.needs}
        for name, value in (("seed", self.seed), ("batch_size", self.batch_size)):
            if name in metric.takes and name not in metric.options and value != "auto":
                arguments[name] = value
        own = metric.for_kind(self.engine.kind.name)
        return np.asarray(metric(**own, **arguments), np.float64)

    # One function for each argument of a metric.

    def _images(self, job: Job) -> np.ndarray:
        return self.engine.images[job.rows]

    def _score(self, job: Job) -> Any:
        engine = self.engine if "attributions" in job.metric.needs else self.sure

        def score(images: np.ndarray, made_from: np.ndarray) -> np.ndarray:
            return engine.with_images([job.rows[one] for one in made_from], images).scores

        return score

    def _maps(self, job: Job) -> np.ndarray:
        if "inside" in job.metric.needs:
            return np.stack([job.result[row].maps()[0] for row in job.rows])
        return job.result.values[job.rows]

    def _attributions(self, job: Job) -> np.ndarray:
        values = job.result.values[job.rows]
        if "score" not in job.metric.needs:  # the map itself is scored
            return values
        if job.result.attributions is not None:
            return job.result.attributions[job.rows]
        return job.method.shares(values, self.engine.images[job.rows], self.engine.kind)

    def _baselines(self, job: Job) -> np.ndarray:
        # Where values have no neighbours there is no blur.
        blurred = job.metric.name == "insertion" and self.engine.kind.has_neighbours
        usual: Any = "blur" if blurred else "black"
        baseline = usual if self.baseline is None else self.baseline
        if job.metric.name == "completeness_error":
            own = _own_baseline(job.method)
            baseline = baseline if own is None else own
        return self.engine.fill(baseline)[job.rows]

    def _inside(self, job: Job) -> np.ndarray | None:
        return (
            np.stack([self.ground_truth_masks[row] for row in job.rows])
            if self.ground_truth_masks
            else None
        )

    def _attribute(self, job: Job) -> Any:
        return lambda images: self._again(job.method, self.engine.with_images(job.rows, images))

    def _again(self, method: Method, engine: Engine) -> np.ndarray:
        """Return the map (B, *space) of other pictures, or of another class."""
        result = method.attribute(engine, self.seed)
        if engine.is_grid(result.values):
            return resampling.resize(result.values, engine.images.shape[1:-1])
        return method.to_map(result.values)

    def _classes(self, job: Job) -> np.ndarray:
        return self.engine.target.rows(len(self.engine.images))["index"][job.rows]

    def _count(self, job: Job) -> int | None:
        return self.count

    def _maps_of(self, job: Job) -> Any:
        def maps_of(classes: np.ndarray) -> np.ndarray:
            if np.array_equal(classes, self._classes(job)):
                return job.result.values[job.rows]
            target = self.engine.target
            other = Class(np.asarray(classes).tolist(), score=target.score, output=target.output)
            part = self.engine.with_images(job.rows, self.engine.images[job.rows])
            return self._again(job.method, part.with_target(other))

        return maps_of


_ARGUMENTS: Mapping[str, Callable[[MetricInputs, Job], Any]] = {
    "score": MetricInputs._score,
    "images": MetricInputs._images,
    "maps": MetricInputs._maps,
    "attributions": MetricInputs._attributions,
    "baselines": MetricInputs._baselines,
    "inside": MetricInputs._inside,
    "attribute": MetricInputs._attribute,
    "classes": MetricInputs._classes,
    "count": MetricInputs._count,
    "maps_of": MetricInputs._maps_of,
}


def _own_baseline(method: Any) -> Any:
    """Return the baseline of a method, or of the one inside it; None where it has no such option.

    Raises:
        MetricError: It has several.
    """
    while method is not None and not hasattr(method, "baseline"):
        method = getattr(method, "base", None)
    own = getattr(method, "baseline", None)
    if isinstance(own, list | tuple):
        raise MetricError(
            "Expected a method with one baseline, to compare attributions with its gap in score.",
            f"Got attributions that are means over {len(own)} baselines.",
            "Pass the method one baseline, or leave this metric out.",
            _READ,
        )
    return own


def reason(error: Exception) -> str:
    """Return an error's message, with its class if it is not of this package."""
    if isinstance(error, KerasSaliencyError):
        return str(error)
    return f"Unexpected error. {type(error).__name__}: {error}"

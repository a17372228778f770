"""What a metric is handed: scores, pictures, maps, baselines, the truth; from one engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_saliency import postprocess
from keras_saliency._explanation import Explanation
from keras_saliency.engine import Engine
from keras_saliency.errors import KerasSaliencyError, MetricError
from keras_saliency.methods import Method
from keras_saliency.metrics import localization
from keras_saliency.metrics.registry import Metric
from keras_saliency.micro_batches import BatchSize
from keras_saliency.targets import Class

_READ = "help(keras_saliency.compare)"
_UNDEFINED = "The metric is not defined there."


class Job(NamedTuple):
    """What is scored: a metric, a method, its explanation, and which of the pictures."""

    metric: Metric
    method: Method
    found: Explanation
    rows: list[int]


@dataclass(frozen=True, eq=False)
class Handing:
    """Hands metrics what they need.

    Attributes:
        engine: The pictures and the score that is explained, its class fixed.
        sure: The same pictures, and the probability of the class; `engine` itself where the target
            is no class.
        count: How many classes there are, or None.
        seed: For metrics and methods that draw.
        batch_size: Pictures that go through the model at once.
        baseline: What stands in for missing pixels; None leaves it to the metric.
        truth: For each picture a mask (H0, W0) of the object, in the picture's own frame; or None.
    """

    engine: Engine
    sure: Engine
    count: int | None
    seed: int = 0
    batch_size: BatchSize = 8
    baseline: Any = None
    truth: Sequence[np.ndarray] | None = None

    def check(self, metric: Metric) -> None:
        """Refuse a metric that cannot be handed what it needs, or with options it does not take.

        Raises:
            MetricError: Nobody said where the objects are, the target is no class, there is no
                other class, an option is not there or impossible, or it needs something else.
        """
        asked, needs = f"The metric {metric.name!r} was asked for.", set(metric.needs)
        if "inside" in needs and self.truth is None:
            raise MetricError(
                asked,
                "It compares maps with objects, and nobody said where these are.",
                "Pass boxes= or masks=, one for each picture, to keras_saliency.compare.",
                _READ,
            )
        if "classes" in needs and self.count is None:
            raise MetricError(
                asked,
                f"It compares classes; the target is {self.engine.target}.",
                "Explain a class, or leave this metric out.",
                _READ,
            )
        if "classes" in needs and self.count == 1:
            raise MetricError(
                asked,
                "It compares classes; the model has one.",
                "Leave this metric out, or take a model with an output for each class.",
                _READ,
            )
        if needs - _HANDED.keys():
            others = ", ".join(sorted(needs - _HANDED.keys()))
            raise MetricError(
                asked,
                f"It needs {others}, which a comparison does not have.",
                "Call it yourself.",
                f"help(keras_saliency.metrics.{metric.module}.{metric.name})",
            )
        metric.check_options()
        if metric.options:
            self._try(metric)

    def _try(self, metric: Metric) -> None:
        """Refuse impossible options: one picture of noise, a score and maps of 0, no model."""
        shape = (1, *self.engine.images.shape[1:])
        noise = np.random.default_rng(0).random(shape).astype(self.engine.images.dtype)
        given: dict[str, Any] = {
            "score": lambda images, rows: np.zeros(len(rows)),
            "images": noise,
            "maps": np.zeros(shape[:3]),
            "attributions": np.zeros(shape[:3]),
            "baselines": 0 * noise,
            "attribute": lambda images: np.zeros(images.shape[:3]),
            "classes": [0],
            "count": self.count,
            "maps_of": lambda classes: np.zeros(shape[:3]),
        }
        if self.truth is not None and "inside" in metric.needs:
            given |= {"inside": self.truth[0][None], "maps": np.zeros((1, *self.truth[0].shape))}
        try:
            metric(**{name: given[name] for name in metric.needs})
        except MetricError:
            raise
        except Exception:  # what else it does not like, it says of the pictures themselves
            return

    def numbers(
        self, metric: Metric, method: Method, found: Explanation
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Return a metric's number for each picture, (B,), and for which there is none, and why.

        Pictures that a metric refuses have NaN; the others keep their numbers. Completeness is
        measured from a method's own baseline: by the method itself, where it does.
        """
        rows = list(range(len(found)))
        values, why = np.full(len(rows), np.nan), dict[int, str]()
        alone = "inside" in metric.needs  # in the pictures' own frames, which differ in size
        waiting = [[row] for row in rows] if alone else [rows]
        while waiting:
            part = waiting.pop(0)
            try:
                values[part] = self._of(Job(metric, method, found, part))
            except Exception as error:
                if len(part) > 1:
                    waiting = [[row] for row in part]
                else:
                    why[part[0]] = reason(error)
        values[~np.isfinite(values)] = np.nan
        return values, {row: why.get(row, _UNDEFINED) for row in rows if np.isnan(values[row])}

    def _of(self, job: Job) -> np.ndarray:
        metric, method = job.metric, job.method
        # A method around another one may hand on checks of what it made its map of.
        itself = method.complete or getattr(method, "base", None) is None
        if metric.name == "completeness_error" and itself:
            known = [job.found.checks[row].get(metric.name) for row in job.rows]
            if None not in known:
                return np.array(known, np.float64)
        given = {name: _HANDED[name](self, job) for name in metric.needs}
        for name, value in (("seed", self.seed), ("batch_size", self.batch_size)):
            if name in metric.takes and name not in metric.options and value != "auto":
                given[name] = value
        return np.asarray(metric(**given), np.float64)

    # What a metric may be handed, one argument a function.

    def _images(self, job: Job) -> np.ndarray:
        return self.engine.images[job.rows]

    def _score(self, job: Job) -> Any:
        engine = self.engine if "attributions" in job.metric.needs else self.sure

        def score(images: np.ndarray, made_from: np.ndarray) -> np.ndarray:
            return engine.at([job.rows[one] for one in made_from], images).scores

        return score

    def _maps(self, job: Job) -> np.ndarray:
        if "inside" in job.metric.needs:
            return np.stack([job.found[row].maps()[0] for row in job.rows])
        return job.found.values[job.rows]

    def _attributions(self, job: Job) -> np.ndarray:
        values = job.found.values[job.rows]
        if "score" not in job.metric.needs:  # the map is what is judged
            return values
        if job.found.attributions is not None:
            return job.found.attributions[job.rows]
        return job.method.shares(values, self.engine.images[job.rows])

    def _baselines(self, job: Job) -> np.ndarray:
        usual: Any = "blur" if job.metric.name == "insertion" else "black"
        baseline = usual if self.baseline is None else self.baseline
        if job.metric.name == "completeness_error":
            own = _own_baseline(job.method)
            baseline = baseline if own is None else own
        return self.engine.fill(baseline)[job.rows]

    def _inside(self, job: Job) -> np.ndarray | None:
        return np.stack([self.truth[row] for row in job.rows]) if self.truth else None

    def _attribute(self, job: Job) -> Any:
        return lambda images: self._again(job.method, self.engine.at(job.rows, images))

    def _again(self, method: Method, engine: Engine) -> np.ndarray:
        """Return the map (B, H, W) of other pictures, or of another class."""
        found = method.attribute(engine, self.seed)
        if found.is_grid:
            return postprocess.resize(found.values, engine.images.shape[1:3])
        return method.to_map(found.values)

    def _classes(self, job: Job) -> np.ndarray:
        return self.engine.target.rows(len(self.engine.images))["index"][job.rows]

    def _count(self, job: Job) -> int | None:
        return self.count

    def _maps_of(self, job: Job) -> Any:
        def maps_of(classes: np.ndarray) -> np.ndarray:
            if np.array_equal(classes, self._classes(job)):
                return job.found.values[job.rows]
            target = self.engine.target
            other = Class(np.asarray(classes).tolist(), score=target.score, output=target.output)
            part = self.engine.at(job.rows, self.engine.images[job.rows])
            return self._again(job.method, part.explaining(other))

        return maps_of


_HANDED: Mapping[str, Callable[[Handing, Job], Any]] = {
    "score": Handing._score,
    "images": Handing._images,
    "maps": Handing._maps,
    "attributions": Handing._attributions,
    "baselines": Handing._baselines,
    "inside": Handing._inside,
    "attribute": Handing._attribute,
    "classes": Handing._classes,
    "count": Handing._count,
    "maps_of": Handing._maps_of,
}


def _own_baseline(method: Any) -> Any:
    """Return what a method, or the one inside it, starts from; None where it has no such option.

    Raises:
        MetricError: It starts from several.
    """
    while method is not None and not hasattr(method, "baseline"):
        method = getattr(method, "base", None)
    own = getattr(method, "baseline", None)
    if isinstance(own, list | tuple):
        raise MetricError(
            "Attributions were to be compared with the gap in score from their baseline.",
            f"They are means over {len(own)} baselines.",
            "Give the method one baseline, or leave this metric out.",
            _READ,
        )
    return own


def truth(boxes: Any, masks: Any, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray] | None:
    """Return the object of each picture as a mask (H0, W0) in the picture's own frame, or None.

    Args:
        boxes: For each picture a box ``(left, top, right, bottom)`` or several; one picture's box
            or boxes may stand alone.
        masks: For each picture (H0, W0) bool; one picture's may stand alone.
        sizes: Height and width of each picture.

    Raises:
        MetricError: Both are given, or they do not fit the pictures.
    """
    if boxes is None and masks is None:
        return None
    given, what = (boxes, "boxes") if masks is None else (masks, "masks")
    if boxes is not None and masks is not None:
        raise _refused("boxes and masks", "Both were given.")
    if len(sizes) == 1 and _is_one(given, what):
        given = [given]
    if not hasattr(given, "__len__") or len(given) != len(sizes):
        count = len(given) if hasattr(given, "__len__") else "none"
        raise _refused(what, f"There are {len(sizes)} pictures and {what} of {count}.")
    found = []
    for row, (one, size) in enumerate(zip(given, sizes, strict=True)):
        if what == "boxes":
            found.append(localization.box_masks([one], size, first=row)[0])
            continue
        mask = np.asarray(one)
        if mask.dtype != bool or mask.shape != size or not mask.any():
            raise _refused(
                what,
                f"That of picture {row} is {mask.dtype} of shape {mask.shape} with "
                f"{np.count_nonzero(mask)} pixels inside; the picture has {size}.",
            )
        found.append(mask)
    return found


def _is_one(given: Any, what: str) -> bool:
    """Return whether one picture's objects stand alone: a box, several in a row, a mask."""
    if what == "masks":
        return np.ndim(given) == 2
    try:
        shape = np.shape(given)
    except ValueError:  # lists of different lengths
        return False
    return len(shape) == 1 or (len(shape) == 2 and shape[0] > 1)


def reason(error: Exception) -> str:
    """Return an error's message; one that was not foreseen says so."""
    if isinstance(error, KerasSaliencyError):
        return str(error)
    return f"This was not foreseen. {type(error).__name__}: {error}"


def _refused(what: str, found: str) -> MetricError:
    return MetricError(
        f"The objects in the pictures were given as {what}.",
        found,
        "Give for each picture a box (left, top, right, bottom), several, or a mask (H, W) of "
        "bool with a pixel inside; all in the picture's own pixels.",
        _READ,
    )

"""What a metric is handed: scores, pictures, maps, baselines, the truth; from one engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
_KNOWN = {
    "score", "images", "maps", "attributions", "baselines", "attribute", "inside", "maps_of",
    "classes", "count",
}  # fmt: skip


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
        """Refuse a metric that cannot be handed what it needs.

        Raises:
            MetricError: Nobody said where the objects are, the target is no class, or it needs
                something else.
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
        if needs - _KNOWN:
            raise MetricError(
                asked,
                f"It needs {', '.join(sorted(needs - _KNOWN))}, which a comparison does not have.",
                "Call it yourself.",
                f"help(keras_saliency.metrics.{metric.module}.{metric.name})",
            )

    def numbers(
        self, metric: Metric, method: Method, found: Explanation
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Return a metric's number for each picture, (B,), and for which there is none, and why.

        Pictures that a metric refuses have NaN; the others keep their numbers.
        """
        rows = list(range(len(found)))
        alone = "inside" in metric.needs  # in the pictures' own frames, which differ in size
        try:
            if not alone:
                return self._of(metric, method, found, rows), {}
        except Exception as error:
            if len(rows) == 1:
                return np.full(1, np.nan), {0: reason(error)}
        values, why = np.full(len(rows), np.nan), {}
        for row in rows:
            try:
                values[row] = self._of(metric, method, found, [row])[0]
            except Exception as error:
                why[row] = reason(error)
        return values, why

    def _of(
        self, metric: Metric, method: Method, found: Explanation, rows: list[int]
    ) -> np.ndarray:
        given = {name: self._given(name, metric, method, found, rows) for name in metric.needs}
        for name, value in (("seed", self.seed), ("batch_size", self.batch_size)):
            if name in metric.takes and name not in metric.options and value != "auto":
                given[name] = value
        return np.asarray(metric(**given), np.float64)

    def _given(
        self, name: str, metric: Metric, method: Method, found: Explanation, rows: list[int]
    ) -> Any:
        """Return one argument of a metric, for some of the pictures."""
        if name == "score":
            return self._score(metric, rows)
        if name == "images":
            return self.engine.images[rows]
        if name == "maps":
            if "inside" in metric.needs:
                return np.stack([found[row].maps()[0] for row in rows])
            return found.values[rows]
        if name == "attributions":
            # They must add up to a score; where none is asked, the map is what is judged.
            whole = found.attributions if "score" in metric.needs else None
            return (found.values if whole is None else whole)[rows]
        if name == "baselines":
            usual = "blur" if metric.name == "insertion" else "black"
            return self.engine.fill(usual if self.baseline is None else self.baseline)[rows]
        if name == "inside":
            return np.stack([self.truth[row] for row in rows]) if self.truth else None
        if name == "attribute":
            return lambda images: self._again(method, self.engine.at(rows, images))
        if name == "classes":
            return self._classes(rows)
        if name == "count":
            return self.count
        return lambda classes: self._of_classes(method, found, rows, classes)  # maps_of

    def _score(self, metric: Metric, rows: list[int]) -> Any:
        engine = self.engine if "attributions" in metric.needs else self.sure

        def score(images: np.ndarray, made_from: np.ndarray) -> np.ndarray:
            return engine.at([rows[one] for one in made_from], images).scores

        return score

    def _again(self, method: Method, engine: Engine) -> np.ndarray:
        """Return the map (B, H, W) of other pictures, or of another class."""
        found = method.attribute(engine, self.seed)
        if found.is_grid:
            return postprocess.resize(found.values, engine.images.shape[1:3])
        return method.to_map(found.values)

    def _classes(self, rows: list[int]) -> np.ndarray:
        return self.engine.target.rows(len(self.engine.images))["index"][rows]

    def _of_classes(
        self, method: Method, found: Explanation, rows: list[int], classes: np.ndarray
    ) -> np.ndarray:
        if np.array_equal(classes, self._classes(rows)):
            return found.values[rows]
        target = self.engine.target
        other = Class(np.asarray(classes).tolist(), score=target.score, output=target.output)
        part = self.engine.at(rows, self.engine.images[rows])
        return self._again(method, part.explaining(other))


def truth(boxes: Any, masks: Any, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray] | None:
    """Return the object of each picture as a mask (H0, W0) in the picture's own frame, or None.

    Args:
        boxes: For each picture a box ``(left, top, right, bottom)`` or several; one picture's may
            stand alone.
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
    if len(sizes) == 1 and np.ndim(given) == (1 if what == "boxes" else 2):
        given = [given]
    if not hasattr(given, "__len__") or len(given) != len(sizes):
        count = len(given) if hasattr(given, "__len__") else "none"
        raise _refused(what, f"There are {len(sizes)} pictures and {what} of {count}.")
    found = []
    for row, (one, size) in enumerate(zip(given, sizes, strict=True)):
        if what == "boxes":
            found.append(localization.box_masks([one], size)[0])
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

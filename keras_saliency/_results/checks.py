"""What an explanation says of itself: class or not, labels, measurements, findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency._engine.engine import Engine
from keras_saliency._graph import Head
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs import preprocessing
from keras_saliency._inputs.batch import Batch
from keras_saliency._io.encoding import plain
from keras_saliency.errors import MethodError
from keras_saliency.methods import Attribution, Method
from keras_saliency.methods.base import ZERO, why_map_is_zero

_RESERVED = {
    "backend", "batch_size", "checksums", "grid", "kind", "method", "model", "model_sha256",
    "parameters", "pictures", "preprocess", "schema_version", "score", "seconds", "seed", "signed",
    "upsampling", "versions", }  # fmt: skip
_LARGE_ERROR = 0.1  # of the score gap
_LARGE_ON_PADDING = 0.01  # of the map's sum of absolute values


@dataclass(frozen=True)
class Shown:
    """Whether the explained output is shown to be a class."""

    is_class: bool
    head: Head | None = None  # the evidence, where there is no softmax or sigmoid
    predicted: bool = False

    @classmethod
    def of(cls, engine: Engine) -> Shown:
        """Return what is shown of an engine's target."""
        aux = engine.aux
        if "index" not in aux or "probability" not in aux:
            return cls(False)
        if "hidden" not in aux:  # a softmax or a sigmoid makes classes
            return cls(True)
        head, predicted = engine.head(), getattr(engine.chosen_target, "predicted", False)
        return cls(head.is_linear and not engine.is_regression(), head, predicted)

    def labels(self, adapter: Adapter, index: np.ndarray | None, count: int) -> tuple[str, ...]:
        """Return class names where the model is a known ImageNet network, numbers elsewhere."""
        if index is None:
            return ("",) * count
        names = None
        if self.is_class:
            key, model = ("class names",), adapter.model
            names = adapter.cache.get_or_create(key, lambda: preprocessing.class_names(model))
        word = "class" if self.is_class else "output"
        return tuple(names[i] if names else f"{word} {i}" for i in index.tolist())

    def findings(self, index: np.ndarray | None) -> list[tuple[str, ...]]:
        """Return, for each picture, a finding where the predicted output may be no class."""
        if self.is_class or self.head is None or self.head.is_linear or not self.predicted:
            return []
        return [
            (
                f"output {i} is the highest, but nothing shows that outputs are classes: they are "
                f"made by {self.head}, not by a linear layer, softmax or sigmoid; name a target",
            )
            for i in (index if index is not None else np.zeros(0)).tolist()
        ]


def checks(
    method: Method,
    result: Attribution,
    values: np.ndarray,
    engine: Engine,
    more: Sequence[Sequence[tuple[str, ...]]],
    notes: tuple[str, ...],
) -> tuple[dict[str, Any], ...]:
    """Return, for each picture, the method's own measurements and the findings."""
    result_checks, scores = [], engine.scores
    zeros: list[str] | None = None
    for row, value in enumerate(values):
        numbers = {name: float(each[row]) for name, each in result.checks.items()}
        findings = [one for each in more if each for one in each[row]]
        findings += result.findings[row] if result.findings else ()
        broken = int((~np.isfinite(result.values[row])).sum())
        if not np.isfinite(scores[row]):
            findings.append("the score is NaN or infinite: the map explains nothing")
        if broken:
            findings.append(f"{broken} attributions are NaN or infinite")
        elif not value.any() and not any(ZERO in said for said in findings):
            zeros = zeros or why_map_is_zero(method, result, engine)
            findings.append(f"{ZERO}{zeros[row]}")
        error = numbers.get("completeness_error", 0.0)
        if error > _LARGE_ERROR:
            findings.append(f"attributions miss the score gap by {error:.0%}")
        result_checks.append({**numbers, "findings": (*findings, *notes)})
    return tuple(result_checks)


def notes(adapter: Adapter) -> tuple[str, ...]:
    """Return findings about a model: that Keras' own ``predict`` may be of an earlier state."""
    import keras

    if keras.config.backend() == "torch" or getattr(adapter.model, "run_eagerly", False):
        return ()
    changed = adapter.cache.changed_since_predict()
    if changed is None:
        return ()
    return (
        f"the model was changed after its first use ({changed}) and is explained as it is now; "
        "Keras' compiled predict() may still use the earlier state until model.compile() is called",
    )


def without_padding(
    batch: Batch, values: np.ndarray, attributions: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None, tuple[tuple[str, ...], ...]]:
    """Return maps and attributions that are 0 on padding; for each, a finding if much was there."""
    padding = batch.is_padding()
    if not padding.any():
        return values, attributions, ()
    findings: list[tuple[str, ...]] = []
    for row, where in zip(values, padding, strict=True):
        lost, whole = float(np.abs(row[where]).sum()), float(np.abs(row).sum())
        large = where.any() and lost > _LARGE_ON_PADDING * whole
        note = (
            f"{lost / (whole or 1):.0%} of the map lies on padding, which the model does not mask"
        )
        findings.append((f"{note}: it is set to 0",) if large else ())
    if attributions is not None:
        attributions = np.where(padding[..., None], 0, attributions)
    return np.where(padding, 0, values), attributions, tuple(findings)


def check_info(method: Method, info: Mapping[str, Any]) -> None:
    """Refuse an ``info`` of a method that would replace an entry of every run.

    Raises:
        MethodError: A name is reserved.
    """
    if taken := sorted(map(str, _RESERVED & set(info))):
        raise MethodError(
            f"Expected method {method.name!r} to return an info without reserved names.",
            f"Got {', '.join(map(repr, taken))}, recorded for every run.",
            f"Rename it, such as {f'{method.name}_{taken[0]}'!r}.",
            "help(keras_saliency.methods.Attribution)",
        )


def own_info(result: Attribution, engine: Engine) -> dict[str, Any]:
    """Return a method's own entries of the manifest as plain data, and the cells of its grid."""
    cells, info = result.values.shape[1:], result.info
    enlarged = engine.is_grid(result.values) and cells != engine.images.shape[1:-1]
    grid: dict[str, Any] = {"grid": list(cells)} if enlarged else {}
    simple = all(type(one) in (bool, int, float, str) for one in (*info, *info.values()))
    return {**grid, **(info if simple else plain(dict(info)))}

"""compare(): many methods on the same pictures, scored by many metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import pictures, programs, progress, provenance, targets
from keras_saliency._explain import attributed, check_batch_size
from keras_saliency._explanation import Explanation
from keras_saliency.adapter import Adapter
from keras_saliency.batch import Batch, prepare
from keras_saliency.comparison import Comparison, Handing, handing, labelled
from keras_saliency.engine import Engine
from keras_saliency.errors import ImageError, MethodError, MetricError
from keras_saliency.methods import Method, SmoothGrad
from keras_saliency.methods import get as get_method
from keras_saliency.methods import names as method_names
from keras_saliency.metrics.registry import Metric
from keras_saliency.metrics.registry import get as get_metric
from keras_saliency.micro_batches import BatchSize

_READ = "help(keras_saliency.compare)"
_METRICS = ("deletion", "insertion", "sparseness")
_LOCATING = ("pointing_game", "energy_inside")  # where the objects are known


def compare(
    model: Any,
    images: Any,
    methods: str | Sequence[str | Method] | None = None,
    metrics: Sequence[str | Metric] | None = None,
    *,
    target: Any = None,
    preprocess: Any = "auto",
    batch_size: BatchSize = 8,
    seed: int = 0,
    boxes: Any = None,
    masks: Any = None,
    baseline: Any = None,
    names: Sequence[str] | None = None,
    warm: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Explain pictures by several methods, and score each map by several metrics.

    All methods explain the same: the predicted class is found once. A method that cannot work on
    the model becomes a line that says why.

    Args:
        model: A Keras 3 model, as in `explain`.
        images: Pictures, as in `explain`.
        methods: Names, methods with options, or ``"all"``. None takes ten that are quick:
            gradients, paths, backward rules, CAMs and occlusion.
        metrics: Names of `keras_saliency.metrics.registry`, or its metrics with other ``options``.
            None takes deletion, insertion and sparseness, and with ``boxes`` or ``masks`` the
            pointing game and the energy inside.
        target: As in `explain`.
        preprocess: As in `explain`.
        batch_size: As in `explain`, for methods and metrics.
        seed: For methods and metrics that draw.
        boxes: Where the objects are, for metrics that ask: for each picture a box ``(left, top,
            right, bottom)`` or several, in the pixels of the picture as it came. Maps are judged
            there too, at the picture's own size.
        masks: The same as bool arrays (H0, W0).
        baseline: What missing pixels are replaced with: a word, a number or an array, as methods
            take it. None is black, and a blur for insertion, as its paper has it.
        names: What the pictures are called; None takes their files' names.
        warm: Run each method twice and time the second run: the first one compiles.
        tell: Gets a line for each method that is done.

    Returns:
        A `Comparison`: ``print()``, ``plot()``, ``plot("scores")``, ``save()``, ``to_html()``.
        Metrics that watch a score watch the probability of the explained class: curves lie between
        0 and 1, ROAD between -0.5 and 0.5, drop and increase are percents. They watch the explained
        score itself where the target is no class, or where attributions must add up to it.
        ``completeness_error`` is measured from each method's own baseline.

    Raises:
        KerasSaliencyError: A picture, the target, or the name of a method or metric is refused; or
            a metric needs what was not given. What fails later is kept in the result.

    Example:
        >>> found = keras_saliency.compare(model, img, ["gradient", "grad_cam"], ["sparseness"])
        >>> found.values.shape
        (2, 1, 1)
    """
    check_batch_size(batch_size)
    chosen = labelled(_methods(methods))
    located = boxes is not None or masks is not None
    wanted = _METRICS + _LOCATING * located if metrics is None else _listed(metrics, MetricError)
    scored: dict[str, Metric] = labelled([get_metric(one) for one in wanted])
    adapter = Adapter(model)
    batch = prepare(adapter, images, preprocess)
    engine = _decided(adapter, targets.get(target), batch, batch_size)
    handed = Handing(
        engine,
        _sure(engine),
        _classes(adapter, engine, batch),
        seed,
        batch_size,
        baseline,
        handing.truth(boxes, masks, [one.original for one in batch.geometries]),
    )
    for metric in scored.values():
        handed.check(metric)
    if baseline is not None:
        engine.fill(baseline)  # refused now rather than after an hour
    called = _names(names, images, len(batch.images))

    explanations: dict[str, Explanation] = {}
    errors: dict[str, str] = {}
    values = np.full((len(chosen), len(scored), len(batch.images)), np.nan)
    metric_errors: dict[tuple[str, str], str] = {}
    for m, (label, method) in enumerate(chosen.items()):
        try:
            for _ in range(1 + warm):
                started = time.perf_counter()
                fresh = engine.explaining(engine.target)
                explanations[label] = attributed(
                    model, batch, fresh, method, seed, batch_size, started
                )
        except Exception as error:  # one method shall not cost the others
            errors[label] = handing.reason(error)
        if tell is not None:
            tell(f"{label}: {errors.get(label) or _seconds(explanations[label])}")
        if label not in explanations:
            continue
        rows = enumerate(scored.items())
        for k, (name, metric) in progress.track(rows, len(scored), f"scoring {label}"):
            values[m, k], why = handed.numbers(metric, method, explanations[label])
            if why:
                metric_errors[label, name] = _reasons(why, called)
    seconds = [
        explanations[one].info["seconds"] if one in explanations else np.nan for one in chosen
    ]
    return Comparison(
        methods=tuple(chosen),
        metrics=tuple(scored),
        values=values,
        seconds=np.array(seconds, np.float64),
        explanations=explanations,
        errors=errors,
        metric_errors=metric_errors,
        higher_is_better=tuple(metric.higher_is_better for metric in scored.values()),
        names=called,
        pictures=batch.originals,
        info={
            "target": [str(one) for one in engine.target.describe(len(called))],
            "score": engine.target.score,
            "watched": handed.sure.target.score,
            "seed": seed,
            "batch_size": batch_size,
            "baseline": "black, a blur for insertion" if baseline is None else _told(baseline),
            "preprocess": batch.preprocess.name if batch.preprocess else "given as floats",
            "warm": warm,
            **provenance.of_run(model),
        },
    )


def _methods(given: Any) -> list[Method]:
    """Return the methods that are meant."""
    if given is None:
        quick = ["guided_backprop", "lrp", "deep_lift", "grad_cam", "layer_cam", "hires_cam"]
        given = ["gradient", SmoothGrad(samples=25), "integrated_gradients", *quick, "occlusion"]
    elif given == "all":
        given = method_names()
    return [get_method(one) for one in _listed(given, MethodError)]


def _listed(given: Any, error: type[MethodError] | type[MetricError]) -> list[Any]:
    """Return one or several things as a list."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    if not several and error is MethodError:
        raise MethodError(
            "Methods were to be compared.", "None was given.", "Give one or more.", _READ
        )
    return several


def _decided(
    adapter: Adapter, target: targets.Target, batch: Batch, batch_size: BatchSize
) -> Engine:
    """Return an engine whose target leaves nothing open: the predicted class is a class now."""
    engine = Engine(adapter, target, batch, batch_size)
    _ = engine.scores
    return engine.explaining(engine.target)


def _sure(engine: Engine) -> Engine:
    """Return an engine whose score is the probability of the explained class, if there is one."""
    if not isinstance(engine.target, targets.Class):
        return engine
    return engine.explaining(replace(engine.target, score="probability"))


def _classes(adapter: Adapter, engine: Engine, batch: Batch) -> int | None:
    """Return how many classes there are, if the target is one."""
    if not isinstance(engine.target, targets.Class):
        return None
    return programs.output_shape(adapter, engine.target, batch)[-1]


def _names(given: Sequence[str] | None, images: Any, count: int) -> tuple[str, ...]:
    """Return what the pictures are called."""
    if given is not None:
        if isinstance(given, str) or len(given) != count:
            raise ImageError(
                f"names={given!r} were given.",
                f"There are {count} pictures.",
                "Give one name for each.",
                _READ,
            )
        return tuple(map(str, given))
    numbers = [f"picture {i + 1}" for i in range(count)]
    several = numbers if isinstance(images, Mapping) else pictures.apart(images)
    if len(several) != count:
        return tuple(numbers)
    both = zip(several, numbers, strict=True)
    return tuple(Path(p).name if isinstance(p, str | PathLike) else number for p, number in both)


def _reasons(why: Mapping[int, str], names: Sequence[str]) -> str:
    """Return why pictures have no number, each reason once, with the pictures' names."""
    alike: dict[str, list[str]] = {}
    for row, said in why.items():
        alike.setdefault(said, []).append(names[row])
    if len(alike) == 1 and len(why) == len(names):
        return next(iter(alike))
    return " ".join(f"{', '.join(some)}: {said}" for said, some in alike.items())


def _seconds(found: Explanation) -> str:
    return f"{found.info['seconds']:.2f} s"


def _told(baseline: Any) -> Any:
    plain = isinstance(baseline, str | int | float)
    return baseline if plain else f"array of shape {np.shape(baseline)}"

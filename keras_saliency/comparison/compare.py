"""compare(): many methods on the same pictures, or other inputs, scored by many metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_saliency import targets
from keras_saliency._engine import weights
from keras_saliency._engine.engine import Engine
from keras_saliency._engine.micro_batches import BatchSize
from keras_saliency._explain import adapted, attributed, check_batch_size, check_seed
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.configuration import KerasModel
from keras_saliency._inputs import pictures, text
from keras_saliency._inputs.batch import Batch, prepare
from keras_saliency._inputs.geometry import BoxLike
from keras_saliency._inputs.kinds import Kind, KindName
from keras_saliency._inputs.pictures import ModelInputs
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency._io import progress
from keras_saliency._io.files import shown
from keras_saliency._results import provenance
from keras_saliency._results.explanation import Explanation
from keras_saliency.comparison import metric_inputs
from keras_saliency.comparison import objects as objects_of
from keras_saliency.comparison.labels import labelled
from keras_saliency.comparison.metric_inputs import MetricInputs
from keras_saliency.comparison.result import Comparison
from keras_saliency.errors import ImageError, MethodError, MetricError, _arguments
from keras_saliency.methods import Method, SmoothGrad
from keras_saliency.methods import get as get_method
from keras_saliency.methods import names as method_names
from keras_saliency.metrics.registry import Metric
from keras_saliency.metrics.registry import get as get_metric
from keras_saliency.targets.base import TargetLike

_READ = "help(keras_saliency.compare)"
_METRICS = ("deletion", "insertion", "sparseness")
_LOCATING = ("pointing_game", "energy_inside")  # where the objects are known


@weights.on_one_state
def compare(
    model: KerasModel,
    images: ModelInputs,
    methods: str | Method | Sequence[str | Method | type[Method]] | None = None,
    metrics: str | Metric | Sequence[str | Metric] | None = None,
    *,
    target: TargetLike = None,
    preprocess: Preprocessing = "auto",
    batch_size: BatchSize = 8,
    seed: int = 0,
    boxes: Sequence[BoxLike | Sequence[BoxLike]] | np.ndarray | None = None,
    masks: Sequence[npt.ArrayLike] | np.ndarray | None = None,
    baseline: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    warm: bool = False,
    tell: Callable[[str], None] | None = None,
    kind: KindName | None = None,
) -> Comparison:
    """Explain pictures by several methods, and score each map by several metrics.

    All methods explain the same target: the predicted class is computed once. A method that cannot
    work on the model becomes a line with the reason. Signals, volumes, videos, texts and tables are
    compared in the same way.

    Args:
        model: A Keras 3 model, as in `explain`.
        images: Pictures or other inputs, as in `explain`.
        methods: Names, methods with options, or ``"all"``. None takes ten quick ones: gradients,
            paths, backward rules, CAMs and occlusion. Of these and of ``"all"`` a method that has
            no meaning for the kind of input becomes a line too.
        metrics: Names of `keras_saliency.metrics.registry`, or its metrics with other ``options``.
            None takes deletion, insertion and sparseness, and with ``boxes`` or ``masks`` the
            pointing game and the energy inside.
        target: As in `explain`.
        preprocess: As in `explain`.
        batch_size: As in `explain`, for methods and metrics.
        seed: For methods and metrics that draw.
        boxes: The objects, for metrics that need them: for each picture a box ``(top, left,
            bottom, right)`` or several, in the pixels of the original picture. A box may be a
            `keras_saliency.Box` or a dict with these names, too. Maps are scored at the picture's
            own size.
        masks: The same as bool arrays (H0, W0); of other inputs in their spatial axes, such as (T,)
            of a signal. Those have no boxes.
        baseline: The replacement of missing pixels: a word, a number or an array, as in methods.
            None is black, and a blur for insertion, as in its paper. Of other inputs black is 0
            (of a text the embedding 0); texts and tables, whose values have no neighbours, have no
            blur. For a table the mean of the training data, ``data.mean(axis=0)``, says more.
        names: Names of the pictures; None takes their files' names.
        warm: Run each method twice and time the second run: the first one compiles.
        tell: Called with a line of text after each method.
        kind: As in `explain`.

    Returns:
        A `Comparison`: ``print()``, ``plot()``, ``plot("scores")``, ``save()``, ``to_html()``.
        Metrics of a score use the probability of the explained class: curves lie between 0 and 1,
        ROAD between -0.5 and 0.5, drop and increase are percents. They use the explained score
        itself if the target is no class, or if attributions must add up to it.
        ``completeness_error`` is measured from each method's own baseline.

    Raises:
        KerasSaliencyError: A picture, the target, or the name of a method or metric is wrong; a
            method or metric that was named has no meaning for the kind of input; or a metric needs
            an argument that is missing. Later failures are stored in the result.

    Example:
        >>> result = keras_saliency.compare(model, img, ["gradient", "grad_cam"], ["sparseness"])
        >>> result.values.shape
        (2, 1, 1)
    """
    batch_size, seed = check_batch_size(batch_size), check_seed(seed)
    chosen = labelled(_methods(methods))
    located = boxes is not None or masks is not None
    wanted = _METRICS + _LOCATING * located if metrics is None else _listed(metrics, MetricError)
    scored: dict[str, Metric] = labelled([get_metric(one) for one in wanted])
    adapter = text.adapter(model)
    batch = prepare(adapter, images, preprocess, kind)
    named = methods is not None and not _arguments.is_word(methods, ("all",))
    errors = _without_meaning(chosen, batch.kind, named)
    engine = _decided(adapter, targets.get(target), batch, batch_size)
    metric_arguments = MetricInputs(
        engine,
        _sure(engine),
        _classes(engine),
        seed,
        batch_size,
        baseline,
        objects_of.ground_truth_masks(boxes, masks, [one.original for one in batch.geometries]),
    )
    for metric in scored.values():
        metric_arguments.check(metric)
    if baseline is not None:
        engine.fill(baseline)  # raises now rather than after an hour
    called = _names(names, images, len(batch.images), batch.kind)

    explanations: dict[str, Explanation] = {}
    values = np.full((len(chosen), len(scored), len(batch.images)), np.nan)
    metric_errors: dict[tuple[str, str], str] = {}
    for m, (label, method) in enumerate(chosen.items()):
        try:
            for _ in range(0 if label in errors else 1 + warm):
                started = time.perf_counter()
                current = adapted(model, method)
                fresh = Engine(current, engine.target, batch, batch_size)
                explanations[label] = attributed(
                    current, batch, fresh, method, seed, batch_size, started
                )
        except Exception as error:  # one method must not stop the others
            errors[label] = metric_inputs.reason(error)
        if tell is not None:
            tell(f"{label}: {errors.get(label) or _seconds(explanations[label])}")
        if label not in explanations:
            continue
        rows = enumerate(scored.items())
        for k, (name, metric) in progress.track(rows, len(scored), f"scoring {label}"):
            values[m, k], why = metric_arguments.numbers(metric, method, explanations[label])
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
            "watched": metric_arguments.sure.target.score,
            "seed": seed,
            "batch_size": batch_size,
            "baseline": _usual(batch.kind) if baseline is None else _described(baseline),
            "kind": batch.kind.name,
            "preprocess": batch.preprocessed,
            "warm": warm,
            **provenance.of_run(model),
        },
    )


def _methods(methods: Any) -> list[Method]:
    """Return the methods of compare()'s argument."""
    if methods is None:
        quick = ["guided_backprop", "lrp", "deep_lift", "grad_cam", "layer_cam", "hires_cam"]
        methods = ["gradient", SmoothGrad(samples=25), "integrated_gradients", *quick, "occlusion"]
    elif _arguments.is_word(methods, ("all",)):
        methods = method_names()
    return [get_method(one) for one in _listed(methods, MethodError)]


def _without_meaning(methods: Mapping[str, Method], kind: Kind, named: bool) -> dict[str, str]:
    """Return why methods have no meaning for a kind of input, by their labels.

    Raises:
        MethodError: There are any, and the caller named them.
    """
    result = {
        label: metric_inputs.reason(method.not_for(kind))
        for label, method in methods.items()
        if kind.name not in method.kinds
    }
    if result and named:
        fitting = [one for one in method_names() if kind.name in get_method(one).kinds]
        raise MethodError(
            f"Expected methods that have a meaning for {kind.one}, {kind.shape}.",
            f"Got {', '.join(result)}, which {'have' if len(result) > 1 else 'has'} none.",
            f"Leave {'them' if len(result) > 1 else 'it'} out. Those that have: "
            f"{', '.join(fitting)}.",
            _READ,
        )
    return result


def _listed(items: Any, error: type[MethodError] | type[MetricError]) -> list[Any]:
    """Return one or several methods or metrics as a list."""
    several = list(items) if isinstance(items, list | tuple) else [items]
    if not several and error is MethodError:
        raise MethodError(
            "Expected one or more methods to compare.", "Got none.", "Pass one or more.", _READ
        )
    return several


def _decided(
    adapter: Adapter, target: targets.Target, batch: Batch, batch_size: BatchSize
) -> Engine:
    """Return an engine with a fixed target: the predicted class is a class now."""
    engine = Engine(adapter, target, batch, batch_size)
    return engine.with_target(engine.chosen_target)


def _sure(engine: Engine) -> Engine:
    """Return an engine whose score is the probability of the explained class, if there is one."""
    if not isinstance(engine.target, targets.Class):
        return engine
    return engine.with_target(replace(engine.target, score="probability"))


def _classes(engine: Engine) -> int | None:
    """Return the number of classes, or None if the target is no class."""
    if not isinstance(engine.target, targets.Class):
        return None
    return engine.output_shape[-1]


def _names(names: Sequence[str] | None, images: Any, count: int, kind: Kind) -> tuple[str, ...]:
    """Return the names of the pictures, or of inputs of another kind."""
    if names is not None:
        if np.ndim(names) != 1 or len(names) != count:
            raise ImageError(
                f"Expected {count} names, one for each {kind.noun}.",
                f"Got names={names!r}.",
                f"Pass one name for each {kind.noun}.",
                _READ,
            )
        return tuple(shown(str(name)) for name in names)
    numbers = [f"{kind.noun} {i + 1}" for i in range(count)]
    no_files = isinstance(images, Mapping) or kind.is_embedded  # a text is no file's name
    several = numbers if no_files else pictures.apart(images)
    if len(several) != count:
        return tuple(numbers)
    both = zip(several, numbers, strict=True)
    return tuple(
        shown(Path(os.fsdecode(p)).name) if isinstance(p, str | PathLike) else number
        for p, number in both
    )


def _reasons(why: Mapping[int, str], names: Sequence[str]) -> str:
    """Return the reasons why pictures have no number, each once, with the pictures' names."""
    alike: dict[str, list[str]] = {}
    for row, said in why.items():
        alike.setdefault(said, []).append(names[row])
    if len(alike) == 1 and len(why) == len(names):
        return next(iter(alike))
    return " ".join(f"{', '.join(some)}: {said}" for said, some in alike.items())


def _seconds(result: Explanation) -> str:
    return f"{result.info['seconds']:.2f} s"


def _usual(kind: Kind) -> str:
    """Return the baseline where the caller passes none."""
    return "black, a blur for insertion" if kind.has_neighbours else "black"


def _described(baseline: Any) -> Any:
    plain = isinstance(baseline, str | int | float)
    return baseline if plain else f"array of shape {np.shape(baseline)}"

"""explain(): the whole pipeline, from picture to map."""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_saliency import methods, targets
from keras_saliency._engine import weights
from keras_saliency._engine.engine import Engine
from keras_saliency._engine.micro_batches import BatchSize
from keras_saliency._graph import Head
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import ModelCache
from keras_saliency._graph.paths import KerasModel
from keras_saliency._inputs import preprocessing, resampling, text
from keras_saliency._inputs.batch import Batch, prepare
from keras_saliency._inputs.kinds import KindName
from keras_saliency._inputs.pictures import ModelInputs
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency._io.encoding import plain
from keras_saliency._results import provenance
from keras_saliency._results.explanation import Explanation
from keras_saliency._results.joint import JointExplanation
from keras_saliency.errors import MethodError, _arguments
from keras_saliency.methods import Attribution, Method
from keras_saliency.methods.base import ZERO, why_map_is_zero
from keras_saliency.targets.base import TargetLike

_READ = "help(keras_saliency.explain)"
_TOP_CLASS = targets.TopClass()
_LARGE_ERROR = 0.1  # of the score gap
_LARGE_ON_PADDING = 0.01  # of the map's sum of absolute values
_RESERVED = {
    "backend", "batch_size", "checksums", "features", "kind", "method", "model", "model_sha256",
    "parameters", "pictures", "preprocess", "schema_version", "score", "seconds", "seed", "signed",
    "versions", "words",
}  # fmt: skip


def explain(
    model: KerasModel,
    image: ModelInputs,
    method: str | Method | type[Method] = "gradient",
    *,
    target: TargetLike = None,
    preprocess: Preprocessing = "auto",
    batch_size: BatchSize = 8,
    seed: int = 0,
    kind: KindName | None = None,
    inputs: str | Sequence[str] | None = None,
) -> Explanation | JointExplanation:
    """Show where a Keras model looks.

    The model is left unchanged. The first call on a model compiles; later calls with other
    pictures, classes or weights do not.

    Args:
        model: A Keras 3 model: Functional, Sequential (built or not) or subclassed.
        image: A picture (path, ``PIL.Image``, (H, W) or (H, W, C) array), a batch (B, H, W, C), or
            a list of pictures, which may differ in size. uint8 pixels, paths and PIL images are
            resized to the model's input and preprocessed; float arrays count as preprocessed, and
            are refused where they cannot be. Or what else the model takes: a signal, a volume, a
            video or a table as an array, a batch, a list or paths of files (``.npy``, ``.npz``,
            ``.csv``, ``.wav``, ``.nii``, ``.gif``, ``.mp4``); a DataFrame, the names of its columns
            kept in ``info["features"]``; a text or a list of texts, where the model has a
            tokenizer, its tokens kept in ``info["words"]``. For a model with several inputs a dict
            by input name: the first entry that takes pictures is explained, the others are held
            fixed.
        method: A name from ``keras-saliency methods``, or a method with options such as
            ``methods.IntegratedGradients(steps=100)``.
        target: What is explained: ``None`` the predicted class, an int a class, a list of ints a
            class for each picture, an object of `keras_saliency.targets`, or a callable
            ``outputs -> (B,)`` scores. The score is the logit unless the target says otherwise.
        preprocess: ``"auto"`` (a keras_hub task's own; none for models that rescale by themselves;
            that of ``keras.applications`` for its networks, recognised by their layers),
            ``"caffe"``, ``"tf"``, ``"torch"``, ``None`` (pixels 0..255 unchanged), a callable of a
            float32 batch of pixels 0..255, or a ``preprocessing.Preprocess``.
        batch_size: Pictures (or variants of them) that go through the model at once. More costs
            memory; on JAX and TensorFlow it can be a quarter faster, on PyTorch it is slower.
            ``"auto"`` begins with 8, takes more while that is faster, and fewer where memory runs
            out: worth it for many pictures or long methods.
        kind: ``"picture"``, ``"signal"``, ``"volume"``, ``"video"``, ``"tokens"`` or ``"table"``;
            None finds it in the layers that take the input, or asks.
        inputs: Of a model with several inputs, which are explained: a name, or ``"all"`` or a list
            of names, together along one joint path: the result is then a `JointExplanation`.
        seed: For methods that draw random numbers. The same seed gives the same map.

    Returns:
        An `Explanation`: ``values`` (B, H, W) float32, ``attributions`` (B, H, W, C) or None,
        ``maps()`` in each picture's own frame, ``plot()``, ``save()``.

    Raises:
        KerasSaliencyError: See `keras_saliency.errors`; each message says what to do.

    Example:
        >>> import keras_saliency
        >>> from keras_saliency.pretrained import efficientnet_lite0, sample_photo
        >>> e = keras_saliency.explain(efficientnet_lite0(), sample_photo(), "grad_cam")
        >>> e.labels
        ('espresso',)
    """
    started = time.perf_counter()
    batch_size, seed = check_batch_size(batch_size), check_seed(seed)
    chosen, options = _named(method) if type(method) is str else (methods.get(method), None)
    adapter = adapted(model, chosen, preprocess)
    batch = prepare(adapter, image, preprocess, kind, inputs)
    if batch.kind.name not in chosen.kinds:
        raise chosen.not_for(batch.kind)
    explained = _TOP_CLASS if target is None else targets.get(target)
    engine = Engine(adapter, explained, batch, batch_size)
    result = attributed(adapter, batch, engine, chosen, seed, batch_size, started, options)
    for row, check in enumerate(result.checks):
        for finding in check["findings"]:
            warnings.warn(f"picture {row}: {finding}", stacklevel=2)
    return result


@functools.lru_cache
def _named(name: str) -> tuple[Method, dict[str, Any]]:
    """Return a method by its name, and its options for the manifest."""
    method = methods.get(name)
    return method, _options(method)


def _options(method: Method) -> dict[str, Any]:
    return {"method": method.name, "parameters": plain(method.parameters())}


def adapted(model: Any, method: Method, preprocess: Any = None) -> Adapter:
    """Return a model for one call, whose configuration is read once if no other code can change it.

    Raises:
        ModelError: It is not a Keras 3 model.
    """
    own = _is_own(method) and not callable(preprocess)
    adapter = text.adapter(model)
    adapter.cache = ModelCache(adapter.model, within_call=own)
    return adapter


def _is_own(method: Method) -> bool:
    """Whether a method, and each that it runs, is one of this package."""
    inner = [one for one in vars(method).values() if isinstance(one, Method)]
    return type(method).__module__.startswith("keras_saliency.") and all(map(_is_own, inner))


def attributed(
    adapter: Adapter,
    batch: Batch,
    engine: Engine,
    method: Method,
    seed: int,
    batch_size: BatchSize,
    started: float,
    options: Mapping[str, Any] | None = None,
) -> Explanation | JointExplanation:
    """Return the explanation of a prepared batch; findings go to ``checks``, without warnings.

    Args:
        adapter: The model.
        batch: The pictures.
        engine: The model, these pictures and a target.
        method: The method.
        seed: Of its random numbers.
        batch_size: That of the engine, for the manifest.
        started: Start time, by ``time.perf_counter``.
        options: The method's entries of the manifest, where they are known.
    """

    def run(attempt: int) -> tuple[Engine, Attribution]:
        current = engine.with_target(engine.target) if attempt else engine
        result = method.attribute(current, seed)
        _ = current.scores
        return current, result

    model = adapter.model
    (engine, result), digest = weights.consistently(model, run, hashed=True)
    _check_info(method, result.info)
    if engine.is_grid(result.values):
        attributions, values = None, resampling.resize(result.values, batch.images.shape[1:-1])
    else:
        attributions = result.values.astype(np.float32, copy=False)
        values = method.to_map(result.values).astype(np.float32, copy=False)
    values, attributions, padded = _without_padding(batch, values, attributions)
    aux = engine.aux
    shown = _Shown.of(engine)
    whole = Explanation(
        values=values,
        attributions=None if attributions is None else batch.kind.as_given(attributions),
        scores=engine.scores,
        probabilities=aux.get("probability") if shown.is_class else None,
        targets=tuple(engine.chosen_target.describe(len(values))),
        labels=shown.labels(adapter, aux.get("index"), len(values)),
        pictures=batch.originals,
        geometries=batch.geometries,
        signed=method.signed,
        checks=_checks(
            method,
            result,
            values,
            engine,
            (batch.findings, padded, shown.findings(aux.get("index"))),
            _notes(adapter),
        ),
        info={
            "kind": batch.kind.name,
            **batch.facts,
            **(copy.deepcopy(options) if options else _options(method)),
            "score": engine.target.score,
            "seed": seed,
            "preprocess": batch.preprocessed,
            "batch_size": batch_size,
            **_plain(result.info),
            "model": model.name,
            **provenance.of_backend(),
            "seconds": round(time.perf_counter() - started, 4),
        },
        model_sha256=digest,
    )
    return _by_input(whole, batch, method, result.values) if batch.parts else whole


def _by_input(
    whole: Explanation, batch: Batch, method: Method, values: np.ndarray
) -> JointExplanation:
    """Return the explanation of several inputs as one of each."""
    parts = {}
    for name, its in batch.apart(values).items():
        part = (batch.parts or {})[name]
        parts[name] = dataclasses.replace(
            whole,
            values=method.to_map(its).astype(np.float32, copy=False),
            attributions=part.kind.as_given(its.astype(np.float32, copy=False)),
            pictures=part.originals,
            geometries=part.geometries,
            info={**whole.info, "kind": part.kind.name, **part.facts},
        )
    return JointExplanation(parts)


def _without_padding(
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


def check_batch_size(batch_size: Any) -> BatchSize:
    """Return a number of pictures as Python's int, or ``"auto"``.

    Raises:
        MethodError: It is neither ``"auto"`` nor a whole number above 0.
    """
    if type(batch_size) is int and 0 < batch_size <= sys.maxsize:
        return batch_size
    if isinstance(batch_size, str) and batch_size == "auto":
        return "auto"
    fix = "Leave it at 8, or pass 'auto'."
    whole = _arguments.integer(batch_size, "batch_size", MethodError, _READ, fix=fix)
    return min(whole, sys.maxsize)  # all at once


def check_seed(seed: Any) -> int:
    """Return a seed as Python's int.

    Raises:
        MethodError: It is not a whole number of 0 or more.
    """
    return seed if type(seed) is int and seed >= 0 else _arguments.seed(seed, MethodError, _READ)


def _plain(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's own entries of the manifest as plain data."""
    if all(type(one) in (bool, int, float, str) for one in (*info, *info.values())):
        return dict(info)
    return plain(dict(info))


def _notes(adapter: Adapter) -> tuple[str, ...]:
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


def _check_info(method: Method, info: Mapping[str, Any]) -> None:
    """Refuse an ``info`` of a method that would replace an entry by `attributed`.

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


@dataclasses.dataclass(frozen=True)
class _Shown:
    """Whether the explained output is shown to be a class."""

    is_class: bool
    head: Head | None = None  # the evidence, where there is no softmax or sigmoid
    predicted: bool = False

    @classmethod
    def of(cls, engine: Engine) -> _Shown:
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


def _checks(
    method: Method,
    result: Attribution,
    values: np.ndarray,
    engine: Engine,
    more: Sequence[Sequence[tuple[str, ...]]],
    notes: tuple[str, ...],
) -> tuple[dict[str, Any], ...]:
    """Return, for each picture, the method's own measurements and the findings."""
    checks, scores = [], engine.scores
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
        checks.append({**numbers, "findings": (*findings, *notes)})
    return tuple(checks)

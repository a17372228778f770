"""explain(): the whole river, from picture to map."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from keras_saliency import methods, postprocess, preprocessing, provenance, targets
from keras_saliency._explanation import Explanation
from keras_saliency.adapter import Adapter
from keras_saliency.batch import Batch, prepare
from keras_saliency.engine import Engine
from keras_saliency.errors import MethodError
from keras_saliency.methods import Attribution, Method
from keras_saliency.micro_batches import BatchSize

_LARGE_ERROR = 0.1  # of the score gap


def explain(
    model: Any,
    image: Any,
    method: str | Method = "gradient",
    *,
    target: Any = None,
    preprocess: Any = "auto",
    batch_size: BatchSize = 8,
    seed: int = 0,
) -> Explanation:
    """Show where a Keras model looks.

    The model is left exactly as found. The first call on a model compiles; later calls with other
    pictures, classes or weights do not.

    Args:
        model: A Keras 3 model: Functional, Sequential (built or not) or subclassed.
        image: A picture (path, ``PIL.Image``, (H, W) or (H, W, C) array), a batch (B, H, W, C), or
            a list of pictures, which may differ in size. uint8 pixels, paths and PIL images are
            resized to the model's input and preprocessed; float arrays count as preprocessed. For
            a model with several inputs a dict by input name: the first entry that takes pictures
            is explained, the others are held fixed.
        method: A name from ``keras-saliency methods``, or a method with options such as
            ``methods.IntegratedGradients(steps=100)``.
        target: What is explained: ``None`` the predicted class, an int a class, a list of ints a
            class for each picture, an object of `keras_saliency.targets`, or a callable
            ``outputs -> (B,)`` scores. The score is the logit unless the target says otherwise.
        preprocess: ``"auto"`` (that of ``keras.applications`` for its networks, none for models
            that rescale by themselves), ``"caffe"``, ``"tf"``, ``"torch"``, ``None`` (pixels
            0..255 as they are), a callable of a float32 batch of pixels 0..255, or a
            ``preprocessing.Preprocess``.
        batch_size: Pictures (or variants of them) that go through the model at once. More costs
            memory; on JAX and TensorFlow it can be a quarter faster, on PyTorch it is slower.
            ``"auto"`` begins with 8, takes more while that is faster, and fewer where memory runs
            out: worth it for many pictures or long methods.
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
    check_batch_size(batch_size)
    chosen = methods.get(method)
    adapter = Adapter(model)
    batch = prepare(adapter, image, preprocess)
    engine = Engine(adapter, targets.get(target), batch, batch_size)
    found = attributed(model, batch, engine, chosen, seed, batch_size, started)
    for row, check in enumerate(found.checks):
        for finding in check["findings"]:
            warnings.warn(f"picture {row}: {finding}", stacklevel=2)
    return found


def attributed(
    model: Any,
    batch: Batch,
    engine: Engine,
    method: Method,
    seed: int,
    batch_size: BatchSize,
    started: float,
) -> Explanation:
    """Return what a method finds on pictures that are ready; findings are kept, not warned of.

    Args:
        model: The model.
        batch: The pictures.
        engine: The model, these pictures and a target.
        method: The method.
        seed: For what it draws.
        batch_size: That of the engine, for the manifest.
        started: When the work began, by ``time.perf_counter``.
    """
    found = method.attribute(engine, seed)
    frame = batch.images.shape[1:3]
    if found.is_grid:
        attributions, values = None, postprocess.resize(found.values, frame)
    else:
        attributions = found.values.astype(np.float32, copy=False)
        values = method.to_map(found.values).astype(np.float32, copy=False)
    learnt = engine.learnt
    return Explanation(
        values=values,
        attributions=attributions,
        scores=engine.scores,
        probabilities=learnt.get("probability"),
        targets=tuple(engine.target.describe(len(values))),
        labels=_labels(model, learnt.get("index"), len(values)),
        pictures=batch.originals,
        geometries=batch.geometries,
        signed=method.signed,
        checks=_checks(found, values, engine.scores),
        info={
            "method": method.name,
            "parameters": method.parameters(),
            "score": engine.target.score,
            "seed": seed,
            "preprocess": batch.preprocess.name if batch.preprocess else "given as floats",
            "batch_size": batch_size,
            **found.info,
            **provenance.of_run(model),
            "seconds": round(time.perf_counter() - started, 4),
        },
        model_hash=provenance.model_hash(model),
    )


def check_batch_size(batch_size: Any) -> None:
    """Refuse what is no number of pictures.

    Raises:
        MethodError: It is not a whole number above 0.
    """
    if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
        raise MethodError(
            f"batch_size={batch_size!r} was asked for.",
            "It must be a whole number above 0, or 'auto'.",
            "Leave it at 8.",
            "help(keras_saliency.explain)",
        )


def _labels(model: Any, index: np.ndarray | None, count: int) -> tuple[str, ...]:
    """Return class names where the model is a known ImageNet network, class numbers elsewhere."""
    if index is None:
        return ("",) * count
    names = preprocessing.class_names(model)
    return tuple(names[i] if names else f"class {i}" for i in index.tolist())


def _checks(
    found: Attribution, values: np.ndarray, scores: np.ndarray
) -> tuple[dict[str, Any], ...]:
    """Return, for each picture, what the method measured of itself and what looks wrong."""
    checks = []
    for row, value in enumerate(values):
        numbers = {name: float(each[row]) for name, each in found.checks.items()}
        findings = list(found.findings[row]) if found.findings else []
        broken = int((~np.isfinite(found.values[row])).sum())
        if not np.isfinite(scores[row]):
            findings.append("the score is NaN or infinite: the map explains nothing")
        if broken:
            findings.append(f"{broken} attributions are NaN or infinite")
        elif not value.any():
            findings.append("the map is 0 everywhere: the score does not answer to the picture")
        error = numbers.get("completeness_error", 0.0)
        if error > _LARGE_ERROR:
            findings.append(f"attributions miss the score gap by {error:.0%}")
        checks.append({**numbers, "findings": tuple(findings)})
    return tuple(checks)

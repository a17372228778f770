"""predict_fixations(): from pictures to where people look."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from keras_saliency import progress, provenance
from keras_saliency.errors import FixationModelError
from keras_saliency.fixation import photos
from keras_saliency.fixation.prediction import FixationPrediction
from keras_saliency.fixation.predictor import Predictor, predictor
from keras_saliency.letterbox import Letterbox

_READ = "help(keras_saliency.predict_fixations)"


def predict_fixations(
    image: Any,
    model: Any = "default",
    *,
    batch_size: int = 1,
    mirror: bool | None = None,
) -> FixationPrediction:
    """Predict where people look at pictures in the first seconds of free viewing.

    The default model is inside the package: no download. The first call loads it and, on JAX and
    TensorFlow, compiles; later calls do neither.

    Args:
        image: A picture (path, ``PIL.Image``, (H, W) or (H, W, 3) uint8 array), a batch
            (B, H, W, 3), or a list of pictures, which may differ in size and aspect ratio. Each is
            laid on the model's canvas whole, its aspect ratio kept.
        model: ``"default"``, a folder that ``keras-saliency train`` or ``fixation.save_model``
            wrote, a ``.keras`` file, or a ``keras.Model`` as ``fixation.FixationModel`` builds.
        batch_size: Pictures that go through the model at once. On CPUs 1 is as fast a picture as
            any, or faster, and takes the least memory; a GPU likes 8.
        mirror: Whether to average (geometrically) over the picture and its mirror image, in twice
            the time; ``None`` does what the model's manifest says, which is no where it is silent.

    Returns:
        A `FixationPrediction`: ``values`` (B, H, W) float32, a density on the canvas; ``maps()``,
        the same in each picture's own frame; ``expected_fixations()``, ``plot()``, ``save()``.

    Raises:
        KerasSaliencyError: `ImageError` for a picture, `ModelFileError`, `ModelError` or
            `FixationModelError` for a model; each message says what to do.

    Example:
        >>> from keras_saliency.pretrained import sample_photo
        >>> p = predict_fixations(sample_photo())
        >>> p.values.shape, p.maps()[0].shape, round(float(p.maps()[0].sum()), 3)
        ((1, 512, 512), (400, 600), 1.0)
    """
    started = time.perf_counter()
    check(batch_size, mirror)
    pictures = photos.read(image)  # first: a bad picture shall not cost the loading of a model
    ready = predictor(model)
    mirror = ready.mirror if mirror is None else mirror
    boxes = [Letterbox.fitted(photo.pixels.shape[:2], ready.canvas) for photo in pictures]
    canvases = (box.apply(photo.rgb) for box, photo in zip(boxes, pictures, strict=True))

    densities = ready.log_densities(canvases, mirror, batch_size)
    log_density = np.stack(list(progress.track(densities, len(pictures), "pictures")))

    return FixationPrediction(
        log_density=log_density,
        pictures=tuple(photo.pixels for photo in pictures),
        letterboxes=tuple(boxes),
        names=tuple(photo.name for photo in pictures),
        info={
            **about(ready, mirror, batch_size),
            "seconds": round(time.perf_counter() - started, 4),
        },
        model_hash=provenance.model_hash(ready.model),
    )


def about(ready: Predictor, mirror: bool, batch_size: int) -> dict[str, Any]:
    """Return what a manifest says of predictions: canvas, mirror, model, backend, versions."""
    return {
        "side": max(ready.canvas),
        "mirror": mirror,
        "batch_size": batch_size,
        **provenance.of_run(ready.model),
    }


def check(batch_size: Any, mirror: Any) -> None:
    """Refuse options that cannot be used.

    Raises:
        FixationModelError: They are such.
    """
    whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
    if not whole or batch_size < 1:
        raise FixationModelError(
            f"batch_size={batch_size!r} was asked for.",
            "It must be a whole number above 0.",
            "Leave it at 1.",
            _READ,
        )
    if mirror not in (None, True, False):
        raise FixationModelError(
            f"mirror={mirror!r} was asked for.", "Known: True, False, None.", "Take one.", _READ
        )

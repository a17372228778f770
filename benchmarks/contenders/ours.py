"""keras-saliency: what a user of this package calls."""

from __future__ import annotations

from typing import Any

import keras  # noqa: F401  (what it takes to import it counts)
import numpy as np

from benchmarks.cases import CELLS, DRAWN, FIXATIONS, MASKS, SAMPLES, STEPS
from benchmarks.contenders import Entry, MakeEntry
from benchmarks.networks import Subject
from keras_saliency import explain, methods, predict_fixations

# What all others take for nothing is 0 in the network's input; black in the picture is ours.
_SETTINGS = {
    "integrated_gradients": "baseline=0.0",
    "occlusion": "fill=0.0, windows that touch",
    "rise": "fill=0.0",
}
_TERMS = {"smooth_grad": "drawn", "rise": "drawn", "grad_cam": "map"}


def load() -> MakeEntry:
    """Return `entry`; the package was imported with this module."""
    return entry


def entry(method: str, subject: Subject | None) -> Entry:
    """Return the call of explain() or predict_fixations()."""
    if method == FIXATIONS:
        return _fixations()
    assert subject is not None
    loaded, pictures, classes = subject.loaded, subject.pictures, subject.classes.tolist()
    model = loaded.with_softmax
    choices: dict[str, Any] = {
        "gradient": lambda: methods.Gradient(),
        "smooth_grad": lambda: methods.SmoothGrad(samples=SAMPLES),
        "integrated_gradients": lambda: methods.IntegratedGradients(steps=STEPS, baseline=0.0),
        "grad_cam": lambda: methods.GradCam(layer=loaded.layer),
        "occlusion": lambda: methods.Occlusion(
            window=subject.window, stride=subject.window, fill=0.0
        ),
        "rise": lambda: methods.RISE(masks=MASKS, cells=CELLS, fill=0.0),
    }
    chosen = choices[method]()

    def call(seed: int = 0) -> np.ndarray:
        result = explain(model, pictures, chosen, target=classes, seed=seed)
        return result.values if result.attributions is None else result.attributions

    again = (lambda: call(seed=1)) if method in DRAWN else None
    settings = _SETTINGS.get(method, "defaults")
    return Entry(call, settings, _TERMS.get(method, "equal"), again)


def _fixations() -> Entry:
    """Predict on one picture of 512x512 with the model that comes with the package."""
    from PIL import Image

    from keras_saliency.pretrained import sample_photo

    with Image.open(sample_photo()) as photo:
        picture = np.asarray(photo.convert("RGB").resize((512, 512)))
    return Entry(lambda: np.stack(predict_fixations(picture).maps()), "defaults")

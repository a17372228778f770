"""tf-keras-vis on a model that gives logits, so that nothing is cloned or replaced."""

from __future__ import annotations

import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils.scores import CategoricalScore

from benchmarks.cases import NOISE, SAMPLES
from benchmarks.contenders import Entry
from benchmarks.networks import Subject


def entry(method: str, subject: Subject) -> Entry:
    """Return its saliency, smoothed or not, with signs and channels, or its Grad-CAM."""
    model, score = subject.loaded.with_logits, CategoricalScore(subject.classes.tolist())
    saliency, grad_cam = (kind(model, clone=False) for kind in (Saliency, Gradcam))

    def slope(samples: int) -> np.ndarray:
        result = saliency(
            score, subject.pictures, smooth_samples=samples, smooth_noise=NOISE, keepdims=True,
            gradient_modifier=None, normalize_map=False,
        )  # fmt: skip
        return np.asarray(result)

    def cam() -> np.ndarray:
        return np.asarray(grad_cam(
            score, subject.pictures, penultimate_layer=subject.loaded.layer,
            seek_penultimate_conv_layer=False, normalize_cam=False,
        ))  # fmt: skip

    settings = "clone=False, gradient_modifier=None"
    return {
        "gradient": Entry(lambda: slope(0), settings),
        "smooth_grad": Entry(lambda: slope(SAMPLES), settings, "drawn"),
        "grad_cam": Entry(cam, "clone=False", "corners"),
    }[method]

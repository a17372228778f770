"""xplique on a model that gives logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xplique.attributions import (
    GradCAM,
    IntegratedGradients,
    Occlusion,
    Rise,
    Saliency,
    SmoothGrad,
)

from benchmarks.cases import CELLS, MASKS, SAMPLES, STEPS
from benchmarks.contenders import Entry
from benchmarks.networks import Subject

_BATCH = 32
_TERMS = {
    "gradient": "sizes",
    "smooth_grad": "drawn",
    "integrated_gradients": "another quadrature",
    "grad_cam": "another enlargement",
    "rise": "drawn",
}


def entry(method: str, subject: Subject) -> Entry:
    """Return its explainer of a method, made once: it keeps what it compiled."""
    model, window = subject.loaded.with_logits, subject.window
    kinds: dict[str, Callable[[], Any]] = {
        "gradient": lambda: Saliency(model, batch_size=_BATCH, reducer=None),
        "smooth_grad": lambda: SmoothGrad(
            model, batch_size=_BATCH, nb_samples=SAMPLES, noise=subject.noise, reducer=None
        ),
        "integrated_gradients": lambda: IntegratedGradients(
            model, batch_size=_BATCH, steps=STEPS, baseline_value=0.0, reducer=None
        ),
        "grad_cam": lambda: GradCAM(model, batch_size=_BATCH, conv_layer=subject.loaded.layer),
        "occlusion": lambda: Occlusion(
            model, batch_size=_BATCH, patch_size=window, patch_stride=window, occlusion_value=0.0
        ),
        "rise": lambda: Rise(model, batch_size=_BATCH, nb_samples=MASKS, grid_size=CELLS),
    }
    explainer = kinds[method]()
    targets = np.eye(model.output_shape[-1], dtype=np.float32)[subject.classes]

    def call() -> np.ndarray:
        result = explainer.explain(subject.pictures, targets).numpy()
        return result[..., 0] if result.ndim == 4 and result.shape[-1] == 1 else result

    return Entry(call, f"batch_size={_BATCH}", _TERMS.get(method, "equal"))

"""captum on the same network of torch.nn modules, channels first, memory channels last."""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam

from benchmarks.contenders import Entry
from benchmarks.contenders.captum_keras import attributed
from benchmarks.native import to_numpy, to_tensor
from benchmarks.subject import Subject


def entry(method: str, subject: Subject) -> Entry:
    """Return captum's way on channels-first tensors."""
    twin = subject.loaded.native
    if method == "grad_cam":
        return _grad_cam(subject)
    window = (3, subject.window, subject.window)
    return attributed(method, subject, twin, lambda: to_tensor(subject.pictures), to_numpy, window)


def _grad_cam(subject: Subject) -> Entry:
    twin, classes = subject.loaded.native, torch.tensor(subject.classes)
    grad_cam = LayerGradCam(twin, twin.layers[subject.loaded.layer])
    side = subject.loaded.side

    def call() -> np.ndarray:
        # Weights are frozen, so the pictures must ask for a gradient.
        found = grad_cam.attribute(
            to_tensor(subject.pictures, gradient=True), target=classes, relu_attributions=True
        )
        large = LayerAttribution.interpolate(found, (side, side), "bilinear")
        return large[:, 0].detach().cpu().numpy()

    return Entry(call, "relu_attributions=True, interpolate bilinear", "map")

"""pytorch-grad-cam on the network of torch.nn modules."""

from __future__ import annotations

import numpy as np

from benchmarks.contenders import Entry
from benchmarks.contenders.torch_modules import declare_torchvision_operators, to_tensor
from benchmarks.networks import Subject

declare_torchvision_operators()

from pytorch_grad_cam import GradCAM  # noqa: E402  (imports torchvision)
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402


def entry(method: str, subject: Subject) -> Entry:
    """Return its Grad-CAM; the hooks are set once."""
    twin = subject.loaded.native
    grad_cam = GradCAM(model=twin, target_layers=[twin.layers[subject.loaded.layer]])
    targets = [ClassifierOutputTarget(index) for index in subject.classes.tolist()]

    def call() -> np.ndarray:
        # Weights are frozen, so the pictures must ask for a gradient.
        return grad_cam(input_tensor=to_tensor(subject.pictures, gradient=True), targets=targets)

    return Entry(call, "frozen weights", "map")

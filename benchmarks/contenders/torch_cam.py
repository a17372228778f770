"""torch-cam on the network of torch.nn modules."""

from __future__ import annotations

import numpy as np
from torch.nn import functional

from benchmarks.contenders import Entry
from benchmarks.contenders.torch_modules import declare_torchvision_operators, to_tensor
from benchmarks.networks import Subject

declare_torchvision_operators()

from torchcam.methods import GradCAM  # noqa: E402  (may import torchvision)


def entry(method: str, subject: Subject) -> Entry:
    """Return its Grad-CAM, enlarged by PyTorch: the library leaves that to who draws it."""
    twin, classes = subject.loaded.native, subject.classes.tolist()
    side = subject.loaded.side
    grad_cam = GradCAM(twin, target_layer=twin.layers[subject.loaded.layer])

    def call() -> np.ndarray:
        # Weights are frozen, so the pictures must ask for a gradient.
        scores = twin(to_tensor(subject.pictures, gradient=True))
        (result,) = grad_cam(class_idx=classes, scores=scores)
        return functional.interpolate(result[:, None], (side, side), mode="bilinear")[:, 0].numpy()

    return Entry(call, "frozen weights, F.interpolate bilinear", "map")

"""captum, torch-cam and pytorch-grad-cam.

captum runs on the Keras model, which on PyTorch is a torch.nn.Module, and on torch.nn modules; the
other two on modules alone. Each loader imports its own library.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from benchmarks.cases import CHUNK, SAMPLES, STEPS
from benchmarks.contenders import Entry, MakeEntry
from benchmarks.contenders.torch_modules import (
    declare_torchvision_operators,
    to_numpy,
    to_tensor,
)
from benchmarks.networks import Subject


def torch_cam() -> MakeEntry:
    """torch-cam on the network of torch.nn modules."""
    declare_torchvision_operators()
    from torchcam.methods import GradCAM  # may import torchvision

    def entry(method: str, subject: Subject) -> Entry:
        """Return its Grad-CAM, enlarged by PyTorch: the library leaves that to who draws it."""
        twin, classes = subject.loaded.native, subject.classes.tolist()
        size = (subject.loaded.side, subject.loaded.side)
        grad_cam = GradCAM(twin, target_layer=twin.layers[subject.loaded.layer])

        def call() -> np.ndarray:
            # Weights are frozen, so the pictures must ask for a gradient.
            scores = twin(to_tensor(subject.pictures, gradient=True))
            (result,) = grad_cam(class_idx=classes, scores=scores)
            return functional.interpolate(result[:, None], size, mode="bilinear")[:, 0].numpy()

        return Entry(call, "frozen weights, F.interpolate bilinear", "map")

    return entry


def pytorch_grad_cam() -> MakeEntry:
    """pytorch-grad-cam on the network of torch.nn modules."""
    declare_torchvision_operators()
    from pytorch_grad_cam import GradCAM  # imports torchvision
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def entry(method: str, subject: Subject) -> Entry:
        """Return its Grad-CAM; the hooks are set once."""
        twin = subject.loaded.native
        grad_cam = GradCAM(model=twin, target_layers=[twin.layers[subject.loaded.layer]])
        targets = [ClassifierOutputTarget(index) for index in subject.classes.tolist()]

        def call() -> np.ndarray:
            # Weights are frozen, so the pictures must ask for a gradient.
            pictures = to_tensor(subject.pictures, gradient=True)
            return grad_cam(input_tensor=pictures, targets=targets)

        return Entry(call, "frozen weights", "map")

    return entry


def captum() -> MakeEntry:
    """captum on the Keras model, on channels-last pictures."""
    from captum import attr  # noqa: F401  (its time counts as the import's)

    return _captum_on_keras


def captum_on_modules() -> MakeEntry:
    """captum on channels-first tensors, channels last in memory."""
    from captum import attr  # noqa: F401  (its time counts as the import's)

    return _captum_on_modules


def _captum_on_keras(method: str, subject: Subject) -> Entry:
    model = subject.loaded.with_logits
    model.requires_grad_(False)
    device = next(model.parameters()).device
    return _attributed(
        method,
        subject,
        lambda x: model(x, training=False),
        lambda: torch.tensor(subject.pictures, device=device),
        lambda result: result.detach().cpu().numpy(),
        (subject.window, subject.window, 3),
    )


def _attributed(
    method: str,
    subject: Subject,
    forward: Callable[[torch.Tensor], torch.Tensor],
    pictures: Callable[[], torch.Tensor],
    numpy: Callable[[torch.Tensor], np.ndarray],
    window: tuple[int, ...],
) -> Entry:
    """Return captum's call of a method, in chunks of eight: its default is all in one batch.

    Args:
        method: What is timed.
        subject: What is explained.
        forward: From pictures as tensors to logits.
        pictures: Makes such tensors.
        numpy: Makes attributions (B, H, W, C) of such tensors.
        window: Occlusion's, in the order of the tensors' axes.
    """
    from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency

    classes = torch.tensor(subject.classes)
    at_once = max(1, CHUNK // subject.batch)

    def gradient() -> np.ndarray:
        return numpy(saliency.attribute(pictures(), target=classes, abs=False))

    def smooth_grad() -> np.ndarray:
        result = tunnel.attribute(
            pictures(), nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=at_once,
            stdevs=subject.noise, target=classes, abs=False,
        )  # fmt: skip
        return numpy(result)

    def integrated_gradients() -> np.ndarray:
        size = max(CHUNK, subject.batch)
        return numpy(integrated.attribute(
            pictures(), target=classes, n_steps=STEPS, internal_batch_size=size
        ))  # fmt: skip

    def occlusion() -> np.ndarray:
        result = covering.attribute(
            pictures(), sliding_window_shapes=window, strides=window, baselines=0, target=classes,
            perturbations_per_eval=at_once,
        )  # fmt: skip
        return numpy(result)[..., 0]  # a window covers all channels: they are alike

    saliency, integrated, covering = (
        kind(forward) for kind in (Saliency, IntegratedGradients, Occlusion)
    )
    tunnel = NoiseTunnel(saliency)
    return {
        "gradient": Entry(gradient, "defaults, abs=False"),
        "smooth_grad": Entry(smooth_grad, f"nt_samples_batch_size={at_once}", "drawn"),
        "integrated_gradients": Entry(integrated_gradients, f"internal_batch_size={CHUNK}"),
        "occlusion": Entry(occlusion, f"perturbations_per_eval={at_once}"),
    }[method]


def _captum_on_modules(method: str, subject: Subject) -> Entry:
    twin = subject.loaded.native
    if method == "grad_cam":
        return _captum_grad_cam(subject)
    window = (3, subject.window, subject.window)
    return _attributed(method, subject, twin, lambda: to_tensor(subject.pictures), to_numpy, window)


def _captum_grad_cam(subject: Subject) -> Entry:
    from captum.attr import LayerAttribution, LayerGradCam

    twin, classes = subject.loaded.native, torch.tensor(subject.classes)
    grad_cam = LayerGradCam(twin, twin.layers[subject.loaded.layer])
    side = subject.loaded.side

    def call() -> np.ndarray:
        # Weights are frozen, so the pictures must ask for a gradient.
        result = grad_cam.attribute(
            to_tensor(subject.pictures, gradient=True), target=classes, relu_attributions=True
        )
        large = LayerAttribution.interpolate(result, (side, side), "bilinear")
        return large[:, 0].detach().cpu().numpy()

    return Entry(call, "relu_attributions=True, interpolate bilinear", "map")

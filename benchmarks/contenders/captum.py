"""captum on the Keras model, which on PyTorch is a torch.nn.Module, and on torch.nn modules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import (
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)

from benchmarks.cases import CHUNK, SAMPLES, STEPS
from benchmarks.contenders import Entry
from benchmarks.contenders.torch_modules import to_numpy, to_tensor
from benchmarks.networks import Subject


def entry(method: str, subject: Subject) -> Entry:
    """Return captum's way on channels-last pictures."""
    model = subject.loaded.with_logits
    model.requires_grad_(False)
    device = next(model.parameters()).device
    return attributed(
        method,
        subject,
        lambda x: model(x, training=False),
        lambda: torch.tensor(subject.pictures, device=device),
        lambda result: result.detach().cpu().numpy(),
        (subject.window, subject.window, 3),
    )


def attributed(
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


def entry_of_modules(method: str, subject: Subject) -> Entry:
    """Return captum's way on channels-first tensors, channels last in memory."""
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
        result = grad_cam.attribute(
            to_tensor(subject.pictures, gradient=True), target=classes, relu_attributions=True
        )
        large = LayerAttribution.interpolate(result, (side, side), "bilinear")
        return large[:, 0].detach().cpu().numpy()

    return Entry(call, "relu_attributions=True, interpolate bilinear", "map")

"""One row a method: the table that the contract runs over. A new method adds its row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_saliency import methods
from keras_saliency.methods import Method


@dataclass(frozen=True)
class Case:
    """A method with cheap options, and what it must give on a linear network.

    ``on_linear(w, x)`` is the map (B, H, W) for y = sum(w * x), w and x of shape (B, H, W, C) and
    baseline 0. ``on_cam(a, v)`` is the grid (B, h, w) of a CAM for y = sum_k v_k mean(A_k).
    """

    method: Method
    on_linear: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    on_cam: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def __str__(self) -> str:
        return self.method.name


def _channel_max(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.abs(w).max(-1)


def _contribution(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (w * x).sum(-1)


CASES = [
    Case(methods.Gradient(), on_linear=_channel_max),
    Case(methods.InputXGradient(), on_linear=_contribution),
    Case(methods.SmoothGrad(samples=5), on_linear=_channel_max),
    Case(methods.IntegratedGradients(steps=24, baseline=0.0), on_linear=_contribution),
    Case(
        methods.GradCam(),
        on_cam=lambda a, v: np.maximum((a * v).sum(-1), 0) / (a.shape[1] * a.shape[2]),
    ),
    # A window of one pixel: the drop is that pixel's contribution.
    Case(methods.Occlusion(window=1, stride=1, fill=0.0), on_linear=_contribution),
]

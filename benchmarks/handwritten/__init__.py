"""Gradients as an expert of each backend writes them by hand, for a Keras model with logits."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Programs:
    """Compiled functions of one network; classes, rows and the rest are arguments of them.

    Args:
        gradient: (pictures, classes (B,)) -> gradients of the classes' logits, NumPy.
        scores: (pictures, classes (B,)) -> logits (B,), NumPy.
        grad_cam: (pictures, classes (B,)) -> maps of the layer (B, h, w), NumPy.
        path: (device pictures, classes, rows, steps, shares (n,)) -> on the device, the sum over
            the points ``steps * pictures[rows]`` of ``shares`` times the gradient, picture by
            picture (B, H, W, C). Classes are those of the points.
        noisy: (device pictures, classes, rows, noise, seed) -> on the device, the sum of gradients
            at pictures with normal noise, (B, H, W, C).
        to_device: Takes pictures there.
        to_numpy: Takes sums back.
    """

    gradient: Callable[[Array, Array], Array]
    scores: Callable[[Array, Array], Array]
    grad_cam: Callable[[Array, Array], Array]
    path: Callable[[Any, Array, Array, Array, Array], Any]
    noisy: Callable[[Any, Array, Array, float, int], Any]
    to_device: Callable[[Array], Any]
    to_numpy: Callable[[Any], Array]


def programs(model: Any, layer: str | None = None) -> Programs:
    """Return the programs of a model on this process's backend.

    Args:
        model: It gives logits. It may be changed: its weights are frozen on PyTorch.
        layer: Where Grad-CAM looks; everything must pass through it.
    """
    import keras

    module = importlib.import_module(f"benchmarks.handwritten.with_{keras.config.backend()}")
    return module.programs(model, layer)


def split(model: Any, layer: str | None) -> tuple[Any, Any]:
    """Return what is in front of a layer's output, and what comes after it."""
    import keras

    if layer is None:
        return None, None
    maps = model.get_layer(layer).output
    return keras.Model(model.inputs, maps), keras.Model(maps, model.outputs)

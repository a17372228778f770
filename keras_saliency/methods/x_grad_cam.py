"""Gradients averaged by activation: the weights that two axioms imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import GradientCam, cancelled

if TYPE_CHECKING:
    from keras_saliency._engine.layer_programs import LayerGradient

_ROUNDING = 1e-5  # of a map's size: a smaller sum is noise, and no divisor


@dataclass(frozen=True)
class XGradCam(GradientCam):
    """Feature maps weighted by sum(g A) / sum(A), the mean gradient where the map is active.

    A map whose sum is 0 (but for rounding) has the weight 0.

    Args:
        layer: As for `GradCam`.
        interpolation: As for `GradCam`.

    Example:
        >>> explain(model, img, methods.XGradCam()).info["layer"]
        'backbone/conv5_block3_out'
    """

    reference = "Fu, Hu, Dong, Guo, Gao, Li: Axiom-based Grad-CAM, 2020, arXiv:2008.02312"

    def add_up(self, at: LayerGradient) -> np.ndarray:
        space = resampling.spatial_axes(at.activations)
        both = (at.activations * at.gradients).sum(axis=space, dtype=np.float64)
        total = at.activations.sum(axis=space, dtype=np.float64)
        size = np.abs(at.activations).sum(axis=space, dtype=np.float64)
        weights = both / np.where(np.abs(total) > _ROUNDING * size, total, np.inf)
        return np.einsum("b...k,bk->b...", at.activations, weights)

    def findings(self, at: LayerGradient) -> list[tuple[str, ...]]:
        return cancelled(at.gradients * at.activations, at)

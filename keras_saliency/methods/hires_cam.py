"""Feature maps times their gradient, position by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.methods.base import GradientCam

if TYPE_CHECKING:
    from keras_saliency._engine.layer_programs import LayerGradient


@dataclass(frozen=True)
class HiResCam(GradientCam):
    """Each position of the feature maps weighted by its own gradient: ReLU(sum_k g_k A_k).

    Where pooling and a linear head follow the layer, this is Grad-CAM; elsewhere it shows only
    positions that do increase the score.

    Args:
        layer: As for `GradCam`.
        interpolation: As for `GradCam`.

    Example:
        >>> explain(model, img, methods.HiResCam()).info["layer"]
        'backbone/conv5_block3_out'
    """

    reference = (
        "Draelos, Carin: Use HiResCAM instead of Grad-CAM for Faithful Explanations of "
        "Convolutional Neural Networks, 2020, arXiv:2011.08891"
    )

    def add_up(self, at: LayerGradient) -> np.ndarray:
        return np.einsum("b...k,b...k->b...", at.activations, at.gradients, dtype=np.float64)

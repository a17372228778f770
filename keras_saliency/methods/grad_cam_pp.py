"""Grad-CAM++: positions weighted by a second derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.methods.base import CamMethod

if TYPE_CHECKING:
    from keras_saliency.engine import LayerGradient

_ROUNDING = 1e-6  # a smaller share of a sum's terms is noise


@dataclass(frozen=True)
class GradCamPP(CamMethod):
    """Feature maps weighted by sum(alpha ReLU(g)), alpha = g^2 / (2 g^2 + sum(A) g^3).

    Alpha gives a small place the weight of a large one, so that several things of a class all show.
    The paper derives it for maps that are not negative and explains exp(y), which scales the map
    but changes nothing else. Where the denominator is 0, so is alpha.

    Args:
        layer: As for `GradCam`.

    Example:
        >>> explain(model, img, methods.GradCamPP()).info["layer"]
        'backbone/conv5_block3_out'
    """

    reference = (
        "Chattopadhay, Sarkar, Howlader, Balasubramanian: Grad-CAM++, 2018, arXiv:1710.11063"
    )

    def add_up(self, at: LayerGradient) -> np.ndarray:
        slope = np.maximum(at.gradients, 0).astype(np.float64)
        rest = slope * at.activations.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
        # Without g^2, which would vanish first: alpha = 1 / (2 + sum(A) g).
        divisor = np.where(np.abs(2 + rest) > _ROUNDING * (2 + np.abs(rest)), 2 + rest, np.inf)
        weights = (slope / divisor).sum(axis=(1, 2))
        return np.einsum("bhwk,bk->bhw", at.activations, weights)

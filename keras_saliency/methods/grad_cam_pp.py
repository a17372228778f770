"""Grad-CAM++: positions weighted by a second derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import GradientCam, PresetMixin

if TYPE_CHECKING:
    from keras_saliency._engine.layer_programs import LayerGradient

_ROUNDING = 1e-6  # a smaller share of a sum's terms is noise


@dataclass(frozen=True)
class GradCamPP(PresetMixin, GradientCam):
    """Feature maps weighted by sum(alpha ReLU(g)), alpha = g^2 / (2 g^2 + sum(A) g^3).

    Alpha gives a small region the weight of a large one, so that several objects of a class all
    show. The paper derives it for non-negative maps and explains exp(y), which scales the map but
    changes nothing else. Where the denominator is 0, so is alpha.

    Args:
        layer: As for `GradCam`.
        epsilon: Added to the denominator of alpha. Gradients g with g^2 below it count less.
        normalise: Whether each map's alphas are divided by their sum over positions.
        interpolation: As for `GradCam`.
        like: ``"tf-keras-vis"`` or ``"pytorch-grad-cam"``: that library's options, see
            docs/migrating.md.

    Example:
        >>> explain(model, img, methods.GradCamPP()).info["layer"]
        'backbone/conv5_block3_out'
    """

    reference = (
        "Chattopadhay, Sarkar, Howlader, Balasubramanian: Grad-CAM++, 2018, arXiv:1710.11063"
    )
    presets: ClassVar = {
        "tf-keras-vis": {"normalise": True, "interpolation": "corners"},
        "pytorch-grad-cam": {"epsilon": 1e-6},
    }

    epsilon: float = 0.0
    normalise: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        self._require_share("epsilon", zero=True)

    def add_up(self, at: LayerGradient) -> np.ndarray:
        slope = at.gradients.astype(np.float64)
        space = resampling.spatial_axes(at.activations)
        rest = slope * at.activations.sum(axis=space, keepdims=True, dtype=np.float64)
        if self.epsilon:
            rest += self.epsilon / np.maximum(slope**2, np.finfo(np.float64).tiny)
        # Without g^2, which would vanish first: alpha = 1 / (2 + sum(A) g).
        divisor = np.where(np.abs(2 + rest) > _ROUNDING * (2 + np.abs(rest)), 2 + rest, np.inf)
        alpha = np.where(slope == 0, 0, 1 / divisor)
        if self.normalise:
            sums = alpha.sum(axis=space, keepdims=True)
            alpha /= np.where(sums == 0, 1, sums)
        weights = (alpha * np.maximum(slope, 0)).sum(axis=space)
        return np.einsum("b...k,bk->b...", at.activations, weights)

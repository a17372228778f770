"""Gradient-weighted class activation mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class GradCam(Method):
    """Feature maps weighted by their mean gradient: ReLU(sum_k mean(g_k) A_k).

    Args:
        layer: Path of the layer, or ``"path@k"`` for the k-th call of a shared layer. ``None``
            takes the last layer on the way to the target whose map is larger than 1x1.

    Example:
        >>> e = explain(model, img, methods.GradCam(layer="conv5_block3_out"))
        >>> e.info["layer"]
        'backbone/conv5_block3_out'
    """

    family = "cam"
    local = False
    reference = "Selvaraju et al.: Grad-CAM, 2017, arXiv:1610.02391"

    layer: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no layer's path."""
        self._require(self.layer is None or isinstance(self.layer, str), "layer", "a layer's path")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.layer_gradient(self.layer)
        weights = at.gradients.mean(axis=(1, 2), dtype=np.float64)
        grid = np.einsum("bhwk,bk->bhw", at.activations, weights)
        return Attribution(np.maximum(grid, 0), info={"layer": at.layer})

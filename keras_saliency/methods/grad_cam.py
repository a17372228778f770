"""Gradient-weighted class activation mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import GradientCam, PresetMixin, cancelled

if TYPE_CHECKING:
    from keras_saliency._engine.layer_programs import LayerGradient


@dataclass(frozen=True)
class GradCam(PresetMixin, GradientCam):
    """Feature maps weighted by their mean gradient: ReLU(sum_k mean(g_k) A_k).

    Where the gradients of every channel cancel, as before a softmax over positions, the map is
    rounding error; this is a finding.

    Args:
        layer: Path of the layer, or ``"path@k"`` for the k-th call of a layer that is called more
            than once. ``None`` takes the last feature map of the explained input that the score
            depends on, larger than 1x1.
        relu: Whether negative values of the sum become 0; otherwise the map is signed.
        interpolation: How the map is enlarged: ``"bilinear"`` (pixels are areas), ``"corners"``
            (bilinear, corner on corner) or ``"nearest"``.
        like: ``"captum"``, ``"tf-keras-vis"`` or ``"pytorch-grad-cam"``: that library's options,
            see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.GradCam(layer="conv5_block3_out"))
        >>> e.info["layer"]
        'backbone/conv5_block3_out'
    """

    reference = "Selvaraju et al.: Grad-CAM, 2017, arXiv:1610.02391"
    presets: ClassVar = {
        "captum": {"relu": False, "interpolation": "nearest"},
        "tf-keras-vis": {"interpolation": "corners"},
        "pytorch-grad-cam": {},
    }

    relu: bool = True

    @property
    def signed(self) -> bool:  # type: ignore[override]
        """Whether the map is signed: where nothing is clipped."""
        return not self.relu

    def add_up(self, at: LayerGradient) -> np.ndarray:
        weights = at.gradients.mean(axis=resampling.spatial_axes(at.gradients), dtype=np.float64)
        return np.einsum("b...k,bk->b...", at.activations, weights)

    def clipped(self, sums: np.ndarray) -> np.ndarray:
        return super().clipped(sums) if self.relu else sums

    def findings(self, at: LayerGradient) -> list[tuple[str, ...]]:
        return cancelled(at.gradients, at)

"""Feature maps times the positive part of their gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency.methods.base import GradientCam, PresetMixin

if TYPE_CHECKING:
    from keras_saliency._engine.layer_programs import LayerGradient


@dataclass(frozen=True)
class LayerCam(PresetMixin, GradientCam):
    """Each position weighted by its own positive gradient: ReLU(sum_k ReLU(g_k) A_k).

    Suits early layers, where a mean over positions says little.

    Args:
        layer: As for `GradCam`.
        interpolation: As for `GradCam`.
        like: ``"tf-keras-vis"`` or ``"pytorch-grad-cam"``: that library's options, see
            docs/migrating.md.

    Example:
        >>> explain(model, img, methods.LayerCam()).info["layer"]
        'backbone/conv5_block3_out'
    """

    reference = (
        "Jiang, Zhang, Hou, Cheng, Wei: LayerCAM: Exploring Hierarchical Class Activation Maps "
        "for Localization, 2021, doi:10.1109/TIP.2021.3089943"
    )
    presets: ClassVar = {"tf-keras-vis": {"interpolation": "corners"}, "pytorch-grad-cam": {}}

    def add_up(self, at: LayerGradient) -> np.ndarray:
        positive = np.maximum(at.gradients, 0)
        return np.einsum("b...k,b...k->b...", at.activations, positive, dtype=np.float64)

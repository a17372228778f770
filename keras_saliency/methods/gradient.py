"""The gradient of the score by the picture: the first saliency map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import EVERY, Attribution, PresetMixin

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class Gradient(PresetMixin):
    """How fast the score changes with each pixel: g = dy/dx; map max over channels of abs(g).

    Attributions are signed, the map is not.

    Args:
        absolute: Whether attributions lose their signs too: the map stays the same, but a mean of
            several of them, as in `SmoothGrad`, becomes a mean of magnitudes.
        like: ``"captum"`` or ``"tf-keras-vis"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.Gradient())
        >>> bool((e.values == abs(e.attributions).max(-1)).all())
        True
    """

    family = "gradient"
    kinds = EVERY
    reference = (
        "Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, 2013, arXiv:1312.6034"
    )
    presets: ClassVar = {
        "captum": {"absolute": True},
        "tf-keras-vis": {"absolute": True},
        "pair": {},
    }

    absolute: bool = False

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        result = engine.gradient()
        return Attribution(np.abs(result) if self.absolute else result)

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return resampling.max_abs(attributions)

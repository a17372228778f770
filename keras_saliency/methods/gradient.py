"""The gradient of the score by the picture: the first saliency map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency import postprocess
from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class Gradient(Method):
    """How fast the score changes with each pixel: g = dy/dx; map max over channels of abs(g).

    Attributions are signed, the map is not.

    Example:
        >>> e = explain(model, img, methods.Gradient())
        >>> bool((e.values == abs(e.attributions).max(-1)).all())
        True
    """

    family = "gradient"
    reference = (
        "Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, 2013, arXiv:1312.6034"
    )

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        return Attribution(engine.gradient())

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return postprocess.max_abs(attributions)

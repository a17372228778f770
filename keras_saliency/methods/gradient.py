"""The gradient of the score by the picture: the first saliency map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency import postprocess
from keras_saliency.methods.base import Alike, Attribution

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class Gradient(Alike):
    """How fast the score changes with each pixel: g = dy/dx; map max over channels of abs(g).

    Attributions are signed, the map is not.

    Args:
        absolute: Whether attributions lose their signs too: the map stays, but a mean over several
            of them, as in `SmoothGrad`, becomes one of sizes.
        like: ``"captum"`` or ``"tf-keras-vis"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.Gradient())
        >>> bool((e.values == abs(e.attributions).max(-1)).all())
        True
    """

    family = "gradient"
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
        found = engine.gradient()
        return Attribution(np.abs(found) if self.absolute else found)

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return postprocess.max_abs(attributions)

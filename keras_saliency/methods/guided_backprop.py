"""The gradient with only its positive part let back through rectifiers that were on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency import postprocess
from keras_saliency.backward import Rectified
from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class GuidedBackprop(Method):
    """The gradient, but each rectifier passes back only what is positive, where it was on.

    Sees rectifiers that are layers, activations of layers or ``keras.ops`` functions of a graph,
    also with ``max_value`` or a negative slope. One that hides inside a ``call`` of your own is an
    error. Such maps are sharp, but depend little on the class and on the weights of late layers
    (Adebayo et al. 2018, arXiv:1810.03292). Attributions are signed; map max over channels of abs.

    Example:
        >>> e = explain(model, img, methods.GuidedBackprop())
        >>> e.info["rectifiers"]
        0
    """

    family = "gradient"
    reference = (
        "Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity, 2014, "
        "arXiv:1412.6806"
    )

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        found = engine.backward(Rectified(guided=True))
        count = int(found.seen["rectifiers"][0])
        findings = () if count else (("no rectifier is on the way: the plain gradient",),)
        return Attribution(
            found.values, info={"rectifiers": count}, findings=findings * len(found.values)
        )

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return postprocess.max_abs(attributions)

"""The gradient with only its positive part let back through every rectifier."""

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
class DeconvNet(Method):
    """The gradient, but each rectifier passes back what is positive, whether it was on or not.

    Sees rectifiers as `GuidedBackprop` does. Max-pooling lets back to its maximum, as the gradient
    does. Attributions are signed; map max over channels of abs.

    Example:
        >>> e = explain(model, img, methods.DeconvNet())
        >>> e.info["rectifiers"]
        0
    """

    family = "gradient"
    reference = (
        "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, 2013, "
        "arXiv:1311.2901"
    )

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        found = engine.backward(Rectified(guided=False))
        count = int(found.seen["rectifiers"][0])
        findings = () if count else (("no rectifier is on the way: the plain gradient",),)
        return Attribution(
            found.values, info={"rectifiers": count}, findings=findings * len(found.values)
        )

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return postprocess.max_abs(attributions)

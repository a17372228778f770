"""What methods that change the gradient at rectifiers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency import postprocess
from keras_saliency.backward import Rectified
from keras_saliency.methods.base.method import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


class RectifiedMethod(Method):
    """The gradient by the rule `Rectified`; says so where there is no rectifier."""

    family = "gradient"
    guided: ClassVar[bool]

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Return what the rule lets back."""
        found = engine.backward(Rectified(self.guided))
        count = int(found.seen["rectifiers"][0])
        findings = () if count else (("no rectifier is on the way: the plain gradient",),)
        return Attribution(
            found.values, info={"rectifiers": count}, findings=findings * len(found.values)
        )

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return the largest size over channels."""
        return postprocess.max_abs(attributions)

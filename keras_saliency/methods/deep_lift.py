"""Differences from a baseline, followed back through every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.backward import Multipliers
from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class DeepLift(Method):
    """(x - b) times multipliers: at an activation the difference of outputs over that of inputs.

    The rescale rule, for any elementwise activation, max-pooling, products and softmax. One pass
    through the model, and attributions sum to y(x) - y(b); by how much they miss it, as a share, is
    ``checks[i]["completeness_error"]``. A layer with no known way is named in the error.

    Args:
        baseline: ``"black"``, ``"white"``, ``"mean"``, ``"blur"``, a number or an array in the
            model's input range.

    Example:
        >>> e = explain(model, img, "deep_lift")
        >>> e.checks[0]["completeness_error"] < 1e-3
        True
    """

    family = "propagation"
    signed = True
    complete = True
    reference = (
        "Shrikumar, Greenside, Kundaje: Learning Important Features Through Propagating "
        "Activation Differences, 2017, arXiv:1704.02685"
    )

    baseline: Any = "black"

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        baseline = np.asarray(engine.fill(self.baseline))
        found = engine.backward(Multipliers(), baseline)
        values = found.values * (engine.images - baseline)
        gap = engine.scores - found.seen["baseline_scores"]
        missed = np.abs(values.sum(axis=(1, 2, 3), dtype=np.float64) - gap)
        error = missed / np.maximum(np.abs(gap), np.finfo(np.float32).tiny)
        return Attribution(values, {"completeness_error": error})

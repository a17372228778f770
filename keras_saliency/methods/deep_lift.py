"""Differences from a baseline, followed back through every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_saliency.backward import Multipliers
from keras_saliency.methods.base import Alike, Attribution, completeness_error, gap_findings

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class DeepLift(Alike):
    """(x - b) times multipliers: at an activation the difference of outputs over that of inputs.

    The rescale rule, for any elementwise activation, max-pooling, products and softmax. One pass
    through the model, and attributions sum to y(x) - y(b); by how much they miss it, as a share, is
    ``checks[i]["completeness_error"]``. A layer with no known way is named in the error.

    Args:
        baseline: ``"black"``, ``"white"``, ``"mean"``, ``"blur"``, a number or an array in the
            model's input range.
        like: ``"captum"``: that library's options, see docs/migrating.md.

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
    presets: ClassVar = {"captum": {"baseline": 0.0}}

    baseline: Any = "black"

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        baseline = np.asarray(engine.fill(self.baseline))
        found = engine.backward(Multipliers(), baseline)
        values = found.values.astype(np.float64) * (engine.images - baseline)
        start = found.seen["baseline_scores"].astype(np.float64)
        error = completeness_error(values, engine.scores, start)
        told = gap_findings(values, engine.scores, start, np.zeros(len(values), int))
        return Attribution(values, {"completeness_error": error}, findings=told)

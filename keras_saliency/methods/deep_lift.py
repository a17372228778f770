"""Differences from a baseline, followed back through every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_saliency._rules import one_run
from keras_saliency._rules.multipliers import DeepLiftRule
from keras_saliency.methods.base import (
    EVERY,
    Attribution,
    PresetMixin,
    completeness_error,
    gap_findings,
)

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class DeepLift(PresetMixin):
    """(x - b) times multipliers: at an activation the difference of outputs over that of inputs.

    The rescale rule, for any elementwise activation, max-pooling, products (also of matrices) and
    softmax. Layer, RMS, group and unit normalisation are the product of x - mean and 1 / spread:
    squares and the reciprocal root are rescaled, the product is split in half, so nothing is lost;
    their number is ``checks[i]["norms_rescaled"]``. One pass through the model, and
    attributions sum to y(x) - y(b); by how much they miss it, as a share, is
    ``checks[i]["completeness_error"]``. An error names a layer that has no rule; a finding names a
    layer whose own ``call()`` does more than Keras' layers and operations.

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
    kinds = EVERY
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
        result = engine.backward(DeepLiftRule(), baseline)
        values = result.values.astype(np.float64) * (engine.images - baseline)
        start = result.seen["baseline_scores"].astype(np.float64)
        checks = {"completeness_error": completeness_error(values, engine.scores, start)}
        if norms := int(result.seen["norms"][0]):
            checks["norms_rescaled"] = np.full(len(values), norms)
        findings = gap_findings(values, engine.scores, start, np.zeros(len(values), int))
        if passed := one_run.notes_of(result.seen["passed"]):
            said = (
                f"in the call() of {one_run.said(passed)} no rule could be applied: multipliers "
                "were passed there as gradients are, which may miss the score gap"
            )
            findings = [(said, *others) for others in findings]
        return Attribution(values, checks, findings=findings)

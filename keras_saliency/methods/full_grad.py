"""The picture's share in the score and that of every bias, in one map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency._rules.gradients import Biases
from keras_saliency.methods.base import Attribution, Method, relative_error

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_LARGE_ERROR = 0.1  # of the score


@dataclass(frozen=True)
class FullGrad(Method):
    """abs(x g) plus, for every layer with a bias, abs(bias times its gradient), upsampled.

    Sums over channels. For a network of rectifiers and linear layers, x g and all the biases' terms
    sum to the score itself; ``checks[i]["decomposition_error"]`` is how far they miss it, as a
    share. Biases of layers without a map count there only. Batch normalisation has the bias
    beta - gamma mean / std, which includes its offset. Nothing is rescaled from layer to layer.

    Example:
        >>> e = explain(model, img, "full_grad")
        >>> e.attributions is None, bool((e.values >= 0).all())
        (True, True)
    """

    family = "gradient"
    local = False
    reference = (
        "Srinivas, Fleuret: Full-Gradient Representation for Neural Network Visualization, 2019, "
        "arXiv:1905.00780"
    )

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        result = engine.backward(Biases(engine.images.ndim - 2))
        own = engine.images * result.values
        grid = np.abs(own).sum(axis=-1, dtype=np.float64)
        total = own.sum(axis=tuple(range(1, own.ndim)), dtype=np.float64)
        for collected in result.collected:
            terms = collected[..., 1]
            total += terms.sum(axis=tuple(range(1, terms.ndim)), dtype=np.float64)
            if terms[0].size > 1:
                grid += resampling.resize(collected[..., 0], grid.shape[1:])
        error = relative_error(total, engine.scores)
        findings = [
            (f"the picture's share and the biases' miss the score by {one:.0%}",)
            if one > _LARGE_ERROR
            else ()
            for one in error
        ]
        info = {"biases": len(result.collected)}
        return Attribution(grid, {"decomposition_error": error}, info, findings)

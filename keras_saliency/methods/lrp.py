"""Layer-wise relevance propagation: the score, shared out from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from keras_saliency.backward import Relevance, sharing
from keras_saliency.errors import MethodError
from keras_saliency.methods.base import Alike, Attribution, share_missed

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_COMPOSITES = {  # how convolutions share, how dense layers do; the first layer where it differs
    "epsilon": ("epsilon", "epsilon"),
    "gamma": ("gamma", "gamma"),
    "z_plus": ("z_plus", "z_plus"),
    "alpha2_beta1": ("alpha2_beta1", "alpha2_beta1"),
    "epsilon_plus": ("z_plus", "epsilon"),
    "epsilon_gamma_box": ("gamma", "epsilon", "z_box"),
    "epsilon_alpha2_beta1": ("alpha2_beta1", "epsilon"),
}
_FIRST = ("epsilon", "gamma", "z_plus", "alpha2_beta1", "w_square", "flat", "z_box")


@dataclass(frozen=True)
class Lrp(Alike):
    """The score goes back as relevance: each layer shares what it gets among its inputs.

    Batch normalisation is folded into the layer before it, sums share by contribution, maxima give
    all to the winner. A layer with no known way is named in the error. Relevance that biases keep
    is lost on the way: ``checks[i]["conservation_error"]`` is how much of the score, as a share.

    Args:
        rule: How layers share. For all of them: ``"epsilon"`` (by contribution), ``"gamma"``
            (contributions of the sum's sign count more), ``"z_plus"`` (only positive ones),
            ``"alpha2_beta1"``. Composites take epsilon for dense layers and another for
            convolutions: ``"epsilon_plus"`` (z_plus), ``"epsilon_gamma_box"`` (gamma, z_box at the
            first layer), ``"epsilon_alpha2_beta1"``.
        first: How the first layer shares, where it is to be another way: also ``"w_square"`` (by
            squared weights), ``"flat"`` (evenly) or ``"z_box"`` (knowing black and white).
        epsilon: For ``"epsilon"``, as a share of the mean size of a layer's outputs.
        gamma: For ``"gamma"``.
        like: ``"captum"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.Lrp("epsilon"))
        >>> bool(abs(e.values.sum() - e.scores) < 0.01 * abs(e.scores))  # this model has no biases
        True
    """

    family = "propagation"
    signed = True
    reference = (
        "Bach et al.: On Pixel-Wise Explanations by Layer-Wise Relevance Propagation, 2015; "
        "Montavon et al.: Layer-Wise Relevance Propagation, an Overview, 2019"
    )
    presets: ClassVar = {"captum": {"rule": "epsilon", "epsilon": 1e-9}}

    rule: Literal[
        "epsilon", "gamma", "z_plus", "alpha2_beta1",
        "epsilon_plus", "epsilon_gamma_box", "epsilon_alpha2_beta1",
    ] = "epsilon_plus"  # fmt: skip
    first: str | None = None
    epsilon: float = 1e-6
    gamma: float = 0.25

    def __post_init__(self) -> None:
        """Refuse unknown rules."""
        super().__post_init__()
        self._require(self.rule in _COMPOSITES, "rule", f"one of {tuple(_COMPOSITES)}")
        self._require(self.first in (None, *_FIRST), "first", f"None or one of {_FIRST}")
        self._require_share("epsilon")
        self._require_share("gamma")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        convolution, dense, *first = _COMPOSITES[self.rule]
        wanted = self.first or (first[0] if first else None)
        ways = {
            "epsilon": sharing.Epsilon(self.epsilon),
            "gamma": sharing.Gamma(self.gamma),
            "z_plus": sharing.AlphaBeta(1.0, 0.0),
            "alpha2_beta1": sharing.AlphaBeta(2.0, 1.0),
            "w_square": sharing.WSquare(),
            "flat": sharing.Flat(),
            "z_box": sharing.ZBox(),
        }
        rule = Relevance(None if wanted is None else ways[wanted], ways[convolution], ways[dense])
        bounds = _bounds(engine) if wanted == "z_box" else ()
        back = engine.backward(rule, *bounds)
        found, hidden = back.values, int(back.seen["hidden"][0])
        error = share_missed(found.sum(axis=(1, 2, 3), dtype=np.float64), engine.scores)
        told = f"{hidden} sums or the like inside a call() of your own were passed as gradients are"
        return Attribution(
            found,
            {"conservation_error": error},
            findings=((told,),) * len(found) if hidden else (),
        )


def _bounds(engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value that a pixel can have, (B, 1, 1, C) each."""
    try:
        black, white = (engine.fill(name)[:, :1, :1] for name in ("black", "white"))
    except MethodError as error:
        raise MethodError(
            "LRP was asked for with 'z_box' at the first layer, which knows black and white.",
            error.found,
            "Pass explain(preprocess=...), or another rule for the first layer, as in "
            "methods.Lrp('epsilon_gamma_box', first='w_square').",
            "help(keras_saliency.methods.Lrp)",
        ) from error
    return np.minimum(black, white), np.maximum(black, white)

"""The picture times its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_saliency.methods.base import EVERY, Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class InputXGradient(Method):
    """Input times gradient, x * g, signed; map its sum over channels.

    For a network of ReLUs without biases this sums to the score.

    Example:
        >>> e = explain(model, img, "input_x_gradient")
        >>> bool(np.allclose(e.values, e.attributions.sum(-1), atol=1e-6))
        True
    """

    family = "gradient"
    kinds = EVERY
    signed = True
    reference = (
        "Shrikumar, Greenside, Shcherbina, Kundaje: Not Just a Black Box, 2016, arXiv:1605.01713"
    )

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        return Attribution(engine.images * engine.gradient())

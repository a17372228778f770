"""The gradient with only its positive part let back through every rectifier."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency.methods.base import RectifiedMethod


@dataclass(frozen=True)
class DeconvNet(RectifiedMethod):
    """The gradient, but each rectifier passes back what is positive, whether it was on or not.

    Sees rectifiers as `GuidedBackprop` does. Max-pooling lets back to its maximum, as the gradient
    does. Attributions are signed; map max over channels of abs.

    Example:
        >>> e = explain(model, img, methods.DeconvNet())
        >>> e.info["rectifiers"]
        0
    """

    guided = False
    reference = (
        "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, 2013, "
        "arXiv:1311.2901"
    )

"""The gradient, of which every rectifier passes back only the positive part."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency.methods.base import RectifiedMethod


@dataclass(frozen=True)
class DeconvNet(RectifiedMethod):
    """The gradient, but each rectifier passes back positive values, whether active or not.

    Detects rectifiers as `GuidedBackprop` does. Max-pooling passes back to its maximum, as the
    gradient does. Attributions are signed; map max over channels of abs.

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

"""The gradient, of which active rectifiers pass back only the positive part."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency.methods.base import RectifiedMethod


@dataclass(frozen=True)
class GuidedBackprop(RectifiedMethod):
    """The gradient, but each rectifier passes back only positive values, where it was active.

    Detects rectifiers that are layers, activations of layers (also the framework's own functions)
    or ``keras.ops`` functions of a graph, also with ``max_value`` or a negative slope. A Keras
    rectifier inside a ``call`` of your own is an error. ``torch.relu(x)`` or ``ops.maximum(x, 0)``
    there is treated as any function: it passes back the plain gradient, and ``info["rectifiers"]``
    does not count it. Such maps are sharp, but depend little on the class and on the weights of
    late layers (Adebayo et al. 2018, arXiv:1810.03292). Attributions are signed; map max over
    channels of abs.

    Example:
        >>> e = explain(model, img, methods.GuidedBackprop())
        >>> e.info["rectifiers"]
        0
    """

    guided = True
    reference = (
        "Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity, 2014, "
        "arXiv:1412.6806"
    )

"""The names people bring from papers and other libraries, and the method each means."""

from __future__ import annotations

import re
from collections.abc import Collection

# What other libraries and papers call them, as `_squashed` writes it.
_SYNONYMS = {
    "backprop": "gradient",
    "deconvolution": "deconvnet",
    "gradcamplusplus": "grad_cam_pp",
    "gradientinput": "input_x_gradient",
    "gradienttimesinput": "input_x_gradient",
    "gradientxinput": "input_x_gradient",
    "guidedbackpropagation": "guided_backprop",
    "ig": "integrated_gradients",
    "inputtimesgradient": "input_x_gradient",
    "layerwiserelevancepropagation": "lrp",
    "saliency": "gradient",
    "saliencymap": "gradient",
    "shapleyvaluesampling": "shapley_sampling",
    "vanillagradient": "gradient",
    "vanillagradients": "gradient",
}


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.replace("+", "plus")).lower()


def resolve(name: str, known: Collection[str]) -> str | None:
    """Return the known name that is meant, in any of the usual spellings; None if there is none.

    Example:
        >>> names = ["grad_cam", "grad_cam_pp", "integrated_gradients"]
        >>> [resolve(one, names) for one in ("Grad-CAM", "gradcam++", "IG", "grad")]
        ['grad_cam', 'grad_cam_pp', 'integrated_gradients', None]
    """
    if name in known:
        return name
    squashed = _squashed(name)
    for one in known:
        if _squashed(one) == squashed:
            return one
    result = _SYNONYMS.get(squashed)
    return result if result in known else None

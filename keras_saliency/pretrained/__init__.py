"""A pretrained network, its class names and a photograph, so that every example runs as written.

    >>> from keras_saliency.pretrained import class_names, efficientnet_lite0, sample_photo
    >>> class_names()[967]
    'espresso'

Importing this package loads neither keras nor a backend; calling ``efficientnet_lite0`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency._lazy import attach

# Not lazy: loading the module of the same name would otherwise put the module in the function's
# place here, whenever somebody imports ``preprocess_input`` first. It costs no keras.
from keras_saliency.pretrained.efficientnet_lite0 import efficientnet_lite0

if TYPE_CHECKING:
    from keras_saliency.pretrained.imagenet import class_names
    from keras_saliency.pretrained.photo import sample_photo

__all__ = ["class_names", "efficientnet_lite0", "sample_photo"]

_LAZY = {"class_names": "imagenet", "sample_photo": "photo"}

__getattr__, __dir__ = attach(__name__, _LAZY)

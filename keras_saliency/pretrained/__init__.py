"""A pretrained network, its class names and a photograph, for examples that run as written.

    >>> from keras_saliency.pretrained import class_names, efficientnet_lite0, sample_photo
    >>> class_names()[967]
    'espresso'

Importing this package loads neither keras nor a backend; calling ``efficientnet_lite0`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency._imports import attach

# Not lazy: the submodule of the same name would otherwise replace the function here as soon as
# ``preprocess_input`` is imported first. This does not import keras.
from keras_saliency.pretrained.efficientnet_lite0 import efficientnet_lite0

if TYPE_CHECKING:
    from keras_saliency.pretrained.imagenet import class_names, sample_photo

__all__ = ["class_names", "efficientnet_lite0", "sample_photo"]

_LAZY = {"class_names": "imagenet", "sample_photo": "imagenet"}

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, _LAZY)

"""A pretrained network, its class names and a photograph, for examples that run as written.

    >>> from keras_saliency.pretrained import class_names, efficientnet_lite0, sample_photo
    >>> class_names()[967]
    'espresso'

Importing this package loads neither keras nor a backend; calling ``efficientnet_lite0`` does.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from keras_saliency._imports import attach

# Not lazy: the submodule of the same name would otherwise replace the function here as soon as
# ``preprocess_input`` is imported first. This does not import keras.
from keras_saliency.pretrained.efficientnet_lite0 import efficientnet_lite0

__all__ = ["class_names", "efficientnet_lite0", "sample_photo"]


@functools.cache
def class_names() -> tuple[str, ...]:
    """Return the names of the ImageNet-1k classes, in the order of the outputs.

    Names are English with spaces, and unique: where ImageNet itself uses one word for two classes,
    they differ here (``"crane bird"`` 134 and ``"crane"`` 517, the machine).

    Returns:
        1000 names; ``class_names()[i]`` names output ``i``.

    Source:
        Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge",
        arXiv:1409.0575; spelled as in torchvision (``data/LICENSES.md``).

    Example:
        >>> class_names()[967]
        'espresso'
    """
    path = Path(__file__).parent / "data" / "imagenet_classes.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def sample_photo() -> Path:
    """Return the path of the packaged photograph: an espresso on a wooden table.

    Returns:
        Path of a JPEG file, RGB, 600 pixels wide and 400 high. An ImageNet classifier should call
        it ``espresso`` (class 967).

    Source:
        Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0; ``coffee.png`` of scikit-image
        (``data/LICENSES.md``).

    Example:
        >>> sample_photo().name
        'espresso.jpg'
    """
    return Path(__file__).parent / "data" / "espresso.jpg"


if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})

"""What the 1000 outputs of an ImageNet-1k classifier are called."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def class_names() -> tuple[str, ...]:
    """Return the names of the ImageNet-1k classes, in the order of the outputs.

    Names are English with spaces, and unique: where ImageNet itself uses one word for two classes,
    they are told apart (``"crane bird"`` 134 and ``"crane"`` 517, the machine).

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

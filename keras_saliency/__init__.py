"""Where does a Keras 3 model look? The same code on JAX, TensorFlow and PyTorch.

    >>> from keras_saliency import explain
    >>> explain(model, "dog.jpg").plot()  # doctest: +SKIP

Importing this loads neither Keras nor a framework nor matplotlib; the first use does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_saliency import errors, layers, methods, plot, preprocessing, pretrained, targets
    from keras_saliency._explain import explain
    from keras_saliency._explanation import Explanation

_NAMES = {"explain": "_explain", "Explanation": "_explanation"}
_ROOMS = ("errors", "layers", "methods", "plot", "preprocessing", "pretrained", "targets")

__all__ = [
    "Explanation",
    "errors",
    "explain",
    "layers",
    "methods",
    "plot",
    "preprocessing",
    "pretrained",
    "targets",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})

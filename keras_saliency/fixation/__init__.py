"""Where do people look? Models of fixation density: building, training, scoring, predicting.

    >>> from keras_saliency.fixation import FixationModel, load_model

Importing this package loads no Keras; using a name of it does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_saliency.fixation.losses import FixationLoss
    from keras_saliency.fixation.model import FixationModel
    from keras_saliency.fixation.predict import predict_fixations
    from keras_saliency.fixation.prediction import FixationPrediction
    from keras_saliency.fixation.training import train
    from keras_saliency.fixation.trained import load_model, save_model

__all__ = ["FixationLoss", "FixationModel", "FixationPrediction", "load_model", "predict_fixations", "save_model", "train"]

_NAMES = {
    "FixationLoss": "losses",
    "FixationModel": "model",
    "FixationPrediction": "prediction",
    "load_model": "trained",
    "predict_fixations": "predict",
    "save_model": "trained",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a name when the name is first used (PEP 562)."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})

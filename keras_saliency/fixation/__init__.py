"""Where do people look? Models of fixation density: building, training, scoring, predicting.

    >>> from keras_saliency.fixation import FixationModel, load_model

Importing this package loads no Keras; using a name of it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency.config import attach

if TYPE_CHECKING:
    from keras_saliency.fixation import data, metrics
    from keras_saliency.fixation.designs import DesignComparison, compare_designs
    from keras_saliency.fixation.encoder_decoder import FixationModel
    from keras_saliency.fixation.layers import FixationLoss
    from keras_saliency.fixation.model import load_model, save_model
    from keras_saliency.fixation.predict import FixationPredictor, predict_fixations
    from keras_saliency.fixation.prediction import FixationPrediction
    from keras_saliency.fixation.scoring import Evaluation, evaluate
    from keras_saliency.fixation.training import train

__all__ = [
    "DesignComparison",
    "Evaluation",
    "FixationLoss",
    "FixationModel",
    "FixationPrediction",
    "FixationPredictor",
    "compare_designs",
    "data",
    "evaluate",
    "load_model",
    "metrics",
    "predict_fixations",
    "save_model",
    "train",
]

_NAMES = {
    "DesignComparison": "designs",
    "Evaluation": "scoring",
    "FixationLoss": "layers",
    "FixationModel": "encoder_decoder",
    "FixationPrediction": "prediction",
    "FixationPredictor": "predict",
    "compare_designs": "designs",
    "evaluate": "scoring",
    "load_model": "model",
    "predict_fixations": "predict",
    "save_model": "model",
    "train": "training",
}

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, _NAMES, ("data", "metrics"))

"""Where does a Keras 3 model look, and where do people? On JAX, TensorFlow and PyTorch.

    >>> from keras_saliency import explain, predict_fixations
    >>> explain(model, "dog.jpg").plot()  # doctest: +SKIP
    >>> predict_fixations("dog.jpg").plot()  # doctest: +SKIP

Importing this loads neither Keras nor a framework nor matplotlib; the first use does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_saliency import (
        data,
        errors,
        fixation,
        layers,
        methods,
        metrics,
        plot,
        preprocessing,
        pretrained,
        targets,
    )
    from keras_saliency._compare import compare
    from keras_saliency._explain import explain
    from keras_saliency._explainer import Explainer
    from keras_saliency._explanation import Explanation
    from keras_saliency.archive import Archive
    from keras_saliency.comparison import Comparison
    from keras_saliency.fixation.many import FixationPredictor
    from keras_saliency.fixation.predict import predict_fixations
    from keras_saliency.fixation.prediction import FixationPrediction

_NAMES = {
    "Archive": "archive",
    "compare": "_compare",
    "Comparison": "comparison",
    "explain": "_explain",
    "Explainer": "_explainer",
    "Explanation": "_explanation",
    "predict_fixations": "fixation.predict",
    "FixationPrediction": "fixation.prediction",
    "FixationPredictor": "fixation.many",
}
_ROOMS = (
    "data",
    "errors",
    "fixation",
    "layers",
    "methods",
    "metrics",
    "plot",
    "preprocessing",
    "pretrained",
    "targets",
)

__all__ = [
    "Archive",
    "Comparison",
    "Explainer",
    "Explanation",
    "FixationPrediction",
    "FixationPredictor",
    "compare",
    "data",
    "errors",
    "explain",
    "fixation",
    "layers",
    "methods",
    "metrics",
    "plot",
    "predict_fixations",
    "preprocessing",
    "pretrained",
    "targets",
]

__getattr__, __dir__ = attach(__name__, _NAMES, _ROOMS)

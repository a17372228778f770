"""Where does a Keras 3 model look, and where do people? On JAX, TensorFlow and PyTorch.

    >>> from keras_saliency import explain, predict_fixations
    >>> explain(model, "dog.jpg").plot()  # doctest: +SKIP
    >>> predict_fixations("dog.jpg").plot()  # doctest: +SKIP

Importing this loads neither Keras nor a framework nor matplotlib; the first use does. Where Keras'
choice of a backend is not installed, another one is set in ``KERAS_BACKEND``, and one line says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency._imports import attach, moved, settle_backend

__version__ = "0.2.0"

if TYPE_CHECKING:
    from keras_saliency import (
        config,
        errors,
        fixation,
        methods,
        metrics,
        plot,
        pretrained,
        targets,
        testing,
    )
    from keras_saliency._explain import explain
    from keras_saliency._explainer import Explainer
    from keras_saliency._graph.paths import layer_tree
    from keras_saliency._inputs.geometry import Box
    from keras_saliency._inputs.preprocessing import Preprocess
    from keras_saliency._results.archive import Archive
    from keras_saliency._results.explanation import Explanation
    from keras_saliency._results.joint import JointExplanation
    from keras_saliency.comparison import Comparison
    from keras_saliency.comparison.compare import compare
    from keras_saliency.fixation.predict import FixationPredictor, predict_fixations
    from keras_saliency.fixation.prediction import FixationPrediction

_NAMES = {
    "Archive": "_results.archive",
    "Box": "_inputs.geometry",
    "Comparison": "comparison",
    "Explainer": "_explainer",
    "Explanation": "_results.explanation",
    "FixationPrediction": "fixation.prediction",
    "FixationPredictor": "fixation.predict",
    "JointExplanation": "_results.joint",
    "Preprocess": "_inputs.preprocessing",
    "compare": "comparison.compare",
    "explain": "_explain",
    "layer_tree": "_graph.paths",
    "predict_fixations": "fixation.predict",
}
_ROOMS = (
    "config", "errors", "fixation", "methods", "metrics", "plot", "pretrained", "targets",
    "testing",
)  # fmt: skip

__all__ = [
    "Archive",
    "Box",
    "Comparison",
    "Explainer",
    "Explanation",
    "FixationPrediction",
    "FixationPredictor",
    "JointExplanation",
    "Preprocess",
    "compare",
    "config",
    "errors",
    "explain",
    "fixation",
    "layer_tree",
    "methods",
    "metrics",
    "plot",
    "predict_fixations",
    "pretrained",
    "targets",
    "testing",
]

# Until version 0.3, under the old name, with a DeprecationWarning.
_MOVED = {
    "archive": "_results.archive",
    "boxes": "_inputs.geometry",
    "cli.command": "cli",
    "cli.info": "cli.listing",
    "cli.predict": "cli.prediction",
    "cli.startup": "cli.output",
    "data": "fixation.data",
    "fixation.data.cat2000": "fixation.data.builders",
    "fixation.data.mit1003": "fixation.data.builders",
    "fixation.data.salicon": "fixation.data.builders",
    "fixation.density": "fixation.maps",
    "fixation.features": "fixation.checkpoint",
    "fixation.losses": "fixation.layers",
    "fixation.many": "fixation.predict",
    "fixation.metrics.validation": "fixation.maps",
    "layers": "_graph.paths",
    "metrics.baselines": "fixation.metrics.baselines",
    "metrics.complexity": "metrics.agreement",
    "metrics.confidence": "metrics.curves",
    "metrics.fixation": "fixation.metrics.scores",
    "metrics.forgetting": "metrics.sanity",
    "metrics.mosaics": "metrics.localization",
    "metrics.randomization": "metrics.sanity",
    "metrics.robustness": "metrics.infidelity",
    "plot.comparison": "plot",
    "pretrained.efficientnet_lite0": "pretrained",
    "pretrained.imagenet": "pretrained",
    "pretrained.lite0_layers": "pretrained",
    "methods.base.spelling": "methods.base.method",
    "metrics.summary": "metrics.registry",
    "preprocessing": "_inputs.preprocessing",
    "ray.datasets": "ray",
    "segments": "_inputs.segments",
    "testing.laws": "testing.check",
}
moved(_MOVED)
settle_backend()

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, _NAMES, _ROOMS)

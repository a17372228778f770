"""The result of compare(), and its figures, files and HTML page.

`Comparison` is the result; `metric_inputs` passes each metric its arguments; `read` reads a saved
folder and compares its checksums.
"""

from __future__ import annotations

from keras_saliency.comparison.metric_inputs import MetricInputs
from keras_saliency.comparison.result import Comparison
from keras_saliency.comparison.table import labelled
from keras_saliency.comparison.writing import read

__all__ = ["Comparison", "MetricInputs", "labelled", "read"]

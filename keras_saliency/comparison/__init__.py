"""What compare() returns, and how it is drawn, written down and put on a page.

`Comparison` is the result; `handing` hands each metric what it needs, `labels` tells methods with
other options apart.
"""

from __future__ import annotations

from keras_saliency.comparison.handing import Handing
from keras_saliency.comparison.labels import labelled
from keras_saliency.comparison.result import Comparison

__all__ = ["Comparison", "Handing", "labelled"]

"""Scores of one picture's map against its human fixations, and their baselines.

`scores` has the metrics; `baselines` gives the bounds that a score is read between: the centre
bias below, and half of the observers as a model of the other half above.

Importing this package loads neither; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency.config import attach

if TYPE_CHECKING:
    from keras_saliency.fixation.metrics import baselines, scores

__all__ = ["baselines", "scores"]

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {}, __all__)

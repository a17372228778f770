"""Numbers that say how good a map is: the metrics, and what they are read between.

`fixation` scores one picture's map by its human fixations; `baselines` gives the figures that a
score is read between: the centre bias below, and what half of the observers say of the other half
above.
"""

from __future__ import annotations

from keras_saliency.metrics import baselines, fixation

__all__ = ["baselines", "fixation"]

"""Numbers that say how good a map is: the metrics, and what they are read between.

Which map deserves belief? A number for each picture, from plain arrays; what runs a model is handed
in as a function.

==================  =============================================================================
`curves`            deletion and insertion: the score as pixels go in the map's order
`road`              deletion, the missing pixels guessed from their neighbours
`confidence`        the score of what the map shows: average drop, increase in confidence
`faithfulness`      sensitivity-n, muFidelity, completeness: do attributions add up?
`infidelity`        do attributions say what a change does to the score?
`robustness`        max-sensitivity: how much a map changes when the picture hardly does
`complexity`        entropy and Gini index: how few pixels a map names
`localization`      pointing game, energy inside, overlap: against boxes and masks
`mosaics`           the grid pointing game: against pictures put side by side
`sanity`            randomised weights, random labels, another class
`forgetting`        randomised weights for one's own comparisons, and the model as it was
`agreement`         rank correlation and structural similarity of two maps
`summary`           the mean over pictures and its bootstrap interval
`registry`          all of these in a table: what each needs, and which way is better
==================  =============================================================================

Do people look there? `fixation` scores one picture's map by its human fixations; `baselines` gives
the figures that a score is read between: the centre bias below, and what half of the observers say
of the other half above.

Importing this package loads none of them; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency._lazy import attach

if TYPE_CHECKING:
    from keras_saliency.metrics import (
        agreement,
        baselines,
        complexity,
        confidence,
        curves,
        faithfulness,
        fixation,
        forgetting,
        infidelity,
        localization,
        mosaics,
        registry,
        road,
        robustness,
        sanity,
        summary,
    )

__all__ = [
    "agreement",
    "baselines",
    "complexity",
    "confidence",
    "curves",
    "faithfulness",
    "fixation",
    "forgetting",
    "infidelity",
    "localization",
    "mosaics",
    "registry",
    "road",
    "robustness",
    "sanity",
    "summary",
]

__getattr__, __dir__ = attach(__name__, {}, __all__)

"""Metrics of attribution maps: one number for each picture, from plain arrays.

Metrics that need a model take it as a function. Pictures (B, H, W, C) and maps (B, H, W) stand for
all inputs (B, *space, C) of one to three spatial axes, and maps (B, *space): signals, volumes,
videos, texts behind their Embedding, rows of a table with an axis for their only channel.
`registry.Metric.kinds` says which metric has a meaning for which.

==================  =============================================================================
`curves`            deletion and insertion: the score as pixels change in the map's order; the
                    score of the masked picture: average drop, increase in confidence
`road`              deletion with missing pixels imputed from their neighbours
`faithfulness`      sensitivity-n, muFidelity, completeness: do attributions add up?
`infidelity`        do attributions predict what a change does to the score? Max-sensitivity: how
                    much a map changes when the picture hardly does
`localization`      pointing game, energy inside, overlap: against boxes and masks; the grid
                    pointing game: against mosaics of pictures
`sanity`            randomised weights (for custom comparisons too), random labels, another
                    class
`agreement`         rank correlation and structural similarity of two maps; entropy and Gini
                    index: how few pixels a map highlights
`registry`          all of these in a table: what each needs, and which way is better; the mean
                    over pictures and its bootstrap interval
==================  =============================================================================

For agreement with human fixations see `keras_saliency.fixation.metrics`.

Importing this package loads none of them; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency.config import attach

if TYPE_CHECKING:
    from keras_saliency.metrics import (
        agreement,
        curves,
        faithfulness,
        infidelity,
        localization,
        registry,
        road,
        sanity,
    )

__all__ = [
    "agreement",
    "curves",
    "faithfulness",
    "infidelity",
    "localization",
    "registry",
    "road",
    "sanity",
]

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {}, __all__)

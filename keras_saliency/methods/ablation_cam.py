"""A layer's maps, each weighted by how far the score drops without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import Attribution, CamMethod, joined, why_zero

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class AblationCam(CamMethod):
    """ReLU(sum_k w_k A_k), w_k = (y - y without map k) / y: the share of the score lost with it.

    A map is removed by setting it to 0; the layers after it run again. A score below 0 flips the
    signs of the weights, so the map shows evidence against the target; this is a finding. For a
    score of 0 shares are undefined: the weights are then the drops themselves.

    Args:
        layer: As for `GradCam`.
        channels: Number of maps to use, those that vary most; ``None`` uses all.
        interpolation: As for `GradCam`.

    Example:
        >>> explain(model, img, methods.AblationCam(channels=2)).info["layer"]
        'backbone/conv5_block3_out'
    """

    needs_gradient = False
    reference = (
        "Desai, Ramaswamy: Ablation-CAM: Visual Explanations for Deep Convolutional Network via "
        "Gradient-free Localization, 2020, doi:10.1109/WACV45572.2020.9093360"
    )

    channels: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.channels is not None:
            self._require_count("channels")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.activations(self.layer)
        maps, whole = at.activations, engine.scores
        present = [  # without a map of zeros, nothing changes
            [k for k in resampling.most_varied(one, self.channels) if one[..., k].any()]
            for one in maps
        ]

        def without() -> Iterator[tuple[int, np.ndarray]]:
            for row, channels in enumerate(present):
                for k in channels:
                    variant = maps[row].copy()
                    variant[..., k] = 0
                    yield row, variant

        scores = engine.scores_of_activations(at, without(), sum(map(len, present)))
        grid = np.zeros(maps.shape[:-1])
        for row, channels in enumerate(present):
            drops = whole[row] - np.fromiter(islice(scores, len(channels)), np.float64)
            grid[row] = maps[row][..., channels] @ (drops / (whole[row] or 1))
        clipped = self.clipped(grid)
        zero = why_zero(at.layer, grid, clipped, maps)
        findings = joined([_findings(score) for score in whole], zero)
        grid = self.enlarged(engine, clipped)
        return self.attribution(at, grid, findings)


def _findings(score: float) -> tuple[str, ...]:
    if score < 0:
        return ("the score is negative: the map shows evidence against the target",)
    return () if score else ("the score is 0: the weights are drops of the score, not shares",)

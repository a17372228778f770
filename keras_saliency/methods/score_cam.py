"""A layer's maps, each weighted by the score of the picture masked by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import softmax

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import (
    INTERPOLATIONS,
    Attribution,
    CamMethod,
    Interpolation,
    PresetMixin,
    enlarge,
    joined,
    why_zero,
)

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_ROUNDING = 1e-6  # what varies by a smaller share is constant
_SAME = "the score is the same behind every mask: the map shows the layer's mean"


@dataclass(frozen=True)
class ScoreCam(PresetMixin, CamMethod):
    """ReLU(sum_k w_k A_k), w the softmax over k of the score of the picture masked by A_k.

    A map becomes a mask by enlarging it to the picture and scaling it to 0..1: 1 shows the
    picture, 0 its cover. A constant map is no mask and has the weight 0. One mask is in memory at
    a time. The score is the target's: with logits the softmax selects few maps, with probabilities
    it is nearly the mean of all.

    Args:
        layer: As for `GradCam`.
        channels: Number of maps to use, those that vary most; ``None`` uses all, with a run of
            the model for each.
        fill: What covers; see `keras_saliency._inputs.resampling.fill`.
        softmax: Whether the weights are the softmax of the scores over maps, or the scores.
        mask_interpolation: How maps are enlarged to masks, as for `GradCam`.
        interpolation: How the result is enlarged, as for `GradCam`.
        like: ``"tf-keras-vis"`` (set the target's ``score="probability"``, too) or
            ``"pytorch-grad-cam"``: that library's options, see docs/migrating.md.

    Example:
        >>> explain(model, img, methods.ScoreCam(channels=2)).info["layer"]
        'backbone/conv5_block3_out'
    """

    needs_gradient = False
    reference = "Wang et al.: Score-CAM: Score-Weighted Visual Explanations, 2020, arXiv:1910.01279"
    presets: ClassVar = {
        "tf-keras-vis": {
            "fill": 0.0,
            "softmax": False,
            "mask_interpolation": "corners",
            "interpolation": "corners",
        },
        "pytorch-grad-cam": {"fill": 0.0, "mask_interpolation": "corners"},
    }

    channels: int | None = None
    fill: Any = "black"
    softmax: bool = True
    mask_interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        known = self.mask_interpolation in INTERPOLATIONS
        self._require(known, "mask_interpolation", f"one of {INTERPOLATIONS}")
        if self.channels is not None:
            self._require_count("channels")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at, images, cover = engine.activations(self.layer), engine.images, engine.fill(self.fill)
        masks = [
            [k for k in resampling.most_varied(maps, self.channels) if _varies(maps[..., k])]
            for maps in at.activations
        ]

        def seen() -> Iterator[tuple[int, np.ndarray]]:
            for row, channels in enumerate(masks):
                for k in channels:
                    one = at.activations[row : row + 1, ..., k]
                    mask = enlarge(one, images.shape[1:-1], self.mask_interpolation)
                    mask = (mask[0, ..., None] - mask.min()) / (np.ptp(mask) or 1)
                    yield row, cover[row] + mask * (images[row] - cover[row])

        scores = engine.variant_scores(seen(), sum(map(len, masks)))
        grid, findings = np.zeros(at.activations.shape[:-1]), []
        for row, channels in enumerate(masks):
            answers = np.fromiter(islice(scores, len(channels)), np.float64)
            same = bool(channels) and not _varies(answers)
            findings.append((_SAME,) if same else ())
            if channels:
                weights = softmax(answers) if self.softmax else answers
                grid[row] = at.activations[row][..., channels] @ weights
        clipped = self.clipped(grid)
        zero = why_zero(at.layer, grid, clipped, at.activations)
        grid = self.enlarged(engine, clipped)
        return self.attribution(at, grid, joined(findings, zero))


def _varies(one: np.ndarray) -> bool:
    return bool(np.ptp(one) > _ROUNDING * np.abs(one).max())

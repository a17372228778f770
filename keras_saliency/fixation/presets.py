"""Recipes: what is built, and how it is trained. One name, one command, the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_saliency.errors import FixationModelError, did_you_mean


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        name: Of the stage.
        encoder: Whether the encoder learns too. Where it does not, its features are computed
            once and kept on disk. Its batch normalisation never learns.
        epochs: How many at most.
        rate: Peak learning rate of AdamW, reached from a tenth of it; a cosine brings it down to
            a fifth.
        rise: Steps over which the rate rises to its peak.
        patience: Epochs without a better validation loss before the stage ends.
        ema: Momentum of the average over the weights, which is what is validated and kept; None
            for none.
        weight_decay: Of AdamW.
    """

    name: str
    encoder: bool
    epochs: int
    rate: float
    rise: int = 100
    patience: int = 3
    ema: float | None = None
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        build: Arguments of `FixationModel`, all but ``weights`` and ``input_shape``.
        stages: What happens, in order.
        canvases: Heights and widths of the canvases in training.
        side: Height and width of the canvas in prediction.
        mirror: Whether prediction averages over the picture and its mirror image.
        batch_size: Pictures a step.
        loss: Weights of `FixationLoss`.
        about: What its card says first.
    """

    build: Mapping[str, Any]
    stages: tuple[Stage, ...]
    canvases: tuple[tuple[int, int], ...] = ((288, 384),)
    side: int = 384
    mirror: bool = False
    batch_size: int = 8
    loss: dict[str, float] = field(default_factory=lambda: {"kld": 1.0})
    about: str = ""


PRESETS: dict[str, Preset] = {
    "default": Preset(
        build={"encoder": "efficientnet_lite0", "decoder": "readout", "dropout": 0.3},
        stages=(
            Stage("readout", encoder=False, epochs=7, rate=1e-3, ema=0.99),
            Stage("all", encoder=True, epochs=4, rate=5e-5, ema=0.99),
        ),
        canvases=((384, 512),),
        side=512,
        about="Where people look in the first seconds of free viewing, at photographs.",
    ),
    "resnet50": Preset(
        build={"encoder": "resnet50", "decoder": "readout"},
        stages=(
            Stage("readout", encoder=False, epochs=8, rate=1e-3),
            Stage("all", encoder=True, epochs=8, rate=2e-5, ema=0.995),
        ),
        canvases=((512, 512),),
        side=512,
        batch_size=4,
    ),
}


def find(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        FixationModelError: There is none.
    """
    if name not in PRESETS:
        raise FixationModelError(
            f"The preset {name!r} was asked for.",
            f"Known: {', '.join(PRESETS)}.",
            did_you_mean(name, PRESETS) or "Choose one of these.",
            "help(keras_saliency.fixation.presets)",
        )
    return PRESETS[name]

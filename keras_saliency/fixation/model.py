"""The encoder-decoder: a picture in, the log density of human fixations out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import keras

from keras_saliency.errors import FixationModelError, did_you_mean
from keras_saliency.fixation import encoder_decoder
from keras_saliency.fixation.encoder_decoder import DECODERS
from keras_saliency.fixation.layers import LogDensity, Pixels

STRIDE = 32  # of the coarsest tap: heights and widths are multiples of it
_READ = "help(keras_saliency.fixation.FixationModel)"


def FixationModel(
    encoder: str = "resnet50",
    decoder: str = "readout",
    *,
    input_shape: tuple[int | None, int | None, int] = (512, 512, 3),
    weights: str | PathLike[str] | None = "imagenet",
    name: str | None = None,
    **options: Any,
) -> keras.Model:
    """Build a network that predicts where people look at a picture.

    Args:
        encoder: ``"resnet50"``, ``"efficientnet_lite0"``, ``"mobilenet_v2"`` or ``"vgg16"``.
        decoder: ``"readout"`` reads three levels, with context, learned smoothing and learned
            centre bias; ``"plain"`` is five upsampling stages (1024-512-256-128-64) and a sigmoid.
        input_shape: Height, width and 3. Height and width are multiples of 32, or None for any.
            The weights do not depend on them.
        weights: The encoder's: ``"imagenet"`` (Keras downloads them; EfficientNet-Lite0's come
            from the extra ``pretrained``), ``None`` for random ones, or the path of a weights file
            without the classifier. For a trained fixation model see ``load_model``.
        name: The model's name, ``"fixation_"`` and the encoder's unless given.
        **options: Of the decoder: ``filters`` and ``dropout`` for ``"readout"``; ``filters``, a
            tuple of five, for ``"plain"``.

    Returns:
        A functional model with the layers ``pixels``, ``encoder`` and ``decoder``. Input: RGB
        (B, H, W, 3), 0..255, **not** preprocessed, NaN where a canvas holds no picture. Output:
        (B, H, W, 1) float32, natural logarithm of a density whose sum over the picture is 1;
        -10000 on padding.

    Raises:
        FixationModelError: There is no such encoder, decoder or option, or height or width is not
            a multiple of 32.
        ModelFileError: The weights are absent or those of another network.
        PretrainedError: EfficientNet-Lite0's weights are not installed.

    Source:
        The readout: see ``encoder_decoder.readout``. ResNet-50: He et al. 2015, arXiv:1512.03385.

    Example:
        >>> model = FixationModel("mobilenet_v2", input_shape=(64, 96, 3), weights=None)
        >>> log_density = model.predict(np.full((1, 64, 96, 3), 127, "uint8"), verbose=0)
        >>> log_density.shape, round(float(np.exp(log_density).sum()), 3)
        ((1, 64, 96, 1), 1.0)
    """
    _check(encoder, decoder, input_shape)
    entry = encoder_decoder.ENCODERS[encoder]
    image = keras.Input(input_shape, name="image")
    pixels, mask = Pixels(**entry.pixels, name="pixels")(image)
    network = encoder_decoder.build(encoder, weights, tuple(input_shape))
    taps = [
        keras.Input(tap.shape[1:], name=f"tap_{stride}")
        for tap, stride in zip(network.outputs, (8, 16, 32), strict=True)
    ]
    picture = keras.Input((*input_shape[:2], 1), name="mask")
    try:
        logits = DECODERS[decoder](taps, picture, drawn=weights != encoder_decoder.BLANK, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise FixationModelError(
            f"Expected options that the decoder {decoder!r} takes.",
            f"Got {sorted(options)}: {error}.",
            "Leave out the unknown option.",
            _READ,
        ) from None
    density = LogDensity(name="log_density")(logits, picture)
    read = keras.Model([*taps, picture], density, name="decoder")
    output = read([*network(pixels), mask])
    return keras.Model(image, output, name=name or f"fixation_{encoder}")


def _check(encoder: str, decoder: str, shape: tuple[int | None, int | None, int]) -> None:
    for kind, name, known in (
        ("encoder", encoder, encoder_decoder.ENCODERS),
        ("decoder", decoder, DECODERS),
    ):
        if name not in known:
            raise FixationModelError(
                f"No {kind} is called {name!r}.",
                f"Known: {', '.join(known)}.",
                did_you_mean(name, known) or "Choose one of these.",
                _READ,
            )
    lengths = [n for n in shape[:2] if n is not None]
    if len(shape) != 3 or shape[2] != 3 or any(n % STRIDE or n < STRIDE for n in lengths):
        raise FixationModelError(
            f"Expected input_shape: height, width (multiples of {STRIDE} or None), 3 channels.",
            f"Got input_shape={tuple(shape)}.",
            "Use input_shape=(512, 512, 3).",
            _READ,
        )


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        name: Of the stage.
        encoder: Whether the encoder learns too. Where it does not, its features are computed
            once and stored on disk. Its batch normalisation never learns.
        epochs: How many at most.
        rate: Peak learning rate of AdamW, reached from a tenth of it; a cosine brings it down to
            a fifth.
        rise: Steps over which the rate rises to its peak.
        patience: Epochs without a better validation loss before the stage ends.
        ema: Momentum of the average over the weights, which is what is validated and saved; None
            for no average.
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
            f"No preset is called {name!r}.",
            f"Known: {', '.join(PRESETS)}.",
            did_you_mean(name, PRESETS) or "Choose one of these.",
            "help(keras_saliency.fixation.model)",
        )
    return PRESETS[name]

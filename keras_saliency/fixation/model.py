"""The encoder-decoder: a picture in, the log density of human fixations out."""

from __future__ import annotations

from os import PathLike
from typing import Any

import keras

from keras_saliency.errors import FixationModelError, did_you_mean
from keras_saliency.fixation import encoders
from keras_saliency.fixation.decoders import DECODERS
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
        FixationModelError: There is no such encoder, decoder or option, or a side is not a
            multiple of 32.
        ModelFileError: The weights are absent or those of another network.
        PretrainedError: EfficientNet-Lite0's weights are not installed.

    Source:
        The readout: see ``keras_saliency.fixation.decoders.readout``. ResNet-50: He et al. 2015,
        arXiv:1512.03385.

    Example:
        >>> model = FixationModel("mobilenet_v2", input_shape=(64, 96, 3), weights=None)
        >>> log_density = model.predict(np.full((1, 64, 96, 3), 127, "uint8"), verbose=0)
        >>> log_density.shape, round(float(np.exp(log_density).sum()), 3)
        ((1, 64, 96, 1), 1.0)
    """
    _check(encoder, decoder, input_shape)
    entry = encoders.ENCODERS[encoder]
    image = keras.Input(input_shape, name="image")
    pixels, mask = Pixels(**entry.pixels, name="pixels")(image)
    network = encoders.build(encoder, weights, tuple(input_shape))
    taps = [
        keras.Input(tap.shape[1:], name=f"tap_{stride}")
        for tap, stride in zip(network.outputs, (8, 16, 32), strict=True)
    ]
    picture = keras.Input((*input_shape[:2], 1), name="mask")
    try:
        logits = DECODERS[decoder](taps, picture, drawn=weights != encoders.BLANK, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise FixationModelError(
            f"The decoder {decoder!r} was asked for with {sorted(options)}.",
            f"It takes no such option: {error}.",
            "Leave it out.",
            _READ,
        ) from None
    density = LogDensity(name="log_density")(logits, picture)
    read = keras.Model([*taps, picture], density, name="decoder")
    output = read([*network(pixels), mask])
    return keras.Model(image, output, name=name or f"fixation_{encoder}")


def _check(encoder: str, decoder: str, shape: tuple[int | None, int | None, int]) -> None:
    for kind, asked, known in (
        ("encoder", encoder, encoders.ENCODERS),
        ("decoder", decoder, DECODERS),
    ):
        if asked not in known:
            raise FixationModelError(
                f"A fixation model with the {kind} {asked!r} was asked for.",
                f"Known: {', '.join(known)}.",
                did_you_mean(asked, known) or "Choose one of these.",
                _READ,
            )
    sides = [side for side in shape[:2] if side is not None]
    if len(shape) != 3 or shape[2] != 3 or any(side % STRIDE or side < STRIDE for side in sides):
        raise FixationModelError(
            f"A fixation model for pictures of shape {tuple(shape)} was asked for.",
            f"Height and width must be multiples of {STRIDE}, or None, and there are 3 channels.",
            "Use input_shape=(512, 512, 3).",
            _READ,
        )

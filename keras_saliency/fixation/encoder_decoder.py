"""The encoder-decoder: a picture in, the log density of human fixations out; its two halves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import keras
from keras import layers

from keras_saliency.errors import FixationModelError, ModelFileError, did_you_mean
from keras_saliency.fixation.layers import (
    Bilinear,
    CentreBias,
    Logarithm,
    LogDensity,
    Pixels,
    Smoothing,
)
from keras_saliency.pretrained import apply_features, efficientnet_lite0, restore_initializers

BLANK = "blank"  # weights that are filled in later: drawing random ones takes JAX half a minute
_READ = "help(keras_saliency.fixation.FixationModel)"
STRIDE = 32  # of the coarsest tap: heights and widths are multiples of it
_CAFFE = {"mean": (103.939, 116.779, 123.68), "scale": 1.0, "reverse": True}


@dataclass(frozen=True)
class Encoder:
    """How a network is built, where it is tapped, and how pixels are preprocessed for it.

    Attributes:
        build: ``build(weights, input_shape)`` returns the network without its top.
        taps: Names of the layers at strides 8, 16 and 32.
        pixels: Arguments of the layer ``Pixels``.
    """

    build: Callable[[Any, tuple], Any]
    taps: tuple[str, str, str]
    pixels: dict[str, Any]


def _lite0(weights: Any, shape: tuple) -> Any:
    if weights == BLANK:
        image = keras.Input(shape)
        network = keras.Model(image, apply_features(keras.layers, image, "zeros"))
        restore_initializers(keras, network)
        return network
    weights = "pretrained" if weights == "imagenet" else weights
    return efficientnet_lite0(weights, input_shape=shape, include_top=False)


def _application(name: str) -> Callable[[Any, tuple], Any]:
    def build(weights: Any, shape: tuple) -> Any:
        if keras.config.image_data_format() != "channels_last":
            raise FixationModelError(
                f"Expected the image data format channels_last to build {name}.",
                "Got channels_first, which keras.applications follow.",
                "Call keras.config.set_image_data_format('channels_last') first.",
                _READ,
            )
        make = getattr(keras.applications, name)
        if weights in (None, "imagenet", BLANK):
            weights = None if weights == BLANK else weights
            return make(include_top=False, weights=weights, input_shape=shape)
        return _loaded(make(include_top=False, weights=None, input_shape=shape), weights)

    return build


def _loaded(network: Any, path: str | PathLike[str]) -> Any:
    result = "No such file."
    if os.path.isfile(path):
        try:
            network.load_weights(path)
        except Exception as error:
            result = f"Keras reports: {error}"
        else:
            return network
    raise ModelFileError(
        f"Cannot load the weights of the encoder {network.name} from {str(path)!r}.",
        result,
        "Pass weights='imagenet', weights=None, or a file saved from that network without its top.",
        _READ,
    )


ENCODERS = {
    "efficientnet_lite0": Encoder(
        _lite0,
        ("block3b_add", "block5c_add", "block7a_project_bn"),
        {"mean": (127.0, 127.0, 127.0), "scale": 1 / 128},
    ),
    "mobilenet_v2": Encoder(
        _application("MobileNetV2"),
        ("block_6_expand_relu", "block_13_expand_relu", "out_relu"),
        {"mean": (127.5, 127.5, 127.5), "scale": 1 / 127.5},
    ),
    "resnet50": Encoder(
        _application("ResNet50"),
        ("conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        _CAFFE,
    ),
    "vgg16": Encoder(_application("VGG16"), ("block3_pool", "block4_pool", "block5_pool"), _CAFFE),
}


def build(name: str, weights: str | PathLike[str] | None, shape: tuple) -> Any:
    """Return a model from an encoder's input to its three taps, finest first.

    Args:
        name: One of ``ENCODERS``.
        weights: ``"imagenet"``, ``None`` (random) or the path of a weights file without the top.
        shape: Height, width (each may be None) and 3.
    """
    encoder = ENCODERS[name]
    network = encoder.build(weights, shape)
    taps = [network.get_layer(tap).output for tap in encoder.taps]
    return keras.Model(network.inputs, taps, name="encoder")


_LAST = {"data_format": "channels_last"}


def _conv(x: Any, filters: int, kernel: int, name: str, drawn: bool, rate: int = 1) -> Any:
    return layers.Conv2D(
        filters,
        kernel,
        padding="same",
        dilation_rate=rate,
        activation="relu",
        kernel_initializer="he_normal" if drawn else "zeros",
        name=name,
        **_LAST,
    )(x)


def readout(
    taps: list[Any], mask: Any, filters: int = 128, dropout: float = 0.2, drawn: bool = True
) -> Any:
    """The multi-level readout: context at the coarsest tap, then finer taps joined on the way up.

    Context by parallel dilated convolutions and the picture's mean (MSI-Net, Kroner et al. 2020,
    1902.06634); levels joined by addition (Lin et al. 2017, 1612.03144) and read together
    (EML-NET, Jia & Bruce 2020, 1805.01047); smoothing and centre bias learned (DeepGaze II,
    Kümmerer et al. 2016, 1610.01563).

    Args:
        taps: Keras tensors at strides 8, 16, 32.
        mask: Keras tensor (B, H, W, 1), 1 on the picture.
        filters: Channels of the coarse levels.
        dropout: Share of channels dropped in training.
        drawn: Whether kernels are drawn; ``False`` leaves zeros, to be filled.

    Returns:
        Keras tensor (B, H, W, 1), logits.
    """
    fine, middle, coarse = taps
    x = _conv(coarse, filters, 1, "coarse", drawn)
    branches = [_conv(x, filters // 2, 3, f"context_{rate}", drawn, rate) for rate in (1, 2, 4)]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="context_mean", **_LAST)(x)
    mean = layers.Dense(
        filters,
        activation="relu",
        kernel_initializer="glorot_uniform" if drawn else "zeros",
        name="context_dense",
    )(mean)
    x = _conv(
        layers.Concatenate(name="context")([x, *branches]), filters, 1, "context_joined", drawn
    )
    x = layers.Add(name="context_added")([x, mean])
    x = layers.SpatialDropout2D(dropout, name="coarse_dropout", **_LAST)(x)

    x = layers.Add(name="middle_added")(
        [Bilinear(2, name="coarse_up")(x), _conv(middle, filters, 1, "middle", drawn)]
    )
    x = _conv(x, filters, 3, "middle_read", drawn)
    x = layers.SpatialDropout2D(dropout, name="middle_dropout", **_LAST)(x)

    skip = _conv(fine, filters // 2, 1, "fine", drawn)
    x = layers.Concatenate(name="fine_joined")([Bilinear(2, name="middle_up")(x), skip])
    x = _conv(x, filters // 2, 3, "fine_read", drawn)
    x = _conv(x, filters // 4, 1, "readout", drawn)
    x = layers.Conv2D(
        1,
        1,
        use_bias=False,
        kernel_initializer="glorot_uniform" if drawn else "zeros",
        name="logits",
        **_LAST,
    )(x)
    cells = layers.MaxPooling2D(8, name="cells", dtype="float32", **_LAST)(mask)
    x = Smoothing(name="smoothing", dtype="float32")(x, cells)
    x = Bilinear(8, name="fine_up", dtype="float32")(x)
    return CentreBias(name="centre_bias", dtype="float32")(x, mask)


def plain(
    taps: list[Any],
    mask: Any,
    filters: tuple[int, ...] = (1024, 512, 256, 128, 64),
    drawn: bool = True,
) -> Any:
    """The plain decoder: five times a convolution and an upsampling, then a sigmoid.

    The sigmoid's map, 0..1, is the output of the layer ``saliency``.

    Args:
        taps: Keras tensors at strides 8, 16, 32; only the last is read.
        mask: Not used: there is no prior over positions.
        filters: Channels of the five stages.
        drawn: Whether kernels are drawn; ``False`` leaves zeros, to be filled.

    Returns:
        Keras tensor (B, H, W, 1), the logarithm of the sigmoid.

    Raises:
        FixationModelError: The stages are not five.
    """
    if len(filters) != 5:
        raise FixationModelError(
            "Expected filters for the five stages, which enlarge 32 times together.",
            f"Got filters={filters}, {len(filters)} numbers.",
            "Pass five numbers of channels.",
            "help(keras_saliency.fixation.FixationModel)",
        )
    x = taps[-1]
    for stage, count in enumerate(filters, start=1):
        x = _conv(x, count, 3, f"stage{stage}", drawn)
        x = Bilinear(2, name=f"stage{stage}_up")(x)
    x = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="saliency", **_LAST)(x)
    return Logarithm(name="logarithm", dtype="float32")(x)


DECODERS: dict[str, Callable[..., Any]] = {"readout": readout, "plain": plain}


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
        The readout: see ``readout``. ResNet-50: He et al. 2015, arXiv:1512.03385.

    Example:
        >>> model = FixationModel("mobilenet_v2", input_shape=(64, 96, 3), weights=None)
        >>> log_density = model.predict(np.full((1, 64, 96, 3), 127, "uint8"), verbose=0)
        >>> log_density.shape, round(float(np.exp(log_density).sum()), 3)
        ((1, 64, 96, 1), 1.0)
    """
    _check(encoder, decoder, input_shape)
    entry = ENCODERS[encoder]
    image = keras.Input(input_shape, name="image")
    pixels, mask = Pixels(**entry.pixels, name="pixels")(image)
    network = build(encoder, weights, tuple(input_shape))
    taps = [
        keras.Input(tap.shape[1:], name=f"tap_{stride}")
        for tap, stride in zip(network.outputs, (8, 16, 32), strict=True)
    ]
    picture = keras.Input((*input_shape[:2], 1), name="mask")
    try:
        logits = DECODERS[decoder](taps, picture, drawn=weights != BLANK, **options)
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
        ("encoder", encoder, ENCODERS),
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

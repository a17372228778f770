"""From an encoder's taps to the logits of a density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_saliency.errors import FixationModelError
from keras_saliency.fixation.layers import Bilinear, CentreBias, Logarithm, Smoothing

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
        mask: Not used: there is no prior over places.
        filters: Channels of the five stages.
        drawn: Whether kernels are drawn; ``False`` leaves zeros, to be filled.

    Returns:
        Keras tensor (B, H, W, 1), the logarithm of the sigmoid.

    Raises:
        FixationModelError: The stages are not five.
    """
    if len(filters) != 5:
        raise FixationModelError(
            f"The plain decoder was asked for with filters={filters}.",
            f"Its five stages enlarge 32 times; these are {len(filters)}.",
            "Give five numbers of channels.",
            "help(keras_saliency.fixation.FixationModel)",
        )
    x = taps[-1]
    for stage, count in enumerate(filters, start=1):
        x = _conv(x, count, 3, f"stage{stage}", drawn)
        x = Bilinear(2, name=f"stage{stage}_up")(x)
    x = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="saliency", **_LAST)(x)
    return Logarithm(name="logarithm", dtype="float32")(x)


DECODERS: dict[str, Callable[..., Any]] = {"readout": readout, "plain": plain}

"""An encoder of three convolutions: fixation models that compile in a second."""

import keras

from keras_saliency.fixation.encoder_decoder import ENCODERS, Encoder


def _network(weights, shape):
    image = keras.Input(shape)
    x = image
    for name, stride, filters in (("stem", 4, 8), ("a", 2, 8), ("b", 2, 8), ("c", 2, 8)):
        x = keras.layers.Conv2D(
            filters, 3, stride, padding="same", use_bias=False, name=name,
            data_format="channels_last", kernel_initializer="zeros" if weights == "blank" else
            keras.initializers.VarianceScaling(2.0, seed=filters + stride + len(name)),
        )(x)  # fmt: skip
        x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    return keras.Model(image, x)


TINY = Encoder(
    _network,
    ("a_relu", "b_relu", "c_relu"),
    {"mean": (127.0, 127.0, 127.0), "scale": 1 / 128},
)


def register():
    """Make ``FixationModel("tiny")`` possible."""
    ENCODERS["tiny"] = TINY

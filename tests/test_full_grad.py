"""FullGrad: what it collects is the score, to the last bias."""

from functools import cache

import keras
import models
import networks
import numpy as np
import pytest
from keras import layers, ops
from relevance_twin import close, drawn, pictures

from keras_saliency import explain, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs import resampling
from keras_saliency._inputs.batch import prepare
from keras_saliency._rules import Biases

SHAPE = (8, 10, 2)


class Block(layers.Layer):
    """A layer of one's own around two others."""

    def __init__(self):
        super().__init__()
        self.one = layers.Conv2D(3, 3, padding="same", activation="relu")
        self.two = layers.Conv2D(3, 3, padding="same")

    def call(self, x):
        return self.two(self.one(x)) + x


def _shared(x):
    conv = layers.Conv2D(3, 3, padding="same", activation="relu")
    return conv(conv(x))


def _nested(x):
    inner = keras.Input(x.shape[1:])
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(2, 2)(inner)))
    return keras.Model(inner, y)(x)


NETWORKS = {  # the part, and how many biases it has
    "conv": (lambda x: layers.Conv2D(4, 3, activation="relu")(x), 1),
    "leaky": (lambda x: layers.LeakyReLU()(layers.Conv2D(4, 3)(x)), 1),
    "norm": (lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(x))), 2),
    "bare norm": (lambda x: layers.BatchNormalization(scale=False, center=False)(x), 1),
    "residual": (lambda x: layers.Add()([x, layers.Conv2D(3, 1, activation="relu")(x)]), 1),
    "depthwise": (lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x), 1),
    "separable": (lambda x: layers.SeparableConv2D(4, 3, activation="relu")(x), 1),
    "transposed": (lambda x: layers.Conv2DTranspose(2, 3, strides=2, activation="relu")(x), 1),
    "max-pool": (lambda x: layers.MaxPooling2D(2)(layers.Conv2D(4, 3)(x)), 1),
    "nested": (_nested, 2),
    "shared": (_shared, 2),
    "own": (lambda x: Block()(x), 2),
    "dense on maps": (lambda x: layers.Dense(4, activation="relu")(x), 1),
    "norm of rows": (lambda x: layers.ReLU()(layers.BatchNormalization(axis=1)(x)), 1),
    "dense": (lambda x: layers.Dense(6, activation="relu")(layers.Flatten()(x)), 1),
    "conv 1": (lambda x: layers.Conv1D(3, 2)(layers.Reshape((8, 30))(x)), 1),
    "1x1 maps": (
        lambda x: layers.Conv2D(4, 1, activation="relu")(
            layers.GlobalAveragePooling2D(keepdims=True)(x)
        ),
        1,
    ),
}


@cache
def network(name):
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(3, 1, name="start")(inputs)
    x = layers.Flatten()(NETWORKS[name][0](x))
    return drawn(keras.Model(inputs, layers.Dense(3, name="head")(x)))


@pytest.mark.parametrize("name", NETWORKS)
def test_picture_and_biases_sum_to_the_score(name):
    e = explain(network(name), pictures(SHAPE, 3), "full_grad", target=[0, 1, 2])
    assert e.info["biases"] == NETWORKS[name][1] + 2
    for check in e.checks:
        assert check["decomposition_error"] < 1e-4
    assert (e.values >= 0).all()


def test_what_is_no_rectifier_is_named_by_the_error():
    inputs = keras.Input(SHAPE)
    x = layers.Flatten()(layers.Conv2D(3, 3, activation="tanh")(inputs))
    model = drawn(keras.Model(inputs, layers.Dense(3)(x)))
    e = explain(model, pictures(SHAPE), "full_grad", target=0)
    assert min(check["decomposition_error"] for check in e.checks) > 1e-3


# --- the terms, one by one


@cache
def three(kind="relu"):
    """Convolution, convolution with a norm, dense: with no layer twice."""
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, strides=2, activation=kind, name="one")(inputs)
    x = layers.Conv2D(3, 2, name="two")(x)
    x = layers.Activation(kind)(layers.BatchNormalization(name="norm")(x))
    return drawn(keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x))))


def collected(model, x, target=1):
    adapter = Adapter(model)
    engine = Engine(adapter, targets.get(target), prepare(adapter, x))
    return engine.backward(Biases()), engine


def slope_by_bias(model, x, layer, target=1):
    """d score / d bias (K,) of one picture, by central differences."""
    variable = layer.beta if hasattr(layer, "beta") else layer.bias
    value, step, slopes = np.array(variable), 1e-2, []
    for channel in range(len(value)):
        scores = []
        for sign in (1, -1):
            variable.assign(value + sign * step * np.eye(len(value))[channel])
            scores.append(float(ops.convert_to_numpy(model(x[None]))[0, target]))
        slopes.append((scores[0] - scores[1]) / (2 * step))
    variable.assign(value)
    return np.array(slopes)


def biases_of(layer):
    if not hasattr(layer, "beta"):
        return np.array(layer.bias)
    scale = np.array(layer.gamma) / np.sqrt(np.array(layer.moving_variance) + layer.epsilon)
    return np.array(layer.beta) - np.array(layer.moving_mean) * scale


def test_each_term_is_the_bias_times_the_slope_by_it():
    model, x = three("tanh"), pictures(SHAPE)  # smooth: a step crosses no kink
    result, _ = collected(model, x)
    order = [model.get_layer(name) for name in ("one", "two", "norm", "head")]
    assert [one.shape[1:3] for one in result.collected] == [(3, 4), (2, 3), (2, 3), (1, 1)]
    for layer, terms in zip(order, result.collected, strict=True):
        for one, picture in zip(terms, x, strict=True):
            wanted = (slope_by_bias(model, picture, layer) * biases_of(layer)).sum()
            np.testing.assert_allclose(one[..., 1].sum(), wanted, rtol=5e-3, atol=1e-4)
            assert (one[..., 0] >= np.abs(one[..., 1]) - 1e-6).all()


def test_the_map_by_hand():
    """The layers' own gradients, times their biases, enlarged and added up."""
    model, x = three(), pictures(SHAPE)
    e = explain(model, x, "full_grad", target=1)
    gradient = explain(model, x, "gradient", target=1).attributions
    adapter = Adapter(model)
    engine = Engine(adapter, targets.get(1), prepare(adapter, x))
    wanted = np.abs(x * gradient).sum(-1).astype("float64")
    for name in ("two", "norm"):  # what follows their bias directly is their output
        at = engine.layer_gradient(name)
        terms = np.abs(at.gradients * biases_of(model.get_layer(name))).sum(-1)
        wanted += resampling.resize(terms, SHAPE[:2])
    at = engine.layer_gradient("one")  # its bias stands before its activation
    terms = np.abs(at.gradients * (at.activations > 0) * biases_of(model.get_layer("one"))).sum(-1)
    close(e.values, wanted + resampling.resize(terms, SHAPE[:2]))


def test_no_bias_at_all():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(3, 3, use_bias=False, activation="relu")(inputs)
    x = layers.Dense(3, use_bias=False)(layers.Flatten()(x))
    model, x = drawn(keras.Model(inputs, x)), pictures(SHAPE)
    e = explain(model, x, "full_grad", target=1)
    gradient = explain(model, x, "gradient", target=1).attributions
    close(e.values, np.abs(x * gradient).sum(-1))
    assert e.info["biases"] == 0
    assert e.checks[0]["decomposition_error"] < 1e-4


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="not on this CPU")
@pytest.mark.parametrize("end", ["pool", "dense", "norm"])
def test_channels_first(end):
    def model(form):
        first = form == "channels_first"
        inputs = keras.Input((2, 8, 10) if first else SHAPE)
        x = layers.Conv2D(3, 3, data_format=form, activation="relu")(inputs)
        x = layers.BatchNormalization(axis=1 if first else -1)(x)
        if end != "pool":  # a layer that does not know how the model lays out its maps
            x = layers.Permute((2, 3, 1))(x) if first else x
            x = layers.Dense(4)(x) if end == "dense" else layers.BatchNormalization()(x)
            form = "channels_last"
        x = layers.GlobalAveragePooling2D(data_format=form)(layers.ReLU()(x))
        return drawn(keras.Model(inputs, layers.Dense(3)(x)))

    x = pictures(SHAPE)
    first, last = (
        explain(model(form), x, "full_grad", target=1)
        for form in ("channels_first", "channels_last")
    )
    close(first.values, last.values)
    assert first.checks[0]["decomposition_error"] < 1e-4


def test_batches_are_singles():
    x = pictures(SHAPE, 3)
    together = explain(three(), x, "full_grad", target=[0, 1, 2], batch_size=2)
    for row in range(3):
        close(together.values[row], explain(three(), x[row], "full_grad", target=row).values[0])


@pytest.mark.parametrize("shape", ["nested", "subclassed", "softmax_layer"])
def test_other_clothes(shape):
    x = models.pictures(2)
    wanted = explain(models.flat(), x, "full_grad", target=1)
    result = explain(getattr(models, shape)(), x, "full_grad", target=1)
    close(result.values, wanted.values)
    assert result.info["biases"] == wanted.info["biases"] == 4


def test_on_c():
    """C's convolution has the biases -50 and -75; channel 1 counts -1 where it is on."""
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    result, engine = collected(networks.conv_c(), x, target=0)
    convolution, dense = result.collected
    assert convolution[0, ..., 0].tolist() == [[0, 50], [125, 125]]
    assert convolution[0, ..., 1].tolist() == [[0, -50], [25, 25]]
    assert not dense.any()
    assert (result.values * x).sum() == engine.scores[0] == 54

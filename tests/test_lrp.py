"""Layer-wise relevance propagation through whole networks."""

from functools import cache

import keras
import networks
import numpy as np
import pytest
from keras import layers, ops
from relevance_twin import (
    HIGH,
    LOW,
    close,
    drawn,
    matrix,
    parts_of,
    pictures,
    relevance_of,
    side_by_side,
    twin,
    weights_of_total,
)  # fmt: skip

from keras_saliency import explain, methods, targets
from keras_saliency._rules import sharing

EPSILON = sharing.Epsilon()
ARANGE = np.arange(16, dtype="float32").reshape(4, 4, 1)


# --- numbers


def test_epsilon_on_c():
    e = explain(networks.conv_c(), ARANGE, methods.LRP("epsilon"))
    wanted = [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]
    np.testing.assert_allclose(e.attributions[0, ..., 0], wanted, atol=1e-4)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z_plus"])
def test_three_to_three_to_one(rule):
    inputs = keras.Input((1, 3, 1))
    x = layers.Dense(3, use_bias=False, activation="relu")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(x))
    model.set_weights([np.full((3, 3), 2.0), np.full((3, 1), 3.0)])
    e = explain(model, networks.vector(1, 2, 3), methods.LRP(rule))
    np.testing.assert_allclose(e.values[0, 0], [18, 36, 54], rtol=1e-5)
    assert e.checks[0]["conservation_error"] < 1e-5


# --- what passes relevance on

PASSING = {
    "ReLU": layers.ReLU, "LeakyReLU": layers.LeakyReLU, "ReLU6": lambda: layers.ReLU(max_value=6),
    "PReLU": layers.PReLU, "ELU": layers.ELU, "Softmax": layers.Softmax,
    **{f"Activation({n})": lambda n=n: layers.Activation(n) for n in (
        "relu", "leaky_relu", "relu6", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax",
        "selu", "softplus", "hard_sigmoid", "hard_silu", "mish")},
    **{f"ops.{n}": lambda n=n: getattr(ops, n) for n in (
        "relu", "leaky_relu", "relu6", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax",
        "exp", "square", "abs", "swish")},
    "activations.relu": lambda: keras.activations.relu,
    "clip": lambda: lambda x: ops.clip(x, -1.0, 0.5),
    "Rescaling": lambda: layers.Rescaling(1 / 127.5, offset=-1),
    "Dropout": lambda: layers.Dropout(0.5), "Noise": lambda: layers.GaussianNoise(0.5),
    "SpatialDropout": lambda: layers.SpatialDropout2D(0.5), "Identity": layers.Identity,
    "flip": lambda: layers.RandomFlip(),
    "scaled": lambda: lambda x: 3 * x, "/": lambda: lambda x: x / 3,
}  # fmt: skip


def test_passes_relevance_on():
    shape = (2, 3, 2)
    model, singles = side_by_side(shape, {name: make() for name, make in PASSING.items()})
    x = pictures((2, 3, 2 * len(singles)))
    relevance = relevance_of(model, x, EPSILON).values
    given = parts_of(x, singles, shape)
    for (name, single, result, weights), (_, _, own, _) in zip(
        parts_of(relevance, singles, shape), given, strict=True
    ):
        outputs = ops.convert_to_numpy(single(own, training=False))
        close(result, weights.reshape(shape) * outputs, name=name)


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "softmax"])
def test_an_activation_of_a_layer_is_one_of_its_own(name):
    def model(activation, *more):
        inputs = keras.Input((2, 3, 2))
        conv = layers.Conv2D(2, 2, activation=activation, padding="same")
        return drawn(keras.Sequential([inputs, conv, *more]))

    x = pictures((2, 3, 2))
    result = relevance_of(model(name), x, EPSILON).values
    close(result, relevance_of(model(None, layers.Activation(name)), x, EPSILON).values)


# --- what moves or sums: each is a matrix

SUMS = {
    "AveragePooling": lambda x: layers.AveragePooling2D(2, strides=1, padding="same")(x),
    "GlobalAveragePooling": lambda x: layers.GlobalAveragePooling2D()(x),
    "UpSampling": lambda x: layers.UpSampling2D(2)(x),
    "bilinear": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x),
    "Resizing": lambda x: layers.Resizing(5, 7)(x),
    "ZeroPadding": lambda x: layers.ZeroPadding2D(1)(x),
    "Cropping": lambda x: layers.Cropping2D(((1, 0), (0, 2)))(x),
    "Reshape": lambda x: layers.Reshape((4, 6))(x),
    "Permute": lambda x: layers.Permute((3, 1, 2))(x),
    "Flatten": lambda x: layers.Flatten()(x),
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "sum": lambda x: ops.sum(x, axis=-1),
    "transpose": lambda x: ops.transpose(x, (0, 3, 2, 1)),
    "item": lambda x: x[:, 1:, :, 0],
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))),
    "Concatenate": lambda x: layers.Concatenate(axis=1)([x, x[:, 1:]]),
    "stack": lambda x: ops.stack([x, x], axis=1),
    "squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "Add": lambda x: layers.Add()([x, ops.flip(x, 1), ops.roll(x, 1, axis=2)]),
    "+": lambda x: x + ops.flip(x, 1),
    "Average": lambda x: layers.Average()([x, ops.flip(x, 1), ops.flip(x, 2)]),
    "Subtract": lambda x: layers.Subtract()([x, ops.flip(x, 1)]),
    "-": lambda x: x - ops.roll(x, 1, axis=1),
}


def test_sums_share_by_contribution():
    shape = (3, 4, 2)
    model, singles = side_by_side(shape, SUMS)
    x = pictures((3, 4, 2 * len(SUMS)))
    relevance = relevance_of(model, x, EPSILON).values
    given = parts_of(x.astype("float64"), singles, shape)
    for (name, single, result, weights), (_, _, own, _) in zip(
        parts_of(relevance, singles, shape), given, strict=True
    ):
        w, b = matrix(single, shape)
        assert not b.any()
        for one, picture in zip(result, own, strict=True):
            flat = picture.ravel()
            wanted = twin("epsilon", w, b, flat, weights * (flat @ w))
            # Some sums cancel to a thousandth of their terms.
            close(one, wanted.reshape(shape), 2e-4, name)


def test_the_winner_takes_all():
    inputs = keras.Input((4, 4, 1))
    x = pictures((4, 4, 1))
    pool = keras.Model(inputs, layers.MaxPooling2D(3, strides=1)(inputs))
    result = relevance_of(pool, x, EPSILON).values[..., 0]
    for one, picture in zip(result, x[..., 0], strict=True):
        wanted, weight = np.zeros((4, 4)), weights_of_total(4)
        for number, (i, j) in enumerate(np.ndindex(2, 2)):
            window = picture[i : i + 3, j : j + 3]
            y, z = np.unravel_index(window.argmax(), (3, 3))
            wanted[i + y, j + z] += weight[number] * window.max()
        close(one, wanted)
    for head in (layers.GlobalMaxPooling2D(), lambda x: ops.max(x, axis=(1, 2))):
        result = relevance_of(keras.Model(inputs, head(inputs)), x, EPSILON).values
        close(result, np.where(x == x.max((1, 2), keepdims=True), x, 0))


def test_the_larger_of_two():
    inputs = keras.Input((2, 3, 2))
    for two in (layers.Maximum(), lambda pair: ops.maximum(*pair)):
        model = keras.Model(inputs, two([inputs, ops.flip(inputs, 1) * 0.5]))
        x = pictures((2, 3, 2))
        outputs = np.maximum(x, x[:, ::-1] * 0.5)
        given = weights_of_total(12).reshape(2, 3, 2) * outputs
        own = np.where(outputs == x, given, 0)
        close(relevance_of(model, x, EPSILON).values, own + (given - own)[:, ::-1])


# --- gates


def gated(kind):
    inputs = keras.Input((4, 5, 2))
    x = layers.Conv2D(2, 1, use_bias=False)(inputs)
    gate = layers.Dense(2, activation="sigmoid")(
        layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    )
    mask = np.random.default_rng(0).random((4, 5, 2)).astype("float32")
    over_places = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(inputs)
    return keras.Model(inputs, {
        "squeeze": lambda: layers.Multiply()([x, gate]),
        "squeeze first": lambda: gate * x,
        "over places": lambda: x * over_places,
        "two at once": lambda: layers.Multiply()([gate, x, over_places]),
        "divided": lambda: x / (1 + ops.square(gate)),
        "constant": lambda: x * mask,
        "constant tensor": lambda: x * ops.convert_to_tensor(mask),
        "constant batch": lambda: ops.multiply(ops.convert_to_tensor(mask[None]), x),
    }[kind]())  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["squeeze", "squeeze first", "over places", "two at once", "divided", "constant",
     "constant tensor", "constant batch"],
)  # fmt: skip
def test_what_is_gated_takes_all(kind):
    model = drawn(gated(kind))
    x = pictures((4, 5, 2))
    result = relevance_of(model, x, EPSILON).values
    given = weights_of_total(40).reshape(4, 5, 2) * ops.convert_to_numpy(model(x))
    conv = next(one for one in model.layers if isinstance(one, layers.Conv2D) and not one.use_bias)
    w, b = matrix(conv, (4, 5, 2))
    for one, picture, start in zip(result, x.astype("float64"), given, strict=True):
        close(one, twin("epsilon", w, b, picture.ravel(), start.ravel()).reshape(4, 5, 2))


def test_equals_share_alike_and_nothing_is_lost():
    inputs = keras.Input((3, 4, 1))
    rows = layers.GlobalAveragePooling1D()(layers.Reshape((3, 4))(inputs))  # (B, 4)
    columns = ops.mean(inputs, axis=(2, 3))  # (B, 3)
    outer = ops.expand_dims(columns, 2) * ops.expand_dims(rows, 1)  # both are spread
    model = keras.Model(inputs, outer)
    x = pictures((3, 4, 1))
    e = explain(model, x, methods.LRP("epsilon"), target=_sum)
    np.testing.assert_allclose(e.values.sum((1, 2)), e.scores, rtol=1e-4)


def _sum(outputs):
    return ops.sum(outputs, axis=(1, 2))


# --- conservation and targets


@cache
def no_biases():
    inputs = keras.Input((8, 8, 2))
    conv = {"use_bias": False, "padding": "same", "activation": "relu"}
    x = layers.Conv2D(4, 3, **conv)(inputs)
    x = layers.Add()([x, layers.Conv2D(4, 3, **conv)(x)])
    x = layers.MaxPooling2D(2)(x)
    x = layers.Concatenate()([x, layers.DepthwiseConv2D(3, **conv)(x)])
    x = layers.AveragePooling2D(2)(layers.Conv2D(6, 3, groups=2, **conv)(x))
    x = layers.Dense(5, use_bias=False)(layers.Flatten()(x))
    return drawn(keras.Model(inputs, x), scale=0.4)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z_plus", "epsilon_plus"])
def test_networks_without_biases_conserve_the_score(rule):
    x = np.abs(pictures((8, 8, 2), 3))  # z_plus conserves where something is positive
    e = explain(no_biases(), x, methods.LRP(rule, epsilon=1e-9))
    for check in e.checks:
        assert check["conservation_error"] < 1e-4
    np.testing.assert_allclose(e.attributions.sum((1, 2, 3), "float64"), e.scores, rtol=1e-4)


def _second(outputs):
    return outputs[:, 1] * 2


@pytest.mark.parametrize(
    "target",
    [2, _second, targets.Margin(1, 3), targets.Class(1, score="probability")],
    ids=["class", "callable", "margin", "probability"],
)
def test_relevance_starts_as_the_score(target):
    body = no_biases()
    model = keras.Model(body.input, layers.Softmax()(body.output))
    x = np.abs(pictures((8, 8, 2), 3))
    e = explain(model, x, methods.LRP("epsilon", epsilon=1e-9), target=target)
    np.testing.assert_allclose(e.attributions.sum((1, 2, 3), "float64"), e.scores, rtol=1e-3)


def test_the_conservation_error_is_what_is_lost():
    x = pictures((16, 16, 3))
    e = explain(networks.small_cnn(), x, methods.LRP())
    lost = np.abs(e.attributions.sum((1, 2, 3), "float64") - e.scores) / np.abs(e.scores)
    assert lost.min() > 0.01
    np.testing.assert_allclose([c["conservation_error"] for c in e.checks], lost, rtol=1e-4)


# --- composites


@cache
def two_convolutions():
    """Two convolutions and two dense layers, without biases."""
    return [
        layers.Conv2D(3, 2, use_bias=False), layers.ReLU(),
        layers.Conv2D(3, 2, use_bias=False), layers.ReLU(), layers.Flatten(),
        layers.Dense(4, use_bias=False), layers.ReLU(), layers.Dense(3, use_bias=False),
    ]  # fmt: skip


@cache
def chain():
    return drawn(keras.Sequential([keras.Input((4, 5, 2)), *two_convolutions()]), seed=0)


def by_hand(ways, x, target):
    """Relevance of one picture, layer by layer; ``ways`` for the four kernels in order."""
    model = chain()
    kernels = [one for one in two_convolutions() if one.weights]
    inputs, matrices = [x.astype("float64").ravel()], []
    shape = x.shape
    for one in kernels:
        w, _ = matrix(one, shape)
        matrices.append(w)
        inputs.append(np.maximum(inputs[-1] @ w, 0))
        shape = one.compute_output_shape((1, *shape))[1:]
        shape = (int(np.prod(shape)),) if one is kernels[1] else shape
    outputs = inputs[-2] @ matrices[-1]
    np.testing.assert_allclose(outputs, ops.convert_to_numpy(model(x[None]))[0], rtol=1e-4)
    relevance = np.eye(3)[target] * outputs
    for way, w, given in reversed(list(zip(ways, matrices, inputs, strict=False))):
        relevance = twin(way, w, 0, given, relevance)
    return relevance.reshape(x.shape)


@pytest.mark.parametrize(
    ("method", "ways"),
    [
        (methods.LRP("epsilon"), ["epsilon"] * 4),
        (methods.LRP("gamma"), ["gamma"] * 4),
        (methods.LRP("z_plus"), ["z_plus"] * 4),
        (methods.LRP("alpha2_beta1"), ["alpha2_beta1"] * 4),
        (methods.LRP("epsilon_plus"), ["z_plus", "z_plus", "epsilon", "epsilon"]),
        (methods.LRP("epsilon_alpha2_beta1"), ["alpha2_beta1"] * 2 + ["epsilon"] * 2),
        (methods.LRP("epsilon_plus", first="flat"), ["flat", "z_plus", "epsilon", "epsilon"]),
        (methods.LRP("gamma", first="w_square"), ["w_square", "gamma", "gamma", "gamma"]),
        (methods.LRP("epsilon_gamma_box"), ["z_box", "gamma", "epsilon", "epsilon"]),
    ],
    ids=lambda one: "" if isinstance(one, list) else f"{one.rule}, {one.first}",
)
def test_composites(method, ways):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 2)).astype("uint8")
    scale = lambda batch: LOW + (HIGH - LOW) / 255 * batch  # noqa: E731
    e = explain(chain(), pixels, method, target=[0, 2], preprocess=scale)
    for row, target in enumerate([0, 2]):
        wanted = by_hand(ways, scale(pixels[row].astype("float64")), target)
        close(e.attributions[row], wanted, 1e-4)


@pytest.mark.parametrize("inside", ["Rescaling", "Normalization", "negative", "zero padding"])
def test_z_box_knows_what_becomes_of_black_and_white(inside):
    """A model that rescales by itself is one that does not, on pixels rescaled before."""
    before, scale = {
        "Rescaling": (layers.Rescaling(1 / 127.5, offset=-1), lambda x: x / 127.5 - 1),
        "Normalization": (
            layers.Normalization(mean=[90.0, 100.0], variance=[400.0, 900.0]),
            lambda x: (x - [90, 100]) / [20, 30],
        ),
        "negative": (layers.Rescaling(-0.01, offset=2.0), lambda x: 2 - 0.01 * x),
        "zero padding": (layers.ZeroPadding2D(1), lambda x: x),
    }[inside]

    def model(*first):
        stack = [*first, layers.Conv2D(3, 3), layers.ReLU(), layers.Flatten(), layers.Dense(2)]
        return drawn(keras.Sequential([keras.Input((5, 6, 2)), *stack]), scale=0.1)

    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 2)).astype("uint8")
    box = methods.LRP("epsilon_gamma_box")
    result = explain(model(before), pixels, box, target=0, preprocess=None).attributions
    if inside == "zero padding":  # around the picture black, white and the pixel are all 0
        padding = layers.Conv2D(3, 3, padding="same")
        stack = [padding, layers.ReLU(), layers.Flatten(), layers.Dense(2)]
        twin = drawn(keras.Sequential([keras.Input((5, 6, 2)), *stack]), scale=0.1)
    else:
        twin = model()
    close(result, explain(twin, pixels, box, target=0, preprocess=scale).attributions, 1e-4)

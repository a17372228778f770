"""Networks with literal weights, whose attributions can be worked out with a pencil.

Vectors are pictures (1, N, 1). Most of these are captum's own test networks (BSD-3), rebuilt in
Keras; the numbers they must give are in ``test_literal_networks.py``.
"""

import json

import keras
import numpy as np
from keras import layers, ops


def _model(shape, *parts, weights=(), name=None):
    inputs = keras.Input(shape)
    x = inputs
    for part in parts:
        x = part(x)
    model = keras.Model(inputs, x, name=name)
    model.set_weights([np.asarray(w, "float32") for w in weights])
    return model


def vector(*numbers):
    return np.asarray(numbers, "float32").reshape(1, -1, 1)


def relu_net_a():
    """f = ReLU(ReLU(x1) - 1 - ReLU(x2)), Sundararajan et al. 2017."""
    return _model(
        (1, 2, 1),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(1, activation="relu"),
        weights=([[1], [-1]], [-1]),
    )


def relu_net_b():
    """f = ReLU(ReLU(x1 - 1) - ReLU(x2)): the same function, wired differently."""
    return _model(
        (1, 2, 1),
        layers.Flatten(),
        layers.Dense(2, activation="relu"),
        layers.Dense(1, activation="relu"),
        weights=(np.eye(2), [-1, 0], [[1], [-1]], [0]),
    )


def one_minus_relu(size=6):
    """1 - ReLU(1 - x), elementwise: the output is a vector."""
    return _model((1, size, 1), lambda x: 1 - ops.relu(1 - x), layers.Flatten())


def conv_c():
    """C: layers ``conv`` (2 channels, 2x2) and ``relu``, then four equal outputs with a ReLU."""
    return _model(
        (4, 4, 1),
        layers.Conv2D(2, 3, name="conv"),
        layers.ReLU(name="relu"),
        layers.Permute((3, 1, 2), name="permute"),  # all of channel 0 first
        layers.Flatten(),
        layers.Dense(4, activation="relu"),
        weights=(
            np.ones((3, 3, 1, 2)),
            [-50, -75],
            np.repeat([[1], [-1]], [5, 3], axis=0).repeat(4, axis=1),
            np.zeros(4),
        ),
    )


def multilayer_m():
    """M: identity(3); 3 -> 4 ones, bias (-10, 1, 1, 1); ReLU; 4 -> 2 ones, bias (-1, 1)."""
    return _model(
        (1, 3, 1),
        layers.Flatten(),
        layers.Dense(3),
        layers.Dense(4, activation="relu"),
        layers.Dense(2),
        weights=(np.eye(3), np.zeros(3), np.ones((3, 4)), [-10, 1, 1, 1], np.ones((4, 2)), [-1, 1]),
    )


def linear(weights, bias=0.0):
    """One output: sum(w * x) + bias, ``weights`` (H, W, C)."""
    weights = np.asarray(weights)
    kernel = weights.reshape(-1, 1)
    return _model(weights.shape, layers.Flatten(), layers.Dense(1), weights=(kernel, [bias]))


def kink(at=0.3):
    """ReLU(x1 - at) + x2 of a picture (1, 2, 1): a path crosses the kink, or does not."""
    return _model(
        (1, 2, 1),
        layers.Flatten(),
        layers.Dense(2),
        lambda x: ops.relu(x[:, :1]) + x[:, 1:],
        weights=(np.eye(2), [-at, 0]),
    )


def quadratic(weights, slope=0.0):
    """Sum of w x^2 / 2 + slope x: the gradient is w x + slope."""
    weights = np.asarray(weights, "float32")
    return _model(
        weights.shape,
        lambda x: ops.sum(x * x * (weights / 2) + x * slope, axis=(1, 2, 3))[:, None],
    )


def tanh_net(first, second):
    """tanh(x A) B: smooth, and four lines of NumPy away. A is (H, W, C, K), B (K, N)."""
    first = np.asarray(first)
    units = first.shape[-1]
    return _model(
        first.shape[:3],
        layers.Flatten(),
        layers.Dense(units, activation="tanh", use_bias=False),
        layers.Dense(second.shape[1], use_bias=False),
        weights=(first.reshape(-1, units), second),
    )


def planted_patch(size=12, top=5, left=2, side=4):
    """Class 0 if the patch is bright, class 1 if not; nothing outside the patch counts."""
    mask = np.zeros((size, size, 1), "float32")
    mask[top : top + side, left : left + side] = 1
    return _model(
        (size, size, 1),
        lambda x: x * mask,
        layers.Conv2D(1, 3, padding="same", activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
        weights=(np.ones((3, 3, 1, 1)), [0], [[1, 0]], [0, 0.1]),
    )


def gap_net(size=8, kernel=None, head=None, activation=None):
    """``conv`` 3x3 with ReLU, global average pooling, linear head: Grad-CAM is CAM / (h w)."""
    return _model(
        (size, size, kernel.shape[2]),
        layers.Conv2D(kernel.shape[3], 3, padding="same", activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(head.shape[1], activation=activation),
        weights=(kernel, np.zeros(kernel.shape[3]), head, np.zeros(head.shape[1])),
    )


def ignored_channel():
    """Three channels in, the middle one is multiplied by 0."""
    kernel = np.linspace(-1, 1, 3 * 3 * 3 * 4).reshape(3, 3, 3, 4)
    kernel[:, :, 1] = 0
    return gap_net(kernel=kernel, head=np.array([[1, -1], [2, 0], [-1, 3], [1, 1]]))


def twin_classes():
    """Classes 0 and 2 have the same weights."""
    kernel = np.linspace(-1, 1, 3 * 3 * 3 * 4).reshape(3, 3, 3, 4)
    return gap_net(kernel=kernel, head=np.array([[1, 5, 1], [2, -1, 2], [-1, 3, -1], [1, 0, 1]]))


def small_cnn(size=16, classes=5, activation="relu", head="softmax", dtype=None):
    """A convolutional classifier with a residual, batch norm and pooling; seeded, not trained."""
    draw = np.random.default_rng(7).normal
    with_activation = {"padding": "same", "activation": activation, "dtype": dtype}
    inputs = keras.Input((size, size, 3), dtype=dtype)
    x = layers.Conv2D(6, 3, **with_activation)(inputs)
    y = layers.Conv2D(6, 3, name="middle", **with_activation)(x)
    x = layers.Add(dtype=dtype)([x, y])
    x = layers.BatchNormalization(dtype=dtype)(x)
    x = layers.AveragePooling2D(2, dtype=dtype)(x)
    x = layers.Conv2D(8, 3, name="last", **with_activation)(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    x = layers.Dense(classes, activation=head, name="head", dtype=dtype)(x)
    model = keras.Model(inputs, x)
    model.set_weights([_drawn(draw, v) for v in model.variables])
    return model


def _drawn(draw, variable):
    values = draw(0, 0.4, variable.shape)
    return np.abs(values) + 0.5 if "variance" in variable.path else values


def nested(model):
    """The same model inside another, behind a layer that changes the picture."""
    dtype = model.inputs[0].dtype
    inputs = keras.Input(model.input_shape[1:], dtype=dtype)
    scaled = layers.Conv2D(3, 1, use_bias=False, name="colours", dtype=dtype)
    outputs = model(scaled(inputs))
    scaled.set_weights([np.array([[1, 0.2, 0], [0, 0.8, -0.1], [0.3, 0, 1.1]])[None, None]])
    return keras.Model(inputs, outputs)


def without_softmax(model):
    """Return a model of the logits: same input, same weights, no softmax at the end."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        inner = without_softmax(last)
        return keras.Model(model.input, inner(last._inbound_nodes[-1].input_tensors[0]))
    before = last.input
    if not isinstance(last, layers.Dense):  # Softmax, or Activation("softmax")
        return keras.Model(model.input, before)
    head = layers.Dense(last.units, dtype=last.dtype_policy)
    logits = head(before)
    head.set_weights(last.get_weights())
    return keras.Model(model.input, logits)


def in_float64(model):
    """Return the same network computing in float64, with the same weights."""
    config = json.loads(json.dumps(model.get_config()).replace('"float32"', '"float64"'))
    twin = type(model).from_config(config)
    twin.set_weights(model.get_weights())
    return twin

"""Callables that give no scores, models that give no outputs, batches that are fixed."""

from __future__ import annotations

import math

import keras
import models
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import errors, explain, methods

X = models.pictures(2)[:, :8, :8]
REFERENCE = np.linspace(-1, 1, 6, dtype="float32")
pytestmark = pytest.mark.filterwarnings("ignore:picture")


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Conv2D(2, 3, activation="tanh")(image))
    return keras.Model(image, layers.Dense(6)(x))


# ------------------------------------------------------------------------------ callables


def in_place(outputs):
    outputs += 1
    return outputs[:, 0]


def an_item(outputs):
    outputs[:, 0] *= 2
    return outputs[:, 0]


REFUSED = {
    "None": lambda o: None,
    "a list": lambda o: [o[0, 0], o[1, 0]],
    "a dict": lambda o: {"a": o[:, 0]},
    "a string": lambda o: "a",
    "float()": lambda o: float(o[0, 0]),
    "math": lambda o: math.exp(o[0, 0]),
    "np.mean": lambda o: np.mean(o, -1),
    "one for all": ops.sum,
    "a column": lambda o: o[:, :1],
    "all outputs": lambda o: o,
    "complex": lambda o: ops.cast(o[:, 0], "complex64"),
    "another length": lambda o: ops.sum(o * np.ones(5, "float32"), -1),
    "no argument": lambda: 1,
    "two arguments": lambda a, b: a,
    "no such attribute": lambda o: o.nope,
    "in place": in_place,
    "an item in place": an_item,
}


@pytest.mark.parametrize("name", REFUSED)
def test_callables_that_give_no_scores(net, name):
    if name == "in place" and keras.backend.backend() != "torch":
        pytest.skip("+= makes a new tensor here")
    if name == "np.mean" and keras.backend.backend() == "jax":
        pytest.skip("there it is the tensor's own mean")
    with pytest.raises(errors.TargetError):
        explain(net, X, target=REFUSED[name])


@pytest.mark.parametrize("target", [lambda o: ops.argmax(o, -1), lambda o: o[:, 0] > 0,
                                    lambda o: np.ones(2, "float32")])  # fmt: skip
def test_scores_without_a_derivative(net, target):
    with pytest.raises(errors.GradientError):
        explain(net, X, target=target)


@pytest.mark.parametrize("target", [lambda o: ops.sum(o * REFERENCE, -1),
                                    lambda o: ops.sum(REFERENCE * o, -1),
                                    lambda o: o @ REFERENCE])  # fmt: skip
def test_numpy_beside_outputs_is_the_same_score_or_refused_with_the_way_out(net, target):
    wanted = explain(
        net, X, target=lambda o: ops.sum(ops.multiply(o, ops.convert_to_tensor(REFERENCE)), -1)
    )
    try:
        result = explain(net, X, target=target)
    except errors.TargetError as error:
        assert keras.backend.backend() != "jax"  # there it just works
        assert "keras.ops" in str(error)  # noqa: PT017
    else:
        np.testing.assert_allclose(result.values, wanted.values, atol=1e-6)


class Own(Exception):
    pass


@pytest.mark.parametrize("kind", [Own, ValueError, RuntimeError, TypeError, KeyError])
@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
def test_what_a_callable_raises_itself_passes(net, kind, method):
    def target(outputs):
        raise kind("mine")

    with pytest.raises(kind, match="mine") as caught:
        explain(net, X, method, target=target)
    assert type(caught.value) is kind


# ------------------------------------------------------------------------------ steps


class Step(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def without_derivative(x):
    """What the backend computes and cannot differentiate."""
    if keras.backend.backend() == "torch":
        import torch

        return x * torch.histogram(x.cpu(), 4)[0][0]
    if keras.backend.backend() == "jax":
        from jax import lax

        return lax.reduce_window(x, 0.0, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    import tensorflow as tf

    return tf.raw_ops.AdjustHue(images=x, delta=0.1)


MEAN = np.array([0.4, 0.5, 0.6], "float32")


def built(step):
    convolution = layers.Conv2D(3, 1)
    begin = [keras.Input((8, 8, 3)), convolution, Step(step)]
    return keras.Sequential([*begin, layers.GlobalAveragePooling2D()])


@pytest.mark.parametrize(
    "method", ["gradient", "grad_cam", "integrated_gradients", "guided_backprop"]
)
def test_a_step_without_a_derivative_is_said(method):
    model = built(without_derivative)
    if method == "grad_cam":
        method = methods.GradCam(layer=model.layers[0].name)
    wanted = model.predict(X, verbose=0)
    with pytest.raises(errors.GradientError, match=r"not differentiable.*keras\.ops") as caught:
        explain(model, X, method, target=0)
    assert isinstance(caught.value.__cause__, Exception)
    result = explain(model, X, "occlusion", target=0)
    np.testing.assert_allclose(result.scores, wanted[:, 0], rtol=1e-5)


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "integrated_gradients", "lrp"])
@pytest.mark.parametrize("step", [lambda x: x - MEAN, lambda x: x * MEAN + MEAN])
def test_numpy_beside_a_tensor_is_the_same_map_or_refused_with_the_way_out(step, method):
    begin = step(np.float32(0))
    model, twin = built(step), built(lambda x: ops.add(ops.multiply(x, step(1) - begin), begin))
    twin.set_weights(model.get_weights())
    wanted = explain(twin, X, method, target=0)
    try:
        result = explain(model, X, method, target=0)
    except errors.GradientError as error:
        assert keras.backend.backend() == "torch"  # elsewhere it just works
        assert "keras.ops" in str(error)  # noqa: PT017
    else:
        np.testing.assert_allclose(result.values, wanted.values, atol=1e-6)


def test_what_a_layer_raises_itself_passes():
    model = built(lambda x: x)
    explain(model, X, target=0)

    def refuse(x):
        raise Own("mine")

    model.layers[1].function = refuse
    with pytest.raises(Exception, match="mine") as caught:
        explain(model, X, target=0)
    assert not isinstance(caught.value, errors.GradientError)


# ------------------------------------------------------------------------------ models


class Returns(keras.Model):
    def __init__(self, what):
        super().__init__()
        self.what, self.dense = what, layers.Dense(2)

    def call(self, x):
        y = self.dense(ops.reshape(x, (-1, 8 * 8 * 3)))
        return self.what(y) if callable(self.what) else self.what


@pytest.mark.parametrize("what", [None, 1, 2.5, {}, [], "a", {"a": None}])
@pytest.mark.parametrize("built", [True, False])
def test_models_that_return_no_tensor(what, built):
    model = Returns(what)
    if built:
        model.dense.build((None, 8 * 8 * 3))
        model.built = True
    with pytest.raises(errors.ModelError, match="return"):
        explain(model, X)


def test_none_beside_a_tensor():
    model = Returns(lambda y: {"logits": y, "state": None})
    explain(model, X, target=0)  # builds it
    plain = Returns(lambda y: y)
    explain(plain, X, target=0)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(
        explain(model, X, target=0).values, explain(plain, X, target=0).values, atol=1e-6
    )


class Breaks(keras.Model):
    def call(self, x):
        raise IndexError("in my call")


class NeedsTwo(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        one, other = inputs["a"] if isinstance(inputs, dict) else inputs[0], inputs[1]
        return self.dense(ops.reshape(ops.concatenate([one, other], -1), (-1, 8 * 8 * 6)))


@pytest.mark.parametrize("make", [keras.Sequential, Breaks, keras.Model])
def test_models_that_cannot_be_called(make):
    with pytest.raises(errors.ModelError):
        explain(make(), X)


def test_several_inputs_of_a_subclassed_model_as_keras_takes_them():
    model = NeedsTwo()
    model([X, X])
    wanted = explain(model, (X, X[::-1]), target=0)
    np.testing.assert_array_equal(explain(model, [X, X[::-1]], target=0).values, wanted.values)
    for wrong in (X, [X], (X, X, X)):
        with pytest.raises(errors.KerasSaliencyError):
            explain(model, wrong, target=0)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's CPU")
def test_channels_first_on_a_cpu_is_said_to_be_the_frameworks_limit():
    image = keras.Input((3, 8, 8))
    x = layers.MaxPooling2D(data_format="channels_first")(
        layers.Conv2D(2, 3, data_format="channels_first")(image)
    )
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    try:
        explain(model, X, target=0)
    except errors.ModelError as error:
        assert "TensorFlow" in str(error)  # noqa: PT017


# ------------------------------------------------------------------------------ fixed batches


def strips(rows):
    keras.utils.set_random_seed(1)
    strip = keras.Input(batch_shape=(rows, 8, 6))
    return keras.Model(strip, layers.Dense(2)(layers.LSTM(3, stateful=True)(strip)))


SHORT = [methods.Gradient(), methods.Occlusion(window=4, stride=4), methods.SmoothGrad(samples=3)]


@pytest.mark.parametrize("method", SHORT, ids=lambda one: one.name)
def test_stateful_models_run_in_their_own_batch(method):
    x = models.pictures(3, channels=1)[:, :8, :6, 0]
    result = []
    for rows in (1, 4):
        model = strips(rows)
        states = [one for one in model.variables if one.path.endswith("states")]
        states = states or model.layers[1].states
        for one in states:
            one.assign(np.full(one.shape, 0.25))
        for size in (8, "auto"):
            result.append(explain(model, list(x), method, batch_size=size, target=1).values)
        assert all((ops.convert_to_numpy(one) == 0.25).all() for one in model.layers[1].states)
    for one in result[1:]:
        np.testing.assert_allclose(one, result[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "lrp", "gradient"])
def test_a_graph_with_a_fixed_batch(net, method):
    image = keras.Input(batch_shape=(4, 8, 8, 3))
    x = image
    for layer in net.layers[1:]:
        x = layer(x)
    fixed = keras.Model(image, x)
    np.testing.assert_allclose(
        explain(fixed, X, method).values, explain(net, X, method).values, atol=1e-5
    )


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("method", ["gradient", "grad_cam", "lrp", "occlusion"])
def test_signals_and_volumes_channels_first(axes, method):
    if keras.config.backend() == "tensorflow":
        pytest.skip("no CPU kernel")
    conv, pool = (getattr(layers, f"{one}{axes}D") for one in ("Conv", "GlobalAveragePooling"))

    def network(shape, layout):
        conv_ = conv(3, 3, activation="relu", data_format=layout)
        ends = [pool(data_format=layout), layers.Dense(3)]
        return keras.Sequential([keras.Input(shape), conv_, *ends])

    x = np.random.default_rng(0).normal(size=(2, *(9, 8, 7)[:axes], 2)).astype("float32")
    last = network(x.shape[1:], "channels_last")
    turned = np.moveaxis(x, -1, 1)
    first = network(turned.shape[1:], "channels_first")
    first.set_weights(last.get_weights())
    for given in (turned, x, list(turned)):
        ours = explain(first, given, method, target=1).values
        theirs = explain(last, x, method, target=1).values
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())

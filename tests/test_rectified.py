"""Guided backpropagation and DeconvNet: which rectifiers are seen, and what each lets back."""

import threading
from functools import cache

import keras
import networks
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import _hooks, explain, methods
from keras_saliency._rules import gradients as hidden
from keras_saliency.errors import MethodError

GUIDED, DECONV = methods.GuidedBackprop(), methods.DeconvNet()
BOTH = pytest.mark.parametrize("method", [GUIDED, DECONV], ids=lambda one: one.name)
ARANGE = np.arange(16, dtype="float32").reshape(4, 4, 1)
X = np.array([-3.0, -1.0, 0.5, 2.0, 5.0, 7.0], "float32")  # what the rectifier gets
UP = np.array([1.0, -2.0, 3.0, -4.0, 5.0, 6.0], "float32")  # what comes back to it


# --- values


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        (GUIDED, [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]),
        (DECONV, [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]]),
    ],
)
def test_on_c(method, wanted):
    e = explain(networks.conv_c(), ARANGE, method, target=0)
    assert e.attributions[0, ..., 0].tolist() == wanted
    assert e.values[0].tolist() == wanted
    assert e.info["rectifiers"] == 2


def in_the_middle(part):
    """The picture is the rectifier's input, and ``UP`` is what comes back to it."""
    inputs = keras.Input((1, len(X), 1))
    outputs = layers.Dense(1, use_bias=False)(layers.Flatten()(part(inputs)))
    model = keras.Model(inputs, outputs)
    head = model.layers[-1]
    head.set_weights([UP[: head.kernel.shape[0], None]])
    return model


def own_prelu():
    return layers.PReLU(alpha_initializer=keras.initializers.Constant(0.3))


# Name, the rectifier, the slope at X that guided backpropagation must respect where it is on.
RECTIFIERS = {
    "ReLU": (layers.ReLU, X > 0),
    "ReLU(6)": (lambda: layers.ReLU(max_value=6), (X > 0) & (X < 6)),
    "ReLU(threshold)": (lambda: layers.ReLU(threshold=1), X > 1),
    "ReLU(slope)": (lambda: layers.ReLU(negative_slope=0.1), X > 0),
    "LeakyReLU": (lambda: layers.LeakyReLU(negative_slope=0.2), X > 0),
    "PReLU": (own_prelu, X > 0),
    "Activation": (lambda: layers.Activation("relu"), X > 0),
    "Activation(relu6)": (lambda: layers.Activation("relu6"), (X > 0) & (X < 6)),
    "Activation(leaky)": (lambda: layers.Activation("leaky_relu"), X > 0),
    "keras.activations.relu": (lambda: keras.activations.relu, X > 0),
    "activations.relu(max)": (
        lambda: lambda x: keras.activations.relu(x, max_value=4.0),
        (X > 0) & (X < 4),
    ),
    "keras.activations.relu6": (lambda: keras.activations.relu6, (X > 0) & (X < 6)),
    "ops.relu": (lambda: ops.relu, X > 0),
    "ops.relu6": (lambda: ops.relu6, (X > 0) & (X < 6)),
    "ops.leaky_relu": (lambda: ops.leaky_relu, X > 0),
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_every_rectifier_is_seen(name):
    make, on = RECTIFIERS[name]
    model = in_the_middle(make())
    for method, wanted in ((GUIDED, np.maximum(UP, 0) * on), (DECONV, np.maximum(UP, 0))):
        e = explain(model, X[None, :, None], method, target=0)
        np.testing.assert_allclose(e.attributions[0, 0, :, 0], wanted, rtol=1e-6)
        assert e.info["rectifiers"] == 1


class HalfSlope(layers.Layer):
    """Rectifies by a layer of its own, behind a product of its own."""

    def __init__(self):
        super().__init__()
        self.inner = layers.ReLU()

    def call(self, x):
        return self.inner(x * 0.5)


@pytest.mark.parametrize("part", ["dense", "own layer", "nested", "sequential"])
def test_rectifiers_inside_others_are_seen(part):
    inner = keras.Input((1, len(X), 1))
    dense = layers.Dense(1, activation="relu")
    make = {
        "dense": lambda: dense,
        "own layer": HalfSlope,
        "nested": lambda: keras.Model(inner, keras.Model(inner, ops.relu(inner))(inner)),
        "sequential": lambda: keras.Sequential([layers.Activation("relu")]),
    }[part]
    model = in_the_middle(make())
    scale = {"dense": 2.0, "own layer": 0.5}.get(part, 1.0)
    if part == "dense":
        dense.set_weights([np.array([[2.0]]), np.zeros(1)])
    e = explain(model, X[None, :, None], GUIDED, target=0)
    assert e.info["rectifiers"] == 1
    np.testing.assert_allclose(e.attributions[0, 0, :, 0], scale * np.maximum(UP, 0) * (X > 0))


def test_a_shared_rectifier_counts_at_every_call():
    inputs = keras.Input((1, 3, 1))
    relu = layers.ReLU()
    x = relu(layers.Flatten()(inputs))
    x = relu(layers.Dense(2, use_bias=False, name="middle")(x))
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, name="end")(x))
    middle = np.array([[1.0, -1.0], [2.0, 1.0], [-1.0, 3.0]], "float32")
    model.set_weights([middle, np.array([[2.0], [1.0]], "float32")])
    x = networks.vector(1, 0.5, 2)  # the middle gives 0 and 5.5
    e = explain(model, x, GUIDED, target=0)
    assert e.info["rectifiers"] == 2
    assert e.attributions[0, 0, :, 0].tolist() == [0, 1, 3]
    e = explain(model, x, DECONV, target=0)
    assert e.attributions[0, 0, :, 0].tolist() == [1, 5, 1]


@BOTH
def test_batches_of_classes(method):
    x = np.stack([ARANGE, ARANGE[::-1], ARANGE * 0.8])
    together = explain(networks.conv_c(), x, method, target=[0, 1, 2], batch_size=2)
    for row in range(3):
        alone = explain(networks.conv_c(), x[row], method, target=row)
        np.testing.assert_array_equal(together.attributions[row], alone.attributions[0])


# --- no rectifier


@BOTH
def test_without_rectifiers_it_is_the_gradient_and_says_so(method):
    model = networks.small_cnn(activation="gelu")
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    with pytest.warns(UserWarning, match="no rectifier"):
        e = explain(model, x, method, target=1)
    assert e.info["rectifiers"] == 0
    plain = explain(model, x, "gradient", target=1)
    np.testing.assert_allclose(e.attributions, plain.attributions, rtol=0, atol=1e-6)


# --- rectifiers that hide


class Hides(layers.Layer):
    def __init__(self, function, inner=None):
        super().__init__()
        self.function, self.inner = function, inner

    def call(self, x):
        return self.function(x if self.inner is None else self.inner(x))


HIDING = {
    "activations.relu": keras.activations.relu,
    "relu(max_value)": lambda x: keras.activations.relu(x, max_value=3.0),
    "ops.relu": ops.relu,
    "ops.relu6": ops.relu6,
    "ops.leaky_relu": ops.leaky_relu,
}


@BOTH
@pytest.mark.parametrize("name", HIDING)
def test_hidden_in_a_call_of_your_own(name, method):
    model = in_the_middle(Hides(HIDING[name]))
    with pytest.raises(MethodError, match="computes 1 rectifiers"):
        explain(model, X[None, :, None], method, target=0)


def test_hidden_beside_a_layer():
    """The layer of its own may be seen: what stands beside it is not."""
    model = in_the_middle(Hides(ops.relu, layers.ReLU()))
    with pytest.raises(MethodError, match="computes 1 rectifiers"):
        explain(model, X[None, :, None], GUIDED, target=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Lambda(ops.relu),
        lambda: layers.Activation(lambda x: ops.relu(x) + 1),
        lambda: layers.Dense(1, activation=lambda x: ops.relu(x)),
        lambda: lambda x: layers.SimpleRNN(2, activation="relu")(layers.Reshape((6, 1))(x)),
    ],
    ids=["Lambda", "Activation", "Dense", "recurrent"],
)
def test_hidden_in_a_function_of_your_own(make):
    with pytest.raises(MethodError, match=r"computes \d+ rectifiers"):
        explain(in_the_middle(make()), X[None, :, None], GUIDED, target=0)


@cache
def subclassed(hidden=False):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Conv2D(3, 3, activation="relu")
            self.pool = layers.GlobalAveragePooling2D()
            self.last = layers.Dense(2)

        def call(self, x):
            x = self.first(x)
            return self.last(self.pool(ops.relu(x - 1) if hidden else x + 1))

    return Own()


def test_a_subclassed_model_that_calls_layers_only():
    e = explain(subclassed(), ARANGE, GUIDED, target=0)
    assert e.info["rectifiers"] == 1


def test_a_subclassed_model_that_hides_one():
    with pytest.raises(MethodError, match="call"):
        explain(subclassed(hidden=True), ARANGE, GUIDED, target=0)


# --- Keras is left unchanged


def _functions():
    from keras.src import backend

    return [getattr(backend.nn, name) for name in ("relu", "relu6", "leaky_relu")]


def test_keras_is_left_unchanged():
    before = _functions()
    explain(networks.conv_c(), ARANGE, GUIDED, target=0)
    with pytest.raises(MethodError):
        explain(in_the_middle(Hides(ops.relu)), X[None, :, None], GUIDED, target=0)

    def stop(outputs):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        explain(networks.conv_c(), ARANGE, GUIDED, target=stop)
    assert _functions() == before
    assert not _hooks._users


def test_a_thread_that_watches_and_one_that_does_not():
    before = _functions()
    inside, leave = threading.Event(), threading.Event()
    result = []

    def other():
        with hidden.watched() as unseen:
            inside.set()
            leave.wait(10)
            keras.activations.relu(np.ones(3, "float32"))
            result.extend(unseen)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    keras.activations.relu(np.ones(3, "float32"))  # this thread is not watched
    with hidden.watched() as mine:
        leave.set()
        thread.join()
        assert not mine
        with hidden.in_sight():
            keras.activations.relu(np.ones(3, "float32"))
        assert not mine
        keras.activations.leaky_relu(np.ones(3, "float32"))
    assert mine == ["leaky_relu"]
    assert result == ["relu"]
    assert _functions() == before


def test_two_threads_explain_at_once():
    before, result = _functions(), {}
    model, wanted = networks.conv_c(), explain(networks.conv_c(), ARANGE, GUIDED, target=0)

    def work(number):
        result[number] = explain(model, ARANGE, GUIDED, target=0).values

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert _functions() == before
    for number in range(4):
        np.testing.assert_array_equal(result[number], wanted.values)

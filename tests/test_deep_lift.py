"""DeepLIFT: numbers, completeness through every supported piece, and what is refused."""

from functools import cache

import keras
import networks
import numpy as np
import pytest
from keras import layers, ops
from relevance_twin import close, drawn, parts_of, pictures, side_by_side

from keras_saliency import explain, methods, targets
from keras_saliency.errors import MethodError

COMPLETE = 1e-4
SHAPE = (4, 6, 2)


def test_number_from_the_paper():
    inputs = keras.Input((1, 2, 1))
    x = layers.Dense(2, activation="relu")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(1)(x))
    model.set_weights([np.eye(2), np.array([0, -1.5]), np.full((2, 1), 2.0), np.zeros(1)])
    e = explain(model, networks.vector(1, 2), methods.DeepLift(baseline=0.0))
    np.testing.assert_allclose(e.values[0, 0], [2, 1], rtol=1e-6)


# --- elementwise functions: the exact ratio

NUMBERS = np.array([-4.0, -2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.0, 4.0, 7.0])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


ELEMENTWISE = {
    "relu": (lambda: layers.Activation("relu"), lambda x: np.maximum(x, 0)),
    "ReLU(6)": (lambda: layers.ReLU(6), lambda x: np.clip(x, 0, 6)),
    "LeakyReLU": (lambda: layers.LeakyReLU(negative_slope=0.2), lambda x: np.maximum(x, 0.2 * x)),
    "PReLU": (
        lambda: layers.PReLU(alpha_initializer=keras.initializers.Constant(0.3)),
        lambda x: np.where(x > 0, x, 0.3 * x),
    ),
    "elu": (lambda: layers.ELU(), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "sigmoid": (lambda: layers.Activation("sigmoid"), _sigmoid),
    "tanh": (lambda: layers.Activation("tanh"), np.tanh),
    "silu": (lambda: keras.activations.silu, lambda x: x * _sigmoid(x)),
    "softplus": (lambda: ops.softplus, lambda x: np.logaddexp(x, 0)),
    "softsign": (lambda: ops.softsign, lambda x: x / (1 + np.abs(x))),
    "ops.relu": (lambda: ops.relu, lambda x: np.maximum(x, 0)),
    "exp": (lambda: ops.exp, np.exp),
    "square": (lambda: ops.square, np.square),
    "abs": (lambda: ops.abs, np.abs),
    "clip": (lambda: lambda x: ops.clip(x, -1.0, 2.0), lambda x: np.clip(x, -1, 2)),
    "power": (lambda: lambda x: (x * x + 1) ** 1.5, lambda x: (x * x + 1) ** 1.5),
    "maximum": (lambda: lambda x: ops.maximum(x, 0.5), lambda x: np.maximum(x, 0.5)),
    "minimum": (lambda: lambda x: ops.minimum(1.5, x), lambda x: np.minimum(x, 1.5)),
    "1/x": (lambda: lambda x: 1 / (x * x + 1), lambda x: 1 / (x * x + 1)),
    "own": (lambda: layers.Activation(lambda x: ops.sin(x)), np.sin),
}  # fmt: skip


def test_the_exact_ratio():
    shape = (1, len(NUMBERS), 1)
    model, singles = side_by_side(shape, {name: make() for name, (make, _) in ELEMENTWISE.items()})
    x = np.repeat(NUMBERS.reshape(1, *shape), len(singles), axis=-1).astype("float32")
    for baseline in (0.2, -3.0):
        e = explain(model, x, methods.DeepLift(baseline=baseline), target=_sum)
        for name, _, result, _ in parts_of(e.attributions, singles, shape):
            function = ELEMENTWISE[name][1]
            wanted = function(NUMBERS) - function(np.float64(baseline))
            close(result[0, 0, :, 0], wanted, 2e-6, name)


def _sum(outputs):
    return ops.sum(ops.reshape(outputs, (ops.shape(outputs)[0], -1)), axis=-1)


@pytest.mark.parametrize("name", ["tanh", "relu", "square"])
def test_the_gradient_where_the_picture_is_the_baseline(name):
    """A layer before mixes pixels: one that is equal may still belong to a moved sum."""
    make, function = ELEMENTWISE[name]
    inputs = keras.Input((1, 2, 1))
    model = keras.Model(inputs, make()(layers.Flatten()(inputs)))
    from keras_saliency._engine.engine import Engine
    from keras_saliency._graph.adapter import Adapter
    from keras_saliency._inputs.batch import prepare
    from keras_saliency._rules import DeepLiftRule

    adapter, x = Adapter(model), networks.vector(0.7, 0.7)[None]
    engine = Engine(adapter, targets.get(_sum), prepare(adapter, x))
    baseline = networks.vector(0.7, -0.5)[None]
    result = engine.backward(DeepLiftRule(), baseline).values[0, 0, :, 0]
    step = 1e-6
    slope = (function(0.7 + step) - function(0.7 - step)) / (2 * step)
    np.testing.assert_allclose(result, [slope, (function(0.7) - function(-0.5)) / 1.2], rtol=1e-5)


# --- completeness

CONSTANT = np.random.default_rng(0).random(SHAPE).astype("float32") + 0.2


def _tensor(array):
    return ops.convert_to_tensor(array)


def _gate(x, **options):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, layers.Dense(2, activation="sigmoid")(gate)])


PIECES = {
    "dense": lambda x: layers.Dense(3, activation="gelu")(x),
    "conv": lambda x: layers.Conv2D(3, 3, strides=2, activation="silu")(x),
    "separable": lambda x: layers.SeparableConv2D(3, 2, activation="relu")(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(2, depth_multiplier=2, activation="elu")(x),
    "transposed": lambda x: layers.Conv2DTranspose(2, 3, strides=2, activation="tanh")(x),
    "norm": lambda x: layers.ReLU()(layers.BatchNormalization()(x)),
    "bilinear": lambda x: ops.tanh(layers.UpSampling2D(2, interpolation="bilinear")(x)),
    "residual": lambda x: layers.Add()([ops.tanh(x), layers.Conv2D(2, 1)(x)]),
    "concatenate": lambda x: layers.Concatenate()([ops.tanh(x), ops.relu(x)]),
    "max-pool": lambda x: layers.MaxPooling2D(2)(ops.tanh(x)),
    "max-pool overlapping": lambda x: layers.MaxPooling2D(3, strides=1, padding="same")(x),
    "max-pool 1": lambda x: layers.MaxPooling1D(2, strides=1)(layers.Reshape((12, 4))(x)),
    "global max": lambda x: layers.GlobalMaxPooling2D()(x),
    "average": lambda x: layers.AveragePooling2D(2)(ops.exp(x)),
    "softmax": lambda x: layers.Softmax()(layers.Conv2D(4, 2)(x)),
    "softmax over places": lambda x: layers.Softmax(axis=(1, 2))(x),
    "ops.softmax": lambda x: ops.softmax(x, axis=2),
    "product": lambda x: layers.Conv2D(2, 1)(x) * ops.tanh(ops.flip(x, 1)),
    "three factors": lambda x: layers.Multiply()([x, ops.tanh(x), ops.sigmoid(ops.flip(x, 1))]),
    "ratio": lambda x: x / (2 + ops.tanh(ops.flip(x, 2))),
    "gate": _gate,
    "gate over places": lambda x: x * layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x),
    "constant": lambda x: ops.tanh(x) * CONSTANT,
    "constant tensor": lambda x: ops.tanh(x) * _tensor(CONSTANT),
    "constant batch": lambda x: ops.multiply(_tensor(CONSTANT[None]), ops.tanh(x)),
    "two and a constant": lambda x: layers.Multiply()([x, _tensor(CONSTANT[None]), ops.tanh(x)]),
    "over a constant": lambda x: ops.tanh(x) / _tensor(CONSTANT),
    "constant over": lambda x: ops.divide(_tensor(CONSTANT), 2 + ops.tanh(x)),
    "maximum": lambda x: ops.maximum(_tensor(CONSTANT), x),
    "rescaling": lambda x: ops.tanh(layers.Rescaling(2.0, offset=-0.5)(x)),
    "einsum": lambda x: ops.einsum("bhwc,bhwd->bcd", x, ops.tanh(x)),
    "matmul": lambda x: ops.matmul(ops.transpose(x, (0, 1, 3, 2)), ops.tanh(x)),
    "matmul with a constant": lambda x: ops.matmul(x, _tensor(np.eye(2, 3, dtype="float32"))),
    "sine": lambda x: ops.sin(3 * x),
    "square": lambda x: ops.square(x),
    "power": lambda x: ops.power(2.0, x),
    "crop": lambda x: ops.tanh(layers.Cropping2D(1)(layers.ZeroPadding2D(2)(x))),
}


def _headed(part):
    def whole(x):
        x = part(x)
        return layers.Dense(1)(layers.Flatten()(x) if len(x.shape) > 2 else x)

    return whole


@cache
def all_pieces():
    model, singles = side_by_side(SHAPE, {name: _headed(part) for name, part in PIECES.items()})
    return drawn(model), singles


def test_complete():
    """All pieces at once, each on channels of its own; the score is the sum of theirs."""
    model, singles = all_pieces()
    x = pictures((*SHAPE[:2], SHAPE[2] * len(singles)), 3)
    e = explain(model, x, methods.DeepLift(baseline=0.3), target=_sum)
    now, before = (ops.convert_to_numpy(model(one)).astype("float64") for one in (x, 0 * x + 0.3))
    gaps = (now - before).T
    for (name, _, result, _), gap in zip(
        parts_of(e.attributions, singles, SHAPE), gaps, strict=True
    ):
        close(result.sum((1, 2, 3), dtype="float64"), gap, COMPLETE, name)
    assert max(check["completeness_error"] for check in e.checks) < COMPLETE


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_complete_on_a_network(activation, score):
    target = targets.Class([1, 3], score=score)
    e = explain(_cnn(activation), pictures((16, 16, 3)), "deep_lift", target=target)
    assert max(check["completeness_error"] for check in e.checks) < COMPLETE


def test_a_logarithm_of_the_target_is_no_piece_of_the_model():
    target = targets.Class([1, 3], score="log_probability")
    with pytest.warns(UserWarning, match="miss the score gap"):
        explain(_cnn("relu"), pictures((16, 16, 3)), "deep_lift", target=target)


@cache
def _cnn(activation):
    return networks.small_cnn(activation=activation)


# --- values of products, softmax and maxima


def test_a_product_is_shared_half_way():
    inputs = keras.Input((1, 2, 1))
    model = keras.Model(inputs, inputs[:, :, :1] * inputs[:, :, 1:])
    e = explain(model, networks.vector(3, 5), methods.DeepLift(baseline=1.0), target=_sum)
    # 2 * (5 + 1) / 2 and 4 * (3 + 1) / 2
    np.testing.assert_allclose(e.values[0, 0], [6, 8], rtol=1e-6)


def test_a_rise_comes_from_the_winner_now_a_fall_from_the_winner_before():
    inputs = keras.Input((1, 3, 1))
    model = keras.Model(inputs, layers.MaxPooling2D((1, 3))(inputs))
    for x, baseline, wanted in [
        ((1, 5, 2), (0, 1, 3), [0, 2, 0]),  # 3 -> 5: a rise by the middle
        ((1, 2, 1), (0, 1, 3), [0, 0, -1]),  # 3 -> 2: a fall by the last
        ((1, 3, 3.5), (4, 3, 2), [-0.5, 0, 0]),
    ]:
        method = methods.DeepLift(baseline=networks.vector(*baseline))
        e = explain(model, networks.vector(*x), method, target=_sum)
        np.testing.assert_allclose(e.values[0, 0], wanted, atol=1e-6)


def test_softmax_tells_what_raises_from_what_lowers():
    inputs = keras.Input((1, 3, 1))
    model = keras.Model(inputs, layers.Softmax()(layers.Flatten()(inputs)))
    target = targets.Class(0, score="probability")
    x, baseline = np.array([2.0, 1.0, -1.0]), np.zeros(3)
    e = explain(model, networks.vector(*x), methods.DeepLift(baseline=0.0), target=target)
    now, before = np.exp(x), np.exp(baseline)
    over = (1 / now.sum() + 1 / before.sum()) / 2  # e1 and 1/sum half way
    slope = (1 / now.sum() - 1 / before.sum()) / (now.sum() - before.sum())
    wanted = (now - before) * slope * (now[0] + before[0]) / 2
    wanted[0] += (now - before)[0] * over
    np.testing.assert_allclose(e.values[0, 0], wanted, rtol=1e-5)


# --- linear


def test_on_a_linear_network_it_is_the_gradient_times_the_change():
    w = np.random.default_rng(1).normal(size=(5, 4, 3))
    x, model = pictures((5, 4, 3)), networks.linear(w, bias=0.7)
    baseline = np.random.default_rng(2).normal(size=(5, 4, 3)).astype("float32")
    e = explain(model, x, methods.DeepLift(baseline=baseline), target=0)
    close(e.attributions, w * (x - baseline))


@pytest.mark.parametrize("baseline", [0.0, "mean", "blur", 0.5])
def test_baselines(baseline):
    x = pictures((16, 16, 3))
    e = explain(_cnn("relu"), x, methods.DeepLift(baseline=baseline), target=1)
    ig = explain(_cnn("relu"), x, methods.IntegratedGradients(baseline=baseline), target=1)
    np.testing.assert_allclose(
        e.attributions.sum((1, 2, 3), "float64"),
        ig.attributions.sum((1, 2, 3), "float64"),
        rtol=0.05,  # that of 50 steps
        atol=0.05,
    )


def test_batches_are_singles_each_with_its_baseline():
    x = pictures((16, 16, 3), 3)
    method = methods.DeepLift(baseline="mean")
    together = explain(_cnn("relu"), x, method, target=[0, 1, 2], batch_size=2)
    for row in range(3):
        alone = explain(_cnn("relu"), x[row], method, target=row)
        close(together.attributions[row], alone.attributions[0])


def test_a_norm_uses_its_moving_statistics():
    """Twice the rows go through the model: nothing may depend on the batch."""
    before = [np.array(one) for one in _cnn("relu").get_weights()]
    explain(_cnn("relu"), pictures((16, 16, 3)), methods.DeepLift(baseline=0.0), target=0)
    assert all(map(np.array_equal, before, _cnn("relu").get_weights()))


# --- what is refused

REFUSED = {
    "Maximum": lambda x: layers.Maximum()([x, ops.tanh(x)]),
    "maximum of two": lambda x: ops.maximum(x, ops.tanh(x)),
    "minimum of two": lambda x: ops.minimum(x, ops.tanh(x)),
    "ops.max": lambda x: ops.max(x, axis=1),
    "power of two": lambda x: ops.power(ops.exp(x), ops.tanh(x)),
    "log_softmax": lambda x: ops.log_softmax(x),
    "three factors of an einsum": lambda x: ops.einsum("bhwc,bhwd,bhwc->bcd", x, x, x),
    "p-norm": lambda x: ops.normalize(x, order=3),
    "weighted average": lambda x: ops.average(x, axis=-1, weights=ops.exp(x)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(REFUSED[name](inputs))))
    with pytest.raises(MethodError, match="cannot go back through"):
        explain(model, pictures(SHAPE), "deep_lift", target=0)


def test_a_score_that_does_not_move_is_said():
    x = pictures((16, 16, 3), 1)
    inputs = keras.Input((16, 16, 3))
    constant = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(inputs * 0)))
    with pytest.warns(UserWarning, match="0 everywhere"):
        e = explain(constant, x, methods.DeepLift(baseline=0.0), target=0)
    assert e.checks[0]["completeness_error"] == 0


def test_a_masked_softmax():
    inputs = keras.Input((2, 3, 1))
    x = layers.Dense(6)(layers.Flatten()(inputs))
    x = layers.Softmax()(x, mask=np.array([[True, False, True, True, False, True]]))
    model = drawn(keras.Model(inputs, layers.Dense(2)(x)))
    e = explain(model, pictures((2, 3, 1)), "deep_lift", target=0)
    wanted = ops.convert_to_numpy(model(pictures((2, 3, 1))))[:, 0]
    np.testing.assert_allclose(e.scores, wanted, rtol=1e-4, atol=1e-5)
    assert max(one["completeness_error"] for one in e.checks) < COMPLETE

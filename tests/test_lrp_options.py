"""LRP's options: which layer shares how, absolute epsilon, any alpha and beta, bounds of pixels."""

import json
from functools import cache

import keras
import numpy as np
import pytest
from keras import layers, ops
from relevance_twin import close, drawn, matrix, pictures, twin

from keras_saliency import explain, methods
from keras_saliency._rules import sharing
from keras_saliency.errors import LayerError, MethodError

SHAPE = (4, 4, 3)


def by_hand(model, ways, x, target):
    """Relevance of one picture through layers in a row, each with a kernel, a move or a ReLU."""
    steps, given, shape = [], x.astype("float64").ravel(), x.shape
    for layer in model.layers:
        if isinstance(layer, layers.ReLU):
            given = np.maximum(given, 0)
        if not layer.weights:  # flat it stays as it is
            shape = tuple(layer.output.shape[1:])
            continue
        w, b = matrix(layer, shape)
        steps.append((ways.get(layer.name, "epsilon"), w, b, given))
        given = given @ w + b
        shape = tuple(layer.output.shape[1:])
    relevance = np.zeros_like(given)
    relevance[target] = given[target]
    for way, w, b, given in reversed(steps):
        relevance = twin(way, w, b, given, relevance)
    return relevance.reshape(x.shape)


# --- a rule by the layer's type


def _row(*parts):
    return drawn(keras.Sequential([keras.Input(SHAPE), *parts]))


def _named(kind, name, *args, **options):
    return getattr(layers, kind)(*args, name=name, **options)


TYPES = {  # layer "it" in networks, and which of a composite's rules it takes
    "Dense on maps": (lambda: [_named("Dense", "it", 5)], "epsilon"),
    "Dense on tokens": (lambda: [layers.Reshape((16, 3)), _named("Dense", "it", 5)], "epsilon"),
    "Dense on one token": (lambda: [layers.Reshape((1, 48)), _named("Dense", "it", 5)], "epsilon"),
    "Dense on a vector": (lambda: [layers.Flatten(), _named("Dense", "it", 5)], "epsilon"),
    "EinsumDense": (
        lambda: [_named("EinsumDense", "it", "bhwc,cd->bhwd", (4, 4, 5), bias_axes="d")],
        "epsilon",
    ),
    "EinsumDense to heads": (
        lambda: [layers.Reshape((16, 3)),
                 _named("EinsumDense", "it", "btc,chd->bthd", (16, 2, 3), bias_axes="hd")],
        "epsilon",
    ),
    "1 x 1": (lambda: [_named("Conv2D", "it", 5, 1)], "convolution"),
    "Conv1D": (lambda: [layers.Reshape((16, 3)), _named("Conv1D", "it", 5, 1)], "convolution"),
    "Depthwise": (lambda: [_named("DepthwiseConv2D", "it", 2)], "convolution"),
    "Transposed": (lambda: [_named("Conv2DTranspose", "it", 3, 2)], "convolution"),
}  # fmt: skip


@cache
def typed(name):
    parts = TYPES[name][0]()
    return _row(*parts, layers.ReLU(), layers.Flatten(), _named("Dense", "head", 2))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        *((name, "z_plus") for name in TYPES),
        *((name, "alpha2_beta1") for name in ("Dense on a vector", "EinsumDense", "1 x 1")),
    ],
)
def test_a_dense_layer_is_one_wherever_it_stands(name, rule):
    composite = {"z_plus": "epsilon_plus", "alpha2_beta1": "epsilon_alpha2_beta1"}[rule]
    ways = {"it": "epsilon" if TYPES[name][1] == "epsilon" else rule, "head": "epsilon"}
    x = pictures(SHAPE)
    result = explain(typed(name), x, methods.LRP(composite), target=1).attributions
    for one, picture in zip(result, x, strict=True):
        close(one, by_hand(typed(name), ways, picture, 1), 1e-4)
    other = {"it": rule if TYPES[name][1] == "epsilon" else "epsilon", "head": "epsilon"}
    wrong = by_hand(typed(name), other, x[0], 1)
    assert np.abs(result[0] - wrong).max() > 1e-2 * np.abs(wrong).max()  # the rules differ here


@pytest.mark.parametrize("first", ["w_square", "flat", "z_box"])
@pytest.mark.parametrize("name", ["Dense on maps", "Dense on tokens", "Dense on a vector"])
def test_a_dense_layer_on_the_picture_is_the_first(name, first):
    low, high = np.array([-3.0, -4.0, -5.0]), np.array([3.0, 5.0, 4.0])
    bounds = {"low": low, "high": high} if first == "z_box" else {}
    box = ("z_box", *(np.broadcast_to(one, SHAPE).ravel() for one in (low, high)))
    method = methods.LRP("epsilon_plus", first=first, **bounds)
    x = pictures(SHAPE)
    result = explain(typed(name), x, method, target=1).attributions
    ways = {"it": box if first == "z_box" else first, "head": "epsilon"}
    close(result[0], by_hand(typed(name), ways, x[0], 1), 1e-4)


def test_a_dense_layer_with_a_norm_behind_it_on_maps():
    """Folded it is a dense layer still."""
    norm = layers.BatchNormalization()
    whole = _row(layers.Dense(4, name="it"), norm, layers.ReLU(), layers.Flatten(),
                 layers.Dense(2, name="head"))  # fmt: skip
    folded = _row(layers.Dense(4, name="it"), layers.ReLU(), layers.Flatten(),
                  layers.Dense(2, name="head"))  # fmt: skip
    scale = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    kernel, bias = whole.get_layer("it").get_weights()
    folded.get_layer("it").set_weights(
        [kernel * scale, (bias - np.asarray(norm.moving_mean)) * scale + np.asarray(norm.beta)]
    )
    folded.get_layer("head").set_weights(whole.get_layer("head").get_weights())
    x = pictures(SHAPE)
    result, wanted = (explain(one, x, "lrp", target=0).attributions for one in (whole, folded))
    close(result, wanted)


# --- absolute epsilon, alpha and beta


@cache
def network():
    return _row(
        layers.Conv2D(4, 2, name="one"), layers.ReLU(), layers.Conv2D(3, 2, name="two"),
        layers.ReLU(), layers.Flatten(), layers.Dense(5, name="three"), layers.ReLU(),
        layers.Dense(3, name="head"),
    )  # fmt: skip


NAMES = ("one", "two", "three", "head")


@pytest.mark.parametrize("epsilon", [1e-9, 0.25, 3.0])
def test_epsilon_as_it_is(epsilon):
    x = pictures(SHAPE)
    method = methods.LRP("epsilon", epsilon=epsilon, absolute=True)
    result = explain(network(), x, method, target=2).attributions
    ways = dict.fromkeys(NAMES, ("absolute", epsilon))
    close(result[1], by_hand(network(), ways, x[1], 2), 1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (1.5, 0.5), (2.0, 1.0), (4, 3)])
def test_any_alpha_and_beta(alpha, beta):
    x = pictures(SHAPE)
    way = ("alpha_beta", alpha, beta)
    result = explain(network(), x, methods.LRP("alpha_beta", alpha=alpha, beta=beta), target=2)
    close(result.attributions[0], by_hand(network(), dict.fromkeys(NAMES, way), x[0], 2), 1e-4)
    composite = methods.LRP("epsilon_alpha_beta", alpha=alpha, beta=beta)
    result = explain(network(), x, composite, target=2)
    ways = {"one": way, "two": way, "three": "epsilon", "head": "epsilon"}
    close(result.attributions[0], by_hand(network(), ways, x[0], 2), 1e-4)


def test_names_are_numbers_too():
    x = pictures(SHAPE)
    for name, alpha, beta in [("z_plus", 1, 0), ("alpha2_beta1", 2, 1)]:
        one = explain(network(), x, methods.LRP(name), target=0)
        other = explain(network(), x, methods.LRP("alpha_beta", alpha=alpha, beta=beta), target=0)
        np.testing.assert_array_equal(one.attributions, other.attributions)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 2.0, "beta": 2.0},
        {"alpha": 0.5, "beta": -0.5},
        {"alpha": np.nan},
        {"alpha": "2"},
        {"absolute": "yes"},
        {"rules": {"one": "epsilon_plus"}},
        {"rules": {"one": 3}},
        {"rules": {3: "gamma"}},
        {"rules": "gamma"},
        {"rules": [("one",)]},
        {"first": "z_box", "low": 0.0},
        {"first": "z_box", "low": 1.0, "high": 0.0},
        {"first": "z_box", "low": "a", "high": "b"},
        {"first": "z_box", "low": 0.0, "high": np.inf},
        {"low": 0.0, "high": 1.0},
        {"rule": "epsilon_gamma_box", "first": "flat", "low": 0.0, "high": 1.0},
    ],
    ids=str,
)
def test_impossible_options(options):
    with pytest.raises(MethodError):
        methods.LRP(**options)
    assert issubclass(MethodError, ValueError)


def test_a_way_of_sharing_checks_its_own_numbers():
    with pytest.raises(MethodError, match="alpha - beta = 1"):
        sharing.AlphaBeta(3.0, 1.0)


# --- rules of single layers

WAYS = {"one": "z_plus", "two": "gamma", "three": ("absolute", 0.5), "head": "epsilon"}
WANTED = {
    "paths": {"one": "z_plus", "two": "gamma", "three": sharing.Epsilon(0.5, absolute=True)},
    "pairs": [("one", "z_plus"), ("two", "gamma"), ("three", sharing.Epsilon(0.5, True))],
    "a pattern": {"t[!h]*": "gamma", "o*": "z_plus", "three": sharing.Epsilon(0.5, True)},
    "the first counts": {
        "one": "z_plus", "three": sharing.Epsilon(0.5, True), "head": "epsilon", "*": "gamma",
    },
    "a function": {
        lambda path, layer: isinstance(layer, layers.Conv2D) and layer.filters == 4: "z_plus",
        lambda path, layer: path == "two": "gamma",
        "three": sharing.Epsilon(0.5, absolute=True),
    },
}  # fmt: skip


@pytest.mark.parametrize("how", WANTED)
def test_rules_by_layer(how):
    x = pictures(SHAPE)
    e = explain(network(), x, methods.LRP("epsilon", rules=WANTED[how]), target=1)
    close(e.attributions[0], by_hand(network(), WAYS, x[0], 1), 1e-4)
    assert e.info["rules"]["three"] == "Epsilon(epsilon=0.5, absolute=True)"
    assert e.info["rules"]["two"] == "gamma"
    assert json.loads(json.dumps(e.info["rules"])) == e.info["rules"]
    json.dumps(e.info["parameters"])


def test_rules_count_before_first():
    x = pictures(SHAPE)
    method = methods.LRP("epsilon", first="flat", rules={"one": "w_square"})
    result = explain(network(), x, method, target=1).attributions
    close(result[0], by_hand(network(), {"one": "w_square"}, x[0], 1), 1e-4)


def test_rules_of_nested_layers_by_their_paths():
    inputs = keras.Input(SHAPE)
    body = keras.Sequential(
        [keras.Input(SHAPE), *[layers.Conv2D(3, 2, name=name) for name in ("one", "two")]],
        name="body",
    )
    model = drawn(keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(body(inputs)))))
    x = pictures(SHAPE)
    wanted = explain(model, x, methods.LRP("gamma"), target=0).attributions
    for rules in ({"body/*": "gamma", "head": "gamma"}, {"*/one": "gamma", "*": "gamma"}):
        method = methods.LRP("z_plus", rules=rules)
        close(explain(model, x, method, target=0).attributions, wanted)
    with pytest.raises(LayerError, match=r"'body/\*' for the layers inside"):
        explain(model, x, methods.LRP(rules={"body": "gamma"}), target=0)


def test_a_separable_layer_shares_twice_by_its_rule():
    model = _row(layers.SeparableConv2D(3, 2, use_bias=False, name="it"), layers.Flatten(),
                 layers.Dense(2, name="head"))  # fmt: skip
    apart = _row(layers.DepthwiseConv2D(2, use_bias=False, name="a"),
                 layers.Conv2D(3, 1, use_bias=False, name="b"), layers.Flatten(),
                 layers.Dense(2, name="head"))  # fmt: skip
    apart.set_weights(model.get_weights())
    x = pictures(SHAPE)
    for rule, other in [("gamma", "gamma"), ("flat", "epsilon")]:  # flat: of its first step
        one = methods.LRP("epsilon", rules={"it": rule})
        two = methods.LRP("epsilon", rules={"a": rule, "b": other})
        close(*(explain(m, x, r, target=0).attributions for m, r in ((model, one), (apart, two))))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"tow": "gamma"}, "Did you mean 'two'"),
        ({"block*": "gamma"}, "'one', 'two', 'three', 'head'"),
        ({"flatten*": "gamma"}, "Flatten"),
        ({lambda path, layer: False: "gamma"}, "No path matches"),
    ],
)
def test_rules_that_match_nothing(rules, said):
    with pytest.raises(LayerError, match=said):
        explain(network(), pictures(SHAPE), methods.LRP(rules=rules), target=0)


def test_a_box_is_for_the_picture():
    rules = {"two": "z_box"}
    with pytest.raises(MethodError, match="'two'"):
        explain(network(), pictures(SHAPE), methods.LRP(rules=rules, low=-9, high=9), target=0)


# --- bounds of pixels


@pytest.mark.parametrize("kind", ["numbers", "channels", "arrays", "rule of a layer"])
def test_bounds(kind):
    shape = {"numbers": (), "channels": (3,)}.get(kind, SHAPE)
    draw = np.random.default_rng(5)
    low, high = -4 - draw.random(shape), 4 + draw.random(shape)
    by_rule = kind == "rule of a layer"
    method = methods.LRP(
        "epsilon", None if by_rule else "z_box", rules={"one": "z_box"} if by_rule else {},
        low=low if shape else float(low), high=high if shape else float(high),
    )  # fmt: skip
    x = pictures(SHAPE)
    e = explain(network(), x, method, target=1)
    box = ("z_box", *(np.broadcast_to(one, SHAPE).ravel() for one in (low, high)))
    close(e.attributions[1], by_hand(network(), {"one": box}, x[1], 1), 1e-4)


def test_bounds_that_do_not_fit():
    method = methods.LRP("epsilon_gamma_box", low=np.zeros(5), high=np.ones(5))
    with pytest.raises(MethodError, match=r"shapes \(5,\) and \(5,\)"):
        explain(network(), pictures(SHAPE), method, target=0)


# --- what is lost is said


def _with_bias(constant):
    inputs = keras.Input((8, 8, 3))
    bias = keras.initializers.Constant(constant)
    kernel = keras.initializers.RandomUniform(0, 0.1, seed=0)  # all positive: no sign is lost
    x = layers.Conv2D(6, 3, bias_initializer=bias, kernel_initializer=kernel)(inputs)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(3, kernel_initializer=kernel)(x))


@pytest.mark.parametrize("rule", ["epsilon", "epsilon_plus", "gamma", "z_plus"])
def test_what_biases_keep_is_measured_and_said(rule):
    x = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    with pytest.warns(UserWarning, match="biases and constants in sums absorb 81%"):
        e = explain(_with_bias(3.0), x, methods.LRP(rule), target=0)
    for check, map_, score in zip(e.checks, e.values, e.scores, strict=True):
        assert abs(check["kept_by_biases"] - (1 - map_.sum() / score)) < 1e-4
    assert not explain(_with_bias(0.1), x, methods.LRP(rule), target=0).checks[0]["findings"]


def test_a_constant_in_a_sum_is_a_bias():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, use_bias=False, kernel_initializer="ones")(inputs) + 40.0
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(3, kernel_initializer="ones")(x))
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    with pytest.warns(UserWarning, match="constants in sums absorb 7.%"):
        e = explain(model, x, methods.LRP("epsilon"), target=0)
    assert abs(e.checks[0]["kept_by_biases"] - (1 - e.values.sum() / e.scores[0])) < 1e-4


def test_what_epsilon_absorbs_is_said():
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    method = methods.LRP("epsilon", epsilon=50.0, absolute=True)
    with pytest.warns(UserWarning, match="0% of the score: epsilon, and outputs .* absorb 100%"):
        explain(_with_bias(0.0), x, method, target=0)


def test_rules_that_keep_all_say_nothing():
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    for rule in ("epsilon", "z_plus", "gamma", "epsilon_plus"):
        check = explain(_with_bias(0.0), x, methods.LRP(rule), target=0).checks[0]
        assert abs(check["kept_by_biases"]) < 1e-5
        assert not check["findings"]


def test_where_nothing_is_negative_alpha_makes_relevance():
    """Each layer gives twice what it gets, and none takes it off."""
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    with pytest.warns(UserWarning, match="400% of the score: .* all of one sign, add 300%"):
        explain(_with_bias(0.0), x, methods.LRP("alpha2_beta1"), target=0)


def test_a_score_of_nothing():
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(2)])
    model.set_weights([np.zeros((48, 2)), np.zeros(2)])
    with pytest.warns(UserWarning, match="0 everywhere"):
        e = explain(model, pictures(SHAPE), methods.LRP("epsilon"), target=0)
    assert np.isfinite(e.checks[0]["kept_by_biases"])
    assert len(e.checks[0]["findings"]) == 1


def test_probability_scores_are_measured_alike():
    """What biases keep is a share of the score that is explained."""
    inputs = keras.Input((8, 8, 3))
    body = _with_bias(0.0)
    model = keras.Model(inputs, ops.softmax(body(inputs)))
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    e = explain(model, x, methods.LRP("epsilon"), target=0)
    assert e.checks[0]["conservation_error"] < 1e-4

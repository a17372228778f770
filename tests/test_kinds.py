"""Signals, volumes, video, words and tables: every method, on every kind that it is for."""

import functools

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import errors, explain, methods
from keras_saliency._inputs.kinds import KINDS
from keras_saliency.methods.base import classes
from keras_saliency.testing import inputs

EVERY = {name: kind(**inputs.options(name)) for name, kind in classes().items()}
FLAT = {"picture": "picture", "lone_signal": "signal"}  # by the name of the network
PAIRS = [
    (net, name)
    for net in inputs.INPUTS
    for name, method in EVERY.items()
    if FLAT.get(net, net) in method.kinds and "transformer" not in name and "rollout" not in name
    if (net, name) not in (("video", "lrp"), ("video", "deep_lift"))
]
ALONE = ("gradient", "occlusion", "eigen_cam")  # a gradient, scores, maps of one row
ADDS_UP = ("integrated_gradients", "deep_lift", "kernel_shap", "shapley_sampling")
# What a method of slopes shows of a table is not where the evidence is; a contrast of two classes
# and a deconvolution are of something else.
SLOPES = ("gradient", "smooth_grad", "guided_backprop", "idgi")
OF_ELSE = ("finer_cam", "deconvnet")


@functools.cache
def _made(net):
    model, x = inputs.case(net)
    return model, x, model.get_weights()


def _case(net):
    """A network and inputs; what is compiled for its random weights serves the planted ones."""
    model, x, weights = _made(net)
    model.set_weights(weights)
    return model, x


def _planted(net):
    return inputs.planted(net, _case(net))


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(("net", "name"), PAIRS)
def test_shapes_rows_and_seeds(net, name):
    """Attributions have the input's shape, and a row does not depend on its batch."""
    model, x = _case(net)
    method = EVERY[name]
    e = explain(model, x, method, target=1, seed=3)
    axes = len(KINDS[FLAT.get(net, net)].axes)
    assert e.info["kind"] == FLAT.get(net, net)
    assert e.values.shape == x.shape[: 1 + axes]
    assert np.isfinite(e.values).all()
    if e.attributions is not None:
        assert e.attributions.shape == (x.shape if net != "tokens" else (*x.shape, 6))
    assert [one.shape for one in e.maps()] == [x.shape[1 : 1 + axes]] * len(x)
    np.testing.assert_array_equal(explain(model, x, method, target=1, seed=3).values, e.values)
    if name != "expected_gradients":  # its references are the other rows
        # Beside itself, as no other row is; another number of rows would compile again.
        other = x[1] if name in ALONE else x[[1, 1]]
        again = explain(model, other, method, target=1, seed=3)
        np.testing.assert_allclose(again.values[0], e.values[1], rtol=2e-3, atol=1e-5)
    if name in ADDS_UP:
        assert all(check["completeness_error"] < 0.02 for check in e.checks)


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(
    ("net", "name"),
    [
        (net, name)
        for net, name in PAIRS
        if name not in OF_ELSE and not (net == "table" and name in SLOPES)
        if not (net == "lone_signal" and "cam" in name)  # its dense layer weighs positions
    ],
)
def test_what_is_planted_is_located(net, name):
    model, x, block = _planted(net)
    options = {} if name != "expected_gradients" else {"references": np.zeros((2, *x.shape[1:]))}
    method = EVERY[name]
    if options:
        if net == "tokens":
            options = {"references": np.zeros((2, *x.shape[1:], 6))}
        method = methods.ExpectedGradients(samples=6, **options)
    if name == "rise":
        method = methods.RISE(masks=400, fill=0.0)
    values = np.abs(explain(model, x, method, target=0).values[0])
    near = np.zeros(values.shape, bool)
    reach = 3 if name != "rise" else 6  # of windows and small maps, enlarged
    near[tuple(slice(max(0, s.start - reach), s.stop + reach) for s in block)] = True
    if net == "table":
        near[:] = False
        near[block] = True
    assert near.flat[values.argmax()]


@pytest.mark.parametrize("net", inputs.INPUTS)
def test_gradients_are_finite_differences(net):
    model, x = _case(net)
    e = explain(model, x, "gradient", target=2)
    if net == "tokens":
        embedding = model.layers[0]
        vectors = np.asarray(keras.ops.convert_to_numpy(embedding(x)))
        rest = keras.Sequential([keras.Input(vectors.shape[1:]), *model.layers[1:]])
    else:
        vectors, rest = x, model
    draw, tried = np.random.default_rng(1), 0
    for _ in range(10):
        place = tuple(int(draw.integers(n)) for n in vectors.shape)
        step = np.zeros_like(vectors)
        step[place] = 2e-3
        points = (vectors - step, vectors, vectors + step)
        low, middle, high = (float(rest.predict(v, verbose=0)[place[0], 2]) for v in points)
        if abs(high - 2 * middle + low) > 1e-6 + 0.02 * abs(high - low):
            continue  # a rectifier switches in between
        tried += 1
        wanted = (high - low) / 4e-3
        assert e.attributions[place] == pytest.approx(wanted, abs=0.02 * abs(wanted) + 2e-3)
    assert tried >= 5


@pytest.mark.parametrize("name", EVERY)
def test_other_kinds_are_refused(name):
    method = EVERY[name]
    for net in inputs.INPUTS:
        kind = FLAT.get(net, net)
        if kind in method.kinds:
            continue
        model, x = _case(net)
        with pytest.raises(errors.MethodError, match=f"Method '{name}' is for"):
            explain(model, x, method, target=1)


def test_the_kinds_of_a_table_of_linear_weights_is_shaps_identity():
    """Shapley values of a linear model are w (x - mean): shap's own identity."""
    draw = np.random.default_rng(0)
    data, w = draw.normal(size=(50, 7)).astype("float32"), draw.normal(size=(7, 1))
    model = keras.Sequential([keras.Input((7,)), L.Dense(1, use_bias=False)])
    model.set_weights([w.astype("float32")])
    x, mean = data[:2], data.mean(0)
    wanted = w[:, 0] * (x - mean)
    for method in (
        methods.KernelShap(fill=mean),
        methods.ShapleySampling(fill=mean),
        methods.IntegratedGradients(baseline=mean),
        methods.DeepLift(baseline=mean),
        methods.Occlusion(fill=mean),
    ):
        np.testing.assert_allclose(explain(model, x, method).values, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(errors.MethodError, match=r"data\.mean"):
        explain(model, x, "occlusion")


@pytest.mark.parametrize("name", ["lrp", "deep_lift"])
def test_what_has_no_rule_is_refused(name):
    """A recurrent layer, and one that is run for each step, have no published rule here."""
    model, x = _case("video")
    with pytest.raises(errors.MethodError, match="TimeDistributed"):
        explain(model, x, name, target=1)
    recurrent = keras.Sequential([keras.Input((6, 2)), L.LSTM(3), L.Dense(2)])
    with pytest.raises(errors.MethodError, match="LSTM"):
        explain(recurrent, np.zeros((1, 6, 2), "float32"), name, target=1)


# ------------------------------------------------------------------ what an input is


def _flattened(*shape):
    return keras.Sequential([keras.Input(shape), L.Flatten(), L.Dense(2)])


@pytest.mark.parametrize(
    ("shape", "readings"),
    [((6, 5), ("signal", "picture")), ((4, 5, 6, 2), ("volume", "video"))],
)
def test_what_nothing_shows_is_asked(shape, readings):
    model, x = _flattened(*shape), np.random.default_rng(0).random((1, *shape), "float32")
    said = " or ".join(f"kind='{kind}'" for kind in readings)
    with pytest.raises(errors.ModelError, match=said):
        explain(model, x, target=1)
    for kind in readings:
        e = explain(model, x, target=1, kind=kind)
        assert (e.info["kind"], e.attributions.shape) == (kind, x.shape)


WRONG = {
    "rank": ("signal", np.zeros((2, 2, 32, 3)), r"Expected a signal of finite numbers"),
    "channels": ("signal", np.zeros((32, 4)), r"\(32, 3\)"),
    "strings": ("tokens", "a text", "words"),
    "floats for words": ("tokens", np.full(12, 0.5), "no numbers of words"),
    "words beyond": ("tokens", np.full(12, 20), "words 0 to 19"),
    "empty": ("signal", np.zeros((0, 32, 3)), "empty"),
    "not finite": ("table", np.full(7, np.nan), "7 values that are NaN or infinite"),
    "a column more": ("table", np.zeros((2, 8)), r"\(7,\)"),
    "frames": ("video", np.zeros((5, 8, 10, 3)), r"\(4, 8, 10, 3\)"),
}


@pytest.mark.parametrize("why", WRONG)
def test_wrong_inputs(why):
    net, given, said = WRONG[why]
    with pytest.raises(errors.KerasSaliencyError, match=said):
        explain(_case(net)[0], given, target=1)
    with pytest.raises(errors.MethodError, match="No kind of input is called 'sound'"):
        explain(*_case("signal"), target=1, kind="sound")


# ------------------------------------------------------------------ mutants


def test_the_laws_reject_their_mutants(monkeypatch):
    """Each law over kinds, on a method that breaks it."""

    class Moved(methods.Gradient):
        def attribute(self, engine, seed):
            result = super().attribute(engine, seed)
            return type(result)(np.roll(result.values, result.values.shape[1] // 2, 1))

    class Shared(methods.Gradient):
        def attribute(self, engine, seed):
            result = super().attribute(engine, seed)
            return type(result)(result.values + result.values.mean(0))

    monkeypatch.setitem(EVERY, "gradient", Moved())
    with pytest.raises(AssertionError):
        test_what_is_planted_is_located("signal", "gradient")
    monkeypatch.setitem(EVERY, "gradient", Shared())
    with pytest.raises(AssertionError):
        test_shapes_rows_and_seeds("volume", "gradient")

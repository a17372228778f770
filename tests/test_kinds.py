"""Signals, volumes, video, words and tables: every method, on every kind that it is for."""

import functools

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import errors, explain, methods
from keras_saliency._inputs import KINDS
from keras_saliency.methods.base import classes
from keras_saliency.testing import networks

OPTIONS = {
    "blur_integrated_gradients": {"steps": 12, "max_sigma": 3},
    "expected_gradients": {"samples": 6},
    "finer_cam": {"similar": 1},
    "guided_integrated_gradients": {"steps": 6},
    "idgi": {"base": methods.IntegratedGradients(steps=6, baseline=0.0)},
    "integrated_gradients": {"steps": 24, "baseline": 0.0},
    "kernel_shap": {"fill": 0.0, "segments": "grid", "samples": 200},
    "lime": {"fill": 0.0, "segments": "grid", "samples": 150, "ridge": 0.01},
    "occlusion": {"fill": 0.0},
    "rise": {"masks": 120, "fill": 0.0},
    "shapley_sampling": {"fill": 0.0, "segments": "grid", "samples": 2},
    "smooth_grad": {"samples": 3},
    "xrai": {"base": methods.IntegratedGradients(steps=8, baseline=0.0), "min_area": 4},
}
EVERY = {name: kind(**OPTIONS.get(name, {})) for name, kind in classes().items()}
FLAT = {"picture": "picture", "lone_signal": "signal"}  # by the name of the network
PAIRS = [
    (net, name)
    for net in networks.INPUTS
    for name, method in EVERY.items()
    if FLAT.get(net, net) in method.kinds and "transformer" not in name and "rollout" not in name
    if (net, name) not in (("video", "lrp"), ("video", "deep_lift"))
]
ADDS_UP = ("integrated_gradients", "deep_lift", "kernel_shap", "shapley_sampling")
# What a method of slopes shows of a table is not where the evidence is; a contrast of two classes
# and a deconvolution are of something else.
SLOPES = ("gradient", "smooth_grad", "guided_backprop", "idgi")
OF_ELSE = ("finer_cam", "deconvnet")


@functools.cache
def _case(net):
    return networks.case(net)


@functools.cache
def _planted(net):
    return networks.planted(net)


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
        alone = explain(model, x[1], method, target=1, seed=3)
        np.testing.assert_allclose(alone.values[0], e.values[1], rtol=2e-3, atol=1e-5)
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
def test_what_is_planted_is_found(net, name):
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


@pytest.mark.parametrize("net", networks.INPUTS)
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
    for net in networks.INPUTS:
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


# ------------------------------------------------------------------ recurrent layers and attention


def _attending():
    inputs = keras.Input((7, 4))
    x = L.MultiHeadAttention(2, 3)(inputs, inputs)
    return keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling1D()(x)))


RECURRENT = {
    "lstm": lambda: keras.Sequential([keras.Input((7, 4)), L.LSTM(5), L.Dense(2)]),
    "gru": lambda: keras.Sequential([keras.Input((7, 4)), L.GRU(5), L.Dense(2)]),
    "bidirectional": lambda: keras.Sequential(
        [
            keras.Input((7, 4)),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.GlobalAveragePooling1D(),
            L.Dense(2),
        ]
    ),
    "attention": _attending,
    "conv_lstm": lambda: keras.Sequential(
        [
            keras.Input((3, 5, 6, 2)),
            L.ConvLSTM2D(3, 3, padding="same"),
            L.GlobalAveragePooling2D(),
            L.Dense(2),
        ]
    ),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_and_attending_models(name):
    """Gradients are finite differences, and paths add up."""
    keras.utils.set_random_seed(0)
    model = RECURRENT[name]()
    x = np.random.default_rng(0).normal(size=(1, *model.input_shape[1:])).astype("float32")
    found = explain(model, x, "gradient", target=1).attributions
    draw = np.random.default_rng(1)
    for _ in range(4):
        place = tuple(int(draw.integers(n)) for n in x.shape)
        step = np.zeros_like(x)
        step[place] = 5e-3
        low, high = (float(model.predict(v, verbose=0)[0, 1]) for v in (x - step, x + step))
        assert found[place] == pytest.approx((high - low) / 1e-2, abs=2e-3)
    e = explain(model, x, methods.IntegratedGradients(steps=40, baseline=0.0), target=1)
    assert e.checks[0]["completeness_error"] < 0.01


def _masking(kind):
    if kind == "tokens":
        return keras.Sequential(
            [
                keras.Input((8,), dtype="int32"),
                L.Embedding(12, 4, mask_zero=True),
                L.LSTM(5),
                L.Dense(2),
            ]
        )
    return keras.Sequential([keras.Input((8, 3)), L.Masking(0.0), L.GRU(5), L.Dense(2)])


@pytest.mark.parametrize("kind", ["tokens", "signal"])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "occlusion"])
def test_padding_gets_nothing(kind, method):
    """Shorter ones are padded where the model masks; alone or beside others they are the same."""
    keras.utils.set_random_seed(1)
    model, draw = _masking(kind), np.random.default_rng(0)
    lengths = (8, 5)
    if kind == "tokens":
        x = [draw.integers(1, 12, length) for length in lengths]
    else:
        x = [draw.normal(size=(length, 3)).astype("float32") for length in lengths]
    e = explain(model, x, method, target=1)
    assert [one.shape for one in e.maps()] == [(8,), (5,)]
    assert not e.values[1, 5:].any()
    assert e.values[1, :5].any()
    alone = explain(model, x[1], method, target=1)
    np.testing.assert_allclose(e.values[1], alone.values[0], rtol=1e-3, atol=1e-6)
    unmasked = keras.Sequential([keras.Input((None, 3)), L.GRU(5), L.Dense(2)])
    with pytest.raises(errors.InputError, match="masks no padding"):
        explain(unmasked, [np.ones((3, 3)), np.ones((4, 3))], method, target=1)


# ------------------------------------------------------------------ CAMs


def test_a_network_of_pictures_is_explained_frame_by_frame():
    """Grad-CAM of each frame alone, as its share of the score has it."""
    keras.utils.set_random_seed(3)
    frames = keras.Sequential(
        [
            keras.Input((8, 10, 3)),
            L.Conv2D(4, 3, activation="relu", padding="same"),
            L.GlobalAveragePooling2D(),
        ]
    )
    inputs = keras.Input((4, 8, 10, 3))
    pooled = L.GlobalAveragePooling1D()(L.TimeDistributed(frames)(inputs))
    model = keras.Model(inputs, L.Dense(2)(pooled))
    x = np.random.default_rng(0).normal(size=(1, 4, 8, 10, 3)).astype("float32")
    method = methods.GradCam(relu=False)
    e = explain(model, x, method, target=1)
    one = keras.Model(frames.inputs[0], model.layers[-1](frames(frames.inputs[0])))
    wanted = explain(one, x[0], method, target=1).values
    np.testing.assert_allclose(4 * e.values[0], wanted, rtol=1e-3, atol=1e-6)


def test_words_of_two_texts_through_one_embedding():
    """The call that embeds the explained text, not the first."""
    keras.utils.set_random_seed(3)
    a, b = (keras.Input((5,), dtype="int32", name=name) for name in "ab")
    embedding = L.Embedding(9, 4)
    pooled = [L.GlobalAveragePooling1D()(embedding(one)) for one in (a, b)]
    model = keras.Model([a, b], L.Dense(2)(L.Concatenate()([L.Dense(3)(pooled[0]), pooled[1]])))
    x = {name: np.random.default_rng(k).integers(0, 9, (1, 5)) for k, name in enumerate("ab")}
    found = explain(model, x, "gradient", target=1, inputs="b")
    head = model.layers[-1].kernel
    wanted = np.asarray(keras.ops.convert_to_numpy(head))[3:, 1] / 5
    np.testing.assert_allclose(found.attributions[0], np.tile(wanted, (5, 1)), rtol=1e-4)
    assert found.info["input"] == "b"
    again = L.Flatten()(L.Embedding(9, 4)(a))[:, :4]
    twice = keras.Model(a, L.Dense(2)(L.Add()([pooled[0], again])))
    with pytest.raises(errors.ModelError, match="embedded 2 times"):
        explain(twice, x["a"], "gradient", target=1)


# ------------------------------------------------------------------ several inputs together


def _with_an_age():
    keras.utils.set_random_seed(5)
    image, age = keras.Input((8, 9, 1), name="image"), keras.Input((3,), name="age")
    maps = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="tanh")(image))
    return keras.Model(
        {"image": image, "age": age}, L.Dense(2)(L.Multiply()([maps, L.Dense(4)(age)]))
    )


@pytest.mark.parametrize(
    "method",
    [
        methods.IntegratedGradients(steps=40, baseline=0.0),
        methods.InputXGradient(),
        methods.Gradient(),
        methods.SmoothGrad(samples=4),
        methods.ExpectedGradients(samples=8),
    ],
    ids=lambda one: one.name,
)
def test_several_inputs_together(method):
    model, draw = _with_an_age(), np.random.default_rng(0)
    x = {
        "age": draw.normal(size=(2, 3)).astype("float32"),
        "image": draw.normal(size=(2, 8, 9, 1)).astype("float32"),
    }
    e = explain(model, x, method, target=1, inputs="all", seed=2)
    assert set(e) == {"image", "age"}
    assert {name: one.attributions.shape for name, one in e.items()} == {
        "image": (2, 8, 9, 1),
        "age": (2, 3),
    }
    assert (e["image"].info["kind"], e["age"].info["kind"]) == ("picture", "table")
    if method.complete:
        zeros = {name: 0 * value for name, value in x.items()}
        gap = model.predict(x, verbose=0)[:, 1] - model.predict(zeros, verbose=0)[:, 1]
        sums = [one.attributions.reshape(2, -1).sum(1) for one in e.values()]
        np.testing.assert_allclose(sum(sums), gap, rtol=1e-2, atol=1e-5)
    if method.name in ("gradient", "input_x_gradient"):  # as of each alone
        for name in x:
            alone = explain(model, x, method, target=1, inputs=name)
            np.testing.assert_allclose(
                e[name].attributions, alone.attributions, rtol=1e-4, atol=1e-6
            )
    default = explain(model, x, method, target=1, seed=2)
    assert default.info["input"] == "image"


def test_a_text_and_a_row_together():
    keras.utils.set_random_seed(2)
    text, row = keras.Input((6,), dtype="int32", name="text"), keras.Input((4,), name="row")
    pooled = L.GlobalAveragePooling1D()(L.Embedding(9, 3)(text))
    model = keras.Model([text, row], L.Dense(2)(L.Multiply()([pooled, L.Dense(3)(row)])))
    draw = np.random.default_rng(0)
    x = {"text": draw.integers(0, 9, (3, 6)), "row": draw.normal(size=(3, 4)).astype("float32")}
    method = methods.IntegratedGradients(steps=30, baseline=0.0)
    e = explain(model, x, method, target=1, inputs="all")
    assert (e["text"].values.shape, e["row"].attributions.shape) == ((3, 6), (3, 4))
    assert e["text"].attributions.shape == (3, 6, 3)
    assert all(check["completeness_error"] < 0.01 for check in e.checks)


def test_what_several_inputs_do_not_take(tmp_path):
    model, draw = _with_an_age(), np.random.default_rng(0)
    x = {"image": draw.random((1, 8, 9, 1), "float32"), "age": draw.random((1, 3), "float32")}
    with pytest.raises(errors.MethodError, match="is for"):
        explain(model, x, "grad_cam", target=1, inputs="all")
    with pytest.raises(errors.InputError, match="Did you mean 'age'"):
        explain(model, x, target=1, inputs=["age", "ages"])
    with pytest.raises(errors.MethodError, match="Name each explained input"):
        explain(model, x, methods.IntegratedGradients(baseline={"age": 0.0}), inputs="all")
    e = explain(model, x, methods.IntegratedGradients(steps=8), target=1, inputs="all")
    again = type(e).load(e.save(tmp_path / "saved"))
    for name in e:
        np.testing.assert_array_equal(again[name].attributions, e[name].attributions)


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
            found = super().attribute(engine, seed)
            return type(found)(np.roll(found.values, found.values.shape[1] // 2, 1))

    class Shared(methods.Gradient):
        def attribute(self, engine, seed):
            found = super().attribute(engine, seed)
            return type(found)(found.values + found.values.mean(0))

    monkeypatch.setitem(EVERY, "gradient", Moved())
    with pytest.raises(AssertionError):
        test_what_is_planted_is_found("signal", "gradient")
    monkeypatch.setitem(EVERY, "gradient", Shared())
    with pytest.raises(AssertionError):
        test_shapes_rows_and_seeds("volume", "gradient")

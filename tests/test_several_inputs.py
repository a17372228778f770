"""Several inputs explained together: one map each, of one joint path."""

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import errors, explain, methods


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

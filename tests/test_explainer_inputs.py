"""Streams of several inputs: which of them `Explainer` explains."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import Explainer, JointExplanation, errors, explain, methods

pytestmark = pytest.mark.any_backend  # our own code around a model


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    image, age = keras.Input((8, 9, 1), name="image"), keras.Input((3,), name="age")
    maps = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="tanh")(image))
    return keras.Model(
        {"image": image, "age": age}, L.Dense(2)(L.Multiply()([maps, L.Dense(4)(age)]))
    )


@pytest.fixture(scope="module")
def rows():
    draw = np.random.default_rng(0)
    return [
        {
            "image": draw.normal(size=(8, 9, 1)).astype("float32"),
            "age": draw.normal(size=3).astype("float32"),
        }
        for _ in range(5)
    ]


def _singly(model, row, method, **options):
    batch = {name: value[None] for name, value in row.items()}
    return explain(model, batch, method, target=1, **options)


@pytest.mark.parametrize("inputs", ["all", ["age", "image"]])
def test_several_inputs_of_each_row_together(model, rows, inputs):
    method = methods.IntegratedGradients(steps=8, baseline={"image": 0.0, "age": 1.0})
    explainer = Explainer(model, method, target=1, inputs=inputs, batch_size=3)
    streamed = list(explainer.stream(rows))
    assert len(streamed) == len(rows)
    for row, one in zip(rows, streamed, strict=True):
        alone = _singly(model, row, method, inputs=inputs)
        assert isinstance(one, JointExplanation)
        assert set(one) == {"image", "age"}
        for name in alone:
            np.testing.assert_allclose(
                one[name].attributions, alone[name].attributions, rtol=1e-4, atol=1e-6
            )
            np.testing.assert_array_equal(one[name].pictures[0], alone[name].pictures[0])
        # Sums of float32 terms near 1, which cancel.
        np.testing.assert_allclose(one.scores, alone.scores, rtol=1e-5, atol=1e-7)


def test_one_input_by_its_name(model, rows, tmp_path):
    explainer = Explainer(model, "gradient", target=1, inputs="age", batch_size=3)
    alone = [_singly(model, row, "gradient", inputs="age") for row in rows]
    for one, wanted in zip(explainer.stream(rows), alone, strict=True):
        assert (one.info["input"], one.attributions.shape) == ("age", (1, 3))
        np.testing.assert_allclose(one.attributions, wanted.attributions, rtol=1e-4, atol=1e-6)
    archive = explainer.write(rows, tmp_path / "maps")
    np.testing.assert_allclose(archive["2"].map(), alone[2].values[0], rtol=1e-4, atol=1e-6)
    other = Explainer(model, "gradient", target=1, inputs="image")
    with pytest.raises(errors.SaveError, match="inputs"):  # never mixed in one folder
        other.write(rows, tmp_path / "maps")


def test_a_call_explains_the_same_inputs(model, rows):
    explainer = Explainer(model, "gradient", target=1, inputs="all")
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    assert explainer(batch)["age"].values.shape == (5, 3)


@pytest.mark.parametrize("inputs", ["all", ["age"]])
def test_an_archive_holds_one_map_a_picture(model, rows, inputs, tmp_path):
    with pytest.raises(errors.SaveError, match="Name one input"):
        Explainer(model, inputs=inputs).write(rows, tmp_path / "maps")
    assert not list(tmp_path.iterdir())


def test_an_input_that_is_none(model, rows):
    with pytest.raises(errors.InputError, match="Did you mean 'age'"):
        list(Explainer(model, inputs="ages").stream(rows))

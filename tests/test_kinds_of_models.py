"""Recurrent, attending and masking models, and networks that run for each step or text."""

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import errors, explain, methods


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
    result = explain(model, x, "gradient", target=1).attributions
    draw = np.random.default_rng(1)
    for _ in range(4):
        place = tuple(int(draw.integers(n)) for n in x.shape)
        step = np.zeros_like(x)
        step[place] = 5e-3
        low, high = (float(model.predict(v, verbose=0)[0, 1]) for v in (x - step, x + step))
        assert result[place] == pytest.approx((high - low) / 1e-2, abs=2e-3)
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
    result = explain(model, x, "gradient", target=1, inputs="b")
    head = model.layers[-1].kernel
    wanted = np.asarray(keras.ops.convert_to_numpy(head))[3:, 1] / 5
    np.testing.assert_allclose(result.attributions[0], np.tile(wanted, (5, 1)), rtol=1e-4)
    assert result.info["input"] == "b"
    again = L.Flatten()(L.Embedding(9, 4)(a))[:, :4]
    twice = keras.Model(a, L.Dense(2)(L.Add()([pooled[0], again])))
    with pytest.raises(errors.ModelError, match="embedded 2 times"):
        explain(twice, x["a"], "gradient", target=1)

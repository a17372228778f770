"""Which outputs are a map of the picture: not any rows, steps or windows."""

from __future__ import annotations

from functools import cache

import keras
import models
import numpy as np
import pytest
import vits
from keras import layers as kl

from keras_saliency import errors, explain, methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare

# Which layer is chosen matters here, not whether random weights give a map of zeros at it.
pytestmark = pytest.mark.filterwarnings("ignore:picture")


class Patches(keras.Layer):
    """Cuts a picture into patches of 3x3 in NumPy's way, unseen."""

    def call(self, x):
        _, height, width, depth = x.shape
        x = keras.ops.reshape(x, (-1, height // 3, 3, width // 3, 3, depth))
        x = keras.ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return keras.ops.reshape(x, (-1, height * width // 9, 9 * depth))


def test_rows_of_a_picture_are_no_tokens():
    inputs = keras.Input((28, 28))
    x = kl.Dense(8, activation="relu")(kl.Flatten()(kl.Rescaling(1 / 255)(inputs)))
    picture = np.ones((28, 28), "float32")
    with pytest.raises(errors.LayerError, match="larger than 1x1"):
        explain(keras.Model(inputs, kl.Dense(3)(x)), picture, "grad_cam", target=0, kind="picture")


def test_steps_of_a_recurrent_layer_are_no_tokens():
    inputs = keras.Input((24, 24, 1))
    x = kl.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = kl.Permute((2, 1, 3))(kl.MaxPooling2D((2, 1), name="pool")(x))
    x = kl.LSTM(4)(kl.LSTM(8, return_sequences=True)(kl.Reshape((24, 48))(x)))
    model = keras.Model(inputs, kl.Dense(3)(x))
    picture = np.random.default_rng(0).random((1, 24, 24, 1)).astype("float32")
    assert explain(model, picture, "grad_cam", target=0).info["layer"] == "pool"


@pytest.mark.parametrize(("size", "grid"), [((12, 24), (4, 8)), ((12, 12), (4, 4))])
@pytest.mark.parametrize("class_token", [True, False])
def test_patches_that_no_one_saw_being_cut(size, grid, class_token):
    inputs = keras.Input((*size, 3))
    x = kl.Dense(8)(Patches()(inputs))
    x = vits.ClassToken()(x) if class_token else x
    model = keras.Model(inputs, kl.Dense(2)(kl.MultiHeadAttention(2, 4)(x, x)[:, 0]))
    adapter = Adapter(model)
    batch = prepare(adapter, np.ones((1, *size, 3), "float32"))
    result = Engine(adapter, targets.get(0), batch).tokens("any")
    assert (*result.size, result.first) == (*grid, int(class_token))


@cache
def windows():
    """Four windows of a picture go through attention as rows of the batch."""
    inputs = keras.Input((12, 12, 3))
    x = kl.Conv2D(8, 3, strides=3, name="patches")(inputs)
    x = kl.Permute((3, 1, 2))(x)
    x = keras.ops.reshape(keras.ops.transpose(x, (0, 2, 3, 1)), (-1, 4, 8))
    x = keras.ops.reshape(kl.MultiHeadAttention(2, 4, name="windows")(x, x), (-1, 16 * 8))
    return vits.drawn(keras.Model(inputs, kl.Dense(2)(x)))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "method",
    [
        *(methods.AttentionRollout(), methods.TransformerAttribution()),
        *(kind(layer="windows") for kind in (methods.GradCam, methods.EigenCam)),
        methods.AblationCam(layer="windows"),
    ],
    ids=lambda one: one.name,
)
def test_windows_as_rows_are_refused(method, count):
    with pytest.raises(errors.LayerError, match=r"no picture|\(4, 4, 8\) for one picture"):
        explain(windows(), models.pictures(count), method, target=0)


def test_before_windows_there_is_a_map():
    e = explain(windows(), models.pictures(2), "grad_cam", target=0)
    assert e.info["layer"].startswith("transpose")  # which undoes the permutation


class MultiHeadAttention(keras.Layer):
    """Somebody's own, by the same name."""

    def __init__(self):
        super().__init__()
        self.dense = kl.Dense(vits.WIDTH)

    def call(self, x):
        return keras.ops.softmax(x @ keras.ops.swapaxes(x, 1, 2)) @ self.dense(x)


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_attention_of_your_own_is_not_keras(method):
    inputs = keras.Input((12, 12, 3))
    x = kl.GlobalAveragePooling1D()(MultiHeadAttention()(vits.tokens_of(inputs)))
    with pytest.raises(errors.LayerError, match=r"no keras\.layers\.MultiHeadAttention"):
        explain(keras.Model(inputs, kl.Dense(2)(x)), models.pictures(1), method, target=0)

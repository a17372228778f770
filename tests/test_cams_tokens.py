"""Class activation maps of vision transformers: tokens are a map, whatever else is among them."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import errors, explain, methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare

SIDE, PATCH, WIDTH = 4, 6, 4  # 4 x 4 patches of 6 pixels
BRIGHT, OUT, MARK = 0, 1, 2  # what a token's channels hold in the planted networks


class ClassToken(keras.Layer):
    """Puts one token before the others, as most libraries have it: no Concatenate to be seen."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, x):
        return ops.concatenate([ops.repeat(self.token, ops.shape(x)[0], axis=0), x], axis=1)


def _block(x, name, norm):
    """Attention and two dense layers, each added to what goes in."""
    attention = layers.MultiHeadAttention(2, WIDTH, name=f"{name}_attention")
    y = layers.LayerNormalization(name=f"{name}_norm")(x) if norm else x
    x = layers.Add(name=f"{name}_attended")([x, attention(y, y)])
    y = layers.Dense(WIDTH, activation="gelu", name=f"{name}_mlp")(x)
    return layers.Add(name=f"{name}_out")([x, y])


def _transformer(class_token, norm, blocks=2):
    inputs = keras.Input((SIDE * PATCH, SIDE * PATCH, 3))
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(inputs)
    x = layers.Reshape((SIDE * SIDE, WIDTH), name="tokens")(x)
    if class_token:
        x = ClassToken(name="class_token")(x)
    for number in range(blocks):
        x = _block(x, f"block{number}", norm)
    x = x[:, 0] if class_token else layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


@cache
def drawn(class_token):
    """Random weights, layer norms as in practice."""
    model = _transformer(class_token, norm=True)
    draw = np.random.default_rng(2).normal
    model.set_weights([draw(0, 0.5, w.shape) for w in model.get_weights()])
    return model


@cache
def planted(class_token):
    """Class 0 if a patch is bright: the class token looks for such tokens, or all are averaged."""
    model = _transformer(class_token, norm=False)
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])

    def put(layer, kernel):
        layer.set_weights([kernel, *(np.zeros(w.shape) for w in layer.get_weights()[1:])])

    kernel = np.zeros((PATCH, PATCH, 3, WIDTH))
    kernel[..., BRIGHT] = 1 / (3 * PATCH**2)
    put(model.get_layer("patches"), kernel)
    head = np.zeros((WIDTH, 3))
    head[OUT if class_token else BRIGHT, 0] = 1
    put(model.get_layer("head"), head)
    if class_token:
        token = np.zeros((1, 1, WIDTH))
        token[..., MARK] = 1
        model.get_layer("class_token").set_weights([token])
        last = model.get_layer("block1_attention")
        weights = {w.path.split("_attention/")[-1]: np.zeros(w.shape) for w in last.weights}
        weights["query/kernel"][MARK, 0, 0] = weights["key/kernel"][BRIGHT, 0, 0] = 4
        weights["value/kernel"][BRIGHT, 0, 0] = weights["attention_output/kernel"][0, 0, OUT] = 1
        last.set_weights(list(weights.values()))
    return model


def picture(row, column):
    """Noise, and a bright patch."""
    x = 0.1 * np.random.default_rng(row).random((1, SIDE * PATCH, SIDE * PATCH, 3))
    x[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH] += 1
    return x.astype("float32")


CAMS = ["grad_cam", "hires_cam", "layer_cam", "eigen_cam", "score_cam", "ablation_cam"]
either = pytest.mark.parametrize("class_token", [True, False], ids=["class_token", "mean"])


# Of a class that every token speaks against, a map is all 0; another class shows the layer is not.
@pytest.mark.filterwarnings("ignore:picture 0. the map is 0 everywhere")
@pytest.mark.filterwarnings("ignore:picture 0. the score is negative")
@either
@pytest.mark.parametrize("method", [*CAMS, "grad_cam_pp", "x_grad_cam", "finer_cam"])
def test_a_map_is_recognised_by_itself(method, class_token):
    """Behind the last attention only the class token counts, and a map of the others is all 0."""
    options = {"similar": 2} if method == "finer_cam" else {}
    kind = methods.classes()[method]
    maps = [explain(drawn(class_token), picture(1, 2), kind(**options), target=c) for c in range(3)]
    assert {e.info["layer"] for e in maps} == {"block1_norm" if class_token else "block1_out"}
    assert any(e.values.any() for e in maps)


@either
@pytest.mark.parametrize("where", [(0, 0), (1, 2), (3, 1)])
@pytest.mark.parametrize("method", CAMS)
def test_the_patch_that_counts_is_pointed_at(method, where, class_token):
    e = explain(planted(class_token), picture(*where), method, target=0)
    assert e.info["layer"] == ("block0_out" if class_token else "block1_out")
    peak = np.unravel_index(e.values[0].argmax(), e.values.shape[1:])
    assert (peak[0] // PATCH, peak[1] // PATCH) == where


@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam"])
def test_the_class_token_is_no_part_of_the_map(method):
    kind = methods.classes()[method]
    e = explain(planted(True), picture(1, 2), kind(layer="class_token"), target=0)
    assert e.info["layer"] == "class_token"
    peak = np.unravel_index(e.values[0].argmax(), e.values.shape[1:])
    assert (peak[0] // PATCH, peak[1] // PATCH) == (1, 2)


@either
def test_maps_put_back_as_they_were_change_no_score(class_token):
    adapter = Adapter(drawn(class_token))
    engine = Engine(adapter, targets.get(1), prepare(adapter, picture(1, 2)))
    at = engine.activations("block0_out")
    (score,) = engine.scores_of_activations(at, [(0, at.activations[0])])
    np.testing.assert_allclose(score, engine.scores[0], rtol=1e-5)


def test_behind_the_last_attention_there_is_nothing_to_see():
    """What makes the choice of layer above worth a test."""
    with pytest.raises(errors.LayerError, match="part of its output that belongs to the picture"):
        explain(drawn(True), picture(1, 2), methods.GradCam(layer="block1_out"))

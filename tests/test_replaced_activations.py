"""Scores of a model with a layer's output replaced: nothing changed, zeros, and a split model."""

import keras
import models
import numpy as np
import pytest
import vits
from keras import ops

from keras_saliency import explain, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare

CLASSES = [1, 4, 0]


def engine_of(model, x, target=CLASSES, batch_size=2):
    adapter = Adapter(model)
    return Engine(adapter, targets.get(target), prepare(adapter, x), batch_size)


def scores(engine, at, maps):
    return np.array(list(engine.scores_of_activations(at, list(enumerate(maps)))))


def close(result, wanted):
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-6)


SHAPES = {
    "flat": lambda: models.flat(),
    "nested": lambda: models.nested(),
    "subclassed": lambda: models.subclassed(),
}
if keras.backend.backend() != "tensorflow":
    SHAPES["channels first"] = lambda: models.channels_first()


@pytest.mark.parametrize("layer", ["conv1", "relu2"])
@pytest.mark.parametrize("shape", SHAPES)
def test_replaced_by_itself(shape, layer):
    engine = engine_of(SHAPES[shape](), models.pictures())
    at = engine.activations(layer)
    assert at.activations.shape[3] == {"conv1": 6, "relu2": 8}[layer]
    close(scores(engine, at, at.activations), engine.scores)


@pytest.mark.parametrize("shape", SHAPES)
def test_zeros_and_anything_as_in_a_split_model(shape):
    x = models.pictures()
    engine = engine_of(SHAPES[shape](), x)
    at = engine.activations("conv1")
    logits = models.logits()
    tail = keras.Model(logits.get_layer("conv1").output, logits.output)
    anything = np.random.default_rng(1).normal(size=at.activations.shape).astype("float32")
    for maps in (np.zeros_like(anything), anything):
        wanted = ops.convert_to_numpy(tail(maps, training=False))[range(3), CLASSES]
        close(scores(engine, at, maps), wanted)


def test_variants_of_one_picture_and_the_class_it_was_given():
    engine = engine_of(models.flat(), models.pictures(), target=None)
    at = engine.layer_gradient("conv1")
    variants = [(2, at.activations[2]), (2, 0 * at.activations[2]), (0, at.activations[0])]
    result = list(engine.scores_of_activations(at, variants))
    close([result[0], result[2]], engine.scores[[2, 0]])
    assert abs(result[1] - result[0]) > 1e-3


def test_tokens_keep_the_class_token():
    """Zeros in place of the patches; the class token stays as the layer gave it."""
    x = models.pictures()
    model = vits.logits()
    name = next(one.name for one in model.layers if one.name.startswith("class_token"))
    engine = engine_of(model, x)
    at = engine.activations(name)
    assert at.activations.shape == (3, 4, 4, vits.WIDTH)
    close(scores(engine, at, at.activations), engine.scores)
    whole = ops.convert_to_numpy(keras.Model(model.input, model.get_layer(name).output)(x))
    close(at.whole, whole)
    close(at.activations.reshape(3, 16, -1), whole[:, 1:])
    tail = keras.Model(model.get_layer(name).output, model.output)
    bare = np.concatenate([whole[:, :1], 0 * whole[:, 1:]], axis=1)
    wanted = ops.convert_to_numpy(tail(bare))[range(3), CLASSES]
    close(scores(engine, at, 0 * at.activations), wanted)


def test_activations_are_those_of_layer_gradient():
    engine = engine_of(models.nested(), models.pictures())
    for layer in ("conv1", "relu2", None):
        one, other = engine.activations(layer), engine.layer_gradient(layer)
        np.testing.assert_allclose(one.activations, other.activations, rtol=1e-5, atol=1e-6)
        assert one.layer == other.layer


@pytest.mark.parametrize("make", [vits.flat, vits.pooled_vit])
def test_grad_cam_on_tokens(make):
    """With a class token the map comes from before the last attention, where patches count."""
    e = explain(make(), models.pictures(), "grad_cam", target=1)
    assert e.values.any(axis=(1, 2)).sum() >= 2
    layers = [one.name for one in make().layers]
    last = max(n for n, name in enumerate(layers) if name.startswith("multi_head"))
    assert (layers.index(e.info["layer"].split("/")[0]) < last) == (make is vits.flat)

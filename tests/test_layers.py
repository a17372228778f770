"""Layers: paths, the last map, and standing between a layer and its output."""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest
from keras import layers as kl

from keras_saliency import errors, explain, layers, methods
from keras_saliency.intercept import intercept

# Which layer is found matters here, not whether random weights give a map of zeros at it.
pytestmark = pytest.mark.filterwarnings("ignore:picture")


def test_paths_of_nested_models():
    tree = layers.tree(models.nested())
    assert "outer/inner/conv2" in tree
    assert layers.find(models.nested(), "outer/inner/conv2")[1].name == "conv2"
    assert layers.find(models.nested(), "conv2")[0] == "outer/inner/conv2"
    assert layers.find(models.nested(), "inner/conv2")[0] == "outer/inner/conv2"


def test_operations_beside_layers_are_found():
    inputs = keras.Input((8, 8, 3))
    x = keras.ops.relu(kl.Conv2D(2, 3, name="conv")(inputs))
    model = keras.Model(inputs, kl.Dense(2)(kl.Flatten()(x)))
    e = explain(model, np.ones((1, 8, 8, 3), "float32"), "grad_cam", target=0)
    assert "relu" in e.info["layer"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv3", r"No layer is called 'conv3' in model 'nested'.*Did you mean 'conv[12]'.*tree"),
        ("twin", r"ambiguous.*'left/twin', 'right/twin'"),
    ],
)
def test_unknown_and_ambiguous(name, message):
    model = models.nested()
    if name == "twin":
        one, other = (
            keras.Sequential([keras.Input((4, 4, 1)), kl.Conv2D(1, 1, name="twin")], name=side)
            for side in ("left", "right")
        )
        inputs = keras.Input((4, 4, 1))
        model = keras.Model(inputs, other(one(inputs)))
    with pytest.raises(errors.LayerError, match=message):
        layers.find(model, name)


def _main(outputs):
    return outputs[0][:, 0]


def test_grad_cam_errors():
    x = models.pictures(1)
    with pytest.raises(errors.LayerError, match="Did you mean 'conv1'"):
        explain(models.flat(), x, methods.GradCam(layer="conv11"))
    with pytest.raises(errors.LayerError, match=r"Its output has shape \(1, 8\)"):
        explain(models.flat(), x, methods.GradCam(layer="pool"))
    model, _ = models.linear()
    with pytest.raises(errors.LayerError, match="larger than 1x1"):
        explain(model, x, "grad_cam")
    inputs = keras.Input((models.SIZE, models.SIZE, 3))
    side = kl.Conv2D(2, 3, name="side")(inputs)
    main = kl.Flatten(data_format="channels_last")(inputs)
    both = keras.Model(inputs, [kl.Dense(2, name="main")(main), side])
    with pytest.raises(errors.GradientError):  # the score does not depend on that layer
        explain(both, x, methods.GradCam(layer="side"), target=_main)


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (models.flat, "relu2"),
        (models.nested, "outer/inner/relu2"),
        (models.sequential, "relu2"),
        (models.subclassed, "relu2"),
        (models.channels_first, "relu2"),
    ],
)
def test_the_last_spatial_layer_is_found(make, last):
    e = explain(make(), models.pictures(1), "grad_cam")
    assert e.info["layer"] == last


def test_only_layers_on_the_way_to_the_output_count():
    inputs = keras.Input((12, 12, 3))
    x = kl.Conv2D(4, 3, name="trunk", activation="relu")(inputs)
    head = kl.Dense(2, name="classes")(kl.GlobalAveragePooling2D()(x))
    mask = kl.Conv2D(1, 3, name="mask")(kl.Conv2D(4, 3, name="late")(x))
    model = keras.Model(inputs, [head, mask])
    from keras_saliency import targets

    x = models.pictures(1)
    e = explain(model, x, "grad_cam", target=targets.Class(0, output="classes"))
    assert e.info["layer"] == "trunk"
    e = explain(model, x, "grad_cam", target=targets.Pixel(2, 2, output="mask"))
    assert e.info["layer"] == "late"  # not the output itself


def test_maps_of_one_pixel_are_passed_over():
    inputs = keras.Input((12, 12, 3))
    x = kl.Conv2D(4, 5, name="wide", activation="relu")(inputs)
    x = kl.GlobalAveragePooling2D(keepdims=True)(x)
    x = kl.Conv2D(2, 1, name="one_by_one")(x)
    model = keras.Model(inputs, kl.Flatten()(x))
    assert explain(model, models.pictures(1), "grad_cam").info["layer"] == "wide"


def test_composite_layers_inside_a_subclassed_model():
    class Block(keras.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.conv = kl.Conv2D(3, 3, padding="same", name="conv")

        def call(self, x):
            return keras.ops.relu(self.conv(x)) + x

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.blocks = [Block(name="first"), Block(name="second")]
            self.head = kl.Dense(2)

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(keras.ops.mean(x, axis=(1, 2)))

    model, x = Net(), models.pictures(1)
    assert explain(model, x, "grad_cam").info["layer"] == "second"
    by_path = explain(model, x, methods.GradCam(layer="first/conv"), target=0)
    assert by_path.values.shape == (1, 12, 12)


def test_intercept_is_undone_also_after_an_exception():
    layer = kl.Dense(2)
    layer(np.ones((1, 3)))
    before = dict(layer.__dict__)
    with pytest.raises(RuntimeError), intercept([(layer, lambda run, *a, **k: 1 / 0 * run(*a))]):
        raise RuntimeError
    assert layer.__dict__ == before


def test_intercepts_nest_and_stay_in_their_thread():
    import threading

    layer = kl.Dense(2, kernel_initializer="ones")
    x = np.ones((1, 3), "float32")
    plain = keras.ops.convert_to_numpy(layer(x))
    other = []
    with (
        intercept([(layer, lambda run, *a, **k: run(*a, **k) + 1)]),
        intercept([(layer, lambda run, *a, **k: run(*a, **k) * 10)]),
    ):
        thread = threading.Thread(target=lambda: other.append(keras.ops.convert_to_numpy(layer(x))))
        thread.start()
        thread.join()
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), (plain + 1) * 10)
    np.testing.assert_array_equal(other[0], plain)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), plain)

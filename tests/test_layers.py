"""Layers: paths, the last map, and standing between a layer and its output."""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest
import vits
from keras import layers as kl

from keras_saliency import _graph, errors, explain, methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._hooks import intercept
from keras_saliency._inputs.batch import prepare

# Which layer is chosen matters here, not whether random weights give a map of zeros at it.
pytestmark = pytest.mark.filterwarnings("ignore:picture")


def test_paths_of_nested_models():
    tree = _graph.layer_tree(models.nested())
    assert "outer/inner/conv2" in tree
    assert _graph.find(models.nested(), "outer/inner/conv2")[1].name == "conv2"
    assert _graph.find(models.nested(), "conv2")[0] == "outer/inner/conv2"
    assert _graph.find(models.nested(), "inner/conv2")[0] == "outer/inner/conv2"


def test_operations_beside_layers_are_recognised():
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
        _graph.find(model, name)


def _main(outputs):
    return outputs[0][:, 0]


def test_grad_cam_errors():
    x = models.pictures(1)
    with pytest.raises(errors.LayerError, match="Did you mean 'conv1'"):
        explain(models.flat(), x, methods.GradCam(layer="conv11"))
    with pytest.raises(errors.LayerError, match=r"Its output has shape \(1, 8\)"):
        explain(models.flat(), x, methods.GradCam(layer="pool"))
    model, _ = models.linear()
    with pytest.raises(errors.LayerError, match="no layer for a class activation map"):
        explain(model, x, "grad_cam")
    inputs = keras.Input((models.SIZE, models.SIZE, 3))
    side = kl.Conv2D(2, 3, name="side")(inputs)
    main = kl.Flatten(data_format="channels_last")(inputs)
    both = keras.Model(inputs, [kl.Dense(2, name="main")(main), side])
    with pytest.raises(errors.LayerError, match="The score does not depend on its output"):
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
def test_the_last_spatial_layer_is_recognised(make, last):
    e = explain(make(), models.pictures(1), "grad_cam")
    assert e.info["layer"] == last


def test_only_layers_on_the_way_to_the_output_count():
    inputs = keras.Input((12, 12, 3))
    x = kl.Conv2D(4, 3, name="trunk", activation="relu")(inputs)
    head = kl.Dense(2, name="classes")(kl.GlobalAveragePooling2D()(x))
    mask = kl.Conv2D(1, 3, name="mask")(kl.Conv2D(4, 3, name="late")(x))
    model = keras.Model(inputs, [head, mask])
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


# --- which layers lead to an output


class Block(keras.Layer):
    """A transformer's block as tutorials have it: sums in its own call."""

    def __init__(self):
        super().__init__()
        self.attention, self.dense = kl.MultiHeadAttention(2, 4), kl.Dense(vits.WIDTH)
        self.one, self.two = kl.LayerNormalization(), kl.LayerNormalization()

    def call(self, x):
        x = self.one(x + self.attention(x, x))
        return self.two(x + self.dense(x))


def blocks(class_token):
    inputs = keras.Input((12, 12, 3))
    x = vits.tokens_of(inputs)
    x = Block()(Block()(vits.ClassToken()(x) if class_token else x))
    x = x[:, 0] if class_token else kl.GlobalAveragePooling1D()(x)
    return vits.drawn(keras.Model(inputs, kl.Dense(5)(x)))


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_attention_inside_a_layer_of_your_own(method):
    e = explain(blocks(True), models.pictures(1), method, target=0)
    assert e.info["attentions"] == 2
    assert e.values.any()


def test_the_map_before_attention_inside_a_layer_of_your_own():
    model = blocks(True)
    result = {c: explain(model, models.pictures(1), "grad_cam", target=c) for c in range(5)}
    first = next(one.name for one in model.layers if isinstance(one, Block))
    assert {e.info["layer"].split("/")[0] for e in result.values()} == {first}
    assert any(e.values.any() for e in result.values())


def heads(kind):
    shape = {"channels_first": (3, 12, 12), "rank 2": (12, 12)}.get(kind, (12, 12, 3))
    layout = "channels_first" if kind == "channels_first" else "channels_last"
    inputs = keras.Input(shape)
    x = kl.Reshape((12, 12, 1))(inputs) if kind == "rank 2" else inputs

    def conv(x, name):
        return kl.Conv2D(4, 3, data_format=layout, activation="relu", name=name)(x)

    x, ends = conv(x, "stem"), []
    for name in "ab":
        pooled = kl.GlobalAveragePooling2D(data_format=layout)(conv(x, f"conv_{name}"))
        ends.append(kl.Dense(3, name=f"head_{name}")(pooled))
    return keras.Model(inputs, ends)


@pytest.mark.parametrize("kind", ["channels_first", "rank 2", "mixed_bfloat16"])
@pytest.mark.parametrize("head", ["a", "b"])
def test_each_head_has_its_own_last_layer(kind, head):
    if kind == "channels_first" and keras.config.backend() == "tensorflow":
        pytest.skip("no CPU kernel")
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(kind if kind.startswith("mixed") else before)
        model = heads(kind)
    finally:
        keras.config.set_dtype_policy(before)
    x = models.pictures(1)[0, ..., 0] if kind == "rank 2" else models.pictures(1)
    target = targets.Class(0, output=f"head_{head}")
    assert explain(model, x, "grad_cam", target=target).info["layer"] == f"conv_{head}"


def test_one_way_in_sight_and_one_hidden():
    class Both(keras.Layer):
        def __init__(self):
            super().__init__()
            self.attention, self.add = kl.MultiHeadAttention(2, 4), kl.Add()

        def call(self, x):
            return self.add([x, self.attention(x, x) * 0.5])

    inputs = keras.Input((12, 12, 3))
    x = kl.GlobalAveragePooling1D()(Both()(vits.tokens_of(inputs)))
    model = keras.Model(inputs, kl.Dense(2)(x))
    e = explain(model, models.pictures(1), "attention_rollout", target=0)
    assert e.info["attentions"] == 1


# --- which call is meant


@pytest.mark.parametrize("number", ["-1", "first", ""])
def test_calls_are_numbered(number):
    with pytest.raises(errors.LayerError, match=f"no call '{number}'.*'conv1@0' for the first"):
        explain(models.flat(), models.pictures(1), methods.GradCam(layer=f"conv1@{number}"))


class Two(keras.Layer):
    """Gives a map and something else."""

    def call(self, x):
        return x * 2, keras.ops.mean(x, axis=(1, 2))


@pytest.mark.parametrize("method", [methods.GradCam, methods.EigenCam, methods.AblationCam])
def test_of_several_outputs_the_first_is_taken(method):
    inputs = keras.Input((12, 12, 3))
    x, extra = Two(name="two")(kl.Conv2D(4, 3, name="conv")(inputs))
    x = kl.Concatenate()([kl.GlobalAveragePooling2D()(x), extra])
    model = vits.drawn(keras.Model(inputs, kl.Dense(3)(x)))
    engine = Engine(adapter := Adapter(model), targets.get(1), prepare(adapter, models.pictures(2)))
    two, conv = engine.activations("two").activations, engine.activations("conv").activations
    np.testing.assert_allclose(two, 2 * conv, rtol=1e-5)
    e = explain(model, models.pictures(2), method(layer="two"), target=1)
    assert e.info["layer"] == "two"
    assert np.isfinite(e.values).all()


def test_siblings_of_one_name():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = (kl.Conv2D(4, 3, name="conv", activation="relu") for _ in "ab")
            self.pool, self.last = kl.GlobalAveragePooling2D(), kl.Dense(3)

        def call(self, x):
            return self.last(self.pool(self.two(self.one(x))))

    model, x = Twins(), models.pictures(1)
    model(x)
    engine = Engine(adapter := Adapter(model), targets.get(0), prepare(adapter, x))
    shapes = [engine.activations(f"conv@{call}").activations.shape[1:3] for call in (0, 1)]
    assert shapes == [(10, 10), (8, 8)]

"""Batch normalisation folded into convolutions: the same maps in fewer steps, on each backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import _backend, _hooks, explain, methods
from keras_saliency._engine import layer_programs

BACKEND = _backend.current()
SHAPE = (9, 8, 3)
X = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
ROUNDING = 3e-6  # of the largest number


def drawn(model, seed=1):
    """The same model, all its weights drawn."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.3, 2) if "variance" in weight.path or "gamma" in weight.path else (-1, 1)
        weight.assign(generator.uniform(low, high, weight.shape))
    return model


def wired(build):
    inputs = keras.Input(SHAPE)
    outputs = layers.Dense(2)(layers.GlobalAveragePooling2D()(build(inputs)))
    return drawn(keras.Model(inputs, outputs))


def graph(*parts):
    def build(x):
        for part in parts:
            x = part(x)
        return x

    return wired(build)


def both(make, monkeypatch, method="gradient", times=None):
    """Explain without folds and with them; check that as many were made as were to be."""
    result, made = [], []
    worth = layer_programs._is_worth_it

    def counted(output, layer):
        made.extend([layer.name] * worth(output, layer))
        return worth(output, layer)

    monkeypatch.setattr(layer_programs, "_is_worth_it", counted)
    for folds in (False, True):
        monkeypatch.setattr(BACKEND, "FOLDS", folds)
        result.append(explain(make(), X, method, target=[0, 1], preprocess=None))
        assert folds or not made
    if times is not None:
        assert BACKEND.COMPILES is False or len(made) == times
        assert bool(made) == bool(times)
    without, with_folds = result
    for name in ("values", "scores"):
        wanted = getattr(without, name)
        scale = np.abs(wanted).max()
        assert scale > 0
        np.testing.assert_allclose(getattr(with_folds, name), wanted, rtol=0, atol=ROUNDING * scale)


KINDS = {
    "convolution": lambda: layers.Conv2D(4, 3, padding="same", use_bias=False),
    "with bias": lambda: layers.Conv2D(4, 2, strides=2),
    "pointwise": lambda: layers.Conv2D(4, 1),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "depthwise, twice": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "transposed": lambda: layers.Conv2DTranspose(4, 3, strides=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_convolution(kind, monkeypatch):
    both(
        lambda: graph(KINDS[kind](), layers.BatchNormalization(), layers.ReLU()),
        monkeypatch,
        times=1,
    )


NORMS = {"no scale": {"scale": False}, "no centre": {"center": False},
         "neither": {"scale": False, "center": False}, "epsilon": {"epsilon": 0.5}}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_every_kind_of_norm(name, monkeypatch):
    both(
        lambda: graph(layers.Conv2D(4, 3), layers.BatchNormalization(**NORMS[name]), layers.ReLU()),
        monkeypatch,
        times=1,
    )


LEFT = {
    "an activation between": lambda: (layers.Conv2D(4, 3, activation="relu"),),
    "a layer between": lambda: (layers.Conv2D(4, 3), layers.ReLU()),
    "a norm before": lambda: (layers.BatchNormalization(), layers.ReLU()),
    "separable": lambda: (layers.SeparableConv2D(4, 3),),
    "a large kernel": lambda: (
        (layers.Conv2D(512, (9, 8), padding="same"),) * 1
        + (layers.Conv2D(64, 3, strides=9, padding="same"),)
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_alone(name, monkeypatch):
    both(lambda: graph(*LEFT[name](), layers.BatchNormalization()), monkeypatch, times=0)


def test_a_norm_over_another_axis(monkeypatch):
    both(
        lambda: graph(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1), layers.ReLU()),
        monkeypatch,
    )


def test_an_output_that_others_want_too(monkeypatch):
    def build(x):
        x = layers.Conv2D(4, 3)(x)
        return layers.Add()([x, layers.ReLU()(layers.BatchNormalization()(x))])

    both(lambda: wired(build), monkeypatch, times=1)


def test_a_convolution_called_twice(monkeypatch):
    def build(x):
        shared = layers.Conv2D(3, 3, padding="same")
        for _ in range(2):
            x = layers.ReLU()(layers.BatchNormalization()(shared(x)))
        return x

    both(lambda: wired(build), monkeypatch, times=2)


def test_inside_a_nested_model(monkeypatch):
    def nested():
        parts = keras.Input(SHAPE), layers.Conv2D(4, 3), layers.BatchNormalization()
        return graph(keras.Sequential(parts), layers.ReLU())

    both(nested, monkeypatch, times=1)


def test_inside_a_subclassed_layer(monkeypatch):
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = layers.Conv2D(4, 3), layers.BatchNormalization()

        def call(self, x, training=None):
            return ops.relu(self.norm(self.convolution(x), training=training))

    both(lambda: graph(Block()), monkeypatch, times=1)


@pytest.mark.parametrize("name", ["convolution", "norm"])
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "ablation_cam", "score_cam"])
def test_cams_at_the_folded_layers(name, method, monkeypatch):
    """A tap sees what the layer gives by itself, and what it puts there goes on."""

    def named():
        convolution = layers.Conv2D(4, 3, name="convolution")
        return graph(convolution, layers.BatchNormalization(name="norm"), layers.ReLU())

    both(named, monkeypatch, methods.classes()[method](layer=name))


@pytest.mark.parametrize("method", ["guided_backprop", "lrp", "deep_lift"])
def test_rules_see_the_layers_themselves(method, monkeypatch):
    def make():
        return graph(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())

    both(make, monkeypatch, method)


def test_a_norm_in_training_mode_is_left_alone(monkeypatch):
    class Always(layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs, training=True, mask=mask)

    class Forced(layers.Layer):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = layers.Conv2D(4, 3), layers.BatchNormalization()

        def call(self, x):
            return self.norm(self.convolution(x), training=True)

    both(lambda: graph(layers.Conv2D(4, 3), Always()), monkeypatch, times=0)
    both(lambda: graph(Forced(), layers.ReLU()), monkeypatch, times=0)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_half_precision_is_left_alone(dtype, monkeypatch):
    def half():
        convolution = layers.Conv2D(4, 3, dtype=dtype)
        return graph(convolution, layers.BatchNormalization(dtype=dtype), layers.ReLU())

    both(half, monkeypatch, times=0)


def test_lora_is_folded_with_what_it_adds(monkeypatch):
    def lora():
        model = graph(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
        model.layers[1].enable_lora(2)
        return drawn(model)

    both(lora, monkeypatch, times=1)


def test_new_weights_are_seen(monkeypatch):
    monkeypatch.setattr(BACKEND, "FOLDS", True)
    model = graph(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
    before = explain(model, X, target=0, preprocess=None)
    drawn(model, seed=7)
    after = explain(model, X, target=0, preprocess=None)
    monkeypatch.setattr(BACKEND, "FOLDS", False)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    wanted = explain(twin, X, target=0, preprocess=None)
    assert np.abs(before.values - wanted.values).max() > 0.01
    np.testing.assert_allclose(after.values, wanted.values, atol=1e-5)


def test_the_model_is_left_as_it_was():
    model = graph(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
    explain(model, X, target=0, preprocess=None)
    assert all("call" not in layer.__dict__ for layer in model.layers)
    assert not _hooks._users


def _standardised():
    class Conv2D(layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, kernel - ops.mean(kernel, axis=(0, 1, 2)))

    return graph(Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())


def _replaced(number, name):
    def make():
        model = graph(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
        usual = getattr(model.layers[number], name)
        changed = lambda *args, **kwargs: 2 * usual(*args, **kwargs)  # noqa: E731
        object.__setattr__(model.layers[number], name, changed)
        return model

    return make


@pytest.mark.parametrize(
    "make",
    [_standardised, _replaced(1, "call"), _replaced(1, "convolution_op"), _replaced(2, "call")],
    ids=["subclass", "call", "convolution_op", "call of the norm"],
)
def test_changed_arithmetic_is_left_alone(make, monkeypatch):
    both(make, monkeypatch, times=0)

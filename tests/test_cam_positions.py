"""The layer of a CAM: its cells are positions of the picture; tokens, mixed axes, measured ones."""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest
import vits
from keras import layers as kl
from keras import ops

from keras_saliency import errors, explain, methods

# Which layer is taken matters here, not what random weights show there.
pytestmark = pytest.mark.filterwarnings("ignore:picture")

gradient_and_forward = pytest.mark.parametrize("method", [methods.GradCam(), methods.EigenCam()],
                                               ids=lambda one: one.name)  # fmt: skip


def layer_of(model, given, method="grad_cam", target=0):
    return explain(model, given, method, target=target).info["layer"]


class _Own(keras.Layer):
    """Attention as people write it: heads, dropout and a convolution on the weights."""

    def __init__(self, heads=2, talk=False, residual=True, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.residual = heads, residual
        self.qkv, self.out = kl.Dense(24), kl.Dense(8)
        self.drop = kl.Dropout(0.1, name="weights")
        self.talk = kl.Conv2D(heads, 1, data_format="channels_last", name="talk") if talk else None

    def call(self, x):
        count = x.shape[1]
        q, k, v = (
            ops.reshape(one, (-1, count, self.heads, 8 // self.heads))
            for one in ops.split(self.qkv(x), 3, axis=-1)
        )
        weights = ops.softmax(ops.einsum("bthd,bshd->bhts", q, k))
        if self.talk:
            weights = ops.transpose(self.talk(ops.transpose(weights, (0, 2, 3, 1))), (0, 3, 1, 2))
        mixed = ops.einsum("bhts,bshd->bthd", self.drop(weights), v)
        mixed = self.out(ops.reshape(mixed, (-1, count, 8)))
        return x + mixed if self.residual else mixed


class _Merge(keras.Layer):
    """Four neighbours become one token."""

    def __init__(self):
        super().__init__(name="merge")
        self.reduce = kl.Dense(8)

    def call(self, x):
        x = ops.transpose(ops.reshape(x, (-1, 4, 2, 4, 2, 8)), (0, 1, 3, 2, 4, 5))
        return self.reduce(ops.reshape(x, (-1, 16, 32)))


class _Extra(keras.Layer):
    """Tokens that no patch was put into, before and behind."""

    def __init__(self, before, behind):
        super().__init__(name="extra")
        self.counts = before, behind

    def build(self, shape):
        self.tokens = self.add_weight(shape=(sum(self.counts), shape[-1]))

    def call(self, x):
        tiled = ops.broadcast_to(self.tokens[None], (ops.shape(x)[0], *self.tokens.shape))
        before = self.counts[0]
        return ops.concatenate([tiled[:, :before], x, tiled[:, before:]], axis=1)


def transformer(kind):
    picture = keras.Input((32, 32, 3))
    x = kl.Reshape((64, 8))(kl.Conv2D(8, 4, strides=4, name="patches")(picture))
    if kind == "merged":
        x = _Own(name="second")(_Merge()(_Own(name="first")(x)))
        return keras.Model(picture, kl.Dense(5)(ops.mean(kl.LayerNormalization(name="norm")(x), 1)))
    if kind in ("talking", "one head", "many heads"):
        heads = {"talking": 2, "one head": 1, "many heads": 8}[kind]
        for name in ("first", "second"):
            x = _Own(heads, talk=kind == "talking", name=name)(x)
        return keras.Model(picture, kl.Dense(5)(ops.mean(kl.LayerNormalization(name="norm")(x), 1)))
    if kind == "back to maps":
        x = kl.Reshape((8, 8, 8), name="maps")(_Own(name="first")(x))
        return keras.Model(picture, kl.Dense(5)(kl.GlobalAveragePooling2D()(x)))
    if kind == "no residual":
        x = _Own(residual=False, name="second")(_Own(residual=False, name="first")(x))
        return keras.Model(picture, kl.Dense(5)(ops.mean(x, 1)))
    before, behind = {"class": (1, 0), "registers": (5, 0), "behind": (0, 3)}[kind]
    x = _Extra(before, behind)(x)
    x = kl.LayerNormalization(name="norm")(_Own(name="second")(_Own(name="first")(x)))
    return keras.Model(picture, kl.Dense(5)(x[:, 0 if before else 64]))


WANTED = {
    "merged": "norm",
    "talking": "norm",
    "one head": "norm",
    "many heads": "norm",
    "back to maps": "maps",
    "class": "second/",
    "registers": "second/",
    "behind": "second/",
    "no residual": "",
}


@pytest.mark.parametrize("kind", WANTED)
@gradient_and_forward
def test_attention_of_your_own_is_no_map_and_its_tokens_are(kind, method):
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    layer = layer_of(vits.drawn_once(transformer, kind), x, method)
    assert layer.startswith(WANTED[kind])
    assert "weights" not in layer
    assert "talk" not in layer


@pytest.mark.parametrize("kind", ["class", "registers", "behind"])
def test_extra_tokens_are_no_part_of_the_map(kind):
    """A bright patch lights its own cell of the layer that puts the tokens in."""
    model, x = vits.drawn_once(transformer, kind), np.zeros((2, 32, 32, 3), "float32")
    x[1, 8:12, 20:24] = 5
    maps = explain(model, x, methods.EigenCam(layer="extra", interpolation="nearest"), target=0)
    change = np.abs(maps.values[1] - np.median(maps.values[1]))
    assert np.argwhere(change > 0.5 * change.max()).min(0).tolist() == [8, 20]
    assert np.argwhere(change > 0.5 * change.max()).max(0).tolist() == [11, 23]


def test_words_are_no_places():
    def attended(x, name):
        return kl.LayerNormalization(name=f"{name}_norm")(_Own(name=name)(x))

    picture, words = keras.Input((24, 24, 3)), keras.Input((64,), dtype="int32")
    patches = kl.Reshape((36, 8))(kl.Conv2D(8, 4, strides=4, name="patches")(picture))
    seen = ops.mean(attended(patches, "seen"), axis=1)
    read = ops.mean(attended(kl.Embedding(50, 8)(words), "read"), axis=1)
    model = vits.drawn(keras.Model([picture, words], kl.Dot(1)([seen, read])))
    drawn = np.random.default_rng(0)
    given = drawn.normal(size=(1, 24, 24, 3)).astype("float32"), drawn.integers(0, 50, (1, 64))
    for method in ("grad_cam", "eigen_cam"):
        assert layer_of(model, given, method) == "seen_norm"


def test_words_that_look_at_the_picture_are_no_places():
    class Cross(keras.Layer):
        def __init__(self):
            super().__init__(name="cross")
            self.attention = kl.MultiHeadAttention(2, 4)

        def call(self, words, seen):
            return words + self.attention(words, seen)

    picture, words = keras.Input((24, 24, 3)), keras.Input((36,), dtype="int32")
    patches = kl.Reshape((36, 8), name="tokens")(kl.Conv2D(8, 4, strides=4)(picture))
    x = Cross()(kl.Embedding(50, 8)(words), patches)
    x = kl.LayerNormalization(name="norm")(x)
    model = vits.drawn(keras.Model([picture, words], kl.Dense(3)(ops.mean(x, axis=1))))
    drawn = np.random.default_rng(0)
    given = drawn.normal(size=(1, 24, 24, 3)).astype("float32"), drawn.integers(0, 50, (1, 36))
    assert layer_of(model, given) == "tokens"


def test_a_decoder_behind_a_bottleneck_has_no_places():
    """Behind a dense layer between encoder and decoder no position can be followed."""
    picture = keras.Input((12, 12, 3))
    x = kl.Conv2D(4, 3, strides=2, name="encoder", activation="tanh")(picture)
    x = kl.Reshape((6, 6, 2))(kl.Dense(72)(kl.Dense(4)(kl.Flatten()(x))))
    x = kl.Conv2DTranspose(3, 3, strides=2, padding="same", name="decoder")(x)
    model = vits.drawn(keras.Model(picture, kl.Dense(2)(kl.GlobalAveragePooling2D()(x))))
    e = explain(model, models.pictures(1), "grad_cam", target=0)
    assert e.info["layer"] == "encoder"
    assert any("is early" in one for one in e.checks[0]["findings"])


def test_arithmetic_in_a_call_is_followed_by_measuring():
    class Block(keras.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.conv, self.gate = kl.Conv2D(4, 3, padding="same"), kl.Dense(4)

        def call(self, x):
            y = ops.pad(self.conv(x), ((0, 0), (1, 1), (1, 1), (0, 0)))[:, 1:-1, 1:-1]
            return y * ops.sigmoid(self.gate(ops.mean(x, axis=(1, 2), keepdims=True))) + x

    picture = keras.Input((12, 12, 3))
    x = Block(name="second")(Block(name="first")(kl.Conv2D(4, 3, name="stem")(picture)))
    model = vits.drawn(keras.Model(picture, kl.Dense(2)(kl.GlobalAveragePooling2D()(x))))
    assert layer_of(model, models.pictures(1)) == "second"


@pytest.mark.parametrize("axes", [(2, 1, 3), (3, 1, 2)])
def test_axes_that_changed_places_are_no_map(axes):
    picture = keras.Input((12, 12, 3))
    x = kl.Permute(axes, name="turned")(kl.Conv2D(10, 3, name="conv")(picture))
    model = vits.drawn(keras.Model(picture, kl.Dense(2)(kl.GlobalMaxPooling2D()(x))))
    assert layer_of(model, models.pictures(1)) == "conv"
    with pytest.raises(errors.LayerError, match="do not follow the picture's positions"):
        explain(model, models.pictures(1), methods.EigenCam(layer="turned"), target=0)

"""The layer of a CAM: reached by the explained input, read by the score, a map of the picture."""

from __future__ import annotations

from collections import namedtuple

import keras
import models
import numpy as np
import pytest
import vits
from keras import layers as kl
from keras import ops

from keras_saliency import errors, explain, methods, targets
from keras_saliency._graph.ends import outputs_by_path

# Which layer is taken matters here, not what random weights show there.
pytestmark = pytest.mark.filterwarnings("ignore:picture")

CAMS = [
    methods.GradCam(),
    methods.LayerCam(),
    methods.EigenCam(),
    methods.ScoreCam(fill=0.0),
    methods.AblationCam(),
    methods.FinerCam(similar=1),
    methods.GuidedGradCam(),
]
each_cam = pytest.mark.parametrize("method", CAMS, ids=lambda one: one.name)
gradient_and_forward = pytest.mark.parametrize("method", CAMS[::2][:2], ids=lambda one: one.name)


def layer_of(model, given, method="grad_cam", target=0):
    return explain(model, given, method, target=target).info["layer"]


# --- of another input


def _tower(name):
    body = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            kl.Conv2D(4, 3, activation="relu", name="conv"),
            kl.GlobalAveragePooling2D(),
        ],
        name=name,
    )
    return body


class _Pair(keras.Model):
    """Takes a dict; the order of its calls is its own."""

    def __init__(self, order):
        super().__init__(name="pair")
        self.order, self.tower, self.head = order, _tower("tower"), kl.Dense(3)

    def call(self, given):
        seen = {name: self.tower(given[name]) for name in self.order}
        return self.head(ops.concatenate([seen["left"], seen["right"]], axis=-1))


def pair(kind):
    if kind.startswith("subclassed"):
        return _Pair(["left", "right"] if kind.endswith("left first") else ["right", "left"])
    left, right = (keras.Input((12, 12, 3), name=name) for name in ("left", "right"))
    one = _tower("tower")
    other = one if kind == "shared" else _tower("other")
    return keras.Model([left, right], kl.Dense(3)(kl.Concatenate()([one(left), other(right)])))


@pytest.mark.parametrize("explained", ["left", "right"])
@pytest.mark.parametrize(
    "kind", ["shared", "two towers", "subclassed left first", "subclassed right first"]
)
def test_it_saw_the_explained_input(kind, explained):
    model, x = vits.drawn_once(pair, kind), models.pictures(3)
    other = {"left": "right", "right": "left"}[explained]
    maps = [
        explain(model, {explained: x[:1], other: x[k : k + 1]}, "eigen_cam", target=0).values
        for k in (1, 2)
    ]
    np.testing.assert_allclose(*maps, rtol=1e-5)
    e = explain(model, {explained: x[:1], other: x[1:2]}, "grad_cam", target=0)
    if kind == "two towers":
        assert e.info["layer"] == {"left": "tower/conv", "right": "other/conv"}[explained]
    else:
        assert e.info["layer"] in ("tower/conv@0", "tower/conv@1")


@each_cam
def test_every_cam_takes_it(method):
    model, x = vits.drawn_once(pair, "two towers"), models.pictures(2)
    assert layer_of(model, {"left": x[:1], "right": x[1:]}, method) == "tower/conv"
    assert layer_of(model, {"right": x[:1], "left": x[1:]}, method) == "other/conv"


def test_what_both_inputs_reach_counts_for_both():
    left, right = (keras.Input((12, 12, 3), name=name) for name in ("left", "right"))
    maps = [
        kl.Conv2D(2, 3, name=f"{name}_conv")(x) for name, x in (("left", left), ("right", right))
    ]
    both = kl.Conv2D(4, 3, name="both")(kl.Concatenate()(maps))
    model = keras.Model([left, right], kl.Dense(2)(kl.GlobalAveragePooling2D()(both)))
    x = models.pictures(2)
    for given in ({"left": x[:1], "right": x[1:]}, {"right": x[1:], "left": x[:1]}):
        assert layer_of(model, given) == "both"


def test_one_that_is_named_must_have_seen_it():
    model, x = vits.drawn_once(pair, "two towers"), models.pictures(2)
    with pytest.raises(errors.LayerError, match="does not depend on the explained input"):
        explain(
            model, {"left": x[:1], "right": x[1:]}, methods.EigenCam(layer="other/conv"), target=0
        )


# --- of another output


def detector(kind):
    picture = keras.Input((12, 12, 3))
    backbone = kl.Conv2D(4, 3, activation="relu", name="backbone")
    box_tower, box_head = kl.Conv2D(4, 3, name="box_tower"), kl.Conv2D(4, 1, name="box_head")
    class_head, flat = kl.Conv2D(3, 1, name="class_head"), kl.Reshape((-1, 3))

    class Detector(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [backbone, box_tower, box_head, class_head, flat]

        def call(self, x):
            features = backbone(x)
            classes = flat(class_head(features))
            boxes = box_head(box_tower(features))
            return {"classes": classes, "rest": [boxes, features]}

    if kind == "subclassed":
        return Detector()
    return keras.Model(picture, Detector().call(picture))


def _class_score(outputs):
    return ops.max(outputs["classes"][..., 1], axis=-1)


def _box_score(outputs):
    return outputs["rest"][0][:, 2, 2, 0]


def _both_scores(outputs):
    return _class_score(outputs) + _box_score(outputs)


@pytest.mark.parametrize("kind", ["graph", "subclassed"])
@pytest.mark.parametrize(
    ("target", "layer"),
    [
        (_class_score, "backbone"),
        (_box_score, "box_tower"),
        (_both_scores, "box_tower"),
        (targets.Pixel(2, 0, output="rest/0"), "box_tower"),
        (targets.Pixel(0, 0, output="rest/0"), "box_tower"),
    ],
)
@gradient_and_forward
def test_the_score_reads_it(method, target, layer, kind):
    assert layer_of(vits.drawn_once(detector, kind), models.pictures(1), method, target) == layer


def test_one_that_is_named_must_be_read():
    with pytest.raises(errors.LayerError, match="score does not depend on its output"):
        explain(
            vits.drawn_once(detector, "graph"),
            models.pictures(1),
            methods.ScoreCam(layer="box_tower"),
            target=_class_score,
        )


# --- no feature map


NO_FEATURES = {
    "rescaling": lambda: [kl.Rescaling(1 / 255)],
    "normalization": lambda: [kl.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])],
    "batch norm": lambda: [kl.BatchNormalization()],
    "augmentation": lambda: [kl.RandomFlip(), kl.RandomContrast(0.2)],
    "padding": lambda: [kl.ZeroPadding2D(1), kl.AveragePooling2D(2)],
    "resizing": lambda: [kl.Resizing(6, 6)],
    "nothing": lambda: [],
}


@pytest.mark.parametrize("kind", NO_FEATURES)
@gradient_and_forward
def test_what_learned_nothing_is_refused(kind, method):
    stack = [*NO_FEATURES[kind](), kl.Flatten(), kl.Dense(6, "relu"), kl.Dense(3)]
    model = keras.Sequential([keras.Input((12, 12, 3)), *stack])
    with pytest.raises(errors.LayerError, match="no layer for a class activation map"):
        explain(model, models.pictures(1), method, target=0, preprocess=None)


def test_what_learned_nothing_can_be_named():
    stack = [kl.AveragePooling2D(2, name="small"), kl.Flatten(), kl.Dense(3)]
    model = keras.Sequential([keras.Input((12, 12, 3)), *stack])
    assert layer_of(model, models.pictures(1), methods.EigenCam(layer="small")) == "small"


# --- whose cells are places of the picture


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
    """What a dense layer between encoder and decoder does with places nobody can follow."""
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


# --- outputs by path


Heads = namedtuple("Heads", "zeta alpha")

NESTS = {
    "dict with list": lambda a, b, c: {"aux": [a, b], "head": c},
    "tuple with dict": lambda a, b, c: (a, {"x": b, "y": c}),
    "deep": lambda a, b, c: {"z": {"y": [a, {"x": b}]}, "a": c},
    "list": lambda a, b, c: [a, b, c],
    "namedtuple": lambda a, b, c: Heads(zeta=a, alpha={"x": b, "y": c}),
    "same key twice": lambda a, b, c: {"m": {"out": a}, "n": {"out": b}, "out": c},
}


@pytest.mark.parametrize("subclassed", [False, True])
@pytest.mark.parametrize("nest", NESTS)
def test_an_output_is_named_by_its_path(nest, subclassed):
    """Each output reads one pixel; whichever path is named, its gradient lies on that pixel."""
    heads = []
    for place in range(3):
        kernel = np.zeros((16, 2), "float32")
        kernel[place] = 1, 2
        heads.append(
            kl.Dense(2, use_bias=False, kernel_initializer=lambda *a, k=kernel, **_: ops.array(k))
        )
    flat = kl.Flatten()

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.heads, self.flat = heads, flat

        def call(self, x):
            return NESTS[nest](*(head(flat(x)) for head in heads))

    picture = keras.Input((4, 4, 1))
    model = Net() if subclassed else keras.Model(picture, Net().call(picture))
    x = np.ones((4, 4, 1), "float32")
    if nest == "namedtuple":
        for name, place in (("zeta", 0), ("0", 0), ("alpha/y", 2), ("1/y", 2)):
            e = explain(model, x, target=targets.Class(1, output=name))
            assert np.flatnonzero(e.values[0]).tolist() == [place], name
    numbered = NESTS[nest](*np.arange(3))
    assert len(outputs_by_path(numbered)) == 3
    for number, (path, place) in enumerate(outputs_by_path(numbered)):
        for name in (path, number):
            e = explain(model, x, target=targets.Class(1, output=name))
            assert np.flatnonzero(e.values[0]).tolist() == [int(place)], name
    with pytest.raises(errors.TargetError, match="3 outputs"):
        explain(model, x, target=targets.Class(1))
    with pytest.raises(errors.TargetError, match=r"No single output is called '(m/ou|au)'"):
        explain(model, x, target=targets.Class(1, output="m/ou" if "twice" in nest else "au"))


def test_what_holds_several_outputs_is_refused_with_their_paths():
    model = vits.drawn_once(detector, "graph")
    with pytest.raises(errors.TargetError, match=r"'rest/0'.*'rest/1'.*output='rest/0'"):
        explain(model, models.pictures(1), target=targets.Pixel(0, 0, output="rest"))

"""The layer of a CAM: reached by the explained input, read by the score, a map of the picture."""

from __future__ import annotations

import dataclasses

import keras
import models
import numpy as np
import pytest
import vits
from keras import layers as kl
from keras import ops

from keras_saliency import errors, explain, methods, targets

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


def test_what_holds_several_outputs_is_refused_with_their_paths():
    model = vits.drawn_once(detector, "graph")
    with pytest.raises(errors.TargetError, match=r"'rest/0'.*'rest/1'.*output='rest/0'"):
        explain(model, models.pictures(1), target=targets.Pixel(0, 0, output="rest"))


def _gated(activation, fused):
    keras.utils.set_random_seed(0)
    conv = kl.Conv2D(
        4, 3, activation=activation if fused else None, name="gate" if fused else "conv"
    )
    rest = [] if fused else [kl.Activation(activation, name="gate")]
    ends = [kl.GlobalAveragePooling2D(), kl.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 3)), conv, *rest, *ends])


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "tanh"])
@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "score_cam", "ablation_cam"])
def test_an_activation_inside_the_layer_is_one_after_it(activation, method):
    chosen = methods.get(method)
    fused, apart = _gated(activation, True), _gated(activation, False)
    for one in (fused, apart):  # weights of one sign: no ReLU cuts all off
        one.set_weights([abs(w) for w in fused.get_weights()])
    x = models.pictures(2)[:, :8, :8]
    ours, theirs = (
        explain(one, x, dataclasses.replace(chosen, layer="gate"), target=2)
        for one in (fused, apart)
    )
    assert ours.info["layer"] == theirs.info["layer"] == "gate"
    assert np.abs(theirs.values).max() > 0
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-6)


def test_the_layer_of_the_logits_is_no_layer_of_a_cam():
    image = keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, activation="relu", name="conv")(image)
    model = keras.Model(image, kl.Conv2D(1, 1, activation="sigmoid", name="out")(x))
    one = targets.Pixel(3, 3, 0)
    x = models.pictures(1)[:, :8, :8]
    assert explain(model, x, "grad_cam", target=one).info["layer"] == "conv"
    with pytest.raises(errors.LayerError, match="does not depend"):
        explain(model, x, methods.GradCam(layer="out"), target=one)

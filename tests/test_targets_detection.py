"""The target of detectors: scores by NumPy, gradients by differences, D-RISE by a second one."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import Box, errors, explain, methods, targets
from keras_saliency._inputs import geometry
from keras_saliency.targets import candidates

SIZE, COUNT, CLASSES = (10, 14), 6, 3
PATHS = {"boxes": "boxes", "classes": "classes", "format": "rel_center_xywh"}
BOX = Box(2, 3, 8, 11)


@functools.cache
def detector(head=None):
    """A detector with two heads, as DETR has them: shares of the picture, and classes."""
    keras.utils.set_random_seed(4)
    pixels = keras.Input((*SIZE, 3))
    x = layers.Conv2D(4, 3, strides=2, activation="tanh", data_format="channels_last")(pixels)
    x = layers.Flatten()(x)
    boxes = layers.Dense(COUNT * 4, activation="sigmoid")(x)
    classes = layers.Reshape((COUNT, CLASSES))(layers.Dense(COUNT * CLASSES)(x))
    heads = {
        "boxes": layers.Reshape((COUNT, 4))(boxes),
        "classes": layers.Activation(head)(classes) if head else classes,
        "objects": layers.Dense(COUNT, activation="sigmoid")(x),
    }
    return keras.Model(pixels, heads)


def pictures(count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *SIZE, 3)).astype("float32")


# ------------------------------------------------------------------ the same in NumPy


def run(model, x):
    """Return corners (B, N, 4), classes (B, N, K) and objectness (B, N) in float64."""
    raw = model(x, training=False)
    made = {name: ops.convert_to_numpy(one).astype("float64") for name, one in raw.items()}
    x, y, w, h = np.moveaxis(made["boxes"], -1, 0)
    corners = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
    return corners * np.array([*SIZE, *SIZE]), made["classes"], made["objects"]


def iou(boxes, box):
    box = np.asarray(box, "float64")
    start, end = np.maximum(boxes[..., :2], box[:2]), np.minimum(boxes[..., 2:], box[2:])
    shared = np.clip(end - start, 0, None).prod(-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + (box[2:] - box[:2]).prod()
    return shared / (areas - shared)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def d_rise(corners, probabilities, objectness, box, vector):
    """Return the similarity (B,) of Petsiuk et al., one candidate at a time."""
    best = []
    for each in range(len(corners)):
        of_all = [
            iou(b, box) * (p @ vector) / np.linalg.norm(p) / np.linalg.norm(vector) * o
            for b, p, o in zip(corners[each], probabilities[each], objectness[each], strict=True)
        ]
        best.append(max(of_all))
    return np.array(best)


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("head", [None, "sigmoid", "softmax"])
@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
def test_the_class_of_the_candidate_that_overlaps_most(head, score):
    x = pictures()
    corners, _, _ = run(detector(), x)
    _, logits, _ = run(detector(), x)
    best = iou(corners, BOX).argmax(-1)
    activation = None if head else "softmax"
    target = targets.Detection(**PATHS, box=BOX, class_=2, score=score, activation=activation)
    e = explain(detector(head), x, target=target)
    made = {"logit": lambda z: z, "probability": lambda p: p, "log_probability": np.log}[score]
    p = logits if score == "logit" else sigmoid(logits) if head == "sigmoid" else softmax(logits)
    np.testing.assert_allclose(e.scores, made(p)[range(2), best, 2], rtol=1e-4, atol=1e-5)
    assert list(e.targets) == [f"class 2, candidate {k}, box (2, 3, 8, 11)" for k in best]
    assert e.labels == ("class 2", "class 2")
    own = sigmoid(logits) if head == "sigmoid" else softmax(logits)
    np.testing.assert_allclose(e.probabilities, own[range(2), best, 2], rtol=1e-4)


def test_numbers_for_each_picture():
    x = pictures(3)
    corners, logits, _ = run(detector(), x)
    e = explain(detector(), x, target=targets.Detection(**PATHS, index=[1, 0, 4], class_=[2, 1, 0]))
    np.testing.assert_allclose(e.scores, logits[range(3), [1, 0, 4], [2, 1, 0]], rtol=1e-4)
    boxes = [BOX, {"top": 0, "left": 0, "bottom": 9, "right": 9}, (1, 1, 9, 13)]
    e = explain(detector(), x, target=targets.Detection(**PATHS, box=boxes, score="overlap"))
    own = [iou(c, geometry.read(b)).max() for c, b in zip(corners, boxes, strict=True)]
    np.testing.assert_allclose(e.scores, own, rtol=1e-4)


def test_the_most_certain_candidate_where_none_is_named():
    x = pictures(3)
    _, logits, objects = run(detector(), x)
    top = explain(detector(), x, target=targets.Detection(**PATHS))
    np.testing.assert_allclose(top.scores, logits.max((1, 2)), rtol=1e-4)
    of_one = explain(detector(), x, target=targets.Detection(**PATHS, class_=1))
    np.testing.assert_allclose(of_one.scores, logits[..., 1].max(1), rtol=1e-4)
    weighted = targets.Detection(**PATHS, class_=1, objectness="objects", activation="sigmoid")
    best = (sigmoid(logits[..., 1]) * objects).argmax(1)
    np.testing.assert_allclose(
        explain(detector(), x, target=weighted).scores, logits[range(3), best, 1], rtol=1e-4
    )


def test_edges_of_a_box():
    x = pictures()
    own = run(detector(), x)[0][:, 3]
    wanted = {
        "top": own[:, 0], "left": own[:, 1], "bottom": own[:, 2], "right": own[:, 3],
        "center_y": own[:, [0, 2]].mean(1), "center_x": own[:, [1, 3]].mean(1),
        "height": own[:, 2] - own[:, 0], "width": own[:, 3] - own[:, 1],
    }  # fmt: skip
    for edge, numbers in wanted.items():
        target = targets.Detection(
            boxes="boxes", format="rel_center_xywh", index=3, score="box", edge=edge
        )
        e = explain(detector(), x, target=target)
        np.testing.assert_allclose(e.scores, numbers, rtol=1e-4)
        assert e.targets == (f"{edge} of candidate 3",) * 2


FORMATS = {
    "yxyx": (2, 3, 8, 11), "xyxy": (3, 2, 11, 8), "xywh": (3, 2, 8, 6),
    "center_xywh": (7, 5, 8, 6), "center_yxhw": (5, 7, 6, 8),
}  # fmt: skip
RELATIVE = {
    "rel_yxyx": (0.2, 3 / 14, 0.8, 11 / 14), "rel_xyxy": (3 / 14, 0.2, 11 / 14, 0.8),
    "rel_xywh": (3 / 14, 0.2, 8 / 14, 0.6), "rel_center_xywh": (0.5, 0.5, 8 / 14, 0.6),
}  # fmt: skip


@pytest.mark.parametrize("form", [*FORMATS, *RELATIVE])
def test_formats_of_boxes(form):
    boxes = ops.convert_to_tensor(np.array([[{**FORMATS, **RELATIVE}[form]]], "float32"))
    own = candidates.read(boxes, None, None, form, None, SIZE)
    np.testing.assert_allclose(ops.convert_to_numpy(own.boxes)[0, 0], BOX, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:picture .* is 0 everywhere")  # nothing is more like itself
@pytest.mark.parametrize("with_objects", [False, True])
@pytest.mark.parametrize("given", ["box and class", "box", "candidate"])
def test_similarity(given, with_objects):
    x = pictures()
    corners, logits, objects = run(detector(), x)
    p = sigmoid(logits)
    best = iou(corners, BOX).argmax(-1) if given == "box" else [4, 4]
    options = {"box": BOX} if given != "candidate" else {"index": 4}
    options |= {"class_": 1} if given == "box and class" else {}
    options |= {"objectness": "objects"} if with_objects else {}
    target = targets.Detection(**PATHS, **options, score="similarity", activation="sigmoid")
    e = explain(detector(), x, target=target)
    for row in range(2):
        box = corners[row, 4] if given == "candidate" else BOX
        vector = np.eye(3)[1] if given == "box and class" else p[row, best[row]]
        o = objects if with_objects else np.ones_like(objects)
        own = d_rise(corners[[row]], p[[row]], o[[row]], box, vector)
        np.testing.assert_allclose(e.scores[row], own[0], rtol=1e-4)
    assert e.probabilities is None


def test_one_candidate_needs_no_axis():
    pixels = keras.Input((8, 8, 3))
    x = layers.Flatten()(pixels)
    model = keras.Model(pixels, [layers.Dense(4)(x), layers.Dense(3, activation="softmax")(x)])
    z = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    boxes, classes = (ops.convert_to_numpy(one) for one in model(z))
    own = {"boxes": 0, "classes": 1}
    e = explain(model, z, target=targets.Detection(**own, class_=1, score="probability"))
    np.testing.assert_allclose(e.scores, classes[:, 1], rtol=1e-4)
    e = explain(model, z, target=targets.Detection(**own, index=0, score="box", edge="right"))
    np.testing.assert_allclose(e.scores, boxes[:, 3], rtol=1e-4)


# ------------------------------------------------------------------ gradients


def decoder(outputs):
    """The outputs as they are, by a decoder."""
    return {"boxes": outputs["boxes"], "classes": outputs["classes"]}


SCORES = {
    "logit": {"box": BOX, "class_": 1},
    "log_probability": {"box": BOX, "class_": 1, "activation": "sigmoid"},
    "box": {"box": BOX, "edge": "width"},
    "overlap": {"box": BOX},
    "similarity": {"box": BOX, "class_": 1, "activation": "softmax"},
}


@pytest.mark.parametrize("by", ["paths", "decoder"])
@pytest.mark.parametrize("score", SCORES)
def test_the_gradient_is_that_of_finite_differences(score, by):
    x = pictures(1, seed=3)
    own = PATHS if by == "paths" else {"decoder": decoder, "format": PATHS["format"]}
    target = targets.Detection(**own, score=score, **SCORES[score])
    e = explain(detector(), x, target=target)
    step = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    step *= 0.01 / np.linalg.norm(step)
    ahead, behind = (explain(detector(), x + s * step, target=target).scores[0] for s in (1, -1))
    slope = float((e.attributions.astype("float64") * step).sum())
    np.testing.assert_allclose(slope, (ahead - behind) / 2, rtol=2e-2, atol=2e-6)


def test_the_choice_is_held_for_a_path():
    """The straight path to zeros passes other best candidates; completeness needs one."""
    x = pictures(4, seed=5)
    target = targets.Detection(**PATHS, box=BOX, class_=1)
    e = explain(detector(), x, methods.IntegratedGradients(steps=64), target=target)
    corners, logits, _ = run(detector(), x)
    best = iou(corners, BOX).argmax(-1)
    empty = run(detector(), np.zeros_like(x))[1]
    gap = logits[range(4), best, 1] - empty[range(4), best, 1]
    np.testing.assert_allclose(e.attributions.sum((1, 2, 3)), gap, rtol=2e-2, atol=2e-3)


def test_a_rematched_candidate_follows_the_picture():
    x = pictures(1)
    held, free = (
        targets.Detection(**PATHS, box=BOX, score="overlap", rematch=again)
        for again in (False, True)
    )
    corners = run(detector(), x)[0]
    best = iou(corners, BOX)[0].argmax()
    window = methods.Occlusion(window=5, stride=5, fill=3.0)
    moved = x.copy()
    moved[0, :5, :5] = 3.0
    overlaps = iou(run(detector(), moved)[0], BOX)[0]
    one, other = (explain(detector(), x, window, target=each) for each in (held, free))
    before = iou(corners, BOX)[0, best]
    np.testing.assert_allclose(one.values[0, 0, 0], before - overlaps[best], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(other.values[0, 0, 0], before - overlaps.max(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("given", [{"box": BOX, "class_": 1}, {"index": 2}])
def test_d_rise(given):
    x, rise = pictures(1), methods.RISE(masks=60, cells=4, fill=0.0)
    target = targets.Detection(
        **PATHS, **given, objectness="objects", score="similarity", activation="sigmoid"
    )
    e = explain(detector(), x, rise, target=target, seed=3)
    corners, logits, objects = run(detector(), x)
    box = BOX if "box" in given else corners[0, 2]
    vector = np.eye(3)[1] if "box" in given else sigmoid(logits[0, 2])
    wanted = np.zeros(SIZE)
    masks = rise._masks(x.shape[1:-1], seed=3)
    for mask in masks:
        corners, logits, objects = run(detector(), x * mask[None, ..., None])
        wanted += mask * d_rise(corners, sigmoid(logits), objects, box, vector)[0]
    np.testing.assert_allclose(e.values[0], wanted / (60 * 0.5), rtol=1e-4)


def test_other_numbers_compile_nothing():
    from keras_saliency._engine import programs

    x = pictures()
    made = []
    keep = programs.compiled

    def counted(*args):
        made.append(args)
        return keep(*args)

    programs.compiled = counted
    try:
        for box, class_ in ((BOX, 0), ((1, 1, 9, 9), 2)):
            before = len(made)
            explain(detector(), x, target=targets.Detection(**PATHS, box=box, class_=class_))
        assert len(made) == before
    finally:
        programs.compiled = keep


@pytest.mark.parametrize("method", ["grad_cam", "lrp", "smooth_grad", "occlusion"])
def test_other_methods(method):
    options = {"lrp": methods.LRP(), "smooth_grad": methods.SmoothGrad(samples=3)}
    target = targets.Detection(**PATHS, box=BOX, class_=1)
    e = explain(detector(), pictures(), options.get(method, method), target=target)
    assert np.isfinite(e.values).all()
    assert e.values.any()


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"paths of a detector's outputs.*boxes=None"),
        ({"boxes": "boxes"}, r"classes=None.*Name the outputs"),
        ({"decoder": 3}, r"a function of the model's outputs.*Got a int"),
        ({**PATHS, "decoder": decoder}, r"paths of outputs or a decoder"),
        ({**PATHS, "format": "xyhw"}, r"Expected format to be one of 'yxyx'.*Did you mean"),
        ({**PATHS, "format": None}, r"Expected format"),
        ({**PATHS, "activation": "relu"}, r"Expected activation to be one of 'sigmoid'"),
        ({**PATHS, "score": "iou"}, r"No score is called 'iou'.*'similarity'"),
        ({**PATHS, "score": "box"}, r"Expected edge= with score='box'"),
        ({**PATHS, "edge": "left"}, r"Expected edge= with score='box'"),
        ({**PATHS, "score": "box", "edge": "depth"}, r"Expected edge to be one of 'top'"),
        ({**PATHS, "score": "overlap"}, r"a box to overlap with"),
        ({"boxes": 0, "score": "box", "edge": "top"}, r"box= or index= to choose"),
        ({**PATHS, "box": (3, 3, 3, 8)}, r"is empty"),
        ({**PATHS, "box": (3, 3, 8)}, r"is no box"),
        ({**PATHS, "box": [BOX, "here"]}, r"is no box"),
        ({**PATHS, "boxes": 1.5}, r"name, number or path"),
        ({**PATHS, "rematch": "yes"}, r"rematch to be True or False"),
    ],
)
@pytest.mark.no_model
def test_options_that_do_not_fit(options, message):
    with pytest.raises(errors.TargetError, match=message):
        targets.Detection(**options)


def sorted_out(outputs):
    return outputs["boxes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**PATHS, "index": COUNT}, r"no candidate 6.*0 to 5"),
        ({**PATHS, "class_": 3}, r"no class 3.*0 to 2"),
        ({**PATHS, "index": [0, 1, 2]}, r"each of 2 pictures"),
        ({**PATHS, "box": [BOX] * 3}, r"one box, or one for each of 2 pictures.*Got 3"),
        ({**PATHS, "boxes": "corners"}, r"No single output is called 'corners'"),
        ({**PATHS, "boxes": "classes"}, r"Expected boxes \(B, N, 4\)"),
        ({**PATHS, "box": (100, 100, 120, 120)}, r"overlaps \(100, .*best overlap \(IoU\) is 0"),
        ({**PATHS, "score": "probability"}, r"Pass activation='sigmoid' or 'softmax'"),
        ({**PATHS, "activation": "none"}, r"logits can be computed.*score='probability'"),
        ({"decoder": sorted_out}, r"Expected the decoder to return boxes"),
        ({"decoder": lambda y: {"box": y}}, r"Expected the decoder.*Got dict of \['box'\]"),
        ({"decoder": lambda y: (y["boxes"], 3)}, r"Expected the decoder to return boxes"),
        ({"decoder": lambda y: (y["boxes"], y["nothing"])}, r"nothing"),
        ({"decoder": decoder, "index": COUNT}, r"no candidate 6"),
        ({"decoder": decoder, "index": 1, "class_": -1}, r"no class -1"),
    ],
)
def test_what_does_not_fit_the_model(options, message):
    with pytest.raises((errors.TargetError, KeyError), match=message):
        explain(detector(), pictures(), target=targets.Detection(**options))


def test_a_classifier_is_no_detector():
    import models

    with pytest.raises(errors.TargetError, match=r"No single output is called|has 1 outputs"):
        explain(models.flat(), models.pictures(2), target=targets.Detection(boxes=0, classes=1))
    with pytest.raises(errors.TargetError, match=r"Expected boxes \(B, N, 4\)"):
        explain(models.flat(), models.pictures(2), target=targets.Detection(boxes=0, classes=0))

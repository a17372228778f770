"""Detection on keras_hub's detectors: RetinaNet by a decoder of anchors, D-FINE by paths."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_saliency import explain, methods, targets

pytestmark = pytest.mark.long
SIZE, CLASSES = 64, 3


def picture():
    return np.random.default_rng(0).normal(size=(1, SIZE, SIZE, 3)).astype("float32")


def shaken(model, by, variance):
    """The model with noise on its weights: heads of zeros have no gradient."""
    noise = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign_add(noise.normal(0, by, weight.shape))
    for weight in model.weights:  # what a picture does is seen behind many layers
        if weight.path.endswith("moving_variance"):
            weight.assign(0 * weight + variance)
    return model


@functools.cache
def retinanet():
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(1)
    encoder = hub.models.ResNetBackbone(
        [64], [7], [64, 64, 64], [1, 1, 1], [1, 2, 2], "basic_block", image_shape=(SIZE, SIZE, 3)
    )
    backbone = hub.models.RetinaNetBackbone(
        encoder, min_level=3, max_level=4, use_p5=False, image_shape=(SIZE, SIZE, 3)
    )
    model = hub.models.RetinaNetObjectDetector(
        backbone, num_classes=CLASSES, bounding_box_format="yxyx", pre_logits_num_conv_layers=1
    )
    for weight in model.box_head.weights:  # its first bias moves boxes off the picture
        if weight.path.endswith("bias"):
            weight.assign(0 * weight)
    return shaken(model, 0.002, 2.0)


def anchors(model):
    made = model.anchor_generator(np.zeros((1, SIZE, SIZE, 3), "float32"))
    return ops.concatenate(list(made.values()), axis=0)


def decoded(outputs):
    """What the model's own decode_predictions() does before it drops candidates."""
    model = retinanet()
    boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
        anchors=anchors(model),
        boxes_delta=outputs["bbox_regression"],
        encoded_format="center_xywh",
        anchor_format="yxyx",
        box_format="yxyx",
        image_shape=(SIZE, SIZE, 3),
    )
    return boxes, outputs["cls_logits"]


def overlaps(boxes, box):
    start, end = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(end - start, 0, None).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1) + np.prod(np.subtract(box[2:], box[:2]))
    return shared / (areas - shared)


def check(model, own, boxes, logits, box):
    """Compare the scores with NumPy's, and the gradient with that of the same number.

    Finite differences say something else of D-FINE, which stops gradients on the way.
    """
    x, iou = picture(), overlaps(boxes, box)
    best = iou.argmax()
    p = 1 / (1 + np.exp(-logits))
    wanted = {
        "logit": logits[best, 1], "probability": p[best, 1], "overlap": iou.max(),
        "similarity": (iou * p[:, 1] / np.linalg.norm(p, axis=-1)).max(),
    }  # fmt: skip
    for score, number in wanted.items():
        options = {"activation": "sigmoid", "box": box, "class_": 1, "score": score}
        e = explain(model, x, target=targets.Detection(**own, **options))
        np.testing.assert_allclose(e.scores, number, rtol=1e-3, atol=1e-5)
        assert np.isfinite(e.values).all()
        assert e.values.any()
    target = targets.Detection(**own, box=box, class_=1)
    e = explain(model, x, target=target)
    name = "logits" if "logits" in model.output else "cls_logits"
    same = explain(model, x, target=lambda y: y[name][:, best, 1])
    np.testing.assert_allclose(e.attributions, same.attributions, rtol=1e-3, atol=1e-7)
    rise = methods.RISE(masks=20, cells=4)
    options = {"activation": "sigmoid", "box": box, "class_": 1, "score": "similarity"}
    e = explain(model, x, rise, target=targets.Detection(**own, **options))
    assert np.isfinite(e.values).all()
    assert e.values.any()


def numbers(*tensors):
    return [ops.convert_to_numpy(one)[0].astype("float64") for one in tensors]


def test_retinanet():
    model = retinanet()
    boxes, logits = numbers(*decoded(model(picture(), training=False)))
    check(model, {"decoder": decoded}, boxes, logits, (20.0, 10.0, 45.0, 40.0))


@functools.cache
def d_fine():
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(1)
    encoder = hub.models.HGNetV2Backbone(
        depths=[1, 1, 1, 1], embedding_size=4, hidden_sizes=[8, 8, 16, 16],
        stem_channels=[3, 4, 4], hidden_act="relu", use_learnable_affine_block=True,
        stackwise_stage_filters=[[4, 4, 8, 1, 1, 3], [8, 4, 8, 1, 1, 3],
                                 [8, 4, 16, 1, 1, 3], [16, 4, 16, 1, 1, 3]],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        image_shape=(SIZE, SIZE, 3), out_features=["stage3", "stage4"],
    )  # fmt: skip
    backbone = hub.models.DFineBackbone(
        backbone=encoder, decoder_in_channels=[16, 16], encoder_hidden_dim=16, num_denoising=0,
        num_labels=CLASSES, hidden_dim=16, learn_initial_query=False, num_queries=8,
        anchor_image_size=(SIZE, SIZE), feat_strides=[16, 32], num_feature_levels=2,
        encoder_in_channels=[16, 16], encode_proj_layers=[1], num_attention_heads=2,
        encoder_ffn_dim=16, num_encoder_layers=1, hidden_expansion=0.5, depth_multiplier=0.5,
        eval_idx=-1, num_decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=16,
        decoder_n_points=[2, 2], lqe_hidden_dim=8, num_lqe_layers=1,
        out_features=["stage3", "stage4"], image_shape=(SIZE, SIZE, 3),
    )  # fmt: skip
    model = hub.models.DFineObjectDetector(backbone, num_classes=CLASSES)
    return shaken(model, 0.04, 0.3)


def test_d_fine():
    model = d_fine()
    raw = model(picture(), training=False)
    shares, logits = numbers(raw["pred_boxes"], raw["logits"])
    x, y, w, h = shares.T * SIZE
    boxes = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
    own = {"boxes": "pred_boxes", "classes": "logits", "format": "rel_center_xywh"}
    check(model, own, boxes, logits, (4.0, 6.0, 60.0, 58.0))

"""One small network of each family of keras.applications and keras_hub, with random weights.

Widths and depths are the least that keep every kind of block of the family; where a public
constructor of keras.applications has no size (ResNet, DenseNet, NASNet, ConvNeXt), the general
constructor behind it is called (``keras.src.applications``). Inception, Inception-ResNet and
Xception have none: they, and NASNet, end after their first blocks of each kind but the last (of
Inception-ResNet: after the second block), and a new head follows.

Left out of keras_hub: language and speech models, which take no picture; Stable Diffusion 3, Flux
and VAE, which make pictures; PaliGemma, Gemma 3 and 4, Gemma 3n, BLIP-2 and Qwen, whose output is
text after a picture; SAM 3 and VideoPrism (a tokenizer's file, or video); PARSeq, whose decoder
takes the text read so far; MetaCLIP 2, which has CLIP's vision tower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

CLASSES = 10
Target = Callable[[Any], Any]


@dataclass(frozen=True)
class Family:
    """A network and what is explained of it.

    Attributes:
        name: As in the table.
        origin: ``"keras"`` or ``"keras_hub"``.
        build: Returns the network; takes the activation of its classifier.
        side: Height and width of its picture, in pixels.
        raw: Whether it takes pixels 0..255 and rescales inside; else -1..1.
        target: ``None`` for the predicted class, or a function of the outputs to (B,) scores.
        extra: Other inputs by name, without the batch axis; the picture's is then ``"images"``.
        rectified: Whether it has a ReLU (or one of its kin) on the way to the score.
    """

    name: str
    origin: str
    build: Callable[[str | None], Any]
    side: int = 64
    raw: bool = False
    target: Target | None = None
    extra: Callable[[], dict[str, np.ndarray]] | None = None
    rectified: bool = True

    def given(self, images: Any) -> Any:
        """Return what the network takes for images (B, H, W, C), its other inputs repeated."""
        if self.extra is None:
            return images
        others = {name: np.stack([one] * len(images)) for name, one in self.extra().items()}
        return {"images": images, **others}

    def scale(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels 0..255 in the network's input range, float32."""
        return pixels.astype(np.float32) if self.raw else centred(pixels)


def centred(pixels: np.ndarray) -> np.ndarray:
    """Return pixels 0..255 as -1..1."""
    return np.asarray(pixels, np.float32) / np.float32(127.5) - np.float32(1)


# ------------------------------------------------------------------------------ keras.applications


def _application(module: str, kind: str, **options: Any) -> Callable[[str | None], Any]:
    def build(activation: str | None) -> Any:
        import importlib

        side = options.get("side", 64)
        maker = getattr(importlib.import_module(f"keras.src.applications.{module}"), kind)
        given = {name: value for name, value in options.items() if name not in ("side", "until")}
        if "until" in options:
            given["include_top"] = False
        whole = maker(
            weights=None,
            classes=CLASSES,
            input_shape=(side, side, 3),
            classifier_activation=activation,
            **given,
        )
        if "until" not in options:
            return whole
        import keras

        x = whole.get_layer(options["until"]).output
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(CLASSES, activation=activation)(x)
        return keras.Model(whole.input, x, name=whole.name)

    return build


def _resnet(version: int) -> Callable[[str | None], Any]:
    def build(activation: str | None) -> Any:
        from keras.src.applications import resnet

        stack = getattr(resnet, f"stack_residual_blocks_v{version}")

        def stages(x: Any) -> Any:
            x = stack(x, 8, 2, stride1=1, name="conv2")
            x = stack(x, 16, 2, name="conv3")
            return stack(x, 32, 2, name="conv4")

        return resnet.ResNet(
            stages,
            preact=version == 2,
            use_bias=True,
            weights=None,
            input_shape=(64, 64, 3),
            classes=CLASSES,
            classifier_activation=activation,
        )

    return build


def _own(around: str) -> Callable[[str | None], Any]:
    """A network with augmentation, Rescaling and Normalization before or in its middle."""

    def build(activation: str | None) -> Any:
        from keras import Input, Model, layers

        inputs = x = Input((32, 32, 3))
        if around == "augmentation":
            x = layers.RandomFlip("horizontal")(x)
            x = layers.RandomRotation(0.1)(x)
            x = layers.RandomContrast(0.2)(x)
        x = layers.Rescaling(1 / 127.5, offset=-1)(x)
        if around == "normalization":
            x = layers.Normalization(mean=[0.1, 0.0, -0.1], variance=[0.3, 0.25, 0.2])(x)
        for width in (8, 16):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
            x = layers.MaxPooling2D()(x)
        x = layers.Conv2D(24, 3, padding="same", activation="relu", name="last")(x)
        x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
        return Model(inputs, layers.Dense(CLASSES, activation=activation)(x))

    return build


def _unet(activation: str | None) -> Any:
    from keras import Input, Model, layers

    def twice(x: Any, width: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        return x

    inputs = Input((32, 32, 3))
    one = twice(inputs, 8)
    two = twice(layers.MaxPooling2D()(one), 16)
    x = twice(layers.MaxPooling2D()(two), 32)
    x = twice(layers.Concatenate()([layers.UpSampling2D()(x), two]), 16)
    x = layers.Conv2DTranspose(8, 2, strides=2)(x)
    x = twice(layers.Concatenate()([x, one]), 8)
    return Model(inputs, layers.Conv2D(4, 1, activation=activation)(x))


# --------------------------------------------------------------------------------------- keras_hub

Maker = Callable[[], Any]


def _make(kind: str, **options: Any) -> Maker:
    """Return what makes an object of keras_hub; an option that is such a maker is called."""

    def make() -> Any:
        return _named(kind)(**{k: v() if callable(v) else v for k, v in options.items()})

    return make


def _named(kind: str) -> Any:
    """Return a model or layer of keras_hub; vision and text encoders are no public names there."""
    import importlib

    import keras_hub

    for place in (keras_hub.models, keras_hub.layers):
        if hasattr(place, kind):
            return getattr(place, kind)
    family = "clip" if kind.startswith("CLIP") else "siglip"
    part = "vision_encoder" if "Vision" in kind else "text_encoder"
    return getattr(importlib.import_module(f"keras_hub.src.models.{family}.{family}_{part}"), kind)


def _classifier(backbone: Maker, task: str, **options: Any) -> Callable[[str | None], Any]:
    """A keras_hub backbone under its own family's classifier, or the general one."""
    return lambda activation: _named(task)(
        backbone=backbone(), num_classes=CLASSES, activation=activation, **options
    )


def _pooled(backbone: Maker, how: str) -> Callable[[str | None], Any]:
    """A backbone that has no classifier of its own in keras_hub, and a linear probe on it."""

    def build(activation: str | None) -> Any:
        import keras

        made = backbone()
        x = made.output
        if how == "first token":
            x = x[:, 0]
        elif how == "map":
            x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(CLASSES, activation=activation, name="probe")(x)
        return keras.Model(made.input, x)

    return build


# fmt: off
_SMALL = {"image_shape": (32, 32, 3)}
_LARGE = {"image_shape": (64, 64, 3)}
_TOWER = {"patch_size": 8, "num_layers": 3, "hidden_dim": 16, "num_heads": 2}
_DINO = {**_TOWER, **_SMALL, "intermediate_dim": 32, "num_register_tokens": 4}
_ENCODER = {**_TOWER, **_SMALL, "intermediate_dim": 32}
_TEXT = {"vocabulary_size": 50, "embedding_dim": 16, "hidden_dim": 16, "num_layers": 2,
         "num_heads": 2, "intermediate_dim": 32, "max_sequence_length": 16}

_RESNET = _make(
    "ResNetBackbone", input_conv_filters=[64], input_conv_kernel_sizes=[7],
    stackwise_num_filters=[64, 16, 24, 32],  # the first must be 64
    stackwise_num_blocks=[1, 1, 2, 1], stackwise_num_strides=[1, 2, 2, 2],
    block_type="basic_block", **_LARGE)
_DENSENET = _make(
    "DenseNetBackbone", stackwise_num_repeats=[2, 2, 2], growth_rate=8, **_LARGE)
_XCEPTION = _make(
    "XceptionBackbone", stackwise_conv_filters=[[8, 16], [24, 24], [32, 32]],
    stackwise_pooling=[False, True, False], **_LARGE)
_VGG = _make(
    "VGGBackbone", stackwise_num_repeats=[1, 2, 2], stackwise_num_filters=[8, 16, 24], **_SMALL)
_MOBILENET = _make(
    "MobileNetBackbone", stackwise_expansion=[[16, 24], [32, 48]], stackwise_num_blocks=[2, 2],
    stackwise_num_filters=[[8, 8], [16, 16]], stackwise_kernel_size=[[3, 3], [5, 5]],
    stackwise_num_strides=[[2, 1], [2, 1]], stackwise_se_ratio=[[None, None], [0.25, 0.25]],
    stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
    stackwise_padding=[[1, 1], [2, 2]], output_num_filters=32, input_activation="hard_swish",
    output_activation="hard_swish", input_num_filters=8, depthwise_filters=8, depthwise_stride=2,
    depthwise_residual=False, last_layer_filter=32, squeeze_and_excite=0.5, **_LARGE)
_MOBILENET_V5 = _make(
    "MobileNetV5Backbone", stackwise_block_types=[["er"], ["uir", "mqa"]],
    stackwise_num_blocks=[1, 2], stackwise_num_filters=[[8], [16, 16]],
    stackwise_strides=[[2], [2, 1]], stackwise_act_layers=[["relu"], ["relu", "relu"]],
    stackwise_exp_ratios=[[4.0], [4.0, 1.0]], stackwise_se_ratios=[[0.0], [0.0, 0.0]],
    stackwise_dw_kernel_sizes=[[0], [5, 3]], stackwise_dw_start_kernel_sizes=[[0], [0, 0]],
    stackwise_dw_end_kernel_sizes=[[0], [0, 0]], stackwise_exp_kernel_sizes=[[3], [0, 0]],
    stackwise_pw_kernel_sizes=[[1], [0, 0]], stackwise_num_heads=[[0], [0, 2]],
    stackwise_key_dims=[[0], [0, 8]], stackwise_value_dims=[[0], [0, 8]],
    stackwise_kv_strides=[[0], [0, 1]], stackwise_use_cpe=[[False], [False, False]],
    use_msfa=False, stem_size=8, num_features=32, **_LARGE)
_EFFICIENTNET = _make(
    "EfficientNetBackbone", stackwise_width_coefficients=[1.0] * 3,
    stackwise_depth_coefficients=[1.0] * 3, stackwise_kernel_sizes=[3, 3, 5],
    stackwise_num_repeats=[1, 2, 2], stackwise_input_filters=[8, 8, 16],
    stackwise_output_filters=[8, 16, 24], stackwise_expansion_ratios=[1, 4, 4],
    stackwise_squeeze_and_excite_ratios=[0.0, 0.25, 0.25], stackwise_strides=[1, 2, 2],
    stackwise_block_types=["fused", "unfused", "unfused"], stackwise_force_input_filters=[0] * 3,
    stackwise_nores_option=[False] * 3, num_features=32, input_shape=(64, 64, 3))
_CSPNET = _make(
    "CSPNetBackbone", stem_filters=8, stem_kernel_size=3, stem_strides=1, stackwise_depth=[1, 2],
    stackwise_strides=[2, 2], stackwise_num_filters=[16, 24], block_type="dark_block",
    stage_type="csp", bottle_ratio=[0.5], block_ratio=[1.0], expand_ratio=[2.0], **_SMALL)
_HGNET_OPTIONS = {
    "depths": [1, 1, 1, 1], "embedding_size": 8, "hidden_sizes": [16, 32, 48, 64],
    "stem_channels": [3, 8, 8], "hidden_act": "relu", "use_learnable_affine_block": True,
    "stackwise_stage_filters": [(8, 8, 16, 1, 2, 3), (16, 8, 32, 1, 2, 3), (32, 16, 48, 1, 2, 5),
                                (48, 16, 64, 1, 2, 5)],
    "apply_downsample": [False, True, True, True],
    "use_lightweight_conv_block": [False, False, True, True], **_LARGE}
_HGNET = _make("HGNetV2Backbone", **_HGNET_OPTIONS)
_VIT = _make("ViTBackbone", **_TOWER, mlp_dim=32, **_SMALL)
_DEIT = _make("DeiTBackbone", **_TOWER, intermediate_dim=32, **_SMALL)
_DINO_V2 = _make(
    "DINOV2Backbone", **_DINO, position_embedding_shape=(32, 32, 3), apply_layernorm=True)
_DINO_V3 = _make("DINOV3Backbone", **_DINO, apply_layernorm=True)
_SWIN = _make(
    "SwinTransformerBackbone", embed_dim=16, depths=[2, 2, 2], num_heads=[2, 2, 2], window_size=4,
    patch_size=4, drop_path=0.0, **_LARGE)
_CLIP_VISION = _make("CLIPVisionEncoder", **_ENCODER)
_SIGLIP_VISION = _make("SigLIPVisionEncoder", **_ENCODER)
_VIT_DET = _make(
    "ViTDetBackbone", hidden_size=16, num_layers=3, intermediate_dim=32, num_heads=2,
    global_attention_layer_indices=[2], patch_size=8, num_output_channels=16, window_size=4,
    **_LARGE)
_MIT_OPTIONS = {
    "layerwise_depths": [1, 1, 1, 1], "num_layers": 4, "layerwise_num_heads": [1, 2, 2, 4],
    "layerwise_sr_ratios": [8, 4, 2, 1], "max_drop_path_rate": 0.0,
    "layerwise_patch_sizes": [7, 3, 3, 3], "layerwise_strides": [4, 2, 2, 2],
    "hidden_dims": [8, 16, 24, 32]}  # each another: SegFormer names layers by them
_MIT = _make("MiTBackbone", **_MIT_OPTIONS, image_shape=(128, 128, 3))

_SEGFORMER = _make("SegFormerImageSegmenter", num_classes=4, backbone=_make(
    "SegFormerBackbone", projection_filters=16,
    image_encoder=_make("MiTBackbone", **_MIT_OPTIONS, **_LARGE)))
_DEEPLAB = _make("DeepLabV3ImageSegmenter", num_classes=4, backbone=_make(
    "DeepLabV3Backbone", image_encoder=_RESNET, spatial_pyramid_pooling_key="P4",
    low_level_feature_key="P2", upsampling_size=4, dilation_rates=[2, 4], projection_filters=8,
    **_LARGE))
_RETINANET = _make(
    "RetinaNetObjectDetector", num_classes=4, pre_logits_num_conv_layers=1, backbone=_make(
        "RetinaNetBackbone", image_encoder=_RESNET, min_level=3, max_level=5, use_p5=False,
        **_LARGE))
_D_FINE = _make("DFineObjectDetector", num_classes=4, backbone=_make(
    "DFineBackbone",
    backbone=_make("HGNetV2Backbone", **_HGNET_OPTIONS, out_features=["stage3", "stage4"]),
    decoder_in_channels=[16, 16], encoder_hidden_dim=16, num_denoising=0, num_labels=4,
    hidden_dim=16, learn_initial_query=False, num_queries=8, anchor_image_size=(64, 64),
    feat_strides=[16, 32], num_feature_levels=2, encoder_in_channels=[48, 64],
    encode_proj_layers=[1], num_attention_heads=2, encoder_ffn_dim=32, num_encoder_layers=1,
    hidden_expansion=0.5, depth_multiplier=0.5, eval_idx=-1, num_decoder_layers=2,
    decoder_attention_heads=2, decoder_ffn_dim=32, decoder_n_points=[2, 2], lqe_hidden_dim=8,
    num_lqe_layers=2, out_features=["stage3", "stage4"], seed=0, **_LARGE))
_SAM = _make("SAMImageSegmenter", backbone=_make(
    "SAMBackbone", image_encoder=_VIT_DET,
    prompt_encoder=_make("SAMPromptEncoder", hidden_size=16, image_embedding_size=(8, 8),
                         input_image_size=(64, 64)),
    mask_decoder=_make("SAMMaskDecoder", num_layers=2, hidden_size=16, intermediate_dim=32,
                       num_heads=2, embedding_dim=16, num_multimask_outputs=3, iou_head_depth=2,
                       iou_head_hidden_dim=16)))
_CLIP = _make("CLIPBackbone", vision_encoder=_CLIP_VISION,
              text_encoder=_make("CLIPTextEncoder", **_TEXT), projection_dim=16)
_SIGLIP = _make("SigLIPBackbone", vision_encoder=_SIGLIP_VISION,
                text_encoder=_make("SigLIPTextEncoder", **_TEXT))
_DEPTH = _make(
    "DepthAnythingDepthEstimator", depth_estimation_type="relative", backbone=_make(
        "DepthAnythingBackbone", image_encoder=_make(
            "DINOV2Backbone", patch_size=8, num_layers=4, hidden_dim=16, num_heads=2,
            intermediate_dim=32, position_embedding_shape=(64, 64, 3), apply_layernorm=True,
            **_LARGE),
        reassemble_factors=[4, 2, 1, 0.5], neck_hidden_dims=[8, 8, 16, 16], fusion_hidden_dim=16,
        head_hidden_dim=8, head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"]))
# fmt: on


# ------------------------------------------------------------------------- scores, and other inputs


def one_pixel(outputs: Any) -> Any:
    """The third class at the middle of a segmentation (B, H, W, K)."""
    return outputs[:, outputs.shape[1] // 2, outputs.shape[2] // 2, 2]


def best_box(outputs: Any) -> Any:
    """The highest logit of all boxes and classes of a RetinaNet."""
    return _ops().max(outputs["cls_logits"], axis=(1, 2))


def best_query(outputs: Any) -> Any:
    """The highest logit of all queries and classes of a D-FINE."""
    return _ops().max(outputs["logits"], axis=(1, 2))


def first_mask(outputs: Any) -> Any:
    """The mean logit of the middle of SAM's first mask."""
    return _ops().mean(outputs["masks"][:, 0, 8:24, 8:24], axis=(1, 2))


def similarity(outputs: Any) -> Any:
    """Each picture beside its own text."""
    return _ops().diagonal(outputs["vision_logits"])


def middle_depth(outputs: Any) -> Any:
    """The mean depth of the middle of a picture."""
    return _ops().mean(outputs["depths"][:, 24:40, 24:40], axis=(1, 2, 3))


def _ops() -> Any:
    import keras

    return keras.ops


def _sam_prompt() -> dict[str, np.ndarray]:
    return {
        "points": np.array([[24.0, 40.0]], np.float32),
        "labels": np.ones(1, np.float32),
        "boxes": np.zeros((0, 2, 2), np.float32),
        "masks": np.zeros((0, 64, 64, 1), np.float32),
    }


def _words() -> dict[str, np.ndarray]:
    return {"token_ids": np.arange(2, 18, dtype=np.int32)}  # as many as the picture has positions


# ------------------------------------------------------------------------------------- the families


def _a(
    name: str, module: str, kind: str, /, side: int = 64, raw: bool = False, **more: Any
) -> Family:
    rectified = more.pop("rectified", True)
    build = _application(module, kind, side=side, **more)
    return Family(name, "keras", build, side, raw, rectified=rectified)


def _h(name: str, build: Callable[[str | None], Any], side: int = 64, **more: Any) -> Family:
    return Family(name, "keras_hub", build, side, **more)


def _c(
    name: str, backbone: Maker, side: int = 64, task: str = "ImageClassifier", *,
    rectified: bool = True, **options: Any,
) -> Family:  # fmt: skip
    return _h(name, _classifier(backbone, task, **options), side, rectified=rectified)


def _m(name: str, make: Maker, target: Target, side: int = 64, **more: Any) -> Family:
    return _h(name, lambda activation: make(), side, target=target, **more)


FAMILIES = (
    _a("VGG", "vgg16", "VGG16", 32),
    Family("ResNet", "keras", _resnet(1)),
    Family("ResNetV2", "keras", _resnet(2)),
    _a("DenseNet", "densenet", "DenseNet", blocks=[2, 2, 2, 2]),
    _a("NASNet", "nasnet", "NASNet", penultimate_filters=96, num_blocks=1,
       stem_block_filters=8, skip_reduction=False, until="normal_concat_0"),
    _a("Xception", "xception", "Xception", 71, until="block7_sepconv1_act"),
    _a("InceptionV3", "inception_v3", "InceptionV3", 75, until="mixed4"),
    _a("InceptionResNetV2", "inception_resnet_v2", "InceptionResNetV2", 75, until="block35_2_ac"),
    _a("MobileNet", "mobilenet", "MobileNet", alpha=0.25),
    _a("MobileNetV2", "mobilenet_v2", "MobileNetV2", alpha=0.35),
    _a("MobileNetV3", "mobilenet_v3", "MobileNetV3Small", raw=True, alpha=0.35),
    _a("EfficientNet", "efficientnet", "EfficientNet", raw=True, width_coefficient=0.25,
       depth_coefficient=0.3, default_size=64, rectified=False),
    _a("EfficientNetV2", "efficientnet_v2", "EfficientNetV2", raw=True, width_coefficient=0.25,
       depth_coefficient=0.3, default_size=64, name="efficientnetv2-b0", rectified=False),
    _a("ConvNeXt", "convnext", "ConvNeXt", raw=True, depths=[1, 1, 2, 1],
       projection_dims=[8, 16, 32, 64], rectified=False),
    Family("augmentation, Rescaling", "keras", _own("augmentation"), 32, raw=True),
    Family("Normalization", "keras", _own("normalization"), 32, raw=True),
    Family("UNet, one pixel", "keras", lambda _: _unet(None), 32, target=one_pixel),
    _c("hub ResNet", _RESNET),
    _c("hub DenseNet", _DENSENET),
    _c("hub Xception", _XCEPTION),
    _c("hub VGG", _VGG, 32),
    _c("hub MobileNetV3", _MOBILENET, task="MobileNetImageClassifier"),
    _c("hub MobileNetV5", _MOBILENET_V5, task="MobileNetV5ImageClassifier", head_hidden_size=32),
    _c("hub EfficientNet", _EFFICIENTNET, rectified=False),
    _c("hub CSPDarkNet", _CSPNET, 32),
    _c("hub HGNetV2", _HGNET, task="HGNetV2ImageClassifier", preprocessor=None),
    _c("hub ViT", _VIT, 32, "ViTImageClassifier", rectified=False),
    _c("hub DeiT", _DEIT, 32, "DeiTImageClassifier", rectified=False),
    _h("hub DINOv2", _pooled(_DINO_V2, "first token"), 32, rectified=False),
    _h("hub DINOv3", _pooled(_DINO_V3, "first token"), 32, rectified=False),
    _c("hub Swin", _SWIN, task="SwinTransformerImageClassifier", rectified=False),
    _h("hub CLIP vision", _pooled(_CLIP_VISION, "first token"), 32, rectified=False),
    _h("hub SigLIP vision", _pooled(_SIGLIP_VISION, "vector"), 32, rectified=False),
    _h("hub ViTDet", _pooled(_VIT_DET, "map"), rectified=False),
    _c("hub MiT", _MIT, 128, "MiTImageClassifier", rectified=False),
    _m("hub SegFormer, one pixel", _SEGFORMER, one_pixel),
    _m("hub DeepLabV3, one pixel", _DEEPLAB, one_pixel),
    _m("hub RetinaNet, best box", _RETINANET, best_box),
    _m("hub D-FINE, best query", _D_FINE, best_query),
    _m("hub SAM, first mask", _SAM, first_mask, extra=_sam_prompt),
    _m("hub CLIP similarity", _CLIP, similarity, 32, extra=_words, rectified=False),
    _m("hub SigLIP similarity", _SIGLIP, similarity, 32, extra=_words, rectified=False),
    _m("hub DepthAnything, middle", _DEPTH, middle_depth),
)  # fmt: skip

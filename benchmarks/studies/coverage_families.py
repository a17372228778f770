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
_WIDTH = 1.0  # of the middle of a convolution, in squared pixels


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
    target: Callable[[Any], Any] | None = None
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


def draw(model: Any, given: Any, seed: int = 0) -> None:
    """Give a network random weights, the same on every backend, near its own where they matter.

    Kernels by their fan-in (He et al. 2015); vectors (biases, norms' statistics and scales, layer
    scales) stay near what they start with, tiny layer scales near 0.5 so that no block is idle.
    Batch norms' offsets are near 1, so that most rectifiers are on: with 0, rounding errors grow
    from layer to layer, and alone moved the gradient of InceptionV3 by a quarter of its size.

    Args:
        model: The network.
        given: Inputs whose statistics batch norms take.
        seed: Of the weights.
    """
    import keras

    random = np.random.default_rng(seed)
    offsets = {norm.beta.path for norm in _batch_norms(model) if norm.center}
    for variable in model.variables:
        shape, path = tuple(variable.shape), variable.path
        if "float" not in keras.backend.standardize_dtype(variable.dtype) or "seed" in path:
            continue
        start = np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
        noise = random.normal(size=shape)
        if path.endswith(("moving_variance", "/variance")):
            value = 1 + 0.3 * np.abs(noise)
        elif len(shape) < 2:
            still = np.abs(start).max(initial=0)
            value = (0.5 if 0 < still < 0.01 else start) + 0.05 * noise + (variable.path in offsets)
        else:
            value = noise * (2 / _fan_in(path, shape)) ** 0.5 * _centre(shape)
        variable.assign(value.astype(np.float32))
    _calibrate(model, given)


def _calibrate(model: Any, given: Any) -> None:
    """Let batch norms take the statistics of these inputs; without, signals fade or explode."""
    norms = _batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        model(given, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batch_norms(model: Any) -> list[Any]:
    import keras

    whole = model._flatten_layers(include_self=False)
    return [one for one in whole if isinstance(one, keras.layers.BatchNormalization)]


def _centre(shape: tuple[int, ...]) -> Any:
    """Return what makes the middle of a convolution count more, of mean square 1.

    As in trained networks; else no late map of a small picture would know where anything is.
    """
    if len(shape) != 4 or max(shape[:2]) == 1:
        return 1.0
    down, right = (np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / _WIDTH) for n in shape[:2])
    window = (down[:, None] * right)[:, :, None, None]
    return window / np.sqrt((window**2).mean())


def _fan_in(path: str, shape: tuple[int, ...]) -> int:
    kind = path.rsplit("/", 1)[-1]
    if "embed" in path and "kernel" not in kind:
        return 50 * 2  # a standard deviation of 0.14, for tokens and positions
    if "depthwise" in path and len(shape) == 4:
        return int(np.prod(shape[:2]))
    if len(shape) == 3 and any(word in path for word in ("query", "key", "value")):
        return int(shape[0])  # (width, heads, width of a head)
    return max(1, int(np.prod(shape[:-1])))


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


def one_pixel(outputs: Any) -> Any:
    """The third class at the middle of a segmentation (B, H, W, K)."""
    return outputs[:, outputs.shape[1] // 2, outputs.shape[2] // 2, 2]


# --------------------------------------------------------------------------------------- keras_hub


def _classifier(make: Callable[[Any], Any], **options: Any) -> Callable[[str | None], Any]:
    """A keras_hub backbone under its own family's classifier, or the general one."""

    def build(activation: str | None) -> Any:
        from keras_hub import models

        task, backbone = make(models)
        kind = getattr(models, task) if task else models.ImageClassifier
        if task == "HGNetV2ImageClassifier":
            options["preprocessor"] = None
        return kind(backbone=backbone, num_classes=CLASSES, activation=activation, **options)

    return build


def _pooled(make: Callable[[Any], Any], how: str) -> Callable[[str | None], Any]:
    """A backbone that has no classifier of its own in keras_hub, and a linear probe on it."""

    def build(activation: str | None) -> Any:
        import keras
        import keras_hub

        backbone = make(keras_hub.models)
        x = backbone.output
        if how == "first token":
            x = x[:, 0]
        elif how == "map":
            x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(CLASSES, activation=activation, name="probe")(x)
        return keras.Model(backbone.input, x)

    return build


def _hub_resnet(m: Any) -> Any:
    return m.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 16, 24, 32],  # the first must be 64
        stackwise_num_blocks=[1, 1, 2, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(64, 64, 3),
    )


def _hub_mobilenet(m: Any) -> Any:
    return m.MobileNetBackbone(
        stackwise_expansion=[[16, 24], [32, 48]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[8, 8], [16, 16]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=32,
        input_activation="hard_swish",
        output_activation="hard_swish",
        input_num_filters=8,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=32,
        squeeze_and_excite=0.5,
        image_shape=(64, 64, 3),
    )


def _hub_mobilenet_v5(m: Any) -> Any:
    return m.MobileNetV5Backbone(
        stackwise_block_types=[["er"], ["uir", "mqa"]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [16, 16]],
        stackwise_strides=[[2], [2, 1]],
        stackwise_act_layers=[["relu"], ["relu", "relu"]],
        stackwise_exp_ratios=[[4.0], [4.0, 1.0]],
        stackwise_se_ratios=[[0.0], [0.0, 0.0]],
        stackwise_dw_kernel_sizes=[[0], [5, 3]],
        stackwise_dw_start_kernel_sizes=[[0], [0, 0]],
        stackwise_dw_end_kernel_sizes=[[0], [0, 0]],
        stackwise_exp_kernel_sizes=[[3], [0, 0]],
        stackwise_pw_kernel_sizes=[[1], [0, 0]],
        stackwise_num_heads=[[0], [0, 2]],
        stackwise_key_dims=[[0], [0, 8]],
        stackwise_value_dims=[[0], [0, 8]],
        stackwise_kv_strides=[[0], [0, 1]],
        stackwise_use_cpe=[[False], [False, False]],
        use_msfa=False,
        stem_size=8,
        num_features=32,
        image_shape=(64, 64, 3),
    )


def _hub_efficientnet(m: Any) -> Any:
    return m.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1, 2, 2],
        stackwise_input_filters=[8, 8, 16],
        stackwise_output_filters=[8, 16, 24],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=["fused", "unfused", "unfused"],
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        num_features=32,
        input_shape=(64, 64, 3),
    )


def _hub_hgnet(m: Any, **options: Any) -> Any:
    return m.HGNetV2Backbone(
        depths=[1, 1, 1, 1],
        embedding_size=8,
        hidden_sizes=[16, 32, 48, 64],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[
            (8, 8, 16, 1, 2, 3),
            (16, 8, 32, 1, 2, 3),
            (32, 16, 48, 1, 2, 5),
            (48, 16, 64, 1, 2, 5),
        ],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        **{"image_shape": (64, 64, 3), **options},
    )


def _hub_vit(m: Any) -> Any:
    return m.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32
    )


def _hub_deit(m: Any) -> Any:
    return m.DeiTBackbone(
        image_shape=(32, 32, 3),
        patch_size=8,
        num_layers=3,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
    )


def _hub_swin(m: Any) -> Any:
    return m.SwinTransformerBackbone(
        image_shape=(64, 64, 3),
        embed_dim=16,
        depths=[2, 2, 2],
        num_heads=[2, 2, 2],
        window_size=4,
        patch_size=4,
        drop_path=0.0,
    )


def _hub_dino(version: int) -> Callable[[Any], Any]:
    def make(m: Any) -> Any:
        common = {
            "patch_size": 8,
            "num_layers": 3,
            "hidden_dim": 16,
            "num_heads": 2,
            "intermediate_dim": 32,
            "num_register_tokens": 4,
            "image_shape": (32, 32, 3),
        }
        if version == 2:
            return m.DINOV2Backbone(
                **common, position_embedding_shape=(32, 32, 3), apply_layernorm=True
            )
        return m.DINOV3Backbone(**common, apply_layernorm=True)

    return make


def _hub_tower(kind: str, **more: Any) -> Callable[[Any], Any]:
    def make(m: Any) -> Any:
        import keras_hub

        maker = getattr(keras_hub.layers, kind, None) or _hidden(kind)
        return maker(
            patch_size=8,
            hidden_dim=16,
            num_layers=3,
            num_heads=2,
            intermediate_dim=32,
            image_shape=(32, 32, 3),
            **more,
        )

    return make


def _hidden(kind: str) -> Any:
    """Vision and text encoders are no public names of keras_hub."""
    import importlib

    family = "clip" if kind.startswith("CLIP") else "siglip"
    part = "vision_encoder" if "Vision" in kind else "text_encoder"
    return getattr(importlib.import_module(f"keras_hub.src.models.{family}.{family}_{part}"), kind)


def _hub_vit_det(m: Any, side: int = 64) -> Any:
    return m.ViTDetBackbone(
        hidden_size=16,
        num_layers=3,
        intermediate_dim=32,
        num_heads=2,
        global_attention_layer_indices=[2],
        patch_size=8,
        num_output_channels=16,
        window_size=4,
        image_shape=(side, side, 3),
    )


def _hub_mit(m: Any, side: int = 64) -> Any:
    return m.MiTBackbone(
        layerwise_depths=[1, 1, 1, 1],
        num_layers=4,
        layerwise_num_heads=[1, 2, 2, 4],
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=0.0,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        hidden_dims=[8, 16, 24, 32],  # each another: SegFormer names layers by them
        image_shape=(side, side, 3),
    )


def _segformer(activation: str | None) -> Any:
    from keras_hub import models as m

    backbone = m.SegFormerBackbone(image_encoder=_hub_mit(m), projection_filters=16)
    return m.SegFormerImageSegmenter(backbone=backbone, num_classes=4)


def _deeplab(activation: str | None) -> Any:
    from keras_hub import models as m

    backbone = m.DeepLabV3Backbone(
        image_encoder=_hub_resnet(m),
        spatial_pyramid_pooling_key="P4",
        low_level_feature_key="P2",
        upsampling_size=4,
        dilation_rates=[2, 4],
        projection_filters=8,
        image_shape=(64, 64, 3),
    )
    return m.DeepLabV3ImageSegmenter(backbone=backbone, num_classes=4)


def _retinanet(activation: str | None) -> Any:
    from keras_hub import models as m

    backbone = m.RetinaNetBackbone(
        image_encoder=_hub_resnet(m),
        min_level=3,
        max_level=5,
        use_p5=False,
        image_shape=(64, 64, 3),
    )
    return m.RetinaNetObjectDetector(backbone=backbone, num_classes=4, pre_logits_num_conv_layers=1)


def best_box(outputs: Any) -> Any:
    """The highest logit of all boxes and classes of a RetinaNet."""
    from keras import ops

    return ops.max(outputs["cls_logits"], axis=(1, 2))


def _d_fine(activation: str | None) -> Any:
    from keras_hub import models as m

    backbone = m.DFineBackbone(
        backbone=_hub_hgnet(m, out_features=["stage3", "stage4"]),
        decoder_in_channels=[16, 16],
        encoder_hidden_dim=16,
        num_denoising=0,
        num_labels=4,
        hidden_dim=16,
        learn_initial_query=False,
        num_queries=8,
        anchor_image_size=(64, 64),
        feat_strides=[16, 32],
        num_feature_levels=2,
        encoder_in_channels=[48, 64],
        encode_proj_layers=[1],
        num_attention_heads=2,
        encoder_ffn_dim=32,
        num_encoder_layers=1,
        hidden_expansion=0.5,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        decoder_n_points=[2, 2],
        lqe_hidden_dim=8,
        num_lqe_layers=2,
        out_features=["stage3", "stage4"],
        image_shape=(64, 64, 3),
        seed=0,
    )
    return m.DFineObjectDetector(backbone=backbone, num_classes=4)


def best_query(outputs: Any) -> Any:
    """The highest logit of all queries and classes of a D-FINE."""
    from keras import ops

    return ops.max(outputs["logits"], axis=(1, 2))


def _sam(activation: str | None) -> Any:
    import keras_hub
    from keras_hub import models as m

    backbone = m.SAMBackbone(
        image_encoder=_hub_vit_det(m),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=16, image_embedding_size=(8, 8), input_image_size=(64, 64)
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=16,
            intermediate_dim=32,
            num_heads=2,
            embedding_dim=16,
            num_multimask_outputs=3,
            iou_head_depth=2,
            iou_head_hidden_dim=16,
        ),
    )
    return m.SAMImageSegmenter(backbone=backbone)


def _sam_prompt() -> dict[str, np.ndarray]:
    return {
        "points": np.array([[24.0, 40.0]], np.float32),
        "labels": np.ones(1, np.float32),
        "boxes": np.zeros((0, 2, 2), np.float32),
        "masks": np.zeros((0, 64, 64, 1), np.float32),
    }


def first_mask(outputs: Any) -> Any:
    """The mean logit of the middle of SAM's first mask."""
    from keras import ops

    return ops.mean(outputs["masks"][:, 0, 8:24, 8:24], axis=(1, 2))


def _similarity(kind: str) -> Callable[[str | None], Any]:
    def build(activation: str | None) -> Any:
        from keras_hub import models as m

        vision = _hub_tower(f"{kind}VisionEncoder")(m)
        text = _hidden(f"{kind}TextEncoder")(
            vocabulary_size=50,
            embedding_dim=16,
            hidden_dim=16,
            num_layers=2,
            num_heads=2,
            intermediate_dim=32,
            max_sequence_length=16,
        )
        if kind == "CLIP":
            return m.CLIPBackbone(vision, text, projection_dim=16)
        return m.SigLIPBackbone(vision, text)

    return build


def _words() -> dict[str, np.ndarray]:
    return {"token_ids": np.arange(2, 18, dtype=np.int32)}  # as many as the picture has positions


def similarity(outputs: Any) -> Any:
    """Each picture beside its own text."""
    from keras import ops

    return ops.diagonal(outputs["vision_logits"])


def _depth(activation: str | None) -> Any:
    from keras_hub import models as m

    return m.DepthAnythingDepthEstimator(
        backbone=m.DepthAnythingBackbone(
            image_encoder=m.DINOV2Backbone(
                patch_size=8,
                num_layers=4,
                hidden_dim=16,
                num_heads=2,
                intermediate_dim=32,
                image_shape=(64, 64, 3),
                position_embedding_shape=(64, 64, 3),
                apply_layernorm=True,
            ),
            reassemble_factors=[4, 2, 1, 0.5],
            neck_hidden_dims=[8, 8, 16, 16],
            fusion_hidden_dim=16,
            head_hidden_dim=8,
            head_in_index=-1,
            feature_keys=["stage1", "stage2", "stage3", "stage4"],
        ),
        depth_estimation_type="relative",
    )


def middle_depth(outputs: Any) -> Any:
    """The mean depth of the middle of a picture."""
    from keras import ops

    return ops.mean(outputs["depths"][:, 24:40, 24:40], axis=(1, 2, 3))


def _a(
    name: str, module: str, kind: str, /, side: int = 64, raw: bool = False, **more: Any
) -> Family:
    rectified = more.pop("rectified", True)
    build = _application(module, kind, side=side, **more)
    return Family(name, "keras", build, side, raw, rectified=rectified)


def _h(name: str, build: Callable[[str | None], Any], side: int = 64, **more: Any) -> Family:
    return Family(name, "keras_hub", build, side, **more)


def _c(
    name: str, make: Callable[[Any], Any], side: int = 64, task: str = "", **more: Any
) -> Family:
    options = more.pop("options", {})
    return _h(name, _classifier(lambda m: (task, make(m)), **options), side, **more)


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
    _c("hub ResNet", _hub_resnet),
    _c("hub DenseNet", lambda m: m.DenseNetBackbone(
        stackwise_num_repeats=[2, 2, 2], growth_rate=8, image_shape=(64, 64, 3))),
    _c("hub Xception", lambda m: m.XceptionBackbone(
        stackwise_conv_filters=[[8, 16], [24, 24], [32, 32]],
        stackwise_pooling=[False, True, False], image_shape=(64, 64, 3))),
    _c("hub VGG", lambda m: m.VGGBackbone(
        stackwise_num_repeats=[1, 2, 2], stackwise_num_filters=[8, 16, 24],
        image_shape=(32, 32, 3)), 32),
    _c("hub MobileNetV3", _hub_mobilenet, task="MobileNetImageClassifier"),
    _h("hub MobileNetV5", _classifier(
        lambda m: ("MobileNetV5ImageClassifier", _hub_mobilenet_v5(m)), head_hidden_size=32)),
    _c("hub EfficientNet", _hub_efficientnet, rectified=False),
    _c("hub CSPDarkNet", lambda m: m.CSPNetBackbone(
        stem_filters=8, stem_kernel_size=3, stem_strides=1, stackwise_depth=[1, 2],
        stackwise_strides=[2, 2], stackwise_num_filters=[16, 24], block_type="dark_block",
        stage_type="csp",        bottle_ratio=[0.5], block_ratio=[1.0], expand_ratio=[2.0],
        image_shape=(32, 32, 3)), 32),
    _c("hub HGNetV2", _hub_hgnet, task="HGNetV2ImageClassifier"),
    _c("hub ViT", _hub_vit, 32, task="ViTImageClassifier", rectified=False),
    _c("hub DeiT", _hub_deit, 32, task="DeiTImageClassifier", rectified=False),
    _h("hub DINOv2", _pooled(_hub_dino(2), "first token"), 32, rectified=False),
    _h("hub DINOv3", _pooled(_hub_dino(3), "first token"), 32, rectified=False),
    _c("hub Swin", _hub_swin, task="SwinTransformerImageClassifier", rectified=False),
    _h("hub CLIP vision", _pooled(_hub_tower("CLIPVisionEncoder"), "first token"), 32,
       rectified=False),
    _h("hub SigLIP vision", _pooled(_hub_tower("SigLIPVisionEncoder"), "vector"), 32,
       rectified=False),
    _h("hub ViTDet", _pooled(_hub_vit_det, "map"), rectified=False),
    _c("hub MiT", lambda m: _hub_mit(m, 128), 128, task="MiTImageClassifier", rectified=False),
    _h("hub SegFormer, one pixel", _segformer, target=one_pixel),
    _h("hub DeepLabV3, one pixel", _deeplab, target=one_pixel),
    _h("hub RetinaNet, best box", _retinanet, target=best_box),
    _h("hub D-FINE, best query", _d_fine, target=best_query),
    _h("hub SAM, first mask", _sam, target=first_mask, extra=_sam_prompt),
    _h("hub CLIP similarity", _similarity("CLIP"), 32, target=similarity, extra=_words,
       rectified=False),
    _h("hub SigLIP similarity", _similarity("SigLIP"), 32, target=similarity, extra=_words,
       rectified=False),
    _h("hub DepthAnything, middle", _depth, target=middle_depth),
)  # fmt: skip

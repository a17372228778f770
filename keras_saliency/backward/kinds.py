"""What each of Keras' operations does to numbers, by its class name: layers and functions alike."""

from __future__ import annotations

from typing import Any

from keras_saliency.intercept import is_ours_to_split


def _with_ranks(*kinds: str) -> frozenset[str]:
    return frozenset(f"{kind}{rank}D" for kind in kinds for rank in (1, 2, 3))


RECTIFIERS = frozenset({
    "ReLU", "Relu", "relu", "Relu6", "relu6", "LeakyReLU", "LeakyRelu", "leaky_relu", "PReLU",
})  # fmt: skip

# One number in, one number out.
ELEMENTWISE = RECTIFIERS | {
    "ELU", "Elu", "elu", "Selu", "selu", "Celu", "celu", "Gelu", "gelu", "Silu", "silu", "swish",
    "Sigmoid", "sigmoid", "Tanh", "tanh", "TanhShrink", "tanh_shrink", "Softplus", "softplus",
    "Softsign", "softsign", "SoftShrink", "soft_shrink", "HardSigmoid", "hard_sigmoid", "HardSilu",
    "hard_silu", "hard_swish", "HardTanh", "hard_tanh", "HardShrink", "hard_shrink", "LogSigmoid",
    "log_sigmoid", "Mish", "mish", "exponential", "Threshold", "threshold", "SparsePlus",
    "sparse_plus", "Squareplus", "squareplus", "Exp", "Log", "Log1p", "Expm1", "Sqrt", "Square",
    "Abs", "Absolute", "Clip", "Power", "Erf", "Rsqrt", "Reciprocal",
}  # fmt: skip

# Nothing happens to the numbers in inference, or the same to all of a channel.
SCALINGS = frozenset({
    "BatchNormalization", "Normalization", "Rescaling", "Negative", "linear",
})  # fmt: skip
NOTHING = frozenset({
    "InputLayer", "Identity", "Cast", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization", "StopGradient", *_with_ranks("SpatialDropout"),
})  # fmt: skip

# Numbers go somewhere else, some of them several times.
MOVES = frozenset({
    "Flatten", "Reshape", "Permute", "Transpose", "Concatenate", "ExpandDims", "Squeeze", "GetItem",
    "Pad", "RepeatVector", "Repeat", "Stack", "Split", "Moveaxis", "Swapaxes", "BroadcastTo",
    "Flip", "Roll", "Ravel", "Slice", "Tile", "CenterCrop", "Take",
    *_with_ranks("ZeroPadding", "Cropping", "UpSampling"),
})  # fmt: skip

# The largest goes through, the others do not.
MAXIMA = frozenset({
    "Max", "Amax", "Maximum", "Minimum", *_with_ranks("MaxPooling", "GlobalMaxPooling"),
})  # fmt: skip

# Sums with weights that are not learnt.
SUMS = frozenset({
    "Add", "Subtract", "Average", "Mean", "Sum", "Resizing",
    *_with_ranks("AveragePooling", "GlobalAveragePooling"),
})  # fmt: skip

KERNELS = frozenset({
    "Dense", "EinsumDense", *_with_ranks("Conv", "SeparableConv", "DepthwiseConv"),
    *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)),
})  # fmt: skip

PRODUCTS = frozenset({"Multiply", "TrueDivide", "Divide"})
SOFTMAXES = frozenset({"Softmax", "softmax"})


def is_container(operation: Any) -> bool:
    """Whether an operation only runs others, each a piece of its own."""
    import keras

    if isinstance(operation, keras.Model):
        return True
    inside = getattr(operation, "_flatten_layers", None)
    return not is_ours_to_split(operation) and bool(inside and inside(include_self=False))


def is_nothing(name: str) -> bool:
    """Whether a piece leaves its input as it is in inference."""
    return name in NOTHING or name.startswith("Random")

"""How layers with a kernel share relevance, against the twin."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers, ops
from relevance_twin import (
    WAYS,
    close,
    drawn,
    matrix,
    parts_of,
    pictures,
    relevance_of,
    side_by_side,
    twin,
    weights_of_total,
)  # fmt: skip

from keras_saliency import explain, methods
from keras_saliency._rules import sharing

# --- layers with a kernel

C1 = "channels_first"
SHAPE = (5, 4, 4)
KERNELS = {
    "dense": lambda **b: layers.Dense(4, **b),
    "conv": lambda **b: layers.Conv2D(3, 3, **b),
    "conv same stride": lambda **b: layers.Conv2D(3, (3, 2), strides=2, padding="same", **b),
    "conv dilated": lambda **b: layers.Conv2D(2, 2, dilation_rate=2, padding="same", **b),
    "conv groups": lambda **b: layers.Conv2D(6, 2, groups=2, **b),
    "depthwise": lambda **b: layers.DepthwiseConv2D(3, **b),
    "depthwise 2": lambda **b: layers.DepthwiseConv2D(
        2, strides=2, padding="same", depth_multiplier=2, **b
    ),
    "depthwise dilated": lambda **b: layers.DepthwiseConv2D(2, dilation_rate=2, **b),
    "transposed": lambda **b: layers.Conv2DTranspose(3, 3, strides=2, padding="same", **b),
    "transposed valid": lambda **b: layers.Conv2DTranspose(2, 2, **b),
    "transposed padded": lambda **b: layers.Conv2DTranspose(
        2, 3, strides=2, padding="same", output_padding=0, **b
    ),
    "einsum": lambda use_bias: layers.EinsumDense(
        "bhwc,cd->bhwd", (5, 4, 3), bias_axes="d" if use_bias else None
    ),
}
COMPILES = keras.backend.backend() != "torch"


@cache
def all_kernels(use_bias):
    parts = {name: make(use_bias=use_bias) for name, make in KERNELS.items()}
    model, singles = side_by_side(SHAPE, parts)
    drawn(model)
    shape = (*SHAPE[:2], SHAPE[2] * len(parts))
    return model, singles, pictures(shape), {n: matrix(p, SHAPE) for n, p in parts.items()}


# One compilation of all layers takes seconds: what is the same mathematics is left to PyTorch.
@pytest.mark.parametrize("rule", ["gamma", "alpha2_beta1", "z_box"] if COMPILES else WAYS)
@pytest.mark.parametrize("bias", [True] if COMPILES else [False, True])
def test_a_layer_shares_as_its_matrix_does(bias, rule):
    model, singles, x, matrices = all_kernels(bias)
    relevance = relevance_of(model, x, WAYS[rule]).values
    given = parts_of(x.astype("float64"), singles, SHAPE)
    for (name, _, result, weights), (_, _, own, _) in zip(
        parts_of(relevance, singles, SHAPE), given, strict=True
    ):
        w, b = matrices[name]
        for one, picture in zip(result, own, strict=True):
            flat = picture.ravel()
            start = weights * (flat @ w + b)
            close(one, twin(rule, w, b, flat, start).reshape(SHAPE), name=name)
            # Where all contributions are negative nothing takes the positive ones' share.
            if not bias and rule not in ("z_plus", "alpha2_beta1"):
                lost = abs(one.sum() - start.sum())
                assert lost <= 2e-4 * np.abs(start).sum(), name


@pytest.mark.parametrize("rule", ["flat"] if COMPILES else WAYS)
def test_separable_is_two_layers(rule):
    inputs = keras.Input((5, 4, 2))
    separable = layers.SeparableConv2D(3, 2, depth_multiplier=2, padding="same")
    model = drawn(keras.Model(inputs, separable(inputs)))
    first = layers.DepthwiseConv2D(2, depth_multiplier=2, padding="same", use_bias=False)
    second = layers.Conv2D(3, 1)
    two = keras.Model(inputs, second(first(inputs)))
    two.set_weights(model.get_weights())
    x = pictures((5, 4, 2))
    if rule in ("w_square", "flat", "z_box"):  # ways of the first layer
        result = relevance_of(model, x, sharing.Epsilon(), WAYS[rule])
        wanted = relevance_of(two, x, sharing.Epsilon(), WAYS[rule])
    else:
        result, wanted = (relevance_of(one, x, WAYS[rule]) for one in (model, two))
    close(result.values, wanted.values)


CHANNELS_FIRST = {
    "conv": lambda f: layers.Conv2D(3, 2, strides=2, padding="same", data_format=f),
    "groups": lambda f: layers.Conv2D(4, 2, groups=2, data_format=f),
    "depthwise": lambda f: layers.DepthwiseConv2D(2, depth_multiplier=2, data_format=f),
    "separable": lambda f: layers.SeparableConv2D(3, 2, data_format=f),
    "transposed": lambda f: layers.Conv2DTranspose(3, 2, strides=2, data_format=f),
}


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="not on this CPU")
@pytest.mark.parametrize("norm", [True] if COMPILES else [False, True])
@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_channels_first(name, norm):
    def model(form):
        inputs = keras.Input((2, 4, 5) if form == C1 else (4, 5, 2))
        y = CHANNELS_FIRST[name](form)(inputs)
        y = layers.BatchNormalization(axis=1 if form == C1 else -1)(y) if norm else y
        y = layers.GlobalAveragePooling2D(data_format=form)(layers.ReLU()(y))
        return drawn(keras.Model(inputs, layers.Dense(2)(y)))

    x = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 2)).astype("uint8")
    method = methods.LRP("alpha2_beta1", first="z_box" if norm else "flat")
    first, last = (
        explain(model(form), x, method, target=[0, 1], preprocess=lambda x: x / 99)
        for form in (C1, "channels_last")
    )
    close(first.attributions, last.attributions)


# --- batch normalisation

NORMED = {
    "conv": lambda b: layers.Conv2D(3, 2, use_bias=b),
    "dense": lambda b: layers.Dense(3, use_bias=b),
    "depthwise": lambda b: layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=b),
    "separable": lambda b: layers.SeparableConv2D(3, 2, use_bias=b),
    "transposed": lambda b: layers.Conv2DTranspose(3, 2, strides=2, use_bias=b),
}


def _fold(layer, norm, twin_layer):
    """Put a norm into the weights before it."""
    scale = 1 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    scale = scale * np.asarray(norm.gamma) if norm.scale else scale
    shift = -np.asarray(norm.moving_mean) * scale
    shift = shift + np.asarray(norm.beta) if norm.center else shift
    *before, kernel = [w for w in layer.get_weights() if w.ndim > 1]
    kind = type(layer).__name__
    if kind == "DepthwiseConv2D":
        kernel = kernel * scale.reshape(kernel.shape[2:])
    elif kind == "Conv2DTranspose":
        kernel = kernel * scale[:, None]
    else:
        kernel = kernel * scale
    bias = layer.get_weights()[-1] * scale + shift if layer.use_bias else shift
    twin_layer.set_weights([*before, kernel, bias])


@pytest.mark.parametrize(
    "rule", ["epsilon"] if COMPILES else ["epsilon", "gamma", "alpha2_beta1", "w_square"]
)
@pytest.mark.parametrize("bias", [True] if COMPILES else [False, True])
def test_a_norm_behind_a_kernel_is_folded(bias, rule):
    with_norm, by_hand, singles = _folded_by_hand(bias)
    x = pictures((4, 4, 2 * len(NORMED)))
    result, wanted = (relevance_of(one, x, WAYS[rule]).values for one in (with_norm, by_hand))
    pairs = [parts_of(one, singles, (4, 4, 2)) for one in (result, wanted)]
    for (name, _, one, _), (_, _, other, _) in zip(*pairs, strict=True):
        close(one, other, name=name)


@cache
def _folded_by_hand(bias):
    made = {name: make(bias) for name, make in NORMED.items()}
    norms = {
        name: layers.BatchNormalization(scale=bias or name != "dense", center=not bias)
        for name in NORMED
    }
    parts = {name: lambda x, n=name: norms[n](made[n](x)) for name in NORMED}
    with_norm, _ = side_by_side((4, 4, 2), parts)
    drawn(with_norm)
    folded = {name: make(True) for name, make in NORMED.items()}
    by_hand, singles = side_by_side((4, 4, 2), folded)
    for name in NORMED:
        _fold(made[name], norms[name], folded[name])
    x = pictures((4, 4, 2 * len(NORMED)))
    one, other = (ops.convert_to_numpy(model(x)) for model in (with_norm, by_hand))
    np.testing.assert_allclose(one, other, atol=1e-5)
    return with_norm, by_hand, singles


@pytest.mark.parametrize("where", ["alone", "behind relu", "other axis", "behind dropout"])
def test_a_norm_elsewhere_passes(where):
    inputs = keras.Input((3, 4, 2))
    norm = layers.BatchNormalization(axis=1 if where == "other axis" else -1)
    conv = layers.Conv2D(2, 1, use_bias=False)
    x = {
        "alone": lambda: inputs,
        "behind relu": lambda: layers.ReLU()(conv(inputs)),
        "other axis": lambda: conv(inputs),
        "behind dropout": lambda: layers.Dropout(0.5)(conv(inputs)),
    }[where]()
    model = drawn(keras.Model(inputs, norm(x)))
    x = pictures((3, 4, 2))
    result = relevance_of(model, x, sharing.Epsilon()).values
    outputs = ops.convert_to_numpy(model(x)).astype("float64")
    start = weights_of_total(24).reshape(3, 4, 2) * outputs
    if where == "alone":
        close(result, start)
        return
    w, b = matrix(conv, (3, 4, 2))
    for one, picture, given in zip(result, x, start, strict=True):
        wanted = twin("epsilon", w, b, picture.ravel().astype("float64"), given.ravel())
        close(one, wanted.reshape(one.shape))

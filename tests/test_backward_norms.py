"""LRP and DeepLIFT through normalisations whose divisor depends on the picture."""

from functools import cache

import keras
import networks
import numpy as np
import pytest
from keras import layers, ops
from relevance_twin import close, drawn, matrix, parts_of, pictures, relevance_of, side_by_side

from keras_saliency import explain, methods
from keras_saliency._rules import sharing

SHAPE = (3, 4, 4)
GAMMA = np.array([0.5, -1.5, 2.0, 0.7], "float32")
BETA = np.array([0.1, 0.2, -0.3, 0.0], "float32")


def _layer(kind, **options):
    return lambda: lambda x: getattr(layers, kind)(**options)(x)


# Each with the axes that it divides over, whether it takes the mean off, and its epsilon.
NORMS = {
    "layer": (_layer("LayerNormalization"), (-1,), True, 1e-3),
    "layer, plain": (_layer("LayerNormalization", scale=False, center=False), (-1,), True, 1e-3),
    "layer, whole": (_layer("LayerNormalization", axis=[1, 2, 3]), (0, 1, 2), True, 1e-3),
    "rms": (_layer("RMSNormalization"), (-1,), False, 1e-6),
    "group": (_layer("GroupNormalization", groups=2), "groups", True, 1e-3),
    "instance": (_layer("GroupNormalization", groups=-1), (0, 1), True, 1e-3),
    "unit": (_layer("UnitNormalization"), (-1,), None, 0.0),
    "ops.layer": (lambda: lambda x: ops.layer_normalization(x, GAMMA, BETA), (-1,), True, 1e-7),
    "ops.rms": (lambda: lambda x: ops.rms_normalization(x, GAMMA), (-1,), False, 1e-7),
    "ops.unit": (lambda: lambda x: ops.normalize(x), (-1,), None, 0.0),
}


@cache
def all_norms():
    """Each on channels of its own, behind nothing: its input is the picture."""
    model, singles = side_by_side(SHAPE, {name: make() for name, (make, *_) in NORMS.items()})
    return drawn(model), singles


def _held(name, x):
    """One picture's normalisation as (inputs, outputs) with the divisor held, before gamma."""
    _, axes, mean, epsilon = NORMS[name]
    count = x.size
    units = np.eye(count).reshape(count, *x.shape)

    def grouped(values):  # the group's members on the last axis
        if axes == "groups":
            values = values.reshape(*values.shape[:-1], 2, 2)
            return np.moveaxis(values, -2, -4).reshape(*values.shape[:-4], 2, -1)
        return values

    def back(values):
        if axes == "groups":
            values = values.reshape(*values.shape[:-2], 2, *x.shape[:2], 2)
            return np.moveaxis(values, -4, -2).reshape(-1, *x.shape)
        return values

    where = (-1,) if axes == "groups" else tuple(a - 3 if a >= 0 else a for a in axes)

    def centred(values):
        return values - values.mean(where, keepdims=True) if mean else values

    squares = centred(grouped(x[None])) ** 2
    size = squares.sum(where, keepdims=True) if mean is None else squares.mean(where, keepdims=True)
    return back(centred(grouped(units)) / np.sqrt(size + epsilon)).reshape(count, count)


def test_lrp_holds_the_divisor():
    """Epsilon's rule on the matrix that is left, biases and all (Achtibat et al. 2024)."""
    model, singles = all_norms()
    x = pictures((*SHAPE[:2], SHAPE[2] * len(NORMS)))
    result = relevance_of(model, x, sharing.Epsilon()).values
    given = parts_of(x.astype("float64"), singles, SHAPE)
    for (name, single, relevance, weights), (_, _, own, _) in zip(
        parts_of(result, singles, SHAPE), given, strict=True
    ):
        outputs = ops.convert_to_numpy(single(own.astype("float32"))).astype("float64")
        beta = ops.convert_to_numpy(single(np.zeros((1, *SHAPE), "float32")))[0].ravel()
        for one, picture, output in zip(relevance, own, outputs, strict=True):
            plain = _held(name, picture)
            quotient = picture.ravel() @ plain
            gamma = (output.ravel() - beta) / quotient
            close(quotient * gamma + beta, output.ravel(), name=name)
            z = picture.ravel()[:, None] * plain * gamma
            share = weights * output.ravel()
            sums = z.sum(0) + beta
            sums = sums + np.where(sums >= 0, 1, -1) * 1e-6 * np.abs(sums).mean()
            wanted = (z * (share / sums)).sum(1)
            # Numbers near their mean are differences of what is 100 times as large.
            close(one.ravel(), wanted, 1e-3, name)


def test_deep_lift_is_complete():
    model, singles = all_norms()
    x = pictures((*SHAPE[:2], SHAPE[2] * len(NORMS)), 3)
    method = methods.DeepLift(baseline=_baseline(x))
    e = explain(model, x, method, target=_weighted)
    now, before = (ops.convert_to_numpy(model(one)).astype("float64") for one in (x, _baseline(x)))
    gaps = np.split((now - before) * np.cos(np.arange(now.shape[1])), len(NORMS), axis=1)
    for (name, _, result, _), gap in zip(
        parts_of(e.attributions, singles, SHAPE), gaps, strict=True
    ):
        wanted = gap.sum(1)
        close(result.sum((1, 2, 3), dtype="float64"), wanted, 2e-4, name)
    assert {check["norms_rescaled"] for check in e.checks} == {len(NORMS)}


def _baseline(x):
    return np.roll(x, 1, axis=0) * 0.5 + 0.1


def _weighted(outputs):
    """Of weights that do not cancel what a norm makes sum to 0."""
    return ops.sum(outputs * ops.cos(ops.arange(outputs.shape[1], dtype="float32")), axis=-1)


def test_deep_lift_rescales_squares_and_the_reciprocal():
    """By hand: the product half way, the divisor's change shared out by squares."""
    inputs = keras.Input((1, 3, 1))
    model = keras.Model(inputs, layers.RMSNormalization(epsilon=0.5)(layers.Flatten()(inputs)))
    x, b = np.array([1.0, -2.0, 3.0]), np.array([0.5, 1.0, 1.0])
    method = methods.DeepLift(baseline=networks.vector(*b))
    e = explain(model, networks.vector(*x), method, target=lambda outputs: outputs[:, 0])
    now, before = (1 / np.sqrt((one**2).mean() + 0.5) for one in (x, b))
    wanted = (x[0] + b[0]) / 2 * (now - before) * (x**2 - b**2) / (x**2 - b**2).sum()
    wanted[0] += (x[0] - b[0]) * (now + before) / 2
    np.testing.assert_allclose(e.values[0, 0], wanted, rtol=1e-5)


# --- in networks


@cache
def mixed():
    """A block like ConvNeXt's, without biases, so that no bias takes a share."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 2, strides=2, use_bias=False)(inputs)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.LayerNormalization(center=False)(y)
    y = layers.Dense(16, activation="gelu", use_bias=False)(y)
    y = layers.RMSNormalization()(y)
    x = x + layers.Dense(8, use_bias=False)(y) * np.linspace(0.2, 1, 8, dtype="float32")
    x = layers.GroupNormalization(4, center=False)(x)
    x = layers.UnitNormalization()(layers.GlobalAveragePooling2D()(x))
    return drawn(keras.Model(inputs, layers.Dense(4, use_bias=False)(x)))


def test_relevance_is_conserved():
    e = explain(mixed(), pictures((8, 8, 3), 3), methods.LRP("epsilon", epsilon=1e-9), target=1)
    for check in e.checks:
        assert check["conservation_error"] < 2e-3
        assert check["norms_held"] == 4
        assert not check["findings"]


def test_contributions_sum_to_the_gap():
    e = explain(mixed(), pictures((8, 8, 3), 3), methods.DeepLift(baseline=0.3), target=1)
    for check in e.checks:
        assert check["completeness_error"] < 1e-3
        assert check["norms_rescaled"] == 4


@pytest.mark.parametrize("method", ["lrp", "deep_lift"])
def test_no_norm_is_no_number(method):
    inputs = keras.Input((4, 4, 2))
    x = layers.BatchNormalization()(layers.Conv2D(2, 2)(inputs))
    model = drawn(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
    check = explain(model, pictures((4, 4, 2)), method, target=0).checks[0]
    assert not {"norms_held", "norms_rescaled"} & check.keys()


@pytest.mark.parametrize("method", ["lrp", "deep_lift"])
def test_half_precision(method):
    """The divisor is computed in float32, as Keras does it."""

    def model(policy):
        inputs = keras.Input((4, 4, 3))
        x = layers.Conv2D(6, 2, dtype=policy)(inputs)
        x = layers.ReLU(dtype=policy)(layers.LayerNormalization(dtype=policy)(x))
        x = layers.GlobalAveragePooling2D(dtype=policy)(x)
        return drawn(keras.Model(inputs, layers.Dense(2, dtype="float32")(x)))

    x = pictures((4, 4, 3))
    half, whole = (
        explain(model(policy), x, method, target=1) for policy in ("mixed_float16", "float32")
    )
    assert np.corrcoef(half.values.ravel(), whole.values.ravel())[0, 1] > 0.99


def test_the_twin_is_a_matrix():
    """The twin's normalisation is the layer's."""
    _, singles = all_norms()
    own = pictures(SHAPE, 1)
    w, _ = matrix(layers.Identity(), SHAPE)
    np.testing.assert_array_equal(w, np.eye(48))
    wanted = ops.convert_to_numpy(singles["layer, plain"](own))[0].ravel()
    close(own[0].ravel() @ _held("layer, plain", own[0].astype("float64")), wanted)

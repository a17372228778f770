"""A slow twin of layer-wise relevance propagation: each layer as a dense matrix, in float64."""

import keras
import numpy as np
from keras import ops

from keras_saliency import targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare
from keras_saliency._rules import Relevance, sharing

# Float32 sums of up to 200 terms against float64, as a share of the largest relevance.
EXACT = 3e-5
LOW, HIGH = -2.0, 3.0  # what z-box takes for black and white


def close(result, wanted, tolerance=EXACT, name=""):
    """Compare arrays relative to the largest value wanted."""
    result, wanted = np.asarray(result, "float64"), np.asarray(wanted, "float64")
    assert result.shape == wanted.shape, name
    peak = np.abs(wanted).max()
    assert peak > 0, name
    assert np.abs(result - wanted).max() <= tolerance * peak, name


def matrix(layer, shape):
    """Return a layer as (inputs, outputs) and its bias (outputs,), by pushing unit vectors in."""
    count = int(np.prod(shape))
    units = np.concatenate([np.zeros((1, count)), np.eye(count)]).reshape(-1, *shape)
    pushed = ops.convert_to_numpy(layer(units.astype("float32"))).astype("float64")
    pushed = pushed.reshape(len(pushed), -1)
    return pushed[1:] - pushed[0], pushed[0]


def _over(relevance, sums, away=0.0):
    sums = sums + np.where(sums >= 0, 1, -1) * away * np.abs(sums).mean()
    return np.divide(relevance, sums, out=np.zeros_like(sums), where=sums != 0)


def twin(rule, w, bias, x, relevance):
    """Relevance of the inputs of one picture: x (I,), w (I, J), bias and relevance (J,).

    A rule is a name, ``("absolute", epsilon)``, ``("alpha_beta", alpha, beta)`` or
    ``("z_box", low, high)`` with bounds (I,).
    """
    z = x[:, None] * w
    if isinstance(rule, tuple) and rule[0] == "absolute":
        sums = z.sum(0) + bias
        return (z * (relevance / (sums + np.where(sums >= 0, 1, -1) * rule[1]))).sum(1)
    if isinstance(rule, tuple) and rule[0] == "alpha_beta":
        ups = np.maximum(z, 0), np.maximum(bias, 0)
        downs = np.minimum(z, 0), np.minimum(bias, 0)
        up, down = (one * _over(relevance, one.sum(0) + b) for one, b in (ups, downs))
        return (rule[1] * up - rule[2] * down).sum(1)
    if isinstance(rule, tuple):
        low, high = (bound[:, None] for bound in rule[1:])
        z = z - low * np.maximum(w, 0) - high * np.minimum(w, 0)
        return (z * _over(relevance, z.sum(0))).sum(1)
    if rule == "epsilon":
        return (z * _over(relevance, z.sum(0) + bias, 1e-6)).sum(1)
    if rule.startswith("gamma"):
        gamma = 0.25
        sign = np.where(z.sum(0) + bias > 0, 1, -1)
        z = z + gamma * np.where(z * sign > 0, z, 0)
        bias = bias + gamma * np.where(bias * sign > 0, bias, 0)
        return (z * _over(relevance, z.sum(0) + bias)).sum(1)
    if rule in ("z_plus", "alpha2_beta1"):
        up, down = np.maximum(z, 0), np.minimum(z, 0)
        ups = up.sum(0) + np.maximum(bias, 0)
        downs = down.sum(0) + np.minimum(bias, 0)
        alpha, beta = (1, 0) if rule == "z_plus" else (2, 1)
        return (alpha * up * _over(relevance, ups) - beta * down * _over(relevance, downs)).sum(1)
    if rule == "w_square":
        return (w**2 * _over(relevance, (w**2).sum(0))).sum(1)
    if rule == "flat":
        connected = (w != 0).astype("float64")
        return (connected * _over(relevance, connected.sum(0))).sum(1)
    z = z - LOW * np.maximum(w, 0) - HIGH * np.minimum(w, 0)
    return (z * _over(relevance, z.sum(0))).sum(1)


WAYS = {
    "epsilon": sharing.Epsilon(),
    "gamma": sharing.Gamma(),
    "z_plus": sharing.AlphaBeta(1.0, 0.0),
    "alpha2_beta1": sharing.AlphaBeta(2.0, 1.0),
    "w_square": sharing.WSquare(),
    "flat": sharing.Flat(),
    "z_box": sharing.ZBox(),
}


def total(outputs):
    """A score in which all outputs count, some against it; relevance starts with w * output."""
    flat = ops.reshape(outputs, (ops.shape(outputs)[0], -1))
    return ops.sum(flat * (1 - ops.arange(flat.shape[-1], dtype=flat.dtype) % 3), axis=-1)


def weights_of_total(count):
    return 1.0 - np.arange(count) % 3


def relevance_of(model, x, way, first=None, target=total):
    """Run one sharing through a model: relevance of the picture (B, H, W, C)."""
    adapter = Adapter(model)
    engine = Engine(adapter, targets.get(target), prepare(adapter, x))
    bounds = [np.full((len(x), 1, 1, x.shape[-1]), one, "float32") for one in (LOW, HIGH)]
    if isinstance(way, sharing.ZBox):  # bounds are known before the first layer only
        first = first or way
    return engine.backward(Relevance(first, way, way), *bounds)


def drawn(model, seed=1, scale=0.5):
    """Give a model weights from a seed; variances are positive."""
    generator = np.random.default_rng(seed)
    model.set_weights(
        [
            np.abs(generator.normal(1, 0.3, v.shape)) + 0.2
            if "variance" in v.path
            else generator.normal(0, scale, v.shape)
            for v in model.weights
        ]
    )
    return model


def pictures(shape, count=2, seed=3):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def side_by_side(shape, parts):
    """Return one network of many, each on channels of its own: one compilation instead of many.

    Args:
        shape: (H, W, C) of each part's picture.
        parts: By name, functions of a symbolic tensor.

    Returns:
        The network, whose output is what all parts give, flattened, in a row; and each part as a
        network of its own, on the same layers.
    """
    height, width, channels = shape
    whole = keras.Input((height, width, channels * len(parts)))
    outputs, singles = [], {}
    for number, (name, part) in enumerate(parts.items()):
        own = keras.Input(shape)
        singles[name] = keras.Model(own, part(own))
        taken = whole[..., channels * number : channels * (number + 1)]
        flat = keras.layers.Flatten(data_format="channels_last")
        outputs.append(flat(singles[name](taken)))
    return keras.Model(whole, keras.layers.Concatenate()(outputs)), singles


def parts_of(relevance, singles, shape):
    """Yield name, one part's network, its (B, H, W, C), and its weights in `total`."""
    start = 0
    for number, (name, single) in enumerate(singles.items()):
        count = int(np.prod(single.output_shape[1:]))
        own = relevance[..., shape[2] * number : shape[2] * (number + 1)]
        yield name, single, own, (1.0 - np.arange(start, start + count) % 3)
        start += count

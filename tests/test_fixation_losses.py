"""Losses are the metrics of `fixation.metrics.scores`, on tensors and blind to padding."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_saliency.fixation import FixationLoss, layers, maps
from keras_saliency.fixation.layers import EMPTY
from keras_saliency.fixation.metrics import scores

SIZE = (24, 32)


def case(seed=0, fixations=20):
    """A log density, fixations, and the truth about them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=SIZE)
    log_density = logits - np.log(np.exp(logits).sum())
    y, x = (rng.uniform(0, side, fixations) for side in SIZE)
    blurred = maps.blurred(y, x, SIZE, 2.0)
    counts = maps.counts(y, x, SIZE) / fixations
    return log_density, y, x, blurred, np.stack([blurred, counts], -1)


def tensors(log_density, truth):
    return ops.convert_to_tensor(truth[None], "float32"), ops.convert_to_tensor(
        log_density[None, ..., None], "float32"
    )


def value(part, log_density, truth):
    return float(ops.convert_to_numpy(part(*tensors(log_density, truth)))[0])


TABLE = {
    "kl_divergence": (
        layers.kl_divergence,
        lambda z, y, x, q: scores.kl_divergence(np.exp(z), q),
    ),
    "correlation": (layers.correlation, lambda z, y, x, q: scores.cc(np.exp(z), q)),
    "scanpath_saliency": (
        layers.scanpath_saliency,
        lambda z, y, x, q: scores.nss(np.exp(z), y, x),
    ),
    "log_likelihood": (
        layers.log_likelihood,
        lambda z, y, x, q: scores.log_likelihood(z, y, x) * np.log(2) - np.log(z.size),
    ),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_metric(name, seed):
    part, metric = TABLE[name]
    log_density, y, x, blurred, truth = case(seed)
    wanted = metric(log_density, y, x, blurred)
    assert value(part, log_density, truth) == pytest.approx(wanted, rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("name", TABLE)
def test_padding_takes_no_part(name):
    log_density, _, _, _, truth = case()
    around = ((5, 3), (0, 8))
    padded = np.pad(log_density, around, constant_values=EMPTY)
    wide = np.pad(truth, (*around, (0, 0)))
    part = TABLE[name][0]
    assert value(part, padded, wide) == pytest.approx(value(part, log_density, truth), rel=1e-5)


def test_the_loss_is_the_weighted_sum():
    log_density, _, _, _, truth = case()
    parts = {name: value(part, log_density, truth) for name, (part, _) in TABLE.items()}
    loss = FixationLoss(kld=1.0, cc=0.5, nss=0.25, ll=2.0)
    wanted = (
        parts["kl_divergence"]
        - 0.5 * parts["correlation"]
        - 0.25 * parts["scanpath_saliency"]
        - 2.0 * parts["log_likelihood"]
    )
    assert float(loss(*tensors(log_density, truth))) == pytest.approx(wanted, rel=1e-5)


def test_it_comes_back_from_its_config():
    loss = FixationLoss(kld=0.5, nss=0.1)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, FixationLoss)
    assert (again.kld, again.cc, again.nss, again.ll) == (0.5, 0.0, 0.1, 0.0)


def test_descent_leads_from_anywhere_to_the_truth():
    _, _, _, blurred, truth = case()
    z = keras.Variable(np.zeros((1, *SIZE, 1), "float32"))
    image = keras.Input((*SIZE, 1))
    logits = _Free(z)(image)
    model = keras.Model(image, keras.layers.Reshape((*SIZE, 1))(keras.layers.Activation(
        "log_softmax")(keras.layers.Flatten()(logits))))  # fmt: skip
    model.compile(keras.optimizers.Adam(0.05), FixationLoss(kld=1.0, cc=1.0, nss=0.01))
    zeros = np.zeros((1, *SIZE, 1), "float32")
    first = float(np.asarray(model.train_on_batch(zeros, truth[None])))
    for _ in range(400):
        last = float(np.asarray(model.train_on_batch(zeros, truth[None])))
    assert np.isfinite(last)
    assert last < first - 0.9
    result = np.exp(np.asarray(model.predict_on_batch(zeros)))[0, ..., 0]
    assert scores.cc(result, blurred) > 0.95


class _Free(keras.layers.Layer):
    """The logits themselves are the weights."""

    def __init__(self, start):
        super().__init__()
        self.logits = self.add_weight(shape=start.shape, initializer="zeros")

    def call(self, x):
        return x + self.logits


def test_a_picture_no_one_looked_at_gives_no_nan():
    log_density, *_ = case()
    truth = np.zeros((*SIZE, 2))
    for part, _ in TABLE.values():
        assert np.isfinite(value(part, log_density, truth))


def test_a_flat_prediction_gives_no_nan():
    *_, truth = case()
    flat = np.full(SIZE, -np.log(np.prod(SIZE)))
    for part, _ in TABLE.values():
        assert np.isfinite(value(part, flat, truth))


@pytest.mark.parametrize("name", ["kl_divergence", "scanpath_saliency"])
def test_the_law_of_padding_rejects_a_loss_that_forgets_it(name):
    log_density, _, _, _, truth = case()
    padded = np.pad(log_density, 8, constant_values=np.log(1e-3))  # padding taken for picture
    wide = np.pad(truth, ((8, 8), (8, 8), (0, 0)))
    part = TABLE[name][0]
    plain = value(part, log_density, truth)
    if name == "kl_divergence":  # only sees where somebody looked: the density must sum to 1
        padded -= np.log(np.exp(padded).sum())
    assert value(part, padded, wide) != pytest.approx(plain, rel=1e-3)

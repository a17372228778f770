"""Only what is provably the same program is played back: everything else runs as it is.

Each network gives its own score on each of many pictures, as the model itself does.
"""

import itertools
import random
import time

import keras
import numpy as np
import pytest
from keras import layers, ops

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch

from keras_saliency import explain
from keras_saliency._backend import torch_recorded

DRAWN = np.random.default_rng(0).random((6, 1, 8, 8, 3)).astype("float32")
DRAWN *= np.linspace(0.2, 1.4, 6, dtype="float32").reshape(6, 1, 1, 1, 1)
COUNTER = itertools.count(1)
SCALE = 1.0


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(torch_recorded, "AFTER", 2)


@pytest.fixture
def played(monkeypatch):
    """A list with an entry for each playback, and the reasons of refusals."""
    result, usual = [], torch_recorded.Recorded._lookup

    def noted(self, key):
        recording = usual(self, key)
        result.extend([recording] * (recording is not None))
        return recording

    monkeypatch.setattr(torch_recorded.Recorded, "_lookup", noted)
    return result


class Own(keras.Model):
    """A small network whose call ends in a function of the picture and the features."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.features, self.pool = layers.Conv2D(5, 3), layers.GlobalAveragePooling2D()
        self.head = layers.Dense(4)

    def call(self, x, training=False):
        features = self.features(x)
        return self.head(self.pool(features)) * (1.0 + self.function(x, features))


def caught(x, h):
    try:
        return float(ops.max(x))
    except Exception:
        return 0.0


VALUES = {
    "nonzero": lambda x, h: ops.nonzero(ops.mean(x, axis=-1) > 0.3)[0].shape[0],
    "argwhere": lambda x, h: len(torch.argwhere(x > 0.5)),
    "where": lambda x, h: torch.where(x > 0.5)[0].numel(),
    "unique": lambda x, h: torch.unique(torch.round(x * 9)).shape[0],
    "unique consecutive": lambda x, h: len(torch.unique_consecutive(torch.round(x * 2).flatten())),
    "boolean index": lambda x, h: h[h > 0.1].shape[0],
    "masked select": lambda x, h: torch.masked_select(h, h > 0.1).numel(),
    "bincount": lambda x, h: len(torch.bincount((x * 9).int().flatten())),
    "repeat": lambda x, h: len(torch.repeat_interleave((x * 3).long().flatten())),
    "item": lambda x, h: x.max().item(),
    "int": lambda x, h: int(x.max() * 100),
    "bool": lambda x, h: 1.0 if x.mean() > 0.4 else 0.0,
    "list": lambda x, h: sum(x.flatten().tolist()),
    "numpy": lambda x, h: float(ops.convert_to_numpy(x).max()),
    "dlpack": lambda x, h: float(np.from_dlpack(x.detach()).max()),
    "dlpack in PyTorch": lambda x, h: torch.from_dlpack(x.detach() + 0).max() * 1.0,
    "equal": lambda x, h: float(torch.allclose(x, x.round(), atol=0.45)),
    "split": lambda x, h: torch.tensor_split(
        x.detach().flatten(), (x.detach().sum() / 4).long()[None])[0].shape[0],
    "one hot": lambda x, h: torch.nn.functional.one_hot((x * 9).long()).shape[-1],
    "caught": caught,
}  # fmt: skip
PYTHON = {
    "counter": lambda x, h: next(COUNTER),
    "random": lambda x, h: random.random(),
    "numpy random": lambda x, h: np.random.random(),
    "time": lambda x, h: time.perf_counter() % 1,
    "global": lambda x, h: SCALE,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", VALUES)
def test_values_that_reach_python(name, played):
    keras.utils.set_random_seed(1)
    model = Own(VALUES[name])
    for x in DRAWN:
        wanted = float(ops.max(model(x)))
        assert float(explain(model, x, "gradient", preprocess=None).scores[0]) == pytest.approx(
            wanted, rel=1e-4
        )
    assert not played


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["counter", "random", "numpy random", "time"])
def test_python_that_does_otherwise_each_time(name, played):
    model = Own(PYTHON[name])
    scores = [
        explain(model, DRAWN[0], "gradient", target=0, preprocess=None).scores[0] for _ in range(5)
    ]
    assert len(set(scores)) == 5
    assert not played


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["assign", "keep"])
def test_a_layer_that_keeps_something_between_calls(how, played):
    class Keeping(layers.Layer):
        before = 0.0
        seen = 0

        def call(self, x):
            if how == "assign":
                self.seen = self.seen + 1
                return x * self.seen
            mean, self.before = ops.mean(x), self.before + 1.0
            return x * self.before + 0 * mean

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(Keeping()(inputs))))
    result = [explain(model, DRAWN[0], "gradient", target=0, preprocess=None) for _ in range(5)]
    assert len({float(e.scores[0]) for e in result}) == 5
    assert not played


@pytest.mark.filterwarnings("ignore")
def test_a_number_that_is_changed_is_seen(played, monkeypatch):
    """In the module, on the layer, in a list of it: played back, until it is another one."""

    class Scaled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale, self.scales = 2.0, [1.0, 3.0]

        def call(self, x):
            return x * self.scale * self.scales[1] * SCALE

    inputs = keras.Input((8, 8, 3))
    layer = Scaled()
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(inputs))))

    def scores():
        return [
            float(explain(model, x, "gradient", target=0, preprocess=None).scores[0])
            for x in DRAWN
        ]  # fmt: skip

    usual = scores()
    assert played
    for change in (
        lambda: setattr(layer, "scale", 4.0),
        lambda: layer.scales.__setitem__(1, 6.0),
        lambda: monkeypatch.setitem(globals(), "SCALE", 2.0),
    ):
        change()
        usual = [2 * one for one in usual]
        np.testing.assert_allclose(scores(), usual, rtol=1e-4)


class Settings:
    scale = 1.0

    class Inner:
        scale = 1.0


def _of_a_class(values, x):
    return x * Settings.scale


def _of_a_class_in_a_class(values, x):
    return x * Settings.Inner.scale


def _given_a_class():
    near = Settings
    return lambda values, x: x * near.scale


@pytest.mark.parametrize("make", ["global", "inner", "closure"])
def test_an_attribute_of_a_class_is_seen(make, played, monkeypatch):
    functions = {
        "global": _of_a_class,
        "inner": _of_a_class_in_a_class,
        "closure": _given_a_class(),
    }
    recorded = torch_recorded.Recorded(functions[make], list)
    x = np.ones((1, 3), "float32")
    for scale in (1.0, 2.0):
        monkeypatch.setattr(Settings, "scale", scale)
        monkeypatch.setattr(Settings.Inner, "scale", scale)
        assert [float(recorded(x)[0, 0]) for _ in range(5)] == [scale] * 5
    assert played


def _cnn():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(inputs))
    x = layers.Dropout(0.3)(layers.MaxPooling2D()(layers.DepthwiseConv2D(3)(x)))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def _vit():
    inputs = keras.Input((8, 8, 3))
    x = layers.Reshape((4, 8))(layers.Conv2D(8, 4, 4)(inputs))
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 4, dropout=0.1)(y, y)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def _lstm():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(4)(layers.Reshape((4, 48))(inputs))))


class _Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [layers.Conv2D(4, 3, activation="relu") for _ in range(2)]
        self.pool, self.head = layers.GlobalAveragePooling2D(), layers.Dense(3)

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [_cnn, _vit, _lstm, _Subclassed])
def test_ordinary_networks_are_played_back(make, played):
    model = make()
    for x in DRAWN:
        played_before = len(played)
        e = explain(model, x, "gradient", target=1, preprocess=None)
        np.testing.assert_allclose(e.scores[0], ops.convert_to_numpy(model(x))[0, 1], rtol=1e-5)
    assert len(played) > played_before
    assert played[-1].inputs is None  # it has agreed on a picture that was not recorded


def test_recordings_are_bounded(monkeypatch):
    monkeypatch.setattr(torch_recorded, "AFTER", 0)
    recorded = torch_recorded.Recorded(lambda values, x: x * 2, list)
    for side in range(1, 100):
        recorded(np.ones((1, side), "float32"))
    assert len(recorded._recordings) <= torch_recorded.MOST
    assert len(recorded._runs) <= 64

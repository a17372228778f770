"""The switch: off, every layer runs as Keras runs it; nothing made so serves the other setting."""

import os
import subprocess
import sys

import keras
import models
import numpy as np
import pytest
from cases import CASES
from keras import layers, ops

from keras_saliency import config, explain
from keras_saliency.cli import doctor
from keras_saliency.testing import check

BACKEND = keras.config.backend()


@pytest.fixture
def off():
    config.disable_rewriting()
    yield
    config.enable_rewriting()


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(4, 3, strides=2)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 1)(x))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


class Rewritten:
    """Counts how often something runs otherwise than Keras wrote it."""

    def __init__(self, monkeypatch):
        self.count = 0

        def counted(module, name):
            usual = getattr(module, name)

            def count(*args, **kwargs):
                self.count += 1
                return usual(*args, **kwargs)

            monkeypatch.setattr(module, name, count)

        if BACKEND == "jax":
            from keras_saliency._backend import jax_cpu

            counted(jax_cpu, "_products")
            counted(jax_cpu, "_maxima")
        elif BACKEND == "tensorflow":
            from keras_saliency._engine import layer_programs

            counted(layer_programs, "_is_worth_it")
        else:
            from keras_saliency._backend import torch as torch_layers

            counted(torch_layers, "_product")
            counted(torch_layers, "_normalised")


def test_off_and_on_again(monkeypatch):
    rewritten, model = Rewritten(monkeypatch), network()
    x = np.random.default_rng(0).random((1, 9, 9, 3)).astype("float32")

    def run():
        return explain(model, x, "gradient", target=0, preprocess=None)

    try:
        config.disable_rewriting()
        plain = run()
        assert rewritten.count == 0
        config.enable_rewriting()
        fast = run()
        assert rewritten.count > 0
        config.disable_rewriting()
        before = rewritten.count
        again = run()
        assert rewritten.count == before
    finally:
        config.enable_rewriting()
    np.testing.assert_array_equal(again.values, plain.values)
    np.testing.assert_array_equal(again.scores, plain.scores)
    np.testing.assert_allclose(fast.values, plain.values, atol=1e-5 * plain.values.max())


@pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch")
def test_off_nothing_is_played_back(monkeypatch, off):
    from keras_saliency._backend import torch_recorded

    monkeypatch.setattr(torch_recorded, "AFTER", 0)
    monkeypatch.setattr(torch_recorded.Recorded, "_record", lambda *_: pytest.fail("recorded"))
    for _ in range(3):
        explain(network(), models.pictures(1)[:, :9, :9], "gradient", target=0, preprocess=None)


def test_the_environment_turns_it_off():
    said = subprocess.run(
        [sys.executable, "-c", "from keras_saliency import config as c;"
                               "print(c.is_rewriting_enabled())"],
        env={**os.environ, "KERAS_SALIENCY_REWRITING": "0"}, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert said.stdout.split()[-1] == "False"
    assert config.is_rewriting_enabled()


def test_the_doctor_says_so(monkeypatch, off):
    monkeypatch.setattr(doctor, "_TESTS", {})
    report = {**doctor.examine(), "tests": [{"name": "", "ok": True, "ran": True, "seconds": 0,
                                             "detail": ""}]}  # fmt: skip
    assert report["rewriting"] is False
    assert "KERAS_SALIENCY_REWRITING" in doctor.text(report)


_LAWS = [check.image_sized_finite_float32, check.batch_is_singles]


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize("law", _LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)  # one by one: the laws share its programs
def test_the_contract_with_it_off(law, case, off):
    law(lambda model, x, **more: explain(model, x, case.method, **more), case)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pooled", [False, True])
def test_what_is_not_finite_is_what_keras_says(pooled):
    """Of NaN and infinities Keras' own form decides, wherever in the picture they come up."""

    class Odd(layers.Layer):
        def call(self, x):
            return ops.log(x) - ops.log(1 - x)

    inputs = keras.Input((9, 9, 3))
    x = layers.MaxPooling2D(2, 1)(Odd()(inputs)) if pooled else Odd()(inputs)
    model = keras.Model(
        inputs, network()(layers.ZeroPadding2D(((0, 9 - x.shape[1]), (0, 9 - x.shape[2])))(x))
    )
    for broken in (-1, 0, 1, 2):
        x = np.random.default_rng(0).uniform(0.1, 0.9, (4, 9, 9, 3)).astype("float32")
        for one, place in zip(x, ((0, 0), (4, 5), (8, 8), (3, 0)), strict=True):
            one[place] = broken
        e = explain(model, x, "occlusion", target=1, preprocess=None)
        wanted = model.predict(x, verbose=0)[:, 1]
        np.testing.assert_allclose(e.scores, wanted, rtol=1e-4)

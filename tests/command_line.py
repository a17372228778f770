"""Running the command in tests: small model files, a photo, an empty folder, what a refusal is."""

import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_saliency.cli import main


def convolutional(channels=3, name="tiny"):
    inputs = keras.Input((16, 16, channels))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(
        inputs, keras.layers.Dense(3, activation="softmax", name="top")(x), name=name
    )


def dense_only():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(x), name="flat")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Model files, saved once."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(1)
    tiny = convolutional()
    tiny.save(folder / "tiny.keras")
    tiny.save(folder / "tiny.h5")
    tiny.save_weights(folder / "tiny.weights.h5")
    convolutional(channels=2).save(folder / "two_channels.keras")
    dense_only().save(folder / "flat.keras")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder: what a failure leaves there is seen."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def run(capsys, files, here):
    """Run the command in this process; return status, stdout and stderr."""

    def run(*words, model="tiny.keras", preprocess="tf"):
        known = ["--model", files / model] if model else []
        known += ["--preprocess", preprocess] if preprocess else []
        status = main([str(word) for word in (*words, *(known if words[0] == "explain" else []))])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def command(here):
    """Run the command in a process of its own."""
    return _command


def _command(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "keras_saliency", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )


@pytest.fixture
def refused(here):
    """Assert that a failure says four parts, shows no traceback, and writes nothing."""
    return functools.partial(_refused, here)


def _refused(here, result, *words, status=1):
    code, stdout, stderr = result
    assert code == status, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert "Unexpected error" not in stderr
    assert "was not foreseen" not in stderr
    message = next(line for line in stderr.splitlines() if "error: " in line)
    assert " See " in message
    for word in words:
        assert word in message
    assert list(here.iterdir()) == []

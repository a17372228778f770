"""SaliencyCallback in fit(): figures, event files, the drift in logs; training is unchanged."""

from __future__ import annotations

import io
import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers as L
from PIL import Image
from scipy.stats import spearmanr

from keras_saliency import callbacks, errors, explain, methods
from keras_saliency._io import event_file
from keras_saliency.callbacks import SaliencyCallback

BACKEND = keras.config.backend()
RNG = np.random.default_rng(0)
X, Y = RNG.random((12, 8, 8, 3)).astype("float32"), RNG.integers(0, 3, 12)
DRIFT = "saliency_drift_gradient"


class Counting(L.Layer):
    """Counts the runs of its Python code: on JAX and TensorFlow once a trace."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def call(self, x):
        self.calls.append(1)
        return x


def network(*extra):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        keras.Input((8, 8, 3)), L.Conv2D(4, 3, activation="tanh", name="conv"),
        L.BatchNormalization(), L.Dropout(0.3), *extra, L.GlobalAveragePooling2D(), L.Dense(3),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    return model


def fit(model, *looks, **options):
    options = {"epochs": 3, "batch_size": 4, "verbose": 0, **options}
    return model.fit(X, Y, validation_data=(X[:4], Y[:4]), callbacks=list(looks), **options).history


def test_training_is_unchanged():
    """With dropout, shuffling, and a method that draws random numbers."""
    weights, histories = [], []
    for some in ([], [methods.SmoothGrad(samples=2), "grad_cam"]):
        model = network()
        histories.append(fit(model, *([SaliencyCallback(X[:2], some)] if some else [])))
        weights.append([*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, values in histories[0].items():
        assert histories[1][name] == values


def test_the_drift_in_logs_is_that_of_the_maps(tmp_path):
    model, maps = network(), []

    class Maps(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch % 2 == 0:  # before training and after 2 epochs
                maps.append(explain(self.model, X[:2], target=[0, 2]).values)

    look = SaliencyCallback(X[:2], every=2, target=[0, 2])
    csv = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    found = fit(model, look, csv, Maps(), epochs=4)[DRIFT]
    maps.append(explain(model, X[:2], target=[0, 2]).values)
    known = [
        np.mean(
            [
                1 - spearmanr(one, other, axis=None).statistic
                for one, other in zip(*pair, strict=True)
            ]
        )
        for pair in itertools.pairwise(maps)
    ]
    np.testing.assert_allclose(found, [np.nan, known[0], np.nan, known[1]], atol=1e-6)
    assert min(known) > 0.01
    assert DRIFT in (tmp_path / "log.csv").read_text().splitlines()[0]
    np.testing.assert_array_equal(look.explanations["gradient"].values, maps[-1])


def test_drift_is_0_for_the_same_order_and_2_for_the_reverse():
    one = explain(network(), X[:2])
    with_values = lambda values: type(one)(**{**vars(one), "values": values})  # noqa: E731
    np.testing.assert_allclose(callbacks._drifts(one, with_values(3 * one.values)), 0, atol=1e-12)
    np.testing.assert_allclose(callbacks._drifts(one, with_values(-one.values)), 2, atol=1e-12)
    flat = np.stack([one.values[0], np.zeros_like(one.values[1])])
    drifts = callbacks._drifts(one, with_values(flat))
    assert np.isnan(drifts).tolist() == [False, True]
    assert callbacks._mean(drifts) == pytest.approx(0, abs=1e-12)
    assert math.isnan(callbacks._mean(drifts[1:]))


def test_later_epochs_compile_nothing():
    counting, seen = Counting(), []

    class Between(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(len(counting.calls))

    model = network(counting)
    fit(model, SaliencyCallback(X[:2], ["gradient", "grad_cam"], target=1), Between(), epochs=4)
    if BACKEND == "torch":  # eager: it runs at every call
        assert seen[3] - seen[2] == seen[2] - seen[1] > 0
    else:  # traced in the first epoch: by fit, by its validation, and by the first explanation
        assert seen[0] > 0
        assert seen[1:] == [seen[0]] * 3


def test_without_the_cache_the_test_above_would_fail():
    counting = Counting()
    model = network(counting)
    explain(model, X[:2], target=1)
    before = len(counting.calls)
    explain(model, X[:2], "grad_cam", target=1)
    assert len(counting.calls) > before


def test_figures_are_named_by_the_epochs_before_them(tmp_path):
    folder = tmp_path / "deep" / "looks"
    look = SaliencyCallback(X[:2], ["gradient", "grad_cam"], every=2, folder=folder)
    fit(network(), look, epochs=4)
    assert sorted(path.name for path in folder.iterdir()) == [
        "epoch-0000.png", "epoch-0002.png", "epoch-0004.png"
    ]  # fmt: skip
    for path in folder.iterdir():
        assert np.ptp(np.asarray(Image.open(path).convert("L"))) > 100
    fit(network(), look, epochs=6, initial_epoch=5)  # as after a restart
    assert {path.name for path in folder.iterdir()} >= {"epoch-0005.png", "epoch-0006.png"}


def test_an_input_of_another_kind(tmp_path):
    model = keras.Sequential([keras.Input((20, 2)), L.Conv1D(3, 3), L.Flatten(), L.Dense(2)])
    model.compile("sgd", "mse")
    x = RNG.random((4, 20, 2)).astype("float32")
    look = SaliencyCallback(x[:1], "gradient", kind="signal", folder=tmp_path, target=0)
    found = model.fit(x, np.ones((4, 2)), verbose=0, callbacks=[look]).history
    assert 0 <= found[DRIFT][0] <= 2
    assert (tmp_path / "epoch-0001.png").exists()


# ---------------------------------------------------------------------- TensorBoard


def records(path):
    """The events of a file, with their checksums verified by what reads them."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return list(tf.compat.v1.train.summary_iterator(str(path)))
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    return list(loader.LegacyEventFileLoader(str(path)).Load())


def test_tensorboard_reads_the_figures_and_the_drift(tmp_path):
    look = SaliencyCallback(X[:2], ["gradient", "grad_cam"], tensorboard=tmp_path / "run")
    history = fit(network(), look, epochs=2)
    (path,) = (tmp_path / "run").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    first, *events = records(path)
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in events] == [0, 1, 2]
    for step, event in enumerate(events):
        values = {value.tag: value for value in event.summary.value}
        image = values.pop("saliency").image
        drawn = Image.open(io.BytesIO(image.encoded_image_string))
        assert drawn.size == (image.width, image.height)
        assert len(values) == (2 if step else 0)
        for tag, value in values.items():
            assert value.simple_value == pytest.approx(history[tag][step - 1])


def test_an_event_file_is_rows_with_checksums(tmp_path):
    file = event_file.EventFile(tmp_path)
    file.write(300, {"a": 1.5}, {})
    assert event_file.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    data, rows = file.path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        body, data = data[12 : 12 + length], data[16 + length :]
        rows.append(body)
    assert len(rows) == 2
    assert b"brain.Event:2" in rows[0]
    assert rows[1].endswith(bytes.fromhex("10ac022a0a0a080a016115") + b"\0\0\xc0\x3f")


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": "grad_camm"}, errors.MethodError, "Did you mean 'grad_cam'"),
        ({"methods": []}, errors.MethodError, "one or more methods"),
        ({"every": 0}, errors.MethodError, "every=0"),
        ({"every": 1.5}, errors.MethodError, "every=1.5"),
        ({"folder": 3}, errors.SaveError, "Got 3"),
        ({"target": "dog"}, errors.TargetError, "Got target='dog'"),
        ({"batch_size": 0}, errors.MethodError, "batch_size=0"),
        ({"seed": -1}, errors.MethodError, "seed=-1"),
    ],
)
def test_arguments_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        SaliencyCallback(X[:1], **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"target": 99}, errors.TargetError),
        ({"images": "absent.jpg"}, errors.ImageError),
        ({"methods": methods.GradCam(layer="nowhere")}, errors.LayerError),
    ],
)
def test_what_cannot_be_explained_costs_no_training(options, error):
    model = network()
    before = model.get_weights()
    with pytest.raises(error):
        fit(model, SaliencyCallback(**{"images": X[:1], **options}))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_folder_that_is_a_file_costs_no_training(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(errors.SaveError, match="Cannot write figures into"):
        fit(network(), SaliencyCallback(X[:1], folder=tmp_path / "taken"))


def test_a_failure_later_ends_no_training(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).save(path)

    class Remove(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            path.unlink(missing_ok=True)

    look = SaliencyCallback(path, preprocess=None)
    with pytest.warns(UserWarning, match=r"No maps after 2 epochs: .*photo\.png"):
        found = fit(network(), look, Remove(), epochs=2)[DRIFT]
    assert [math.isnan(one) for one in found] == [False, True]

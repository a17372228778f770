"""Explainer.stream and FixationPredictor.stream: the maps of explain(), of pictures without end."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from functools import cache

import keras
import models
import networks
import numpy as np
import pytest
from keras import layers
from PIL import Image
from test_predict_fixations import PHOTOS, stand_in
from test_prefetch import wait_until_no_thread

from keras_saliency import (
    Explainer,
    FixationPredictor,
    _explainer,
    errors,
    explain,
    methods,
    targets,
)
from keras_saliency.fixation import predict_fixations

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(5)
PIXELS = [RNG.integers(0, 256, shape, np.uint8) for shape in ((12, 12, 3), (30, 20, 3), (16, 9))]


@cache
def any_size() -> keras.Model:
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


def same(one, other):
    np.testing.assert_allclose(one.values, other.values, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)
    assert (one.targets, one.labels) == (other.targets, other.labels)
    assert one.geometries == other.geometries
    assert [picture.shape for picture in one.pictures] == [p.shape for p in other.pictures]
    if one.attributions is not None:
        np.testing.assert_allclose(one.attributions, other.attributions, rtol=2e-4, atol=2e-6)
    unmeasured = ("seconds",)
    assert {k: v for k, v in one.info.items() if k not in unmeasured} == {
        k: v for k, v in other.info.items() if k not in unmeasured
    }


def groups(monkeypatch) -> list[int]:
    """Return a list that grows with the sizes of the groups that go through the model."""
    seen = []

    def spy(model, batch, *rest):
        seen.append(len(batch.images))
        return attributed(model, batch, *rest)

    attributed = _explainer.attributed
    monkeypatch.setattr(_explainer, "attributed", spy)
    return seen


# ---------------------------------------------------------------------- the same maps


@pytest.mark.parametrize("batch_size", [1, 3, 8, "auto"])
def test_a_stream_gives_what_explain_gives_one_by_one(batch_size, tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS[1]).save(path)
    pictures = [*PIXELS, path, str(path), *models.pictures(3), Image.fromarray(PIXELS[0])]
    explainer = Explainer(models.flat(), preprocess=None, batch_size=batch_size)
    sizes = groups(monkeypatch)
    result = list(explainer.stream(iter(pictures)))
    assert len(result) == len(pictures)
    assert sizes == {1: [1] * 9, 3: [3, 3, 3], 8: [8, 1], "auto": [9]}[batch_size]
    for picture, one in zip(pictures, result, strict=True):
        same(one, explain(models.flat(), picture, preprocess=None, batch_size=batch_size))
        same(one, explainer(picture))
    np.testing.assert_array_equal(result[1].pictures[0], PIXELS[1])


@pytest.mark.parametrize(
    "method",
    [
        methods.SmoothGrad("input_x_gradient", samples=3),
        methods.IntegratedGradients(steps=4),
        "grad_cam",
        methods.RISE(masks=20, cells=3),
    ],
    ids=lambda method: method if isinstance(method, str) else method.name,
)
def test_of_any_method(method):
    pictures = models.pictures(5)
    result = Explainer(models.flat(), method, seed=3, batch_size=4).stream(pictures)
    for picture, one in zip(pictures, result, strict=True):
        same(one, explain(models.flat(), picture, method, seed=3, batch_size=4))


def test_a_target_for_each_picture(monkeypatch):
    margins = targets.Margin(0, 1), targets.Margin(1, 2)
    given = [0, np.int64(4), None, None, 2, targets.Class(1), *margins, targets.Class(3)]
    pictures = models.pictures(len(given))
    sizes = groups(monkeypatch)
    result = list(Explainer(models.flat()).stream(pictures, (one for one in given)))
    assert sizes == [2, 2, 2, 1, 1, 1]  # class numbers go together, other targets alone
    assert [one.targets[0] for one in result][:2] == [0, 4]
    for picture, target, one in zip(pictures, given, result, strict=True):
        same(one, explain(models.flat(), picture, target=target))


def test_one_target_for_all():
    def second(outputs):
        return outputs[:, 1]

    for target in (second, 2, targets.Class(2, score="probability"), targets.TopClass()):
        stream = Explainer(models.flat(), target=target).stream(models.pictures(3))
        for picture, one in zip(models.pictures(3), stream, strict=True):
            same(one, explain(models.flat(), picture, target=target))


def test_where_the_model_takes_any_size_only_equal_ones_go_together(monkeypatch):
    extra_inputs = (10, 10, 14, 14, 14, 10)
    pictures = [RNG.normal(size=(n, 12, 3)).astype("float32") for n in extra_inputs]
    sizes = groups(monkeypatch)
    result = list(Explainer(any_size(), batch_size=2).stream(pictures))
    assert sizes == [2, 2, 1, 1]
    assert [one.values.shape for one in result] == [(1, n, 12) for n in extra_inputs]
    for picture, one in zip(pictures, result, strict=True):
        same(one, explain(any_size(), picture, batch_size=2))


def test_several_inputs():
    image, number = keras.Input((12, 12, 3), name="image"), keras.Input((2,), name="number")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, activation="tanh")(image))
    model = keras.Model([image, number], layers.Dense(2)(layers.Multiply()([x, number])))
    given = [
        {"image": picture, "number": [i, 1.0]}
        for i, picture in enumerate(models.pictures(3).astype("float32"), 1)
    ]
    for its, one in zip(given, Explainer(model).stream(given), strict=True):
        same(one, explain(model, its))


class _Unbuilt(keras.Model):
    def __init__(self):
        super().__init__(name="unbuilt")
        self.head = layers.Dense(2, kernel_initializer="ones")
        self.made_in = None

    def build(self, shape):
        self.made_in = threading.current_thread()
        super().build(shape)

    def call(self, x):
        return self.head(keras.ops.mean(x, axis=(1, 2)))


def test_a_model_without_weights_makes_them_in_the_callers_thread():
    model = _Unbuilt()
    result = list(Explainer(model, target=0).stream(models.pictures(4)))
    assert model.made_in is threading.current_thread()
    assert len(result) == 4
    assert all(one.values.any() for one in result)


# ---------------------------------------------------------------------- what is wrong


def test_errors_come_when_the_pictures_before_are_out(tmp_path):
    pictures = [*models.pictures(3), tmp_path / "absent.jpg", *models.pictures(2)]
    stream = Explainer(models.flat(), batch_size=8).stream(pictures)
    assert [next(stream).values.shape for _ in range(3)] == [(1, 12, 12)] * 3
    with pytest.raises(errors.ImageError, match=r"absent\.jpg"):
        next(stream)
    assert next(stream, "over") == "over"
    stream = Explainer(models.flat(), batch_size=2).stream(models.pictures(3), [0, 1, 99])
    assert [next(stream).targets[0] for _ in range(2)] == [0, 1]
    with pytest.raises(errors.TargetError, match="99"):
        next(stream)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "grad_camm"}, errors.MethodError, "Did you mean 'grad_cam'"),
        ({"batch_size": 0}, errors.MethodError, "batch_size=0"),
        ({"target": "dog"}, errors.TargetError, "Got target='dog'"),
        ({"target": [1, 2]}, errors.TargetError, r"stream\(images, targets="),
        ({"target": targets.Class([1, 2, 3])}, errors.TargetError, r"every single picture"),
        ({"preprocess": "tensorflow"}, errors.PreprocessError, "to be 'auto', 'caffe'"),
        ({"model": 3}, errors.ModelError, "Keras 3 model"),
    ],
)
def test_arguments_are_refused_before_the_first_picture(options, error, message):
    with pytest.raises(error, match=message):
        Explainer(**{"model": models.flat(), **options})


def test_pictures_that_are_no_stream_and_streams_that_are_no_pictures():
    explainer = Explainer(models.flat())
    with pytest.raises(errors.ImageError, match="single one"):
        explainer.stream(models.pictures(1)[0])
    with pytest.raises(errors.ImageError, match="a batch or a list of 2"):
        list(explainer.stream([models.pictures(2)]))
    with pytest.raises(errors.TargetError, match="Pass no target to the Explainer"):
        Explainer(models.flat(), target=1).stream(models.pictures(2), [0, 1])
    with pytest.raises(errors.ImageError, match="only 1, and more pictures"):
        list(explainer.stream(models.pictures(2), [0]))


def test_findings_are_recorded_and_not_warned_of(recwarn):
    inputs = keras.Input((8, 8, 3))
    dead = keras.Model(
        inputs, layers.Dense(2, kernel_initializer="zeros")(layers.Flatten()(inputs))
    )
    result = list(Explainer(dead, target=0).stream(np.zeros((3, 8, 8, 3), "float32")))
    assert all("0 everywhere" in one.checks[0]["findings"][0] for one in result)
    assert not [one for one in recwarn if "picture" in str(one.message)]


# ---------------------------------------------------------------------- without end


def memory_of_streams():
    """Return a function of the number of pictures: what is in memory after them, and the most."""
    explainer = Explainer(networks.linear(np.ones((16, 16, 3))), target=0)

    def most(count, collect=False):
        pictures = (np.full((16, 16, 3), i, "float32") for i in range(count))
        gc.collect()
        tracemalloc.reset_peak()
        total = 0.0
        for i, one in enumerate(explainer.stream(pictures)):
            total += float(one.scores[0])
            if collect and i % 200 == 0:
                gc.collect()
        assert total == pytest.approx(768 * count * (count - 1) / 2)
        gc.collect()
        return tracemalloc.get_traced_memory()

    return most


@pytest.mark.long
def test_nothing_grows_with_the_stream():
    most = memory_of_streams()
    tracemalloc.start()
    try:
        most(300)  # compiles, fills caches
        # A full collection empties Python's own free lists as well: up to 2000 tuples of each
        # length below 20. They fill up over some 3000 pictures, to 1.2 MB; that is no growth.
        held, peak = most(200, collect=True)
        held_later, peak_later = most(2000, collect=True)
    finally:
        tracemalloc.stop()
    # A picture of these has 3072 bytes, its explanation three times that.
    assert held_later - held < 1800 * 100
    assert peak_later - peak < 1800 * 200


def test_no_picture_waits_for_the_garbage_collector():
    """A reference cycle that holds a batch keeps it in memory until a full collection, long after.

    Keras' flatten leaves one on PyTorch: 7 kB a picture. What is left, without arrays, takes 1.
    """
    most = memory_of_streams()
    most(100)
    tracemalloc.start()
    gc.disable()
    try:
        most(100)
        _, peak = most(100)
        _, peak_later = most(600)
    finally:
        gc.enable()
        tracemalloc.stop()
    assert peak_later - peak < 500 * 2000


def test_no_thread_is_left_by_a_consumer_that_stops():
    stream = Explainer(models.flat()).stream(models.pictures(1)[0] for _ in iter(int, 1))
    next(stream)
    stream.close()
    gc.collect()
    wait_until_no_thread()


# ---------------------------------------------------------------------- fixations


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_fixations_of_a_stream(batch_size, mirror, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTOS[0]).save(path)
    model = stand_in()
    predictor = FixationPredictor(model, batch_size=batch_size, mirror=mirror)
    pictures = [*PHOTOS, path, PHOTOS[0]]
    result = list(predictor.stream(iter(pictures)))
    assert len(result) == 5
    for picture, one in zip(pictures, result, strict=True):
        for other in (predict_fixations(picture, model, mirror=mirror), predictor(picture)):
            np.testing.assert_allclose(one.log_density, other.log_density, atol=2e-5)
            assert (one.names, one.letterboxes) == (other.names, other.letterboxes)
            np.testing.assert_array_equal(one.pictures[0], other.pictures[0])
    about = predict_fixations(PHOTOS[0], model, mirror=mirror, batch_size=batch_size).info
    assert result[0].info == {name: one for name, one in about.items() if name != "seconds"}


def test_what_is_wrong_with_fixations_of_a_stream(tmp_path):
    predictor = FixationPredictor(stand_in(), batch_size=4)
    stream = predictor.stream([PHOTOS[0], PHOTOS[1], tmp_path / "absent.jpg"])
    assert [next(stream).names for _ in range(2)] == [("",), ("",)]
    with pytest.raises(errors.ImageError, match=r"absent\.jpg"):
        next(stream)
    with pytest.raises(errors.ImageError, match="a batch or a list of 2"):
        list(predictor.stream([PHOTOS[:2]]))
    with pytest.raises(errors.FixationModelError, match="batch_size=0"):
        FixationPredictor(batch_size=0)
    with pytest.raises(errors.ModelError, match="Expected model to be a fixation model"):
        FixationPredictor(3)

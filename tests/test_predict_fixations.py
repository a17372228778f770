"""predict_fixations(): densities in the picture's frame, and everything that can be wrong."""

from __future__ import annotations

import json
import os
import shutil

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_saliency import FixationPrediction, errors, explain, methods, predict_fixations, targets
from keras_saliency._io import files
from keras_saliency.fixation import load_model
from keras_saliency.fixation.layers import LogDensity, Pixels
from keras_saliency.fixation.predictor import predictor
from keras_saliency.fixation.trained import EMBEDDED
from keras_saliency.pretrained import sample_photo

RNG = np.random.default_rng(3)
PHOTOS = [RNG.integers(0, 256, shape, np.uint8) for shape in ((40, 60, 3), (90, 30, 3), (50, 50))]


def stand_in(canvas=(64, 64), last=LogDensity):
    """A lopsided convolution of the pixels: all that is asked of a fixation model."""
    image = keras.Input((*canvas, 3))
    pixels, mask = Pixels([127.0] * 3, 1 / 128, name="pixels")(image)
    kernel = np.linspace(-0.2, 0.3, 3 * 3 * 3 * 2).reshape(3, 3, 3, 2)
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="features")(pixels)
    logits = layers.Conv2D(1, 1, name="logits")(x)
    model = keras.Model(image, last()(logits, mask) if last else logits, name="stand_in")
    model.get_layer("features").set_weights([kernel, np.zeros(2)])
    model.get_layer("logits").set_weights([np.reshape([1.0, -0.7], (1, 1, 2, 1)), np.zeros(1)])
    return model


@pytest.fixture(scope="module")
def model():
    return stand_in()


@pytest.fixture(scope="module")
def predicted(model):
    return predict_fixations(PHOTOS, model)


# ---------------------------------------------------------------------- what comes out


def test_a_density_on_the_canvas_and_in_each_frame(predicted):
    assert predicted.values.shape == predicted.log_density.shape == (3, 64, 64)
    assert predicted.values.dtype == predicted.log_density.dtype == np.float32
    np.testing.assert_allclose(predicted.values.sum(axis=(1, 2)), 1, atol=1e-5)
    for i, (box, photo) in enumerate(zip(predicted.letterboxes, PHOTOS, strict=True)):
        inside = ~np.isnan(box.apply(np.zeros((*photo.shape[:2], 3), np.uint8))[..., 0])
        assert (predicted.values[i][~inside] == 0).all()
        assert (predicted.log_density[i][~inside] == -10000).all()
        assert (predicted.values[i][inside] > 0).all()
    for photo, one, log in zip(PHOTOS, predicted.maps(), predicted.log_maps(), strict=True):
        assert one.shape == log.shape == photo.shape[:2]
        assert (one.dtype, log.dtype) == (np.float32, np.float64)
        assert abs(one.sum(dtype="float64") - 1) < 1e-5
        assert abs(np.exp(log).sum() - 1) < 1e-9
        np.testing.assert_allclose(one, np.exp(log), rtol=1e-5)


def test_it_is_what_the_model_gives(model, predicted):
    canvas = predicted.letterboxes[1].apply(PHOTOS[1])
    known = keras.ops.convert_to_numpy(model(canvas[None]))[0, ..., 0]
    np.testing.assert_allclose(predicted.log_density[1], known, atol=2e-5)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_batch_is_its_singles(model, batch_size, mirror):
    photos = [*PHOTOS, *PHOTOS[:2]]
    together = predict_fixations(photos, model, batch_size=batch_size, mirror=mirror)
    assert len(together) == 5
    for photo, one in zip(photos, together, strict=True):
        alone = predict_fixations(photo, model, mirror=mirror)
        np.testing.assert_allclose(one.log_density, alone.log_density, atol=2e-5)


def test_a_mirrored_picture_gives_the_mirrored_map(model):
    photo = PHOTOS[0]  # as wide as its canvas: it lies there alike both ways round
    for mirror in (True, False):
        one, other = (
            predict_fixations(p, model, mirror=mirror).maps()[0] for p in (photo, photo[:, ::-1])
        )
        apart = np.abs(one - other[:, ::-1]).max() / one.max()
        assert apart < 1e-4 if mirror else apart > 0.05  # the convolution is lopsided


def test_mirroring_keeps_the_padding_where_the_picture_lies_off_the_middle(model):
    p = predict_fixations(PHOTOS[1], model, mirror=True)
    top, left, height, width = p.letterboxes[0].box
    assert left != 64 - left - width
    plain = predict_fixations(PHOTOS[1], model)
    np.testing.assert_array_equal(p.values > 0, plain.values > 0)
    assert abs(p.values.sum() - 1) < 1e-5
    flipped = p.letterboxes[0].apply(PHOTOS[1])[:, ::-1]
    other = keras.ops.convert_to_numpy(model(flipped.copy()[None]))[0, ..., 0][:, ::-1]
    mean = (plain.log_density[0] + other)[top : top + height, left : left + width] / 2
    mean -= np.log(np.exp(mean).sum())
    result = p.log_density[0, top : top + height, left : left + width]
    np.testing.assert_allclose(result, mean, atol=2e-5)


def test_pictures_in_every_form(model, tmp_path):
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    known = predict_fixations(PHOTOS[0], model).log_density
    for form in (
        tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(PHOTOS[0]),
        [PHOTOS[0]], PHOTOS[0][None], (tmp_path / "a.png",),
    ):  # fmt: skip
        np.testing.assert_array_equal(predict_fixations(form, model).log_density, known)
    grey = predict_fixations(PHOTOS[2], model)
    rgb = predict_fixations(np.repeat(PHOTOS[2][..., None], 3, axis=-1), model)
    np.testing.assert_array_equal(grey.log_density, rgb.log_density)
    assert grey.pictures[0].shape == (50, 50, 1)
    assert predict_fixations(tmp_path / "a.png", model).names == ("a.png",)


def test_a_canvas_that_is_no_square_and_one_that_is_free():
    wide = predict_fixations(PHOTOS, stand_in((32, 96)))
    assert wide.values.shape == (3, 32, 96)
    assert wide.letterboxes[0].canvas == (32, 96)
    free = predict_fixations(PHOTOS[0], stand_in((None, None)))
    assert free.values.shape == (1, 512, 512)
    assert free.info["side"] == 512


# ---------------------------------------------------------------------- what is asked of it


def test_expected_fixations(predicted):
    maps = predicted.expected_fixations(12)
    assert [one.shape for one in maps] == [photo.shape[:2] for photo in PHOTOS]
    np.testing.assert_allclose([one.sum() for one in maps], 12, rtol=1e-5)
    one = predicted[0]
    left, right = (
        one.expected_fixations(12, (0, 0, 40, 25)),
        one.expected_fixations(12, (0, 25, 40, 60)),
    )
    assert left.shape == (1,)
    np.testing.assert_allclose(left + right, 12, rtol=1e-5)
    mask = np.zeros((40, 60), bool)
    mask[:, :25] = True
    np.testing.assert_allclose(one.expected_fixations(12, mask), left)
    np.testing.assert_allclose(one.expected_fixations(12, mask * 0.5), left / 2)
    whole = [(0, 0, 40, 60), np.ones((90, 30)), [0, 0, 50, 50]]
    np.testing.assert_allclose(predicted.expected_fixations(7, whole), 7, rtol=1e-5)


@pytest.mark.parametrize(
    ("count", "region", "word"),
    [
        (-1, None, "count=-1"), ("many", None, "'many'"), (np.nan, None, "nan"),
        (1, (0, 0, 41, 10), "40 rows and 60 columns"), (1, (5, 5, 5, 9), "bottom and right"),
        (1, (0, 0, 1.5, 2), "whole numbers"), (1, np.ones((3, 3)), r"Got shape \(3, 3\)"),
        (1, np.full((40, 60), 2), "values from 2 to 2"), (1, "left", "Got type str"),
        (1, [(0, 0, 1, 1), (0, 0, 1, 1)], "Got 2 regions for 1 pictures"),
    ],
)  # fmt: skip
def test_what_cannot_be_expected(predicted, count, region, word):
    with pytest.raises(errors.FixationError, match=word):
        predicted[0].expected_fixations(count, region)


def test_area(predicted):
    half, most = predicted.area(), predicted.area(0.9)
    assert half.shape == (3,)
    assert ((half > 0) & (half < most) & (most < 0.9)).all()
    blank = predict_fixations(np.full((64, 64, 3), 9, np.uint8)[:60], stand_in((60, 64)))
    assert abs(blank.area()[0] - 0.5) < 0.05  # all places are alike but those at the edge
    with pytest.raises(errors.FixationError, match="share"):
        predicted.area(0)


def test_length_index_slice_and_iteration(predicted):
    assert len(predicted) == 3
    assert [len(one) for one in predicted] == [1, 1, 1]
    np.testing.assert_array_equal(predicted[-1].values, predicted.values[2:])
    assert predicted[1:].pictures[0].shape == (90, 30, 3)
    with pytest.raises(IndexError):
        predicted[3]
    with pytest.raises(AttributeError):
        predicted.names = ()
    assert repr(predicted).startswith("<FixationPrediction by stand_in (3, 64, 64): half of the")


def test_info_and_figures(predicted):
    info = predicted.info
    assert (info["model"], info["side"], info["mirror"]) == ("stand_in", 64, False)
    assert info["backend"] == keras.config.backend()
    assert info["versions"]["keras"] == keras.__version__
    assert info["seconds"] > 0
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    figure = predicted.plot()
    assert len(figure.axes) == 3 * 4  # picture, map, its scale, outlines
    plt.close(figure)
    assert predicted._repr_png_().startswith(b"\x89PNG")


# ---------------------------------------------------------------------- files


def test_saved_and_loaded(predicted, tmp_path):
    folder = predicted.save(tmp_path / "deep" / "out")
    assert {path.name for path in folder.iterdir()} == {
        "figure.png", "prediction.npz", "manifest.json"
    }  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema_version"] == 2
    assert len(manifest["model_sha256"]) == 64
    again = FixationPrediction.load(folder)
    np.testing.assert_array_equal(again.log_density, predicted.log_density)
    assert (again.letterboxes, again.names) == (predicted.letterboxes, predicted.names)
    assert again.info == predicted.info
    for one, other in zip(again.maps(), predicted.maps(), strict=True):
        np.testing.assert_array_equal(one, other)
    again[0].save(folder)  # a prediction is replaced
    assert len(FixationPrediction.load(folder)) == 1
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.SaveError, match="Other files are there"):
        again.save(folder)


@pytest.mark.parametrize("fails", ["savez_compressed", "dumps", "rename"])
def test_nothing_half_written(predicted, tmp_path, monkeypatch, fails):
    predicted[:1].save(tmp_path / "old")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    home = {"savez_compressed": np, "dumps": json, "rename": os}[fails]
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "replace", full if fails == "rename" else os.replace)
    monkeypatch.setattr(home, fails, full)
    for name in ("new", "old"):
        with pytest.raises(errors.SaveError, match="No space left"):
            predicted.save(tmp_path / name)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert len(FixationPrediction.load(tmp_path / "old")) == 1


@pytest.mark.parametrize("harm", ["no manifest", "no arrays", "not json", "later", "cut"])
def test_what_cannot_be_loaded(predicted, tmp_path, harm):
    folder = predicted[0].save(tmp_path / "out")
    manifest, arrays = folder / "manifest.json", folder / "prediction.npz"
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "no arrays":
        arrays.unlink()
    elif harm == "not json":
        manifest.write_text("{")
    elif harm == "later":
        text = manifest.read_text().replace('"schema_version": 2', '"schema_version": 9')
        manifest.write_text(text)
    else:
        arrays.write_bytes(arrays.read_bytes()[:500])
    with pytest.raises(errors.SaveError, match="Cannot load a prediction"):
        FixationPrediction.load(folder)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (np.zeros((40, 60, 3), "float32"), "0..1 or 0..255 is not known"),
        (np.zeros((40, 60, 3), "int32"), "pass uint8"),
        (np.zeros((3, 40, 60), "uint8"), "60 channels"),
        (np.zeros((7, 60, 3), "uint8"), "Got 7x60 pixels"),
        (np.zeros((2, 2, 40, 60, 3), "uint8"), "shape"),
        ([], "Got an empty list"), (None, "Got builtins.NoneType"), ("no.jpg", "No such file"),
        ([PHOTOS[0], "no.jpg"], "No such file"),
    ],
)  # fmt: skip
def test_bad_pictures(model, picture, word):
    with pytest.raises(errors.ImageError, match=word):
        predict_fixations(picture, model)


def test_a_truncated_picture(model, tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:600])
    with pytest.raises(errors.ImageError, match="It is broken"):
        predict_fixations(tmp_path / "cut.jpg", model)


def classifier():
    image = keras.Input((64, 64, 3))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))


def four_channels():
    image = keras.Input((64, 64, 4))
    return keras.Model(image, layers.Conv2D(1, 1)(image))


def no_padding():
    image = keras.Input((64, 64, 3))
    return keras.Model(image, layers.Conv2D(1, 3, padding="same")(image))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (classifier, r"Got shape \(1, 3\)"), (four_channels, "64, 64, 4"),
        (no_padding, "NaN"), (lambda: stand_in(last=None), "sums to"),
    ],
)  # fmt: skip
def test_models_of_something_else(make, word):
    with pytest.raises(errors.FixationModelError, match=word):
        predict_fixations(PHOTOS[0], make())


def test_bad_words(model):
    with pytest.raises(errors.ModelError, match=r"Expected model .* Got type builtins\.list"):
        predict_fixations(PHOTOS[0], [])
    with pytest.raises(errors.FixationModelError, match="batch_size=0"):
        predict_fixations(PHOTOS[0], model, batch_size=0)
    with pytest.raises(errors.FixationModelError, match="mirror='left'"):
        predict_fixations(PHOTOS[0], model, mirror="left")


@pytest.fixture
def copied(tmp_path):
    """The default model, copied to be harmed."""
    return shutil.copytree(EMBEDDED / "default", tmp_path / "copied")


@pytest.mark.parametrize(
    "harm", ["no folder", "no manifest", "no weights", "broken", "other", "side", "keras", "text"]
)
def test_bad_model_files(copied, harm):
    source, manifest = copied, json.loads((copied / "model.json").read_text())
    if harm == "no folder":
        source = copied.parent / "nowhere"
    elif harm == "no manifest":
        (copied / "model.json").unlink()
    elif harm == "no weights":
        (copied / "weights.npz").unlink()
    elif harm == "broken":
        (copied / "weights.npz").write_bytes((copied / "weights.npz").read_bytes()[:2000])
    elif harm == "other":
        manifest["build"]["filters"] = 64
    elif harm == "side":
        manifest["side"] = 500
    else:
        source = copied.parent / f"model.{harm}"
        source.write_text("no model")
    if harm in ("other", "side"):
        (copied / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(errors.ModelFileError, match=r"Cannot (load|read)|Expected side"):
        predict_fixations(PHOTOS[0], source)


# ---------------------------------------------------------------------- the model in this package


def test_the_manifest_says_side_and_mirror(copied):
    manifest = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(json.dumps({**manifest, "side": 96, "mirror": True}))
    p = predict_fixations(PHOTOS[0], copied)
    assert p.values.shape == (1, 96, 96)
    assert (p.info["side"], p.info["mirror"]) == (96, True)
    assert predict_fixations(PHOTOS[0], copied, mirror=False).info["mirror"] is False
    assert predictor(copied).model is predictor(str(copied)).model  # loaded once
    (copied / "model.json").write_text(json.dumps({**manifest, "side": 64}))
    assert predictor(copied).canvas == (64, 64)  # and again when it changed


def test_the_default_looks_at_the_cup():
    p = predict_fixations(sample_photo())
    assert p.maps()[0].shape == (400, 600)
    assert predictor().model is predictor("default").model
    cup, share = (60, 170, 330, 470), 270 * 300 / (400 * 600)
    assert p.expected_fixations(1, cup)[0] > 1.5 * share
    assert p.area()[0] < 0.3
    noise = predict_fixations(sample_photo(), mirror=True)
    assert abs(noise.values.sum() - 1) < 1e-5


# ---------------------------------------------------------------------- why people would look there


@pytest.fixture(scope="module")
def small():
    return load_model(input_shape=(256, 384, 3))


@pytest.mark.parametrize(
    "method",
    [
        "gradient",
        methods.IntegratedGradients(steps=4, baseline="mean"),
        methods.GradCam(layer="encoder/block7a_project_bn"),
        methods.Occlusion(window=128, stride=128),
    ],
    ids=lambda method: getattr(method, "name", method),
)
@pytest.mark.filterwarnings("ignore:picture 0. attributions miss")  # four steps are few
@pytest.mark.long
def test_a_prediction_is_explained_at_a_pixel(small, method):
    sure = method == "gradient" or method.name == "integrated_gradients"
    target = targets.Pixel(100, 170, 0 if sure else None)  # these two then share what is compiled
    e = explain(small, sample_photo(), method, target=target, batch_size=1)
    assert e.values.shape == (1, 256, 384)
    assert np.abs(e.values).max() > 1e-6  # rounding errors of a sum of zero are below that
    pixels = Image.open(sample_photo()).resize((384, 256), Image.Resampling.BICUBIC)
    known = small.predict_on_batch(np.asarray(pixels, "float32")[None])[0, 100, 170, 0]
    np.testing.assert_allclose(e.scores, known, atol=1e-3)
    assert e.info["preprocess"] == "none (the model rescales)"

"""Pictures in: what is read, what is fitted, and what is refused."""

from __future__ import annotations

import io
from functools import partial

import keras
import models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from PIL import Image

from keras_saliency import errors, explain, methods
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs import pictures, preprocessing
from keras_saliency._inputs.given import prepare
from keras_saliency._inputs.preprocessing import Preprocess

RNG = np.random.default_rng(0)


def photo(height=20, width=30, channels=3):
    return RNG.integers(0, 256, (height, width, channels)).astype("uint8")


@pytest.fixture(scope="module")
def rescaling():
    """A model that rescales by itself: it takes pixels."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((models.SIZE, models.SIZE, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="own")


# ------------------------------------------------------------------------------------ read


def test_path_pil_and_array_are_one(tmp_path, rescaling):
    array = photo()
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    same = [str(tmp_path / "a.png"), tmp_path / "a.png", image, array, [array], array[None]]
    maps = [explain(rescaling, one, target=0).values for one in same]
    for one in maps[1:]:
        np.testing.assert_array_equal(one, maps[0])


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB"])
def test_modes_of_eight_bits(mode):
    read = pictures.read(Image.fromarray(photo()).convert(mode))
    assert read.dtype == np.uint8
    assert read.shape == (20, 30, 1 if mode in ("L", "1") else 3)


def test_opaque_alpha_is_dropped():
    rgb = photo()
    rgba = np.dstack([rgb, np.full((20, 30), 255, "uint8")])
    np.testing.assert_array_equal(pictures.read(Image.fromarray(rgba)), rgb)
    np.testing.assert_array_equal(pictures.read(rgba), rgb)


def test_exif_rotation_is_applied():
    image = Image.fromarray(photo(10, 16))
    exif = image.getexif()
    exif[0x0112] = 6  # stored lying, to be turned upright
    file = io.BytesIO()
    image.save(file, "jpeg", exif=exif)
    assert pictures.read(Image.open(file)).shape == (16, 10, 3)


def test_grey_and_colour_fit_the_model(rescaling):
    grey = photo(20, 30, 1)
    np.testing.assert_array_equal(
        explain(rescaling, grey[..., 0], target=0).values,
        explain(rescaling, np.repeat(grey, 3, -1), target=0).values,
    )
    digits = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)]
    )
    colour = photo()
    luma = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(
        explain(digits, colour, target=0).scores, explain(digits, luma, target=0).scores
    )


def test_pictures_of_different_sizes(rescaling):
    many = [photo(20, 30), photo(41, 17), photo(12, 12)]
    e = explain(rescaling, many, target=1)
    assert e.values.shape == (3, 12, 12)
    assert [one.shape for one in e.maps()] == [(20, 30), (41, 17), (12, 12)]
    for i, one in enumerate(many):
        alone = explain(rescaling, one, target=1)
        np.testing.assert_allclose(e.maps()[i], alone.maps()[0], atol=1e-5 * e.values.max())


# ------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.jpg", None, "No such file: .*gone.jpg"),
        ("text.jpg", b"not a picture at all", "not a picture Pillow can read"),
        ("empty.png", b"", "not a picture Pillow can read"),
    ],
)
def test_bad_files(tmp_path, rescaling, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.ImageError, match=message):
        explain(rescaling, path)


def test_a_directory_and_a_broken_file(tmp_path, rescaling):
    with pytest.raises(errors.ImageError, match="Got a directory"):
        explain(rescaling, tmp_path)
    Image.fromarray(photo(200, 200)).save(tmp_path / "whole.jpg")
    half = tmp_path / "half.jpg"
    half.write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    with pytest.raises(errors.ImageError, match="It is broken"):
        explain(rescaling, half)


def _transparent():
    return Image.fromarray(np.dstack([photo(), photo(channels=1)[..., 0]]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (_transparent(), "transparent pixels.*alpha_composite"),
        (Image.fromarray(photo()).convert("CMYK"), "mode 'CMYK'.*convert"),
        (Image.fromarray(np.arange(400, dtype="uint16").reshape(20, 20)), "mode 'I;16'.*16-bit"),
        (Image.fromarray(np.ones((20, 20), "float32")), "mode 'F'"),
        (Image.new("L", (8000, 6000)), "8000x6000 = 48,000,000 pixels.*Shrink"),
        (Image.new("RGB", (1, 1)), "only 1x1 pixels"),
        ([], "Got an empty batch"),
        (np.zeros((0, 12, 12, 3), "uint8"), "Got an empty batch"),
        (np.full((12, 12, 3), np.nan, "float32"), "432 of its values are NaN or infinite"),
        (np.full((12, 12, 3), np.inf), "NaN or infinite"),
        (np.zeros((12, 12, 5), "uint8"), r"Expected shape \(12, 12, 3\).*Got shape \(12, 12, 5\)"),
        (np.zeros((12, 12, 4), "float32"), r"shape \(12, 12, 4\)"),
        (np.zeros((9, 12, 3), "float32"), r"shape \(9, 12, 3\).*float arrays must fit"),
        (np.zeros((12, 12, 3), "int64"), "dtype int64, whose scaling to 0..255"),
        (np.zeros((12, 12, 3), "uint16"), "dtype uint16"),
        (np.zeros((2, 2, 12, 12, 3), "float32"), r"shape \(2, 2, 12, 12, 3\)"),
        (np.zeros((12,), "float32"), r"shape \(12,\)"),
        (np.array(["a", "b"]), "Got numpy.ndarray"),
        (None, "Got builtins.NoneType"),
        (3.5, r"shape \(\) and dtype float64"),
        ([photo(12, 12), np.zeros((12, 12, 3), "float32")], "Got 2 that differ"),
    ],
)
def test_bad_pictures(rescaling, image, message):
    with pytest.raises(errors.ImageError, match=message):
        explain(rescaling, image)


def test_free_size_wants_pictures_of_one_size():
    inputs = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(layers.Rescaling(0.1)(inputs)))
    model = keras.Model(inputs, x)
    assert explain(model, [photo(), photo()]).values.shape == (2, 20, 30)
    # The first one's size is everyone's.
    assert explain(model, [photo(), photo(40, 17)]).values.shape == (2, 20, 30)


# ------------------------------------------------------------------------------------ preprocessed


def test_unknown_preprocessing_is_refused_and_the_error_shows_how(rescaling):
    with pytest.raises(errors.PreprocessError, match=r"preprocess=lambda x: x / 255"):
        explain(models.flat(), photo())
    by_hand = explain(models.flat(), photo(12, 12), preprocess=lambda x: x / 255)
    assert by_hand.info["preprocess"].endswith("<lambda>")
    assert explain(rescaling, photo()).info["preprocess"] == "none (the model rescales)"


def test_preprocess_by_hand():
    picture = photo(12, 12)
    floats = explain(models.flat(), (picture / np.float32(255)).astype("float32"))
    for preprocess in (lambda x: x / 255, Preprocess(lambda x: x / 255)):
        e = explain(models.flat(), picture, preprocess=preprocess)
        np.testing.assert_allclose(e.values, floats.values, rtol=1e-4, atol=1e-6)
    raw = explain(models.flat(), picture, preprocess=None)
    np.testing.assert_array_equal(
        raw.values, explain(models.flat(), picture.astype("float32")).values
    )


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        ("imagenet", "to be 'auto', 'caffe'"),
        (lambda x: x[:, :5], r"Got shape \(1, 5, 12, 3\)"),
        (lambda x: x / 0, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_bad_preprocess(preprocess, message):
    with pytest.raises(errors.PreprocessError, match=message):
        explain(models.flat(), photo(), preprocess=preprocess)
    with pytest.raises(errors.PreprocessError, match="'squash'"):
        Preprocess(fit="squash")


def test_black_is_black_in_picture_space():
    model, picture = models.flat(), photo(12, 12)
    black = preprocessing.resolve("caffe", model)(np.zeros((1, 12, 12, 3), "uint8"))
    explained = partial(explain, model, picture, target=1, preprocess="caffe")
    e = explained(methods.IntegratedGradients(steps=8))
    twin = explained(methods.IntegratedGradients(steps=8, baseline=black))
    np.testing.assert_array_equal(e.values, twin.values)
    zero = explained(methods.IntegratedGradients(steps=8, baseline=0.0))
    assert np.abs(zero.values - e.values).max() > 1e-3 * np.abs(e.values).max()


@given(
    height=st.integers(8, 60), width=st.integers(8, 60), channels=st.sampled_from([1, 3]),
    fit=st.sampled_from(["stretch", "crop", "pad"]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_picture_fits_and_comes_back_in_its_frame(height, width, channels, fit):
    array = photo(height, width, channels)
    batch = prepare(Adapter(models.flat()), array, Preprocess(fit=fit))
    assert batch.images.shape == (1, models.SIZE, models.SIZE, 3)
    assert batch.images.min() >= 0
    assert batch.images.max() <= 255
    back = batch.geometries[0].undo(batch.images[0, ..., 0])
    assert back.shape == (height, width)
    assert batch.originals[0].shape[:2] == (height, width)

"""What is no picture, no number or no file is refused in words; what can be taken is taken."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import threading
import zipfile

import keras
import models
import numpy as np
import pytest
from PIL import Image

from keras_saliency import Explainer, errors, explain, methods, targets
from keras_saliency._inputs import pictures
from keras_saliency._io import files
from keras_saliency.cli import loading
from keras_saliency.errors import _arguments

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def encoded(form, image=None, **options):
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, form, **options)
    return file.getvalue()


# ------------------------------------------------------------------------------ arrays


def masked():
    return np.ma.masked_array(
        np.ones((8, 8, 3), "float32"), mask=np.eye(8, 8)[..., None] * np.ones(3)
    )


NO_PICTURES = {
    "a class": np.ndarray,
    "a function": models.pictures,
    "a generator": (row for row in PIXELS),
    "an object array": np.full((8, 8, 3), None),
    "complex": np.ones((8, 8, 3), complex),
    "strings": np.full((8, 8, 3), "a"),
    "bool": np.ones((8, 8, 3), bool),
    "empty": np.empty((0, 8, 3), "float32"),
    "five axes": np.ones((1, 1, 8, 8, 3), "float32"),
    "masked": masked(),
    "a batch of masked": masked()[None],
    "bytes": encoded("png"),
    "a number": 3,
    "None": None,
    "symbolic": lambda: keras.KerasTensor((8, 8, 3)),
    "a symbolic batch": lambda: keras.KerasTensor((None, 8, 8, 3)),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_no_picture(name):
    one = NO_PICTURES[name]
    one = one() if "symbolic" in name else one
    with pytest.raises(errors.ImageError):
        [pictures.read(each) for each in pictures.apart(one)]


def test_a_mask_is_refused_with_the_way_out_and_no_mask_is_an_array():
    with pytest.raises(errors.ImageError, match="filled"):
        pictures.read(masked())
    array = np.ma.masked_array(PIXELS)
    np.testing.assert_array_equal(pictures.read(array), PIXELS)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["tensor", "variable"])
def test_tensors_of_the_backend(dtype, kind):
    x = models.pictures(1)[0].astype("float16").astype("float32")
    make = keras.Variable if kind == "variable" else keras.ops.convert_to_tensor
    (given,) = pictures.apart(make(x[None], dtype=dtype))
    np.testing.assert_allclose(pictures.read(given), x, rtol=1e-2)
    np.testing.assert_allclose(pictures.read(make(x, dtype=dtype)), x, rtol=1e-2)


@pytest.mark.parametrize("batch", [True, False])
def test_a_tensor_that_requires_a_gradient(batch):
    torch = pytest.importorskip("torch")  # of another backend too
    x = torch.rand(1, 8, 8, 3) if batch else torch.rand(8, 8, 3)
    (given,) = pictures.apart(x.clone().requires_grad_())
    np.testing.assert_array_equal(pictures.read(given), x.reshape(8, 8, 3).numpy())


# ------------------------------------------------------------------------------ files


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    places = [tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "camera.jpg")
        places.append(tmp_path / "camera.jpg")
    if os.path.exists("/dev/zero"):
        places.append("/dev/zero")
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    places.append(loop)
    server = socket.socket(socket.AF_UNIX) if hasattr(socket, "AF_UNIX") else None
    if server is not None:
        server.bind(str(tmp_path / "s"))
        places.append(tmp_path / "s")
    said = []

    def read():
        for place in places:
            with pytest.raises(errors.ImageError):
                pictures.read(place)
            said.append(place)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert said == places


@pytest.mark.parametrize("name", ["a" * 300 + ".jpg", "a\0b.png", "b\ud800.png", "no/such/x.png"])
def test_names_that_the_system_refuses(name):
    with pytest.raises(errors.ImageError):
        pictures.read(name)


class Bytes:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return os.fsencode(self.path)


def test_a_path_of_bytes(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("png"))
    np.testing.assert_array_equal(pictures.read(Bytes(tmp_path / "x.png")), PIXELS)


@pytest.mark.parametrize("error", [SyntaxError, struct.error, RuntimeError, ZeroDivisionError,
                                   MemoryError, RecursionError, KeyError])  # fmt: skip
def test_whatever_pillow_raises_is_an_image_error(tmp_path, monkeypatch, error):
    (tmp_path / "x.png").write_bytes(encoded("png"))

    def load(self):
        raise error("deep inside")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    for one in (tmp_path / "x.png", Image.open(tmp_path / "x.png")):
        with pytest.raises(errors.ImageError, match="deep inside"):
            pictures.read(one)


@pytest.mark.parametrize("how", ["cut off", "closed"])
def test_pil_images_without_pixels(how):
    data = encoded("jpeg")
    image = Image.open(io.BytesIO(data[:-200] if how == "cut off" else data))
    if how == "closed":
        image.load()
        image.close()
    with pytest.raises(errors.ImageError):
        pictures.read(image)


@pytest.fixture(scope="module")
def small():
    """A model whose map costs nothing."""
    layers = keras.layers
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])


def test_bad_ones_are_skipped_and_listed(tmp_path, small):
    image = Image.fromarray(PIXELS)
    cut = Image.open(io.BytesIO(encoded("jpeg")[:-200]))
    many = {
        "long": "a" * 300 + ".jpg",
        "cut": cut,
        "class": np.ndarray,
        "mask": masked(),
        "ok": image,
    }
    with pytest.warns(UserWarning, match="left out|cannot"):
        done = Explainer(small, preprocess=None).write(
            list(many.values()), tmp_path / "out", keys=list(many), on_error="skip"
        )
    assert done.keys == ("ok",)
    assert sorted(done.left_out) == sorted(set(many) - {"ok"})


def grey16(**options):
    return Image.fromarray(np.full((9, 9), 40_000, np.uint16)), options


REFUSED = {
    "16-bit grey": ("png", *grey16()),
    "16-bit grey with a transparent value": ("png", *grey16(transparency=7)),
    "CMYK": ("jpeg", Image.new("CMYK", (9, 9), (9, 8, 7, 6)), {}),
    "float": ("tiff", Image.fromarray(np.ones((9, 9), np.float32)), {}),
    "transparent palette": ("gif", Image.new("P", (9, 9)), {"transparency": 0}),
    "half transparent grey": ("png", Image.new("LA", (9, 9), (9, 100)), {}),
}
TAKEN = {
    "opaque grey": ("png", Image.new("LA", (9, 9), (9, 255)), (9, 9, 9)),
    "one bit": ("png", Image.new("1", (9, 9), 1), (255,)),
    "palette": ("png", Image.new("RGB", (9, 9), (1, 2, 3)).quantize(4), (1, 2, 3)),
    "unused transparent value": ("png", Image.new("RGB", (9, 9), (1, 2, 3)), (1, 2, 3)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_formats_refused(tmp_path, name):
    form, image, how = REFUSED[name]
    path = tmp_path / f"x.{form}"
    image.save(path, form, **how)
    with pytest.raises(errors.ImageError, match="mode"):
        pictures.read(path)


@pytest.mark.parametrize("name", TAKEN)
def test_formats_taken(tmp_path, name):
    form, image, colour = TAKEN[name]
    how = {"transparency": (9, 9, 9)} if "unused" in name else {}
    image.save(tmp_path / f"x.{form}", form, **how)
    read = pictures.read(tmp_path / f"x.{form}")
    assert read.dtype == np.uint8
    assert (read == colour).all()


@pytest.mark.parametrize("form", ["gif", "webp", "png"])
def test_of_moving_pictures_the_first(tmp_path, form):
    frames = [Image.new("RGB", (9, 9), (value,) * 3) for value in (255, 0, 80)]
    frames[0].save(tmp_path / "x", form, save_all=True, append_images=frames[1:], lossless=True)
    assert (pictures.read(tmp_path / "x") == 255).all()


def test_a_name_that_is_no_utf8_is_shown():
    assert files.shown("caf\udce9.png") == "caf\ufffd.png"
    assert files.shown("\U0001f600 ж") == "\U0001f600 ж"


# ------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True, np.float32(1), np.array([1, 2])])
def test_seeds_refused(small, seed):
    with pytest.raises(errors.MethodError, match="seed"):
        explain(small, models.pictures(1)[0, :8, :8], seed=seed)
    with pytest.raises(errors.MethodError, match="seed"):
        Explainer(small, seed=seed)


@pytest.mark.parametrize("size", [True, 0, -1, 2.0, None, "8", np.bool_(True), [4]])
def test_batch_sizes_refused(small, size):
    with pytest.raises(errors.MethodError, match="batch_size"):
        explain(small, models.pictures(1)[0, :8, :8], batch_size=size)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array])
def test_whole_numbers_are_whole_numbers(small, kind):
    x = models.pictures(1)[0, :8, :8]
    e = explain(small, x, batch_size=kind(4), seed=kind(3))
    assert (e.info["batch_size"], e.info["seed"]) == (4, 3)
    json.dumps([e.info["batch_size"], e.info["seed"]])
    method = methods.IntegratedGradients(steps=kind(5))
    assert method.steps == 5
    assert type(method.steps) is int
    assert _arguments.integer(kind(3), "x", errors.MethodError, "y") == 3


@pytest.mark.parametrize("make", [
    lambda n: methods.SmoothGrad(samples=n), lambda n: methods.IntegratedGradients(steps=n),
    lambda n: methods.Occlusion(window=n), lambda n: methods.KernelShap(segments=n),
    lambda n: targets.Contrast(similar=n),
])  # fmt: skip
@pytest.mark.parametrize("number", [True, 2.0, 0, "3"])
def test_counts_refused_by_one_rule(make, number):
    with pytest.raises(errors.KerasSaliencyError):
        make(number)


# ------------------------------------------------------------------------------ model files


def test_a_model_file_that_unpacks_to_a_gigabyte_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w") as member:
            for _ in range(128):
                member.write(bytes(1 << 20))
    with pytest.raises(errors.ModelFileError, match="unpack"):
        loading.load(str(path))


def test_honest_model_files_are_not_out_of_proportion(tmp_path, small):
    small.save(tmp_path / "m.keras")
    assert files.unpacks_to(tmp_path / "m.keras") is None
    assert loading.load(str(tmp_path / "m.keras")).name == small.name


DEEP = "[" * 100_000


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 100_000, "", "7", '{"module": 3}'])
def test_model_files_with_a_damaged_config(tmp_path, text):
    import h5py

    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("config.json", text)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["model_config"] = text[:60_000]
    for name in ("x.keras", "x.h5"):
        with pytest.raises(errors.ModelFileError):
            loading.load(str(tmp_path / name))


@pytest.mark.parametrize("name", ["a" * 300 + ".keras", "a\0.h5", "a" * 300])
def test_names_of_models_that_the_system_refuses(name):
    with pytest.raises(errors.ModelFileError):
        loading.load(name)


def test_a_config_that_is_no_text(tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["model_config"] = np.arange(3)
    with pytest.raises(errors.ModelFileError):
        loading.load(str(tmp_path / "x.h5"))

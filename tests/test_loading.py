"""Models by name and file: what loads, what is refused, and that no file's code ever runs."""

import json
import warnings
import zipfile
from pathlib import Path

import keras
import pytest

from keras_saliency import Explanation
from keras_saliency.cli import loading
from keras_saliency.errors import ModelFileError

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)

WEIGHTS = Path(__file__).parents[2] / "shared" / "weights"
needs_shared = pytest.mark.skipif(not WEIGHTS.exists(), reason="no shared folder beside this one")

# ---------------------------------------------------------------------- refused


def own_layer():
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, Own()(inputs))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_code_in_a_model_file_does_not_run(suffix, run, photo, refused, tmp_path):
    mark = tmp_path / "the code ran"
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Lambda(eval(f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]"))(inputs)
    x = keras.layers.Conv2D(3, 3)(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    path = tmp_path / f"evil.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    mark.unlink()
    result = run("explain", photo, model=path)
    refused(result, "evil", "wants to run Python code", "safe_mode=False", "trust")
    assert not mark.exists()

    keras.saving.load_model(path, compile=False, safe_mode=False)
    assert mark.exists()  # so the test can fail


def test_keras_refuses_code_too(run, photo, refused, tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Lambda(lambda x: x * 2)])
    path = tmp_path / "lambda.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    monkeypatch.setattr(loading, "_is_code", lambda node: False)
    refused(run("explain", photo, model=path), "wants to run Python code")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_custom_objects(suffix, run, photo, refused, tmp_path):
    own_layer().save(tmp_path / f"own.{suffix}")
    result = run("explain", photo, model=tmp_path / f"own.{suffix}")
    refused(result, "'Own'", "no part of Keras", "custom_objects")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.keras", ("missing.keras", "No such file", "model.save")),
        ("missing.h5", ("missing.h5", "No such file", "model.save")),
        ("", ("It is a directory",)),
        ("text.keras", ("text.keras", "or a broken one (4 bytes", "Save or copy it again")),
        ("text.h5", ("text.h5", "or a broken one (4 bytes", "Save or copy it again")),
        ("text.txt", ("text.txt", "neither a .keras nor an .h5 file", "model.save")),
        ("cut.keras", ("cut.keras", "or a broken one", "Save or copy it again")),
        ("cut.h5", ("cut.h5", "or a broken one", "Save or copy it again")),
        ("other.keras", ("other.keras", "or a broken one", "Save or copy it again")),
        ("tiny.weights.h5", ("weights only", "--model MobileNet --weights")),
    ],
)
def test_bad_model_file(name, words, run, photo, refused, files, tmp_path):
    path = tmp_path / "models" / name
    path.parent.mkdir(exist_ok=True)
    if not name:
        path.mkdir(exist_ok=True)
    elif name.startswith("text"):
        path.write_text("text")
    elif name.startswith("cut"):
        data = (files / f"tiny{path.suffix}").read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif name.startswith("other"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("holiday.txt", "sun")
    elif name == "tiny.weights.h5":
        path = files / name
    refused(run("explain", photo, model=path), *words)


def test_h5_model(run, photo):
    status, stdout, _ = run("explain", photo, model="tiny.h5")
    assert (status, stdout.strip()) == (0, str(Path("saliency_out", "photo")))


@pytest.mark.parametrize(
    ("name", "weights", "options", "words"),
    [
        ("mobilnetv2", None, {}, "Did you mean 'MobileNetV2'"),
        ("quite another", None, {}, "Take one of efficientnet_lite0, ConvNeXtBase"),
        ("MobileNet", "none", {"alpa": 1}, "Did you mean 'alpha'"),
        ("MobileNet", "none", {"weights": "x"}, "Use --weights"),
        ("MobileNet", "none", {"alpha": "wide"}, "Cannot build MobileNet"),
        ("MobileNet", "missing.h5", {}, "No such file"),
        ("MobileNet", ".", {}, "It is a directory"),
        ("MobileNet", __file__, {}, "no HDF5 or .keras file"),
        ("efficientnet_lite0", "missing.weights.h5", {}, "No such file"),
    ],
)
def test_bad_names_and_weights(name, weights, options, words):
    with pytest.raises(ModelFileError, match=words):
        loading.load(name, weights, options)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network(files):
    with pytest.raises(ModelFileError, match="Keras cannot load it: A total of"):
        loading.load("efficientnet-lite0", str(files / "tiny.keras"), {"input_shape": [32, 32, 3]})


def test_random_weights(run, photo):
    status, stdout, stderr = run(
        "explain", photo, "--model", "EfficientNet_Lite0", "--weights", "none",
        "--model-option", "input_shape=[32, 32, 3]", "--model-option", "classes=4",
        model=None, preprocess=None,
    )  # fmt: skip
    assert status == 0
    assert "weights are random" in stderr
    assert Explanation.load(stdout.strip()).values.shape == (1, 32, 32)


def test_nothing_is_downloaded_without_a_network(photo, refused, tmp_path, command):
    nowhere = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    process = command(
        "explain", photo, "--model", "mobilenet", "--model-option", "alpha=0.25",
        KERAS_HOME=str(tmp_path / "home"), **nowhere,
    )  # fmt: skip
    result = (process.returncode, process.stdout, process.stderr)
    refused(result, "ImageNet weights of MobileNet alpha=0.25", "could not download",
                   "--weights FILE")  # fmt: skip


# ---------------------------------------------------------------------- real classifiers


@needs_shared
@pytest.mark.parametrize(
    "words",
    [
        ["--model", WEIGHTS / "efficientnet_lite0.keras"],
        ["--model", "MobileNetV2", "--weights", WEIGHTS / "mobilenet_v2_1.0_224.weights.h5"],
        ["--model", "MobileNet", "--model-option", "alpha=0.25",
         "--weights", WEIGHTS / "mobilenet_2_5_224_tf.h5"],
        ["--model", WEIGHTS / "squeezenet_v1_1.keras", "--preprocess", "caffe"],
    ],
    ids=["efficientnet_lite0", "mobilenet_v2", "mobilenet", "squeezenet"],
)  # fmt: skip
def test_real_classifiers_see_espresso(words, run):
    status, stdout, stderr = run(
        "explain", *words, "--target", "espresso", "--json", model=None, preprocess=None
    )
    assert status == 0, stderr
    (row,) = json.loads(stdout)
    assert (row["label"], row["class"]) == ("espresso", 967)
    assert row["probability"] > 0.8  # measured 0.86 to 1.00


@needs_shared
def test_weights_only_h5_of_keras_2(run, photo, refused):
    result = run("explain", photo, model=WEIGHTS / "mobilenet_2_5_224_tf.h5")
    refused(result, "weights only", "--model MobileNet --weights")

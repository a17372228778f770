"""What explain() returns: slices, frames, files."""

from __future__ import annotations

import hashlib
import json
import os

import keras
import models
import numpy as np
import pytest

from keras_saliency import Explanation, __version__, errors, explain, methods
from keras_saliency._io import files

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def explained():
    return explain(models.flat(), models.pictures(3), target=[0, 1, 2])


def test_length_index_slice_and_iteration(explained):
    assert len(explained) == 3
    assert [len(one) for one in explained] == [1, 1, 1]
    np.testing.assert_array_equal(explained[-1].values, explained.values[2:])
    assert explained[1:].targets == (1, 2)
    with pytest.raises(IndexError):
        explained[3]


def test_it_is_frozen_and_says_what_it_is(explained):
    with pytest.raises(AttributeError):
        explained.values = 0
    assert repr(explained).startswith("<Explanation by gradient (3, 12, 12): class 0, logit ")
    assert "(p = " in explained.title(0)


def test_info_tells_the_whole_story(explained):
    info = explain(
        models.flat(), models.pictures(1), methods.SmoothGrad("grad_cam", 3), seed=5
    ).info
    assert info["method"] == "smooth_grad"
    given = {"base": "grad_cam", "samples": 3, "noise": 0.15, "reduce": "mean"}
    assert info["parameters"] == {**given, "relative": True, "like": None}
    assert info["layer"] == "relu2"
    assert info["seed"] == 5
    assert info["backend"] == keras.config.backend()
    assert info["versions"]["keras"] == keras.__version__
    assert info["versions"]["keras-saliency"] == __version__
    assert info["model"] == "flat"
    assert info["seconds"] > 0


def test_manifest(explained, tmp_path):
    folder = explained.save(tmp_path / "deep" / "out")
    assert {path.name for path in folder.iterdir()} == {
        "explanation.npz", "figure.png", "manifest.json"
    }  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema_version"] == 2
    assert len(manifest["model_sha256"]) == 64
    assert [row["target"] for row in manifest["pictures"]] == [0, 1, 2]
    assert len({row["sha256"] for row in manifest["pictures"]}) == 3
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_hashes_tell_models_apart(tmp_path):
    model = models.chain(name="hashed")
    x = models.pictures(1)
    one = explain(model, x).model_sha256
    assert one == explain(model, x).model_sha256
    model.set_weights([w + 1e-3 for w in model.get_weights()])
    assert explain(model, x).model_sha256 != one


def _dropped(**kwargs):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.Dropout(0.5, **kwargs),
            keras.layers.GaussianNoise(0.1, **kwargs),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="head"),
        ],
        name="dropped",
    )


def _nested(**kwargs):
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, _dropped(**kwargs)(inputs), name="outer")


@pytest.mark.parametrize("make", [_dropped, _nested])
@pytest.mark.parametrize("how", ["drawn from", "another seed", "saved and loaded", "cloned"])
def test_a_hash_is_of_weights_only(make, how, tmp_path):
    model = make(seed=1)
    x = np.ones((1, 8, 8, 3), "float32")
    before = explain(model, x).model_sha256
    other = model
    if how == "drawn from":
        model(x, training=True)
    elif how == "saved and loaded":
        model.save(tmp_path / "model.keras")
        other = keras.saving.load_model(tmp_path / "model.keras")
    else:
        other = make(seed=2) if how == "another seed" else keras.models.clone_model(model)
        other.set_weights(model.get_weights())
    assert explain(other, x).model_sha256 == before
    other.set_weights([w + 1e-3 for w in other.get_weights()])
    assert explain(other, x).model_sha256 != before


def test_a_hash_is_of_every_version_the_same():
    """Of a functional model: hashes that were saved name it still."""
    model = models.chain(name="hashed")
    sha = hashlib.sha256()
    for one in model.variables:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(one))
        sha.update(f"{one.path} {value.dtype} {value.shape}".encode() + value.tobytes())
    assert explain(model, models.pictures(1)).model_sha256 == sha.hexdigest()


def test_saved_again_it_is_replaced(explained, tmp_path):
    explained.save(tmp_path / "out")
    explained[0].save(tmp_path / "out")
    assert len(Explanation.load(tmp_path / "out")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_peoples_files_are_left_alone(explained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.SaveError, match="Other files are there"):
        explained.save(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.SaveError, match="Other files are there"):
        explained.save(tmp_path / "file")
    with pytest.raises(errors.SaveError, match="Name a place"):
        explained.save(tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


@pytest.mark.parametrize("fails", ["savez_compressed", "dumps", "rename"])
def test_nothing_half_written(explained, tmp_path, monkeypatch, fails):
    explained[:1].save(tmp_path / "old")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    home = {"savez_compressed": np, "dumps": json, "rename": os}[fails]
    monkeypatch.setattr(home, fails, full)
    monkeypatch.setattr(os, "replace", full if fails == "rename" else os.replace)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for name in ("new", "old"):
        with pytest.raises(errors.SaveError, match="No space left"):
            explained.save(tmp_path / name)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert len(Explanation.load(tmp_path / "old")) == 1


@pytest.mark.parametrize("harm", ["no manifest", "no arrays", "not json", "later", "cut", "pickle"])
def test_what_cannot_be_loaded(explained, tmp_path, harm):
    folder = explained.save(tmp_path / "out")
    manifest, arrays = folder / "manifest.json", folder / "explanation.npz"
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "no arrays":
        arrays.unlink()
    elif harm == "not json":
        manifest.write_text("{")
    elif harm == "later":
        manifest.write_text(
            manifest.read_text().replace('"schema_version": 2', '"schema_version": 9')
        )
    elif harm == "cut":
        arrays.write_bytes(arrays.read_bytes()[:500])
    else:
        np.savez(arrays, values=np.array([object()]))
    with pytest.raises(errors.SaveError, match="Cannot read the explanation"):
        Explanation.load(folder)
    with pytest.raises(errors.SaveError, match=r"Cannot read the explanation in .*\. \w+: "):
        Explanation.load(tmp_path / "nowhere")


def test_findings_are_said_aloud():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.ReLU()(
        keras.layers.Conv2D(2, 3, bias_initializer=keras.initializers.Constant(-99))(inputs)
    )
    dead = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    with pytest.warns(UserWarning, match="picture 0: the map is 0 everywhere"):
        e = explain(dead, np.zeros((1, 8, 8, 3), "float32"), target=0)
    assert e.checks[0]["findings"]
    broken = keras.Model(inputs, keras.ops.sqrt(keras.ops.sum(inputs, axis=(1, 2))))
    with pytest.warns(UserWarning, match="NaN or infinite"):
        e = explain(broken, np.zeros((1, 8, 8, 3), "float32"), target=0)
    assert "NaN" in e.checks[0]["findings"][0]


def test_no_findings_on_a_good_map(explained):
    assert all(check["findings"] == () for check in explained.checks)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("grad_camm", "Did you mean 'grad_cam'"),
        (3, "Got 3"),
        (lambda: methods.SmoothGrad(samples=0), "samples to be a whole number above 0"),
        (lambda: methods.SmoothGrad(noise=-1), "noise to be a number above 0"),
        (lambda: methods.SmoothGrad("gradiant"), "Did you mean 'gradient'"),
        (lambda: methods.SmoothGrad(reduce="max"), "reduce to be one of"),
        (lambda: methods.IntegratedGradients(steps=0), "steps to be"),
        (lambda: methods.IntegratedGradients(baseline="blak"), "Did you mean 'black'"),
        (lambda: methods.IntegratedGradients(baseline=[]), "a baseline, or a list of one or more"),
        (lambda: methods.IntegratedGradients(baseline="white"), "the value of white is unknown"),
        (lambda: methods.IntegratedGradients(baseline=np.nan), "is not finite"),
        (lambda: methods.IntegratedGradients(tolerance=0), "tolerance to be"),
        (lambda: methods.Occlusion(window=0), "window to be"),
        (lambda: methods.Occlusion(stride=(1, 2, 3)), "stride to be"),
        (lambda: methods.Occlusion(fill=np.zeros((5, 5))), "broadcasts to the pictures"),
        (lambda: methods.GradCam(layer=3), "layer to be"),
    ],
)
def test_bad_methods_and_options(method, message):
    with pytest.raises(errors.MethodError, match=message):
        explain(models.flat(), models.pictures(1), method() if callable(method) else method)
    with pytest.raises(errors.MethodError, match="batch_size=0"):
        explain(models.flat(), models.pictures(1), batch_size=0)

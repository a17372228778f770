"""Archives: complete, nothing twice, whatever kills the writer and wherever."""

from __future__ import annotations

import io
import json
import shutil
import sys

import keras
import models
import numpy as np
import pytest
from PIL import Image
from test_explainer import any_size, groups
from test_predict_fixations import PHOTOS, stand_in

from keras_saliency import (
    Archive,
    Explainer,
    FixationPredictor,
    _explainer,
    errors,
    explain,
    methods,
    predict_fixations,
    targets,
)
from keras_saliency._results import archive, archive_parts

pytestmark = pytest.mark.any_backend

FORMATS = ("npz", "array_record")


@pytest.fixture(params=FORMATS)
def form(request):
    if request.param == "array_record":
        pytest.importorskip("array_record", reason="needs the extra 'data'")
    return request.param


@pytest.fixture
def photos(tmp_path):
    """Seven photos of different sizes, as files."""
    generator = np.random.default_rng(2)
    paths = [tmp_path / f"photo {i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        Image.fromarray(generator.integers(0, 256, (12 + i, 20, 3), np.uint8)).save(path)
    return paths


def explainer(**options):
    return Explainer(models.flat(), **{"preprocess": None, "batch_size": 2, **options})


def contents(archive):
    """All that an archive holds, as plain data that can be compared."""
    return {
        one.key: (one.values.tobytes(), one.score, one.target, one.label, one.geometry, one.checks)
        for one in archive
    }


# ---------------------------------------------------------------------- what is in it


def test_it_holds_what_explain_finds(form, photos, tmp_path):
    archive = explainer().write(iter(photos), tmp_path / "out", format=form, part_size=3)
    assert [path.name for path in sorted((tmp_path / "out").glob("[!.]*"))] == [
        "manifest.json", "part-00000", "part-00001", "part-00002"
    ]  # fmt: skip
    assert len(archive) == 7
    assert archive.keys == tuple(map(str, photos))
    assert repr(archive).startswith("<Archive of 7 explanations by gradient: ")
    reopened = Archive(tmp_path / "out")
    for photo, record, own in zip(photos, reopened, reopened.maps(), strict=True):
        known = explain(models.flat(), photo, preprocess=None)
        assert record.key == str(photo)
        assert photo.as_posix() in archive
        np.testing.assert_allclose(record.values, known.values[0], rtol=2e-4, atol=2e-6)
        assert record.values.dtype == np.float32
        assert record.score == pytest.approx(known.scores[0], rel=1e-4)
        assert record.probability == pytest.approx(known.probabilities[0], rel=1e-4)
        assert (record.target, record.label) == (known.targets[0], known.labels[0])
        assert record.checks == known.checks[0]
        assert record.geometry == known.geometries[0]
        assert record.attributions is None
        np.testing.assert_array_equal(own, record.map())
        assert own.shape == known.maps()[0].shape == known.pictures[0].shape[:2]
        np.testing.assert_allclose(own, known.maps()[0], rtol=2e-4, atol=2e-6)
    assert all(record.values.base is None for record in reopened)  # keeps no whole part
    for key in (photos[5], str(photos[5])):
        assert reopened[key].values.tobytes() == list(archive)[5].values.tobytes()
    assert [reopened[key].key for key in archive.keys[::-1]] == list(archive.keys[::-1])
    with pytest.raises(KeyError, match="Did you mean"):
        reopened[str(photos[5]) + "x"]


def test_the_manifest_tells_what_was_asked_for(tmp_path):
    method = methods.SmoothGrad(methods.GradCam(layer="conv2"), samples=2)
    asked = explainer(method=method, target=targets.Class(3), seed=4)
    info = asked.write(models.pictures(2), tmp_path / "out").info
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest.pop("checksums")
    assert info == manifest
    assert info["schema_version"] == 2
    assert info["method"] == "smooth_grad"
    assert info["parameters"]["base"]["is"] == "GradCam"
    assert info["parameters"]["base"]["layer"] == "conv2"
    assert info["target"] == {"is": "Class", "score": "logit", "output": None, "index": 3}
    assert (info["seed"], info["preprocess"], info["model"]) == (4, None, "flat")
    known = explain(models.flat(), models.pictures(1)[0])
    assert info["model_sha256"] == known.model_sha256
    assert info["versions"]["keras"] == keras.__version__
    assert info["backend"] == keras.config.backend()


def test_maps_of_several_sizes_and_attributions(form, tmp_path):
    generator = np.random.default_rng(0)
    pictures = [generator.normal(size=(n, 10, 3)).astype("float32") for n in (8, 8, 12, 9)]
    archive = Explainer(any_size()).write(
        pictures, tmp_path / "out", format=form, attributions=True, part_size=3
    )
    for picture, record in zip(pictures, archive, strict=True):
        known = explain(any_size(), picture)
        np.testing.assert_allclose(record.values, known.values[0], rtol=2e-4, atol=2e-6)
        np.testing.assert_allclose(record.attributions, known.attributions[0], rtol=2e-4, atol=2e-6)
    cams = explainer(method="grad_cam").write(
        models.pictures(2), tmp_path / "cams", format=form, attributions=True
    )
    assert [one.attributions for one in cams] == [None, None]


def test_a_part_can_be_read_without_this_package(tmp_path):
    explainer().write(models.pictures(3), tmp_path / "out", keys=["a", "b", 7])
    stored = np.load(tmp_path / "out" / "part-00000" / "maps.npz")
    assert stored["keys"].tolist() == ["a", "b", "7"]
    assert stored["values"].shape == (3, 12, 12)
    assert stored["scores"].dtype == np.float64
    rows = json.loads((tmp_path / "out" / "part-00000" / "rows.json").read_text())
    assert [row["score"] for row in rows["rows"]] == stored["scores"].tolist()
    array_record = pytest.importorskip("array_record.python.array_record_module")
    explainer().write(models.pictures(3), tmp_path / "more", format="array_record")
    path = tmp_path / "more" / "part-00000" / "maps.array_record"
    reader = array_record.ArrayRecordReader(str(path))
    result = [np.load(io.BytesIO(one)) for one in reader.read_all()]
    assert [str(one["key"]) for one in result] == ["0", "1", "2"]
    assert [float(one["score"]) for one in result] == stored["scores"].tolist()
    assert json.loads(str(result[2]["row"]))["label"].startswith("class ")
    np.testing.assert_array_equal(result[1]["values"], stored["values"][1])


def test_keys_are_paths_or_places_or_what_is_given(photos, tmp_path):
    mixed = [models.pictures(1)[0], photos[0], str(photos[1])]
    archive = explainer().write(mixed, tmp_path / "a")
    assert archive.keys == ("0", str(photos[0]), str(photos[1]))
    assert archive[0].key == "0"
    archive = explainer().write(mixed, tmp_path / "b", keys=(f"é{i}" for i in range(3)))
    assert archive.keys == ("é0", "é1", "é2")
    with pytest.raises(errors.SaveError, match="as a picture's key"):
        explainer().write(mixed, tmp_path / "c", keys=[1.5, 2, 3])
    assert len(explainer().write([], tmp_path / "none")) == 0


def test_fixations(form, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTOS[0]).save(path)
    pictures = [path, *PHOTOS]
    predictor = FixationPredictor(stand_in(), batch_size=2)
    archive = predictor.write(pictures[:2], tmp_path / "out", format=form, part_size=3)
    archive = predictor.write(pictures, tmp_path / "out", format=form, part_size=3)
    assert archive.keys == (str(path), "1", "2", "3")
    assert repr(archive).startswith("<Archive of 4 fixations: ")
    for picture, record in zip(pictures, archive, strict=True):
        known = predict_fixations(picture, predictor.model)
        np.testing.assert_allclose(record.values, known.log_density[0], atol=2e-5)
        np.testing.assert_allclose(record.map(), known.maps()[0], rtol=1e-4)
        assert (record.score, record.label) == (None, "")
    with pytest.raises(errors.SaveError, match="mirror was false and is now true"):
        FixationPredictor(predictor.model, mirror=True).write(
            pictures, tmp_path / "out", format=form
        )
    with pytest.raises(errors.SaveError, match="holds was"):
        explainer().write(pictures, tmp_path / "out", format=form)


# ---------------------------------------------------------------------- once more


def test_what_is_there_is_neither_read_nor_computed(form, photos, tmp_path, monkeypatch):
    first = explainer().write(photos[:4], tmp_path / "out", format=form)
    before = contents(first)
    for photo in photos[:4]:
        photo.unlink()
    sizes = groups(monkeypatch)
    archive = explainer().write(photos, tmp_path / "out", format=form)  # extended
    assert sum(sizes) == 3
    assert archive.keys == tuple(map(str, photos))
    assert {key: contents(archive)[key] for key in before} == before
    sizes.clear()
    again = explainer(batch_size=5).write(iter(photos), tmp_path / "out", format=form)
    assert sizes == []
    assert contents(again) == contents(archive)
    assert len(list((tmp_path / "out").glob("part-*"))) == 2


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"method": "grad_cam"}, "method"),
        ({"method": methods.SmoothGrad(methods.InputXGradient(), samples=3)}, "parameters"),
        ({"method": methods.SmoothGrad("gradient", samples=2)}, "parameters"),
        ({"target": 1}, "target"),
        ({"target": targets.TopClass(score="probability")}, "target"),
        ({"seed": 1}, "seed"),
        ({"preprocess": "tf"}, "preprocess"),
        ({"model": models.logits}, "model_sha256"),
        ({"format": "array_record"}, "format"),
        ({"attributions": True}, "attributions"),
    ],
)
def test_a_call_with_something_else_is_refused(other, name, tmp_path):
    if other.get("format"):
        pytest.importorskip("array_record", reason="needs the extra 'data'")
    base = methods.SmoothGrad(methods.Gradient(), samples=3)
    explainer(method=base).write(models.pictures(2), tmp_path / "out")
    how = {n: other[n] for n in ("format", "attributions") if n in other}
    what = {"method": base, **{n: v for n, v in other.items() if n not in how}}
    if "model" in what:
        what["model"] = keras.models.clone_model(models.flat())  # other weights
    twin = Explainer(**{"model": models.flat(), "preprocess": None, **what})
    with pytest.raises(errors.SaveError, match=f"It was begun with other options: .*{name} was"):
        twin.write(models.pictures(3), tmp_path / "out", **how)
    assert len(Archive(tmp_path / "out")) == 2


def test_another_target_for_a_picture_that_is_there_is_refused(tmp_path):
    pictures = models.pictures(3)
    explainer().write(pictures[:2], tmp_path / "out", targets=[0, 1])
    archive = explainer().write(pictures, tmp_path / "out", targets=[0, 1, 2])
    assert [one.target for one in archive] == [0, 1, 2]
    with pytest.raises(errors.SaveError, match="The target of '1' was 1 and is now 2"):
        explainer().write(pictures, tmp_path / "out", targets=[0, 2, 2])
    with pytest.raises(errors.SaveError, match="The target of '0' was 0 and is now None"):
        explainer().write(pictures, tmp_path / "out")


def test_a_key_that_comes_twice_is_refused(photos, tmp_path, monkeypatch):
    sizes = groups(monkeypatch)
    with pytest.raises(errors.SaveError, match="twice, the second time for picture 3"):
        explainer().write([*photos[:3], photos[1]], tmp_path / "list")
    assert sizes == []  # said before any work
    with pytest.raises(errors.SaveError, match="twice, the second time for picture 3"):
        explainer().write(iter([*photos[:3], photos[1]]), tmp_path / "stream")
    assert Archive(tmp_path / "stream").keys == tuple(map(str, photos[:3]))
    with pytest.raises(errors.SaveError, match="twice"):
        explainer().write(models.pictures(2), tmp_path / "given", keys=["a", "a"])
    shutil.copytree(tmp_path / "stream" / "part-00000", tmp_path / "stream" / "part-00009")
    with pytest.raises(errors.SaveError, match=r"is in it twice, the second time in part-00009"):
        Archive(tmp_path / "stream")


def test_pictures_that_cannot_be_used(photos, tmp_path, monkeypatch):
    photos[3].write_bytes(b"no picture")
    with pytest.raises(errors.ImageError, match="not a picture") as caught:
        explainer().write(photos, tmp_path / "raise")
    assert caught.value.__notes__ == [f"The picture's key is {str(photos[3])!r}."]
    assert Archive(tmp_path / "raise").keys == tuple(map(str, photos[:3]))  # nothing is lost

    with pytest.warns(UserWarning, match="1 of 7 pictures were left out") as warned:
        archive = explainer().write(photos, tmp_path / "skip", on_error="skip", part_size=2)
    assert __file__ in {one.filename for one in warned if "left out" in str(one.message)}
    assert archive.keys == tuple(str(p) for i, p in enumerate(photos) if i != 3)
    assert "not a picture" in archive.left_out[str(photos[3])]
    with pytest.raises(KeyError, match="was left out"):
        archive[photos[3]]
    sizes = groups(monkeypatch)
    with pytest.warns(UserWarning, match="left out"):
        again = explainer().write(photos, tmp_path / "skip", on_error="skip")
    assert sizes == []
    assert again.left_out == archive.left_out
    with pytest.raises(errors.TargetError, match="99"):  # no fault of the picture
        explainer(target=99).write(photos[:1], tmp_path / "target", on_error="skip")
    wrong = explainer(preprocess=lambda x: x[..., :2])
    with pytest.raises(errors.PreprocessError, match=r"return a finite array of shape .*Got shape"):
        wrong.write(photos[:1], tmp_path / "preprocess", on_error="skip")


def test_pictures_are_let_go_once_they_are_prepared(photos, tmp_path, monkeypatch):
    held = []

    def spy(model, batch, *rest):
        held.extend(batch.originals)
        return attributed(model, batch, *rest)

    attributed = _explainer.attributed
    monkeypatch.setattr(_explainer, "attributed", spy)
    explainer().write(photos, tmp_path / "out")
    assert [one.size for one in held] == [0] * 7


def test_findings_are_warned_of_once(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(inputs)
    dead = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="zeros", name="d")(x))
    pictures = np.zeros((3, 8, 8, 3), "float32")
    with pytest.warns(UserWarning, match="3 maps have findings .*first 0: the map is 0 every"):
        archive = Explainer(dead, target=0).write(pictures, tmp_path / "out")
    assert "0 everywhere" in archive["2"].checks["findings"][0]


def test_a_slow_part_is_written_before_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_PATIENCE", -1.0)
    explainer().write(models.pictures(3), tmp_path / "out")
    assert archive_parts.numbers(tmp_path / "out") == [0, 1, 2]


# ---------------------------------------------------------------------- other people's folders


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("years of work")
    explain(models.flat(), models.pictures(1)).save(tmp_path / "saved")
    (tmp_path / "file").write_text("x")
    for name, message in (
        ("theirs", "Other files are there"),
        ("saved", "cannot be read"),
        ("file", "Name a place"),
        ("file/below", "Name a place"),
    ):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(errors.SaveError, match=message):
            explainer().write(models.pictures(1), tmp_path / name)
        assert set(sorted(tmp_path.rglob("*"))) - set(before) <= {tmp_path / "saved" / ".lock"}
    (tmp_path / "empty").mkdir()
    assert len(explainer().write(models.pictures(1), tmp_path / "empty")) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "np"}, "Did you mean 'npz'"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"part_size": 0}, "part_size=0"),
    ],
)
def test_options_are_refused(options, message, tmp_path):
    with pytest.raises(errors.SaveError, match=message):
        explainer().write(models.pictures(1), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_without_weights_is_refused(tmp_path):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(errors.ModelError, match="not built yet"):
        Explainer(model).write(models.pictures(1), tmp_path / "out")


def test_without_array_record_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(errors.SaveError, match=r"pip install 'keras-saliency\[data\]'"):
        explainer().write(models.pictures(1), tmp_path / "out", format="array_record")


@pytest.mark.parametrize(
    "harm", ["no manifest", "later", "no maps", "cut", "rows", "fewer maps", "more maps"]
)
def test_what_cannot_be_read(form, harm, tmp_path):
    folder = explainer().write(models.pictures(3), tmp_path / "out", format=form).folder
    manifest, part = folder / "manifest.json", folder / "part-00000"
    maps = next(part.glob("maps.*"))
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "later":
        manifest.write_text(
            manifest.read_text().replace('"schema_version": 2', '"schema_version": 9')
        )
    elif harm == "no maps":
        maps.unlink()
    elif harm == "cut":
        maps.write_bytes(maps.read_bytes()[:700])
    elif harm == "rows":
        (part / "rows.json").write_text("[")
    else:
        text = json.loads((part / "rows.json").read_text())
        rows = (
            text["rows"][:2]
            if harm == "more maps"
            else [*text["rows"], {**text["rows"][0], "key": "3"}]
        )
        (part / "rows.json").write_text(json.dumps({**text, "rows": rows}))
    with pytest.raises(errors.SaveError, match="Cannot read the archive"):
        list(Archive(folder))
    with pytest.raises(errors.SaveError, match="cannot be read"):
        Archive(tmp_path / "nowhere")

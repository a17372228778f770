"""The command: what it prints where, what it writes, what it does with its words."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_saliency
from keras_saliency import Explanation, methods
from keras_saliency.cli import loading, main
from keras_saliency.pretrained import class_names, sample_photo

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)


def test_prints_the_folder_and_nothing_else(run, photo, here):
    status, stdout, stderr = run("explain", photo)
    assert status == 0
    assert stdout == f"{Path('saliency_out', 'photo')}\n"
    assert stderr.startswith("class ")
    assert "logit" in stderr
    folder = here / stdout.strip()
    assert {path.name for path in folder.iterdir()} == {
        "figure.png", "explanation.npz", "manifest.json"
    }  # fmt: skip
    saved = Explanation.load(folder)
    assert saved.values.shape == (1, 16, 16)
    assert saved.maps()[0].shape == (20, 30)
    assert saved.info["method"] == "gradient"


def test_does_what_explain_does(run, photo, files):
    run("explain", photo, "--method", "occlusion", "--method-option", "window=[4, 8]",
        "--target", "2", "--score", "probability", "--fit", "crop", "--out", "maps")  # fmt: skip
    known = keras_saliency.explain(
        keras.saving.load_model(files / "tiny.keras"),
        photo,
        methods.Occlusion(window=(4, 8)),
        target=keras_saliency.targets.Class(2, score="probability"),
        preprocess=keras_saliency._inputs.preprocessing.Preprocess(
            lambda x: x / 127.5 - 1, fit="crop"
        ),
    )
    saved = Explanation.load("maps/photo")
    np.testing.assert_allclose(saved.values, known.values, rtol=1e-4, atol=1e-7)
    assert saved.geometries == known.geometries
    assert saved.targets == (2,)


def test_a_photo_is_packaged(run):
    status, stdout, stderr = run("explain", "--out", "maps")
    assert status == 0
    assert stdout.strip() == str(Path("maps", "espresso"))
    assert f"explaining the packaged photo, {sample_photo()}" in stderr


def test_json(run, photo):
    status, stdout, stderr = run(
        "explain", photo, "--json", "--method", "grad_cam", "--method-option", "layer=conv",
        "--target", "1",
    )  # fmt: skip
    (row,) = json.loads(stdout)
    assert status == 0
    assert "logit" in stderr
    assert row["picture"] == str(photo)
    assert Path(row["figure"]).is_file()
    assert Path(row["figure"]).parent == Path(row["folder"])
    assert (row["label"], row["class"], row["target"]) == ("class 1", 1, "1")
    assert 0 < row["probability"] < 1
    assert (row["method"], row["layer"], row["score_kind"]) == ("grad_cam", "conv", "logit")
    assert row["seconds"] > 0
    assert row["error"] is None
    assert row["checks"]["findings"] == []


def test_the_others_are_done_when_one_photo_is_broken(run, photo, tmp_path, here):
    broken, other = tmp_path / "broken.png", tmp_path / "other.png"
    broken.write_text("no picture")
    other.write_bytes(photo.read_bytes())
    status, stdout, stderr = run("explain", photo, broken, other)
    assert status == 1
    assert stdout.split() == [str(Path("saliency_out", name)) for name in ("photo", "other")]
    assert f"error: {broken}: " in stderr
    assert "not a picture Pillow can read" in stderr
    assert "Traceback" not in stderr
    assert sorted(path.name for path in (here / "saliency_out").iterdir()) == ["other", "photo"]

    status, stdout, _ = run("explain", photo, broken, other, "--json")
    rows = json.loads(stdout)
    assert status == 1
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert rows[1]["folder"] is None
    assert set(rows[0]) == set(rows[1])


def test_photos_of_one_name_do_not_overwrite_each_other(run, photo, tmp_path):
    places = []
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        places.append(tmp_path / folder / ("X.png" if folder == "b" else "x.png"))
        places[-1].write_bytes(photo.read_bytes())
    places.insert(0, tmp_path / "x-2.png")
    places[0].write_bytes(photo.read_bytes())
    status, stdout, _ = run("explain", *places)
    assert status == 0
    assert [Path(line).name for line in stdout.split()] == ["x-2", "x", "X-3", "x-4"]


def test_seed(run, photo):
    words = ("explain", photo, "--method", "smooth_grad", "--method-option", "samples=2",
             "--method-option", "base=input_x_gradient")  # fmt: skip
    values = []
    for number, seed in enumerate(("7", "7", "8")):
        status, stdout, _ = run(*words, "--seed", seed, "--out", f"run{number}")
        assert status == 0
        values.append(Explanation.load(stdout.strip()))
    assert values[0].info["parameters"]["base"] == "input_x_gradient"
    np.testing.assert_array_equal(values[0].values, values[1].values)
    assert np.abs(values[0].values - values[2].values).max() > 0


def test_margin_and_findings(run, photo):
    status, stdout, stderr = run("explain", photo, "--target", "margin:1:1", "--json")
    (row,) = json.loads(stdout)
    assert status == 0  # a map of zeros is worth a warning, not a failure
    assert row["target"].startswith("Margin(")
    assert row["probability"] is None
    assert "0 everywhere" in row["checks"]["findings"][0]
    assert [line for line in stderr.splitlines() if line.startswith("warning: ")] == [
        "warning: " + row["checks"]["findings"][0]
    ]


def test_pixel_of_a_dense_output(run, photo, files):
    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs)).save(files / "dense.keras")
    status, stdout, _ = run("explain", photo, "--target", "pixel:3:5:1", model="dense.keras")
    assert status == 0
    rows, columns = np.nonzero(Explanation.load(stdout.strip()).values[0])
    assert (set(rows), set(columns)) == ({3}, {5})


@pytest.mark.parametrize(
    ("word", "number"),
    [("espresso", 967), ("Golden Retriever", 207), ("golden_retriever", 207), ("12", 12)],
)
def test_class_names(word, number, monkeypatch):
    from keras_saliency._inputs import preprocessing
    from keras_saliency.cli import parsing as words

    monkeypatch.setattr(preprocessing, "class_names", lambda model: class_names())
    result = words.target(words.target_words(word), "probability", None)
    assert (result.index, result.score) == (number, "probability")
    margin = words.target(words.target_words(f"margin:{word}:3"), "logit", None)
    assert (margin.index, margin.other) == (number, 3)


def test_class_names_that_differ_by_a_capital(monkeypatch):
    from keras_saliency._inputs import preprocessing
    from keras_saliency.cli import parsing as words
    from keras_saliency.errors import TargetError

    monkeypatch.setattr(preprocessing, "class_names", lambda model: class_names())
    alike = [n for n in class_names() if n.casefold() == "cardigan"]
    assert len(alike) == 2  # the dog and the garment
    for name in alike:
        assert words.target(words.target_words(name), "logit", None).index == class_names().index(
            name
        )
    with pytest.raises(TargetError, match="which could be 'Cardigan'"):
        words.target(words.target_words("CARDIGAN"), "logit", None)
    with pytest.raises(TargetError, match="Did you mean 'espresso'"):
        words.target(words.target_words("expresso"), "logit", None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.25", 0.25), ("3", 3), ("true", True), ("True", True), ("[1, 2]", [1, 2]),
        ("(1, 2)", (1, 2)), ("null", None), ("none", None), ("None", None), ("blur", "blur"),
        ('"5"', "5"), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_values(text, value):
    from keras_saliency.cli import parsing as words

    assert words.value(text) == value
    assert type(words.value(text)) is type(value)


def test_a_layer_may_be_called_by_a_number():
    from keras_saliency.cli import parsing as words

    assert words.method("grad_cam", [("layer", "5")]) == methods.GradCam(layer="5")
    assert words.method("grad_cam", [("layer", "none")]) == methods.GradCam()


# ---------------------------------------------------------------------- stdout, stderr, signals


def test_an_unforeseen_error_is_reported_without_traceback(run, photo, here, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(keras_saliency, "explain", broken)
    status, stdout, stderr = run("explain", photo)
    assert (status, stdout) == (1, "")
    assert "RuntimeError: out of memory" in stderr
    assert "Traceback" not in stderr
    assert list(here.iterdir()) == []
    assert "Traceback" in run("explain", photo, "--traceback")[2]


def test_interrupt(run, photo, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_saliency, "explain", interrupted)
    assert run("explain", photo) == (130, "", "")


def test_what_keras_prints_goes_to_stderr(run, photo, monkeypatch):
    real = loading.load

    def chatty(*words):
        print("Downloading data from somewhere")
        warnings.warn("two\nlines", stacklevel=1)
        return real(*words)

    monkeypatch.setattr(loading, "load", chatty)
    _, stdout, stderr = run("explain", photo)
    assert stdout.count("\n") == 1
    assert "Downloading" in stderr
    assert "warning: two lines\n" in stderr


def test_a_closed_pipe_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "keras_saliency", "methods"],
            stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")


def test_methods(capsys):
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == methods.names()
    assert max(map(len, lines)) <= 80
    assert "occlusion                    windows whose covering lowers the score" in lines
    assert main(["methods", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == methods.names()
    assert rows["integrated_gradients"]["complete"] is True
    assert rows["occlusion"]["needs_gradient"] is False
    assert rows["smooth_grad"]["stochastic"] is True
    assert rows["smooth_grad"]["options"]["base"] == "gradient"
    assert all(row["reference"] for row in rows.values())


@pytest.mark.parametrize(
    "words",
    [["methods"], ["--help"], ["explain", "--method", "no"], ["train", "--data", "nowhere"]],
)
def test_what_needs_no_keras_imports_none(words):
    code = (
        "import sys; from keras_saliency.cli import main; main(sys.argv[1:]); "
        "print(sorted({'keras', 'jax', 'tensorflow', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_keras_json_may_name_a_backend_that_is_missing(files, photo, here, tmp_path, command):
    (tmp_path / "keras.json").write_text('{"backend": "theano"}')
    result = command(
        "explain", photo, "--model", files / "tiny.keras", "--preprocess", "tf",
        KERAS_HOME=str(tmp_path), KERAS_BACKEND="",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{Path('saliency_out', 'photo')}\n"
    assert "names 'theano', which is not installed: using " in result.stderr
    assert result.stderr.count("\n") == 2  # this line and the class: no start-up chatter

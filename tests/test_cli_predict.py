"""The command's verb ``predict``: what it prints where, what it writes, what it refuses."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from test_predict_fixations import stand_in

from keras_saliency import FixationPrediction, fixation, predict_fixations
from keras_saliency.cli import main
from keras_saliency.pretrained import sample_photo

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "stand_in.keras"
    stand_in().save(path)
    return path


@pytest.fixture
def predict(run, model):
    """Run ``keras-saliency predict`` with the stand-in."""
    return lambda *words: run("predict", "--model", model, *words)


def test_prints_the_folder_and_nothing_else(predict, photo, here, model):
    status, stdout, stderr = predict(photo)
    assert status == 0
    assert stdout == f"{Path('fixations_out', 'photo')}\n"
    assert stderr.startswith("photo.png: half of the fixations on ")
    folder = here / stdout.strip()
    assert {path.name for path in folder.iterdir()} == {
        "figure.png", "prediction.npz", "manifest.json"
    }  # fmt: skip
    saved = FixationPrediction.load(folder)
    known = predict_fixations(photo, keras.saving.load_model(model))
    np.testing.assert_allclose(saved.log_density, known.log_density, atol=1e-5)
    assert saved.names == ("photo.png",)


def test_a_photo_is_packaged(predict):
    status, stdout, stderr = predict("--out", "gaze")
    assert status == 0
    assert stdout.strip() == str(Path("gaze", "espresso"))
    assert f"predicting for the packaged photo, {sample_photo()}" in stderr


def test_json_and_mirror(predict, photo):
    rows = {}
    for word in ("--mirror", "--no-mirror"):
        status, stdout, _ = predict(photo, "--json", word)
        assert status == 0
        (rows[word],) = json.loads(stdout)
    row = rows["--mirror"]
    assert (row["picture"], row["error"]) == (str(photo), None)
    assert Path(row["figure"]).is_file()
    assert Path(row["figure"]).parent == Path(row["folder"])
    assert (row["model"], row["side"], row["mirror"]) == ("stand_in", 64, True)
    assert 0 < row["half_area"] < 0.5
    assert 0 <= row["peak"]["y"] < 20
    assert 0 <= row["peak"]["x"] < 30
    assert rows["--no-mirror"]["mirror"] is False
    assert rows["--no-mirror"]["half_area"] != row["half_area"]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_others_are_done_when_one_photo_is_broken(predict, photo, tmp_path, here, batch_size):
    broken, other = tmp_path / "broken.png", tmp_path / "other.png"
    broken.write_text("no picture")
    Image.fromarray(np.zeros((50, 20), np.uint8)).save(other)
    (here / "fixations_out" / "photo-2").mkdir(parents=True)
    (here / "fixations_out" / "photo-2" / "thesis.txt").write_text("mine")
    words = (photo, broken, other, photo, "--batch-size", batch_size)
    status, stdout, stderr = predict(*words)
    assert status == 1
    assert stdout.split() == [str(Path("fixations_out", name)) for name in ("photo", "other")]
    assert f"error: {broken}: " in stderr
    assert "not a picture Pillow can read" in stderr
    assert "Other files are there" in stderr
    assert "Traceback" not in stderr

    status, stdout, _ = predict(*words, "--json")
    rows = json.loads(stdout)
    assert status == 1
    assert [row["error"] is None for row in rows] == [True, False, True, False]
    assert len({tuple(row) for row in rows}) == 1


def test_a_model_folder(run, photo, tmp_path):
    shape = {"encoder": "efficientnet_lite0", "decoder": "plain", "filters": [4, 4, 4, 4, 4]}
    built = fixation.FixationModel(**shape, input_shape=(64, 64, 3), weights="blank")
    folder = fixation.save_model(built, tmp_path / "mine", {**shape, "input_shape": [64, 64, 3]})
    status, stdout, stderr = run("predict", photo, "--model", folder)
    assert status == 0, stderr
    assert FixationPrediction.load(stdout.strip()).values.shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (
            ["--model", "nowhere"],
            ("'nowhere'", "No such file: 'nowhere", "model.json", "keras-saliency train"),
        ),
        (["--model", "no.keras"], ("no.keras", "No such file")),
    ],
)
def test_no_such_model(words, messages, run, photo, refused):
    refused(run("predict", photo, *words), *messages)


def test_bad_photo(run, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(fixation, "load_model", lambda *_: pytest.fail("the model was loaded"))
    refused(run("predict", tmp_path / "no.jpg"), "No such file", "Check the path")
    Image.new("RGB", (5, 50)).save(tmp_path / "thin.png")
    refused(run("predict", tmp_path / "thin.png"), "Got 50x5", "at least 8x8")


def test_out_is_a_file(predict, photo, refused, tmp_path):
    (tmp_path / "taken").write_text("")
    refused(predict(photo, "--out", tmp_path / "taken"), "It is a file", "--out DIR")


def test_usage(capsys):
    assert main(["predict", "--batch-size", "0"]) == 2
    assert main(["predict", "--help"]) == 0
    assert "--mirror, --no-mirror" in capsys.readouterr().out


def test_help_waits_for_nothing(command):
    code = (
        "import sys; from keras_saliency.cli import main; main(['predict', '--help']); "
        "print(sorted({'keras', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules)))"
    )
    import subprocess
    import sys

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_embedded_model_in_a_process_of_its_own(photo, command, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # TensorFlow sets it in this process
    result = command("predict", photo)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{Path('fixations_out', 'photo')}\n"
    assert result.stderr.count("\n") == 1  # no start-up chatter

"""The verbs train and evaluate: from recordings to a model, from a model to a table."""

import json

import keras
import pytest
import tiny_encoder
from recordings import disc

from keras_saliency.cli import main
from keras_saliency.fixation import data, model
from keras_saliency.fixation.model import Preset, Stage

pytestmark = pytest.mark.long

RECIPE = Preset(
    build={"encoder": "tiny", "decoder": "readout", "filters": 8},
    stages=(Stage("all", encoder=True, epochs=1, rate=1e-3, rise=1),),
    canvases=((64, 96),),
    side=96,
    batch_size=4,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(tiny_encoder.ENCODERS, "tiny", tiny_encoder.TINY)
    monkeypatch.setitem(model.PRESETS, "tiny", RECIPE)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "table"
    learned = [disc(i) for i in range(8)]
    checked = [disc(100 + i, split="val") for i in range(4)]
    other = [disc(200 + i, split="val", dataset="other") for i in range(3)]
    return str(data.write_table([*learned, *checked, *other], folder))


def test_trained_then_scored(table, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--data", table, "--datasets", "disc", "--out"]
    assert main(["train", "tiny", *words, str(out), "--weights", "none"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out / "model")
    assert "learning from 8 pictures (disc 8)" in said.err
    assert "all, epoch 1 of 1: loss" in said.err
    manifest = json.loads((out / "model" / "model.json").read_text())
    assert manifest["training"]["data"] == {"disc": 8}
    assert manifest["training"]["command"].startswith("keras-saliency ")

    scores = tmp_path / "scores"
    assert main(["evaluate", *words, str(scores), "--model", str(out / "model")]) == 0
    said = capsys.readouterr()
    assert "| disc | centre bias | 4 |" in said.out
    assert "| disc | humans | 4 |" in said.out
    assert sorted(path.name for path in scores.iterdir()) == [
        "best_and_worst.png", "evaluation.json", "pictures.csv", "table.md",
    ]  # fmt: skip

    assert main(["evaluate", *words, str(scores), "--model", str(out / "model"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["means"]
    assert {row["predictor"] for row in rows} == {str(out / "model"), "centre bias", "humans"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "tinny", "--data", "TABLE"], "Did you mean 'tiny'"),
        (
            ["train", "tiny", "--data", "TABLE", "--datasets", "lab"],
            "Expected the data sets lab, split 'train'",
        ),
        (["train", "tiny", "--data", "TABLE", "--train-split", "test"], "split 'test'"),
        (["evaluate", "--data", "TABLE", "--model", "nowhere"], "No such file"),
        (["train", "tiny", "--data", "table.zip"], "zip"),
    ],
)
def test_what_cannot_be_is_reported(words, message, table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.zip").write_bytes(b"PK")
    assert main([table if word == "TABLE" else word for word in words]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert not said.out


def test_data_is_needed(capsys):
    assert main(["train"]) == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX can: test_data_parallel.py")
def test_several_devices_need_jax(table, tmp_path, capsys):
    words = ["train", "tiny", "--data", table, "--out", str(tmp_path), "--data-parallel"]
    assert main(words) == 1
    assert "Set KERAS_BACKEND=jax" in capsys.readouterr().err

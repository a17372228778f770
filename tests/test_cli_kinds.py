"""The command explains files of every kind."""

from __future__ import annotations

import json

import keras
import kinds_of_files as of
import numpy as np
import pytest

from keras_saliency import Explanation, explain, plot
from keras_saliency.cli import main

pytestmark = pytest.mark.any_backend

FILES = {
    "signal": (of.signal, "a.npy", lambda p: of.save_array(p, of.draw(32, 1))),
    "sound": (of.signal, "a.wav", lambda p: of.save_wav(p, of.draw(32))),
    "volume": (of.volume, "v.npy", lambda p: of.save_array(p, of.draw(6, 7, 8, 1))),
    "video": (of.video, "c.gif", lambda p: of.save_gif(p, of.frames())),
    "tokens": (of.tokens, "w.npy", lambda p: of.save_array(p, np.arange(5))),
    "table": (of.table, "t.csv", lambda p: of.save_csv(p, of.draw(1, 3), "a,b,c")),
}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Leave figures to the tests of figures."""
    monkeypatch.setattr(plot, "render_png", lambda *_, **__: b"")
    monkeypatch.setattr(Explanation, "panels", lambda self: [])


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_every_kind_is_explained(name, given, tmp_path, capsys):
    make, file, save = FILES[name]
    model = make()
    model.save(tmp_path / "model.keras")
    path = save(tmp_path / file)
    kind = {"sound": "signal"}.get(name, name)
    words = ["explain", path, "--model", tmp_path / "model.keras", "--out", tmp_path / "out"]
    words += ["--kind", kind] if given else []
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr().err
    (row,) = json.loads(capsys.readouterr().out)
    saved = Explanation.load(row["folder"])
    assert saved.info["kind"] == kind
    np.testing.assert_allclose(saved.values, explain(model, path).values, rtol=1e-5, atol=1e-8)
    if kind == "table":
        assert saved.info["features"] == ["a", "b", "c"]


def text_model():
    layers = keras.layers
    vectorization = layers.TextVectorization(output_sequence_length=4, vocabulary=["a", "film"])
    inputs = keras.Input((1,), dtype="string")
    x = layers.Embedding(4, 3)(vectorization(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def test_a_text_is_explained(tmp_path, capsys):
    pytest.importorskip("tensorflow")
    text_model().save(tmp_path / "model.keras")
    (tmp_path / "a.txt").write_text("A film", encoding="utf-8")
    words = ["explain", tmp_path / "a.txt", "--model", tmp_path / "model.keras"]
    status = main([*map(str, words), "--out", str(tmp_path / "out")])
    assert status == 0, capsys.readouterr().err
    assert Explanation.load(tmp_path / "out" / "a").info["words"] == [["a", "film"]]


@pytest.mark.parametrize(
    ("file", "more", "said"),
    [
        ("none.npy", [], "No such file"),
        ("bad.wav", [], "It is broken"),
        ("short.npy", [], "Got the file"),
        ("short.npy", ["--kind", "volume"], "Expected an input (depth, height, width"),
        ("a.npy", ["--preprocess", "tf"], "which is for pictures"),
        ("a.txt", [], "one of the formats"),
    ],
)
def test_what_does_not_fit_is_refused(file, more, said, tmp_path, capsys):
    of.signal().save(tmp_path / "model.keras")
    np.save(tmp_path / "short.npy", np.zeros((3, 1)))
    np.save(tmp_path / "a.npy", np.zeros((32, 1)))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    words = ["explain", tmp_path / file, "--model", tmp_path / "model.keras", *more]
    assert main([*map(str, words), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert "Unexpected" not in error
    assert not (tmp_path / "out").exists()


QUICK = ["--methods", "gradient,occlusion", "--metrics", "deletion(steps=2)"]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_are_compared(name, given, tmp_path, capsys):
    make, file, save = FILES[name]
    make().save(tmp_path / "model.keras")
    path = save(tmp_path / file)
    kind = {"sound": "signal"}.get(name, name)
    methods = ["--methods", "gradient,occlusion(fill=0.0)"]
    words = ["compare", path, "--model", tmp_path / "model.keras", "--out", tmp_path / "out"]
    words += [*methods, *QUICK[2:], *(["--kind", kind] if given else [])]
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert (result["kind"], result["pictures"][0]["name"]) == (kind, file)
    assert all(one["error"] is None for one in result["methods"])


def test_a_report_of_several_files(tmp_path, capsys):
    of.signal().save(tmp_path / "model.keras")
    folder = tmp_path / "signals"
    folder.mkdir()
    of.save_array(folder / "one.npy", of.draw(32, 1))
    of.save_array(folder / "two.npy", of.draw(3, 32, 1))  # a batch
    of.save_array(folder / "short.npy", of.draw(7, 1))
    words = ["report", folder, "-m", tmp_path / "model.keras", "-o", tmp_path / "r.html", *QUICK]
    status = main([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    assert status == 1, err  # the short one
    assert "error: " + str(folder / "short.npy") in err
    result = json.loads(out)
    assert [one["name"] for one in result["pictures"]] == [
        "one.npy", "two.npy 1", "two.npy 2", "two.npy 3",
    ]  # fmt: skip
    assert list(result["broken"]) == [str(folder / "short.npy")]
    assert (tmp_path / "r.html").stat().st_size > 1000
    words = ["compare", folder / "short.npy", "-m", tmp_path / "model.keras", *QUICK]
    assert main([*map(str, words), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def test_a_method_without_meaning_for_a_kind_is_refused(tmp_path, capsys):
    of.table().save(tmp_path / "model.keras")
    path = of.save_csv(tmp_path / "t.csv", of.draw(1, 3), "a,b,c")
    words = ["compare", path, "-m", tmp_path / "model.keras", "-M", "grad_cam"]
    assert main([*map(str, words), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "Got grad_cam, which has none. Leave it out." in error
    assert "help(" not in error


def test_pictures_get_an_overlay_and_others_do_not(tmp_path, capsys):
    of.signal().save(tmp_path / "model.keras")
    path = of.save_array(tmp_path / "a.npy", of.draw(32, 1))
    words = ["explain", path, "-m", tmp_path / "model.keras", "--overlay"]
    assert main([*map(str, words), "--out", str(tmp_path / "out")]) == 1
    assert "Expected pictures for --overlay. Got an input of kind signal." in (
        capsys.readouterr().err
    )


def test_texts_are_compared(tmp_path, capsys):
    pytest.importorskip("tensorflow")
    text_model().save(tmp_path / "model.keras")
    (tmp_path / "a.txt").write_text("A film", encoding="utf-8")
    (tmp_path / "b.txt").write_text("film", encoding="utf-8")
    words = ["compare", tmp_path / "*.txt", "-m", tmp_path / "model.keras", "-M", "gradient"]
    status = main([*map(str, words), "--metrics", "none", "--out", str(tmp_path / "out"), "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    assert [one["name"] for one in json.loads(out)["pictures"]] == ["a.txt", "b.txt"]

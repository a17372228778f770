"""Files, folders and globs on the command line; several targets; the overlay beside the figure."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_saliency import Explanation
from keras_saliency.cli import files, loading, main
from keras_saliency.errors import InputError

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)


@pytest.fixture
def photos(here, photo):
    """A folder with two pictures, one inside an inner folder, and files that are none."""
    folder = here / "photos"
    (folder / "inner").mkdir(parents=True)
    for name in ("10.png", "9.PNG", ".hidden.png", "inner/8.png"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "notes.doc").write_text("none")
    return folder


def _names(out):
    return [Path(line).name for line in out.split()]


@pytest.mark.parametrize("verb", ["explain", "predict"])
def test_a_folder_is_its_pictures_in_order(verb, run, photos):
    status, stdout, stderr = run(verb, "photos", "--out", "maps")
    assert status == 0, stderr
    assert _names(stdout) == ["9", "10"]
    assert "photos: 2 pictures (1 other file left out)" in stderr


def test_a_quoted_glob_is_what_matches(run, photos, monkeypatch):
    status, stdout, stderr = run("explain", "photos/**/*.png", "--out", "photos/maps")
    assert status == 0
    assert _names(stdout) == ["10", "8"]
    assert "photos/**/*.png: 2 files" in stderr
    # The figures of the first run are not explained in the second.
    again = run("explain", "photos/**/*.png", "--out", "photos/maps")
    assert (again[0], _names(again[1])) == (0, ["10", "8"])


def test_brackets_may_be_a_part_of_a_name(run, photo, here):
    (here / "a[1].png").write_bytes(photo.read_bytes())
    assert _names(run("explain", "a[1].png")[1]) == ["a[1]"]


def test_files_stand_before_between_and_behind_options(run, photos):
    status, stdout, _ = run(
        "explain", "photos/10.png", "--seed", "1", "photos/9.PNG", "--fit", "crop",
        "photos/inner/8.png",
    )  # fmt: skip
    assert (status, _names(stdout)) == (0, ["10", "9", "8"])


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("empty", ("Expected pictures", "It has no files.", "*.avif")),
        ("docs", ("It has 1 file, none of them such",)),
        ("nowhere/*.png", ("No file matches 'nowhere/*.png'", "There is no folder 'nowhere'")),
        ("docs/*.png", ("No file matches", "'docs' has 'a.doc'.")),
        ("https://example.org/dog.jpg", ("Got the URL", "downloads nothing", "Download it first")),
        ("data:image/png;base64,AAAA", ("Got the URL",)),
    ],
)
@pytest.mark.parametrize("verb", ["explain", "predict", "compare", "report"])
def test_what_stands_for_no_file_is_refused(verb, word, words, run, tmp_path, monkeypatch, refused):
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.doc").write_text("none")
    given = word if ":" in word else tmp_path / word
    words = [one.replace("'nowhere", f"'{tmp_path}/nowhere") for one in words]
    words = [one.replace("'docs'", f"'{tmp_path}/docs'") for one in words]
    kind = ["--kind", "picture"] if verb != "predict" else []
    refused(run(verb, given, *kind), *words, f"keras-saliency {verb} --help")


def test_a_folder_of_another_kind(tmp_path, capsys):
    for name in ("b.npy", "a.wav", "c.png"):
        (tmp_path / name).write_text("")
    given = [str(tmp_path)]
    assert _stems(files.expand(given, "explain", Path("out"), "signal")) == ["a", "b"]
    assert _stems(files.expand(given, "explain", Path("out"), None)) == ["c"]  # pictures first
    (tmp_path / "c.png").unlink()
    assert _stems(files.expand(given, "explain", Path("out"), None)) == ["a", "b"]
    (tmp_path / "b.npy").unlink()
    with pytest.raises(InputError, match=r"files of kind volume.*It has 1 file, none"):
        files.expand(given, "explain", Path("out"), "volume")


def _stems(paths):
    return [Path(path).stem for path in paths]


def test_a_drive_of_windows_is_no_url():
    assert files.expand([r"C:\photos\dog.jpg"], "explain", Path("out")) == [r"C:\photos\dog.jpg"]


def test_several_targets_are_a_result_each(run, photo):
    status, stdout, _ = run("explain", photo, "-t", "2", "--target", "margin:0:1", "--json")
    rows = json.loads(stdout)
    assert status == 0
    assert [Path(row["folder"]).name for row in rows] == ["photo-2", "photo-margin-0-1"]
    assert [row["class"] for row in rows] == [2, None]
    alone = run("explain", photo, "-t", "2", "--out", "alone")[1]
    ours, known = (Explanation.load(one) for one in (rows[0]["folder"], alone.strip()))
    np.testing.assert_array_equal(ours.values, known.values)
    assert known.targets == (2,)
    status, stdout, stderr = run("explain", photo, "-t", "0", "-t", "7", "--json", "--out", "x")
    assert status == 1  # all are checked before one is explained
    assert all("no class 7" in row["error"] for row in json.loads(stdout))
    assert stderr.count("error: ") == 1


def test_the_overlay_lies_beside_the_figure(run, photo, here):
    for _ in range(2):  # a folder with an overlay is replaced as well
        status, stdout, stderr = run("explain", photo, "--overlay", "--json")
        assert status == 0, stderr
    (row,) = json.loads(stdout)
    path = Path(row["overlay"])
    assert path.parent == Path(row["folder"])
    image = np.asarray(Image.open(path))
    assert image.shape == (20, 30, 3)
    assert image.std() > 5
    Explanation.load(path.parent)  # its checksums hold
    assert run("explain", photo)[0] == 0
    assert not path.exists()


def test_the_spellings_of_other_libraries(run, photo):
    status, stdout, _ = run("explain", photo, "-M", "Smooth-Grad(samples=2, base=IG)", "--json")
    (row,) = json.loads(stdout)
    assert (status, row["method"]) == (0, "smooth_grad")
    saved = Explanation.load(row["folder"]).info["parameters"]
    assert (saved["samples"], saved["base"]) == (2, "integrated_gradients")


def test_the_order_of_names_is_that_of_numbers():
    assert files._sorted(["b10", "B2", "a", "b1"]) == ["a", "b1", "B2", "b10"]


def test_missing_files_are_reported_in_their_turn(run, photo):
    status, stdout, stderr = run("explain", "nowhere.png", photo)
    assert (status, _names(stdout)) == (1, ["photo"])
    assert "No such file: 'nowhere.png'" in stderr
    assert main(["explain", "--help"]) == 0

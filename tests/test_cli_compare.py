"""The verbs compare and report: what they print, write and refuse."""

import json
import sys
from pathlib import Path

import keras
import pytest

import keras_saliency
from keras_saliency import compare, methods
from keras_saliency.cli import parsing
from keras_saliency.cli.output import printable
from keras_saliency.errors import MethodError, MetricError
from keras_saliency.metrics import registry

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)
QUICK = ("--methods", "gradient,grad_cam", "--metrics", "deletion(steps=4),sparseness")


@pytest.fixture
def tiny(files):
    return ("--model", files / "tiny.keras", "--preprocess", "tf")


def test_compare_prints_the_table_and_writes_a_folder(run, photo, here, tiny, files):
    status, stdout, stderr = run("compare", photo, *QUICK, *tiny)
    assert status == 0
    assert stdout.startswith("2 methods on photo.png (class ")
    lines = stdout.splitlines()
    assert lines[2].split() == ["method", "deletion(steps=4)", "↓", "sparseness", "↑", "seconds"]
    assert [line.split()[0] for line in lines[3:5]] == ["gradient", "grad_cam"]
    folder = here / "saliency_comparison"
    assert {path.name for path in folder.iterdir()} == {
        "figure.png", "scores.png", "table.csv", "table.json"
    }  # fmt: skip
    assert "gradient: " in stderr  # and the seconds
    assert stderr.splitlines()[-1] == "saliency_comparison"
    metric = parsing.metrics("deletion(steps=4),sparseness")
    known = compare(
        keras.saving.load_model(files / "tiny.keras"), photo, ["gradient", "grad_cam"], metric,
        preprocess="tf",
    )  # fmt: skip
    record = json.loads((folder / "table.json").read_text())
    for m, row in enumerate(record["methods"]):
        for k, score in enumerate(row["scores"].values()):
            assert score["values"] == pytest.approx(known.values[m, k].tolist(), rel=1e-4)


def test_compare_json(run, photo, tmp_path, tiny):
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    (tmp_path / "a").mkdir()
    twin = tmp_path / "a" / photo.name
    twin.write_bytes(photo.read_bytes())
    words = ("--json", "--out", "x", "--target", "1", "--methods", "gradient", "--metrics",
             "sparseness")  # fmt: skip
    status, stdout, stderr = run("compare", photo, broken, twin, *words, *tiny)
    assert status == 1  # one photo could not be read, the others were compared
    record = json.loads(stdout)
    assert record["folder"] == "x"
    assert list(record["broken"]) == [str(broken)]
    assert "not a picture" in record["broken"][str(broken)]
    assert f"error: {broken}: " in stderr
    assert [one["name"] for one in record["pictures"]] == [str(photo), str(twin)]
    assert {one["target"] for one in record["pictures"]} == {"1"}
    assert len(record["methods"][0]["scores"]["sparseness"]["values"]) == 2


def test_report_writes_one_file(run, photo, here, tiny):
    status, stdout, _ = run("report", photo, *QUICK, *tiny, "--out", "pages/r.html")
    assert (status, stdout) == (0, f"{Path('pages', 'r.html')}\n")
    assert [path.name for path in (here / "pages").iterdir()] == ["r.html"]
    text = (here / "pages" / "r.html").read_text()
    assert "Map of grad_cam over photo.png" in text
    assert '"model_sha256": "' in text.replace("&quot;", '"')
    status, stdout, _ = run("report", photo, *QUICK, *tiny, "--out", "pages/r.html", "--json")
    assert status == 0  # a report may be replaced
    assert json.loads(stdout)["report"] == str(Path("pages", "r.html"))


def test_a_packaged_photo(run, tiny, here):
    status, stdout, stderr = run(
        "compare", "--methods", "gradient", "--metrics", "sparseness", *tiny
    )
    assert status == 0
    assert "espresso.jpg" in stdout
    assert "comparing methods on the packaged photo" in stderr


def test_methods_that_cannot_work(run, photo, files):
    flat = ("--model", files / "flat.keras", "--preprocess", "tf", "--metrics", "sparseness")
    status, stdout, _ = run("compare", photo, *flat, "--methods", "grad_cam,gradient")
    assert status == 0
    assert "grad_cam: no map. " in stdout
    status, stdout, _ = run("compare", photo, *flat, "--methods", "grad_cam")
    assert status == 1  # not one has a map
    assert "grad_cam: no map. " in stdout


def test_no_score_at_all_is_a_failure(run, photo, tiny):
    """A drop in percent is one of probabilities: of a margin below 0 there is none."""
    words = ("--methods", "gradient", "--metrics", "average_drop")
    ends = []
    for margin in ("margin:0:1", "margin:1:0"):  # one of them is below 0
        status, stdout, _ = run("compare", photo, *words, *tiny, "--target", margin)
        assert status == ("not its logit" in stdout)
        ends.append(status)
    assert 1 in ends


def test_options_that_no_metric_can_take_end_the_command(run, photo, tiny, refused):
    words = ("--methods", "gradient", "--metrics", "deletion(steps=0)")
    refused(run("compare", photo, *words, *tiny), "Got steps=0")


def test_what_is_there_is_refused_before_the_work(run, photo, tiny, here, monkeypatch):
    (here / "page.html").write_text("mine")
    (here / "folder").mkdir()
    (here / "folder" / "mine").write_text("mine")
    worked = []
    monkeypatch.setattr(keras_saliency, "compare", lambda **_: worked.append("in vain"))
    for words in (("report", "--out", "page.html"), ("compare", "--out", "folder")):
        status, stdout, stderr = run(words[0], photo, *words[1:], *tiny)
        assert (status, stdout) == (1, "")
        assert (
            "Another file is there." if words[0] == "report" else "Other files are there."
        ) in stderr
    assert worked == []
    assert (here / "page.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("--methods", "grad_kam"), ("'grad_kam'", "Did you mean 'grad_cam'")),
        (("--methods", "smooth_grad(sample=3)"), ("'sample'", "Did you mean 'samples'")),
        (("--methods", "smooth_grad(3)"), ("no list of names", "options in parentheses")),
        (("--methods", "grad_cam lrp"), ("no list of names",)),
        (("--methods", "__import__('os').getcwd()"), ("no list of names",)),
        (("--metrics", "delition"), ("'delition'", "Did you mean 'deletion'")),
        (("--metrics", "deletion(step=3)"), ("'step'", "Did you mean 'steps'")),
    ],
)
@pytest.mark.parametrize("verb", ["compare", "report"])
def test_words_that_make_no_sense(verb, words, messages, run, photo, refused):
    refused(run(verb, photo, *words), *messages, status=2)


def test_no_photo_can_be_read(run, tmp_path, refused, tiny):
    for verb in ("compare", "report"):
        refused(run(verb, tmp_path / "none.jpg", *tiny), "No such file")


def test_objects_cannot_be_named_here(run, photo, tiny, refused):
    words = ("--metrics", "pointing_game", "--methods", "gradient")
    refused(run("compare", photo, *words, *tiny), "boxes= or masks=")


def test_lists():
    result = parsing.methods("gradient, occlusion(window=[4, 8]),grad_cam(layer='a/b'), "
                           "smooth_grad(base=grad_cam, noise=1e-1)")  # fmt: skip
    assert result == [
        methods.Gradient(), methods.Occlusion(window=[4, 8]), methods.GradCam(layer="a/b"),
        methods.SmoothGrad("grad_cam", noise=0.1),
    ]  # fmt: skip
    assert parsing.methods("grad_cam(layer=backbone/conv)") == [methods.GradCam("backbone/conv")]
    assert parsing.methods(None) is None
    assert parsing.methods("all") == "all"
    assert parsing.metrics("none") == []
    (metric,) = parsing.metrics("infidelity(samples=5)")
    assert metric.options == {**registry.get("infidelity").options, "samples": 5}
    for text in ("", ",", "a..b", "f(*x)", "(" * 300):
        with pytest.raises((MethodError, MetricError)):
            parsing.methods(text)


def test_stdout_without_arrows(monkeypatch):
    class Old:
        encoding = "ascii"

    assert printable("deletion ↓ –") == "deletion ↓ –"
    monkeypatch.setattr(sys, "stdout", Old())
    assert printable("deletion ↓ – é") == "deletion (down) - ?"

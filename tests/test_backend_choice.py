"""Which backend is used where no one chose one, or where the chosen one is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_backend  # processes of their own

ROOT = Path(__file__).parents[1]
_HIDE = """
import importlib.util, os, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in {hidden!r} else find(name, *a)
class Hidden:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden)
"""
_SHOW = "print(os.environ.get('KERAS_BACKEND'), 'keras' in sys.modules, 'logging' in sys.modules)"


def _run(
    code: str,
    home: Path,
    *,
    hidden: tuple[str, ...] = (),
    chosen: str | None = None,
    **options: str,
) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    env |= {"KERAS_HOME": str(home), **options}
    if chosen is not None:
        env["KERAS_BACKEND"] = chosen
    return subprocess.run(
        [sys.executable, "-c", _HIDE.format(hidden=hidden) + code],
        capture_output=True, text=True, env=env, check=False, cwd=ROOT,
    )  # fmt: skip


def _keras_json(home: Path, backend: str) -> None:
    (home / "keras.json").write_text(json.dumps({"backend": backend}))


@pytest.mark.parametrize(
    ("hidden", "used"),
    [(("tensorflow",), "jax"), (("tensorflow", "jax"), "torch"), (("tensorflow", "torch"), "jax")],
)
@pytest.mark.parametrize("written", [False, True], ids=["no file", "Keras' own file"])
def test_an_installed_backend_is_used_and_reported_once(tmp_path, hidden, used, written):
    if written:  # as Keras writes it on its first import, whatever backend it ran on
        _keras_json(tmp_path, "tensorflow")
    code = f"import keras_saliency, keras_saliency.errors\n{_SHOW}\nkeras_saliency.explain"
    run = _run(code, tmp_path, hidden=hidden)
    assert run.stdout.split()[:2] == [used, "False"], run.stderr
    assert run.stderr.count("\n") == 1
    assert f"Keras' default names 'tensorflow', which is not installed: using {used}." in run.stderr
    assert "Set KERAS_BACKEND to choose" in run.stderr


def test_keras_then_runs_on_it(tmp_path):
    code = "import keras_saliency, keras\nprint(keras.config.backend())"
    run = _run(code, tmp_path, hidden=("tensorflow", "jax"))
    assert run.stdout.split() == ["torch"], run.stderr
    assert json.loads((tmp_path / "keras.json").read_text())["backend"] == "tensorflow"  # by Keras
    again = _run(code, tmp_path, hidden=("tensorflow", "jax"))
    assert again.stdout.split() == ["torch"], again.stderr


def test_a_folder_of_that_name_is_no_backend(tmp_path):
    (tmp_path / "jax").mkdir()
    code = (
        "import sys\n"
        f"sys.path = [{str(tmp_path)!r}, {str(ROOT)!r}, "
        "*(p for p in sys.path if 'site-packages' not in p)]\n"
        f"from keras_saliency import _imports\n{_SHOW}\nprint(_imports.installed_backends())"
    )
    run = _run(code, tmp_path)
    assert run.stdout.split()[0] == "None", run.stderr
    assert run.stdout.splitlines()[1] == "()"


@pytest.mark.parametrize(
    ("hidden", "chosen", "file"),
    [
        ((), None, None),  # Keras' default is installed
        ((), None, "torch"),
        (("tensorflow",), None, "torch"),
        (("jax",), "jax", None),  # chosen, but absent: an error where Keras is needed
        (("tensorflow",), "tensorflow", None),
        ((), "theano", None),
        ((), None, "numpy"),  # Keras runs on it
        (("tensorflow",), None, "openvino"),
        (("jax", "tensorflow", "torch"), None, None),
    ],
)
def test_a_choice_is_left_alone(tmp_path, hidden, chosen, file):
    if file:
        _keras_json(tmp_path, file)
    run = _run(f"import keras_saliency\n{_SHOW}", tmp_path, hidden=hidden, chosen=chosen)
    assert run.stdout.split() == [str(chosen), "False", "False"], run.stderr
    assert run.stderr == ""


def test_keras_that_was_imported_first_is_left_alone(tmp_path):
    code = f"import types; sys.modules['keras'] = keras = types.ModuleType('keras')\n{_SHOW}"
    run = _run(code.replace("\n", "\nimport keras_saliency\n"), tmp_path, hidden=("tensorflow",))
    assert run.stdout.split() == ["None", "True", "False"], run.stderr
    assert run.stderr == ""


def test_an_import_of_keras_that_failed_succeeds_afterwards(tmp_path):
    """As in a notebook: a cell fails, the next one imports this package, the first runs again."""
    code = """
try:
    import keras
except ModuleNotFoundError as error:
    print(error.name)
import keras_saliency, keras
print(keras.config.backend())
"""
    run = _run(code, tmp_path, hidden=("tensorflow",))
    assert run.stdout.split() == ["tensorflow", "jax"], run.stderr
    assert run.stderr.count("using jax") == 1


def test_warnings_as_errors_do_not_stop_the_import(tmp_path):
    code = f"import keras_saliency\n{_SHOW}"
    run = _run(code, tmp_path, hidden=("tensorflow",), PYTHONWARNINGS="error")
    assert run.stdout.split()[0] == "jax", run.stderr


def test_the_command_makes_the_same_choice_and_reports_it_where_it_uses_it(tmp_path):
    code = """
sys.argv = ["/bin/keras-saliency"]
from keras_saliency.cli import main, output
main(["methods"])
print(*output.start_keras(), sep="|")
"""
    run = _run(code, tmp_path, hidden=("tensorflow", "jax"))
    said = "torch|Keras' default names 'tensorflow', which is not installed"
    assert run.stdout.splitlines()[-1] == said, run.stderr
    assert "using" not in run.stderr  # a list of methods needs no backend


@pytest.mark.parametrize(
    ("chosen", "hidden", "message"),
    [
        ("tensorflow", ("tensorflow",), "export KERAS_BACKEND="),
        ("theano", (), "'theano', selected by KERAS_BACKEND, is not one of"),
        (None, ("jax", "tensorflow", "torch"), "Installed: none. Install one: pip install jax"),
    ],
)
def test_a_missing_backend_is_explained(tmp_path, chosen, hidden, message):
    code = """
from keras_saliency.pretrained import efficientnet_lite0
try:
    efficientnet_lite0()
except ValueError as error:
    print(type(error).__name__, error, 'keras' in sys.modules)
"""
    run = _run(code, tmp_path, hidden=hidden, chosen=chosen)
    assert run.stdout.startswith("BackendError"), run.stderr
    assert message in run.stdout
    # Keras was not imported, its keras.json not written.
    assert run.stdout.strip().endswith("False")
    assert not list(tmp_path.iterdir())

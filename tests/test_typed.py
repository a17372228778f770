"""What type checkers see of the public names: a script that is right, and planted mistakes."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_overloads

import pytest

from keras_saliency import Comparison, Explainer, Explanation, FixationPrediction, explain, plot
from keras_saliency._explain import Options

pytestmark = pytest.mark.no_model

ROOT = Path(__file__).parents[1]
TYPED = ROOT / "tests" / "typed"
CACHE = ROOT / ".mypy_cache" / "typed"  # apart from the package's own, whose settings differ


def _run(*command: str) -> str:
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True, text=True, cwd=ROOT, env=environment, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return run.stdout


def _by_mypy(file: str, folder: Path) -> dict[int, str]:
    """Return what mypy --strict says, by line, with no settings but its own."""
    settings = folder / "mypy.ini"
    settings.write_text("[mypy]\n")
    said = _run(
        "mypy", "--strict", "--follow-imports=silent", f"--config-file={settings}",
        f"--cache-dir={CACHE}", "--output=json", str(TYPED / file),
    )  # fmt: skip
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {row["line"]: row["message"] for row in rows if row["severity"] == "error"}


def _by_pyright(file: str, folder: Path) -> dict[int, str]:
    """Return what pyright says, by line; pyproject.toml has no settings for it."""
    path = str(TYPED / file)
    said = json.loads(_run("pyright", "--outputjson", f"--pythonpath={sys.executable}", path))
    assert said["summary"]["filesAnalyzed"] == 1
    rows = said["generalDiagnostics"]
    return {r["range"]["start"]["line"] + 1: r["message"] for r in rows if r["severity"] == "error"}


CHECKERS = {"mypy": _by_mypy, "pyright": _by_pyright}


@pytest.fixture(params=sorted(CHECKERS), scope="module")
def check(request, tmp_path_factory):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    return lambda file: CHECKERS[request.param](file, folder)


def test_a_script_of_a_user_has_no_error(check):
    assert check("user_script.py") == {}


def test_every_planted_mistake_is_flagged_and_nothing_else(check):
    lines = (TYPED / "mistakes.py").read_text(encoding="utf-8").splitlines()
    planted = [number for number, line in enumerate(lines, 1) if "# mistake: " in line]
    assert len(planted) > 20
    flagged = check("mistakes.py")
    assert sorted(flagged) == planted, flagged


# ------------------------------------------------------------------ options of explanations


@pytest.mark.parametrize("function", [explain, Explainer])
def test_every_form_has_the_options_of_the_function_itself(function):
    options = {"preprocess", "batch_size", "seed", "kind"}
    own = set(inspect.signature(function).parameters)
    assert options < own
    assert set(Options.__annotations__) == options
    for form in get_overloads(function):
        names = set(inspect.signature(form).parameters)
        assert (names - {"options"}) | options == own


# ------------------------------------------------------------------ options of figures

FIGURES = [
    (Explanation.plot, "pair", plot.pair),
    (Explanation.plot, "overlay", plot.overlay),
    (Comparison.plot, "maps", plot.gallery),
    (Comparison.plot, "scores", plot.scores),
]


def _options(function) -> dict[str, object]:
    """Return options and their defaults, without ``note``, which a comparison writes."""
    parameters = inspect.signature(function).parameters.items()
    return {
        name: one.default
        for name, one in parameters
        if one.default is not one.empty and name not in ("kind", "note")
    }


@pytest.mark.parametrize(("method", "kind", "draw"), FIGURES)
def test_plot_takes_the_options_of_its_figure(method, kind, draw):
    forms = {one.__annotations__["kind"]: one for one in get_overloads(method)}
    assert _options(forms[f"Literal['{kind}']"]) == _options(draw)


def test_a_prediction_takes_the_options_of_its_figure():
    assert _options(FixationPrediction.plot) == _options(plot.density)

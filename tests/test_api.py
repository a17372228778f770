"""The public names: docs/api/ has them all, and arguments agree in words and order."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import keras_saliency
from keras_saliency import (
    Explainer,
    Explanation,
    FixationPrediction,
    FixationPredictor,
    compare,
    errors,
    explain,
    methods,
    predict_fixations,
    ray,
)

pytestmark = pytest.mark.no_model

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "api"
_BLOCK = re.compile(r"^::: (keras_saliency[\w.]*)$", re.M)

DATA = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None, reason="needs the extra 'data'"
)


def _public_modules() -> list[str]:
    """Return all modules without an underscore in their names, but the command."""
    found = ["keras_saliency", "keras_saliency.fixation.data", "keras_saliency.fixation.metrics"]
    for path in sorted((ROOT / "keras_saliency").iterdir()):
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_":
            found.append(f"keras_saliency.{path.stem}")
    return [name for name in found if name != "keras_saliency.cli"]


MODULES = _public_modules()


@pytest.mark.parametrize("module", MODULES)
def test_a_public_module_has_its_page(module):
    page = PAGES / f"{module.removeprefix('keras_saliency').lstrip('.') or 'index'}.md"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {module}\n")
    assert _BLOCK.findall(text) == [module]


def test_a_page_is_of_a_public_module():
    assert len(list(PAGES.glob("*.md"))) == len(MODULES)


@DATA
@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_exports_has_a_docstring(module):
    exported = importlib.import_module(module).__all__
    assert len(set(exported)) == len(exported)
    for name in exported:
        one = getattr(importlib.import_module(module), name)
        if inspect.isroutine(one) or inspect.isclass(one) or inspect.ismodule(one):
            text = one.__doc__ or ""
            assert text
            assert not text.startswith(f"{name}("), f"{name} has the docstring of dataclasses"
            assert inspect.cleandoc(text).split("\n\n")[0].rstrip()[-1] in ".?!:", name


def test_every_error_is_public():
    kinds = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    known = [one.__name__ for one in kinds if issubclass(one, errors.KerasSaliencyError)]
    assert sorted(known) == errors.__all__


def test_authors_of_methods_find_all_they_need_in_one_place():
    assert {"Attribution", "Engine", "Method"} <= set(methods.__all__)
    assert methods.Engine.__doc__
    assert set(inspect.signature(methods.Method.attribute).parameters) == {"self", "engine", "seed"}


# ------------------------------------------------------------------ arguments

PAIRS = [
    (explain, Explainer),
    (explain, compare),
    (explain, ray.explain),
    (predict_fixations, ray.predict_fixations),
    (ray.explain, ray.predict_fixations),
    (predict_fixations, FixationPredictor),
    (explain, predict_fixations),
    (Explainer, FixationPredictor),
    (Explainer.__call__, FixationPredictor.__call__),
    (Explainer.stream, FixationPredictor.stream),
    (Explainer.write, FixationPredictor.write),
    (Explanation.save, FixationPrediction.save),
]
# The default fixation model lets the picture come first.
FIRST = {(explain, predict_fixations): {"image"}}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_arguments_that_mean_the_same_come_in_the_same_order(one, other):
    mine, theirs = inspect.signature(one).parameters, inspect.signature(other).parameters
    common = [name for name in mine if name in theirs and name not in FIRST.get((one, other), ())]
    assert common
    assert common == [name for name in theirs if name in common]
    for name in common:
        assert mine[name].kind == theirs[name].kind, name


@pytest.mark.parametrize(
    ("one", "other"), [(explain, Explainer), (predict_fixations, FixationPredictor)]
)
def test_the_many_take_the_arguments_of_the_one(one, other):
    mine, theirs = inspect.signature(one).parameters, inspect.signature(other).parameters
    assert [name for name in mine if name != "image"] == list(theirs)
    for name, parameter in theirs.items():
        assert parameter.default == mine[name].default
        assert parameter.annotation == mine[name].annotation


@pytest.mark.parametrize(
    ("one", "other"),
    [(explain, compare), (explain, ray.explain), (predict_fixations, ray.predict_fixations)],
)
def test_arguments_that_mean_the_same_have_the_same_default(one, other):
    mine, theirs = inspect.signature(one).parameters, inspect.signature(other).parameters
    for name in mine.keys() & theirs.keys():
        assert mine[name].default == theirs[name].default, name


def test_nothing_public_is_passed_or_returned_as_anything():
    functions = [explain, predict_fixations, compare, Explainer, FixationPredictor]
    functions += [Explanation.plot, FixationPrediction.plot, keras_saliency.Comparison.plot]
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation != "Any"
        for name in ("model", "image", "images", "method", "methods", "target", "preprocess"):
            if name in signature.parameters:
                assert signature.parameters[name].annotation != "Any", (function, name)

"""Arguments of another kind than is asked for: an error that says so, never a bare one."""

from __future__ import annotations

import sys

import keras
import models
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import (
    Archive,
    Explainer,
    Explanation,
    FixationPrediction,
    compare,
    errors,
    explain,
    fixation,
    methods,
    plot,
    targets,
)  # fmt: skip
from keras_saliency._inputs import baselines  # fmt: skip
from keras_saliency._inputs.geometry import NoBox
from keras_saliency._inputs.geometry import read as read_box
from keras_saliency._inputs.preprocessing import Preprocess

X = models.pictures(3)
REFUSED = errors.KerasSaliencyError
pytestmark = [pytest.mark.filterwarnings("ignore:picture"), pytest.mark.any_backend]


class NoIndex:
    def __index__(self):
        raise RuntimeError("none")


SYMBOLIC = keras.KerasTensor((2,))
NO_CLASS = [True, np.True_, [0, 1, True], (False, 0, 1), [0, 1, np.True_], [0, 1, [2]], [0, 1.0, 2],
            [0, 1, SYMBOLIC], SYMBOLIC, NoIndex(), [0, 1, 2**40], 2**70, np.array([True] * 3),
            {"a": 1}, {0, 1, 2}, "0", b"0", 1.0, 1j]  # fmt: skip


@pytest.mark.parametrize("target", NO_CLASS, ids=repr)
def test_what_is_no_class(target):
    for given in (target, targets.Class(target), targets.Margin(0, target)):
        with pytest.raises(errors.TargetError):
            explain(models.flat(), X, target=given)


@pytest.mark.parametrize(
    "target", [[0, 1, 2], (0, np.int64(1), np.uint8(2)), np.arange(3), range(3), np.array(1),
               [np.array(0), 1, 2], ops.convert_to_tensor([0, 1, 2])], ids=repr,
)  # fmt: skip
def test_what_is_a_class(target):
    wanted = [1, 1, 1] if np.ndim(target) == 0 else [0, 1, 2]
    assert list(explain(models.flat(), X, target=target).targets) == wanted


NO_OUTPUT = [True, np.array(2), np.array([1, 2]), {}, [], (), [True], 1.5, object(), b"a", "nope",
             ["aux", 0], 7]  # fmt: skip


@pytest.mark.parametrize("output", NO_OUTPUT, ids=repr)
@pytest.mark.parametrize("kind", [targets.TopClass, lambda **its: targets.Class(0, **its)])
def test_what_names_no_output(output, kind):
    with pytest.raises(errors.TargetError):
        explain(models.flat(), X, target=kind(output=output))


def test_a_path_may_come_in_parts():
    picture = keras.Input((8, 8, 3))
    flat = layers.Flatten()(picture)
    outputs = {"aux": [layers.Dense(2)(flat), layers.Dense(3)(flat)], "head": layers.Dense(4)(flat)}
    model = keras.Model(picture, outputs)
    x = X[:, :8, :8]
    wanted = explain(model, x, target=targets.Class(2, output="aux/1"))
    for output in (["aux", 1], ("aux", "1"), ("aux", np.int64(1)), 1, np.int64(1)):
        result = explain(model, x, target=targets.Class(2, output=output))
        np.testing.assert_array_equal(result.values, wanted.values)


ARRAY = np.array([1, 2])
WORDS = {
    "score": lambda: targets.TopClass(score=ARRAY),
    "reduce": lambda: targets.Region(box=(0, 0, 1, 1), reduce=ARRAY),
    "fit": lambda: Preprocess(fit=ARRAY),
    "function": lambda: Preprocess("tf"),
    "function, a number": lambda: Preprocess(3),
    "converter": lambda: Preprocess(converter=ARRAY),
    "callable target": lambda: targets.Function(ARRAY),
    "epsilon": lambda: methods.GradCamPP(epsilon=ARRAY),
    "gamma": lambda: methods.FinerCam(gamma=ARRAY),
    "similar": lambda: targets.Contrast(similar=ARRAY),
    "methods": lambda: compare(models.flat(), X, ARRAY),
    "metrics": lambda: compare(models.flat(), X, ["gradient"], ARRAY),
    "names": lambda: compare(models.flat(), X, ["gradient"], ["sparseness"], names=3),
    "filling": lambda: baselines.fill(True, X, None),
    "fillings": lambda: baselines.fill(np.ones(3, bool), X, None),
    "baseline": lambda: explain(models.flat(), X, methods.IntegratedGradients(baseline=True)),
    "kind": lambda: explain(models.flat(), X).plot("foo"),
    "kind, an array": lambda: explain(models.flat(), X).plot(ARRAY),
    "percentile": lambda: plot.limits(X[0], False, "a"),
    "boxes": lambda: compare(models.flat(), X, ["gradient"], ["sparseness"], boxes=np.array(2)),
    "masks": lambda: compare(models.flat(), X, ["gradient"], ["sparseness"], masks=np.array(2)),
}
OPTIONS = [(name, one, value) for name, made in methods.classes().items()
           for one, kind in made.__dataclass_fields__.items()
           for value in (ARRAY, [1], {}) + (("no", 1, None) if kind.type == "bool" else ())
           if kind.type == "bool" or str(kind.type).startswith(("Literal", "Inter"))]  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_words_functions_and_numbers(name):
    with pytest.raises(REFUSED):
        WORDS[name]()


PATHS = {
    "Explanation.save": lambda path: explain(models.flat(), X).save(path),
    "Explanation.load": Explanation.load,
    "FixationPrediction.load": FixationPrediction.load,
    "Archive": Archive,
    "write": lambda path: Explainer(models.flat()).write(X, path),
    "to_csv": lambda path: compare(models.flat(), X, ["gradient"], ["sparseness"]).to_csv(path),
    "load_model": fixation.load_model,
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", [3, None, b"maps", ARRAY, object()], ids=repr)
def test_what_is_no_path(name, path):
    with pytest.raises(REFUSED, match=r"Expected .*path"):
        PATHS[name](path)


@pytest.mark.parametrize(("name", "option", "value"), OPTIONS)
def test_options_that_are_words_or_true_or_false(name, option, value):
    with pytest.raises(errors.MethodError, match=option):
        methods.classes()[name](**{option: value})


@pytest.mark.parametrize("what", ["keys", "targets"])
@pytest.mark.parametrize("given", [3, 2.5, True, object(), len, np.array(2)], ids=repr)
def test_what_is_no_stream(tmp_path, what, given):
    with pytest.raises(REFUSED, match=what):
        Explainer(models.flat()).write(list(X), tmp_path / "a", **{what: given})


@pytest.mark.parametrize("option", ["format", "on_error"])
def test_words_of_an_archive(tmp_path, option):
    with pytest.raises(errors.SaveError):
        Explainer(models.flat()).write(list(X), tmp_path / "a", **{option: ARRAY})


@pytest.mark.parametrize("box", [(True, 0, 5, 5), [0, False, 5, 5], (0, 0, True, 1)])
def test_a_bool_is_no_side_of_a_box(box):
    with pytest.raises(NoBox):
        read_box(box, (9, 9))
    with pytest.raises(errors.TargetError):
        targets.Region(box=box)


def test_more_pictures_at_once_than_there_can_be():
    noisy = methods.SmoothGrad(samples=2)
    for size in (sys.maxsize, 2**63, 10**30):
        result = explain(models.flat(), X, noisy, batch_size=size)
        wanted = explain(models.flat(), X, noisy, batch_size=8)
        np.testing.assert_allclose(result.values, wanted.values, rtol=1e-4, atol=1e-7)


def test_a_model_without_classes():
    none = layers.Lambda(lambda x: x[:, :0])
    model = keras.Sequential([keras.Input((12, 12, 3)), layers.GlobalAveragePooling2D(), none])
    for target in (None, 0, targets.Margin(0, 1)):
        with pytest.raises(errors.TargetError):
            explain(model, np.zeros((1, 12, 12, 3), "float32"), target=target)


@pytest.mark.parametrize("inputs", [3, 2.5, True, []], ids=repr)
def test_inputs_that_name_none(inputs):
    one, other = keras.Input((4,), name="one"), keras.Input((4,), name="other")
    model = keras.Model([one, other], layers.Add()([one, other]))
    rows = np.ones((1, 4), "float32")
    with pytest.raises(errors.InputError, match=r"one.*other"):
        explain(model, {"one": rows, "other": rows}, "gradient", inputs=inputs)

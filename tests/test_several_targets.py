"""A list of targets: one explanation each, from as few runs of the model as one takes."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import _backend, errors, explain, methods, targets
from keras_saliency._engine import engine as engines
from keras_saliency._engine import together

_SHARED = {
    "grad_cam": methods.GradCam(),
    "layer_cam": methods.LayerCam(layer="first"),
    "eigen_cam": methods.EigenCam(),
    "score_cam": methods.ScoreCam(),
    "ablation_cam": methods.AblationCam(),
    "occlusion": methods.Occlusion(window=5, stride=4),
    "rise": methods.RISE(masks=20, cells=3),
    "lime": methods.Lime(samples=30, segments=4),
    "kernel_shap": methods.KernelShap(segments=4),
}
_ALONE = {
    "gradient": methods.Gradient(),
    "integrated_gradients": methods.IntegratedGradients(steps=4),
    "smooth_grad": methods.SmoothGrad(methods.GradCam(), samples=3),
    "lrp": methods.LRP(),
    "input_x_gradient": methods.InputXGradient(),
}


_SEGMENTS = pytest.mark.skipif(find_spec("skimage") is None, reason="needs scikit-image")
SHARED = [
    pytest.param(name, marks=_SEGMENTS) if "segments" in vars(one) else name
    for name, one in _SHARED.items()
]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    picture = keras.Input((12, 11, 2), name="picture")
    x = L.Conv2D(4, 3, activation="tanh", name="first")(picture)
    x = L.Conv2D(3, 3, activation="tanh", name="second")(x)
    x = L.Dense(5)(L.GlobalAveragePooling2D()(x))
    return keras.Model(picture, L.Softmax()(x))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).normal(size=(3, 12, 11, 2)).astype("float32")


def _targets():
    return [
        targets.TopClass(),
        targets.Class([1, 0, 4]),
        targets.Margin(2, 3),
        lambda outputs: keras.ops.log(outputs[:, 1]),
        targets.Class(2, score="probability"),
    ]


@pytest.fixture
def runs(monkeypatch):
    """The rows that went through programs which run forward, and those of gradients."""
    counted = {"forward": 0, "gradient": 0}
    run = _backend.in_micro_batches

    def counting(program, args, size):
        kind = "gradient" if kinds.get(id(program)) == "gradient" else "forward"
        counted[kind] += len(_backend._first(args))
        return run(program, args, size)

    kinds, make = {}, engines.Engine._program

    def program(self, kind, *rest, **options):
        made = make(self, kind, *rest, **options)
        kinds[id(made)] = kind
        return made

    monkeypatch.setattr(engines.Engine, "_program", program)
    monkeypatch.setattr(_backend, "in_micro_batches", counting)
    return counted


def _same(one, other):
    np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-6)
    assert (one.targets, one.labels) == (other.targets, other.labels)
    assert one.model_sha256 == other.model_sha256
    assert one.info["method"] == other.info["method"]


@pytest.mark.parametrize("name", [*SHARED, *_ALONE])
def test_each_explanation_is_that_of_its_target_alone(model, pictures, name):
    method, each = {**_SHARED, **_ALONE}[name], _targets()
    found = explain(model, pictures, method, target=each, batch_size=2)
    assert len(found) == len(each)
    for one, target in zip(found, each, strict=True):
        _same(one, explain(model, pictures, method, target=target, batch_size=2))
    if name != "eigen_cam":  # of no class
        assert np.abs(found[1].values - found[2].values).max() > 1e-3


@pytest.mark.any_backend
@pytest.mark.parametrize("name", SHARED)
def test_the_model_runs_as_often_as_for_one_target(model, pictures, runs, name):
    each = [targets.Class([1, 0, 4]), targets.Margin(2, 3), targets.Class(2)]
    explain(model, pictures, _SHARED[name], target=each)  # what is found once
    runs.update(forward=0, gradient=0)
    explain(model, pictures, _SHARED[name], target=each[0])
    alone = dict(runs)
    runs.update(forward=0, gradient=0)
    explain(model, pictures, _SHARED[name], target=each)
    assert alone["forward"] > 0
    assert runs == alone


@pytest.mark.any_backend
def test_a_choice_costs_one_run_more(model, pictures, runs):
    """The predicted class is chosen on the pictures, for all targets at once."""
    method = _SHARED["occlusion"]
    each = [targets.TopClass(), targets.TopClass(score="probability"), targets.Class(0)]
    explain(model, pictures, method, target=each)
    runs.update(forward=0)
    explain(model, pictures, method, target=each[0])
    alone = runs["forward"]
    runs.update(forward=0)
    explain(model, pictures, method, target=each)
    assert runs["forward"] <= alone + len(pictures)


@pytest.mark.any_backend
def test_the_count_can_fail(model, pictures, runs, monkeypatch):
    each = [targets.Class(1), targets.Class(2)]
    monkeypatch.setattr(together._Together, "result", lambda *_: None)
    explain(model, pictures, "occlusion", target=each[0])
    alone = runs["forward"]
    runs.update(forward=0)
    explain(model, pictures, "occlusion", target=each)
    assert runs["forward"] == 2 * alone


def test_a_gradient_that_is_not_finite_stays_with_its_target():
    """Of log(0) the derivative is infinite, and 0 times it is no number."""
    picture = keras.Input((6, 6, 1))
    maps = L.ReLU(name="maps")(L.Conv2D(2, 3, kernel_initializer="ones")(picture))
    model = keras.Model(picture, L.GlobalAveragePooling2D()(maps))
    x = np.abs(np.random.default_rng(1).normal(size=(1, 6, 6, 1))).astype("float32")

    def infinite(outputs):
        return keras.ops.log(outputs[:, 0] - outputs[:, 0])

    method = methods.GradCam(layer="maps")
    alone = explain(model, x, method, target=1)
    for each in ([targets.Class(1), infinite], [infinite, targets.Class(1)]):
        try:
            found = explain(model, x, method, target=each)
        except errors.KerasSaliencyError:
            with pytest.raises(errors.KerasSaliencyError):
                explain(model, x, method, target=infinite)
        else:
            _same(found[each.index(infinite) - 1], alone)


@pytest.mark.any_backend
def test_the_error_of_one_target_is_its_own(model, pictures):
    def rounded(outputs):
        return keras.ops.cast(keras.ops.argmax(outputs, axis=-1), "float32")

    for name in ("grad_cam", "gradient"):
        with pytest.raises(errors.GradientError, match="differentiable"):
            explain(model, pictures, name, target=[targets.Class(0), rounded])
    found = explain(model, pictures, "occlusion", target=[targets.Class(0), rounded])
    _same(found[0], explain(model, pictures, "occlusion", target=0))
    with pytest.raises(errors.TargetError, match="class 9"):
        explain(model, pictures, "occlusion", target=[targets.Class(0), targets.Class(9)])


@pytest.mark.any_backend
def test_a_method_of_ones_own_is_run_for_each_target(model, pictures):
    """It may change the model: what it sees is never a result of before."""

    class Doubling(methods.Method):
        family = "perturbation"
        reference = "none"

        def attribute(self, engine, seed):
            scores = list(engine.variant_scores((row, one) for row, one in enumerate(pictures)))
            layer = model.layers[-2]
            layer.set_weights([2 * one for one in layer.get_weights()])
            ones = np.ones_like(engine.images)
            return methods.Attribution(ones * np.reshape(scores, (-1, 1, 1, 1)))

    if len(sys._current_frames()) > 1:
        pytest.skip("where other threads live, who changed the weights is unknown: it runs again")
    before = model.get_weights()
    try:
        first, second = explain(
            model, pictures, Doubling(), target=[targets.Class(0), targets.Class(0)]
        )
    finally:
        model.set_weights(before)
    np.testing.assert_allclose(second.values, 2 * first.values, rtol=1e-4)

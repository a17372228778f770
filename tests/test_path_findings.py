"""What path methods say where nothing can be right: never NaN, never silence."""

import functools

import keras
import networks
import numpy as np
import pytest
from networks import vector

from keras_saliency import explain, methods
from keras_saliency.errors import MethodError

NOTHING = np.zeros((1, 1, 2, 1))
WAYS = [
    methods.IntegratedGradients(steps=4, baseline=0.0),
    methods.GuidedIntegratedGradients(steps=4, baseline=0.0),
    methods.BlurIntegratedGradients(steps=4),
    methods.ExpectedGradients(samples=4, references=NOTHING),
    methods.Idgi(methods.IntegratedGradients(steps=4, baseline=0.0)),
    methods.Xrai("input_x_gradient", masks=np.ones((1, 1, 2), bool), min_area=1),
]
every_way = pytest.mark.parametrize("method", WAYS, ids=lambda one: one.name)


def findings(model, x, method, target=0):
    with pytest.warns(UserWarning, match="picture 0"):
        e = explain(model, x, method, target=target)
    assert np.isfinite(e.values).all()
    assert np.isfinite(e.scores).all()
    assert all(np.isfinite(v) for k, v in e.checks[0].items() if k != "findings")
    return e, " | ".join(e.checks[0]["findings"])


@functools.cache
def root():
    """sqrt(x1) + x2: at x1 = 0 the gradient is infinite."""
    inputs = keras.Input((1, 2, 1))
    return keras.Model(inputs, keras.ops.sqrt(inputs[:, 0, :1, 0]) + inputs[:, 0, 1:, 0])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # input x gradient's 0 * inf
@every_way
def test_a_gradient_that_is_not_finite_is_reported(method):
    e, said = findings(root(), vector(0, 1), method)
    assert "NaN or infinite" in said
    assert e.values[0, 0, 1] > 0


def test_a_point_that_is_lost_costs_its_share_of_the_gap():
    e, said = findings(root(), vector(1, 1), methods.GuidedIntegratedGradients(4, baseline=0.0))
    assert "NaN or infinite at 1 points" in said
    error = e.checks[0]["completeness_error"]
    assert error == pytest.approx(1 - e.attributions.sum() / 2, rel=1e-4)
    assert error > 0.01


@every_way
def test_a_constant_score_is_reported(method):
    e, said = findings(networks.linear(np.zeros((1, 2, 1)), 3.0), vector(2, 1), method)
    assert "0 everywhere" in said
    assert not e.values.any()
    assert e.checks[0].get("completeness_error", 0) == 0


@every_way
def test_a_picture_that_is_its_baseline_is_reported(method):
    e, said = findings(networks.linear(np.ones((1, 2, 1)), 3.0), vector(0, 0), method)
    assert "0 everywhere" in said
    assert not e.values.any()


@pytest.mark.parametrize("method", [WAYS[0], WAYS[1], WAYS[3]], ids=lambda one: one.name)
def test_a_gap_of_0_is_reported(method):
    line = networks.linear(np.array([1.0, -1]).reshape(1, 2, 1), 3.0)
    e, said = findings(line, vector(0.7, 0.7), method)
    assert "the score is the same at the baseline and at the picture" in said
    np.testing.assert_allclose(e.attributions.ravel(), [0.7, -0.7], rtol=1e-6)
    assert e.checks[0]["completeness_error"] < 1


@pytest.mark.filterwarnings("ignore:picture 0. the gradient is NaN")
def test_a_score_that_is_not_finite_is_reported():
    with pytest.warns(UserWarning, match="score of the picture or of the baseline is NaN"):
        e = explain(root(), vector(-1, 1), methods.IntegratedGradients(steps=2), target=0)
    assert np.isfinite(e.values).all()


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (methods.GuidedIntegratedGradients, {"steps": 0}, "whole number above 0.*steps=0"),
        (methods.GuidedIntegratedGradients, {"fraction": 0}, "above 0.*fraction=0"),
        (methods.GuidedIntegratedGradients, {"fraction": 1.5}, "at most 1"),
        (methods.GuidedIntegratedGradients, {"max_distance": -0.1}, "from 0 to 1"),
        (methods.GuidedIntegratedGradients, {"max_distance": float("nan")}, "from 0 to 1"),
        (
            methods.GuidedIntegratedGradients,
            {"baseline": []},
            "a baseline, or a list of one or more",
        ),
        (methods.GuidedIntegratedGradients, {"tolerance": 0}, "above 0.*tolerance=0"),
        (methods.BlurIntegratedGradients, {"max_sigma": 0}, "above 0.*max_sigma=0"),
        (methods.BlurIntegratedGradients, {"steps": 2.5}, "whole number.*steps=2.5"),
        (methods.BlurIntegratedGradients, {"tolerance": -1}, "above 0.*tolerance=-1"),
        (methods.ExpectedGradients, {"samples": 0}, "whole number.*samples=0"),
        (methods.Idgi, {"base": "gradient"}, "a path method.*base="),
        (methods.Idgi, {"base": "expected_gradients"}, "a path method.*base="),
        (methods.Idgi, {"base": 3}, "a path method.*base=3"),
        (methods.Idgi, {"base": "integrated"}, "integrated_gradients"),
        (methods.Idgi, {"steps": 0}, "whole number.*steps=0"),
    ],
)
def test_options_are_refused(kind, options, said):
    with pytest.raises(MethodError, match=said):
        kind(**options)

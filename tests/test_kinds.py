"""Signals, volumes, video, words and tables: every method, on every kind that it is for."""

import functools

import keras
import kinds
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import errors, explain, methods
from keras_saliency._inputs.kinds import KINDS
from keras_saliency.methods.base import classes

OPTIONS = {
    "blur_integrated_gradients": {"steps": 12, "max_sigma": 3},
    "expected_gradients": {"samples": 6},
    "finer_cam": {"similar": 1},
    "guided_integrated_gradients": {"steps": 6},
    "idgi": {"base": methods.IntegratedGradients(steps=6, baseline=0.0)},
    "integrated_gradients": {"steps": 24, "baseline": 0.0},
    "kernel_shap": {"fill": 0.0, "segments": "grid", "samples": 200},
    "lime": {"fill": 0.0, "segments": "grid", "samples": 150, "ridge": 0.01},
    "occlusion": {"fill": 0.0},
    "rise": {"masks": 120, "fill": 0.0},
    "shapley_sampling": {"fill": 0.0, "segments": "grid", "samples": 2},
    "smooth_grad": {"samples": 3},
    "xrai": {"base": methods.IntegratedGradients(steps=8, baseline=0.0), "min_area": 4},
}
EVERY = {name: kind(**OPTIONS.get(name, {})) for name, kind in classes().items()}
FLAT = {"picture": "picture", "lone_signal": "signal"}  # by the name of the network
PAIRS = [
    (net, name)
    for net in kinds.INPUTS
    for name, method in EVERY.items()
    if FLAT.get(net, net) in method.kinds and "transformer" not in name and "rollout" not in name
]


@functools.cache
def _case(net):
    return kinds.case(net)


@functools.cache
def _planted(net):
    return kinds.planted(net)


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(("net", "name"), PAIRS)
def test_shapes_rows_and_seeds(net, name):
    """Attributions have the input's shape, and a row does not depend on its batch."""
    model, x = _case(net)
    method = EVERY[name]
    e = explain(model, x, method, target=1, seed=3)
    axes = len(KINDS[FLAT.get(net, net)].axes)
    assert e.info["kind"] == FLAT.get(net, net)
    assert e.values.shape == x.shape[: 1 + axes]
    assert np.isfinite(e.values).all()
    if e.attributions is not None:
        assert e.attributions.shape == (x.shape if net != "tokens" else (*x.shape, 6))
    assert [one.shape for one in e.maps()] == [x.shape[1 : 1 + axes]] * len(x)
    np.testing.assert_array_equal(explain(model, x, method, target=1, seed=3).values, e.values)
    if name != "expected_gradients":  # its references are the other rows
        alone = explain(model, x[1], method, target=1, seed=3)
        np.testing.assert_allclose(alone.values[0], e.values[1], rtol=2e-3, atol=1e-5)
    for check in e.checks:
        limit = 0.3 if name in ("guided_integrated_gradients", "expected_gradients") else 0.02
        assert check.get("completeness_error", 0) < limit or name == "expected_gradients"


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(("net", "name"), PAIRS)
def test_what_is_planted_is_found(net, name):
    model, x, block = _planted(net)
    if net == "lone_signal" and "cam" in name:
        pytest.skip("a dense layer after Flatten weighs positions: its CAM is of another block")
    options = {} if name != "expected_gradients" else {"references": np.zeros((2, *x.shape[1:]))}
    method = EVERY[name]
    if options:
        if net == "tokens":
            options = {"references": np.zeros((2, *x.shape[1:], 6))}
        method = methods.ExpectedGradients(samples=6, **options)
    if name == "rise":
        method = methods.RISE(masks=400, fill=0.0)
    values = np.abs(explain(model, x, method, target=0).values[0])
    near = np.zeros(values.shape, bool)
    reach = 3 if name != "rise" else 6  # of windows and small maps, enlarged
    near[tuple(slice(max(0, s.start - reach), s.stop + reach) for s in block)] = True
    if net == "table":
        near[:] = False
        near[block] = True
    assert near.flat[values.argmax()]


@pytest.mark.parametrize("net", kinds.INPUTS)
def test_gradients_are_finite_differences(net):
    model, x = _case(net)
    e = explain(model, x, "gradient", target=2)
    if net == "tokens":
        embedding = model.layers[0]
        vectors = np.asarray(keras.ops.convert_to_numpy(embedding(x)))
        rest = keras.Sequential([keras.Input(vectors.shape[1:]), *model.layers[1:]])
    else:
        vectors, rest = x, model
    draw = np.random.default_rng(1)
    for _ in range(6):
        place = tuple(int(draw.integers(n)) for n in vectors.shape)
        step = np.zeros_like(vectors)
        step[place] = 2e-3
        scores = [rest.predict(v, verbose=0)[place[0], 2] for v in (vectors - step, vectors + step)]
        wanted = (scores[1] - scores[0]) / 4e-3
        assert e.attributions[place] == pytest.approx(wanted, abs=0.02 * abs(wanted) + 2e-3)


@pytest.mark.parametrize("name", EVERY)
def test_other_kinds_are_refused(name):
    method = EVERY[name]
    for net in kinds.INPUTS:
        kind = FLAT.get(net, net)
        if kind in method.kinds:
            continue
        model, x = _case(net)
        with pytest.raises(errors.MethodError, match=f"Method '{name}' is for"):
            explain(model, x, method, target=1)


def test_the_kinds_of_a_table_of_linear_weights_is_shaps_identity():
    """Shapley values of a linear model are w (x - mean): shap's own identity."""
    draw = np.random.default_rng(0)
    data, w = draw.normal(size=(50, 7)).astype("float32"), draw.normal(size=(7, 1))
    model = keras.Sequential([keras.Input((7,)), L.Dense(1, use_bias=False)])
    model.set_weights([w.astype("float32")])
    x, mean = data[:2], data.mean(0)
    wanted = w[:, 0] * (x - mean)
    for method in (
        methods.KernelShap(fill=mean),
        methods.ShapleySampling(fill=mean),
        methods.IntegratedGradients(baseline=mean),
        methods.DeepLift(baseline=mean),
        methods.Occlusion(fill=mean),
    ):
        np.testing.assert_allclose(explain(model, x, method).values, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(errors.MethodError, match=r"data\.mean"):
        explain(model, x, "occlusion")

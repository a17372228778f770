"""Path methods against pencil, plain NumPy twins; the path interface they share."""

import functools
import gc
import itertools
import tracemalloc

import keras
import networks
import numpy as np
import pytest
from networks import vector
from scipy import ndimage
from smooth_twin import CLASSES, EXACT, X, close, score, slope, smooth

from keras_saliency import explain, methods, targets
from keras_saliency._engine import micro_batches
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare
from keras_saliency.methods import base

pytestmark = pytest.mark.filterwarnings("ignore:picture .. attributions miss")  # few steps


def trapezoid(points, c):
    points = [np.asarray(p, "float64") for p in points]
    slopes = [slope(p, c) for p in points]
    both = zip(points, points[1:], slopes, slopes[1:], strict=False)
    return sum((q - p) * (g + h) / 2 for p, q, g, h in both)


def engine(model, x, target):
    adapter = Adapter(model)
    return Engine(adapter, targets.get(target), prepare(adapter, x), batch_size=3)


# --- the path interface

PATHS = [
    methods.IntegratedGradients(steps=7, baseline=0.5),
    methods.GuidedIntegratedGradients(steps=7, max_distance=0.2, baseline="mean"),
    methods.BlurIntegratedGradients(steps=7, max_sigma=2),
]
every_path = pytest.mark.parametrize("method", PATHS, ids=lambda one: one.name)


@every_path
def test_a_path_leads_from_the_baseline_to_the_picture(method):
    at = engine(smooth(), X, CLASSES)
    (start,) = method.starts(at)
    points = list(method.path(at, start, method.steps))
    assert len(points) == method.steps + 1
    np.testing.assert_array_equal(points[0], start)
    np.testing.assert_array_equal(points[-1], X)
    assert {point.dtype for point in points} == {X.dtype}
    moves = [np.abs(q - p).max() for p, q in itertools.pairwise(points)]
    assert min(moves) > 0


@every_path
def test_a_walk_says_what_the_model_says_on_the_path(method):
    at = engine(smooth(), X, CLASSES)
    (start,) = method.starts(at)
    stops = list(method.walk(at, start, 4))
    path = list(method.path(at, start, 4))
    assert len(stops) == len(path) == 5
    for stop, points in zip(stops, path, strict=True):
        np.testing.assert_array_equal(stop.points, points)
        both = list(zip(points, CLASSES, strict=True))
        close(stop.scores, [score(p, c) for p, c in both])
        close(stop.gradients, [slope(p, c) for p, c in both])


def test_what_is_abstract_has_no_name():
    assert "base" not in methods.names()
    assert base.PathMethod not in methods.classes().values()
    with pytest.raises(TypeError, match="abstract"):
        base.PathMethod()


@functools.cache
def large():
    return networks.linear(np.ones((32, 32, 3)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (methods.IntegratedGradients, {}),
        (methods.BlurIntegratedGradients, {"max_sigma": 1}),
        (methods.GuidedIntegratedGradients, {}),
        (methods.Idgi, {}),
        (methods.ExpectedGradients, {"references": np.zeros((2, 32, 32, 3))}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_memory_does_not_grow_with_steps(kind, options, monkeypatch):
    x = np.random.default_rng(0).random((32, 32, 3)).astype("float32")
    steps = "samples" if kind is methods.ExpectedGradients else "steps"
    for count in (200, *[20] * 8):  # until all is compiled, and on PyTorch recorded
        explain(large(), x, kind(**{steps: count}, **options))

    def peak(count):
        tracemalloc.start()
        explain(large(), x, kind(**{steps: count}, **options))
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    # Keras' and PyTorch's trees leave cycles behind, which hold pictures until they are collected.
    run = micro_batches.run

    def tidily(*args):
        gc.collect()
        return run(*args)

    monkeypatch.setattr(micro_batches, "run", tidily)
    gc.freeze()  # so that collecting takes no time
    try:
        assert peak(200) - peak(20) < 60 * x.nbytes  # 180 more, if they were held
    finally:
        gc.unfreeze()


# --- blur


def _blurred(x, sigma):
    return ndimage.gaussian_filter(x.astype("float64"), (sigma, sigma, 0), mode="mirror")


def test_blur_against_a_twin():
    method = methods.BlurIntegratedGradients(max_sigma=3, steps=5)
    e = explain(smooth(), X, method, target=CLASSES)
    sigmas = [3, *(0.25 + 2.75 * (1 - k / 5) ** 2 for k in range(1, 5))]
    for row, c in enumerate(CLASSES):
        points = [*(_blurred(X[row], sigma) for sigma in sigmas), X[row]]
        close(e.attributions[row], trapezoid(points, c))


def test_blur_is_the_integral_over_sigma():
    """The paper's: gradient times the derivative by sigma, on an even grid, left ends."""
    e = explain(smooth(), X, methods.BlurIntegratedGradients(max_sigma=3), target=CLASSES)
    fine, nudge = np.linspace(0, 3, 3000, endpoint=False), 1e-3
    for row, c in enumerate(CLASSES):
        wanted = 0
        for sigma in fine:
            here, there = (_blurred(X[row], s) if s else X[row] for s in (sigma, sigma + nudge))
            wanted = wanted - 3 / 3000 * slope(here, c) * (there - here) / nudge
        away = np.linalg.norm(e.attributions[row] - wanted) / np.linalg.norm(wanted)
        assert away < 0.01
    assert max(check["completeness_error"] for check in e.checks) < 1e-3


def test_blur_sums_to_the_change_from_the_blurred_picture():
    e = explain(smooth(), X, methods.BlurIntegratedGradients(max_sigma=5), target=CLASSES)
    gaps = [score(x, c) - score(_blurred(x, 5), c) for x, c in zip(X, CLASSES, strict=True)]
    sums = e.attributions.sum((1, 2, 3), dtype="float64")
    np.testing.assert_allclose(sums, gaps, rtol=5e-3)
    wanted = np.abs(sums - gaps) / np.abs(gaps)
    result = [check["completeness_error"] for check in e.checks]
    np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_blur_on_a_parabola_is_exact_in_one_step():
    w = np.random.default_rng(1).normal(size=(9, 7, 2)).astype("float32")
    method = methods.BlurIntegratedGradients(max_sigma=1.5, steps=1)
    e = explain(networks.quadratic(w, 0.5), X, method, target=0)
    start = np.stack([_blurred(x, 1.5) for x in X])
    close(e.attributions, w * (X**2 - start**2) / 2 + 0.5 * (X - start))


# --- guided: the closed forms are those of the authors' own tests


@functools.cache
def polynomial(kind):
    sums = {
        "linear": lambda a, b: 2 * a + b,
        "apart": lambda a, b: 2 * a**2 + b**2,
        "together": lambda a, b: (2 * a + b) ** 2,
    }
    inputs = keras.Input((1, 2, 1))
    return keras.Model(inputs, sums[kind](inputs[:, 0, 0], inputs[:, 0, 1]))


def guided(kind, x, baseline=0.0, **options):
    method = methods.GuidedIntegratedGradients(
        **{"fraction": 0.1, "baseline": baseline, "steps": 10, **options}
    )
    e = explain(polynomial(kind), vector(*x), method, target=0)
    return e.attributions[0, 0, :, 0]


def test_guided_is_integrated_gradients_where_partials_are_independent():
    start = vector(-1, -3)
    close(guided("linear", (10, 5), start, max_distance=0.5), [22, 8])
    close(guided("linear", (10, 5), max_distance=0.5), [20, 5])
    close(guided("apart", (3, 3), max_distance=0.4), [18, 9])
    close(guided("apart", (0, 0), 3.0, max_distance=0.4), [-18, -9])


def test_guided_leaves_the_straight_path_as_far_as_it_may():
    close(guided("together", (3, 3), max_distance=0), [54, 27])
    close(guided("together", (3, 3), max_distance=0.5, fraction=1), [54, 27])
    # At the baseline both slopes are 0, so that both values take part in the first step.
    close(guided("together", (3, 3), max_distance=1, steps=100), [72, 9], 0.01)
    between = guided("together", (3, 3), max_distance=0.2)
    assert 55 < between[0] < 71
    assert between.sum() == pytest.approx(81, rel=EXACT)


def _guided_points(x, start, c, steps, fraction, distance):
    """One value at a time, in the picture's units, as the paper's algorithm reads."""
    x, point = x.ravel().astype("float64"), start.ravel().astype("float64").copy()
    begin, shape, points = point.copy(), start.shape, [start]
    total = sum(abs(x - begin))
    for step in range(1, steps + 1):
        steep = np.abs(slope(point.reshape(shape), c)).ravel()
        behind, ahead = max(step / steps - distance, 0), min(step / steps + distance, 1)
        for i in range(len(x)):
            if (point[i] - begin[i]) / (x[i] - begin[i]) < behind:
                point[i] = begin[i] + behind * (x[i] - begin[i])
        ends = begin + ahead * (x - begin)
        left = [i for i in range(len(x)) if abs(point[i] - ends[i]) > 1e-12]
        while sum(abs(x - point)) - total * (1 - step / steps) > 1e-9:
            ranks = sorted(steep[i] for i in left)
            limit = ranks[min(int(fraction * (len(x) - 1)), len(ranks) - 1)]
            group = [i for i in left if steep[i] <= limit]
            room = sum(abs(ends[i] - point[i]) for i in group)
            share = min(1, (sum(abs(x - point)) - total * (1 - step / steps)) / room)
            for i in group:
                point[i] += share * (ends[i] - point[i])
            left = [i for i in left if i not in group]
        points.append(point.reshape(shape).copy())
    return points


@pytest.mark.parametrize(("fraction", "distance"), [(0.25, 0.02), (0.1, 0.3), (0.5, 1), (0.03, 0)])
def test_guided_against_a_twin(fraction, distance):
    method = methods.GuidedIntegratedGradients(9, fraction, distance, baseline=0.25)
    at = engine(smooth(), X, CLASSES)
    result = list(method.path(at, *method.starts(at), 9))
    e = explain(smooth(), X, method, target=CLASSES)
    for row, c in enumerate(CLASSES):
        wanted = _guided_points(X[row], np.full_like(X[row], 0.25), c, 9, fraction, distance)
        np.testing.assert_allclose([one[row] for one in result], wanted, atol=1e-5)
        close(e.attributions[row], trapezoid(wanted, c))


def test_guided_takes_one_step_of_all_pictures_at_once(monkeypatch):
    calls = []
    whole = Engine.gradients
    monkeypatch.setattr(Engine, "gradients", lambda *args: calls.append(1) or whole(*args))
    explain(smooth(), X, methods.GuidedIntegratedGradients(steps=6), target=CLASSES)
    assert len(calls) == 7


def test_guided_moves_equals_together():
    """A score that ignores half of the values: these are equal, and none goes before another."""
    x = np.arange(1, 9, dtype="float32").reshape(2, 4, 1)
    model = networks.linear(np.array([1, 1, 1, 1, 0, 0, 0, 0]).reshape(2, 4, 1))
    method = methods.GuidedIntegratedGradients(4, 0.01, 0.3, baseline=0.0)
    at = engine(model, x, 0)
    second = list(method.path(at, *method.starts(at), 4))[1][0] / x
    assert np.ptp(second[1]) < 1e-6
    assert np.ptp(second[0]) < 1e-6
    assert second[1, 0] > second[0, 0]


@pytest.mark.parametrize(
    "kind", [methods.BlurIntegratedGradients, methods.GuidedIntegratedGradients]
)
def test_tolerance_refines_where_it_must(kind):
    at_first = explain(smooth(), X, kind(steps=2), target=CLASSES)
    errors = [check["completeness_error"] for check in at_first.checks]
    worse, bound = int(np.argmax(errors)), np.mean(errors)
    e = explain(smooth(), X, kind(steps=2, tolerance=bound), target=CLASSES)
    assert e.checks[worse]["completeness_error"] <= bound
    close(e.attributions[1 - worse], at_first.attributions[1 - worse], 1e-6)
    steps = 4
    while True:
        again = explain(smooth(), X, kind(steps=steps), target=CLASSES)
        if again.checks[worse]["completeness_error"] <= bound:
            break
        steps *= 2
    close(e.attributions[worse], again.attributions[worse], 1e-6)


# --- idgi


def _idgi(points, scores, slopes):
    total = 0
    for here, there, g in zip(scores, scores[1:], slopes, strict=False):
        total = total + g**2 / (g**2).sum() * (there - here)
    return total


@every_path
def test_idgi_against_a_twin(method):
    at = engine(smooth(), X, CLASSES)
    path = list(method.path(at, *method.starts(at), method.steps))
    e = explain(smooth(), X, methods.Idgi(method), target=CLASSES)
    for row, c in enumerate(CLASSES):
        points = [one[row] for one in path]
        wanted = _idgi(points, [score(p, c) for p in points], [slope(p, c) for p in points])
        close(e.attributions[row], wanted)
        assert e.checks[row]["completeness_error"] < EXACT


def test_idgi_on_a_parabola():
    w = np.array([1.0, -2, 3], "float32").reshape(1, 3, 1)
    x = vector(2, 1, 1)
    method = methods.Idgi(methods.IntegratedGradients(baseline=0.0), steps=2)
    e = explain(networks.quadratic(w, 1.0), x, method, target=0)
    # Points 0, x / 2, x: gradients w x + 1 are (1, 1, 1) and (2, 0, 2.5), and scores
    # sum(w x^2 / 2 + x) are 0, 2.625 and 6.5.
    wanted = np.full(3, 1 / 3) * 2.625 + np.array([4, 0, 6.25]) / 10.25 * (6.5 - 2.625)
    close(e.attributions[0, 0, :, 0], wanted)


def test_idgi_averages_over_baselines_and_takes_the_bases_steps():
    both, one, other = (
        explain(smooth(), X, methods.Idgi(methods.IntegratedGradients(3, b)), target=CLASSES)
        for b in ([0.0, 1.0], 0.0, 1.0)
    )
    close(both.attributions, (one.attributions + other.attributions) / 2)
    assert both.checks[0]["completeness_error"] < EXACT
    chosen = methods.Idgi("guided_integrated_gradients", steps=5)
    assert chosen.base == methods.GuidedIntegratedGradients(steps=5)
    assert methods.Idgi().base == methods.IntegratedGradients()


def test_idgi_tells_what_is_lost_where_the_gradient_is_0():
    # ReLU(x1 - 0.25) at 0, 0.5, 1: 0.25 of 0.75 is gained on a step that starts without gradient.
    x, method = vector(1, 0), methods.Idgi(methods.IntegratedGradients(2, 0.0))
    inputs = keras.Input((1, 2, 1))
    alone = keras.Model(inputs, keras.ops.relu(inputs[:, 0, :1, 0] - 0.25))
    with pytest.warns(UserWarning, match=r"score moves by 0\.25 where its gradient is 0"):
        e = explain(alone, x, method, target=0)
    close(e.attributions[0, 0, :, 0], [0.5, 0])
    assert e.checks[0]["completeness_error"] == pytest.approx(1 / 3, rel=1e-5)
    both = explain(networks.kink(0.25), x, method, target=0)  # x2 is always heard
    assert both.checks[0]["findings"] == ()

"""XRAI: the greedy loop against a slow twin, what it takes and what it says."""

import functools

import models
import networks
import numpy as np
import pytest
from scipy import ndimage

from keras_saliency import explain, methods
from keras_saliency._inputs import segments
from keras_saliency.errors import MethodError

SIZE = (20, 24)
_draw = np.random.default_rng(2)
WEIGHTS = ndimage.gaussian_filter(_draw.normal(size=(*SIZE, 2)), (2, 2, 0))
X = (_draw.random((2, *SIZE, 2)) + 0.5).astype("float32")


@functools.cache
def line():
    return networks.linear(WEIGHTS)


@functools.cache
def overlapping():
    """Rectangles of many sizes that leave some pixels out."""
    masks = np.zeros((40, *SIZE), bool)
    for mask in masks:
        top, left = _draw.integers(0, 15), _draw.integers(0, 18)
        mask[top : top + _draw.integers(2, 9), left : left + _draw.integers(2, 9)] = True
    masks[:, :2, :3] = False
    return masks


def slow(attributions, masks, least):
    """One segment after the other, everything counted anew each time."""
    result, covered = np.full(attributions.shape, np.nan), np.zeros(attributions.shape, bool)
    while True:
        best, gain = None, -np.inf
        for mask in masks:
            fresh = mask & ~covered
            if fresh.sum() >= least and attributions[fresh].mean() > gain:
                best, gain = fresh, attributions[fresh].mean()
        if best is None:
            break
        result[best] = gain
        covered |= best
    rest = np.isnan(result)
    result[rest] = attributions[rest].mean() if rest.any() else 0
    return result


def explained(**options):
    with pytest.warns(UserWarning, match="no segment"):
        return explain(line(), X, methods.Xrai("input_x_gradient", **options), target=0)


@pytest.mark.parametrize("least", [1, 6, 30])
def test_greedy_against_a_slow_twin(least):
    e = explained(masks=overlapping(), min_area=least)
    assert e.attributions is None
    for row in range(2):
        wanted = slow((WEIGHTS * X[row]).sum(-1), overlapping(), least)
        assert len(np.unique(wanted)) > 3
        np.testing.assert_allclose(e.values[row], wanted, rtol=1e-4, atol=1e-7)


def test_many_pixels_are_taken_in_parts(monkeypatch):
    from keras_saliency.methods import xrai

    whole = explained(masks=overlapping(), min_area=3)
    monkeypatch.setattr(xrai, "_AT_ONCE", 7)
    np.testing.assert_allclose(
        explained(masks=overlapping(), min_area=3).values, whole.values, rtol=1e-6
    )


def test_the_map_sums_to_what_the_attributions_sum_to():
    e = explained(masks=overlapping(), min_area=6)
    sums = (WEIGHTS * X).sum((1, 2, 3))
    np.testing.assert_allclose(e.values.sum((1, 2), dtype="float64"), sums, rtol=1e-4)


def test_the_best_segment_comes_first_and_keeps_its_mean():
    x = np.array([[[[8], [6], [1], [0]]] * 2], "float32")
    masks = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], bool)[:, None].repeat(2, 1)
    model = networks.linear(np.ones((2, 4, 1)))
    e = explain(model, x, methods.Xrai("input_x_gradient", masks=masks, min_area=1), target=0)
    np.testing.assert_allclose(e.values[0], [[7, 7, 1, 0]] * 2)
    method = methods.Xrai("input_x_gradient", masks=masks, min_area=3)
    e = explain(model, x, method, target=0)
    # The second segment adds but 2 pixels; the third adds 4.
    np.testing.assert_allclose(e.values[0], [[7, 7, 0.5, 0.5]] * 2)


# --- segments and base


def test_felzenszwalbs_segments_of_each_picture_at_the_scales_asked_for():
    pytest.importorskip("skimage")
    x = np.zeros((2, *SIZE, 2), "float32") + 0.1
    x[0, :, 12:] = 0.9
    x[1, 10:] = 0.7
    method = methods.Xrai("input_x_gradient", scales=(50, 1200), dilation=2, min_area=4)
    e = explain(line(), x, method, target=0)
    for row in range(2):
        masks = list(segments.felzenszwalb_scales(x[row], (50, 1200), dilation=2))
        assert len(masks) > 3
        wanted = slow((WEIGHTS * x[row]).sum(-1), masks, 4)
        np.testing.assert_allclose(e.values[row], wanted, rtol=1e-4, atol=1e-7)


def test_the_default_is_the_published_one():
    method = methods.Xrai()
    assert (method.scales, method.dilation) == ((50, 100, 150, 250, 500, 1200), 5)
    assert method.min_area == 50


def _halves(pixels):
    return pixels / 127.5 - 1


def test_the_base_is_integrated_gradients_from_black_and_white():
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 2)).astype("uint8")
    # The slope tells black from white; a parabola alone has the same height at -1 and at 1.
    model, masks = networks.quadratic(WEIGHTS, 0.3), np.ones((1, *SIZE), bool)
    masks[0, :, 12:] = False
    with pytest.warns(UserWarning, match="no segment"):
        e = explain(model, pixels[None], methods.Xrai(masks=masks), target=0, preprocess=_halves)
    x = _halves(pixels.astype("float64"))
    both = np.mean([WEIGHTS * (x**2 - b**2) / 2 + 0.3 * (x - b) for b in (-1, 1)], axis=0)
    for half in (slice(0, 12), slice(12, 24)):
        wanted = both.sum(-1)[:, half].mean()
        np.testing.assert_allclose(e.values[0, :, half], wanted, rtol=1e-4)
    assert e.checks[0]["completeness_error"] < 1e-4


def test_where_white_is_not_known_the_error_says_what_to_pass():
    said = r"Expected black and white.*base=methods\.IntegratedGradients\(baseline=\[0\.0, 1\.0\]\)"
    with pytest.raises(MethodError, match=said):
        explain(line(), X, "xrai", target=0)


def test_a_grid_is_enlarged_before_it_is_averaged():
    x, masks = models.pictures(1), np.ones((1, 12, 12), bool)
    masks[0, :5] = False
    cam = explain(models.flat(), x, "grad_cam", target=1).values[0]
    with pytest.warns(UserWarning, match="no segment"):
        e = explain(models.flat(), x, methods.Xrai("grad_cam", masks=masks), target=1)
    np.testing.assert_allclose(e.values[0, :5], cam[:5].mean(), rtol=1e-5)
    np.testing.assert_allclose(e.values[0, 5:], cam[5:].mean(), rtol=1e-5)


def test_claims_follow_the_base():
    assert methods.Xrai("smooth_grad").stochastic
    assert not methods.Xrai().stochastic
    assert not methods.Xrai("occlusion").needs_gradient
    assert methods.Xrai().needs_gradient


# --- findings and refusals


def test_one_segment_is_reported():
    method = methods.Xrai("input_x_gradient", masks=np.ones((1, *SIZE), bool))
    with pytest.warns(UserWarning, match="one segment covers the picture"):
        e = explain(line(), X[0], method, target=0)
    np.testing.assert_allclose(e.values, (WEIGHTS * X[0]).sum(-1).mean(), rtol=1e-4)


def test_pixels_without_a_segment_are_counted():
    masks = np.zeros((2, *SIZE), bool)
    masks[0, :5] = masks[1, 5:10] = True
    e = explained(masks=masks)
    assert e.checks[0]["findings"] == (
        "50.0% of the picture belongs to no segment: it gets its mean",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scales": ()}, "numbers above 0"),
        ({"scales": (50, 0)}, "numbers above 0"),
        ({"dilation": -1}, "0 or more"),
        ({"min_area": 0}, "whole number above 0"),
        ({"base": "integrated"}, "Known"),
    ],
)
def test_options_are_refused(options, said):
    with pytest.raises(MethodError, match=said):
        methods.Xrai(**options)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (np.ones((1, 20, 23), bool), r"bool of shape \(1, 20, 23\)"),
        (np.ones(SIZE, bool), r"shape \(20, 24\).*labels == number"),
        (np.ones((1, *SIZE), int), "int64"),
        (np.zeros((2, *SIZE), bool), "all empty"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, said):
    with pytest.raises(MethodError, match=said):
        explain(line(), X, methods.Xrai("input_x_gradient", masks=masks), target=0)

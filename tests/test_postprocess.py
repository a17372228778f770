"""Resizing and geometry against slow twins; properties by hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_saliency._inputs import resampling
from keras_saliency._inputs.geometry import Geometry

pytestmark = pytest.mark.no_model

LENGTHS = st.integers(1, 24)
MAPS = arrays.arrays(
    np.float32,
    st.tuples(LENGTHS, LENGTHS),
    elements=st.floats(-8, 8, width=32, allow_subnormal=False),
)


def bilinear_twin(grid, size):
    """Half-pixel centres, edges repeated; for enlarging."""
    result = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * grid.shape[0] / size[0] - 0.5, 0), grid.shape[0] - 1)
            x = min(max((j + 0.5) * grid.shape[1] / size[1] - 0.5, 0), grid.shape[1] - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, grid.shape[0] - 1), min(x0 + 1, grid.shape[1] - 1)
            top = grid[y0, x0] * (1 - x + x0) + grid[y0, x1] * (x - x0)
            bottom = grid[y1, x0] * (1 - x + x0) + grid[y1, x1] * (x - x0)
            result[i, j] = top * (1 - y + y0) + bottom * (y - y0)
    return result


@given(grid=MAPS, more=st.tuples(st.integers(0, 20), st.integers(0, 20)))
@settings(max_examples=60, deadline=None)
def test_enlarging_is_bilinear_with_half_pixel_centres(grid, more):
    size = (grid.shape[0] + more[0], grid.shape[1] + more[1])
    actual = resampling.resize(grid[None], size)[0]
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, bilinear_twin(grid, size), atol=2e-5)


@given(grid=MAPS, size=st.tuples(LENGTHS, LENGTHS), value=st.floats(-8, 8, width=32))
@settings(max_examples=60, deadline=None)
def test_resizing_keeps_range_sign_and_constants(grid, size, value):
    actual = resampling.resize(grid[None], size)[0]
    assert actual.min() >= grid.min() - 1e-5
    assert actual.max() <= grid.max() + 1e-5
    flat = resampling.resize(np.full_like(grid, value)[None], size)
    np.testing.assert_allclose(flat, value, atol=1e-5)
    np.testing.assert_allclose(resampling.resize(-grid[None], size)[0], -actual, atol=1e-5)


@given(original=st.tuples(st.integers(2, 60), st.integers(2, 60)),
       size=st.tuples(st.integers(2, 40), st.integers(2, 40)),
       fit=st.sampled_from(["stretch", "crop", "pad"]))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_geometry_sees_what_it_says(original, size, fit):
    geometry = Geometry.fitted(original, size, fit)
    top, left, height, width = geometry.window
    assert abs(top + height / 2 - original[0] / 2) < 1e-6  # centred
    assert abs(left + width / 2 - original[1] / 2) < 1e-6
    if fit != "stretch" and original != size:
        assert abs(height / size[0] - width / size[1]) < 1e-6  # aspect ratio as before
    if fit == "crop":
        assert top >= -1e-6
        assert left >= -1e-6
    picture = np.zeros((*original, 3), np.uint8)
    assert geometry.apply(picture).shape == (*size, 3)
    assert geometry.undo(np.ones(size, np.float32)).shape == original


@given(where=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
       original=st.tuples(st.integers(40, 90), st.integers(40, 90)),
       fit=st.sampled_from(["stretch", "crop", "pad"]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_spot_comes_back_where_it_was(where, original, fit):
    """Forth and back, the brightest place of a picture stays within a model pixel."""
    spot = tuple(int(share * side) for share, side in zip(where, original, strict=True))
    y, x = np.mgrid[: original[0], : original[1]]
    blob = 255 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / 60)
    geometry = Geometry.fitted(original, (32, 32), fit)
    top, left, height, width = geometry.window
    assume(top + 6 < spot[0] < top + height - 6 and left + 6 < spot[1] < left + width - 6)
    seen = geometry.apply(blob.astype(np.uint8)[..., None])[..., 0]
    back = geometry.undo(seen.astype(np.float32))
    actual = np.unravel_index(back.argmax(), back.shape)
    step = max(height, width) / 32
    assert np.hypot(actual[0] - spot[0], actual[1] - spot[1]) <= 1.5 * step + 1


def test_what_was_cropped_away_is_zero_and_padding_is_dropped():
    crop = Geometry.fitted((40, 80), (10, 10), "crop")
    back = crop.undo(np.ones((10, 10), np.float32))
    np.testing.assert_array_equal(back[:, 20:60], 1)
    assert not back[:, :20].any()
    assert not back[:, 60:].any()
    pad = Geometry.fitted((40, 80), (10, 10), "pad")
    white = pad.apply(np.full((40, 80, 1), 255, np.uint8))[..., 0]
    assert not white[:2].any()
    assert not white[-2:].any()
    assert (white[3:7] == 255).all()
    np.testing.assert_allclose(pad.undo(np.ones((10, 10), np.float32)), 1, atol=1e-6)


def test_channel_reductions():
    a = np.random.default_rng(0).normal(size=(2, 3, 4, 3))
    np.testing.assert_array_equal(resampling.max_abs(a), np.abs(a).max(-1))
    np.testing.assert_allclose(resampling.channel_sum(a), a[..., 0] + a[..., 1] + a[..., 2])


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_blur_keeps_mean_colour_and_channels_apart(sigma):
    images = np.zeros((1, 30, 30, 3), np.float32)
    images[0, 15, 15, 1] = 1
    blurred = resampling.blur(images, sigma)
    assert not blurred[..., [0, 2]].any()
    np.testing.assert_allclose(blurred.sum(), 1, rtol=1e-4)
    y, x = np.mgrid[:30, :30] - 15
    kernel = np.exp(-(y**2 + x**2) / (2 * sigma**2))
    np.testing.assert_allclose(blurred[0, ..., 1], kernel / kernel.sum(), atol=3e-4)

"""Ways to draw one map: colours that match, one's own axes, outlines, smoothing, enlargements."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from test_plot import headless, panel, words_on

from keras_saliency import plot
from keras_saliency._inputs import resampling
from keras_saliency._results import upsampling
from keras_saliency.errors import MethodError
from keras_saliency.plot import Panel, views

pytestmark = pytest.mark.no_model

RNG = np.random.default_rng(0)
SINGLE = [plot.overlay, plot.heatmap, plot.contours]


def texts(figure):
    return " ".join(" ".join(text.split()) for text, _ in words_on(figure))


def own_axes():
    from matplotlib.figure import Figure

    figure = Figure((6, 3))
    return figure.subplots(1, 2)


@pytest.mark.parametrize("draw", SINGLE)
@pytest.mark.parametrize("signed", [False, True])
def test_one_s_own_axes_are_drawn_into_and_returned(draw, signed):
    left, right = own_axes()
    size = left.figure.get_size_inches().copy()
    item = panel(signed=signed, title="a $title$", method="a method")
    assert draw([item], ax=right) is right
    assert not left.images
    assert [axes for axes in right.figure.axes if axes in (left, right)] == [left, right]
    np.testing.assert_array_equal(right.figure.get_size_inches(), size)  # not laid out anew
    assert len(right.images) == 1
    assert right.images[0].get_extent() == [-0.5, 59.5, 39.5, -0.5]
    assert right.get_title("left").startswith("a $title$\na method")
    bar = right.child_axes[0]
    low, high = plot.limits(views.smoothed([item], draw is plot.contours)[0].map, signed)
    assert bar.get_xlim() == pytest.approx((low, high))
    draw([item], ax=left, colorbar=False)
    assert not left.child_axes
    left.figure.canvas.draw()


@pytest.mark.parametrize("photo", ["gray", "color"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("cmap", [None, "viridis"])
def test_the_bar_has_the_colours_that_are_on_the_picture(photo, signed, cmap):
    """On a picture of one colour, every colour of the map is at its value on the bar."""
    picture = np.broadcast_to(np.array([200, 90, 40], np.uint8), (16, 16, 3))
    values = np.linspace(-1 if signed else 0, 1, 256).reshape(16, 16)
    item = Panel(picture, values, signed=signed)
    figure = headless(plot.overlay, [item], percentile=100, photo=photo, cmap=cmap)
    image, bar = (axes.images[0] for axes in figure.axes)
    colours = bar.get_cmap()(np.linspace(0, 1, 256))[:, :3]
    np.testing.assert_allclose(image.get_array().reshape(-1, 3), colours, atol=0.02)
    grey = np.ptp(np.asarray(image.get_array())[0, 0]) < 1e-6
    assert grey == (photo == "gray" and not signed)  # the map is 0 there


def test_pixels_of_an_overlay_are_those_of_the_figure():
    item = panel(30, 40, signed=True)
    scale = plot.limits(item.map, True)
    pixels = views.overlaid(item, scale, 0.6, "color", None)
    assert pixels.dtype == np.uint8
    drawn = headless(plot.overlay, [item], photo="color").axes[0].images[0].get_array()
    np.testing.assert_allclose(pixels / 255, drawn, atol=0.003)
    large = panel(1300, 20)
    assert views.overlaid(large, (0, 1), 0.6, "gray", None).shape == (1300, 20, 3)  # whole


def test_outlines_are_where_the_map_has_the_levels():
    ramp = np.broadcast_to(np.arange(101.0), (20, 101))
    item = Panel(np.zeros((20, 101), np.uint8), ramp)
    axes = headless(plot.contours, [item], percentile=100, levels=(0.25, 0.5), smooth=0).axes[0]
    at = [path.vertices[:, 0] for path in axes.collections[0].get_paths()]
    np.testing.assert_allclose([line.mean() for line in at], [25, 50])
    both = Panel(item.picture, ramp - 50, signed=True)
    axes = headless(plot.contours, [both], percentile=100, levels=(0.5,), smooth=0).axes[0]
    at = [path.vertices[:, 0].mean() for path in axes.collections[0].get_paths()]
    np.testing.assert_allclose(at, [25, 75])
    assert headless(plot.contours, [Panel(item.picture, np.zeros((20, 101)))])  # nothing to outline


def test_smoothing_keeps_the_sum_and_is_said():
    spike = np.zeros((41, 41))
    spike[20, 20] = 1.0
    item = Panel(np.zeros((41, 41), np.uint8), spike, signed=True)
    (smooth,) = views.smoothed([item], 2.0)
    assert smooth.map.sum() == pytest.approx(1)
    assert smooth.map[20, 22] == pytest.approx(smooth.map[20, 20] * np.exp(-0.5), rel=0.01)
    assert spike[20, 20] == 1
    for draw, options in ((plot.pair, {}), (plot.overlay, {}), (plot.contours, {})):
        said = texts(headless(draw, [item], smooth=2.0, **options))
        assert "smoothed by a Gaussian of 2 pixels" in said
    assert "smoothed" not in texts(headless(plot.overlay, [item]))
    assert "Gaussian of 0.41 pixels" in texts(headless(plot.contours, [item]))  # by itself
    enlarged = dataclasses.replace(item, drawn="bicubic from 2 × 2")
    assert "smoothed" not in texts(headless(plot.contours, [enlarged]))
    assert "For display: bicubic from 2 × 2." in texts(headless(plot.grid, [[enlarged, item]]))


ONES = Panel(np.zeros((8, 8)), np.ones((8, 8)))
BAD = [
    (lambda: plot.overlay([ONES, ONES], ax=own_axes()[0]), "one picture.*Got 2"),
    (lambda: plot.overlay([ONES], ax="axes"), "ax to be axes.*Got a str"),
    (lambda: plot.overlay([ONES], own_axes()[0].figure, ax=own_axes()[0]), "Got both"),
    (lambda: plot.overlay([ONES], photo="colours"), "Did you mean 'colour'"),
    (lambda: plot.overlay([ONES], cmap="viridi"), "Did you mean 'viridis'"),
    (lambda: plot.overlay([ONES], cmap=3), "Got cmap=3"),
    (lambda: plot.pair([ONES], cmap="none"), "Got cmap='none'"),
    (lambda: plot.overlay([ONES], smooth=-1), "smooth=-1"),
    (lambda: plot.grid([[ONES]], smooth="much"), "smooth='much'"),
    (lambda: plot.grid([[ONES]], alpha=2), "alpha=2"),
    (lambda: plot.contours([ONES], levels=()), re.escape("levels=()")),
    (lambda: plot.contours([ONES], levels=(0.5, 1.5)), "up to 1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_options_are_named(make, message):
    with pytest.raises(MethodError, match=message):
        make()


@pytest.mark.parametrize("size", [(224, 224), (75, 98), (7, 9)])
def test_a_grid_is_recovered_and_enlarged_without_facets(size):
    grid = (1 + RNG.random((7, 7))).astype("float32")
    linear = resampling.resize(grid[None], size)[0]
    np.testing.assert_allclose(upsampling.cells(linear, (7, 7)), grid, atol=1e-4)
    smooth = upsampling.bicubic(linear, (7, 7))
    assert smooth.shape == size
    assert smooth.min() >= 0
    assert smooth.max() <= 1.25 * grid.max()
    if size == (224, 224):  # a facet is a bend: a large second difference at one pixel
        bends = [np.abs(np.diff(one, 2, axis=0)).max() for one in (linear, smooth)]
        assert bends[1] < bends[0] / 4
        cell = slice(16, None, 32)  # at the cells' centres both are the grid
        np.testing.assert_allclose(smooth[cell, cell], grid, atol=0.05)
    assert upsampling.cells(RNG.random((224, 224)).astype("float32"), (7, 7)) is None
    assert upsampling.cells(np.where(np.eye(*size), np.nan, linear), (7, 7)) is None
    assert upsampling.cells(linear, (7, 1000)) is None


def test_a_guided_map_ends_at_the_picture_s_edge():
    picture = np.zeros((64, 64))
    picture[:, 37:] = 1.0
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype="float32"), (64, 64))
    result = upsampling.guided(ramp, picture, radius=8)
    steps = np.diff(result[32])
    assert steps.argmax() == 36
    assert steps[36] > 5 * np.median(np.diff(ramp[32]))
    flat = upsampling.guided(ramp, np.zeros((64, 64)), radius=2)
    np.testing.assert_allclose(flat[32, 8:-8], ramp[32, 8:-8], atol=1e-6)  # no edge, no change
    assert 0 <= result.min() <= result.max() <= 1


def test_show_opens_a_window_where_there_is_one(monkeypatch):
    from matplotlib import pyplot

    figure, shown = plot.pair([ONES]), []
    with pytest.warns(UserWarning, match="no window"):
        figure.show()
    monkeypatch.setattr(pyplot, "get_backend", lambda: "windows")
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.gcf().canvas.manager))
    figure.show()
    assert shown[0].canvas.figure is figure
    pyplot.close("all")

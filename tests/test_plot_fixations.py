"""The figure of a density: its scale, its outlines, its words, what it refuses."""

import numpy as np
import pytest
from test_plot import headless, png, words_on

from keras_saliency import plot
from keras_saliency.errors import MethodError
from keras_saliency.plot import Panel
from keras_saliency.plot.fixations import levels

pytestmark = pytest.mark.no_model

SHARES = (0.25, 0.5, 0.75, 0.9)
RNG = np.random.default_rng(0)


def heap(height=40, width=60, channels=3, title="crossing.jpg", sigma=5.0):
    """A Gaussian density on a picture, off its centre."""
    y, x = np.mgrid[:height, :width]
    values = np.exp(-((y - height / 3) ** 2 + (x - width / 3) ** 2) / (2 * sigma**2))
    picture = RNG.integers(0, 256, (height, width, channels), np.uint8)
    return Panel(picture, (values / values.sum()).astype("float32"), title)


def contours(figure):
    from matplotlib.contour import ContourSet

    return [c for axes in figure.axes for c in axes.get_children() if isinstance(c, ContourSet)]


def test_levels_are_those_of_the_smallest_areas():
    density = heap(90, 120).map.astype("float64")
    for share, level in zip(SHARES, levels(density, SHARES), strict=True):
        held = density[density >= level].sum()
        assert share <= held < share + 0.03  # a pixel of the peak, and its mirror images
        assert density[density > level].sum() < share  # one pixel less does not hold it
    assert levels(np.ones((4, 4)), SHARES) == [1.0] * 4


def test_outlines_are_drawn_where_the_levels_say():
    (drawn,) = contours(headless(plot.density, [heap(90, 120)]))
    np.testing.assert_allclose(drawn.levels, sorted(levels(heap(90, 120).map, SHARES)), rtol=1e-6)
    inner = drawn.get_paths()[-1].vertices  # x, y: a circle around the heap
    np.testing.assert_allclose(inner.mean(axis=0), [40, 30], atol=0.7)


def test_the_scale_is_in_multiples_of_the_uniform_density():
    panel = heap(90, 120)
    times = panel.map.astype("float64") * panel.map.size
    _, top = plot.limits(times, False, 99)
    texts = [text for text, _ in words_on(headless(plot.density, [panel]))]
    assert f"{top:.2g}" in texts
    assert "crossing.jpg" in texts
    assert {"25 %", "50 %", "75 %", "90 %"} <= set(texts)
    (caption,) = [" ".join(text.split()) for text in texts if "Colour" in text]
    assert "a multiple of the uniform density, clipped at the 99th percentile" in caption
    assert "areas that hold 25, 50, 75 and 90 % of all expected" in caption
    loud = Panel(panel.picture, 1000 * panel.map)  # a density up to a factor
    again = [text for text, _ in words_on(headless(plot.density, [loud], percentile=100))]
    assert f"{times.max():.2g}" in again
    assert not any("clipped" in text for text in again)


@pytest.mark.parametrize(
    "shapes", [[(40, 60)], [(90, 40)], [(30, 40)], [(20, 300)], [(300, 15)], [(40, 60)] * 3]
)
def test_words_stay_on_the_sheet_and_apart(shapes):
    figure = headless(plot.density, [heap(*shape) for shape in shapes])
    wide = shapes[0][1] > 2.2 * shapes[0][0]
    lefts = {round(axes.get_position().x0, 3) for axes in figure.axes}
    assert len(lefts) == (1 if wide else 3)
    width, height = figure.canvas.get_width_height()
    boxes = [box for text, box in words_on(figure) if text != "\u2501"]
    for i, one in enumerate(boxes):
        assert one.x0 >= 0
        assert one.y0 >= 0
        assert one.x1 <= width
        assert one.y1 <= height
        for other in boxes[:i]:
            assert not one.overlaps(other)


def test_grey_flat_and_large():
    flat = Panel(np.zeros((30, 40), np.uint8), np.full((30, 40), 1 / 1200))
    assert contours(headless(plot.density, [flat])) == []  # no area is smaller than another
    png(plot.render_png(plot.density, [flat, heap(30, 40, 1)], dpi=20))
    large = headless(plot.density, [heap(2600, 3900, sigma=300)])
    assert large.axes[0].images[0].get_array().shape[1] <= 1200
    corners = contours(large)[0].get_paths()[0].vertices
    np.testing.assert_allclose(corners.mean(axis=0), [1300, 867], atol=60)  # in the panel's pixels


def test_the_map_is_not_touched():
    panel = heap()
    before = panel.map.copy()
    headless(plot.density, [panel])
    np.testing.assert_array_equal(panel.map, before)


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (lambda: plot.density([]), "an empty list"),
        (lambda: plot.density(heap()), "a single Panel"),
        (lambda: plot.density([heap()], percentile=0), "percentile=0"),
        (lambda: plot.density([Panel(np.zeros((8, 8)), -np.ones((8, 8)))]), "from -1 to -1"),
        (lambda: plot.density([Panel(np.zeros((8, 8)), np.zeros((8, 8)))]), "from 0 to 0"),
        (lambda: plot.density([Panel(np.zeros((8, 8)), np.full((8, 8), np.nan))]), "nan"),
        (lambda: plot.density([heap()], shares=()), r"shares=\(\)"),
        (lambda: plot.density([heap()], shares=(0.5, 0.25)), "Pass increasing numbers"),
        (lambda: plot.density([heap()], shares=(0.5, 1.0)), "between 0 and 1"),
    ],
)
def test_refuses(draw, word):
    with pytest.raises(MethodError, match=word) as caught:
        draw()
    assert "See help(keras_saliency.plot." in str(caught.value)

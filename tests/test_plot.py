"""Figures: scales, colours, layout, and what must not happen to the maps."""

import dataclasses
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from keras_saliency import plot
from keras_saliency.errors import ImageError, MethodError
from keras_saliency.plot import Panel

pytestmark = pytest.mark.no_model

RNG = np.random.default_rng(0)
# The Machado, Oliveira and Fernandes (2009) simulations of the three dichromacies, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
maps = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-6 else 0.0),
)
DRAWS = pytest.mark.parametrize("draw", [plot.pair, plot.overlay, plot.grid])


def panel(height=40, width=60, signed=False, **words):
    values = RNG.standard_t(2, (height, width)).astype(np.float32)
    picture = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Panel(picture, values if signed else np.abs(values), signed=signed, **words)


def png(data):
    from PIL import Image

    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def inches(figure, axes):
    box = axes.get_position()
    return np.array([box.width, box.height]) * figure.get_size_inches()


def headless(draw, panels, **options):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=110)
    FigureCanvasAgg(figure)
    assert draw(panels, figure=figure, **options) is figure
    figure.canvas.draw()
    return figure


def words_on(figure):
    """Every drawn text with its box in pixels."""
    texts = [text for axes in figure.axes for text in axes.texts] + figure.texts
    return [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]


def lab(colours, vision="normal"):
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.transpose(VISION[vision])).clip(0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.transpose(to_xyz) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


@given(maps, st.booleans(), st.floats(0.5, 100), st.integers(-30, 30))
@settings(max_examples=100, deadline=None)
def test_limits_cover_the_percentile_and_scale_with_the_map(values, signed, percentile, power):
    low, high = plot.limits(values, signed, percentile)
    assert 0 < high < np.inf
    assert low == (-high if signed else 0)
    sizes = np.abs(values) if signed else values
    within = np.sum(sizes <= high * (1 + 1e-12))
    assert within >= np.floor(percentile / 100 * (values.size - 1)) + 1
    if (expected := np.percentile(sizes.astype(float), percentile)) > 0:
        assert high == expected
    if sizes.max() > 0:
        scaled = plot.limits(values * np.float32(2.0**power), signed, percentile)
        np.testing.assert_allclose(scaled, (low * 2.0**power, high * 2.0**power), rtol=1e-12)


SPARSE = np.where(np.arange(10000) == 7, 7.0, 0).reshape(100, 100)


@pytest.mark.parametrize(
    ("values", "signed", "expected"),
    [
        *((empty, False, (0, 1)) for empty in (np.zeros((4, 4)), np.full(4, np.nan), np.zeros(0))),
        *((empty, True, (-1, 1)) for empty in (np.zeros((4, 4)), np.full(4, np.nan), np.zeros(0))),
        (np.array([-3.0, 0.0]), False, (0, 1)),
        (SPARSE, False, (0, 7)),
        (-SPARSE, True, (-7, 7)),
        (np.array([2.0, np.nan, np.inf, -np.inf, 2.0]), False, (0, 2)),
        (np.array([2.0, np.nan, np.inf, -np.inf, -2.0]), True, (-2, 2)),
    ],
)
def test_limits_of_unusual_maps(values, signed, expected):
    assert plot.limits(values, signed) == expected


def test_unsigned_colours_grow_steadily_lighter_for_every_vision():
    colours = plot.colormap(signed=False)(np.linspace(0, 1, 256))[:, :3]
    for vision in VISION:
        lightness = lab(colours, vision)[:, 0]
        assert (np.diff(lightness[::8]) > 0).all(), vision
        assert np.ptp(lightness) > 80
    assert (np.diff(lab(colours)[:, 0]) > 0).all()


def test_signed_colours_are_symmetric_in_lightness_and_tell_the_sign_apart():
    colours = plot.colormap(signed=True)(np.linspace(0, 1, 255))[:, :3]
    lightness = lab(colours)[:, 0]
    assert np.abs(lightness - lightness[::-1]).max() < 5
    assert lightness.argmax() == 127
    assert (np.diff(lightness[127:]) < 0.2).all()
    for vision in VISION:
        apart = np.linalg.norm(lab(colours, vision) - lab(colours, vision)[::-1], axis=1)
        assert (apart[:96] > 20).all(), vision
    red, _, blue = colours[200]
    assert red > blue  # positive reads as warm


def test_every_figure_draws_all_its_images():
    figure = headless(plot.pair, [panel(), panel(signed=True)] * 2)
    assert [len(axes.images) for axes in figure.axes] == [1] * 12
    plot.pair([panel()] * 2, figure=figure, colorbar=False)
    assert len(figure.axes) == 4  # a given figure is drawn anew
    assert len(headless(plot.overlay, [panel(), panel(signed=True)] * 2).axes) == 8
    a, b, c = (panel(method=name) for name in "abc")
    figure = headless(plot.grid, [[a, b], [a, b], [a, c]])
    assert len(figure.axes) == 3 * (1 + 2 * 2)
    texts = [text for text, _ in words_on(figure)]
    assert [texts.count(name) for name in "abc"] == [1, 1, 1]  # named again where a row departs


@pytest.mark.parametrize("shape", [(40, 60), (8, 8), (5, 200), (200, 5)])
def test_nothing_is_squeezed_and_the_bar_is_as_long_as_its_map(shape):
    figure = headless(plot.pair, [panel(*shape, title="t", method="m", signed=True)])
    picture, map, bar = (inches(figure, axes) for axes in figure.axes)
    assert picture[0] / picture[1] == pytest.approx(shape[1] / shape[0])
    np.testing.assert_allclose(map, picture)
    along, across = (1, 0) if map[1] > 0.4 else (0, 1)  # beside it; below one that is very flat
    assert bar[along] == pytest.approx(map[along])
    ends = [axes.get_position().p0[along] for axes in figure.axes[1:]]
    assert ends[0] == pytest.approx(ends[1])
    assert bar[across] < 0.1


@DRAWS
@pytest.mark.parametrize("shape", [(40, 60), (20, 200), (200, 20)])
def test_words_are_neither_cut_nor_overlapping(draw, shape):
    long = "espresso with a crema for $5 or $6_x^, beside a spoon and a saucer, logit 9.1, p = 0.9"
    panels = [
        panel(*shape, title=long, method="integrated_gradients_with_a_very_long_name"),
        panel(*shape, title="x" * 90, method="occlusion, 50 windows of 32 pixels", signed=True),
    ]
    panels = [dataclasses.replace(p, map=p.map * np.float32(1e-5)) for p in panels]
    figure = headless(draw, [panels] if draw is plot.grid else panels)
    words, page = words_on(figure), figure.bbox
    assert not any(text.get_parse_math() for axes in figure.axes for text in axes.texts)
    assert long.replace(" = ", "=") in re.sub(r"\xa0=\xa0", "=", words[0][0].replace("\n", " "))
    pictures = [axes.get_window_extent() for axes in figure.axes]
    for k, (text, box) in enumerate(words):
        assert min(box.x0, box.y0, page.x1 - box.x1, page.y1 - box.y1) >= 0, text
        for other, its in [*words[k + 1 :], *((None, image) for image in pictures)]:
            width = min(box.x1, its.x1) - max(box.x0, its.x0)
            height = min(box.y1, its.y1) - max(box.y0, its.y0)
            assert min(width, height) < 2.5, (text, other)


def test_bars_say_where_they_are_clipped():
    def labels(item, percentile):
        words = words_on(headless(plot.pair, [item], percentile=percentile))
        return " ".join(text for text, _ in words)

    for percentile, said in ((99, "99th"), (99.5, "99.5th"), (92, "92nd"), (12, "12th")):
        assert f"clipped at the {said}" in labels(panel(), percentile).replace("\n", " ")
    assert "clipped" not in labels(panel(), 100)
    assert "zero" in labels(Panel(np.zeros((8, 8)), np.zeros((8, 8))), 99)


def test_map_colours_span_the_limits():
    item = panel(signed=True)
    image = headless(plot.pair, [item], percentile=90).axes[1].images[0]
    assert image.get_clim() == plot.limits(item.map, True, 90)
    assert image.get_cmap().name == plot.colormap(True).name


@DRAWS
@pytest.mark.filterwarnings("error")
def test_any_picture_and_any_map_draw_without_warning(draw):
    nan = np.where(np.eye(8) > 0, np.nan, RNG.normal(size=(8, 8))).astype(np.float32)
    nan[0, 1] = np.inf
    pictures = [
        np.full((8, 8), 200, np.uint8),
        np.full((8, 8, 1), 0.5, np.float32),
        RNG.normal(size=(8, 8, 3)) * 1e6,
        np.where(np.eye(8) > 0, np.nan, 1.0),
        np.eye(8, dtype=bool),
    ]
    kinds = [(nan, True), (nan, False), (np.zeros((8, 8)), True), (np.zeros((8, 8)), False)]
    kinds += [(nan * 1e-30, True), (nan * 1e-30, False)]
    rows = [[Panel(p, m, signed=s) for m, s in kinds] for p in pictures]
    panels = rows if draw is plot.grid else [item for row in rows for item in row]
    png(plot.render_png(draw, panels, dpi=20))


def test_pictures_are_shown_as_they_are_or_scaled():
    data = RNG.integers(50, 100, (8, 8, 3), dtype=np.uint8)
    shown = headless(plot.pair, [Panel(data, np.ones((8, 8)))]).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, data)
    ramp = np.linspace(-3, 5, 64).reshape(8, 8)
    shown = headless(plot.pair, [Panel(ramp, np.ones((8, 8)))]).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown[..., 1], np.round(255 * (ramp + 3) / 8), atol=1)


def test_overlay_leaves_the_picture_where_the_map_is_zero():
    picture = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    half = np.zeros((8, 8), np.float32)
    half[:, 4:] = 1
    shown = headless(plot.overlay, [Panel(picture, half)]).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown[:, :4, 0], 0.7 * picture[:, :4] / 255, atol=1e-6)
    np.testing.assert_allclose(shown[:, :4, 0], shown[:, :4, 2], atol=1e-6)
    assert np.corrcoef(shown[:, 4:, 0].ravel(), picture[:, 4:].ravel())[0, 1] > 0.99


def test_huge_pictures_are_averaged_down():
    picture = np.zeros((1501, 3100), np.uint8)
    picture[:, 1550:] = 100
    values = np.ones(picture.shape, np.float32)
    values[:, 1550:] = 3
    left, right, _ = headless(plot.pair, [Panel(picture, values)], percentile=100).axes
    small, map = left.images[0].get_array(), right.images[0].get_array()
    assert small.shape[:2] == map.shape
    assert max(map.shape) <= 1200
    assert np.mean(small) == pytest.approx(50, abs=1)
    assert np.mean(map) == pytest.approx(2, abs=0.01)
    assert right.images[0].get_extent() == [-0.5, 3099.5, 1500.5, -0.5]


@DRAWS
def test_inputs_are_not_modified(draw):
    panels = [panel(), panel(signed=True)]
    before = [(p.picture.copy(), p.map.copy()) for p in panels]
    for item in panels:
        item.picture.flags.writeable = item.map.flags.writeable = False
    headless(draw, [panels] if draw is plot.grid else panels)
    for item, (picture, map) in zip(panels, before, strict=True):
        np.testing.assert_array_equal(item.picture, picture)
        np.testing.assert_array_equal(item.map, map)


def test_render_png_has_the_figure_s_proportions_and_no_pyplot_figure():
    from matplotlib import pyplot

    before, item = pyplot.get_fignums(), panel(200, 200)
    data = plot.render_png(plot.pair, [item], dpi=80)
    assert data == plot.render_png(plot.pair, [item], dpi=80)
    inches = headless(plot.pair, [item]).get_size_inches()
    np.testing.assert_allclose(png(data).size, inches * 80, atol=1.5)
    assert np.ptp(np.asarray(png(data).convert("L"))) > 100
    assert pyplot.get_fignums() == before


@pytest.mark.filterwarnings("error")
def test_figures_are_not_managed_by_pyplot(tmp_path):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figures = [plot.pair([panel(8, 8)]) for _ in range(25)]  # pyplot warns from 21 on
    assert pyplot.get_fignums() == before
    assert np.ptp(np.asarray(png(figures[0]._repr_png_()).convert("L"))) > 100
    figures[0].savefig(tmp_path / "figure.png")
    assert png((tmp_path / "figure.png").read_bytes()).size[0] > 100


def test_importing_does_not_import_matplotlib():
    code = "import sys, keras_saliency.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ONES, NONE = np.ones((8, 8)), np.zeros((0, 8))
BAD = [
    (lambda: Panel(np.zeros((8, 8, 3)), np.zeros((8, 9))), ImageError, "a map of shape (8, 9)"),
    (lambda: Panel(np.zeros((8, 8, 3)), np.zeros((8, 8, 3))), ImageError, "sum it over channels"),
    (lambda: Panel(np.zeros((8, 8, 4, 1)), ONES), ImageError, "shape (8, 8, 4, 1)"),
    (lambda: Panel(np.zeros(8), np.zeros(8)), ImageError, "one picture (H, W)"),
    (lambda: Panel(NONE, NONE), ImageError, "shape (0, 8)"),
    (lambda: plot.limits(ONES, False, 0), MethodError, "percentile=0"),
    (lambda: plot.limits(ONES, True, 100.1), MethodError, "up to 100"),
    (lambda: plot.limits(ONES, True, np.nan), MethodError, "nan"),
    (lambda: plot.pair([]), MethodError, "one or more panels"),
    (lambda: plot.pair(panel()), MethodError, "a single Panel"),
    (lambda: plot.pair([panel()], percentile=-1), MethodError, "percentile=-1"),
    (lambda: plot.overlay([]), MethodError, "an empty list"),
    (lambda: plot.overlay([panel()], alpha=0), MethodError, "alpha=0"),
    (lambda: plot.overlay([panel()], alpha=1.5), MethodError, "alpha=1.5"),
    (lambda: plot.grid([]), MethodError, "an empty list"),
    (lambda: plot.grid([[panel()], []]), MethodError, "an empty list"),
    (lambda: plot.grid([panel()]), MethodError, "a single Panel"),
    (lambda: plot.grid([[panel(8, 8), panel(8, 9)]]), ImageError, "[(8, 8), (8, 9)]"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_arguments_are_named(make, error, message):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    with pytest.raises(error, match=re.escape(message)) as caught:
        make()
    assert "See help(keras_saliency.plot." in str(caught.value)
    assert pyplot.get_fignums() == before  # nothing is opened before the arguments are checked


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, ""), (2, "channel 1 of 2 drawn"), (3, ""), (4, "channels 1-3 of 4 drawn"),
     (13, "channels 1-3 of 13 drawn")],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_any_number_of_channels_is_drawn_and_the_figure_says_which(count, words, dtype):
    from matplotlib import pyplot as plt
    from matplotlib.text import Text

    from keras_saliency.plot import panel as pixels

    picture = np.random.default_rng(0).integers(0, 256, (8, 9, count)).astype(dtype)
    panel = plot.Panel(picture, np.ones((8, 9)), "title", "method")
    for draw in (plot.pair, plot.overlay, plot.grid, plot.gallery, plot.comparison):
        rows = [panel] if draw in (plot.pair, plot.overlay) else [[panel]]
        texts = " ".join(text.get_text() for text in draw(rows).findobj(Text))
        assert words in " ".join(texts.split())
        assert bool(words) == ("drawn" in texts)
        plt.close("all")
    shown = picture[..., :3] if count >= 3 else picture[..., :1]
    np.testing.assert_array_equal(pixels.rgb(picture), pixels.rgb(shown))

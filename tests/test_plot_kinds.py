"""Figures of signals, volumes, videos, tokens and tables, and explanations that draw them."""

import dataclasses
import html
import io
import pickle
import re

import keras
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from keras_saliency import Explanation, errors, explain, plot
from keras_saliency.errors import ImageError, InputError, MethodError
from keras_saliency.plot import Panel, signals, tables, volumes, words

pytestmark = pytest.mark.any_backend

SIZES = {
    "picture": ((9, 12), (9, 12, 3)),
    "signal": ((60,), (60, 3)),
    "volume": ((10, 8, 9), (10, 8, 9, 1)),
    "video": ((12, 6, 8), (12, 6, 8, 3)),
    "tokens": ((14,), (14,)),
    "table": ((26,), (26,)),
}
KINDS = list(SIZES)
every_kind = pytest.mark.parametrize("kind", KINDS)


def panel(kind, signed=True, **more):
    rng, (space, shape) = np.random.default_rng(0), SIZES[kind]
    data = rng.integers(0, 50, shape) if kind == "tokens" else rng.normal(size=shape)
    values = rng.standard_t(2, space)
    return Panel(
        data, values if signed else np.abs(values), "title", "method", signed, kind, **more
    )


def drawn(*panels, **options):
    figure = Figure(dpi=110)
    FigureCanvasAgg(figure)
    assert plot.several(list(panels), figure, **options) is figure
    figure.canvas.draw()
    return figure


def texts(figure):
    each = [text for axes in figure.axes for text in (*axes.texts, *axes.get_yticklabels())]
    return [text for text in (*each, *figure.texts) if text.get_text()]


def said(figure):
    return [" ".join(text.get_text().split()) for text in texts(figure)]


def stripes(figure):
    """The colours behind the channels, (channels, T, 4)."""
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.lines]
    return np.stack([image.to_rgba(image.get_array())[0] for image in images])


# ---------------------------------------------------------------------- every kind


@every_kind
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.filterwarnings("error")
def test_any_numbers_are_drawn_without_a_warning(kind, signed):
    ordinary = panel(kind, signed)
    broken = ordinary.map.copy()
    broken.flat[:3] = np.nan, np.inf, -np.inf
    maps = [broken, np.zeros_like(broken), broken * 1e-30, np.full_like(broken, np.nan)]
    for values in maps:
        drawn(dataclasses.replace(ordinary, map=values))
    one = (slice(1),) * ordinary.map.ndim
    drawn(dataclasses.replace(ordinary, picture=ordinary.picture[one], map=ordinary.map[one]))
    if kind not in ("tokens", "table"):
        flat = np.full_like(ordinary.picture, np.nan)
        flat.flat[0] = 3.0
        drawn(dataclasses.replace(ordinary, picture=flat))


@every_kind
def test_texts_are_neither_cut_nor_overlapping(kind):
    long = "espresso with a crema for $5 or $6_x^, beside a spoon and a saucer " * 3
    count = SIZES[kind][1][-1]
    names = {"signal", "tokens", "table"} & {kind} and [
        f"{'w$_x' * (k % 9 + 1)}" for k in range(count)
    ]
    one = dataclasses.replace(panel(kind), title=long, method="m" * 90, names=names or ())
    figure = drawn(("the first", one), ("the second", one), panel(kind, False))
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    page = figure.bbox
    for k, (text, box) in enumerate(boxes):
        assert min(box.x0, box.y0, page.x1 - box.x1, page.y1 - box.y1) >= 0, text
        for other, its in boxes[k + 1 :]:
            wide = min(box.x1, its.x1) - max(box.x0, its.x0)
            tall = min(box.y1, its.y1) - max(box.y0, its.y0)
            assert min(wide, tall) < 2.5, (text, other)
    assert not any(text.get_parse_math() for text in texts(figure))


@every_kind
def test_inputs_are_not_modified_and_a_figure_is_the_same_twice(kind):
    one = panel(kind)
    before = one.picture.copy(), one.map.copy()
    one.picture.flags.writeable = one.map.flags.writeable = False
    png = plot.render_png(plot.several, [one], dpi=40)
    assert png == plot.render_png(plot.several, [one], dpi=40)
    np.testing.assert_array_equal(one.picture, before[0])
    np.testing.assert_array_equal(one.map, before[1])


def test_several_kinds_stand_in_one_figure_under_their_names():
    named = [(f"the {kind}", panel(kind)) for kind in KINDS]
    figure = drawn(*named)
    words = said(figure)
    tops = []
    for name, _ in named:
        (text,) = [one for one in figure.texts if one.get_text() == name]
        tops.append(text.get_position()[1])
    assert tops == sorted(tops, reverse=True)
    assert words.count("title method") == 1  # of all
    assert said(drawn(*[one for _, one in named])).count("title method") == len(KINDS)
    assert any("each map on its own scale" in word for word in words)
    assert not any("clipped" in word for word in said(drawn(panel("table"))))


# ---------------------------------------------------------------------- signals


def planted(channels=2, steps=100, signed=True):
    parts = np.zeros((steps, channels))
    parts[20:30, 0], parts[60:70, -1] = 2.0, (-1.0 if signed else 1.0)
    series = np.sin(np.arange(steps * channels) / 9).reshape(steps, channels)
    return Panel(series, parts.sum(1), "", "", signed, "signal", parts)


def test_colours_of_a_signal_follow_size_and_sign():
    colours = stripes(drawn(planted()))
    assert colours.shape == (2, 100, 4)
    red, blue, pale = colours[0, 25], colours[1, 65], colours[0, 5]
    assert red[0] > red[2] + 0.3
    assert blue[2] > blue[0] + 0.1
    assert pale[:3].min() > 0.94
    assert np.ptp(colours[0, 20:30], axis=0).max() == 0
    assert (colours[0, 25] != colours[1, 25]).any()  # each channel has its own
    darkness = 3 - stripes(drawn(planted(signed=False), percentile=100))[..., :3].sum(-1)
    assert darkness.argmax() // 100 == 0
    assert 20 <= darkness.argmax() % 100 < 30
    assert darkness[0, 25] > darkness[1, 65] > darkness[0, 5]


def test_attribution_has_an_axis_of_its_own_that_is_not_clipped():
    figure = drawn(planted(), percentile=50)
    series, curves = figure.axes[0:4:2], figure.axes[1:4:2]
    for above, below in zip(series, curves, strict=True):
        assert above.get_xlim() == below.get_xlim() == (-0.5, 99.5)
        box, its = above.get_position(), below.get_position()
        assert (box.x0, box.x1) == (its.x0, its.x1)
    assert curves[0].get_ylim()[1] > 2
    assert curves[1].get_ylim()[0] < -1
    one = dataclasses.replace(planted(), attributions=None)  # a CAM: the map on each channel
    figure = drawn(one)
    assert "attribution of all channels" in said(figure)
    assert (stripes(figure)[0] == stripes(figure)[1]).all()


@pytest.mark.parametrize(
    ("channels", "steps"), [(1, 50), (4, 50), (12, 300), (40, 300), (2, 20000)]
)
def test_any_length_and_number_of_channels(channels, steps):
    figure = drawn(planted(channels, steps))
    rows = min(channels, 12)
    assert len(stripes(figure)) == rows
    assert [f"channel {k}" in said(figure) for k in (0, channels - 1)] == [channels > 1] * 2
    assert any("12 of 40 channels drawn" in word for word in said(figure)) == (channels == 40)
    wide, tall = figure.get_size_inches()
    assert wide < 10
    assert tall < 8


def test_a_narrow_peak_survives_in_a_long_signal():
    values = np.full(20000, 0.1)
    values[7777] = -5.0
    few = signals.strongest(values, 1200)
    assert few.min() == -5.0
    assert abs(few.argmin() / 1200 - 7777 / 20000) < 1e-3
    colours = stripes(
        drawn(Panel(np.zeros(20000), values, signed=True, kind="signal"), percentile=100)
    )
    assert colours[0].argmin(axis=0)[0] == few.argmin()  # blue has the least red


# ---------------------------------------------------------------------- volumes and videos


def test_a_volume_shows_the_planted_slice_and_the_maximum_along_each_axis():
    values = np.zeros((20, 8, 10))
    values[13, 2, 7], values[4, 6, 1] = -3.0, 1.0
    one = Panel(np.full((20, 8, 10, 1), 200, np.uint8), values, signed=True, kind="volume")
    figure = drawn(one, percentile=100)
    titles = [" ".join(axes.texts[0].get_text().split()) for axes in figure.axes[:7]]
    assert "depth 13 (0 to 19) 75% of attribution" in titles
    assert "depth 4 (0 to 19) 25% of attribution" in titles
    assert titles[4:] == [f"maximum along {name}" for name in ("depth", "height", "width")]
    images = [np.asarray(axes.images[0].get_array()) for axes in figure.axes[:7]]
    assert [image.shape for image in images[4:]] == [(8, 10, 3), (20, 10, 3), (20, 8, 3)]
    for image, cold, warm in zip(
        images[4:], [(2, 7), (13, 7), (13, 2)], [(6, 1), (4, 1), (4, 6)], strict=True
    ):
        assert image[cold][2] > image[cold][0]
        assert image[warm][0] > image[warm][2]
    strongest = np.abs(images[4] - images[4][0, 0]).sum(-1)
    assert np.unravel_index(strongest.argmax(), strongest.shape) == (2, 7)


def test_chosen_slices_lie_apart_where_they_can():
    share = np.exp(-0.5 * ((np.arange(40) - 20) / 4.0) ** 2)
    chosen = volumes.most(share, 4)
    assert 20 in chosen
    assert min(np.diff(chosen)) > 5
    assert volumes.most(np.ones(3), 4) == [0, 1, 2]


def moving():
    values = np.zeros((12, 6, 8))
    values[7, 2, 3], values[2, 0, 0] = 2.0, -1.0
    return Panel(np.full((12, 6, 8, 3), 90, np.uint8), values, signed=True, kind="video")


def test_a_video_shows_its_peak_and_the_attribution_of_each_frame():
    figure = drawn(moving())
    assert "frame 7, most" in said(figure)
    shown = [
        int(word.split()[1].strip(",")) for word in said(figure) if re.match(r"frame \d", word)
    ]
    assert shown[0] == 0
    assert shown[-1] == 11
    (curve,) = [axes for axes in figure.axes if "attribution\nof each frame" in
                [text.get_text() for text in axes.texts]]  # fmt: skip
    heights = [patch.get_data().values for patch in curve.patches]
    np.testing.assert_array_equal(heights[0], moving().map.sum(axis=(1, 2)).clip(min=0))
    np.testing.assert_array_equal(heights[1], moving().map.sum(axis=(1, 2)).clip(max=0))


@pytest.mark.parametrize("kind", ["video", "volume"])
@pytest.mark.parametrize("size", [(12, 6, 8), (2, 1500, 900), (1, 1, 1)])
def test_a_gif_has_a_frame_for_each_frame(kind, size):
    values = np.zeros(size)
    values[-1] = 1.0
    data = plot.animation(Panel(np.random.default_rng(0).random(size), values, kind=kind), fps=10)
    image = Image.open(io.BytesIO(data))
    assert image.n_frames == size[0] or (image.n_frames, size[0]) == (1, 1)
    assert max(image.size) <= 1300
    if size[0] > 1:
        assert image.info["duration"] == 100
        assert image.info["loop"] == 0
    if size == (12, 6, 8):
        frames = []
        for k in range(size[0]):
            image.seek(k)
            frames.append(np.asarray(image.convert("RGB"), float))
        half = frames[0].shape[1] // 2
        colour = [np.ptp(frame[:100, half:], axis=-1).max() for frame in frames]
        assert int(np.argmax(colour)) == 11
        assert all(
            np.ptp(frame[:100, :half], axis=-1).max() < 8 for frame in frames
        )  # the original


# ---------------------------------------------------------------------- words and tables


def text(values=(-2.0, 0.0, 1.0, 2.0), names=("bad", "so", "fine", "good"), **more):
    return Panel(np.arange(4), np.array(values), "t", "m", True, "tokens", None, names, **more)


def test_words_are_shaded_by_sign_and_size():
    figure = drawn(text(), percentile=100)
    (axes,) = [axes for axes in figure.axes if len(axes.patches) == 4]
    blue, none, warm, red = [np.array(patch.get_facecolor()[:3]) for patch in axes.patches]
    assert blue[2] > blue[0] + 0.2
    assert none.min() > 0.94
    assert red[0] > red[2] + 0.3
    assert red.sum() < warm.sum() < none.sum()
    assert [one.get_text() for one in axes.texts] == ["bad", "so", "fine", "good"]
    for patch, one in zip(axes.patches, axes.texts, strict=True):
        box, its = patch.get_window_extent(), one.get_window_extent()
        assert box.x0 <= its.x0
        assert its.x1 <= box.x1
    unknown = drawn(dataclasses.replace(text(), names=()))
    assert {"0", "1", "2", "3"} <= set(said(unknown))


def contrast(ground, ink):
    light = []
    for colour in (ground, ink):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("signed", [True, False])
def test_every_word_can_be_read_on_its_shade(signed):
    values = np.linspace(-1 if signed else 0, 1, 101)
    page = plot.html([Panel(np.arange(101), values, signed=signed, kind="tokens")], 100)
    pairs = re.findall(r'style="background:(#\w+);color:(#\w+)', page)
    assert len(pairs) >= 101
    assert min(contrast(*pair) for pair in pairs) > 4.4  # WCAG AA asks for 4.5


def test_html_is_escaped_and_names_each_attribution():
    names = ("<script>alert(1)</script>", 'a"b&c', "\x00\n", "Düsseldorf\udce9")
    one = dataclasses.replace(text(names=names), title='<img src="x">', method="a<b")
    page = plot.html([one, one])
    assert "<script" not in page
    assert "<img" not in page
    assert page.count(html.escape(names[0])) == 2
    assert html.escape(names[1]) in page
    assert "\x00" not in page
    page.encode()
    assert page.count('title="-2"') == 2
    tags = re.findall(r"<(\w+)", page)
    assert set(tags) == {"div", "span"}
    assert page.count("<div") == page.count("</div>")
    assert page.count("<span") == page.count("</span>")
    assert words.words(text(names=("", " ", "a\nb", "x")))[:3] == ["\u2423", "\u2423", "a b"]


def test_long_texts_are_drawn_in_part_and_said_so():
    long = Panel(np.arange(1500), np.ones(1500), kind="tokens")
    assert "the first 1000 of 1500 words drawn" in said(drawn(long))
    assert plot.html([long]).count('title="1"') == 1500
    wide = Panel(np.arange(1), np.ones(1), kind="tokens", names=("x" * 500,))
    assert drawn(wide).get_size_inches()[0] < 8


def test_bars_are_sorted_and_the_rest_is_summed():
    values = np.random.default_rng(0).normal(size=30)
    one = Panel(np.arange(30.0), values, "", "", True, "table", None, [f"f{k}" for k in range(30)])
    (axes,) = drawn(one).axes
    sizes = [bar.get_width() for bar in axes.patches]
    order = np.argsort(-np.abs(values))
    np.testing.assert_allclose(sizes[:20], values[order][:20])
    assert sizes[20] == pytest.approx(values[order][20:].sum())
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == f"f{order[0]} = {order[0]}"
    assert names[20] == "sum of 10 others"
    for bar in axes.patches:
        red, _, blue, _ = bar.get_facecolor()
        assert (red > blue) == (bar.get_width() > 0)
    centres = [bar.get_y() for bar in axes.patches]
    assert axes.yaxis.get_inverted()
    assert centres == sorted(centres)  # the largest stands highest
    assert tables.rows(Panel(np.array([7]), np.array([0.5]), kind="table"))[0] == ["feature 0 = 7"]


# ---------------------------------------------------------------------- arguments

FLAT = np.zeros((8, 8))
BAD = [
    (lambda: Panel(FLAT, FLAT, kind="signals"), MethodError, "Did you mean 'signal'"),
    (lambda: Panel(FLAT, FLAT, kind=3), MethodError, "'picture', 'signal'"),
    (lambda: Panel(FLAT, FLAT), None, ""),
    (lambda: Panel(FLAT, FLAT, kind="signal"), InputError, "one signal (T,) or (T, C) and one map"),
    (lambda: Panel(FLAT, FLAT[0], kind="tokens"), InputError, "Got a text of shape (8, 8)"),
    (lambda: Panel(FLAT[0], FLAT, kind="table"), InputError, "one table (F,) and one map (F,)"),
    (lambda: Panel(FLAT, FLAT, kind="volume"), InputError, "(D, H, W) or (D, H, W, C)"),
    (lambda: Panel(FLAT[0], FLAT[0]), ImageError, "one picture (H, W)"),
    (lambda: Panel(FLAT[0], FLAT[0], kind="tokens", names=("a",)), InputError, "Expected 8 names"),
    (lambda: Panel(FLAT, FLAT[0], kind="signal", attributions=FLAT[:2]), InputError, "(8, 8)"),
    (lambda: plot.several([]), MethodError, "an empty list"),
    (lambda: plot.several(panel("signal")), MethodError, "a single Panel"),
    (lambda: plot.several([("a", 3)]), MethodError, "(name, panel)"),
    (lambda: plot.several(None), MethodError, "Got None"),
    (lambda: plot.several([panel("signal")], percentile=0), MethodError, "percentile=0"),
    (lambda: plot.several([panel("table")], percentile="a"), MethodError, "percentile='a'"),
    (lambda: plot.several([panel("table")], figure=3), MethodError, "Got a int"),
    (lambda: plot.pair([panel("picture")], figure="x"), MethodError, "Got a str"),
    *((lambda draw=draw: draw([panel("signal")]), MethodError, "kind 'signal'")
      for draw in (plot.pair, plot.overlay, plot.density)),
    (lambda: plot.grid([[panel("tokens")]]), MethodError, "keras_saliency.plot.several"),
    (lambda: plot.html([]), MethodError, "an empty list"),
    (lambda: plot.html([panel("table")]), MethodError, "'table'"),
    (lambda: plot.html(panel("tokens")), MethodError, "a single Panel"),
    (lambda: plot.html([panel("tokens")], 101), MethodError, "percentile=101"),
    (lambda: plot.animation(panel("signal")), MethodError, "kind 'signal'"),
    (lambda: plot.animation(3), MethodError, "Got 3"),
    (lambda: plot.animation(panel("video"), fps=0), MethodError, "fps=0"),
    (lambda: plot.animation(panel("video"), percentile=0), MethodError, "percentile=0"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_arguments_are_named(make, error, message):
    from matplotlib import pyplot

    if error is None:
        make()
        return
    before = pyplot.get_fignums()
    with pytest.raises(error, match=re.escape(message)) as caught:
        make()
    assert "See help(keras_saliency.plot." in str(caught.value)
    assert pyplot.get_fignums() == before


# ---------------------------------------------------------------------- explanations


def model(kind):
    layers = keras.layers
    body = {
        "picture": [keras.Input((9, 12, 3)), layers.Conv2D(2, 3), layers.Flatten()],
        "signal": [keras.Input((None, 3)), layers.Masking(), layers.GRU(3)],
        "volume": [keras.Input((10, 8, 9, 1)), layers.Conv3D(2, 3), layers.Flatten()],
        "video": [keras.Input((12, 6, 8, 3)), layers.TimeDistributed(layers.Flatten()),
                  layers.GRU(3)],
        "tokens": [keras.Input((14,), dtype="int32"), layers.Embedding(50, 4, mask_zero=True),
                   layers.GRU(3)],
        "table": [keras.Input((26,)), layers.Dense(3, "tanh")],
    }  # fmt: skip
    return keras.Sequential([*body[kind], layers.Dense(2)])


@pytest.fixture(scope="module")
def explained():
    done = {}

    def of(kind):
        if kind not in done:
            rng, shape = np.random.default_rng(0), SIZES[kind][1]
            x = rng.normal(size=(2, *shape)).astype("float32")
            if kind == "tokens":
                x = [np.array([3, 4, 5, 6, 7]), np.arange(1, 15)]
            elif kind == "signal":
                x = [x[0, :20], x[1]]
            e = explain(model(kind), x, "integrated_gradients", target=1, kind=kind)
            if kind == "tokens":
                named = [[f"<w{number}>" for number in one] for one in e.pictures]
                e = dataclasses.replace(e, info={**e.info, "words": named})
            elif kind == "table":
                features = [f"column {k}" for k in range(26)]
                e = dataclasses.replace(e, info={**e.info, "features": features})
            done[kind] = e
        return done[kind]

    return of


@every_kind
def test_explanations_of_every_kind_are_drawn(explained, kind):
    e = explained(kind)
    panels = e.panels()
    assert {one.kind for one in panels} == {kind}
    for one, original, values in zip(panels, e.pictures, e.maps(), strict=True):
        assert one.picture is original
        assert values.shape == one.space == original.shape[: values.ndim]
    assert e._repr_png_().startswith(b"\x89PNG")
    figure = Figure()
    assert e.plot(figure=figure, percentile=95) is figure
    if kind == "signal":
        assert [one.attributions.shape for one in panels] == [(20, 3), (60, 3)]
        np.testing.assert_allclose(panels[0].attributions.sum(-1), panels[0].map, atol=1e-5)
    page = e._repr_html_()
    assert (page is not None) == (kind == "tokens")
    if kind == "tokens":
        assert "&lt;w3&gt;" in page
        assert "&lt;w14&gt;" not in e[0]._repr_html_()
        assert "&lt;w14&gt;" in e[-1]._repr_html_()
        assert e[1:].info["words"] == e.info["words"][1:]
    if kind == "table":
        assert panels[0].names[3] == "column 3"


@every_kind
def test_explanations_of_every_kind_are_saved_and_read(explained, kind, tmp_path):
    e = explained(kind)
    loaded = Explanation.load(e.save(tmp_path / "out"))
    assert Image.open(tmp_path / "out" / "figure.png").size[0] > 100
    for one in (loaded, pickle.loads(pickle.dumps(e))):
        assert one.info == e.info
        assert one.geometries == e.geometries
        assert (one.targets, one.labels, one.signed) == (e.targets, e.labels, e.signed)
        np.testing.assert_array_equal(one.values, e.values)
        np.testing.assert_array_equal(one.attributions, e.attributions)
        for original, its in zip(one.pictures, e.pictures, strict=True):
            np.testing.assert_array_equal(original, its)
            assert original.dtype == its.dtype
        assert plot.render_png(plot.several, one.panels(), dpi=40) == plot.render_png(
            plot.several, e.panels(), dpi=40
        )
        assert one[1].title() == e.title(1)


@pytest.mark.parametrize("words", [None, [], ["a", "b"], [["a"], ["b"]], "ab", [3, 4]])
def test_words_that_do_not_fit_are_numbers(explained, words):
    e = explained("tokens")
    e = dataclasses.replace(e, info={**e.info, "words": words})
    for one in (e, e[0], e[1:]):
        assert 'title="' in one._repr_html_()
        assert one.panels()[0].names == ()


@pytest.mark.parametrize("kind", ["video", "volume"])
def test_a_gif_is_written(explained, kind, tmp_path):
    e = explained(kind)
    path = e[0].animate(tmp_path / "a.gif", fps=5)
    assert path == tmp_path / "a.gif"
    image = Image.open(path)
    assert (image.n_frames, image.info["duration"]) == (len(e.pictures[0]), 200)
    with pytest.raises(MethodError, match="Got 2"):
        e.animate(tmp_path / "b.gif")
    with pytest.raises(errors.SaveError, match="ends in"):
        e[0].animate(tmp_path / "b.mp4")
    with pytest.raises(errors.SaveError, match="Cannot write"):
        e[0].animate(tmp_path / "none" / "b.gif")
    with pytest.raises(MethodError, match="a video or of a volume"):
        explained("signal")[0].animate(tmp_path / "b.gif")
    assert [one.name for one in tmp_path.iterdir()] == ["a.gif"]


def test_options_of_pictures_are_refused_for_others(explained):
    e = explained("signal")
    with pytest.raises(MethodError, match="explains a signal input"):
        e.plot("overlay")
    with pytest.raises(MethodError, match="colorbar"):
        e.plot(colorbar=False)
    with pytest.raises(MethodError, match="Known: 'pair', 'overlay'"):
        e.plot("signal")
    with pytest.raises(MethodError, match="several"):
        plot.grid([e, e])

"""Explanations draw themselves: figures, axes of one's own, pixels, side by side, enlarged."""

from __future__ import annotations

import json

import models
import numpy as np
import pytest

from keras_saliency import Explanation, Explanations, errors, explain, methods, targets

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def explained():
    return explain(models.flat(), models.pictures(3), target=[0, 1, 2])


def test_plot_and_notebook(explained):
    pytest.importorskip("matplotlib").use("Agg")
    for kind in ("pair", "overlay"):
        figure = explained.plot(kind)
        assert len(figure.axes) >= 3
        import matplotlib.pyplot as plt

        plt.close(figure)
    assert explained._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"No plot is called 'pear'\. Known: 'pair', 'overlay'"):
        explained.plot("pear")
    with pytest.raises(errors.MethodError, match="No option of this figure is called 'alpha'"):
        explained.plot("pair", alpha=0.5)


def test_one_s_own_axes():
    from matplotlib.figure import Figure

    e = explain(models.flat(), models.pictures(2), "grad_cam")
    ax = Figure().subplots()
    for kind in (None, "overlay", "heatmap", "contours"):
        assert e[0].plot(kind, ax=ax) is ax
    with pytest.raises(errors.MethodError, match=r"picture and map.*'overlay', 'heatmap'"):
        e[0].plot("pair", ax=ax)
    with pytest.raises(errors.MethodError, match=r"Got 2.*explanation\[0\]"):
        e.plot(ax=ax)


def test_pixels_of_an_overlay():
    e = explain(models.flat(), models.pictures(2), "grad_cam")
    pixels = e[1].overlay(photo="color", cmap="viridis", alpha=0.8, percentile=100)
    assert (pixels.shape, pixels.dtype) == ((12, 12, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(e[1].to_pil(photo="color", cmap="viridis", alpha=0.8,
                                                         percentile=100)), pixels)  # fmt: skip
    with pytest.raises(errors.MethodError, match=r"one picture.*Got 2"):
        e.overlay()


def test_a_cam_is_enlarged_for_display_only():
    from keras_saliency._inputs import resampling

    e = explain(models.flat(), models.pictures(2), "grad_cam")
    assert e.info["grid"] == [4, 4]
    before = e.values.copy()
    drawn = {how: e.panels(how)[0] for how in ("linear", "bicubic", "guided")}
    np.testing.assert_array_equal(drawn["linear"].map, e.values[0])
    assert drawn["linear"].drawn == ""
    assert drawn["bicubic"].drawn == "bicubic from 4 × 4"
    assert "guided by the picture" in drawn["guided"].drawn
    assert np.abs(drawn["bicubic"].map - e.values[0]).max() > 0
    np.testing.assert_array_equal(e.values, before)
    assert "grid" not in explain(models.flat(), models.pictures(1)).info
    cells = [resampling.resize(one[None], (4, 4)) for one in (e.values[0], drawn["guided"].map)]
    assert np.corrcoef(*(one.ravel() for one in cells))[0, 1] > 0.9


@pytest.mark.parametrize("how", ["bicubic", "guided"])
def test_stored_values_change_where_asked_for_and_the_manifest_says_so(how, tmp_path):
    e = explain(models.flat(), models.pictures(2), "grad_cam")
    other = e.upsampled(how)
    np.testing.assert_allclose(other.values[0], e.panels(how)[0].map, rtol=1e-5, atol=1e-6)
    manifest = json.loads((other.save(tmp_path / "out") / "manifest.json").read_text())
    assert manifest["upsampling"].startswith("bicubic from 4 × 4")
    assert ("guided by the picture" in manifest["upsampling"]) == (how == "guided")
    loaded = Explanation.load(tmp_path / "out")
    np.testing.assert_array_equal(loaded.values, other.values)
    assert loaded.panels()[0].drawn == other.info["upsampling"]  # figures say it
    with pytest.raises(errors.MethodError, match="already"):
        other.upsampled()
    with pytest.raises(errors.MethodError, match="a value for each pixel"):
        explain(models.flat(), models.pictures(1)).upsampled(how)
    with pytest.raises(errors.MethodError, match="Did you mean 'bicubic'"):
        e.upsampled("bicubik")


def test_classes_methods_and_layers_side_by_side():
    from matplotlib.text import Text

    def words(figure):
        return [text for one in figure.findobj(Text) if (text := one.get_text())]

    x = models.pictures(2)
    classes = explain(models.flat(), x, methods.GradCam(relu=False), target=targets.Top(3))
    assert isinstance(classes, Explanations)
    assert isinstance(classes, list)
    said = words(classes.plot())
    assert said.count("grad_cam\nlayer relu2") == 2  # over each picture; over each map its class
    for e in classes:
        for i in range(2):
            assert any(text.startswith(e.labels[i]) for text in said)
    layers = explain(
        models.flat(), x[:1], [methods.GradCam(n, relu=False) for n in ("conv1", "relu2")]
    )
    said = words(layers.plot("overlay", photo="color"))
    assert {"layer conv1", "layer relu2"} <= set(said)
    both = explain(models.flat(), x, ["gradient", methods.GradCam(relu=False)], target=[1, 2])
    assert [e.info["method"] for e in both] == ["gradient", "grad_cam"]
    assert both[1].targets == (1, 2)
    assert {"gradient", "grad_cam"} <= set(words(both.plot()))
    assert both._repr_png_().startswith(b"\x89PNG")
    four = explain(models.flat(), x, ["gradient", "lrp"], target=targets.Top(2))
    assert len(four) == 4
    with pytest.raises(errors.MethodError, match=r"called 'pair'\. Known: 'heatmap', 'overlay'"):
        both.plot("pair")
    with pytest.raises(errors.MethodError, match=r"Got \[\]"):
        explain(models.flat(), x, [])


def test_several_explanations_in_one_grid(explained):
    from matplotlib.figure import Figure

    from keras_saliency import plot

    other = explain(models.flat(), models.pictures(3), "grad_cam")
    figure = plot.grid([explained, other], Figure())
    assert len([a for a in figure.axes if a.images]) == 3 * (1 + 2 + 2)  # picture, maps, bars
    with pytest.raises(errors.ImageError, match=r"of \[1, 3\] pictures"):
        plot.grid([explained, other[0]], Figure())

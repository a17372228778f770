"""compare(): each method is judged by what it claims, and what has no number is reported."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_saliency import compare, errors, explain, methods, plot
from keras_saliency._inputs import segments
from keras_saliency.methods import Attribution, Method
from keras_saliency.metrics import faithfulness, infidelity, registry
from keras_saliency.plot import Panel

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(-1, 1, (2, 12, 12, 3)).astype("float32")
LABELS = np.zeros((12, 12), int)  # segments of very different sizes
LABELS[:, 6:], LABELS[:2, :2], LABELS[4:10, 7:11], LABELS[10:, :3] = 1, 2, 3, 4
LABELS[0, 8:], LABELS[5:8, 1:5], LABELS[11, 11] = 5, 6, -1


def _model(name, outputs=3, channels=3, hidden=0, activation=None):
    pixels = keras.Input((12, 12, channels))
    x = keras.layers.Flatten()(pixels)
    if hidden:
        x = keras.layers.Dense(hidden, activation="tanh")(x)
    made = keras.Model(pixels, keras.layers.Dense(outputs, activation=activation)(x), name=name)
    draw = np.random.default_rng(1).normal
    made.set_weights([draw(0.02, 0.1, weight.shape) for weight in made.get_weights()])
    return made


@functools.cache
def bent():
    return _model("bent", hidden=8)


@functools.cache
def linear():
    return _model("linear")


def linear_score(images, rows):
    kernel, bias = linear().get_weights()
    return (images.reshape(len(images), -1) @ kernel + bias)[:, 0].astype(float)


def words(comparison):
    """The table and its notes, where the ends of lines mean nothing."""
    return " ".join(comparison.table().split())


# ------------------------------------------------------------------- what attributions add up to


def test_completeness_is_measured_from_the_methods_own_baseline():
    chosen = [
        methods.IntegratedGradients(baseline=1.0),
        methods.BlurIntegratedGradients(max_sigma=4, steps=64),
        methods.ShapleySampling("grid", samples=2, fill=0.5),
        "deep_lift",
    ]
    own = compare(bent(), IMAGES, chosen, ["completeness_error"])
    for values, result in zip(own.values[:, 0], own.explanations.values(), strict=True):
        np.testing.assert_array_equal(values, [one["completeness_error"] for one in result.checks])
        assert (values < 0.01).all()


def test_a_method_around_another_has_its_baseline():
    around = methods.SmoothGrad(methods.IntegratedGradients(baseline=1.0), samples=2, noise=1e-6)
    several = methods.SmoothGrad(methods.IntegratedGradients(baseline=[0.0, 1.0]), samples=2)
    own = compare(bent(), IMAGES, [around, several, "gradient"], ["completeness_error"])
    assert (own.values[0] < 0.01).all()
    assert np.isnan(own.values[1]).all()
    (_, why), *rest = own.metric_errors.items()
    assert "means over 2 baselines" in why
    assert not rest
    assert (own.values[2] > 0.01).all()
    # Squares add up to nothing, however well the base's attributions do.
    squares = dataclasses.replace(around, reduce="square")
    masks = np.stack([label == LABELS for label in range(7)])
    path = methods.IntegratedGradients(baseline=1.0)
    sums = [methods.Idgi(path), methods.Xrai(path, masks=masks, min_area=1)]
    own = compare(bent(), IMAGES, [squares, *sums], ["completeness_error"])
    assert (own.values[0] > 0.05).all()
    assert (own.values[1:] < 0.01).all()


@pytest.mark.parametrize(
    "method",
    [
        methods.ShapleySampling(LABELS, fill=0.0),
        methods.KernelShap(LABELS, fill=0.0),
        methods.Lime(LABELS, fill=0.0, samples=60, ridge=0.0),
    ],
    ids=lambda method: method.name,
)
@pytest.mark.filterwarnings("ignore:picture .* belongs to no segment")
def test_a_segments_value_is_counted_once(method):
    """On a score that adds up, shares of segments are the truth, and the painted map is not."""
    metrics = ["mu_fidelity", "sensitivity_n", "infidelity", "complexity"]
    own = compare(linear(), IMAGES, [method], metrics, target=0, baseline=0.0)
    contributions = (IMAGES * linear().get_weights()[0][:, 0].reshape(12, 12, 3)).sum(-1)
    areas = np.bincount(LABELS[LABELS >= 0])
    sums = [np.bincount(LABELS[LABELS >= 0], one[LABELS >= 0]) for one in contributions]
    even = np.stack([segments.paint(LABELS, one / areas) for one in sums])
    by_hand = [
        faithfulness.mu_fidelity(linear_score, IMAGES, even, 0.0),
        faithfulness.sensitivity_n(linear_score, IMAGES, even, 0.0),
        infidelity.infidelity(
            linear_score, IMAGES, even, 0.0, contributions=True, normalize="positive"
        ),
    ]
    np.testing.assert_allclose(own.values[0, :3], by_hand, rtol=1e-2)
    painted = explain(linear(), IMAGES, method, target=0).values
    other = faithfulness.mu_fidelity(linear_score, IMAGES, painted, 0.0)
    assert (abs(other - by_hand[0]) > 0.02).all()
    np.testing.assert_array_equal(own.explanations[own.methods[0]].values,
                                  painted)  # the map says what it said  # fmt: skip


def test_shares_sum_to_the_segments_values():
    values = np.arange(1.0, 8.0)
    painted = np.stack([segments.paint(LABELS, values)] * 2)
    result = segments.shared(LABELS, painted, IMAGES)
    np.testing.assert_allclose(result.sum(axis=(1, 2)), values.sum())
    assert (result[:, 11, 11] == 0).all()
    assert (methods.Occlusion().shares(painted, IMAGES) == painted).all()


# ------------------------------------------------------------------------- what has no number


def test_a_picture_without_a_number_is_reported():
    both = np.stack([np.zeros((12, 12, 3), "float32"), IMAGES[0]])
    own = compare(bent(), both, ["gradient", "input_x_gradient"], ["completeness_error"])
    assert np.isnan(own.values[0, 0]).tolist() == [True, False]
    assert own.values[1, 0, 0] == 0
    assert own.metric_errors == {
        ("gradient", "completeness_error"): "picture 1: The metric is not defined there."
    }
    assert "gradient, completeness_error: mean over 1 of 2 pictures." in words(own)
    assert "gradient, completeness_error: picture 1: The metric is not defined" in words(own)
    assert "input_x_gradient, completeness_error" not in words(own)


class Spoilt(Method):
    family = "gradient"
    reference = "none"

    def attribute(self, engine, seed):
        values = engine.gradient().copy()
        for row, value in enumerate(values[:3]):
            value[: row + 1, 0, 0] = np.nan
        return Attribution(values)


def test_every_reason_is_recorded():
    own = compare(bent(), np.concatenate([IMAGES, IMAGES]), [Spoilt()], ["sparseness", "overlap"],
                  boxes=[(0, 0, 4, 4)] * 4)  # fmt: skip
    for metric, what in zip(own.metrics, ("attributions", "maps"), strict=True):
        said = own.metric_errors["Spoilt", metric]
        for row in (1, 2, 3):
            assert f"picture {row}: Expected {what} to be finite. Got {row} of 144" in said
        assert "picture 4" not in said
    assert words(own).count("Spoilt, sparseness, overlap: mean over 1 of 4 pictures.") == 1


def test_few_pictures_are_few():
    few = compare(bent(), IMAGES, ["gradient"], ["sparseness"])
    assert "Of fewer than 10 these say little" in words(few)
    alone = compare(bent(), IMAGES[:1], ["gradient"], ["sparseness"])
    assert "Of fewer" not in words(alone)
    many = compare(bent(), np.repeat(IMAGES, 5, axis=0), ["gradient"], ["sparseness"])
    assert "95% bootstrap" in words(many)
    assert "Of fewer" not in words(many)


# ---------------------------------------------------------------------------- refused before work


class Counted(Method):
    family = "gradient"
    reference = "none"
    calls: list[str] = []  # noqa: RUF012

    def attribute(self, engine, seed):
        Counted.calls.append(type(self).__name__)
        return Attribution(engine.gradient())


class Other(Counted):
    pass


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("deletion", {"stepz": 3}, "Did you mean 'steps'"),
        ("deletion", {"images": IMAGES}, "Its options are: steps"),
        ("deletion", {"steps": 0}, "steps=0"),
        ("insertion", {"steps": 145}, "from 1 to 144"),
        ("infidelity", {"normalize": "negative"}, "one of .'positive',"),
        ("max_sensitivity", {"radius": -1}, "radius=-1"),
        ("overlap", {"level": 3}, "level=3"),
        ("random_logit", {"stepz": 3}, "has no option 'stepz'"),
    ],
)
def test_options_are_refused_before_a_method_runs(name, options, words):
    Counted.calls.clear()
    metric = dataclasses.replace(registry.get(name), options=options)
    with pytest.raises(errors.MetricError, match=words):
        compare(bent(), IMAGES, [Counted()], [metric], boxes=[(0, 0, 4, 4)] * 2)
    assert Counted.calls == []


def test_what_a_trial_cannot_judge_is_left_to_the_pictures():
    def broken(image, generator):
        raise ZeroDivisionError("by zero")

    odd = {"perturbation": broken, "contributions": False}
    metrics = [dataclasses.replace(registry.get("infidelity"), options=odd), "sparseness"]
    own = compare(bent(), IMAGES, ["gradient"], metrics)
    assert "ZeroDivisionError" in next(iter(own.metric_errors.values()))
    assert np.isfinite(own.values[0, 1]).all()


def test_a_method_is_scored_when_it_has_run():
    Counted.calls.clear()
    compare(bent(), IMAGES, [Counted(), Other()], ["max_sensitivity"])
    assert len(Counted.calls) > 4
    assert sorted(Counted.calls) == Counted.calls


def test_one_class_has_no_other():
    one = _model("one", outputs=1, activation="sigmoid")
    with pytest.raises(errors.MetricError, match="a model with one"):
        compare(one, IMAGES[:1], ["gradient"], ["random_logit"])


def test_boxes_are_named_by_their_pictures_number():
    box = (0, 0, 4, 4)
    for wrong in ((90, 0, 99, 9), (1, 2, 3)):
        with pytest.raises(errors.MetricError, match="icture 1"):
            compare(bent(), IMAGES, ["gradient"], [], boxes=[box, wrong])


def test_several_boxes_of_one_picture_may_stand_alone():
    boxes = [(0, 0, 4, 4), (6, 6, 12, 9)]
    bare, wrapped = (
        compare(bent(), IMAGES[:1], ["gradient"], ["energy_inside"], boxes=given).values
        for given in (boxes, [boxes])
    )
    np.testing.assert_array_equal(bare, wrapped)
    with pytest.raises(errors.MetricError, match="boxes of 2"):
        compare(bent(), IMAGES[:1], ["gradient"], [], boxes=[boxes, boxes[:1]])


# ---------------------------------------------------------------------------------- drawing, files


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_are_no_colours_are_drawn(channels, tmp_path):
    x = RNG.random((1, 12, 12, channels)).astype("float32")
    own = compare(_model(f"c{channels}", channels=channels), x, ["gradient"], [])
    assert own.to_html(tmp_path / "page.html").stat().st_size
    drawn = plot.panel.rgb(x[0])
    assert drawn.shape == (12, 12, 3)
    # The first channel is there as it is, but for one scale; of two, it is all that is drawn.
    assert np.corrcoef(drawn[..., 0].ravel(), x[0, ..., 0].ravel())[0, 1] > 0.99


def test_a_density_of_nothing_is_drawn_as_nothing():
    panel = Panel(np.zeros((9, 9)), np.zeros((9, 9)), "empty", "measured")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plot.comparison([[panel]]).axes


def test_ends_of_lines_are_those_of_csv(tmp_path, monkeypatch):
    """On Windows text would get a second carriage return."""
    seen, write = {}, Path.write_text

    def spy(path, text, **options):
        seen[path.name] = options.get("newline")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", spy)
    own = compare(bent(), IMAGES[:1], [Spoilt()], [])
    monkeypatch.setattr(plot, "render_png", lambda *_: b"")
    folder = own.save(tmp_path / "out")
    assert seen == {"table.csv": "", "table.json": ""}
    assert (folder / "table.csv").read_bytes().count(b"\r\n") == 2

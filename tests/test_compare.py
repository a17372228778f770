"""compare(): its numbers are those of explain() and the metrics, and nothing stops the table."""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib
import io
import json

import keras
import numpy as np
import pytest

import keras_saliency
from keras_saliency import compare, errors, explain, methods, plot, targets
from keras_saliency.comparison import labelled
from keras_saliency.comparison.result import best_of
from keras_saliency.methods import Attribution, Method
from keras_saliency.metrics import agreement, curves, faithfulness, infidelity, registry, sanity

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
PHOTOS = [RNG.integers(0, 256, (20, 30, 3), np.uint8), RNG.integers(0, 256, (24, 18, 3), np.uint8)]


@functools.cache
def network():
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 5, strides=2, activation="tanh", name="conv")(pixels)
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))
    model, draw = keras.Model(pixels, x, name="small"), np.random.default_rng(5).normal
    model.set_weights([draw(0, 0.1, weight.shape) for weight in model.get_weights()])
    return model


@functools.cache
def flat():
    pixels = keras.Input((16, 16, 3))
    return keras.Model(pixels, keras.layers.Dense(3)(keras.layers.Flatten()(pixels)), name="flat")


@functools.cache
def comparison():
    """Two methods, four metrics, two pictures of one network."""
    return compare(
        network(),
        IMAGES,
        ["input_x_gradient", "grad_cam"],
        ["deletion", "insertion", "sparseness", "completeness_error"],
    )


def probability(classes):
    def score(images, rows):
        answers = keras.ops.convert_to_numpy(network()(images.astype("float32")))
        return answers[np.arange(len(rows)), np.asarray(classes)[rows]]

    return score


# ---------------------------------------------------------------------- numbers


def test_the_numbers_are_those_of_explain_and_the_metrics():
    own = comparison()
    for m, name in enumerate(("input_x_gradient", "grad_cam")):
        e = explain(network(), IMAGES, name)
        np.testing.assert_array_equal(own.explanations[name].values, e.values)
        score = probability(e.targets)
        blurred = keras_saliency._inputs.baselines.fill("blur", IMAGES, None)
        by_hand = [
            curves.deletion(score, IMAGES, e.values, 0.0),
            curves.insertion(score, IMAGES, e.values, blurred),
            agreement.sparseness(e.values),
        ]
        np.testing.assert_allclose(own.values[m, :3], by_hand, rtol=1e-4)
        assert np.ptp(own.values[m, :3], axis=1).min() > 1e-4  # the pictures differ


def test_what_must_add_up_to_the_score_meets_the_score_that_was_explained():
    def logit(images, rows):
        dense = network().layers[-1]
        before = keras.Model(network().inputs[0], dense.input)
        values = keras.ops.convert_to_numpy(before(images.astype("float32")))
        kernel, bias = map(keras.ops.convert_to_numpy, dense.weights)
        return (values @ kernel + bias)[np.arange(len(rows)), np.asarray(e.targets)[rows]]

    e = explain(network(), IMAGES, "input_x_gradient")
    by_hand = faithfulness.completeness_error(logit, IMAGES, e.attributions, 0.0)
    np.testing.assert_allclose(comparison().values[0, 3], by_hand, rtol=1e-3)


def test_all_methods_explain_the_same_class():
    own = compare(network(), IMAGES, ["gradient", "smooth_grad", "occlusion"], [])
    assert len({one.targets for one in own.explanations.values()}) == 1
    assert own.values.shape == (3, 0, 2)
    classes = own.explanations["gradient"].targets
    assert own.info["target"] == [str(one) for one in classes]


def test_noisy_copies_are_explained_for_the_pictures_own_class():
    picture, own_class = IMAGES[:1], explain(network(), IMAGES[:1]).targets
    metric = dataclasses.replace(
        registry.get("max_sensitivity"), options={"radius": 0.9, "samples": 4}
    )
    own = compare(network(), picture, ["gradient"], [metric])

    def fixed(images):
        return explain(network(), images, "gradient", target=list(own_class)).values

    by_hand = infidelity.max_sensitivity(fixed, picture, radius=0.9, samples=4)
    np.testing.assert_allclose(own.values[0, 0], by_hand, rtol=1e-3)
    free = infidelity.max_sensitivity(
        lambda images: explain(network(), images).values, picture, radius=0.9, samples=4
    )
    assert abs(free - by_hand) > 1e-3  # the predicted class does change


def test_another_class():
    own = compare(network(), IMAGES, ["gradient", "grad_cam"], ["random_logit"])
    for m, name in enumerate(own.methods):
        e = own.explanations[name]

        def maps_of(classes, name=name):
            return explain(network(), IMAGES, name, target=np.asarray(classes).tolist()).values

        by_hand = sanity.random_logit(maps_of, list(e.targets), 3)
        np.testing.assert_allclose(own.values[m, 0], by_hand, atol=1e-5)


def test_a_batch_equals_its_singles():
    metrics = ["deletion", "mu_fidelity", "sparseness"]
    chosen = ["gradient", methods.SmoothGrad(samples=3)]
    both = compare(network(), PHOTOS, chosen, metrics, preprocess="tf", seed=4)
    for i, photo in enumerate(PHOTOS):
        one = compare(network(), photo, chosen, metrics, preprocess="tf", seed=4)
        np.testing.assert_allclose(both.values[..., i], one.values[..., 0], rtol=1e-4, atol=1e-6)


def test_the_baseline():
    white = compare(network(), PHOTOS[0], "gradient", "deletion", preprocess="tf", baseline="white")
    same = compare(network(), PHOTOS[0], "gradient", "deletion", preprocess="tf", baseline=1.0)
    black = compare(network(), PHOTOS[0], "gradient", "deletion", preprocess="tf")
    np.testing.assert_allclose(white.values, same.values, rtol=1e-6)
    assert abs(white.values - black.values).max() > 1e-4


# ---------------------------------------------------------------------- objects


def test_objects_are_judged_in_the_pictures_own_frame():
    box, boxes = (2, 3, 17, 21), [(2, 3, 17, 21), [(0, 0, 9, 9), (12, 9, 24, 18)]]
    own = compare(network(), PHOTOS, "gradient", preprocess="tf", boxes=boxes)
    assert own.metrics[-2:] == ("pointing_game", "energy_inside")
    masks = [np.zeros(photo.shape[:2], bool) for photo in PHOTOS]
    masks[0][2:17, 3:21] = True
    masks[1][:9, :9] = masks[1][12:24, 9:18] = True
    maps = own.explanations["gradient"].maps()
    inside = [one[mask].sum() / one.sum() for one, mask in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(own.values[0, -1], inside, rtol=1e-5)
    drawn = compare(network(), PHOTOS, "gradient", ["energy_inside"], preprocess="tf", masks=masks)
    np.testing.assert_allclose(drawn.values[0, 0], inside, rtol=1e-5)
    alone = compare(network(), PHOTOS[0], "gradient", ["energy_inside"], preprocess="tf", boxes=box)
    np.testing.assert_allclose(alone.values[0, 0], inside[:1], rtol=1e-5)


# ---------------------------------------------------------------------- what fails


class Broken(Method):
    family = "gradient"
    reference = "none"

    def attribute(self, engine, seed):
        raise ZeroDivisionError("by zero")


class NotEverywhere(Method):
    family = "gradient"
    reference = "none"
    calls = 0

    def attribute(self, engine, seed):
        NotEverywhere.calls += 1
        values = engine.gradient().copy()
        values[0, 3, 3] = np.nan
        return Attribution(values)


def test_a_method_that_cannot_work_is_a_line_that_says_why():
    messages: list[str] = []
    own = compare(flat(), IMAGES, ["grad_cam", Broken(), "gradient"], ["sparseness"],
                  tell=messages.append)  # fmt: skip
    assert own.methods == ("grad_cam", "Broken", "gradient")
    assert "layer" in own.errors["grad_cam"]
    assert own.errors["Broken"] == "Unexpected error. ZeroDivisionError: by zero"
    assert list(own.explanations) == ["gradient"]
    assert np.isnan(own.values[:2]).all()
    assert np.isnan(own.seconds[:2]).all()
    assert np.isfinite(own.values[2]).all()
    assert len(messages) == 3
    assert "Broken: no map. Unexpected error" in own.table()
    with pytest.raises(errors.MethodError):
        own.interval("grad_camm", "sparseness")


def test_a_metric_that_refuses_a_picture_keeps_the_others():
    own = compare(network(), IMAGES, [NotEverywhere(), "gradient"], ["deletion"], warm=True)
    assert NotEverywhere.calls == 2
    assert np.isnan(own.values[0, 0, 0])
    assert np.isfinite(own.values[0, 0, 1])
    assert np.isfinite(own.values[1]).all()
    assert own.metric_errors["NotEverywhere", "deletion"].startswith(
        "picture 1: Expected maps to be"
    )
    assert "NotEverywhere, deletion: picture 1: Expected maps to be finite" in own.table()
    assert not own.best[0, 0]  # of one picture of two: not compared
    assert "NotEverywhere on picture 1: 3 attributions are NaN" in own.table()


def test_a_margin_is_no_probability():
    above = explain(network(), IMAGES, target=targets.Margin(0, 1)).scores > 0
    target = targets.Margin(1, 0) if above.all() else targets.Margin(0, 1)
    own = compare(network(), IMAGES, ["gradient"], ["deletion", "average_drop"], target=target)
    assert np.isfinite(own.values[0, 0]).all()
    refused = [score < 0 for score in own.explanations["gradient"].scores]
    assert any(refused)
    assert np.isnan(own.values[0, 1])[refused].all()
    with pytest.raises(errors.MetricError, match="compares classes"):
        compare(network(), IMAGES, ["gradient"], ["random_logit"], target=target)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"metrics": ["delition"]}, errors.MetricError, "Did you mean 'deletion'"),
        ({"metrics": ["pointing_game"]}, errors.MetricError, "boxes= or masks="),
        ({"metrics": ["grid_pointing_game"]}, errors.MetricError, "It needs cells"),
        ({"methods": []}, errors.MethodError, "Got none"),
        ({"methods": ["grad_kam"]}, errors.MethodError, "Did you mean 'grad_cam'"),
        ({"batch_size": 0}, errors.MethodError, "above 0"),
        ({"names": ["one"]}, errors.ImageError, "2 names"),
        ({"baseline": "blak"}, errors.MethodError, "Did you mean 'black'"),
        ({"boxes": [(0, 0, 4, 4)]}, errors.MetricError, "boxes of 1"),
        (
            {"boxes": [(0, 0, 4, 4)] * 2, "masks": IMAGES[..., 0] > 0},
            errors.MetricError,
            "Got both",
        ),
        (
            {"masks": np.zeros((2, 9, 9), bool)},
            errors.MetricError,
            r"bool of shape .* for picture 0",
        ),
        ({"target": 7}, errors.TargetError, "no class 7"),
    ],
)
def test_refusals_come_first(given, error, words):
    with pytest.raises(error, match=words):
        compare(network(), IMAGES, **{"methods": [Broken()], **given})


def test_every_metric_that_a_comparison_can_have_is_handed_what_it_needs():
    known = [name for name in registry.names() if name != "grid_pointing_game"]
    quick = [
        dataclasses.replace(one, options={**one.options, **{
            key: value for key, value in (("steps", 4), ("samples", 3)) if key in one.takes
        }})
        for one in map(registry.get, known)
    ]  # fmt: skip
    own = compare(network(), IMAGES[:1], ["gradient"], quick, boxes=(2, 2, 9, 9))
    assert own.metric_errors == {}
    assert np.isfinite(own.values).all()


# ---------------------------------------------------------------------- words, figures, files


def test_labels_tell_options_apart():
    listed = ["smooth_grad", methods.SmoothGrad(samples=5), methods.SmoothGrad("grad_cam")]
    own = compare(network(), IMAGES[:1], [*listed, "smooth_grad"], [])
    assert own.methods == (
        "smooth_grad", "smooth_grad(samples=5)", "smooth_grad(base=grad_cam)", "smooth_grad #2"
    )  # fmt: skip
    steps = dataclasses.replace(registry.get("deletion"), options={"steps": 16})
    both = compare(network(), IMAGES[:1], "gradient", [steps, "deletion"])
    assert both.metrics == ("deletion(steps=16)", "deletion")
    fill = np.zeros((16, 16, 3))
    assert list(labelled([methods.Occlusion(fill=fill)])) == ["occlusion(fill=array (16, 16, 3))"]
    assert list(labelled([registry.get("infidelity")])) == ["infidelity"]  # options of its own


def test_all_and_the_default(monkeypatch):
    room = importlib.import_module("keras_saliency.comparison.compare")
    monkeypatch.setattr(room, "method_names", lambda: ["gradient", "lrp"])
    assert compare(network(), IMAGES[:1], "all", []).methods == ("gradient", "lrp")
    usual = [one.name for one in room._methods(None)]
    assert set(usual) <= set(methods.names())
    assert len(usual) == 10


def test_best():
    values = np.array([[[1.0, 3.0], [0.2, 0.2]], [[3.0, 1.0], [0.1, 0.1]], [[9.0, np.nan]] * 2])
    expected = [[True, False], [True, True], [False, False]]
    np.testing.assert_array_equal(best_of(values, (True, False)), expected)
    assert not best_of(values[:1], (True, False)).any()  # one alone is not the best


def test_the_table():
    own = comparison()
    lines = own.table().splitlines()
    assert lines[0].split() == ["method", "deletion", "↓", "insertion", "↑", "sparseness", "↑",
                                "completeness_error", "↓", "seconds"]  # fmt: skip
    mean, low, high = own.interval("grad_cam", "sparseness")
    assert low <= mean <= high
    assert f"{mean:.3f} [{low:.3f}, {high:.3f}]" in lines[2]
    stars = [line.count("*") for line in lines[1:3]]
    assert sum(stars) == own.best.sum() == 4
    assert "95% bootstrap intervals" in own.table()
    assert repr(own).startswith("2 methods on 2 pictures, model small")
    assert "<td" in own._repr_html_()
    one = compare(network(), IMAGES[:1], ["gradient"], ["sparseness"])
    assert "[" not in one.table().splitlines()[1]


def test_rich_prints_it():
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(comparison())
    assert "input_x_gradient" in console.export_text()


def test_files(tmp_path, monkeypatch):
    own = comparison()
    rows = list(csv.DictReader(own.to_csv(tmp_path / "t.csv").open(newline="")))
    assert [(row["method"], row["picture"]) for row in rows[:3]] == [
        ("input_x_gradient", "picture 1"), ("input_x_gradient", "picture 2"),
        ("grad_cam", "picture 1"),
    ]  # fmt: skip
    assert float(rows[1]["deletion"]) == own.values[0, 0, 1]
    stored = json.loads(own.to_json(tmp_path / "t.json").read_text())
    assert stored["methods"][1]["scores"]["insertion"]["values"] == own.values[1, 1].tolist()
    assert stored["methods"][1]["layer"] == "conv"
    assert stored["metrics"][0] == {"name": "deletion", "higher_is_better": False}
    folder = own.save(tmp_path / "out")
    names = ["figure.png", "scores.png", "table.csv", "table.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    monkeypatch.setattr(plot, "render_png", lambda *_: b"drawn again")
    own.save(folder)  # its own are replaced
    assert (folder / "figure.png").read_bytes() == b"drawn again"
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(errors.SaveError, match="Other files are there"):
        own.save(folder)
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(errors.SaveError, match="Another file is there"):
        own.to_html(tmp_path / "page.html")
    with pytest.raises(errors.SaveError):
        own.to_csv(folder / "mine.txt" / "t.csv")
    with pytest.raises(errors.SaveError):
        own.to_csv(folder)  # moved to its place last: what was begun is taken away again
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_to_draw_is_no_failure(tmp_path):
    own = compare(flat(), IMAGES, [Broken()], ["sparseness"])
    assert [p.name for p in sorted(own.save(tmp_path / "out").iterdir())] == [
        "scores.png", "table.csv", "table.json"
    ]  # fmt: skip
    assert "No method has a map" in own.to_html(tmp_path / "page.html").read_text()


def test_figures():
    own = comparison()
    figure = own.plot("maps")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any(text.startswith("grad_cam\ndeletion ↓ ") for text in texts)
    assert sum(text.startswith("picture ") for text in texts) == 2
    scores = own.plot("scores")
    assert len(scores.axes) == 4
    filled = sum(
        line.get_marker() == "o" and line.get_markerfacecolor() != "white"
        for axes in scores.axes for line in axes.lines
    )  # fmt: skip
    assert filled == own.best.sum()
    with pytest.raises(errors.MethodError, match="Known: 'maps'"):
        own.plot("bars")

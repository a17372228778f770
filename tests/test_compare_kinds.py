"""compare() on signals, volumes, texts and tables: numbers by hand, planted truths, refusals."""

from __future__ import annotations

import dataclasses
import functools
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_saliency import compare, errors, explain
from keras_saliency._inputs import resampling
from keras_saliency.comparison import drawing, read
from keras_saliency.metrics import agreement, curves, faithfulness, registry

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(7)
SIGNALS = RNG.normal(size=(2, 24, 2)).astype("float32")
ROWS = RNG.normal(size=(2, 6)).astype("float32")
TEXTS = np.array([[1, 5, 2, 9, 4, 4, 3, 8], [3, 3, 7, 1, 6, 0, 0, 0]])
VOLUMES = RNG.normal(size=(2, 5, 6, 7, 1)).astype("float32")


def _filled(model):
    draw = np.random.default_rng(5).normal
    model.set_weights([draw(0, 0.3, weight.shape) for weight in model.get_weights()])
    return model


@functools.cache
def signal_model():
    given = keras.Input((24, 2))
    x = keras.layers.Conv1D(4, 5, activation="tanh")(given)
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))
    return _filled(keras.Model(given, x, name="signals"))


@functools.cache
def table_model():
    given = keras.Input((6,))
    x = keras.layers.Dense(5, activation="tanh")(given)
    return _filled(keras.Model(given, keras.layers.Dense(3, activation="softmax")(x), name="rows"))


@functools.cache
def text_model():
    given = keras.Input((8,), dtype="int32")
    x = keras.layers.Embedding(10, 4)(given)
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))
    return _filled(keras.Model(given, x, name="texts"))


@functools.cache
def volume_model():
    given = keras.Input((5, 6, 7, 1))
    x = keras.layers.Conv3D(2, 3, activation="tanh")(given)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    return _filled(keras.Model(given, x, name="volumes"))


MODELS = {
    "signal": (signal_model, SIGNALS),
    "table": (table_model, ROWS),
    "tokens": (text_model, TEXTS),
    "volume": (volume_model, VOLUMES),
}
every_kind = pytest.mark.parametrize("kind", MODELS)


def probability(model, classes):
    def score(given, rows):
        answers = keras.ops.convert_to_numpy(model(given.astype("float32")))
        return answers[np.arange(len(rows)), np.asarray(classes)[rows]]

    return score


def behind_the_embedding():
    """The text model from the vectors of words on, and these vectors."""
    _, embedding, flat, dense = text_model().layers
    vectors = keras.Input((8, 4))
    table = keras.ops.convert_to_numpy(embedding.embeddings)
    return keras.Model(vectors, dense(flat(vectors))), table[TEXTS]


def by_hand(kind):
    """The inputs as metrics see them, a model of these, and what is blurred for insertion."""
    if kind == "table":
        model = keras.Sequential([keras.Input((6, 1)), keras.layers.Reshape((6,)), table_model()])
        return model, ROWS[..., None], 0.0
    if kind == "tokens":
        return *behind_the_embedding(), 0.0
    make, images = MODELS[kind]
    shortest = min(images.shape[1:-1])
    return make(), images, resampling.blur(images, 0.1 * shortest)


# ---------------------------------------------------------------------- numbers


@every_kind
def test_the_numbers_are_those_of_explain_and_the_metrics(kind):
    make, given = MODELS[kind]
    own = compare(make(), given, "integrated_gradients", ["deletion", "insertion", "sparseness"])
    e = explain(make(), given, "integrated_gradients")
    np.testing.assert_array_equal(own.explanations["integrated_gradients"].values, e.values)
    model, images, blurred = by_hand(kind)
    score = probability(model, e.targets)
    wanted = [
        curves.deletion(score, images, e.values, 0.0),
        curves.insertion(score, images, e.values, blurred),
        agreement.sparseness(e.values),
    ]
    np.testing.assert_allclose(own.values[0], wanted, rtol=1e-4)
    assert np.ptp(own.values[0, :2], axis=1).min() > 1e-4
    # Mutant: a table or a text has no blur, and insertion from a wrong baseline is another number.
    assert own.info["kind"] == kind
    assert ("blur" in own.info["baseline"]) == (kind in ("signal", "volume"))


@every_kind
def test_every_metric_that_has_a_meaning_has_a_number(kind):
    make, given = MODELS[kind]
    wanted = [
        name
        for name, metric in registry.METRICS.items()
        if kind in metric.kinds and name != "grid_pointing_game"
    ]
    frames = [one.shape[: len(explain(make(), given).values.shape) - 1] for one in given]
    masks = [np.arange(np.prod(frame)).reshape(frame) % 3 == 0 for frame in frames]
    own = compare(make(), given, ["gradient", "integrated_gradients"], wanted, masks=masks)
    assert np.isfinite(own.values).all(), own.metric_errors
    complete = own.values[1, wanted.index("completeness_error")]
    assert (complete < 1e-2).all()
    # Mutant: attributions (B, F) of a table taken for maps without their channel would not add up.
    assert (own.values[1, wanted.index("sensitivity_n")] > 0.3).all()
    of_gradient, of_path = own.values[:, wanted.index("infidelity")]
    assert (of_path < of_gradient).all()


def test_a_planted_interval_is_located_and_drops_first():
    given = keras.Input((24, 2))
    score = keras.layers.Dense(1)(keras.layers.Flatten()(given))
    model = keras.Model(given, score)
    weights = np.zeros((24, 2, 1))
    weights[6:11] = 0.5
    model.set_weights([weights.reshape(48, 1), np.zeros(1)])
    signals = np.abs(SIGNALS) + 0.1
    mask = np.zeros(24, bool)
    mask[6:11] = True
    steps = dataclasses.replace(registry.get("deletion"), options={"steps": 24})
    names = ["energy_inside", "pointing_game", "completeness_error"]
    own = compare(model, signals, "input_x_gradient", [steps, *names], kind="signal", target=0,
                  masks=[mask, mask])  # fmt: skip
    np.testing.assert_allclose(own.values[0, 1:], [[1, 1], [1, 1], [0, 0]], atol=1e-5)
    # The five values fall away first, the largest before the others: then only the bias is left.
    values = -np.sort(-signals[:, 6:11].sum(axis=2) / 2, axis=1)
    left = values.sum(axis=1, keepdims=True) - np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))
    scores = np.pad(1 / (1 + np.exp(-left)), ((0, 0), (0, 19)), constant_values=0.5)
    np.testing.assert_allclose(own.values[0, 0], np.trapezoid(scores, dx=1 / 24), rtol=1e-5)
    other = compare(model, signals, "input_x_gradient", "energy_inside", kind="signal", target=0,
                    masks=[~mask, ~mask])  # fmt: skip
    np.testing.assert_array_equal(other.values, np.zeros((1, 1, 2)))


def test_a_table_takes_the_mean_of_its_training_data():
    data = RNG.normal(2, 1, (50, 6)).astype("float32")
    own = compare(table_model(), ROWS, "gradient", "deletion", baseline=data.mean(axis=0))
    e = explain(table_model(), ROWS)
    model, images, _ = by_hand("table")
    wanted = curves.deletion(
        probability(model, e.targets), images, e.values, data.mean(axis=0)[:, None]
    )
    np.testing.assert_allclose(own.values[0, 0], wanted, rtol=1e-4)
    for word in ("mean", "blur"):
        with pytest.raises(errors.MethodError, match=r"data\.mean\(axis=0\)"):
            compare(table_model(), ROWS, "gradient", "deletion", baseline=word)


def test_words_add_up_to_the_score():
    own = compare(text_model(), TEXTS, "input_x_gradient", "completeness_error", target=1)
    model, vectors = behind_the_embedding()
    dense = model.layers[-1]
    kernel, bias = map(keras.ops.convert_to_numpy, dense.weights)

    def logit(images, rows):
        return (images.reshape(len(images), -1) @ kernel + bias)[:, 1]

    e = explain(text_model(), TEXTS, "input_x_gradient", target=1)
    wanted = faithfulness.completeness_error(logit, vectors, e.attributions, 0.0)
    np.testing.assert_allclose(own.values[0, 0], wanted, atol=1e-4)
    assert (own.values < 1e-4).all()  # from the vectors of words on the model is linear


# ---------------------------------------------------------------------- what has a meaning


def test_what_was_named_and_has_no_meaning_is_refused_at_once():
    said = []
    with pytest.raises(errors.MethodError, match=r"Got xrai, attention_rollout.* none") as caught:
        compare(table_model(), ROWS, ["gradient", "xrai", "attention_rollout"], tell=said.append)
    fitting = caught.value.fix.split(": ")[1]
    assert "integrated_gradients" in fitting
    assert "xrai" not in fitting
    with pytest.raises(errors.MetricError, match="'road' is for picture, signal") as caught:
        compare(table_model(), ROWS, "gradient", ["deletion", "road"], tell=said.append)
    assert "infidelity" in caught.value.fix
    assert said == []
    assert np.isfinite(compare(signal_model(), SIGNALS, "gradient", "road").values).all()


def test_what_was_not_named_becomes_a_line():
    own = compare(table_model(), ROWS, metrics=[])
    assert len(own.methods) == 10
    assert "is for picture, signal" in own.errors["grad_cam"]
    assert {"gradient", "integrated_gradients", "lrp", "deep_lift"} <= set(own.explanations)
    assert "grad_cam: no map. Method 'grad_cam' is for" in " ".join(own.table().split())
    own = compare(text_model(), TEXTS, "all", [])
    assert "'xrai' is for picture" in own.errors["xrai"]


def test_objects_are_masks():
    with pytest.raises(errors.MetricError, match=r"masks of the objects.* Got boxes=.*\(24,\)"):
        compare(signal_model(), SIGNALS, "gradient", "energy_inside", boxes=[(0, 0, 1, 1)] * 2)
    with pytest.raises(errors.MetricError, match=r"for picture 0; the picture has \(24,\)"):
        compare(signal_model(), SIGNALS, "gradient", [], masks=[np.ones((24, 2), bool)] * 2)
    alone = compare(signal_model(), SIGNALS[:1], "gradient", masks=np.arange(24) < 9)
    assert alone.metrics[-2:] == ("pointing_game", "energy_inside")


def test_the_kind_can_be_said():
    given = keras.Input((24, 2))
    model = keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(given)))
    with pytest.raises(errors.ModelError, match="kind='signal' or kind='picture'"):
        compare(model, SIGNALS, "gradient", [])
    own = compare(model, SIGNALS, "gradient", [], kind="signal")
    assert own.kind.name == "signal"
    assert own.names == ("signal 1", "signal 2")


def test_options_are_tried_on_the_kind_that_is_explained():
    many = dataclasses.replace(registry.get("deletion"), options={"steps": 7})
    with pytest.raises(errors.MetricError, match="from 1 to 6"):
        compare(table_model(), ROWS, "gradient", many)
    assert compare(signal_model(), SIGNALS, "gradient", many).metrics == ("deletion(steps=7)",)


# ---------------------------------------------------------------------- texts, figures, files


@every_kind
def test_a_comparison_is_written_and_drawn(kind, tmp_path):
    make, given = MODELS[kind]
    own = compare(make(), given, ["gradient", "integrated_gradients"], "sparseness")
    noun = {"tokens": "text", "table": "row"}.get(kind, kind)
    assert own.names == (f"{noun} 1", f"{noun} 2")
    assert f"2 methods on 2 {noun}s, model {make().name}" in own.title()
    assert f"Means over 2 {noun}s" in own.table()

    folder = own.save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        "figure.png", "scores.png", "table.csv", "table.json",
    }  # fmt: skip
    assert read(folder)["kind"] == kind
    assert len(Image.open(folder / "figure.png").convert("L").getcolors()) > 20

    text = own.to_html(tmp_path / "page.html").read_text()
    assert text.count("data:image/png;base64,") == 4  # a figure for each map
    assert "data:image/jpeg" not in text
    assert 'class="base"' not in text.split("<script>")[0]
    assert "Opacity" not in text
    assert f"All 2 {noun}s" in text
    assert f'aria-label="{noun.capitalize()}s"' in text
    manifest = text.split('<pre id="manifest">')[1].split("</pre>")[0]
    assert json.loads(manifest.replace("&quot;", '"').replace("&#x27;", "'"))["kind"] == kind


@every_kind
def test_each_input_has_a_figure(kind):
    make, given = MODELS[kind]
    png = drawing.figure(explain(make(), given)[1])
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert min(image.size) > 50


def test_pictures_are_drawn_as_before():
    given = keras.Input((16, 16, 3))
    model = keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(given)))
    own = compare(model, RNG.random((2, 16, 16, 3)).astype("float32"), "gradient", [])
    assert own.are_flat
    assert own.nouns == "pictures"
    panel = own.panels()[0][0]
    np.testing.assert_array_equal(panel.map, own.explanations["gradient"].maps()[0])
    assert panel.title.startswith("picture 1\n")
    assert panel.method.startswith("gradient\n")
    assert own.info["baseline"] == "black, a blur for insertion"

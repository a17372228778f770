"""Targets: each score against the model's own numbers, and what each refuses."""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_saliency import errors, explain, targets


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x)).astype("float64")


@pytest.fixture(scope="module")
def dense():
    """A segmentation: (B, 12, 12, 3) by a softmax over channels."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((models.SIZE, models.SIZE, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="tanh", name="body")(inputs)
    return keras.Model(inputs, layers.Conv2D(3, 3, padding="same", activation="softmax")(x))


def test_top_class_is_the_predicted_one():
    x = models.pictures(6)
    e = explain(models.flat(), x)
    assert list(e.targets) == outputs(models.flat(), x).argmax(-1).tolist()
    assert e.labels[0] == f"class {e.targets[0]}"
    same = explain(models.flat(), x, target=list(e.targets))
    np.testing.assert_allclose(same.values, e.values, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_top_is_an_explanation_for_each_of_the_highest_classes(score):
    x = models.pictures(4)
    order = outputs(models.flat(), x).argsort(-1)[:, ::-1]
    results = explain(models.flat(), x, target=targets.Top(3, score=score))
    assert len(results) == 3
    for rank, e in enumerate(results):
        assert list(e.targets) == order[:, rank].tolist()
        same = explain(models.flat(), x, target=targets.Class(order[:, rank], score=score))
        np.testing.assert_allclose(e.values, same.values, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(e.scores, same.scores, rtol=1e-5)
    alone = explain(models.flat(), x[1], target=targets.Top(3, score=score))
    assert [e.targets[0] for e in alone] == order[1, :3].tolist()


def test_top_of_a_single_output():
    inputs = keras.Input((8, 8, 3))
    x = layers.Flatten()(inputs)
    picture = np.ones((8, 8, 3), "float32")
    sigmoid = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    one, other = explain(sigmoid, picture, target=targets.Top(2))
    assert {one.targets[0], other.targets[0]} == {0, 1}
    np.testing.assert_allclose(one.scores, -other.scores, rtol=1e-5)
    linear = keras.Model(inputs, layers.Dense(1)(x))
    assert explain(linear, picture, target=targets.Top(1))[0].targets == (0,)
    with pytest.raises(errors.TargetError, match="no class 1"):
        explain(linear, picture, target=targets.Top(2))


@pytest.mark.parametrize("target", [2, np.int64(2), [2, 2], np.array([2, 2]), targets.Class(2)])
def test_ways_to_name_a_class(target):
    x = models.pictures(2)
    logits = outputs(models.logits(), x)
    np.testing.assert_allclose(explain(models.flat(), x, target=target).scores, logits[:, 2], 1e-5)


def test_one_class_a_picture():
    x = models.pictures(3)
    e = explain(models.flat(), x, target=[0, 4, 2])
    for i, c in enumerate([0, 4, 2]):
        alone = explain(models.flat(), x[i], target=c)
        np.testing.assert_allclose(e.values[i], alone.values[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
def test_margin(score):
    x = models.pictures(2)
    e = explain(models.flat(), x, target=targets.Margin([1, 2], 3, score=score))
    one, other = (
        explain(models.flat(), x, target=targets.Class(c, score=score)) for c in ([1, 2], [3, 3])
    )
    np.testing.assert_allclose(e.scores, one.scores - other.scores, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        e.attributions, one.attributions - other.attributions, rtol=1e-3, atol=1e-5
    )
    assert e.labels == ("", "")


def test_pixel(dense):
    x = models.pictures(2)
    p = outputs(dense, x)
    e = explain(dense, x, target=targets.Pixel(4, 7, channel=[0, 2], score="probability"))
    np.testing.assert_allclose(e.scores, [p[0, 4, 7, 0], p[1, 4, 7, 2]], rtol=1e-5)
    # Two 3x3 convolutions see two pixels around: all else is 0.
    seen = np.zeros((models.SIZE, models.SIZE), bool)
    seen[2:7, 5:10] = True
    assert not e.values[:, ~seen].any()
    assert e.values[:, seen].all()
    strongest = explain(dense, x, target=targets.Pixel(4, 7))
    np.testing.assert_array_equal(
        strongest.scores,
        explain(dense, x, target=targets.Pixel(4, 7, p[:, 4, 7].argmax(-1).tolist())).scores,
    )


def test_region(dense):
    x = models.pictures(2)
    p = outputs(dense, x)[..., 1]
    box = (2, 3, 6, 9)
    mask = np.zeros((models.SIZE, models.SIZE))
    mask[2:6, 3:9] = 1
    for region in (
        targets.Region(box=box, channel=1, score="probability"),
        targets.Region(mask=mask, channel=1, score="probability"),
        targets.Region(mask=np.stack([mask, mask]), channel=1, score="probability"),
    ):
        e = explain(dense, x, target=region)
        np.testing.assert_allclose(e.scores, p[:, 2:6, 3:9].mean((1, 2)), rtol=1e-5)
    total = explain(dense, x, target=targets.Region(box, channel=1, reduce="sum"))
    mean = explain(dense, x, target=targets.Region(box, channel=1))
    np.testing.assert_allclose(total.scores, 24 * mean.scores, rtol=1e-4)


def test_dense_channels_first():
    keras.utils.set_random_seed(3)
    first_in, last_in = keras.Input((3, 8, 8)), keras.Input((8, 8, 3))
    first = keras.Model(first_in, layers.Conv2D(2, 3, data_format="channels_first")(first_in))
    last = keras.Model(last_in, layers.Conv2D(2, 3)(last_in))
    last.set_weights(first.get_weights())
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    target = targets.Pixel(1, 4, channel=1)
    np.testing.assert_allclose(
        explain(first, x, target=target).attributions,
        explain(last, x, target=target).attributions,
        atol=1e-6,
    )


def test_dense_without_channels():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.ops.sum(inputs**2, axis=-1))
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    e = explain(model, x, target=targets.Pixel(2, 5))
    wanted = np.zeros_like(x)
    wanted[0, 2, 5] = 2 * x[0, 2, 5]
    np.testing.assert_allclose(e.attributions, wanted, rtol=1e-5)


def test_callable_gets_the_outputs_as_the_model_returns_them():
    x = models.pictures(2)
    p = outputs(models.flat(), x)
    e = explain(models.flat(), x, target=lambda y: y[:, 0] - y[:, 3])
    np.testing.assert_allclose(e.scores, p[:, 0] - p[:, 3], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, r"has no class 5\..*numbered 0 to 4"),
        (-1, r"has no class -1"),
        ([0, 7], r"no class 7"),
        ([0, 1, 2], r"each of 2 pictures.*shape \(3,\)"),
        (1.5, r"Got target=1.5"),
        ("dog", r"Got target='dog'"),
        ([0.5, 1.0], r"Expected the class to be a whole number"),
        (targets.Margin(0, 9), r"no class 9"),
        (targets.Top(6), r"up to 5, .*Got k=6"),
        ([targets.Top(2), targets.Class(0)], r"one target here.*Got Top\(k=2"),
        (targets.Pixel(1, 1), r"Expected a dense output.*shape \(None, 5\)"),
        (targets.Region((0, 0, 2, 2)), r"Expected a dense output"),
        (lambda y: keras.ops.sum(y), r"one score per picture.*shape \(\) for 2"),
        (lambda y: y, r"shape \(2, 5\)"),
        (lambda y: 3.0, r"Got float"),
    ],
)
def test_refused_on_a_classifier(target, message):
    with pytest.raises(errors.TargetError, match=message):
        explain(models.flat(), models.pictures(2), target=target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, r"Expected an output \(B, classes\)"),
        (3, r"Expected an output \(B, classes\)"),
        (targets.Pixel(12, 0), r"no row 12.*0 to 11"),
        (targets.Pixel(0, -1), r"no column -1"),
        (targets.Pixel(0, 0, channel=3), r"no channel 3"),
        (targets.Region((0, 0, 2, 2)), r"Expected channel= .*of 3 channels"),
        (targets.Region((0, 0, 2, 20), channel=0), r"does not lie in 12 rows and 12 columns"),
        (
            targets.Region(mask=np.ones((5, 5)), channel=0),
            r"height and width, \(12, 12\).*shape \(5, 5\)",
        ),
    ],
)
def test_refused_on_a_dense_output(dense, target, message):
    with pytest.raises(errors.TargetError, match=message):
        explain(dense, models.pictures(2), target=target)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: targets.Class(1, score="logits"),
            r"No score is called 'logits'.*Did you mean 'logit'",
        ),
        (lambda: targets.Top(0), r"Got k=0"),
        (lambda: targets.Region(), r"Got neither box= nor mask="),
        (lambda: targets.Region((0, 0, 1, 1), mask=np.ones((2, 2))), r"both box= and mask="),
        (lambda: targets.Region((2, 2, 2, 4)), r"is empty"),
        (lambda: targets.Region(mask=np.zeros((2, 2))), r"an empty mask"),
        (lambda: targets.Region((0, 0, 1, 1), reduce="max"), r"reduce='max'"),
    ],
)
def test_refused_when_made(make, message):
    with pytest.raises(errors.TargetError, match=message):
        make()


@pytest.mark.parametrize("form", ["over pixels", "channels first", "permuted"])
def test_a_softmax_over_other_axes_is_not_taken_for_one_over_classes(form):
    keras.utils.set_random_seed(5)
    first = form == "channels first"
    inputs = keras.Input((3, 8, 8) if first else (8, 8, 3))
    layout = "channels_first" if first else "channels_last"
    x = layers.Conv2D(1 if form == "over pixels" else 3, 3, padding="same", data_format=layout)(
        inputs
    )
    if form == "over pixels":  # a density, as of fixations
        x = layers.Softmax()(layers.Flatten()(x))
        x = layers.Reshape((8, 8, 1))(x)
    elif first:
        x = layers.Softmax(axis=1)(x)
    else:
        x = layers.Permute((2, 1, 3))(layers.Softmax()(x))
    model = keras.Model(inputs, x)
    z = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    p = outputs(model, z.transpose(0, 3, 1, 2) if first else z)
    p = p.transpose(0, 2, 3, 1) if first else p
    for score, of in (("probability", np.asarray), ("log_probability", np.log)):
        e = explain(model, z, target=targets.Pixel(2, 5, channel=0, score=score))
        np.testing.assert_allclose(e.scores, of(p[:, 2, 5, 0]), rtol=1e-5)
    # Logits differ as log probabilities do, where the softmax is shared.
    other = (3, 1, 0) if form == "over pixels" else (2, 5, p.shape[-1] - 1)
    one, two = (
        explain(model, z, target=targets.Pixel(y, x, channel=c)).scores
        for y, x, c in ((2, 5, 0), other)
    )
    wanted = np.log(p[:, 2, 5, 0]) - np.log(p[:, *other])
    np.testing.assert_allclose(one - two, wanted, rtol=1e-3, atol=1e-4)

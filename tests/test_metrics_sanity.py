"""Sanity checks on small networks: which layers forget, what comes back, how alike maps stay."""

from __future__ import annotations

from functools import cache

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_saliency import errors, explain
from keras_saliency.metrics import agreement, sanity

HOWS = ("shuffle", "draw")
CLASSES = [0, 1]


def maps(model, method="input_x_gradient"):
    return explain(model, models.pictures(2), method, target=CLASSES).values


def blank(model):
    """A map that shows the picture and asks no model."""
    return models.pictures(2).sum(axis=-1)


@cache
def own():
    """A network of our own: tests that spoil it spoil no other test's."""
    return models.chain(name="own")


def _weights(model):
    return [np.array(one) for one in model.get_weights()]


def _same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def _refused(match, call, *args, **options):
    with pytest.raises(errors.MetricError, match=match) as caught:
        call(*args, **options)
    assert all([caught.value.what, caught.value.got, caught.value.fix, caught.value.read])


# ------------------------------------------------------------------------------------ forgetting


def test_layers_forget_from_the_output_to_the_input():
    result, before = [], _weights(own())
    changed = []
    with sanity.randomized(own()) as steps:
        for path in steps:
            result.append(path)
            now = _weights(own())
            pairs = zip(now, before, own().weights, strict=True)
            changed.append({w.path.split("/")[-2] for a, b, w in pairs if (a != b).any()})
    assert result == ["head", "bn", "conv2", "conv1"]
    assert changed == [set(result[: i + 1]) for i in range(4)]  # each stays forgotten


@pytest.mark.parametrize("make", [models.nested, models.sequential, models.subclassed])
def test_layers_are_recognised_however_they_are_put_together(make):
    with sanity.randomized(make()) as steps:
        paths = [path.rsplit("/", 1)[-1] for path in steps]
    assert paths == ["head", "bn", "conv2", "conv1"]


def test_a_nested_layer_has_its_whole_path():
    with sanity.randomized(models.nested()) as steps:
        assert list(steps)[-1] == "outer/inner/conv1"


class _Around(layers.Layer):
    """A layer with a weight of its own around another layer, which comes twice."""

    def __init__(self):
        super().__init__(name="around")
        self.inner = layers.Dense(4, name="inner")

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), name="scale", initializer="random_normal")
        self.inner.build(shape)

    def call(self, x):
        return self.inner(self.inner(x)) * self.scale


def test_each_weight_is_forgotten_once_by_the_innermost_layer():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(4, name="out")(_Around()(inputs)))
    before, result = _weights(model), []
    with sanity.randomized(model, how="draw") as steps:
        for path in steps:
            now = _weights(model)
            differs = [(a != b).any() for a, b in zip(now, before, strict=True)]
            which = {w.path for w, d in zip(model.weights, differs, strict=True) if d}
            result.append((path, {one.rsplit("/", 2)[-2] for one in which}))
            before = now
    assert result == [
        ("out", {"out"}), ("around/inner", {"inner"}), ("around", {"around"}),
    ]  # fmt: skip
    _same(_weights(model), [np.array(w) for w in model.get_weights()])


@pytest.mark.parametrize("how", HOWS)
def test_how_weights_are_forgotten(how):
    model = own()
    before = dict(zip([w.path for w in model.weights], _weights(model), strict=True))
    with sanity.randomized(model, how=how, seed=3) as steps:
        list(steps)
        after = dict(zip([w.path for w in model.weights], _weights(model), strict=True))
    for path, old in before.items():
        new = after[path]
        if "moving" in path:  # counted, not trained
            np.testing.assert_array_equal(new, old)
            continue
        assert (new != old).any(), path
        if how == "shuffle":
            np.testing.assert_array_equal(np.sort(new, axis=None), np.sort(old, axis=None))
            if old.ndim > 1:  # not just its rows
                assert not any((new[0] == row).all() for row in old)
        elif new.size > 100:
            assert new.std() == pytest.approx(old.std(), rel=0.3)
            assert not np.isin(new, old).any()
    assert all(np.isfinite(one).all() for one in after.values())


def test_a_weight_of_equal_numbers_is_not_drawn():
    """The scale of a fresh batch normalisation is 1: drawn with its deviation it would be 0."""
    model = models.chain()
    (scale,) = (w for w in model.weights if w.path.endswith("gamma"))
    scale.assign(np.full(scale.shape, 0.1, "float32"))
    with sanity.randomized(model, how="draw") as steps:
        list(steps)
        assert (keras.ops.convert_to_numpy(scale) == np.float32(0.1)).all()
        assert maps(model).any()


def test_a_frozen_layer_forgets_too():
    model = models.chain()
    model.trainable = False
    with sanity.randomized(model) as steps:
        assert list(steps) == ["head", "bn", "conv2", "conv1"]


def test_the_model_comes_back():
    model, before = own(), _weights(own())
    with sanity.randomized(model, how="draw") as steps:
        next(steps)
    _same(_weights(model), before)
    with pytest.raises(StopIteration):
        next(steps)  # the block is over
    _same(_weights(model), before)

    calls = []

    def broken(given):
        calls.append(given)
        if len(calls) == 3:
            raise ZeroDivisionError
        return blank(given)

    with pytest.raises(ZeroDivisionError):
        sanity.cascading_randomization(model, broken)
    _same(_weights(model), before)
    assert all(one is model for one in calls)


def test_the_seed_decides():
    def all_weights(seed):
        with sanity.randomized(own(), seed=seed) as steps:
            list(steps)
            return _weights(own())

    _same(all_weights(1), all_weights(1))
    assert any((a != b).any() for a, b in zip(all_weights(1), all_weights(2), strict=True))


def test_what_cannot_forget_is_refused():
    inputs = keras.Input((4, 4, 1))
    empty = keras.Model(inputs, layers.Flatten()(inputs), name="empty")
    _refused("No layer of model 'empty' has any", sanity.cascading_randomization, empty, blank)
    _refused("how='all'", sanity.cascading_randomization, own(), blank, how="all")
    _refused(
        "Expected a batch of one or more maps",
        sanity.cascading_randomization,
        own(),
        lambda m: np.ones(3),
    )


# --------------------------------------------------------------------------------------- cascade


@pytest.mark.parametrize("how", HOWS)
def test_a_map_of_the_model_changes_and_one_of_the_picture_does_not(how):
    before = _weights(own())
    result = sanity.cascading_randomization(own(), maps, how=how, seed=1)
    assert result.layers == ("head", "bn", "conv2", "conv1")
    assert result.similarity.shape == result.absolute.shape == (4, 2)
    assert result.ssim is None
    assert (np.abs(result.similarity[-1]) < 0.8).all()
    dead = sanity.cascading_randomization(own(), blank, how=how)
    np.testing.assert_allclose(dead.similarity, 1)
    np.testing.assert_allclose(dead.absolute, 1)
    _same(_weights(own()), before)


def test_the_cascade_compares_with_the_model_as_it_was():
    given = maps(own())
    result = sanity.cascading_randomization(own(), maps, seed=5, ssim=True)
    with sanity.randomized(own(), seed=5) as steps:
        for number, _ in enumerate(steps):
            now = maps(own())
            for wanted, row in (
                (agreement.rank_correlation(given, now), result.similarity),
                (agreement.rank_correlation(given, now, absolute=True), result.absolute),
                (agreement.ssim(given, now, absolute=True), result.ssim),
            ):
                np.testing.assert_allclose(row[number], wanted, atol=1e-12)
    assert (result.similarity != result.absolute).all()


def test_maps_may_reuse_their_memory():
    buffer = np.zeros((2, 12, 12), np.float32)

    def same_array(model):
        buffer[:] = maps(model)
        return buffer

    result = sanity.cascading_randomization(own(), same_array, seed=5)
    wanted = sanity.cascading_randomization(own(), maps, seed=5)
    np.testing.assert_allclose(result.similarity, wanted.similarity, atol=1e-12)


# --------------------------------------------------------------------------------- random labels


def _corners(count=64):
    """Pictures of noise, with a bright corner: left for class 0, right for class 1."""
    generator = np.random.default_rng(0)
    x = generator.normal(0, 0.3, (count, 6, 6, 1)).astype("float32")
    y = np.arange(count) % 2
    x[y == 0, :2, :2] += 1
    x[y == 1, :2, -2:] += 1
    return x, y


def _fresh(trained=None):
    def make():
        keras.utils.set_random_seed(len(trained) if trained is not None else 0)
        inputs = keras.Input((6, 6, 1))
        x = layers.Dense(2, activation="softmax")(layers.Flatten()(inputs))
        model = keras.Model(inputs, x)
        model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
        if trained is not None:
            trained.append(model)
        return model

    return make


def test_random_labels_change_maps_that_depend_on_the_model():
    x, y = _corners()
    trained, starts, seen = [], [], []

    def watched(model):
        seen.append(model)
        return explain(model, x[:3], "gradient", target=[0, 1, 0]).attributions[..., 0]

    class Start(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            starts.append(_weights(self.model))

    options = {"epochs": 15, "batch_size": 16, "callbacks": [Start()]}
    result = sanity.random_label_similarity(_fresh(trained), x, y, watched, fit_options=options)
    assert seen == trained
    _same(*starts)  # both start from the same weights, though two were drawn
    assert result.similarity.shape == result.absolute.shape == (3,)
    assert (result.similarity < 0.8).all()
    assert result.losses[0] < 0.1 < result.losses[1]
    wanted = [explain(m, x[:3], "gradient", target=[0, 1, 0]).attributions[..., 0] for m in trained]
    np.testing.assert_allclose(result.similarity, agreement.rank_correlation(*wanted), atol=1e-9)
    right = trained[0].predict(x, verbose=0).argmax(1)
    assert (right == y).all()
    np.testing.assert_array_equal(y, _corners()[1])


def test_random_labels_do_not_change_a_map_of_the_picture():
    x, y = _corners()
    result = sanity.random_label_similarity(_fresh(), x, y, lambda model: x[:3, ..., 0])
    np.testing.assert_allclose(result.similarity, 1)
    np.testing.assert_allclose(result.absolute, 1)
    for wrong in (y[:5], 3, y[:1]):
        _refused(
            "Expected a label for each picture",
            sanity.random_label_similarity,
            _fresh(),
            x,
            wrong,
            0,
        )


# ----------------------------------------------------------------------------------- random logit


def test_another_class_has_another_map():
    asked = []

    def maps_of(classes):
        asked.append(np.array(classes))
        return explain(own(), models.pictures(3), "input_x_gradient", target=list(classes)).values

    result = sanity.random_logit(maps_of, [0, 4, 2], 5, seed=2)
    assert asked[0].tolist() == [0, 4, 2]
    assert (asked[0] != asked[1]).all()
    assert ((asked[1] >= 0) & (asked[1] < 5)).all()
    assert len(set((asked[1] - asked[0]) % 5)) == 1  # so that a batch is its singles
    wanted = agreement.rank_correlation(*map(maps_of, asked[:2]))
    np.testing.assert_allclose(result, wanted, atol=1e-12)
    assert (np.abs(result) < 0.99).all()
    np.testing.assert_allclose(sanity.random_logit(lambda classes: blank(None), [0, 1], 5), 1)


def test_all_other_classes_are_drawn_in_time():
    away = set()
    for seed in range(40):
        asked = []
        sanity.random_logit(lambda c, a=asked: a.append(c) or blank(None), [1, 2], 4, seed=seed)
        away.add(int((asked[1] - asked[0])[0] % 4))
    assert away == {1, 2, 3}


def test_absolute_maps_of_two_classes_may_be_one():
    opposite = lambda classes: blank(None) * (1 - 2 * classes).reshape(-1, 1, 1)  # noqa: E731
    np.testing.assert_allclose(sanity.random_logit(opposite, [0, 1], 2), -1)
    np.testing.assert_allclose(sanity.random_logit(opposite, [0, 1], 2, absolute=True), 1)


def test_classes_that_are_none_are_refused():
    for classes in ([0, 5], [-1], [0.0, 1.0], 3):
        _refused(
            "the class of each picture, .* from 0 to 4", sanity.random_logit, blank, classes, 5
        )
    _refused("count=1", sanity.random_logit, blank, [0], 1)

"""Targets on sequences, groups of classes and one sigmoid; several targets at once."""

from __future__ import annotations

import functools

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_saliency import errors, explain, methods, targets


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x)).astype("float64")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def slope(model, x, target, **options):
    """Return the change of the score along a step, and what the attributions say of it."""
    e = explain(model, x, target=target, **options)
    step = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    step *= 0.02 / np.linalg.norm(step)
    ahead, behind = (explain(model, x + s * step, target=target, **options) for s in (1, -1))
    change = (ahead.scores - behind.scores).sum() / 2
    return change, float((e.attributions.astype("float64") * step).sum())


# ------------------------------------------------------------------ sequences


@functools.cache
def tagger(last=None):
    """A signal (T, 2) to 5 tokens at each of 8 steps."""
    keras.utils.set_random_seed(3)
    signal = keras.Input((8, 2))
    x = layers.Conv1D(4, 3, padding="same", activation="tanh", data_format="channels_last")(signal)
    return keras.Model(signal, layers.Dense(5, activation=last)(x))


def signals(count=2):
    return np.random.default_rng(0).normal(size=(count, 8, 2)).astype("float32")


@pytest.mark.parametrize("last", [None, "softmax"])
def test_a_token_at_a_step(last):
    x = signals()
    z = outputs(tagger(), x)
    made = {
        "logit": lambda z: z,
        "probability": softmax,
        "log_probability": lambda z: np.log(softmax(z)),
    }
    for score, function in made.items():
        e = explain(tagger(last), x, target=targets.Sequence(2, 3, score=score))
        np.testing.assert_allclose(e.scores, function(z)[:, 2, 3], rtol=1e-4)
    # A convolution of 3 sees no step beyond the next.
    assert not e.values[:, [0, 4, 5, 6, 7]].any()
    assert e.values[:, 1:4].all()
    assert e.targets == ("token 3 at step 2",) * 2


def test_steps_from_the_end_and_for_each_input():
    x = signals(3)
    z = outputs(tagger(), x)
    e = explain(tagger(), x, target=targets.Sequence([-1, 0, -8], [1, 2, 3]))
    np.testing.assert_allclose(e.scores, z[range(3), [7, 0, 0], [1, 2, 3]], rtol=1e-4)
    last = explain(tagger(), x, target=targets.Sequence())
    np.testing.assert_allclose(last.scores, z[:, 7].max(-1), rtol=1e-4)
    assert last.targets == tuple(f"token {k} at step -1" for k in z[:, 7].argmax(-1))


def test_the_gradient_of_a_step_is_that_of_finite_differences():
    change, said = slope(tagger(), signals(1), targets.Sequence(-2, score="log_probability"))
    np.testing.assert_allclose(said, change, rtol=1e-2)


def test_a_sequence_of_any_length():
    words = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4)(words)
    model = keras.Model(words, layers.Dense(9)(x))
    ids = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    e = explain(model, ids, target=targets.Sequence(-3, 4))
    np.testing.assert_allclose(e.scores, outputs(model, ids)[:, 1, 4], rtol=1e-4)
    assert e.values[:, 1].all()
    assert not e.values[:, [0, 2, 3]].any()
    for step, message in ((4, r"no step 4.*0 to 3"), (-5, r"no step -5")):
        with pytest.raises(errors.TargetError, match=message):
            explain(model, ids, target=targets.Sequence(step, 4))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (targets.Sequence(8, 0), r"no step 8.*0 to 7"),
        (targets.Sequence(-9, 0), r"no step -9"),
        (targets.Sequence([0, 1, 2]), r"Expected the step to be.*each of 2"),
        (targets.Sequence(0, 5), r"no token 5.*0 to 4"),
        (targets.Sequence(0, -1), r"no token -1"),
        (targets.Sequence(1.5, 0), r"Expected the step to be a whole number"),
        (targets.Sequence("last"), r"Expected the step to be a whole number"),
    ],
)
def test_no_such_step_or_token(target, message):
    with pytest.raises(errors.TargetError, match=message):
        explain(tagger(), signals(), target=target)


def test_a_classifier_has_no_steps():
    with pytest.raises(errors.TargetError, match=r"Expected an output \(B, steps, tokens\)"):
        explain(models.flat(), models.pictures(2), target=targets.Sequence(0, 1))


# ------------------------------------------------------------------ groups


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
def test_groups(score):
    x = models.pictures(2)
    z = outputs(models.logits(), x)
    p = softmax(z)
    one, two, rest = [1, 3], [0, 4], [0, 2, 4]
    if score == "probability":
        own = {tuple(g): p[:, g].sum(-1) for g in (one, two, rest)}
    else:
        of = z if score == "logit" else np.log(p)
        own = {tuple(g): np.log(np.exp(of[:, g]).sum(-1)) for g in (one, two, rest)}
    for against, other in ((None, 0), (two, own[0, 4]), ("rest", own[0, 2, 4])):
        e = explain(models.flat(), x, target=targets.Group(one, against, score=score))
        np.testing.assert_allclose(e.scores, own[1, 3] - other, rtol=1e-3, atol=1e-5)
    assert e.targets == ("classes [1, 3] against the rest",) * 2
    assert e.labels == ("", "")


def test_the_logit_against_the_rest_is_the_log_odds():
    x = models.pictures(2)
    p = softmax(outputs(models.logits(), x))
    e = explain(models.flat(), x, target=targets.Group([2, 3], "rest"))
    group = p[:, [2, 3]].sum(-1)
    np.testing.assert_allclose(e.scores, np.log(group / (1 - group)), rtol=1e-3, atol=1e-5)


def test_sums_and_means_and_groups_for_each_picture():
    x = models.pictures(2)
    z = outputs(models.logits(), x)
    target = targets.Group([[0, 1], [2, 4]], [[2, 3], [0, 1]], "mean")
    wanted = [z[0, :2].mean() - z[0, 2:4].mean(), z[1, [2, 4]].mean() - z[1, :2].mean()]
    np.testing.assert_allclose(explain(models.flat(), x, target=target).scores, wanted, rtol=1e-3)
    one = explain(models.flat(), x, target=targets.Group([1, 1], reduce="sum"))
    np.testing.assert_allclose(one.scores, z[:, 1], rtol=1e-4)
    contrast = explain(models.flat(), x, target=targets.Contrast(1, gamma=1.0, others=[0, 2]))
    same = explain(models.flat(), x, target=targets.Group([1], [0, 2], "mean"))
    np.testing.assert_allclose(same.attributions, contrast.attributions, rtol=1e-3, atol=1e-6)


def test_the_gradient_of_a_group_is_that_of_finite_differences():
    change, said = slope(models.flat(), models.pictures(1), targets.Group([0, 2], "rest"))
    np.testing.assert_allclose(said, change, rtol=2e-2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: targets.Group([]), r"Expected classes to be class numbers"),
        (lambda: targets.Group("dogs"), r"Expected classes to be class numbers"),
        (lambda: targets.Group([0.5]), r"Expected classes to be class numbers"),
        (lambda: targets.Group([0], "others"), r"Expected against to be 'rest'"),
        (lambda: targets.Group([0], reduce="max"), r"Expected reduce to be 'logsumexp'"),
        (lambda: targets.Group([0, 5]), r"no class 5.*0 to 4"),
        (lambda: targets.Group([0], [-1]), r"no class -1"),
        (lambda: targets.Group([0, 1], [1, 2]), r"class 1 in both groups"),
        (lambda: targets.Group([0, 1, 2, 3, 4], "rest"), r"all 5 classes.*no rest"),
        (lambda: targets.Group([[0, 1]] * 3), r"shape \(n,\), or \(2, n\) for 2"),
    ],
)
def test_no_such_group(make, message):
    with pytest.raises(errors.TargetError, match=message):
        explain(models.flat(), models.pictures(2), target=make())


# ------------------------------------------------------------------ one sigmoid


@functools.cache
def single(last):
    keras.utils.set_random_seed(6)
    head = layers.Dense(1)
    conv = layers.Conv2D(4, 3, activation="tanh", data_format="channels_last")
    model = keras.Sequential([keras.Input((6, 6, 3)), conv, layers.Flatten(), head])
    z = outputs(model, small())
    head.bias.assign([-np.median(z)])  # so that both classes are predicted
    return keras.Sequential([model, layers.Activation(last)]) if last else model


def small(count=4):
    return np.random.default_rng(2).normal(size=(count, 6, 6, 3)).astype("float32")


def test_both_classes_of_one_sigmoid():
    x = small()
    p = outputs(single("sigmoid"), x)[:, 0]
    z = np.log(p / (1 - p))
    of = {c: explain(single("sigmoid"), x, target=targets.Class(c)) for c in (0, 1)}
    np.testing.assert_allclose(of[1].scores, z, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(of[0].scores, -z, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(of[0].attributions, -of[1].attributions, atol=1e-7)
    np.testing.assert_allclose(of[0].probabilities, 1 - p, rtol=1e-4)
    for score, wanted in (("probability", 1 - p), ("log_probability", np.log(1 - p))):
        e = explain(single("sigmoid"), x, target=targets.Class(0, score=score))
        np.testing.assert_allclose(e.scores, wanted, rtol=1e-3)
    margin = explain(single("sigmoid"), x, target=targets.Margin(1, 0))
    np.testing.assert_allclose(margin.scores, 2 * z, rtol=1e-3, atol=1e-5)


def test_the_predicted_class_of_one_sigmoid():
    x = small()
    p = outputs(single("sigmoid"), x)[:, 0]
    assert 0 < (p > 0.5).sum() < len(p)  # both occur
    e = explain(single("sigmoid"), x)
    assert list(e.targets) == (p > 0.5).astype(int).tolist()
    np.testing.assert_allclose(e.probabilities, np.maximum(p, 1 - p), rtol=1e-4)
    assert (e.scores > 0).all()


@pytest.mark.parametrize("method", ["lrp", "deep_lift", "integrated_gradients"])
def test_methods_see_the_other_class_with_the_other_sign(method):
    x = small(2)
    one, other = (explain(single("sigmoid"), x, method, target=c) for c in (1, 0))
    np.testing.assert_allclose(one.values, -other.values, rtol=1e-3, atol=1e-5)


def test_one_number_is_no_class_1():
    x = small(2)
    z = outputs(single(None), x)[:, 0]
    np.testing.assert_allclose(explain(single(None), x, target=0).scores, z, rtol=1e-4)
    for target in (1, [0, 1], targets.Margin(0, 1), targets.Group([0], [1])):
        with pytest.raises(errors.TargetError, match=r"no class 1.*without a sigmoid"):
            explain(single(None), x, target=target)
    for last in (None, "sigmoid"):
        with pytest.raises(errors.TargetError, match=r"no class 2"):
            explain(single(last), x, target=2)


# ------------------------------------------------------------------ several targets


@pytest.mark.parametrize("method", ["gradient", methods.Occlusion(window=4, stride=4)])
def test_several_targets_give_an_explanation_each(method):
    x = models.pictures(2)
    several = [targets.Class(3), targets.Margin(0, 1), lambda y: y[:, 2]]
    for given in (several, tuple(several)):
        made = explain(models.flat(), x, method, target=given)
        assert isinstance(made, list)
        assert len(made) == 3
        for e, target in zip(made, several, strict=True):
            alone = explain(models.flat(), x, method, target=target)
            np.testing.assert_array_equal(e.values, alone.values)
            assert e.targets == alone.targets
            assert e.model_sha256 == alone.model_sha256


def test_one_target_in_a_list_is_a_list_of_one():
    (only,) = explain(models.flat(), models.pictures(2), target=[targets.Class(3)])
    assert only.targets == (3, 3)


def test_numbers_beside_a_target_are_classes():
    made = explain(models.flat(), models.pictures(1), target=[targets.Class(3), 1])
    assert [e.targets for e in made] == [(3,), (1,)]


def test_numbers_alone_keep_their_meaning():
    assert explain(models.flat(), models.pictures(2), target=[3, 1]).targets == (3, 1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([targets.Class(3), targets.Class(9)], r"no class 9"),
        ([targets.Class(3), "dog"], r"Got target='dog'"),
    ],
)
def test_a_wrong_one_of_several(target, message):
    with pytest.raises(errors.TargetError, match=message):
        explain(models.flat(), models.pictures(2), target=target)


@pytest.mark.no_model
def test_several_are_no_single_target():
    with pytest.raises(errors.TargetError, match=r"Expected one target.*list of 2.*explain\("):
        targets.get([targets.Class(3), targets.Class(4)])

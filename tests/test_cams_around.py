"""Methods around a class activation map, what CAMs say when they have nothing, what they refuse."""

from __future__ import annotations

from functools import cache

import keras
import models
import networks
import numpy as np
import pytest
from keras import layers
from test_cams import ROUNDING, SIZE, logits, net, pictures
from test_literal_networks import bilinear, close

from keras_saliency import errors, explain, methods, targets
from keras_saliency.methods import FinerCam, GradCam, GuidedGradCam, SmoothGrad
from keras_saliency.methods.base import enlarge

# ----------------------------------------------------------------- finer_cam, targets.Contrast


@cache
def pooled(classes=6):
    """A convolution, pooling and a linear head: every CAM is (A @ w) / (h w)."""
    draw = np.random.default_rng(3).normal
    kernel, head = draw(size=(3, 3, 3, 5)), draw(size=(5, classes))
    return networks.gap_net(kernel=kernel, head=head), head


def most_alike(y, index, count):
    """The classes with the highest other scores."""
    return [c for c in np.argsort(-y) if c != index][:count]


def contrast_map(x, index, others, gamma):
    model, head = pooled()
    front = keras.Model(model.input, model.get_layer("conv").output)
    maps = keras.ops.convert_to_numpy(front(x)).astype("float64")
    weights = head[:, index] - gamma * head[:, others].mean(-1)
    return np.maximum(maps[0] @ weights, 0) / (maps.shape[1] * maps.shape[2])


@pytest.mark.parametrize("target", [None, 2])
@pytest.mark.parametrize(("similar", "gamma"), [(3, 0.6), (1, 1.0), (5, 0.2)])
def test_finer_cam_is_the_cam_of_a_contrast(similar, gamma, target):
    model, x = pooled()[0], networks_pictures()
    e = explain(model, x, FinerCam("hires_cam", similar, gamma), target=target)
    for row, y in enumerate(logits(model, x)):
        index = int(y.argmax()) if target is None else target
        others = most_alike(y, index, similar)
        assert e.info["contrasted"][row] == others
        assert e.targets[row] == index
        np.testing.assert_allclose(e.scores[row], y[index], rtol=1e-5)
        close(e.values[row], contrast_map(x[row : row + 1], index, others, gamma), ROUNDING)


def networks_pictures():
    return np.random.default_rng(8).normal(size=(3, 8, 8, 3)).astype("float32")


def test_finer_cam_without_gamma_is_its_base():
    model, x = pooled()[0], networks_pictures()
    e, base = (explain(model, x, method) for method in (FinerCam(gamma=0.0), "grad_cam"))
    np.testing.assert_allclose(e.values, base.values, rtol=1e-6)


def test_finer_cam_around_a_method_that_varies_pictures():
    """The classes are those of the picture itself, whatever it is changed into."""
    model, x = pooled()[0], networks_pictures()
    method = FinerCam(methods.Occlusion(window=4, stride=4, fill=3.0), similar=2, gamma=0.5)
    e = explain(model, x[:1], method)
    y = logits(model, x[:1])[0]
    index, others = int(y.argmax()), most_alike(y, int(y.argmax()), 2)
    changed = x[:1].copy()
    changed[:, :4, :4] = 3
    z = logits(model, changed)[0]
    assert set(most_alike(z, index, 2)) != set(others)  # or this would show nothing
    drop = (y - z)[index] - 0.5 * (y - z)[others].mean()
    np.testing.assert_allclose(e.values[0, 0, 0], drop, rtol=1e-3)
    assert e.signed


def test_finer_cam_inside_smooth_grad_knows_whose_picture_is_which():
    model, x = pooled()[0], networks_pictures()
    method = SmoothGrad(FinerCam(similar=2), samples=3, noise=0.01)
    together = explain(model, x, method, target=[0, 1, 2], batch_size=2)
    for row in range(3):
        alone = explain(model, x[row], method, target=row)
        close(together.values[row], alone.values[0], ROUNDING)


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
def test_contrast_scores(score):
    x = models.pictures(3)
    target = targets.Contrast([1, 2, 0], similar=2, gamma=0.5, score=score)
    e = explain(models.flat(), x, target=target)
    y = logits(models.logits(), x)
    p = np.exp(y) / np.exp(y).sum(-1, keepdims=True)
    values = {"logit": y, "probability": p, "log_probability": np.log(p)}[score]
    for row, index in enumerate([1, 2, 0]):
        others = most_alike(y[row], index, 2)
        wanted = values[row, index] - 0.5 * values[row, others].mean()
        np.testing.assert_allclose(e.scores[row], wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(e.probabilities[row], p[row, index], rtol=1e-4)
        assert e.targets[row] == f"class {index} against {[int(c) for c in others]}, gamma 0.5"


def test_contrast_with_classes_of_ones_own():
    x = models.pictures(2)
    y = logits(models.logits(), x)
    for others in ([1, 3], [[1, 3], [1, 3]]):
        e = explain(models.flat(), x, target=targets.Contrast(2, gamma=1, others=others))
        np.testing.assert_allclose(e.scores, y[:, 2] - y[:, [1, 3]].mean(-1), rtol=1e-4)
    top = explain(models.flat(), x, target=targets.Contrast(others=[0]))
    np.testing.assert_allclose(top.scores, y.max(-1) - 0.6 * y[:, 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similar": 0}, "whole number.*similar=0"),
        ({"similar": 1.5}, "whole number.*similar=1.5"),
        ({"similar": models.CLASSES}, f"of {models.CLASSES} classes.*similar=4 or less"),
        ({"gamma": -1}, "0 or more.*gamma=-1"),
        ({"gamma": float("nan")}, "gamma=nan"),
        ({"others": [0.5]}, "class numbers.*others="),
        ({"others": [[1], [1, 2]]}, "class numbers.*others="),
        ({"others": [7]}, "has no class 7"),
        ({"others": [[1]] * 3}, r"for 1 pictures.*shape \(3, 1\)"),
        ({"index": 9}, "has no class 9"),
    ],
    ids=str,
)
def test_contrast_refuses(options, message):
    with pytest.raises(errors.TargetError, match=message):
        explain(models.flat(), models.pictures(1), target=targets.Contrast(**options))


def test_finer_cam_contrasts_the_score_and_the_output_that_were_asked_for():
    first, _ = pooled()
    second = layers.Dense(4, name="second")(first.layers[-2].output)
    model = keras.Model(first.input, [first.output, second])
    draw = np.random.default_rng(6).normal
    model.get_layer("second").set_weights([draw(size=(5, 4)), draw(size=4)])
    options = {"score": "probability", "output": "second"}
    x = networks_pictures()
    e = explain(model, x, FinerCam(gamma=0.2), target=targets.Class(1, **options))
    wanted = explain(model, x, "grad_cam", target=targets.Contrast(1, gamma=0.2, **options))
    np.testing.assert_allclose(e.values, wanted.values, rtol=1e-5)


def test_finer_cam_wants_a_class():
    with pytest.raises(errors.MethodError, match=r"Margin.*is no class.*targets\.Contrast"):
        explain(models.flat(), models.pictures(1), "finer_cam", target=targets.Margin(0, 1))


# ------------------------------------------------------------------------------ guided_grad_cam


def test_guided_grad_cam_on_c():
    model, x = networks.conv_c(), np.arange(16, dtype="float32").reshape(4, 4, 1)
    at_relu = GradCam(layer="relu")
    e = explain(model, x, GuidedGradCam(at_relu, interpolation="nearest"), target=0)
    wanted = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    close(e.values[0], wanted)
    assert e.info["layer"] == "relu"
    assert e.info["rectifiers"] == 2
    guided = np.array([[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]])
    place = bilinear(np.array([[0, 4], [28, 32.5]]), (4, 4))
    close(explain(model, x, GuidedGradCam(at_relu), target=0).values[0], guided * place)


def test_nearest_takes_the_cell_under_each_pixels_centre():
    maps = np.arange(6.0).reshape(1, 2, 3)
    nearest = enlarge(maps, (5, 7), "nearest")[0]
    for i in range(5):
        for j in range(7):
            assert nearest[i, j] == maps[0, int((i + 0.5) * 2 / 5), int((j + 0.5) * 3 / 7)]


def test_guided_grad_cam_of_any_two_methods():
    x = pictures()
    method = GuidedGradCam("eigen_cam", "input_x_gradient")
    e, cam, grain = (explain(net(), x, one) for one in (method, "eigen_cam", "input_x_gradient"))
    close(e.attributions, cam.values[..., None] * grain.attributions)
    close(e.values, cam.values * grain.values)
    assert e.signed
    assert (e.values < 0).any()
    assert e.checks[0]["share"] == cam.checks[0]["share"]


def test_guided_grad_cam_says_what_both_say():
    x = pictures(1)
    with pytest.warns(UserWarning, match="picture 0: no rectifier is on the way"):
        e = explain(net("tanh"), x, "guided_grad_cam")
    assert len(e.checks[0]["findings"]) == 1


@pytest.mark.parametrize(("cam", "guided"), [("gradient", "gradient"), ("grad_cam", "grad_cam")])
def test_guided_grad_cam_wants_a_grid_and_a_grain(cam, guided):
    with pytest.raises(errors.MethodError, match=f"cam to return a grid.*'{cam}'.*'{guided}'"):
        explain(net(), pictures(1), GuidedGradCam(cam, guided))


# ------------------------------------------------------------------- nothing to show, and refusals


@cache
def log_softmax_over_pixels():
    """As a model of fixations ends: gradients by the last map sum to 0."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((24, 24, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="body")(inputs)
    last = layers.Conv2D(1, 3, padding="same", name="last")(x)
    flat = keras.ops.log_softmax(keras.ops.reshape(last, (-1, 576)), axis=-1)
    return keras.Model(inputs, layers.Reshape((24, 24, 1), name="density")(flat))


@cache
def normed_maps():
    """In front of a norm of each map, sum(g) and sum(g A) are 0."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.GroupNormalization(groups=-1, epsilon=1e-9)(x)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten(data_format="channels_last")(x)))


CANCELLED = "the gradients of layer '(last|conv)' cancel.*earlier layer, or take 'hires_cam'"


def test_gradients_that_cancel_are_reported():
    pixel, x = targets.Pixel(5, 7), np.random.default_rng(0).random((2, 24, 24, 3), "float32")
    with pytest.warns(UserWarning, match=CANCELLED):
        e = explain(log_softmax_over_pixels(), x, GradCam(layer="last"), target=pixel)
    assert all("cancel" in check["findings"][0] for check in e.checks)
    for method in (GradCam(layer="body"), methods.HiResCam(layer="last")):
        e = explain(log_softmax_over_pixels(), x, method, target=pixel)  # a warning is an error
        assert not e.checks[0]["findings"]


@pytest.mark.parametrize("method", ["grad_cam", "x_grad_cam"])
def test_gradients_in_front_of_a_norm_cancel(method):
    at_conv = methods.classes()[method](layer="conv")
    with pytest.warns(UserWarning, match=CANCELLED):
        explain(normed_maps(), pictures(1), at_conv)


GRADIENT_CAMS = ["grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "x_grad_cam"]
CAMS = [*GRADIENT_CAMS, "eigen_cam", "score_cam", "ablation_cam", "finer_cam", "guided_grad_cam"]


@pytest.mark.filterwarnings("ignore:picture 0. the score is 0")
@pytest.mark.filterwarnings("ignore:picture 0. the mean activation is 0")
@pytest.mark.parametrize("method", CAMS)
def test_a_dead_layer_is_reported(method):
    model = keras.models.clone_model(net())
    kernel, bias, *head = net().get_weights()
    model.set_weights([kernel * 0, bias * 0 - 1, *head])
    with pytest.warns(UserWarning, match="the map is 0 everywhere"):
        e = explain(model, pictures(1), method, target=0)
    assert np.isfinite(e.values).all()
    assert not any("cancel" in said for said in e.checks[0]["findings"])


@pytest.mark.parametrize("method", [*GRADIENT_CAMS, "ablation_cam"])
def test_a_score_that_does_not_move_is_reported(method):
    model = keras.models.clone_model(net())
    kernel, bias, head, last = net().get_weights()
    model.set_weights([kernel, bias, head * 0, last + 1])
    with pytest.warns(UserWarning, match="the map is 0 everywhere"):
        explain(model, pictures(1), method, target=0)


@pytest.mark.parametrize(
    "name", [one for one in CAMS if one not in ("finer_cam", "guided_grad_cam")]
)
def test_cams_take_a_layer(name):
    kind = methods.classes()[name]
    e = explain(models.flat(), models.pictures(1), kind(layer="conv1"))
    assert e.info["layer"] == "conv1"
    assert e.info["parameters"]["layer"] == "conv1"
    with pytest.raises(errors.MethodError, match="layer to be a layer's path"):
        kind(layer=3)
    with pytest.raises(errors.LayerError, match="Did you mean 'conv1'"):
        explain(models.flat(), models.pictures(1), kind(layer="conv11"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (methods.ScoreCam, {"channels": 0}),
        (methods.AblationCam, {"channels": 2.5}),
        (FinerCam, {"similar": 0}),
        (FinerCam, {"gamma": -0.5}),
        (GuidedGradCam, {"interpolation": "cubic"}),
    ],
)
def test_options_that_cannot_be(kind, options):
    (name,) = options
    with pytest.raises(errors.MethodError, match=f"{name} to be"):
        kind(**options)

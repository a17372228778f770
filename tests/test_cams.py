"""Class activation maps against slow twins: each formula again, in plain loops."""

from __future__ import annotations

import inspect
from functools import cache

import keras
import models
import networks
import numpy as np
import pytest
from keras import layers
from test_literal_networks import bilinear, close

from keras_saliency import explain, methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare

SIZE, MAPS, CLASSES = 10, 5, 4
# float32 sums of a few hundred terms; measured 5e-7 of the peak.
ROUNDING = 1e-5


def grids_of(method, model, x, target=None, batch_size=8, preprocess=None):
    """Return what a method finds, before it is enlarged."""
    adapter = Adapter(model)
    batch = prepare(adapter, x, preprocess) if preprocess else prepare(adapter, x)
    return method.attribute(Engine(adapter, targets.get(target), batch, batch_size), 0)


@cache
def net(activation="relu", seed=0):
    """``conv`` and a dense layer on all of it: the gradient at ``conv`` is the dense kernel."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(MAPS, 3, activation=activation, name="conv")(inputs)
    x = layers.Flatten(data_format="channels_last")(x)
    model = keras.Model(inputs, layers.Dense(CLASSES, name="head")(x))
    draw = np.random.default_rng(seed).normal
    model.set_weights([draw(0, 0.3, w.shape) for w in model.get_weights()])
    return model


def pictures(count=2):
    draw = np.random.default_rng(5).normal
    return draw(size=(count, SIZE, SIZE, 3)).astype("float32")


def inside(model, x, target):
    """Return activations and gradients (B, h, w, K) of `net` at ``conv``, without our engine."""
    front = keras.Model(model.input, model.get_layer("conv").output)
    maps = keras.ops.convert_to_numpy(front(x)).astype("float64")
    kernel = keras.ops.convert_to_numpy(model.get_layer("head").kernel).astype("float64")
    return maps, np.broadcast_to(kernel[:, target].reshape(maps.shape[1:]), maps.shape)


def logits(model, x):
    return keras.ops.convert_to_numpy(model(np.asarray(x, "float32"))).astype("float64")


# ------------------------------------------------------------------------------ by gradients


def weighted(maps, weights):
    """ReLU(sum_k w_k A_k) of one picture; a weight a map, or one a place and map."""
    result = np.zeros(maps.shape[:2])
    for i in range(maps.shape[0]):
        for j in range(maps.shape[1]):
            for k in range(maps.shape[2]):
                weight = weights[i, j, k] if weights.ndim == 3 else weights[k]
                result[i, j] += weight * maps[i, j, k]
    return np.maximum(result, 0)


def plus_plus_weights(maps, g):
    weights = np.zeros(maps.shape[2])
    for i in range(maps.shape[0]):
        for j in range(maps.shape[1]):
            for k in range(maps.shape[2]):
                one = g[i, j, k]
                divisor = 2 * one**2 + maps[..., k].sum() * one**3
                alpha = one**2 / divisor if divisor != 0 else 0
                weights[k] += alpha * max(one, 0)
    return weights


def x_weights(maps, g):
    weights = np.zeros(maps.shape[2])
    for k in range(maps.shape[2]):
        if np.any(maps[..., k]):
            weights[k] = (maps[..., k] * g[..., k]).sum() / maps[..., k].sum()
    return weights


TWINS = {
    methods.GradCam: lambda a, g: weighted(a, g.mean((0, 1))),
    methods.GradCamPP: lambda a, g: weighted(a, plus_plus_weights(a, g)),
    methods.HiResCam: weighted,
    methods.LayerCam: lambda a, g: weighted(a, np.maximum(g, 0)),
    methods.XGradCam: lambda a, g: weighted(a, x_weights(a, g)),
}


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("kind", TWINS, ids=lambda kind: kind.__name__)
def test_by_gradients_as_their_twins(kind, activation):
    model, x = net(activation), pictures()
    for target in (0, 3):
        maps, g = inside(model, x, target)
        grids = grids_of(kind(layer="conv"), model, x, target).values
        for row in range(len(x)):
            close(grids[row], TWINS[kind](maps[row], g[row]), ROUNDING)


@pytest.mark.skipif(keras.config.backend() != "torch", reason="captum explains PyTorch modules")
def test_grad_cam_as_captum():
    """On the same network in PyTorch's own layers and layout: captum takes no other."""
    attr = pytest.importorskip("captum.attr")
    import torch
    from torch import nn

    model, x = models.logits(), models.pictures()
    named = {layer.name: layer for layer in model.layers}
    kernels = [[np.array(w) for w in named[n].get_weights()] for n in ("conv1", "conv2", "head")]
    convs = [nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3, stride=2)]
    norm, head = nn.BatchNorm2d(8, named["bn"].epsilon), nn.Linear(8, models.CLASSES)
    for module, (kernel, bias) in zip([*convs, head], kernels, strict=True):
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        module.weight.data = torch.tensor(kernel.transpose(axes).copy())
        module.bias.data = torch.tensor(bias)
    for name, values in zip(
        ("weight", "bias", "running_mean", "running_var"), named["bn"].get_weights(), strict=True
    ):
        getattr(norm, name).data = torch.tensor(np.array(values))
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), head]
    twin = nn.Sequential(convs[0], nn.ReLU(), convs[1], norm, nn.ReLU(), *tail).eval()
    tensor = torch.tensor(x.transpose(0, 3, 1, 2).copy())
    grids = attr.LayerGradCam(twin, twin[1]).attribute(tensor, 3, relu_attributions=True)
    close(
        grids_of(methods.GradCam(layer="conv1"), model, x, 3).values,
        grids.detach().numpy()[:, 0],
        ROUNDING,
    )


def test_alpha_is_no_less_exact_where_gradients_are_tiny():
    """With g as small as a saturated probability's, g^2 would be 0 in float32."""
    model, x = net(), pictures(1)
    small = keras.Model(model.input, model.output * 1e-25)
    maps, g = inside(model, x, 0)
    wanted = weighted(maps[0], plus_plus_weights(maps[0], g[0] * 1e-25) * 1e25)
    close(grids_of(methods.GradCamPP(layer="conv"), small, x, 0).values[0] * 1e25, wanted, ROUNDING)


def test_maps_that_sum_to_nothing_weigh_nothing():
    # The second map is the first less its mean: its sum is rounding, and would weigh millions.
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(1, 3, use_bias=False)(inputs)
    x = layers.Concatenate(name="both")([x, x - keras.ops.mean(x, axis=(1, 2), keepdims=True)])
    x = layers.Dense(1, use_bias=False)(layers.Flatten()(x))
    model, picture = keras.Model(inputs, x), pictures(1)
    grid = grids_of(methods.XGradCam(layer="both"), model, picture, 0).values
    front = keras.Model(inputs, model.get_layer("both").output)
    first = keras.ops.convert_to_numpy(front(picture)).astype("float64")[0, ..., :1]
    kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel).reshape(*first.shape[:2], 2)
    close(grid[0], weighted(first, x_weights(first, kernel[..., :1])), 1e-4)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_cams_take_the_targets_score(score):
    model, x = models.flat(), models.pictures(1)
    e = explain(model, x, "hires_cam", target=targets.Class(1, score=score))
    assert e.info["score"] == score
    assert (e.scores <= 1) or score == "logit"


# --------------------------------------------------------------------------------- eigen_cam


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_eigen_cam_is_the_first_singular_vector(activation):
    model, x = net(activation), pictures()
    maps, _ = inside(model, x, 0)
    result = grids_of(methods.EigenCam(layer="conv"), model, x)
    for row in range(len(x)):
        flat = maps[row].reshape(-1, MAPS)
        direction = np.ones(MAPS)
        for _ in range(3000):  # power iteration on A^T A, not centred
            direction = flat.T @ (flat @ direction)
            direction /= np.linalg.norm(direction)
        grid = (flat @ direction).reshape(maps.shape[1:3])
        grid *= np.sign((grid * maps[row].mean(-1)).sum())
        close(result.values[row], grid, 1e-4)
        share = (grid**2).sum() / (flat**2).sum()
        np.testing.assert_allclose(result.checks["share"][row], share, rtol=1e-4)
    assert (result.values.min() >= 0) == (activation == "relu")


def test_eigen_cam_is_of_no_class():
    one, other = (grids_of(methods.EigenCam(), net(), pictures(), c).values for c in (0, 1))
    np.testing.assert_array_equal(one, other)


def test_eigen_cam_says_when_its_sign_means_nothing():
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.LayerNormalization(name="norm", epsilon=1e-9)(layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.warns(UserWarning, match="the sign is that of the map's peak"):
        explain(model, pictures(1), methods.EigenCam(layer="norm"))
    grid = grids_of(methods.EigenCam(layer="norm"), model, pictures(1)).values
    assert grid.max() >= -grid.min()


# --------------------------------------------------------------------------------- score_cam


def score_twin(model, picture, cover, maps, target, channels):
    """Score-CAM of one picture, a mask at a time."""
    scores = []
    for k in channels:
        mask = bilinear(maps[..., k], picture.shape[:2])
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        seen = cover + mask[..., None] * (picture - cover)
        scores.append(logits(model, seen[None])[0, target])
    weights = np.exp(np.array(scores) - max(scores))
    weights /= weights.sum()
    return weighted(maps[..., list(channels)], weights)


@pytest.mark.parametrize(("channels", "batch_size"), [(None, 8), (None, 2), (3, 4)])
def test_score_cam_as_its_twin(channels, batch_size):
    model, x = net("tanh"), pictures()
    maps, _ = inside(model, x, 1)
    method = methods.ScoreCam(layer="conv", channels=channels)
    grids = grids_of(method, model, x, 1, batch_size).values
    for row in range(len(x)):
        most = np.argsort(-maps[row].std((0, 1)))[:channels]
        close(grids[row], score_twin(model, x[row], 0, maps[row], 1, most), ROUNDING)


def to_unit(pixels):
    return pixels / 127.5 - 1


@pytest.mark.parametrize(("fill", "cover"), [("black", -1.0), (0.25, 0.25)])
def test_score_cam_covers_with_black_as_pictures_have_it(fill, cover):
    model = net()
    pixels = np.random.default_rng(1).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    x = to_unit(pixels.astype("float32"))
    maps, _ = inside(model, x, 2)
    method = methods.ScoreCam(layer="conv", fill=fill)
    grid = grids_of(method, model, pixels, 2, preprocess=to_unit).values[0]
    close(grid, score_twin(model, x[0], cover, maps[0], 2, range(MAPS)), ROUNDING)


def with_dull_maps():
    """`net`, its map 0 dead and its map 1 constant (but not 0)."""
    model = keras.models.clone_model(net())
    kernel, bias, *head = net().get_weights()
    kernel[..., :2], bias[:2] = 0, [-1, 2]
    model.set_weights([kernel, bias, *head])
    return model


def test_score_cam_passes_over_maps_that_are_no_masks():
    model, x = with_dull_maps(), pictures(1)
    maps, _ = inside(model, x, 1)
    grid = grids_of(methods.ScoreCam(layer="conv"), model, x, 1).values[0]
    close(grid, score_twin(model, x[0], 0, maps[0], 1, range(2, MAPS)), ROUNDING)


@pytest.mark.parametrize("method", [methods.ScoreCam(), methods.AblationCam()], ids=str)
def test_variants_are_made_when_they_are_run(method, monkeypatch):
    """Whoever makes them all first holds a copy of the picture for every channel."""
    handed, chunks = [], Engine.chunks

    def watched(self, variants, total=None, kind="gradient"):
        handed.append((inspect.isgenerator(variants), total))
        return chunks(self, variants, total, kind)

    monkeypatch.setattr(Engine, "chunks", watched)
    grids_of(method, net(), pictures(3), 0, batch_size=2)
    assert handed == [(True, 3 * MAPS)]


# ------------------------------------------------------------------------------ ablation_cam


def ablation_twin(model, picture, maps, target, channels):
    after = keras.Input(maps.shape)
    back = keras.Model(after, model.get_layer("head")(layers.Flatten()(after)))
    score = logits(model, picture[None])[0, target]
    weights = []
    for k in channels:
        without = maps.copy()
        without[..., k] = 0
        weights.append((score - logits(back, without[None])[0, target]) / score)
    return weighted(maps[..., list(channels)], np.array(weights))


@pytest.mark.filterwarnings("ignore:picture . the score is negative")
@pytest.mark.parametrize("channels", [None, 2])
def test_ablation_cam_as_its_twin(channels):
    model, x = net("tanh"), pictures()
    for target in range(CLASSES):
        maps, _ = inside(model, x, target)
        result = grids_of(methods.AblationCam(layer="conv", channels=channels), model, x, target)
        for row in range(len(x)):
            most = np.argsort(-maps[row].std((0, 1)))[:channels]
            # Differences of scores: rounding of a score is a larger share of them.
            close(result.values[row], ablation_twin(model, x[row], maps[row], target, most), 1e-4)
            negative = logits(model, x)[row, target] < 0
            assert any("evidence against" in said for said in result.findings[row]) == negative


def test_ablation_cam_of_a_dead_and_a_constant_map():
    model, x = with_dull_maps(), pictures(1)
    maps, _ = inside(model, x, 1)
    assert not maps[..., 0].any()
    assert maps[..., 1].any()
    result = grids_of(methods.AblationCam(layer="conv"), model, x, 1)
    close(result.values[0], ablation_twin(model, x[0], maps[0], 1, range(MAPS)), 1e-4)


def test_ablation_cam_of_a_score_of_zero():
    # One map left, for; its mirror image right, against: the score is 0, the drops are not.
    kernel = np.zeros((3, 3, 2, 2))
    kernel[1, 1] = np.eye(2)
    model = networks.gap_net(kernel=kernel, head=np.array([[1.0], [-1.0]]))
    x = np.zeros((1, 8, 8, 2), "float32")
    x[0, 2:4, 1:3, 0] = x[0, 2:4, 5:7, 1] = 1
    with pytest.warns(UserWarning, match="the score is 0: the weights are drops"):
        e = explain(model, x, "ablation_cam", target=0)
    close(e.values[0], x[0, ..., 0] * 4 / 64)

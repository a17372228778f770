"""RISE, LIME and Shapley values: numbers known beforehand, and slow twins written apart."""

from __future__ import annotations

import tracemalloc
from functools import cache
from importlib.util import find_spec
from itertools import islice, permutations

import keras
import models
import networks
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from keras_saliency import explain, methods
from keras_saliency._inputs import segments
from keras_saliency._inputs.kinds import PICTURE
from keras_saliency.errors import MethodError
from keras_saliency.methods.base import games

SHAPLEY = {"kernel_shap": methods.KernelShap, "shapley_sampling": methods.ShapleySampling}
both = pytest.mark.parametrize("method", SHAPLEY.values(), ids=SHAPLEY)
every = pytest.mark.parametrize("method", [methods.Lime, *SHAPLEY.values()], ids=["lime", *SHAPLEY])
needs_skimage = pytest.mark.skipif(find_spec("skimage") is None, reason="needs 'superpixels'")


def close(result, wanted, tolerance=1e-5):
    """Compare relative to the largest value wanted."""
    wanted = np.asarray(wanted, "float64")
    np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@cache
def _m():
    return networks.multilayer_m()


@cache
def _sum_of_parts():
    """y = 2 + sum(w * x) on pictures (16, 16, 3), and w."""
    w = np.random.default_rng(4).normal(size=(16, 16, 3))
    return networks.linear(w, 2.0), w


def _blobs(count=2, size=16):
    drawn = np.random.default_rng(8).normal(size=(count, size, size, 3))
    return 2 * ndimage.gaussian_filter(drawn, (0, 2, 2, 0)).astype("float32")


NINE = np.arange(9).reshape(3, 3).repeat(4, 0).repeat(4, 1)  # of a 12x12 picture


# -------------------------------------------------------------------------------- exact numbers


@both
def test_network_m(method):
    x = networks.vector(20, 50, 30)[None]
    e = explain(_m(), x, method([[0, 1, 2]], fill=0.0), target=0)
    close(e.values[0, 0], [230 / 3, 590 / 3, 350 / 3])
    assert e.checks[0]["completeness_error"] < 1e-6
    assert e.info["segments"] == [3]
    assert e.attributions is None


@both
def test_all_orders_written_out(method):
    """Five players; the twin goes through their 120 orders on the model itself."""
    labels = np.minimum(NINE, 4)
    x = models.pictures(1)
    e = explain(models.flat(), x, method(labels, fill="blur"), target=3)
    cover = ndimage.gaussian_filter(x, (0, 1.2, 1.2, 0), mode="mirror")
    bits = (np.arange(32)[:, None] >> np.arange(5)) % 2 == 1
    pictures = np.where(bits[:, labels][..., None], x, cover)
    worth = keras.ops.convert_to_numpy(models.logits()(pictures))[:, 3].astype("float64")
    gains = np.zeros(5)
    for order in permutations(range(5)):
        number = 0
        for player in order:
            gains[player] += worth[number + 2**player] - worth[number]
            number += 2**player
    close(e.values[0], (gains / 120)[labels])


@pytest.mark.skipif(keras.config.backend() != "torch", reason="captum explains PyTorch only")
@both
def test_captum_exact(method):
    torch, attr = pytest.importorskip("torch"), pytest.importorskip("captum.attr")
    x, labels = models.pictures(2), np.maximum(NINE, 5) - 5  # captum goes through all orders
    e = explain(models.flat(), x, method(labels, fill=0.25), target=[1, 4])
    wanted = np.stack(
        [
            _captum(torch, attr.ShapleyValues, x[i : i + 1], target, labels, 0.25)
            for i, target in enumerate([1, 4])
        ]
    )
    close(e.values, wanted, 2e-5)


def _captum(torch, kind, x, target, labels, fill, **options):
    result = kind(lambda z: models.logits()(z)).attribute(
        torch.tensor(x),
        baselines=fill,
        target=target,
        feature_mask=torch.tensor(labels[None, :, :, None].repeat(3, -1)),
        **options,
    )
    return result.detach().numpy()[0, ..., 0]


@needs_skimage
@pytest.mark.parametrize("fill", ["mean", "blur", 0.5])
@pytest.mark.parametrize(
    "method",
    [
        methods.Lime(20, samples=120, ridge=0),
        methods.KernelShap(20, samples=60),
        methods.ShapleySampling(20, samples=1),
    ],
    ids=["lime", *SHAPLEY],
)
def test_a_linear_model_gives_what_each_segment_contributes(method, fill):
    """w (x - b), summed over each segment; pictures whose numbers of segments differ."""
    model, w = _sum_of_parts()
    x = _blobs()
    method = type(method)(**{**method.parameters(), "fill": fill})
    e = explain(model, x, method)
    counts = []
    for picture, value in zip(x, e.values, strict=True):
        labels = segments.of(20, picture)
        empty = {
            "mean": np.broadcast_to(picture.mean((0, 1)), picture.shape),
            "blur": ndimage.gaussian_filter(picture, (1.6, 1.6, 0), mode="mirror"),
            0.5: np.full_like(picture, 0.5),
        }[fill]
        part = (w * (picture - empty)).sum(-1)
        close(value, np.bincount(labels.ravel(), part.ravel())[labels], 1e-4)
        counts.append(labels.max() + 1)
    assert e.info["segments"] == counts
    assert len(set(counts)) == 2  # the test would see a picture take another's segments
    assert min(counts) > games.EXACT


def test_a_segment_that_the_score_ignores_gets_0():
    method = methods.ShapleySampling("grid", samples=2)
    e = explain(models.blind(), models.pictures(1), method, target=1)
    unseen = max(np.abs(one).max() for one in (e.values[0, 6:], e.values[0, :6, 6:]))
    assert unseen <= 1e-6 * np.abs(e.values).max()


def test_too_few_samples_are_refused():
    with pytest.raises(MethodError, match=r"samples to be 128 or more for 64 segments"):
        explain(models.flat(), models.pictures(1), methods.KernelShap("grid", samples=100))
    with pytest.raises(MethodError, match=r"above 64, the number of segments, where ridge is 0"):
        explain(models.flat(), models.pictures(1), methods.Lime("grid", samples=64, ridge=0))


# ------------------------------------------------------------------------------------------ LIME


@pytest.mark.filterwarnings("ignore:picture .. a linear model explains only")
@pytest.mark.parametrize(("width", "ridge"), [(0.25, 1.0), (0.1, 3.0), (1.0, 0.0)])
def test_lime_is_ridge_regression_with_stored_rows(width, ridge):
    method = methods.Lime(NINE, samples=60, fill=0.0, kernel_width=width, ridge=ridge)
    x = models.pictures(2)
    e = explain(models.flat(), x, method, target=2, seed=5)
    generator = np.random.default_rng(5)
    rows = np.vstack([np.ones(9), [generator.random(9) < 0.5 for _ in range(59)]])
    cosine = rows.sum(1) / np.sqrt(9 * np.maximum(rows.sum(1), 1))
    weights = np.sqrt(np.exp(-((1 - cosine) ** 2) / width**2))
    for i, picture in enumerate(x):
        masked = np.where(rows[:, NINE][..., None] > 0, picture, 0)
        scores = keras.ops.convert_to_numpy(models.logits()(masked))[:, 2].astype("float64")
        design = np.c_[np.ones(60), rows] * np.sqrt(weights)[:, None]
        penalty = np.sqrt(ridge) * np.eye(10)[1:]  # all but the intercept
        solved = np.linalg.lstsq(
            np.r_[design, penalty], np.r_[scores * np.sqrt(weights), np.zeros(9)], rcond=None
        )[0]
        close(e.values[i], solved[1:][NINE], 1e-4)
        fitted = np.c_[np.ones(60), rows] @ solved
        mean = np.average(scores, weights=weights)
        r2 = 1 - weights @ (scores - fitted) ** 2 / (weights @ (scores - mean) ** 2)
        assert abs(e.checks[i]["r2"] - r2) < 1e-4


def test_lime_says_how_well_a_line_fits():
    model, _ = _sum_of_parts()
    good = explain(model, _blobs(1), methods.Lime("grid", samples=300, ridge=0.0))
    assert good.checks[0]["r2"] > 0.999
    assert good.checks[0]["findings"] == ()
    with pytest.warns(UserWarning, match=r"a linear model explains only \d+% of the variance"):
        poor = explain(_parity(), np.ones((4, 4, 1), "float32"), _lime_of_parity())
    assert poor.checks[0]["r2"] < 0.5
    with pytest.warns(UserWarning, match="60 samples for 64 segments: too few for a fit"):
        explain(model, _blobs(1), methods.Lime("grid", samples=60))


@cache
def _parity():
    """1 where an odd number of pixels is bright."""
    inputs = keras.Input((4, 4, 1))
    outputs = keras.ops.sin(np.pi / 2 * keras.ops.sum(inputs, axis=(1, 2)))
    return keras.Model(inputs, outputs)


def _lime_of_parity():
    return methods.Lime(np.arange(16).reshape(4, 4), samples=200, fill=0.0)


# ------------------------------------------------------------------------------------------ RISE


def _twin_masks(count, cells, keep, size, seed):
    """Masks by Pillow, which enlarges with half-pixel centres; the same draws."""
    generator, masks = np.random.default_rng(seed), []
    cell = [int(np.ceil(side / cells)) for side in size]
    for _ in range(count):
        grid = Image.fromarray((generator.random((cells, cells)) < keep).astype("float32"))
        large = [(cells + 1) * one for one in cell]
        up = np.asarray(grid.resize(large[::-1], Image.Resampling.BILINEAR))
        top, left = generator.integers(cell[0]), generator.integers(cell[1])
        masks.append(up[top : top + size[0], left : left + size[1]])
    return np.stack(masks)


@pytest.mark.parametrize(("size", "cells"), [((12, 12), 3), ((20, 33), 4), ((5, 8), 7)])
def test_masks_are_small_grids_enlarged_and_shifted(size, cells):
    masks = list(methods.RISE(masks=20, cells=cells, keep=0.3)._masks(size, 3))
    wanted = _twin_masks(20, cells, 0.3, size, 3)
    np.testing.assert_allclose(masks, wanted, atol=1e-6)
    assert wanted.std() > 0.1
    assert masks[0].shape == size


def test_masks_keep_what_was_asked_for_everywhere():
    masks = np.mean(list(methods.RISE(masks=4000, keep=0.2)._masks((28, 21), 0)), axis=0)
    assert np.abs(masks - 0.2).max() < 0.03  # four standard errors


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(("keep", "fill"), [(0.5, "black"), (0.3, 0.7)])
def test_rise_with_stored_masks(keep, fill):
    x = models.pictures(2)
    method = methods.RISE(masks=33, cells=4, keep=keep, fill=fill)
    e = explain(models.flat(), x, method, target=[0, 3], seed=2)
    masks = _twin_masks(33, 4, keep, (12, 12), 2).astype("float64")
    cover = 0.0 if fill == "black" else fill
    for i, target in enumerate([0, 3]):
        seen = x[i] * masks[..., None] + cover * (1 - masks[..., None])
        scores = keras.ops.convert_to_numpy(models.logits()(seen.astype("float32")))[:, target]
        close(e.values[i], np.einsum("n,nhw->hw", scores, masks) / (33 * keep))
        maps = [np.einsum("n,nhw->hw", scores[s::2], masks[s::2]) for s in (0, 1)]
        agreement = np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]
        assert abs(e.checks[i]["agreement"] - agreement) < 1e-4


@cache
def _patch():
    return networks.planted_patch()


def test_rise_finds_the_patch():
    e = explain(_patch(), np.ones((12, 12, 1), "float32"), methods.RISE(masks=600, cells=4))
    y, x = np.unravel_index(e.values[0].argmax(), (12, 12))
    assert 5 <= y < 9
    assert 2 <= x < 6
    assert e.checks[0]["agreement"] > 0.5
    assert e.checks[0]["findings"] == ()


def test_rise_says_what_it_cannot_tell():
    zeros = np.zeros((12, 12, 1), "float32")
    with pytest.warns(UserWarning, match="the same under every mask"):
        flat = explain(_patch(), zeros, methods.RISE(masks=1000, cells=4), target=1)
    assert flat.values.std() < 0.1 * flat.values.mean()  # the mean of the masks
    drowned = networks.linear(np.random.default_rng(0).normal(size=(12, 12, 1)), 1000.0)
    message = r"two halves of the masks correlate by -?0\.\d\d: use more masks"
    with pytest.warns(UserWarning, match=message):
        e = explain(drowned, zeros + 1, methods.RISE(masks=200, cells=4))
    assert e.checks[0]["agreement"] < 0.5


class _Engine:
    """What a perturbation method asks of an engine, on a toy score, eight pictures at a time."""

    def __init__(self, size):
        self.images = np.ones((1, size, size, 1), "float32")
        self.scores = np.ones(1)
        self.kind = PICTURE

    def fill(self, value):
        return np.zeros_like(self.images)

    def variant_scores(self, variants, total=None):
        variants = iter(variants)
        while chunk := list(islice(variants, 8)):
            yield from (float(picture[:9].mean()) for _, picture in chunk)


def _peak(method):
    engine = _Engine(64)
    tracemalloc.start()
    method.attribute(engine, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    ("kind", "segmented", "few", "many"),
    [
        (methods.RISE, {}, 50, 1000),
        (methods.Lime, {"segments": "grid"}, 100, 1000),
        (methods.KernelShap, {"segments": "grid"}, 128, 1000),
        (methods.ShapleySampling, {"segments": "grid"}, 2, 16),
    ],
)
def test_memory_does_not_grow_with_samples(kind, segmented, few, many):
    option = "masks" if kind is methods.RISE else "samples"
    peaks = [_peak(kind(**segmented, **{option: count})) for count in (few, many)]
    assert peaks[1] < 1.3 * peaks[0]


# ------------------------------------------------------------------------------ what may go wrong


@every
def test_pixels_without_a_segment_stay_and_get_0(method):
    model, w = _sum_of_parts()
    x = _blobs(1)
    labels = np.full((16, 16), -1)
    labels[:, 4:8], labels[:, 8:12] = 5, 2
    with pytest.warns(UserWarning, match=r"50.0% of the picture belongs to no segment"):
        e = explain(model, x, method(labels, fill=0.0, **_unpenalised(method)))
    part = (w * x[0]).sum(-1)
    wanted = np.zeros((16, 16))
    wanted[:, 4:8], wanted[:, 8:12] = part[:, 4:8].sum(), part[:, 8:12].sum()
    close(e.values[0], wanted, 1e-4)
    # Of the score, what the uncovered pixels add is no player's.
    assert e.checks[0].get("completeness_error", 0) < 1e-4


def _unpenalised(method):
    return {"ridge": 0.0} if method is methods.Lime else {}


@every
def test_one_segment_says_nothing_about_where(method):
    model, w = _sum_of_parts()
    x = _blobs(1)
    with pytest.warns(UserWarning, match="only one segment: the map cannot show where"):
        e = explain(model, x, method(1, fill=0.0, **_unpenalised(method)))
    close(e.values, np.full((1, 16, 16), (w * x[0]).sum()), 1e-4)


@every
def test_a_score_that_does_not_move_is_reported(method):
    x = np.full((1, 12, 12, 1), -1, "float32")  # the network's ReLU is shut
    samples = 2 if method is methods.ShapleySampling else 130
    with pytest.warns(UserWarning, match="0 everywhere"):
        e = explain(_patch(), x, method("grid", samples=samples, fill=-2.0), target=0)
    assert all(np.isfinite(v) for k, v in e.checks[0].items() if k != "findings")
    assert e.checks[0].get("completeness_error", 0) == 0


@every
def test_labels_that_do_not_fit_are_refused(method):
    with pytest.raises(MethodError, match=r"Expected labels \(12, 12\)"):
        explain(models.flat(), models.pictures(1), method(np.zeros((24, 24), int)))


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segments": "slik"}, "segments to be one of"),
        ({"segments": 0}, "segments to be one of"),
        ({"samples": 0}, "samples to be a whole number above 0"),
        ({"samples": 2.5}, "samples to be a whole number above 0"),
    ],
)
def test_options_are_refused(method, options, message):
    with pytest.raises(MethodError, match=message):
        method(**options)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (methods.Lime, {"kernel_width": 0}, "kernel_width to be a number above 0"),
        (methods.Lime, {"ridge": -1}, "ridge to be 0 or a number above"),
        (methods.Lime, {"ridge": float("nan")}, "ridge to be 0 or a number above"),
        (methods.RISE, {"masks": 0}, "masks to be a whole number above 0"),
        (methods.RISE, {"cells": 0}, "cells to be a whole number above 0"),
        (methods.RISE, {"keep": 0}, "keep to be a number above 0"),
        (methods.RISE, {"keep": 1.0}, "keep to be a probability between 0 and 1"),
    ],
)
def test_other_options_are_refused(method, options, message):
    with pytest.raises(MethodError, match=message):
        method(**options)

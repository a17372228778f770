"""Metrics against slow twins in loops over lists, scikit-image, and captum on PyTorch."""

from __future__ import annotations

import math

import keras
import numpy as np
import planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from planted import score

from keras_saliency.metrics import agreement, curves, faithfulness, infidelity, road

_FEW = arrays.arrays(np.float64, (2, 3, 4), elements=st.integers(-3, 3).map(float))


def _close(result, wanted, tolerance=1e-9):
    np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------- slow twins


def _gini(values):
    """Half the mean absolute difference of all pairs, of the mean."""
    n = len(values)
    total = sum(values)
    return sum(abs(a - b) for a in values for b in values) / (2 * n * total) if total else 0.0


def _entropy(values):
    total = sum(values)
    shares = [v / total if total else 1 / len(values) for v in values]
    return sum(-p * math.log(p) for p in shares if p > 0)


@given(_FEW)
@settings(max_examples=100, deadline=None)
def test_complexity_and_sparseness(values):
    lists = [[abs(v) for v in one.ravel().tolist()] for one in values]
    _close(agreement.sparseness(values), [_gini(one) for one in lists])
    _close(agreement.complexity(values), [_entropy(one) for one in lists])


def _pearson(a, b):
    if max(a) == min(a) or max(b) == min(b):
        return 0.0
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    squares = [sum((x - mean) ** 2 for x in one) for one, mean in ((a, mean_a), (b, mean_b))]
    return both / math.sqrt(squares[0] * squares[1])


def _ranks(values):
    return [sum(v < x for v in values) + (sum(v == x for v in values) - 1) / 2 for x in values]


@given(_FEW, _FEW)
@settings(max_examples=100, deadline=None)
def test_correlations(one, other):
    pairs = [(a.ravel().tolist(), b.ravel().tolist()) for a, b in zip(one, other, strict=True)]
    flat = one.reshape(2, -1), other.reshape(2, -1)
    _close(agreement.pearson(*flat), [_pearson(*pair) for pair in pairs])
    _close(agreement.rank_correlation(one, other), [_pearson(*map(_ranks, pair)) for pair in pairs])
    sizes = [[[abs(v) for v in each] for each in pair] for pair in pairs]
    _close(
        agreement.rank_correlation(one, other, absolute=True),
        [_pearson(*map(_ranks, pair)) for pair in sizes],
    )


def test_structural_similarity():
    metrics = pytest.importorskip("skimage.metrics")
    generator = np.random.default_rng(0)
    a = generator.normal(size=(3, 20, 14)) * [[[1]], [[50]], [[1e-3]]]
    b = a + generator.normal(size=a.shape) * [[[0.1]], [[50]], [[1e-2]]]
    for absolute in (False, True):
        wanted = []
        for pair in zip(a, b, strict=True):
            scaled = [
                np.abs(x) / np.abs(x).max() if absolute else x / np.abs(x).max() for x in pair
            ]
            wanted.append(
                metrics.structural_similarity(
                    *scaled, data_range=1.0, gaussian_weights=True, use_sample_covariance=False
                )
            )
        _close(agreement.ssim(a, b, absolute=absolute), wanted)
    assert np.ptp(wanted) > 0.1


def test_structural_similarity_of_constant_maps():
    flat = np.full((1, 12, 12), 7.0)
    _close(agreement.ssim(flat, 3 * flat), 1.0)  # each has its peak at 1
    _close(agreement.ssim(flat, -flat), (0.0001 - 2) / (0.0001 + 2))
    _close(agreement.ssim(flat, -flat, absolute=True), 1.0)
    _close(agreement.ssim(0 * flat, 0 * flat), 1.0)


def _dense_impute(image, missing):
    """Every missing pixel one equation over all pixels, solved as a full matrix."""
    height, width, channels = image.shape
    n = height * width
    matrix, right = np.eye(n), np.zeros((n, channels))
    for y in range(height):
        for x in range(width):
            me = y * width + x
            if not missing[y, x]:
                right[me] = image[y, x]
                continue
            near = [(y + dy, x + dx, (1 / 12 if dy and dx else 1 / 6))
                    for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]  # fmt: skip
            near = [(v, u, w) for v, u, w in near if 0 <= v < height and 0 <= u < width]
            for v, u, w in near:
                matrix[me, v * width + u] -= w / sum(w for _, _, w in near)
    return np.linalg.solve(matrix, right).reshape(image.shape)


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    st.integers(0, 10**6),
    st.floats(0, 0.99),
)
@settings(max_examples=100, deadline=None)
def test_imputation(shape, seed, share):
    generator = np.random.default_rng(seed)
    image = generator.normal(size=shape)
    missing = generator.random(shape[:2]) < share
    missing.flat[generator.integers(missing.size)] = False
    _close(road.impute(image, missing), _dense_impute(image, missing), 1e-8)


def test_road():
    images, maps = planted.pictures(2), planted.noise(2)
    noise = np.random.default_rng(4).standard_normal(images.shape[1:])
    wanted = np.zeros((2, 2, 2))
    for row in range(2):
        order = np.argsort(-maps[row].ravel())
        for which, ranked in enumerate((order, order[::-1])):
            for at, percent in enumerate((30, 70)):
                missing = np.zeros(144, bool)
                missing[ranked[: round(1.44 * percent)]] = True
                missing = missing.reshape(12, 12)
                filled = _dense_impute(images[row], missing)
                filled[missing] += 0.05 * np.ptp(images[row]) * noise[missing]
                wanted[row, which, at] = score(filled[None], [row])[0]
    options = {"removed": (30, 70), "noise": 0.05, "seed": 4}
    result = road.removals(score, images, maps, **options)
    _close(result.most_first, wanted[:, 0])
    _close(result.least_first, wanted[:, 1])
    _close(road.road(score, images, maps, **options), (wanted[:, 1] - wanted[:, 0]).mean(1) / 2)


def test_curves():
    images, maps = planted.pictures(2), planted.noise(2)
    result = curves.deletion_curves(score, images, maps, 0.5, steps=5)
    for row in range(2):
        order = sorted(range(144), key=lambda i: -maps[row].ravel()[i])
        heights = []
        for count in (0, 29, 58, 86, 115, 144):
            now = images[row].reshape(144, 2).copy()
            for pixel in order[:count]:
                now[pixel] = 0.5
            heights.append(score(now.reshape(1, 12, 12, 2), [row])[0])
        _close(result.scores[row], heights)
        widths = np.diff([0, 29, 58, 86, 115, 144]) / 144
        area = sum(w * (a + b) / 2 for w, a, b in zip(widths, heights, heights[1:], strict=False))
        _close(result.areas[row], area)


def _masked(images, maps, baseline, masks):
    """Sums of attributions and score drops over the given sets, in loops."""
    sums, drops = [], []
    for row, image in enumerate(images):
        whole = score(image[None], [row])[0]
        left = [np.where(mask[..., None], baseline, image) for mask in masks]
        sums.append([sum(maps[row][mask].tolist()) for mask in masks])
        drops.append([whole - score(one[None], [row])[0] for one in left])
    return sums, drops


def test_sensitivity_n_and_mu_fidelity():
    images, maps = planted.pictures(2), planted.noise(2)
    draw = np.random.default_rng(9)
    masks = np.zeros((15, 144), bool)
    for mask in masks:
        mask[draw.choice(144, 30, replace=False)] = True
    pairs = zip(*_masked(images, maps, 0.2, masks.reshape(15, 12, 12)), strict=True)
    result = faithfulness.sensitivity_n(score, images, maps, 0.2, n=30, samples=15, seed=9)
    _close(result, [_pearson(*pair) for pair in pairs])

    draw = np.random.default_rng(9)
    cells = np.zeros((15, 25), bool)
    for one in cells:
        one[draw.choice(25, 5, replace=False)] = True
    which = [[y * 5 // 12 * 5 + x * 5 // 12 for x in range(12)] for y in range(12)]
    pairs = zip(*_masked(images, maps, 0.2, cells[:, which]), strict=True)
    result = faithfulness.mu_fidelity(score, images, maps, 0.2, grid_size=5, samples=15, seed=9)
    _close(result, [_pearson(*pair) for pair in pairs])


@pytest.mark.parametrize("contributions", [False, True])
def test_infidelity_in_squares(contributions):
    images, maps = planted.pictures(2), planted.noise(2)
    draw, total, seen = np.random.default_rng(2), np.zeros(2), set()
    for _ in range(40):
        side = int(draw.integers(1, 6, endpoint=True))
        top, left = (int(draw.integers(0, 12 - side, endpoint=True)) for _ in range(2))
        seen.add(side)
        for row in range(2):
            said, changed = 0.0, images[row].copy()
            for y in range(top, top + side):
                for x in range(left, left + side):
                    taken = images[row, y, x] - 0.2
                    said += maps[row, y, x] * (1 if contributions else taken.sum())
                    changed[y, x] = 0.2
            happened = score(images[row][None], [row])[0] - score(changed[None], [row])[0]
            total[row] += (said - happened) ** 2
    assert seen == {1, 2, 3, 4, 5, 6}
    result = infidelity.infidelity(
        score, images, maps, 0.2, contributions=contributions, samples=40, seed=2
    )
    _close(result, total / 40)


# ----------------------------------------------------------------------------------------- captum

captum_only = pytest.mark.skipif(keras.config.backend() != "torch", reason="captum needs PyTorch")


def _torch_score():
    import torch

    patch = torch.tensor(planted.PATCH)

    def forward(x):
        return torch.tanh(x[:, patch]).mean(dim=(1, 2)) + (x[:, 0, 0, :] ** 2).sum(dim=-1)

    return torch, forward, lambda images, rows: forward(torch.tensor(images)).numpy()


@captum_only
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", ["square", "gaussian", "own"])
def test_captum_agrees_on_infidelity(normalize, kind):
    metrics = pytest.importorskip("captum.metrics")
    torch, forward, ours = _torch_score()
    images = planted.pictures(3)
    values = np.random.default_rng(5).normal(size=images.shape)
    samples = 9

    def own(image, generator):
        return generator.uniform(-0.3, 0.5, image.shape)

    taken, weights = [], []  # of each picture, what ours takes away from it

    for image in images:
        draw = np.random.default_rng(7)
        for _ in range(samples):
            if kind == "square":
                side = draw.integers(1, 6, endpoint=True)
                top, left = (draw.integers(0, 12 - side, endpoint=True) for _ in range(2))
                one = np.zeros(image.shape)
                one[top : top + side, left : left + side] = 1
                weights.append(one)
                taken.append(one * (image - 0.1))
            elif kind == "gaussian":
                taken.append(0.2 * np.ptp(image) * draw.standard_normal(image.shape))
            else:
                taken.append(own(image, draw))

    def perturb(x):
        assert len(x) == len(taken)
        change = torch.tensor(np.stack(taken))
        return (torch.tensor(np.stack(weights)) if kind == "square" else change), x - change

    wanted = metrics.infidelity(
        forward, perturb, torch.tensor(images), torch.tensor(values), n_perturb_samples=samples,
        normalize=normalize,
    )  # fmt: skip
    result = infidelity.infidelity(
        ours, images, values, 0.1, perturbation=own if kind == "own" else kind,
        contributions=kind == "square", normalize=normalize, samples=samples, seed=7,
    )  # fmt: skip
    _close(result, wanted.numpy(), 1e-9)


@captum_only
def test_captum_agrees_on_max_sensitivity():
    metrics = pytest.importorskip("captum.metrics")
    torch, forward, _ = _torch_score()
    images = planted.pictures(3) * [[[[1.0]]], [[[3.0]]], [[[0.5]]]]
    draw, samples = np.random.default_rng(6), 8
    noise = [draw.uniform(-0.1, 0.1, images.shape[1:]) for _ in range(samples)]
    near = np.stack([image + np.ptp(image) * one for image in images for one in noise])

    def explain(x):
        x = (x[0] if isinstance(x, tuple) else x).detach().clone().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(forward(x).sum(), x)  # a tuple, as captum's methods do

    wanted = metrics.sensitivity_max(
        explain, torch.tensor(images), lambda x: torch.tensor(near), n_perturb_samples=samples
    )
    result = infidelity.max_sensitivity(
        lambda x: explain(torch.tensor(x))[0].numpy(), images, radius=0.1, samples=samples, seed=6
    )
    _close(result, wanted.numpy())
    assert result.min() > 0.01

"""Metrics of signals, volumes, texts and tables: planted truths, twins in loops, and mutants."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage, stats

from keras_saliency import errors
from keras_saliency._inputs import kinds
from keras_saliency.metrics import (
    agreement,
    curves,
    faithfulness,
    infidelity,
    inputs,
    localization,
    registry,
    road,
    sanity,
)

pytestmark = pytest.mark.no_model

# The part that the score looks at: an interval, a row of features, a rectangle, a block of voxels.
SPACES = {
    "signal": ((40,), (slice(11, 17),)),
    "table": ((9,), (slice(4, 5),)),
    "picture": ((9, 12), (slice(2, 5), slice(6, 10))),
    "volume": ((6, 7, 8), (slice(1, 4), slice(2, 5), slice(3, 6))),
}
every_space = pytest.mark.parametrize("name", SPACES)
BATCH, CHANNELS = 2, 3


class Planted:
    """Inputs whose score is the mean of a planted part, and the part's true map."""

    def __init__(self, name, seed=0):
        space, part = SPACES[name]
        draw = np.random.default_rng(seed)
        self.mask = np.zeros(space, bool)
        self.mask[part] = True
        self.images = draw.random((BATCH, *space, CHANNELS))
        self.images[:, self.mask] = 1.0
        self.right = draw.random((BATCH, *space)) + self.mask
        self.noise = draw.normal(size=(BATCH, *space))
        self.pixels, self.inside = self.mask.size, int(self.mask.sum())
        self.masks = np.stack([self.mask] * BATCH)

    def score(self, images, rows):
        return images[:, self.mask].mean(axis=(1, 2)) * (1 + np.asarray(rows))

    def contributions(self):
        """What each value adds to the score above 0, (B, *space, C)."""
        weights = self.mask[..., None] / (self.inside * CHANNELS)
        scale = (1 + np.arange(BATCH)).reshape(-1, *[1] * (self.mask.ndim + 1))
        return self.images * weights * scale

    def gradient(self):
        return self.contributions() / np.where(self.mask[..., None], self.images, 1.0)


def _close(actual, wanted, tolerance=1e-10):
    np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)


REAL = SimpleNamespace(
    deletion=curves.deletion,
    insertion=curves.insertion,
    deletion_curves=curves.deletion_curves,
    average_drop=curves.average_drop,
    sensitivity_n=faithfulness.sensitivity_n,
    mu_fidelity=faithfulness.mu_fidelity,
    completeness_error=faithfulness.completeness_error,
    infidelity=infidelity.infidelity,
    impute=road.impute,
    energy_inside=localization.energy_inside,
    pointing_game=localization.pointing_game,
    ssim=agreement.ssim,
)


# ------------------------------------------------------------------------------------------- laws


def the_planted_part_drops_first(m, name):
    p = Planted(name)
    early = p.inside / p.pixels / 2
    factors = 1 + np.arange(BATCH)
    x = {"steps": p.pixels}
    _close(m.deletion(p.score, p.images, p.right, 0.0, **x), factors * early)
    _close(m.deletion(p.score, p.images, -p.right, 0.0, **x), factors * (1 - early))
    _close(m.insertion(p.score, p.images, p.right, 0.0, **x), factors * (1 - early))


def each_step_is_that_of_a_loop(m, name):
    p = Planted(name)
    actual = m.deletion_curves(p.score, p.images, p.noise, 0.25, steps=5)
    for row, (image, one) in enumerate(zip(p.images, p.noise, strict=True)):
        order = sorted(np.ndindex(one.shape), key=lambda at, one=one: -one[at])
        for step in range(6):
            now = image.copy()
            for at in order[: round(step * p.pixels / 5)]:
                now[at] = 0.25
            _close(actual.scores[row, step], p.score(now[None], [row])[0])


def what_is_outside_may_be_hidden(m, name):
    p = Planted(name)
    shown = p.mask.astype(float)[None].repeat(BATCH, 0)
    _close(m.average_drop(p.score, p.images, shown, 0.0), 0.0)
    _close(m.average_drop(p.score, p.images, 1 - shown, 0.0), 100.0)


def contributions_add_up(m, name):
    p = Planted(name)
    x = {"samples": 20, "seed": 1}
    for values in (p.contributions(), p.contributions().sum(-1)):
        _close(m.sensitivity_n(p.score, p.images, values, 0.0, n=0.5, **x), 1.0, 1e-8)
        _close(m.mu_fidelity(p.score, p.images, values, 0.0, subset=0.5, **x), 1.0, 1e-8)
        _close(m.completeness_error(p.score, p.images, values, 0.0), 0.0)
        _close(m.completeness_error(p.score, p.images, 0.5 * values, 0.0), 0.5)
        _close(m.infidelity(p.score, p.images, values, 0.0, contributions=True, **x), 0.0)
    _close(m.infidelity(p.score, p.images, p.gradient(), 0.0, **x), 0.0)
    _close(m.infidelity(p.score, p.images, p.gradient(), 0.0, perturbation="gaussian", **x), 0.0)
    wrong = p.noise[..., None] * np.ones(CHANNELS)
    assert (m.sensitivity_n(p.score, p.images, wrong, 0.0, n=0.5, **x) < 0.9).all()
    assert (m.infidelity(p.score, p.images, wrong, 0.0, **x) > 1e-3).all()


def imputed_pixels_are_means_of_their_neighbours(m, name):
    draw = np.random.default_rng(3)
    p = Planted(name)
    missing = draw.random(p.mask.shape) < 0.6
    missing.flat[0], missing.flat[-1] = True, False
    image = draw.normal(size=p.images.shape[1:])
    actual = m.impute(image, missing)
    _close(actual[~missing], image[~missing])
    for at in np.argwhere(missing):
        weights, total = 0.0, np.zeros(CHANNELS)
        for step in itertools.product((-1, 0, 1), repeat=len(at)):
            near = at + step
            if any(step) and (near >= 0).all() and (near < missing.shape).all():
                weight = 0.5 ** sum(map(abs, step))
                weights, total = weights + weight, total + weight * actual[tuple(near)]
        _close(actual[tuple(at)], total / weights, 1e-9)


def masks_are_of_any_rank(m, name):
    p = Planted(name)
    positive = np.maximum(p.noise, 0)
    wanted = [sum(one[p.mask]) / one.sum() for one in positive]
    _close(m.energy_inside(p.noise, p.masks), wanted)
    _close(m.pointing_game(p.right, p.masks, tolerance=0), 1.0)
    _close(m.pointing_game(-p.right, p.masks, tolerance=0), 0.0)
    # The nearest that is one step along the first axis: hit from a tolerance of 1 on.
    beside = np.zeros_like(p.right)
    at = np.argwhere(p.mask)[0] - np.eye(p.mask.ndim, dtype=int)[0]
    beside[(slice(None), *at)] = 1
    _close(m.pointing_game(beside, p.masks, tolerance=0.9), 0.0)
    _close(m.pointing_game(beside, p.masks, tolerance=1.0), 1.0)


LAWS = [
    the_planted_part_drops_first,
    each_step_is_that_of_a_loop,
    what_is_outside_may_be_hidden,
    contributions_add_up,
    imputed_pixels_are_means_of_their_neighbours,
    masks_are_of_any_rank,
]


@every_space
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law, name):
    law(REAL, name)


# ---------------------------------------------------------------------------------------- mutants


def _mutant(**functions):
    return SimpleNamespace(**{**vars(REAL), **functions})


def _by_first_axis(metric):
    """Only positions along the first spatial axis are ranked: slices go as wholes."""

    def broken(score, images, maps, baselines, **options):
        first = maps.mean(axis=tuple(range(2, maps.ndim)), keepdims=True)
        return metric(score, images, np.broadcast_to(first, maps.shape), baselines, **options)

    return broken


def _one_channel(metric):
    """Of attributions (B, *space, C) the last axis is taken for space: a channel is lost."""

    def broken(score, images, values, baselines, **options):
        values = values[..., :-1] if values.ndim == images.ndim else values
        return metric(score, images, values.sum(-1) if values.ndim == images.ndim else values,
                      baselines, **options)  # fmt: skip

    return broken


def _no_diagonals(image, missing):
    """Means of the neighbours beside a pixel alone, which are all that a signal has."""
    result = np.where(missing[..., None], 0.0, image)
    for _ in range(20_000):
        total, weights = np.zeros_like(result), np.zeros(missing.shape)
        for axis, step in itertools.product(range(missing.ndim), (-1, 1)):
            total += ndimage.shift(
                result, [step * (a == axis) for a in range(result.ndim)], order=0
            )
            weights += ndimage.shift(
                np.ones(missing.shape), [step * (a == axis) for a in range(missing.ndim)], order=0
            )
        new = np.where(missing[..., None], total / weights[..., None], image)
        if np.abs(new - result).max() < 1e-13:
            break
        result = new
    return result


MUTANTS = {
    "slices go as wholes": (
        the_planted_part_drops_first, "volume", _mutant(deletion=_by_first_axis(curves.deletion)),
    ),
    "ranked by the first axis": (
        each_step_is_that_of_a_loop, "picture",
        _mutant(deletion_curves=_by_first_axis(curves.deletion_curves)),
    ),
    "a lost channel": (
        contributions_add_up, "signal",
        _mutant(completeness_error=_one_channel(faithfulness.completeness_error)),
    ),
    "neighbours of a voxel without diagonals": (
        imputed_pixels_are_means_of_their_neighbours, "volume", _mutant(impute=_no_diagonals),
    ),
    "the tolerance of photographs for all": (
        masks_are_of_any_rank, "signal",
        _mutant(pointing_game=lambda maps, truth, tolerance: localization.pointing_game(
            maps, truth, tolerance=15)),
    ),
    "a map upside down": (
        masks_are_of_any_rank, "volume",
        _mutant(energy_inside=lambda maps, truth: localization.energy_inside(maps[:, ::-1], truth)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_rejected(mutant):
    law, name, broken = MUTANTS[mutant]
    with pytest.raises(AssertionError):
        law(broken, name)


def test_the_mutant_of_imputing_is_right_where_there_are_no_diagonals():
    imputed_pixels_are_means_of_their_neighbours(_mutant(impute=_no_diagonals), "signal")


# ------------------------------------------------------------------------- against other libraries


def test_gaps_of_a_signal_are_bridged_linearly():
    draw = np.random.default_rng(0)
    signal, missing = draw.normal(size=(50, 2)), draw.random(50) < 0.7
    known = np.flatnonzero(~missing)
    wanted = np.stack(
        [np.interp(np.arange(50), known, signal[known, c]) for c in range(2)], axis=-1
    )
    _close(road.impute(signal, missing), wanted)


@pytest.mark.parametrize("space", [(40,), (12, 14, 13)])
def test_structural_similarity_is_that_of_scikit_image(space):
    metrics = pytest.importorskip("skimage.metrics")
    draw = np.random.default_rng(1)
    a = draw.normal(size=(2, *space))
    b = a + 0.3 * draw.normal(size=a.shape)
    wanted = [
        metrics.structural_similarity(
            x / np.abs(x).max(), y / np.abs(y).max(), data_range=1.0, gaussian_weights=True,
            use_sample_covariance=False,
        )
        for x, y in zip(a, b, strict=True)
    ]  # fmt: skip
    _close(agreement.ssim(a, b), wanted)
    with pytest.raises(errors.MetricError, match=r"11 by 11 by 11 pixels.*Got 12 by 14 by 10"):
        agreement.ssim(np.zeros((1, 12, 14, 10)), np.zeros((1, 12, 14, 10)))


@every_space
def test_numbers_of_a_map_are_those_of_its_values_in_a_row(name):
    p = Planted(name)
    flat = p.noise.reshape(BATCH, -1)
    other = np.random.default_rng(9).normal(size=p.noise.shape)
    wanted = [
        stats.spearmanr(x, y).statistic for x, y in zip(flat, other.reshape(BATCH, -1), strict=True)
    ]
    _close(agreement.rank_correlation(p.noise, other), wanted)
    shares = np.abs(flat) / np.abs(flat).sum(axis=1, keepdims=True)
    _close(agreement.complexity(p.noise), stats.entropy(shares, axis=1))
    pairs = np.abs(shares[:, :, None] - shares[:, None]).sum(axis=(1, 2))
    _close(agreement.sparseness(p.noise), pairs / (2 * p.pixels))
    similar = sanity.random_logit(lambda classes: [p.noise, other][classes[0]], [0, 0], 2)
    _close(similar, wanted)


# ---------------------------------------------------------------- a signal is a picture 1 row high


def _both(call):
    """Return a metric's numbers of signals, and of the same data as pictures 1 row high."""
    p = Planted("signal")
    as_picture = SimpleNamespace(
        images=p.images[:, None],
        right=p.right[:, None],
        noise=p.noise[:, None],
        masks=p.masks[:, None],
        contributions=lambda: p.contributions()[:, None],
        score=lambda images, rows: p.score(images[:, 0], rows),
    )
    return call(p), call(as_picture)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: curves.deletion_curves(p.score, p.images, np.round(p.noise), 0.5).scores,
        lambda p: curves.insertion(p.score, p.images, np.round(p.noise), 0.5, seed=3),
        lambda p: curves.average_drop(p.score, p.images, p.right, 0.0),
        lambda p: curves.increase_in_confidence(p.score, p.images, p.right, 0.0),
        lambda p: faithfulness.sensitivity_n(p.score, p.images, p.noise, 0.0),
        lambda p: faithfulness.mu_fidelity(p.score, p.images, p.noise, 0.0),
        lambda p: faithfulness.completeness_error(p.score, p.images, p.contributions(), 0.0),
        lambda p: agreement.complexity(p.noise),
        lambda p: agreement.sparseness(p.contributions()),
        lambda p: localization.pointing_game(p.noise, p.masks, tolerance=2),
        lambda p: localization.energy_inside(p.noise, p.masks),
        lambda p: localization.overlap(p.noise, p.masks),
        lambda p: localization.overlap(p.noise, p.masks, level=0.3),
        lambda p: agreement.rank_correlation(p.noise, p.right, absolute=True),
        lambda p: infidelity.infidelity(p.score, p.images, p.noise, 0.0, perturbation="gaussian"),
        lambda p: infidelity.max_sensitivity(lambda x: (x**2).sum(-1), p.images),
    ],
)
def test_a_signal_is_a_picture_one_row_high(call):
    signal, picture = _both(call)
    np.testing.assert_array_equal(signal, picture)


def test_road_of_a_signal_is_that_of_a_picture_one_row_high():
    # Not to the last bit: neighbours weigh 1/2 and 1/2, as a picture's 1/6 and 1/6 do.
    _close(*_both(lambda p: road.road(p.score, p.images, p.noise)))


def test_squares_of_a_signal_are_longer_than_those_of_a_picture_one_row_high():
    draw = np.random.default_rng(0)
    lengths = [int(infidelity._square((40, 1), draw).sum()) for _ in range(300)]
    assert (min(lengths), max(lengths)) == (1, 20)
    cubes = [infidelity._square((8, 9, 10, 1), draw) for _ in range(3000)]
    edges = {
        tuple(part.stop - part.start for part in ndimage.find_objects(one[..., 0].astype(int))[0])
        for one in cubes
    }
    assert edges == {(n, n, n) for n in range(1, 5)}
    assert np.any(cubes, axis=0).all()  # each voxel is in one of them


# ------------------------------------------------------------------------------ defaults, refusals


def test_few_features_are_enough_for_every_default():
    p = Planted("table")
    assert len(curves.deletion_curves(p.score, p.images, p.noise, 0.0).shares) == p.pixels + 1
    assert len(curves.deletion_curves(Planted("signal").score, Planted("signal").images,
                                      Planted("signal").noise, 0.0).shares) == 33  # fmt: skip
    by_hand = faithfulness.mu_fidelity(p.score, p.images, p.noise, 0.0, grid_size=8)
    _close(faithfulness.mu_fidelity(p.score, p.images, p.noise, 0.0), by_hand)
    five = p.images[:, 2:7], p.noise[:, 2:7]

    def score(images, rows):
        return images[:, 2].mean(axis=-1)

    each = faithfulness.mu_fidelity(score, *five, 0.0, grid_size=5)
    _close(faithfulness.mu_fidelity(score, *five, 0.0), each)


def test_a_peak_near_a_feature_is_no_hit_unless_asked():
    p = Planted("table")
    one = np.zeros(p.noise.shape)
    one[:, 5] = 1  # beside the planted feature
    _close(localization.pointing_game(one, p.masks), 0.0)
    _close(localization.pointing_game(one, p.masks, tolerance=1), 1.0)
    photo = np.zeros((1, 40, 40))
    photo[0, 20, 20] = 1
    _close(localization.pointing_game(photo, [(30, 20, 40, 21)]), 1.0)  # the paper's 15


def test_mosaics_of_any_rank():
    draw = np.random.default_rng(0)
    parts = draw.random((3, 5, 2))
    _close(localization.mosaic(parts), parts.reshape(15, 2))
    cubes = draw.random((8, 2, 3, 4, 1))
    whole = localization.mosaic(cubes)
    assert whole.shape == (4, 6, 8, 1)
    for number, (i, j, k) in enumerate(np.ndindex(2, 2, 2)):
        cell = whole[2 * i : 2 * i + 2, 3 * j : 3 * j + 3, 4 * k : 4 * k + 4]
        np.testing.assert_array_equal(cell, cubes[number])
        inside = cell.sum() / whole.sum()
        _close(localization.grid_pointing_game(whole[None, ..., 0], [number]), inside)
    with pytest.raises(errors.MetricError, match=r"Got 4 pictures\. Pass 8 or 27"):
        localization.mosaic(cubes[:4])
    with pytest.raises(errors.MetricError, match=r"2 by 2 by 2 cells\. Got 3 by 6 by 8 pixels"):
        localization.grid_pointing_game(whole[None, :3, ..., 0], [0])
    with pytest.raises(errors.MetricError, match="0 to 7"):
        localization.grid_pointing_game(whole[None, ..., 0], [8])


def test_boxes_are_of_pictures():
    p = Planted("signal")
    with pytest.raises(errors.MetricError, match=r"masks of bool with shape \(2, 40\).*Got boxes"):
        localization.energy_inside(p.noise, [(0, 0, 1, 1)] * 2)


@pytest.mark.parametrize("wrong", ["(B, T) pictures", "attributions", "maps of another length"])
def test_arrays_that_do_not_fit_are_refused(wrong):
    p = Planted("signal")
    images, values = p.images, p.noise
    if wrong == "(B, T) pictures":
        images = images[..., 0]
        match = r"rows\[\.\.\., None\]"
    elif wrong == "attributions":
        values, match = p.images[..., :2], r"\(2, 40\) or \(2, 40, 3\)\. Got shape \(2, 40, 2\)"
    else:
        values, match = values[:, :30], r"size, \(2, 40\).*Got shape \(2, 30\)"
    with pytest.raises(errors.MetricError, match=match):
        faithfulness.completeness_error(p.score, images, values, 0.0)


def test_pictures_take_one_to_three_axes():
    for axes in range(1, 4):
        shape = (1,) * (axes + 2)
        assert inputs.pictures(np.ones(shape)).shape == shape
        assert inputs.maps(np.ones(shape[:-1])).shape == shape[:-1]
    for shape in ((1, 1), (1,) * 6):
        with pytest.raises(errors.MetricError, match="one to three spatial axes"):
            inputs.pictures(np.ones(shape))


def test_a_metric_says_which_kinds_it_is_for():
    for name, metric in registry.METRICS.items():
        for kind in kinds.KINDS.values():
            if kind.name in metric.kinds:
                metric.check_kind(kind)
                continue
            with pytest.raises(errors.MetricError, match=f"'{name}' is for picture") as caught:
                metric.check_kind(kind)
            assert caught.value.got == f"The explained input is {kind.one}: {kind.shape}."
            assert "deletion, insertion" in caught.value.fix
            assert name not in caught.value.fix
    limited = {name for name, one in registry.METRICS.items() if len(one.kinds) < len(kinds.KINDS)}
    assert limited == {"road", "grid_pointing_game"}


def test_the_page_says_the_same():
    lines = (Path(__file__).parents[1] / "docs" / "compare.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| metrics | picture"))
    heads = [cell.strip() for cell in lines[start].split("|")[2:-1]]
    assert heads == list(kinds.KINDS)
    said = {}
    for line in itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :]):
        names, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert set(cells) <= {"yes", "no"}
        meant = tuple(kind for kind, cell in zip(heads, cells, strict=True) if cell == "yes")
        said |= dict.fromkeys(names.replace("`", "").split(", "), meant)
    assert said == {name: metric.kinds for name, metric in registry.METRICS.items()}

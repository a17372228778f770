"""Centre bias and human ceiling against sums of Gaussians, and what they promise."""

from __future__ import annotations

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_saliency import errors
from keras_saliency.fixation import maps
from keras_saliency.fixation.metrics import baselines, scores

pytestmark = pytest.mark.no_model


def _seen(y, x, size, subject=None, sigma=2.0):
    return SimpleNamespace(y=np.asarray(y), x=np.asarray(x), size=size, subject=subject,
                           sigma=sigma)  # fmt: skip


def _crowd(seed=0, pictures=12, observers=6, each=5, size=(60, 80), sigma=3.0, agree=True):
    """Pictures with three places each that all observers look at, or that no two agree on."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(pictures):
        places = rng.uniform(0.1, 0.9, (3, 2))
        n = observers * each
        at = places[rng.integers(0, 3, n)] if agree else rng.uniform(0.1, 0.9, (n, 2))
        points = at * size + rng.normal(0, sigma, (n, 2))
        y, x = np.clip(points, 0, np.array(size) - 0.5).T
        who = np.repeat(np.arange(observers), each)
        result.append(_seen(y, x, size, who, sigma))
    return result


# ------------------------------------------------------------------------------------ centre bias


def _slow_sum(recordings, bandwidth, size):
    """The same density, one Gaussian after the other in loops."""
    result = np.zeros(size)
    for one in recordings:
        for y, x in zip(one.y, one.x, strict=True):
            at = (math.floor(y) + 0.5) / one.size[0], (math.floor(x) + 0.5) / one.size[1]
            for i in range(size[0]):
                for j in range(size[1]):
                    down, across = (i + 0.5) / size[0] - at[0], (j + 0.5) / size[1] - at[1]
                    result[i, j] += math.exp(-(down**2 + across**2) / 2 / bandwidth**2)
    return result / result.sum()


def test_the_centre_bias_is_a_sum_of_gaussians():
    rng = np.random.default_rng(0)
    # Where a pixel is one cell of the grid, nothing is lost by binning. Elsewhere a fixation moves
    # by half a cell at most, 0.025 of the bandwidth: four bandwidths away its Gaussian changes by
    # exp(0.1) - 1.
    for size, tolerance in (((251, 251), 1e-9), ((64, 128), 0.11)):
        points = np.clip(rng.normal([[0.4], [0.6]], 0.08, (3, 2, 6)), 0, 0.99)
        seen = [_seen(y * size[0], x * size[1], size) for y, x in points]
        bias = baselines.centre_bias(seen, bandwidths=[0.08])
        assert bias.uniform < 0.2
        wanted = _slow_sum(seen, 0.08, (11, 17))
        wanted = (1 - bias.uniform) * wanted + bias.uniform / wanted.size
        np.testing.assert_allclose(bias.density((11, 17)), wanted, rtol=tolerance)
        with pytest.raises(AssertionError):  # and the comparison can fail
            np.testing.assert_allclose(bias.density((17, 11)).T, wanted, rtol=tolerance)
        other = baselines.CentreBias(bias.counts, 0.07, bias.uniform)
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(other.density((11, 17)), wanted, rtol=tolerance)


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_the_centre_bias_is_a_density_at_any_size(size, seed):
    bias = baselines.centre_bias(_crowd(seed, pictures=3), bandwidths=[0.01, 0.08])
    measured = bias.density(size)
    assert measured.shape == size
    assert measured.min() >= bias.uniform / measured.size * (1 - 1e-9) > 0
    assert measured.sum() == pytest.approx(1, abs=1e-12)
    log = bias.log_density(size)
    np.testing.assert_array_equal(log, np.log(measured))
    assert np.isfinite(scores.log_likelihood(log, [0], [0]))


def test_pictures_of_any_shape_fall_on_one_another():
    wide, high = _seen([5, 5], [30, 30], (10, 40)), _seen([20, 20], [7.5, 7.5], (40, 10))
    both = [baselines.centre_bias([one, one], [0.05]).density((32, 32)) for one in (wide, high)]
    assert [np.unravel_index(one.argmax(), one.shape) for one in both] == [(17, 24), (16, 24)]


def _without(counts, cells, i):
    left = counts.copy()
    np.subtract.at(left, cells[i], 1.0)
    return left


def test_a_picture_is_left_out_of_its_own_density():
    cells = [baselines._cells(one) for one in _crowd(pictures=4)]
    counts = np.zeros((251, 251))
    for one in cells:
        np.add.at(counts, one, 1.0)
    measured = baselines._left_out(counts, cells, 0.03)
    uniform = 0.0
    wanted = np.concatenate(
        [
            baselines.CentreBias(_without(counts, cells, i), 0.03, uniform).density((251, 251))[one]
            for i, one in enumerate(cells)
        ]
    )
    np.testing.assert_allclose(measured, wanted * 251 * 251, rtol=1e-8, atol=1e-8)


def test_the_bandwidth_is_that_of_people_not_of_pictures():
    rng = np.random.default_rng(0)

    def drawn(spread, n=60):
        return [_seen(*np.clip(rng.normal(125, spread * 251, (2, 8)), 0, 250), (251, 251))
                for _ in range(n)]  # fmt: skip

    narrow, wide = (baselines.centre_bias(drawn(spread)) for spread in (0.02, 0.2))
    assert narrow.bandwidth < wide.bandwidth
    # Each picture has one place of its own, looked at over and over: only a density that keeps the
    # picture itself would choose the narrowest kernel.
    places = rng.uniform(0.2, 0.8, (40, 2))
    own = [_seen(np.full(9, y * 251), np.full(9, x * 251), (251, 251)) for y, x in places]
    assert baselines.centre_bias(own).bandwidth > 0.05


def test_every_picture_counts_alike_in_the_choice():
    weights = baselines._alike([1, 4])
    np.testing.assert_allclose(weights, [0.5, 0.125, 0.125, 0.125, 0.125])


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_shares_are_the_likeliest(seed):
    rng = np.random.default_rng(seed)
    parts, weights = rng.uniform(0.1, 3, (2, 30)), rng.dirichlet(np.ones(30))
    shares, likelihood = baselines._mixed(list(parts), weights)
    assert shares.sum() == pytest.approx(1)
    assert shares.min() > 5e-5
    tried = [np.log(a * parts[0] + (1 - a) * parts[1]) @ weights for a in np.linspace(0, 1, 101)]
    # 100 steps of EM may still be on their way along a flat ridge.
    assert max(tried) - 2e-3 < likelihood < max(tried) + 1e-3


@pytest.mark.parametrize(
    ("recordings", "match"),
    [
        ([], "Got 0 such pictures"),
        ([_seen([1], [1], (4, 4)), _seen([], [], (4, 4))], "Got 1 such pictures"),
        ([_seen([1], [1], (4, 4)), _seen([4], [1], (4, 4))], "4 by 4 pixels"),
        ([_seen([1], [1], (4, 4)), _seen([1], [-1], (4, 4))], "4 by 4 pixels"),
    ],
)
def test_what_makes_no_centre_bias_is_refused(recordings, match):
    with pytest.raises(errors.FixationError, match=match):
        baselines.centre_bias(recordings)


def test_no_bandwidth_is_refused():
    with pytest.raises(errors.FixationError, match="and 0 bandwidths"):
        baselines.centre_bias(_crowd(), [])


# ---------------------------------------------------------------------------------------- halves


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda who: len(set(who)) > 1),
       st.integers(0, 99))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_halves_split_observers(who, seed):
    n = len(who)
    one = _seen(np.arange(n) % 7, np.arange(n) % 5, (7, 5), np.array(who), 1.5)
    (a, b), (c, d) = baselines.halves(one, seed)
    assert c is b
    assert d is a
    assert not set(a.subject) & set(b.subject)
    assert set(a.subject) | set(b.subject) == set(who)
    assert abs(len(set(a.subject)) - len(set(b.subject))) <= 1
    together = sorted(zip([*a.y, *b.y], [*a.x, *b.x], [*a.subject, *b.subject], strict=True))
    assert together == sorted(zip(one.y, one.x, who, strict=True))
    assert a.size == one.size
    assert b.sigma == one.sigma


def _split(one, seed=0):
    return frozenset(baselines.halves(one, seed)[0][0].subject.tolist())


def test_halves_are_seeded_and_pictures_differ():
    crowd = _crowd(pictures=20)
    assert [_split(one) for one in crowd] == [_split(one) for one in crowd]
    assert len({_split(one) for one in crowd}) > 5
    assert len({_split(crowd[0], seed) for seed in range(20)}) > 5
    narrow = [_seen(o.y.astype("f4"), o.x.astype("f4"), o.size, o.subject) for o in crowd]
    wide = [_seen(o.y.astype("f8"), o.x.astype("f8"), o.size, o.subject) for o in narrow]
    assert [_split(one) for one in narrow] == [_split(one) for one in wide]


@pytest.mark.parametrize(
    ("subject", "match"),
    [
        (None, "Got fixations without subjects"),
        ([3, 3, 3], r"1 observer\(s\)"),
        ([1, 2], r"each of 3 fixations\. Got subjects of shape \(2,\)"),
    ],
)
def test_what_has_no_halves_is_refused(subject, match):
    with pytest.raises(errors.FixationError, match=match):
        baselines.halves(_seen([1, 2, 3], [1, 2, 3], (5, 5), subject))
    with pytest.raises(errors.FixationError, match="do not"):
        baselines.halves(_seen([1, 2, 5], [1, 2, 3], (5, 5), [1, 2, 3]))


# ---------------------------------------------------------------------------------- human ceiling


def test_points_under_a_half_are_points_of_its_map():
    a, b = baselines.halves(_crowd()[0])[0]
    for sigma in (2.0, 6.0):
        wanted = maps.blurred(a.y, a.x, a.size, sigma)[
            np.floor(b.y).astype(int), np.floor(b.x).astype(int)
        ]
        measured = baselines._under_half(a, b, sigma) / (60 * 80)
        # The map's kernel ends at four standard deviations and is sampled at pixels.
        np.testing.assert_allclose(measured, wanted, rtol=3e-3, atol=1e-6)


def test_the_log_density_is_the_mixture_that_was_fitted():
    bias = baselines.centre_bias(_crowd())
    (half, _), _ = baselines.halves(_crowd()[0])
    measured = baselines.Humans(bias, 1.7, (0.6, 0.3, 0.1)).log_density(half)
    blurred = maps.blurred(half.y, half.x, half.size, 1.7 * half.sigma)
    wanted = 0.6 * blurred + 0.3 * bias.density(half.size) + 0.1 / blurred.size
    np.testing.assert_allclose(measured, np.log(wanted), rtol=1e-12)


def test_the_blur_is_that_of_the_crowd():
    bias = baselines.centre_bias(_crowd(seed=1))
    blurs = []
    for degree in (1.5, 6.0):  # the points scatter by 3 pixels
        crowd = [_seen(o.y, o.x, o.size, o.subject, degree) for o in _crowd()]
        blurs.append(baselines.human_ceiling(crowd, bias).blur)
    assert blurs[0] > 1 > blurs[1]


def test_humans_who_agree_tell_more_than_the_centre_bias():
    crowd = _crowd()
    bias = baselines.centre_bias(_crowd(seed=1))
    humans = baselines.human_ceiling(crowd, bias, seed=3)
    assert sum(humans.shares) == pytest.approx(1)
    assert humans.shares[0] > 0.8
    gains, ceilings = [], []
    for one in crowd:
        assert [a.subject.tolist() for a, _ in humans.halves(one)] == [
            a.subject.tolist() for a, _ in baselines.halves(one, 3)
        ]
        for a, b in humans.halves(one):
            np.testing.assert_array_equal(
                humans.saliency(a), maps.blurred(a.y, a.x, a.size, a.sigma)
            )
            log = humans.log_density(a)
            gains.append(scores.information_gain(log, bias.log_density(a.size), b.y, b.x))
            ceilings.append(scores.nss(humans.saliency(a), b.y, b.x))
    assert np.mean(gains) > 1
    assert np.mean(ceilings) > 1.5


def test_humans_who_do_not_agree_are_the_centre_bias():
    crowd = _crowd(agree=False, pictures=40)
    bias = baselines.centre_bias(_crowd(seed=1, agree=False, pictures=40))
    humans = baselines.human_ceiling(crowd, bias)
    assert humans.shares[0] < 0.15
    gains = [
        scores.information_gain(humans.log_density(a), bias.log_density(a.size), b.y, b.x)
        for one in crowd
        for a, b in humans.halves(one)
    ]
    assert abs(np.mean(gains)) < 0.1


def test_what_has_no_ceiling_is_refused():
    bias = baselines.centre_bias(_crowd())
    with pytest.raises(errors.FixationError, match="0 recordings and 9 blurs"):
        baselines.human_ceiling([], bias)
    with pytest.raises(errors.FixationError, match="12 recordings and 0 blurs"):
        baselines.human_ceiling(_crowd(), bias, blurs=[])


# -------------------------------------------------------------------------------------- real eyes


@pytest.fixture(scope="module")
def osie(shared):
    """OSIE's training pictures and 18 of its validation pictures."""
    folder = shared / "fixations"
    if not folder.is_dir():
        pytest.skip("no fixations in the shared folder")
    with np.load(folder / "fixations.npz") as file:
        z = {name: file[name] for name in ("y", "x", "subject", "offsets")}
    measured = {"train": [], "val": []}
    with (folder / "index.csv").open() as file:
        for k, row in enumerate(csv.DictReader(file)):
            if row["dataset"] == "osie" and row["split"] in measured:
                at = slice(z["offsets"][k], z["offsets"][k + 1])
                size = int(row["height"]), int(row["width"])
                sigma = 24 * max(size) / max(int(row["orig_width"]), int(row["orig_height"]))
                one = _seen(z["y"][at], z["x"][at], size, z["subject"][at], sigma)
                measured[row["split"]].append(one)
    return measured["train"], measured["val"][::4]


def test_osie_is_as_published(osie):
    """Near what other held-out pictures gave; three standard errors of 18 pictures allowed."""
    training, scored = osie
    bias = baselines.centre_bias(training)
    humans = baselines.human_ceiling(scored, bias)
    centre, ceiling = [], []
    for i, one in enumerate(scored):
        others = scores.others(scored, i)
        log = bias.log_density(one.size)
        truth = maps.blurred(one.y, one.x, one.size, one.sigma)
        centre.append([
            scores.nss(np.exp(log), one.y, one.x),
            scores.shuffled_auc(log, one.y, one.x, *others),
            scores.cc(np.exp(log), truth),
        ])  # fmt: skip
        pairs = humans.halves(one)
        blurs = [humans.saliency(a) for a, _ in pairs]
        ceiling.append(np.mean([[
            scores.nss(own, b.y, b.x),
            scores.shuffled_auc(own, b.y, b.x, *others),
            scores.cc(own, other),
            scores.information_gain(humans.log_density(a), log, b.y, b.x),
        ] for (a, b), own, other in zip(pairs, blurs, blurs[::-1], strict=True)], 0))  # fmt: skip
    for measured, wanted in ((centre, [0.86, 0.50, 0.31]), (ceiling, [3.58, 0.87, 0.88, 2.05])):
        measured = np.array(measured)
        error = measured.std(axis=0, ddof=1) / math.sqrt(len(measured))
        assert (np.abs(measured.mean(axis=0) - wanted) < 3 * error + 0.01).all(), measured.mean(
            axis=0
        )

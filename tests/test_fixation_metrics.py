"""Each metric: laws and their mutants, slow twins, pysaliency, what it refuses."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_saliency import errors
from keras_saliency.fixation import maps
from keras_saliency.fixation.metrics import scores

# Sums of some hundred float64 in another order.
_ROUNDING = 1e-10


def _close(result, wanted, tolerance=_ROUNDING):
    assert result == pytest.approx(wanted, rel=tolerance, abs=tolerance)


def _scene(seed=0, size=(9, 14), n=25):
    """A map with ties, fixations with repetitions, others', a truth, two log densities."""
    rng = np.random.default_rng(seed)

    def points(n):
        return rng.uniform(0, size[0], n), rng.uniform(0, size[1], n)

    y, x = points(n)
    y, x = np.append(y, y[:4]), np.append(x, x[:4])
    logs = [np.log(d / d.sum()) for d in rng.uniform(0.1, 1, (2, *size))]
    return SimpleNamespace(
        size=size, s=rng.integers(0, 12, size) / 4.0, y=y, x=x, others=points(60),
        truth=maps.blurred(y, x, size, 1.0), logs=logs,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- laws


def constant_map_is_chance(m):
    c = _scene()
    for value in (0.0, 0.1, 7.0, -3.3):  # the mean of many 0.1 is not 0.1
        flat = np.full(c.size, value)
        assert m.auc(flat, c.y, c.x) == 0.5
        assert m.shuffled_auc(flat, c.y, c.x, *c.others) == 0.5
        assert m.nss(flat, c.y, c.x) == 0.0
        assert m.cc(flat, c.truth) == 0.0
        assert m.cc(c.truth, np.abs(flat)) == 0.0


def uniform_density_tells_nothing(m):
    c = _scene()
    uniform = np.full(c.size, -np.log(9 * 14))
    _close(m.log_likelihood(uniform, c.y, c.x), 0.0)
    _close(m.information_gain(c.logs[0], uniform, c.y, c.x), m.log_likelihood(c.logs[0], c.y, c.x))


def perfect_map_is_best(m):
    y, x = np.full(6, 3.5), np.full(6, 8.5)  # six times the same pixel
    perfect = maps.counts(y, x, (9, 14))
    _close(m.auc(perfect, y, x), 1 - 0.5 / (9 * 14))  # its own pixel is a negative, tied
    assert m.shuffled_auc(perfect, y, x, [0, 1, 2], [0, 1, 2]) == 1.0
    _close(m.nss(perfect, y, x), math.sqrt(9 * 14 - 1))
    for map_ in (perfect, _scene().truth):
        _close(m.cc(map_, map_), 1.0)
        _close(m.similarity(map_, map_), 1.0)
        _close(m.kl_divergence(map_, map_), 0.0)
    log = _scene().logs[0]
    assert m.information_gain(log, log, y, x) == 0.0


def every_pixel_is_a_negative(m):
    # The two fixated pixels are negatives as well, the empty one is another.
    _close(m.auc([[3.0, 2.0, 1.0]], [0, 0], [0, 1]), (2.5 + 1.5) / 6)


def ties_count_one_half(m):
    _close(m.auc([[1.0, 1.0, 0.0, 2.0]], [0], [1]), (1 + 0.5 * 2) / 4)
    _close(m.shuffled_auc([[1.0, 1.0, 0.0, 2.0]], [0], [1], [0, 0], [0, 2]), (0.5 + 1) / 2)


def repetitions_count(m):
    s, y, x = [[3.0, 2.0, 1.0]], [0, 0, 0], [0, 0, 2]
    _close(m.auc(s, y, x), (2.5 + 2.5 + 0.5) / 9)
    _close(m.nss(s, y, x), (2 * math.sqrt(1.5) - math.sqrt(1.5)) / 3)
    _close(m.shuffled_auc(s, [0], [1], y, x), 1 / 3)


def rows_come_first(m):
    s = np.zeros((5, 5))
    s[1, 3] = 1.0
    assert m.auc(s, [1], [3]) > 0.9
    assert m.nss(s, [1], [3]) > 4
    assert m.shuffled_auc(s, [1], [3], [3], [1]) == 1.0
    log = np.log((s + 0.01) / (s + 0.01).sum())
    assert m.log_likelihood(log, [1], [3]) > 4
    assert m.information_gain(log, log.T, [1], [3]) > 6


def a_pixel_is_the_floor(m):
    s = np.arange(6.0).reshape(2, 3)
    _close(m.nss(s, [0.99], [1.99]), m.nss(s, [0], [1]))
    _close(m.auc(s, [0.99], [1.99]), 1.5 / 6)
    _close(m.shuffled_auc(s, [0], [1], [0.99, 1.0], [1.99, 0.0]), 0.25)


def monotone_transforms_keep_the_ranking(m):
    c = _scene()
    for grown in (np.exp(c.s), c.s**3, 1e6 * c.s - 5):
        _close(m.auc(grown, c.y, c.x), m.auc(c.s, c.y, c.x))
        _close(m.shuffled_auc(grown, c.y, c.x, *c.others), m.shuffled_auc(c.s, c.y, c.x, *c.others))


def the_opposite_map_has_the_opposite_area(m):
    c = _scene()
    _close(m.auc(-c.s, c.y, c.x), 1 - m.auc(c.s, c.y, c.x))
    result = m.shuffled_auc(c.s, c.y, c.x, *c.others)
    _close(m.shuffled_auc(-c.s, c.y, c.x, *c.others), 1 - result)


def people_look_alike_everywhere(m):
    c = _scene()
    _close(m.shuffled_auc(c.s, c.y, c.x, c.y, c.x), 0.5)


def affine_maps_are_one(m):
    c = _scene()
    for scale, offset in ((3.0, 0.0), (0.01, 5.0), (1e-200, 0.0), (1e200, 0.0)):
        other = scale * c.s + offset
        _close(m.nss(other, c.y, c.x), m.nss(c.s, c.y, c.x))
        _close(m.cc(other, c.truth), m.cc(c.s, c.truth))
    _close(m.cc(-c.s, c.truth), -m.cc(c.s, c.truth))


def nss_has_the_population_std(m):
    _close(m.nss([[0.0, 2.0]], [0], [1]), 1.0)


def sums_do_not_matter(m):
    c = _scene()
    _close(m.similarity(3 * c.s, 7 * c.truth), m.similarity(c.s, c.truth))
    _close(m.kl_divergence(3 * c.s, 7 * c.truth), m.kl_divergence(c.s, c.truth))
    _close(m.similarity(c.s, c.truth), m.similarity(c.truth, c.s))


def no_minimum_is_subtracted(m):
    _close(m.similarity([[1.0, 3.0]], [[1.0, 0.0]]), 0.25)
    _close(m.kl_divergence([[1.0, 3.0]], [[1.0, 0.0]]), math.log(4))


def kl_is_of_the_truth_in_nat(m):
    _close(m.kl_divergence([[1.0, 1.0]], [[3.0, 1.0]]), 0.75 * math.log(1.5) - 0.25 * math.log(2))
    # Where people looked and the map is 0, only the epsilon is left.
    missed = math.log(1 / 2.2204e-16)
    _close(m.kl_divergence([[1.0, 0.0]], [[0.0, 1.0]]), missed)


def a_map_of_zeros_is_uniform(m):
    c = _scene()
    zeros, ones = np.zeros(c.size), np.ones(c.size)
    _close(m.similarity(zeros, c.truth), m.similarity(ones, c.truth))
    _close(m.kl_divergence(zeros, c.truth), m.kl_divergence(ones, c.truth))


def gains_are_bits(m):
    p = np.log([[0.5, 0.25, 0.25]])
    b = np.log([[0.25, 0.25, 0.5]])
    _close(m.information_gain(p, b, [0, 0, 0, 0], [0, 0, 0, 2]), (3 * 1 - 1) / 4)
    _close(m.log_likelihood(np.log([[0.5, 0.125, 0.125, 0.25]]), [0, 0], [0, 1]), 0.0)
    c = _scene()
    difference = np.subtract(*(m.log_likelihood(log, c.y, c.x) for log in c.logs))
    _close(m.information_gain(*c.logs, c.y, c.x), difference)
    _close(m.information_gain(*c.logs[::-1], c.y, c.x), -difference)


def mirrored_scenes_score_alike(m):
    c = _scene()
    back, oy, ox = c.size[1] - c.x, *c.others  # x on an edge of a pixel has no mirror; none is
    flip = (slice(None), slice(None, None, -1))
    _close(m.auc(c.s[flip], c.y, back), m.auc(c.s, c.y, c.x))
    _close(m.nss(c.s[flip], c.y, back), m.nss(c.s, c.y, c.x))
    result = m.shuffled_auc(c.s[flip], c.y, back, oy, c.size[1] - ox)
    _close(result, m.shuffled_auc(c.s, c.y, c.x, oy, ox))
    _close(m.cc(c.s[flip], c.truth[flip]), m.cc(c.s, c.truth))


def _area(positives, negatives, tie=0.5):
    higher = np.greater.outer(positives, negatives) + tie * np.equal.outer(positives, negatives)
    return higher.mean()


def _values(s, y, x, to_pixel=np.floor):
    return np.asarray(s, float)[to_pixel(y).astype(int), to_pixel(x).astype(int)]


def _unfixated(s, y, x):
    s = np.asarray(s, float)
    return s[maps.counts(y, x, s.shape) == 0]


def _by_a_std_of_zero(s, y, x):
    s = np.asarray(s, float)
    std = s.std()
    return ((_values(s, y, x) - s.mean()) / (std if std else 1.0)).mean()


def _by_thresholds(s, y, x):
    levels = np.linspace(np.max(s), np.min(s), 10)
    rates = [[(v >= t).mean() for t in levels] for v in (np.asarray(s), _values(s, y, x))]
    return np.trapezoid([0, *rates[1], 1], [0, *rates[0], 1])


def _min_max(p):
    return (np.asarray(p) - np.min(p)) / (np.max(p) - np.min(p))


# A law, the metric that is made wrong, and how.
_MUTANTS = {
    constant_map_is_chance: ("nss", _by_a_std_of_zero),
    uniform_density_tells_nothing: (
        "log_likelihood", lambda log, y, x: _values(log, y, x).mean() / np.log(2)),
    perfect_map_is_best: ("auc", lambda s, y, x: _area(_values(s, y, x), _unfixated(s, y, x))),
    every_pixel_is_a_negative: (
        "auc", lambda s, y, x: _area(_values(s, y, x), _unfixated(s, y, x))),
    ties_count_one_half: ("auc", lambda s, y, x: _area(_values(s, y, x), np.ravel(s), tie=1)),
    repetitions_count: (
        "auc", lambda s, y, x: scores.auc(s, *np.unique(np.floor([y, x]), axis=1))),
    rows_come_first: ("nss", lambda s, y, x: scores.nss(s, x, y)),
    a_pixel_is_the_floor: (
        "nss", lambda s, y, x: scores.nss(s, *np.minimum(np.rint([y, x]), [[1], [2]]))),
    monotone_transforms_keep_the_ranking: ("auc", _by_thresholds),
    the_opposite_map_has_the_opposite_area: (
        "auc", lambda s, y, x: _area(_values(s, y, x), np.ravel(s), tie=0)),
    people_look_alike_everywhere: (
        "shuffled_auc", lambda s, y, x, oy, ox: scores.auc(s, y, x)),
    affine_maps_are_one: ("nss", lambda s, y, x: (_values(s, y, x) - np.mean(s)).mean()),
    nss_has_the_population_std: (
        "nss", lambda s, y, x: ((_values(s, y, x) - np.mean(s)) / np.std(s, ddof=1)).mean()),
    sums_do_not_matter: ("similarity", lambda p, q: np.minimum(p, q).sum()),
    no_minimum_is_subtracted: (
        "similarity", lambda p, q: scores.similarity(_min_max(p), _min_max(q))),
    kl_is_of_the_truth_in_nat: ("kl_divergence", lambda p, q: scores.kl_divergence(q, p)),
    a_map_of_zeros_is_uniform: (
        "similarity", lambda p, q: scores.similarity(p, q) if np.any(p) else 0.0),
    gains_are_bits: (
        "information_gain", lambda p, b, y, x: (_values(p, y, x) - _values(b, y, x)).mean()),
    mirrored_scenes_score_alike: (
        "nss", lambda s, y, x: scores.nss(np.roll(s, 1, axis=1), y, x)),
}  # fmt: skip
LAWS = list(_MUTANTS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(scores)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_rejects_its_mutant(law):
    name, wrong = _MUTANTS[law]
    metrics = {known: getattr(scores, known) for known in scores.__all__}
    with pytest.raises(AssertionError):
        law(SimpleNamespace(**metrics | {name: wrong}))


# ------------------------------------------------------------------------------------- slow twins


class _Twins:
    """METHODS.md section 4 in loops over lists: no sort, no NumPy function."""

    def __init__(self, s):
        self.rows = [[float(v) for v in row] for row in s]
        self.flat = [v for row in self.rows for v in row]

    def at(self, y, x):
        return [self.rows[math.floor(b)][math.floor(a)] for b, a in zip(y, x, strict=True)]

    def area(self, y, x, negatives):
        positives = self.at(y, x)
        won = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives)
        return won / (len(positives) * len(negatives))

    def auc(self, y, x):
        return self.area(y, x, self.flat)

    def shuffled_auc(self, y, x, other_y, other_x):
        return self.area(y, x, self.at(other_y, other_x))

    def standardised(self):
        mean = sum(self.flat) / len(self.flat)
        std = math.sqrt(sum((v - mean) ** 2 for v in self.flat) / len(self.flat))
        constant = max(self.flat) == min(self.flat)
        return [0.0 if constant else (v - mean) / std for v in self.flat]

    def nss(self, y, x):
        values, width = self.standardised(), len(self.rows[0])
        result = [values[math.floor(b) * width + math.floor(a)] for b, a in zip(y, x, strict=True)]
        return sum(result) / len(result)

    def cc(self, truth):
        pairs = zip(self.standardised(), _Twins(truth).standardised(), strict=True)
        return sum(a * b for a, b in pairs) / len(self.flat)

    def shares(self):
        total = sum(self.flat)
        return [v / total if total else 1 / len(self.flat) for v in self.flat]

    def similarity(self, truth):
        return sum(min(pair) for pair in zip(self.shares(), _Twins(truth).shares(), strict=True))

    def kl_divergence(self, truth):
        eps = 2.2204e-16
        pairs = zip(self.shares(), _Twins(truth).shares(), strict=True)
        return sum(q * math.log(eps + q / (p + eps)) for p, q in pairs)

    def information_gain(self, baseline, y, x):
        pairs = list(zip(self.at(y, x), _Twins(baseline).at(y, x), strict=True))
        return sum(math.log2(math.exp(a)) - math.log2(math.exp(b)) for a, b in pairs) / len(pairs)

    def log_likelihood(self, y, x):
        values = self.at(y, x)
        uniform = math.log2(1 / len(self.flat))
        return sum(math.log2(math.exp(v)) - uniform for v in values) / len(values)


@st.composite
def _scenes(draw):
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    few = st.integers(0, 4).map(float)  # five values: ties are the rule
    maps = [draw(arrays.arrays(np.float64, size, elements=few)) for _ in range(2)]

    def points(most):
        n = draw(st.integers(1, most))
        halves = (st.lists(st.integers(0, 2 * side - 1), min_size=n, max_size=n) for side in size)
        return [np.array(draw(one)) / 2 for one in halves]

    return size, *maps, points(9), points(12)


@given(_scenes())
@settings(max_examples=200, deadline=None)
def test_slow_twins_agree(scene):
    _, s, truth, points, others = scene
    twins = _Twins(s)
    for name, args in (("auc", points), ("nss", points), ("shuffled_auc", [*points, *others])):
        _close(getattr(scores, name)(s, *args), getattr(twins, name)(*args))
    _close(scores.cc(s, truth), twins.cc(truth))
    if truth.any():
        _close(scores.similarity(s, truth), twins.similarity(truth))
        _close(scores.kl_divergence(s, truth), twins.kl_divergence(truth))
    p, b = (np.log((one + 1) / (one + 1).sum()) for one in (s, truth))
    _close(scores.information_gain(p, b, *points), _Twins(p).information_gain(b, *points))
    _close(scores.log_likelihood(p, *points), _Twins(p).log_likelihood(*points))


# ------------------------------------------------------------------------------------- pysaliency


@pytest.fixture(scope="module")
def oracle():
    """pysaliency on three pictures of different size: stimuli, fixations, scenes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources
        pysaliency = pytest.importorskip("pysaliency")
    sizes = [(30, 40), (25, 25), (40, 21)]
    scenes = [_scene(i, size, n=20 + i) for i, size in enumerate(sizes)]
    # pysaliency cuts the fraction off by itself; whole numbers leave nothing to cut.
    for c in scenes:
        c.y, c.x = np.floor(c.y), np.floor(c.x)
    stimuli = pysaliency.Stimuli([np.full((*size, 3), i, np.uint8) for i, size in enumerate(sizes)])
    fixations = pysaliency.Fixations.create_without_history(
        np.concatenate([c.x for c in scenes]),
        np.concatenate([c.y for c in scenes]),
        np.concatenate([np.full(len(c.y), i) for i, c in enumerate(scenes)]),
    )
    return SimpleNamespace(
        package=pysaliency, stimuli=stimuli, fixations=fixations, scenes=scenes,
        means=lambda per_fixation: [per_fixation[fixations.n == i].mean() for i in range(3)],
    )  # fmt: skip


def _from_file(oracle, kind, maps):
    """A pysaliency model that gives these maps; it knows a picture by the colour that fills it."""

    class Given(kind):
        def _saliency_map(self, stimulus):
            return maps[int(stimulus[0, 0, 0])]

        _log_density = _saliency_map

    return Given()


def test_pysaliency_agrees_on_auc_and_nss(oracle):
    model = _from_file(oracle, oracle.package.SaliencyMapModel, [c.s for c in oracle.scenes])
    seen = (oracle.stimuli, oracle.fixations)
    for i, (c, auc, shuffled, nss) in enumerate(
        zip(
            oracle.scenes,
            oracle.means(model.AUCs(*seen)),
            oracle.means(model.AUCs(*seen, nonfixations="shuffled")),
            oracle.means(model.NSSs(*seen)),
            strict=True,
        )
    ):
        _close(scores.auc(c.s, c.y, c.x), auc)
        _close(scores.nss(c.s, c.y, c.x), nss)
        _close(scores.shuffled_auc(c.s, c.y, c.x, *scores.others(oracle.scenes, i)), shuffled)


def test_pysaliency_agrees_on_information_gain(oracle):
    kind = oracle.package.Model
    models = [_from_file(oracle, kind, [c.logs[i] for c in oracle.scenes]) for i in range(2)]
    seen = (oracle.stimuli, oracle.fixations)
    gains = oracle.means(models[0].information_gains(*seen, baseline_model=models[1]))
    uniform = oracle.means(models[0].information_gains(*seen))
    for c, gain, likelihood in zip(oracle.scenes, gains, uniform, strict=True):
        _close(scores.information_gain(*c.logs, c.y, c.x), gain)
        _close(scores.log_likelihood(c.logs[0], c.y, c.x), likelihood)


def test_pysaliency_agrees_on_cc_sim_kld(oracle):
    for c in oracle.scenes:
        for s in (c.s, np.exp(c.logs[0]), np.zeros(c.size), c.truth):
            _close(scores.cc(s, c.truth), oracle.package.metrics.CC(s, c.truth))
            _close(scores.similarity(s, c.truth), oracle.package.metrics.SIM(s, c.truth))
            with np.errstate(divide="ignore"):  # it takes the logarithm of 0
                wanted = oracle.package.metrics.MIT_KLDiv(s, c.truth)
            _close(scores.kl_divergence(s, c.truth), wanted)


# --------------------------------------------------------------------------------------- negatives


def test_others_are_scaled_and_the_own_stay_out():
    a, b, c = (_scene(i, size) for i, size in enumerate([(9, 14), (18, 14), (9, 7)]))
    y, x = scores.others([a, b, c], 0)
    np.testing.assert_allclose(y, np.concatenate([b.y / 2, c.y]))
    np.testing.assert_allclose(x, np.concatenate([b.x, 2 * c.x]))


@given(st.integers(1, 5000), st.integers(1, 5000))
@settings(max_examples=300, deadline=None)
def test_others_stay_inside(of, to):
    edge = np.nextafter(of, 0)  # the last number below the height, where rounding could reach it
    seen = SimpleNamespace(y=np.array([edge]), x=np.array([0.0]), size=(of, of))
    y, x = scores.others([SimpleNamespace(y=[0], x=[0], size=(to, to)), seen], 0)
    assert to - 1e-9 < y[0] < to
    assert x[0] == 0


def test_pictures_without_fixations_give_no_negatives():
    a, empty = _scene(), SimpleNamespace(y=[], x=[], size=(3, 3))
    np.testing.assert_array_equal(scores.others([empty, a, empty], 2)[0].size, a.y.size)
    with pytest.raises(errors.FixationError, match="None of the other 1 recordings has one"):
        scores.others([a, empty], 0)


# ---------------------------------------------------------------------------------- what is refused

_MAP, _LOG = np.arange(6.0).reshape(2, 3), np.full((2, 3), -np.log(6))
_BY_FIXATIONS = {
    "auc": lambda s, y, x: scores.auc(s, y, x),
    "shuffled_auc": lambda s, y, x: scores.shuffled_auc(s, y, x, [0], [0]),
    "negatives": lambda s, y, x: scores.shuffled_auc(s, [0], [0], y, x),
    "nss": lambda s, y, x: scores.nss(s, y, x),
    "log_likelihood": lambda s, y, x: scores.log_likelihood(_like_log(s), y, x),
    "information_gain": lambda s, y, x: scores.information_gain(_LOG, _like_log(s), y, x),
}
_BY_TRUTH = {name: getattr(scores, name) for name in ("cc", "similarity", "kl_divergence")}


def _like_log(s):
    return _LOG if s is _MAP else s


def _refused(match, call, *args):
    with pytest.raises(errors.FixationError, match=match) as caught:
        call(*args)
    assert isinstance(caught.value, ValueError)
    assert all([caught.value.what, caught.value.got, caught.value.fix, caught.value.read])


@pytest.mark.parametrize("name", _BY_FIXATIONS)
def test_fixations_that_cannot_be_used_are_refused(name):
    call = _BY_FIXATIONS[name]
    call(_MAP, [1.99], [2.99])  # the last pixel
    whose = "fixations of other pictures" if name == "negatives" else "fixations"
    _refused(rf"Expected {whose} as y .* Got shapes \(0,\) and \(0,\)", call, _MAP, [], [])
    _refused(r"Got shapes \(2,\) and \(1,\)", call, _MAP, [0, 1], [0])
    _refused(r"Got shapes \(\) and \(\)", call, _MAP, 0, 0)
    for y, x in ((2.0, 0.0), (0.0, 3.0), (-0.01, 0.0), (0.0, -1.0), (np.nan, 0.0), (0.0, np.inf)):
        _refused(
            r"2 by 3 pixels .* 1 of 2 do not; the first, number 1, is at", call, _MAP,
            [0, y], [0, x],
        )  # fmt: skip


@pytest.mark.parametrize("name", [*_BY_FIXATIONS, *_BY_TRUTH])
def test_maps_that_cannot_be_used_are_refused(name):
    by_fixations = _BY_FIXATIONS.get(name)

    def call(s):
        return by_fixations(s, [0], [0]) if by_fixations else _BY_TRUTH[name](s, _MAP)

    for bad in (np.nan, np.inf, -np.inf):
        wrong = _LOG.copy() if "log" in name or "gain" in name else _MAP.copy()
        wrong[1, 2] = bad
        _refused(rf"1 of 6 values .* \(y, x\) = \(1, 2\), is {bad}", call, wrong)
    for shape in ((), (6,), (1, 2, 3), (2, 3, 1), (0, 3)):
        _refused("Got shape", call, np.ones(shape))


@pytest.mark.parametrize("name", _BY_TRUTH)
def test_a_truth_that_is_none_is_refused(name):
    call = _BY_TRUTH[name]
    _refused(r"the truth to have .* \(2, 3\)\. Got shape \(3, 2\)", call, _MAP, _MAP.T)
    _refused("the truth to be a density .* down to -1", call, _MAP, _MAP - 1)
    _refused("Expected the truth to be finite", call, _MAP, np.full((2, 3), np.nan))
    if name != "cc":
        _refused("the truth .* Got 0 everywhere", call, _MAP, np.zeros((2, 3)))
        _refused("the saliency map .* down to -2", call, _MAP - 2, _MAP)


def test_what_is_no_log_density_is_refused():
    assert abs(scores.log_likelihood(_LOG.astype(np.float32), [0], [0])) < 1e-6
    _refused("sum to 1.002", scores.log_likelihood, _LOG + 0.002, [0], [0])
    _refused("sum to .*inf", scores.log_likelihood, _LOG + 1e5, [0], [0])
    for both in ((_MAP, _LOG), (_LOG, np.exp(_LOG))):
        _refused("natural logarithm", scores.information_gain, *both, [0], [0])
    _refused("the baseline to have the shape", scores.information_gain, _LOG, _LOG.T, [0], [0])


# ------------------------------------------------------------------------------- ------- dtypes


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, bool])
def test_everything_is_computed_in_float64(dtype):
    c = _scene()
    s, truth = (c.s * 20).astype(dtype), (c.truth * 1000).astype(dtype)
    before = [s.copy(), truth.copy()]
    for name, args in (("auc", (c.y, c.x)), ("nss", (c.y, c.x)), ("cc", (truth,)),
                       ("similarity", (truth,)), ("kl_divergence", (truth,))):  # fmt: skip
        wide = [a.astype(np.float64) for a in args]
        result = getattr(scores, name)(s, *args)
        assert type(result) is float
        assert result == getattr(scores, name)(s.astype(np.float64), *wide)
    np.testing.assert_array_equal(s, before[0])
    np.testing.assert_array_equal(truth, before[1])

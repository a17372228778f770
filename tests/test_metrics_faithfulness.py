"""Metrics that run a score: known values, laws and their mutants. No Keras, plain functions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import planted
import pytest
from planted import INSIDE, PIXELS, score

from keras_saliency.metrics import curves, faithfulness, infidelity, inputs, road

pytestmark = pytest.mark.no_model

FUNCTIONS = {
    name: getattr(module, name)
    for module, names in {
        curves: [
            "deletion",
            "insertion",
            "deletion_curves",
            "insertion_curves",
            "average_drop",
            "increase_in_confidence",
        ],
        faithfulness: ["sensitivity_n", "mu_fidelity", "completeness_error"],
        infidelity: ["infidelity", "max_sensitivity"],
        road: ["road", "removals", "impute"],
        inputs: ["highest_first"],
    }.items()
    for name in names
}
REAL = SimpleNamespace(**FUNCTIONS)
FACTORS = 1 + np.arange(3)  # of the planted score, by row


def _close(result, wanted, tolerance=1e-10):
    np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------------- laws


def areas_are_known(m):
    images, x = planted.pictures(), {"steps": PIXELS}
    early = INSIDE / PIXELS / 2  # the score falls evenly while the first pixels go
    for maps, result, area in (
        (planted.right(), m.deletion, early),
        (planted.wrong(), m.deletion, 1 - early),
        (planted.right(), m.insertion, 1 - early),
        (planted.wrong(), m.insertion, early),
    ):
        _close(result(score, images, maps, 0.0, **x), FACTORS * area)


def curves_start_and_end_where_they_should(m):
    images, maps = planted.pictures(), planted.noise()
    down = m.deletion_curves(score, images, maps, 0.25, steps=7)
    up = m.insertion_curves(score, images, maps, 0.25, steps=7)
    assert down.scores.shape == up.scores.shape == (3, 8)
    _close(down.shares, np.rint(np.linspace(0, PIXELS, 8)) / PIXELS)
    _close(down.scores[:, 0], FACTORS)
    _close(down.scores[:, -1], FACTORS * 0.25)
    _close(up.scores[:, ::-1][:, [0, -1]], down.scores[:, [0, -1]])


def a_step_replaces_the_highest(m):
    images = np.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    seen = []

    def keep(given, rows):
        seen.extend(given[..., 0].ravel().reshape(-1, 4).tolist())
        return np.zeros(len(rows))

    m.deletion_curves(keep, images, np.array([[[0.1, -3], [9, 0]]]), -1.0, steps=4)
    assert seen == [[1, 2, 3, 4], [1, 2, -1, 4], [-1, 2, -1, 4], [-1, 2, -1, -1], [-1] * 4]


def unequal_steps_count_by_their_width(m):
    # 10 pixels in 4 steps: 2, 3, 3, 2 of them (0, 2, 5, 8, 10).
    images = np.ones((1, 1, 10, 1))
    result = m.deletion(lambda i, _: i.sum(axis=(1, 2, 3)), images, images[..., 0], 0.0, steps=4)
    _close(result, 5.0)


def monotone_maps_are_one(m):
    images, maps = planted.pictures(), planted.noise()
    for grown in (np.exp(maps), maps**3, 1e6 * maps - 5):
        for name in ("deletion", "insertion"):
            run = getattr(m, name)
            _close(run(score, images, grown, 0.0), run(score, images, maps, 0.0))
        _close(m.road(score, images, grown), m.road(score, images, maps))


def scaled_maps_are_one(m):
    images, maps = planted.pictures(), planted.noise()
    for factor in (3.0, 1e-200, 1e200):
        scaled = factor * maps
        for name in ("sensitivity_n", "mu_fidelity"):
            run = getattr(m, name)
            _close(run(score, images, scaled, 0.0), run(score, images, maps, 0.0))
        _close(m.average_drop(score, images, scaled, 0.0), m.average_drop(score, images, maps, 0.0))
    for factor in (3.0, 1e-20):
        result = m.infidelity(score, images, factor * maps, 0.0, normalize=True)
        _close(result, m.infidelity(score, images, maps, 0.0, normalize=True))
        assert (result > 0).all()


def ties_go_in_no_order_of_place(m):
    flat = np.zeros((2, 8, 8))
    order = m.highest_first(flat, 0)
    assert sorted(order[0]) == list(range(64))
    np.testing.assert_array_equal(order[0], order[1])
    assert abs(np.corrcoef(order[0], np.arange(64))[0, 1]) < 0.4
    assert (order != m.highest_first(flat, 1)).any()
    np.testing.assert_array_equal(m.highest_first(-flat, 0), order)
    few = np.random.default_rng(0).integers(0, 3, (1, 8, 8)) - 1.0
    wanted = sorted(order[0], key=lambda pixel: -few.flat[pixel])
    np.testing.assert_array_equal(m.highest_first(few, 0)[0], wanted)


def a_constant_map_is_chance(m):
    images = planted.pictures()
    for value in (0.0, 0.1, -7.0):  # the mean of many 0.1 is not 0.1
        flat = np.full((3, 12, 12), value)
        _close(m.deletion(score, images, flat, 0.0), FACTORS / 2, 0.15)
        _close(m.insertion(score, images, flat, 0.0), FACTORS / 2, 0.15)
        assert (m.road(score, images, flat) == 0).all()
        assert (m.sensitivity_n(score, images, flat, 0.0) == 0).all()
        assert (m.mu_fidelity(score, images, flat, 0.0, grid_size=6) == 0).all()
        shown = m.average_drop(score, images, flat, 0.0)
        _close(shown, 0.0 if value > 0 else 100.0)


def a_score_that_does_not_move_is_no_evidence(m):
    images, maps = planted.pictures(), planted.noise()
    jitter = iter(np.random.default_rng(0).uniform(-1e-7, 1e-7, 10**5))

    def still(given, rows):
        return np.array([0.7 * (1 + next(jitter)) for _ in rows])  # as float32 rounds

    assert (m.sensitivity_n(still, images, maps, 0.0) == 0).all()
    assert (m.mu_fidelity(still, images, maps, 0.0) == 0).all()
    zero = lambda given, rows: np.zeros(len(rows))  # noqa: E731
    assert (m.road(zero, images, maps) == 0).all()
    assert (m.average_drop(zero, images, maps, 0.0) == 0).all()
    assert (m.increase_in_confidence(zero, images, maps, 0.0) == 0).all()
    assert (m.infidelity(zero, images, maps, 0.0, normalize=True) < 1e-20).all()
    assert np.isnan(m.completeness_error(still, images, maps, 0.0)).all()
    for rounding in (0.0, 1e-9):
        assert (m.completeness_error(still, images, rounding * maps, 0.0) == 0).all()


def a_gap_of_zero_has_no_relative_error(m):
    images = planted.pictures()
    zero = lambda given, rows: np.zeros(len(rows))  # noqa: E731
    nothing, something = np.zeros((3, 12, 12)), np.ones((3, 12, 12))
    assert (m.completeness_error(zero, images, nothing, 0.0) == 0).all()
    assert np.isnan(m.completeness_error(zero, images, something, 0.0)).all()


def complete_attributions_are_faithful(m):
    images = planted.pictures()
    exact = planted.contributions(images)
    _close(m.completeness_error(score, images, exact, 0.0), 0.0)
    _close(m.completeness_error(score, images, 1.5 * exact, 0.0), 0.5)
    for one in (exact, exact.sum(-1)):
        for n in (1, 20, 0.3):
            _close(m.sensitivity_n(score, images, one, 0.0, n=n), 1.0)
            _close(m.sensitivity_n(score, images, -one, 0.0, n=n), -1.0)
        _close(m.mu_fidelity(score, images, one, 0.0, grid_size=5, subset=0.4), 1.0)
        _close(m.infidelity(score, images, one, 0.0, contributions=True), 0.0)
        _close(m.infidelity(score, images, 9 * one, 0.0, contributions=True, normalize=True), 0.0)
        assert (m.infidelity(score, images, 9 * one, 0.0, contributions=True) > 0.1).all()
        for scale in (True, "positive"):
            options = {"contributions": True, "normalize": scale}
            _close(m.infidelity(score, images, 9 * one, 0.0, **options), 0.0)
        nothing = m.infidelity(score, images, 0 * one, 0.0, contributions=True)
        _close(m.infidelity(score, images, -one, 0.0, **options), nothing)  # as good as none
    gradient = exact / images
    for kind in ("square", "gaussian"):
        _close(m.infidelity(score, images, gradient, 0.3, perturbation=kind), 0.0)
    _close(m.infidelity(score, images, gradient[..., 0], 0.3), 0.0)  # the same for both channels
    assert (m.infidelity(score, images, exact + 1, 0.0) > 0.1).all()


def attributions_of_nothing_miss_the_change(m):
    images, nothing = planted.pictures(), np.zeros((3, 12, 12))
    mean_square = m.infidelity(score, images, nothing, 0.0)
    _close(m.infidelity(score, images, nothing, 0.0, normalize=True), mean_square)
    _close(mean_square / FACTORS**2, mean_square[0])
    assert mean_square[0] > 0.01


def drops_are_percents_of_what_there_was(m):
    images = np.ones((3, 1, 4, 1))
    maps = np.array([[[2.0, 1, 0, -5]], [[-1.0, -2, 0, -3]], [[3.0, 3, 3, 3]]])
    mean = lambda given, rows: given.mean(axis=(1, 2, 3))  # noqa: E731
    _close(m.average_drop(mean, images, maps, 0.0), [62.5, 100.0, 0.0])
    _close(m.average_drop(mean, images, maps, 2.0), [0.0, 0.0, 0.0])  # a rise is no drop
    _close(m.increase_in_confidence(mean, images, maps, 2.0), [100.0, 100.0, 0.0])
    _close(m.increase_in_confidence(mean, images, maps, 0.0), 0.0)


def right_beats_noise_beats_wrong(m):
    images = planted.pictures()
    right, chance, wrong = (
        {
            "deletion": -m.deletion(score, images, maps, 0.0),
            "insertion": m.insertion(score, images, maps, 0.0),
            "road": m.road(score, images, maps),
            "n": m.sensitivity_n(score, images, maps, 0.0),
            "mu": m.mu_fidelity(score, images, maps, 0.0, grid_size=6),
        }
        for maps in (planted.right(), planted.noise(), planted.wrong())
    )
    for name in right:
        assert (right[name] > chance[name]).all(), name
        assert (chance[name] > wrong[name]).all(), name
    _close(right["road"], -wrong["road"])


def removal_is_seen_in_what_is_left(m):
    images = planted.pictures(channels=1)
    result = m.removals(score, images, planted.right(), removed=(INSIDE / PIXELS * 100,), noise=0)
    _close(result.least_first[:, 0], FACTORS)  # nothing of the patch was touched
    assert (result.most_first[:, 0] < 0.8 * FACTORS).all()
    _close(m.road(score, images, planted.right(), removed=(50, 10), noise=0.0),
           m.road(score, images, planted.right(), removed=(10, 50), noise=0.0))  # fmt: skip


def guessed_pixels_are_means_of_their_neighbours(m):
    ramp = np.add.outer(3.0 * np.arange(9), np.arange(7))[..., None] * [1, -2]
    lost = np.zeros((9, 7), bool)
    lost[3:6, 2:5] = True
    _close(m.impute(ramp, lost), ramp)  # a plane is its own mean, away from the edge
    corner = np.arange(4.0).reshape(2, 2, 1)
    lost = np.array([[True, False], [False, False]])
    _close(m.impute(corner, lost)[0, 0], (2 * 1 + 2 * 2 + 1 * 3) / 5)
    np.testing.assert_array_equal(m.impute(corner, ~(lost | ~lost)), corner)


def the_largest_change_of_the_map_counts(m):
    images = planted.pictures(channels=1) * [[[[1.0]]], [[[2.0]]], [[[4.0]]]]
    calls = []

    def linear(given):
        calls.append(given)
        return given[..., 0] * 5

    result = m.max_sensitivity(linear, images, radius=0.1, samples=6, seed=3)
    assert len(calls) == 7
    norms = [np.linalg.norm((c - images).reshape(3, -1), axis=1) for c in calls]
    _close(result, np.max(norms, axis=0) / np.linalg.norm(images.reshape(3, -1), axis=1))
    span = np.ptp(images, axis=(1, 2, 3))
    furthest = np.max([np.abs(c - images).max(axis=(1, 2, 3)) for c in calls], axis=0)
    assert (furthest <= 0.1 * span).all()
    assert (furthest > 0.095 * span).all()
    assert (m.max_sensitivity(lambda given: np.ones(given.shape[:3]), images) == 0).all()
    first = iter([0.0] + [0.5] * 10)  # the map of the picture is 0: divided by 1
    _close(m.max_sensitivity(lambda given: np.full(given.shape[:3], next(first)), images), 6.0)


def _negated(run):
    return lambda *args, **kwargs: -run(*args, **kwargs)


def _raster_order(maps, seed):
    return np.argsort(-maps.reshape(len(maps), -1), axis=1, kind="stable")


def _by_magnitude(run):
    return lambda s, images, maps, *args, **kwargs: run(s, images, np.abs(maps), *args, **kwargs)


def _mean_over_steps(*args, **kwargs):
    return curves.deletion_curves(*args, **kwargs).scores[:, :-1].mean(axis=1)


def _with(name, **changed):
    return lambda *args, **kwargs: FUNCTIONS[name](*args, **{**kwargs, **changed})


def _nearest(image, missing):
    filled = np.array(image)
    filled[missing] = filled[~missing].mean(axis=0)
    return filled


def _mean_sensitivity(attribute, images, radius=0.02, samples=10, seed=0):
    runs = [
        infidelity.max_sensitivity(attribute, images, radius=radius, samples=1, seed=s)
        for s in range(samples)
    ]
    return np.mean(runs, axis=0)


def _gap_or_tiny(s, images, values, baseline):
    gap = s(images, np.arange(len(images))) - s(images * 0, np.arange(len(images)))
    return np.abs(values.reshape(len(values), -1).sum(1) - gap) / np.maximum(np.abs(gap), 1e-30)


def _plain_pearson(s, images, maps, *args, **kwargs):
    return FUNCTIONS["sensitivity_n"](
        lambda i, r: s(i, r) + 1e3 * i[:, 0, 0, 0], images, maps, *args, **kwargs
    )


# A law, what is made wrong, and how.
MUTANTS = {
    areas_are_known: ("deletion", _by_magnitude(curves.deletion)),
    curves_start_and_end_where_they_should: ("insertion_curves", curves.deletion_curves),
    a_step_replaces_the_highest: ("deletion_curves", _by_magnitude(curves.deletion_curves)),
    unequal_steps_count_by_their_width: ("deletion", _mean_over_steps),
    monotone_maps_are_one: ("insertion", _by_magnitude(curves.insertion)),
    scaled_maps_are_one: ("infidelity", _with("infidelity", normalize=False)),
    ties_go_in_no_order_of_place: ("highest_first", _raster_order),
    a_constant_map_is_chance: (
        "road", lambda s, i, maps: road.road(s, i, maps + 1e-9 * np.arange(144).reshape(12, 12))
    ),
    a_score_that_does_not_move_is_no_evidence: ("sensitivity_n", _plain_pearson),
    a_gap_of_zero_has_no_relative_error: ("completeness_error", _gap_or_tiny),
    complete_attributions_are_faithful: (
        "infidelity", lambda *a, **k: infidelity.infidelity(*a, **{**k, "contributions": False})
    ),
    attributions_of_nothing_miss_the_change: (
        "infidelity", lambda *a, normalize=False: infidelity.infidelity(*a) * (1 - normalize)
    ),
    drops_are_percents_of_what_there_was: ("average_drop", _by_magnitude(curves.average_drop)),
    right_beats_noise_beats_wrong: ("road", _negated(road.road)),
    removal_is_seen_in_what_is_left: (
        "removals", lambda s, i, maps, **k: road.removals(s, i, -maps, **k)
    ),
    guessed_pixels_are_means_of_their_neighbours: ("impute", _nearest),
    the_largest_change_of_the_map_counts: ("max_sensitivity", _mean_sensitivity),
}  # fmt: skip
LAWS = list(MUTANTS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(REAL)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_rejects_its_mutant(law):
    name, mutant = MUTANTS[law]
    with pytest.raises(AssertionError):
        law(SimpleNamespace(**{**FUNCTIONS, name: mutant}))


def test_a_share_of_pixels_is_their_count():
    images, maps = planted.pictures(), planted.noise()
    run = faithfulness.sensitivity_n
    _close(run(score, images, maps, 0.0, n=0.25), run(score, images, maps, 0.0, n=36))
    assert (run(score, images, maps, 0.0, n=0.25) != run(score, images, maps, 0.0, n=35)).all()

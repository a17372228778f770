"""Localisation: known values, laws and their mutants, boxes, localization."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import planted
import pytest

from keras_saliency import errors
from keras_saliency.metrics import localization

pytestmark = pytest.mark.no_model

FUNCTIONS = {name: getattr(localization, name) for name in localization.__all__}
SHARE = planted.INSIDE / planted.PIXELS
MASKS = np.stack([planted.PATCH] * 3)


def _close(result, wanted, tolerance=1e-12):
    np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance)


def _dots(*places, size=(12, 12)):
    """One map a place, 1 there and 0 elsewhere."""
    maps = np.zeros((len(places), *size))
    for one, place in zip(maps, places, strict=True):
        one[place] = 1.0
    return maps


# ------------------------------------------------------------------------------------------- laws


def the_truth_is_best(m):
    for maps in (planted.right(), MASKS.astype(float), 1e-300 * MASKS, 1e300 * planted.right()):
        assert (m.pointing_game(maps, MASKS, tolerance=0) == 1).all()
        _close(m.overlap(maps, MASKS), 1.0)
    _close(m.energy_inside(MASKS * 1e300, MASKS), 1.0)
    _close(m.overlap(MASKS * 3.0, MASKS, level=0.5), 1.0)


def a_miss_is_worst(m):
    maps = planted.wrong()
    assert (m.pointing_game(maps, MASKS, tolerance=0) == 0).all()
    _close(m.overlap(maps, MASKS), 0.0)
    _close(m.energy_inside(~MASKS * 1.0, MASKS), 0.0)
    _close(m.overlap(~MASKS * 1.0, MASKS, level=0.5), 0.0)


def a_constant_map_is_chance(m):
    for value in (0.1, 7.0):
        flat = np.full(MASKS.shape, value)
        _close(m.pointing_game(flat, MASKS, tolerance=0), SHARE)
        _close(m.energy_inside(flat, MASKS), SHARE)
        _close(m.overlap(flat, MASKS, level=0.5), SHARE)
        assert (np.abs(m.overlap(flat, MASKS) - SHARE / (2 - SHARE)) < 0.1).all()
        _close(m.grid_pointing_game(flat, [0, 1, 3]), 0.25)


def a_map_without_positive_values_points_nowhere(m):
    for maps in (np.zeros(MASKS.shape), -planted.right()):
        assert (m.energy_inside(maps, MASKS) == 0).all()
        assert (m.overlap(maps, MASKS, level=0.5) == 0).all()
        assert (m.grid_pointing_game(maps, [0, 1, 2]) == 0).all()


def tolerance_is_a_distance(m):
    # The patch's corner is (2, 5); its edges are rows 2 to 5, columns 5 to 8.
    maps, mask = _dots((0, 5), (0, 3), (9, 6), (3, 3)), np.stack([planted.PATCH] * 4)
    _close(m.pointing_game(maps, mask, tolerance=2), [1, 0, 0, 1])
    _close(m.pointing_game(maps, mask, tolerance=2.9), [1, 1, 0, 1])
    _close(m.pointing_game(maps, mask, tolerance=4), [1, 1, 1, 1])
    _close(m.pointing_game(maps, mask), 1)


def equal_peaks_share_the_hit(m):
    maps = np.zeros((1, 12, 12))
    maps[0, [0, 3, 11], [0, 6, 11]] = 2.0
    _close(m.pointing_game(maps, MASKS[:1], tolerance=0), 1 / 3)


def negative_values_do_not_count(m):
    maps = np.where(MASKS, 3.0, -1.0)
    maps[:, 0, 0] = 16.0
    _close(m.energy_inside(maps, MASKS), 0.75)


def a_level_is_a_share_of_the_peak(m):
    maps = np.array([[[4.0, 2.0, 1.0, -8.0]]])
    inside = np.array([[[True, False, False, False]]])
    _close(m.overlap(maps, inside, level=0.5), 1 / 2)
    _close(m.overlap(maps, inside, level=0.51), 1.0)
    _close(m.overlap(maps, inside, level=0.25), 1 / 3)


def as_many_pixels_as_the_object_has(m):
    maps = np.array([[[4.0, 2.0, 1.0, -8.0, -9.0]]])
    inside = np.array([[[False, True, True, False, False]]])
    _close(m.overlap(maps, inside), 1 / 3)


def monotone_maps_are_one(m):
    maps = planted.noise()
    for grown in (np.exp(maps), maps**3, 1e6 * maps - 5):
        _close(m.overlap(grown, MASKS), m.overlap(maps, MASKS))
        result, wanted = (m.pointing_game(x, MASKS, tolerance=1) for x in (grown, maps))
        _close(result, wanted)
    for grown in (3 * maps, 1e-300 * maps, 1e300 * maps):
        _close(m.energy_inside(grown, MASKS), m.energy_inside(maps, MASKS))
        _close(m.overlap(grown, MASKS, level=0.3), m.overlap(maps, MASKS, level=0.3))
        cells = [0, 3, 1]
        _close(m.grid_pointing_game(grown, cells), m.grid_pointing_game(maps, cells))


def boxes_hold_the_centres_in_them(m):
    result = m.box_masks([(0, 1, 2, 3), (0.5, 0.5, 1.5, 1.5), (1, -9, 99, 99)], (3, 4))
    assert result.dtype == bool
    assert [np.argwhere(one).tolist() for one in result[:2]] == [
        [[0, 1], [0, 2], [1, 1], [1, 2]],
        [[0, 0]],
    ]
    assert result[2].tolist() == [[False] * 4, [True] * 4, [True] * 4]
    two = m.box_masks([[(0, 0, 1, 1), (2, 3, 3, 4)]], (3, 4))
    assert np.argwhere(two[0]).tolist() == [[0, 0], [2, 3]]


def a_box_is_its_mask(m):
    maps = planted.noise()
    for name, options in (
        ("pointing_game", {"tolerance": 1}), ("energy_inside", {}), ("overlap", {}),
        ("overlap", {"level": 0.4}),
    ):  # fmt: skip
        run = getattr(m, name)
        wanted = run(maps, MASKS, **options)
        np.testing.assert_array_equal(run(maps, [planted.BOX] * 3, **options), wanted)
        np.testing.assert_array_equal(run(maps, np.array([planted.BOX] * 3), **options), wanted)
        np.testing.assert_array_equal(run(maps, [[planted.BOX]] * 3, **options), wanted)
        several = np.array([[planted.BOX, planted.BOX]] * 3)
        np.testing.assert_array_equal(run(maps, several, **options), wanted)


def a_batch_is_its_singles(m):
    maps, masks = planted.noise(), MASKS.copy()
    masks[1], masks[2] = masks[1].T, np.roll(masks[2], 3, axis=1)
    for name, options in (
        ("pointing_game", {"tolerance": 2}), ("energy_inside", {}), ("overlap", {}),
        ("overlap", {"level": 0.4}),
    ):  # fmt: skip
        run = getattr(m, name)
        together = run(maps, masks, **options)
        assert together.shape == (3,)
        assert together.dtype == np.float64
        singles = [run(maps[i : i + 1], masks[i : i + 1], **options)[0] for i in range(3)]
        _close(together, singles)


def a_mosaic_goes_row_by_row(m):
    images = np.random.default_rng(0).random((9, 4, 5, 3)).astype(np.float32)
    result = m.mosaic(images)
    assert result.shape == (12, 15, 3)
    assert result.dtype == np.float32
    for number, image in enumerate(images):
        top, left = number // 3 * 4, number % 3 * 5
        np.testing.assert_array_equal(result[top : top + 4, left : left + 5], image)


def a_cell_is_where_its_picture_is(m):
    for grid, size in ((2, (4, 6)), (3, (6, 9))):
        for cell in range(grid * grid):
            lit = np.zeros((grid * grid, size[0] // grid, size[1] // grid, 1))
            lit[cell] = 2.0
            maps = FUNCTIONS["mosaic"](lit)[None, ..., 0] - 0.5  # the rest is negative
            shares = [m.grid_pointing_game(maps, [c], grid=grid)[0] for c in range(grid * grid)]
            _close(shares, np.eye(grid * grid)[cell])


def _box_edge_pointing(maps, inside, tolerance=15):
    """A tolerance in each direction instead of a distance."""
    reach = int(tolerance)
    hits = []
    for one, mask in zip(maps, np.asarray(inside), strict=True):
        y, x = np.unravel_index(one.argmax(), one.shape)
        near = mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        hits.append(float(near.any()))
    return np.array(hits)


def _first_peak(maps, inside, tolerance=15):
    first = np.zeros_like(maps)
    for one, peak in zip(first, maps.reshape(len(maps), -1).argmax(axis=1), strict=True):
        one.flat[peak] = 1.0
    return localization.pointing_game(first, inside, tolerance=tolerance)


def _of_absolute(name):
    return lambda maps, *args, **options: FUNCTIONS[name](np.abs(maps), *args, **options)


def _per_batch(maps, inside, **options):
    joined = localization.overlap(
        maps.reshape(1, -1, 12), np.asarray(inside).reshape(1, -1, 12), **options
    )
    return np.repeat(joined, len(maps))


# A law, what is made wrong, and how.
MUTANTS = {
    the_truth_is_best: ("overlap", lambda maps, inside, level=None: localization.overlap(
        maps, inside, level=level or 0.5)),
    a_miss_is_worst: ("pointing_game", _of_absolute("pointing_game")),
    a_constant_map_is_chance: ("pointing_game", _first_peak),
    a_map_without_positive_values_points_nowhere: ("energy_inside", _of_absolute("energy_inside")),
    tolerance_is_a_distance: ("pointing_game", _box_edge_pointing),
    equal_peaks_share_the_hit: ("pointing_game", _first_peak),
    negative_values_do_not_count: ("energy_inside", _of_absolute("energy_inside")),
    a_level_is_a_share_of_the_peak: ("overlap", lambda maps, inside, level: localization.overlap(
        maps - maps.min(), inside, level=level)),
    as_many_pixels_as_the_object_has: ("overlap", _of_absolute("overlap")),
    monotone_maps_are_one: ("overlap", lambda maps, inside, level=0.5: localization.overlap(
        maps, inside, level=level)),
    boxes_hold_the_centres_in_them: ("box_masks", lambda boxes, size: localization.box_masks(
        [np.asarray(box)[..., [1, 0, 3, 2]] for box in boxes], size)),
    a_box_is_its_mask: ("overlap", lambda maps, inside, **options: localization.overlap(
        maps, inside if inside is MASKS else np.add(inside, [0, 0, 0, 1]), **options)),
    a_batch_is_its_singles: ("overlap", _per_batch),
    a_mosaic_goes_row_by_row: ("mosaic", lambda images: localization.mosaic(
        images.reshape(3, 3, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape))),
    a_cell_is_where_its_picture_is: (
        "grid_pointing_game", lambda maps, cells, grid: localization.grid_pointing_game(
            maps, [c % grid * grid + c // grid for c in cells], grid=grid)),
}  # fmt: skip
LAWS = list(MUTANTS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(SimpleNamespace(**FUNCTIONS))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_rejects_its_mutant(law):
    name, mutant = MUTANTS[law]
    with pytest.raises(AssertionError):
        law(SimpleNamespace(**FUNCTIONS | {name: mutant}))


# ------------------------------------------------------------------------------ what is refused


def _refused(match, call, *args, **options):
    with pytest.raises(errors.MetricError, match=match) as caught:
        call(*args, **options)
    assert all([caught.value.what, caught.value.got, caught.value.fix, caught.value.read])


_BY_TRUTH = [localization.pointing_game, localization.energy_inside, localization.overlap]


@pytest.mark.parametrize("call", _BY_TRUTH, ids=lambda call: call.__name__)
def test_truths_that_cannot_be_used_are_refused(call):
    maps, empty = planted.noise(), MASKS.copy()
    empty[1] = False
    _refused("hold a pixel .* Got 1 of 3 without one; the first is picture 1", call, maps, empty)
    _refused(r"bool and of the maps' shape \(3, 12, 12\)", call, maps, MASKS[:2])
    _refused(
        "boxes or masks of 3 pictures.* Got boxes of 2 pictures", call, maps, [planted.BOX] * 2
    )
    for box in ((1, 2, 3), (1, 2, 3, np.nan), "box", [[]], []):
        _refused("Expected a box .* for picture 1", call, maps, [planted.BOX, box, planted.BOX])
    for box in ((0, 20, 9, 30), (0.6, 0, 0.9, 9)):
        _refused(
            "holds a pixel's centre, for picture 2 .* Got",
            call,
            maps,
            [planted.BOX, planted.BOX, box],
        )
    _refused("picture 2.* is empty", call, maps, [planted.BOX, planted.BOX, (5, 0, 1, 9)])
    _refused("objects to be bool .* Got uint8", call, maps, MASKS.astype(np.uint8))
    _refused("boxes of 0 pictures", call, maps, None)
    _refused("Expected maps to be finite", call, np.where(MASKS, np.nan, maps), MASKS)
    _refused(r"maps.* \(12, 12\)", call, maps[0], MASKS)


def test_options_that_cannot_be_used_are_refused():
    maps = planted.noise()
    _refused("tolerance=-1", localization.pointing_game, maps, MASKS, tolerance=-1)
    for level in (0, 0.0, -0.1, 1.1, "high", np.nan):
        _refused("level=", localization.overlap, maps, MASKS, level=level)
    _refused("grid=1", localization.grid_pointing_game, maps, [0, 0, 0], grid=1)
    _refused(
        "5 by 5 cells. Got 12 by 12 pixels",
        localization.grid_pointing_game,
        maps,
        [0, 0, 0],
        grid=5,
    )
    for cells in ([0, 1, 4], [0, 1, -1], [0, 1], [0.0, 1.0, 2.0], 0):
        _refused("the number of a cell, 0 to 3", localization.grid_pointing_game, maps, cells)
    _refused("Got 5 pictures", localization.mosaic, np.ones((5, 2, 2, 1)))

"""The pipeline: pictures and fixations move together, and a seed decides everything."""

import dataclasses

import numpy as np
import pytest
from recordings import disc

from keras_saliency._inputs.geometry import Letterbox
from keras_saliency.errors import FixationError
from keras_saliency.fixation import maps
from keras_saliency.fixation.data import Augment, FixationBatches
from keras_saliency.fixation.data.pipeline import View, largest_on

pytestmark = pytest.mark.no_model

CANVAS = (64, 96)


def batches(count=10, **options):
    options = {"augment": Augment(), "shuffle": True, "seed": 3, **options}
    return FixationBatches([disc(i) for i in range(count)], [CANVAS], 4, **options)


def everything(data):
    return [data[i] for i in range(len(data))]


# ---------------------------------------------------------------------- what a batch is


def test_a_batch_is_pictures_with_nan_around_and_two_distributions():
    for pictures, truth in everything(batches()):
        assert pictures.shape == (4, *CANVAS, 3)
        assert pictures.dtype == truth.dtype == np.float32
        np.testing.assert_allclose(truth.sum((1, 2)), 1, rtol=1e-5)
        padding = np.isnan(pictures).any(-1)
        assert padding.any()
        assert not truth[padding].any()
        assert np.nanmin(pictures) >= 0
        assert np.nanmax(pictures) <= 255


def test_every_picture_is_shown_once_and_the_last_batch_is_filled_up():
    data = batches(count=10)
    numbers = [view.number for i in range(len(data)) for view in data.views(i)]
    assert len(numbers) == 12
    assert set(numbers) == set(range(10))
    plain = batches(count=10, augment=None, shuffle=False)
    assert [v.number for i in range(len(plain)) for v in plain.views(i)] == list(range(10))
    assert len(plain[len(plain) - 1][0]) == 2


def test_pictures_of_other_shapes_get_the_canvas_they_fill_best():
    recordings = [disc(0, (60, 80)), disc(1, (80, 60)), disc(2, (50, 50))]
    data = FixationBatches(recordings, [(64, 96), (96, 64)], 4)
    assert sorted(data[i][0].shape[1:3] for i in range(len(data))) == [(64, 96), (96, 64)]
    assert largest_on((50, 50), [(64, 96), (96, 64)]) == (64, 96)


def test_nothing_to_show_is_an_error():
    with pytest.raises(FixationError, match="0 recordings"):
        FixationBatches([], [CANVAS])
    unseen = dataclasses.replace(disc(1), y=np.array([]), x=np.array([]))
    with pytest.raises(FixationError, match="1 have no fixation, such as 'disc/001'"):
        FixationBatches([disc(0), unseen], [CANVAS])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"canvases": []}, "multiples of 32"),
        ({"canvases": [(64, 100)]}, "multiples of 32"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_no_such_batches(wrong, message):
    with pytest.raises(FixationError, match=message):
        FixationBatches([disc(0)], **{"canvases": [CANVAS], **wrong})


# ---------------------------------------------------------------------- determinism


def test_the_seed_decides_everything_and_a_batch_needs_no_other():
    first, again = batches(), batches()
    again.epoch = 5
    again.epoch = 0
    for i in reversed(range(len(first))):  # in any order
        for one, other in zip(first[i], again[i], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("change", [{"seed": 4}, {"epoch": 1}])
def test_other_seeds_and_epochs_give_other_batches(change):
    one, other = batches(), batches(seed=change.get("seed", 3))
    other.epoch = change.get("epoch", 0)
    assert any(
        not np.array_equal(a[0], b[0], equal_nan=True)
        for a, b in zip(everything(one), everything(other), strict=True)
    )


def test_keras_counts_the_epochs():
    data = batches()
    data.on_epoch_end()
    assert data.epoch == 1


# ---------------------------------------------------------------------- coordinates


def brightest(picture):
    disc = (picture[..., 0] > 200) & (picture[..., 2] < 100)
    return np.argwhere(disc).mean(0)


def centre(share):
    rows, columns = np.mgrid[: share.shape[0], : share.shape[1]]
    return np.array([(share * rows).sum(), (share * columns).sum()])


@pytest.mark.parametrize("seed", range(6))
def test_fixations_stay_on_what_was_looked_at(seed):
    data = batches(seed=seed)
    seen = 0
    for index in range(len(data)):
        pictures, truth = data[index]
        for picture, one, view in zip(pictures, truth, data.views(index), strict=True):
            if len(np.argwhere(np.nan_to_num(picture[..., 0]) > 200)) < 40:
                continue  # the window cut through the disc
            seen += 1
            away = np.abs(brightest(np.nan_to_num(picture)) - centre(one[..., 1]))
            assert away.max() < 6, view
    assert seen


def test_the_truth_of_the_whole_picture_is_the_density_of_the_moved_points():
    one, letterbox = disc(0, (60, 80)), Letterbox.fitted((60, 80), (120, 160))
    truth = View(0, letterbox).truth(one.y, one.x, one.sigma)
    wanted = maps.blurred(one.y * 2, one.x * 2, (120, 160), one.sigma * 2)
    np.testing.assert_allclose(truth[..., 0], wanted, atol=1e-8)
    counted = maps.counts(one.y * 2, one.x * 2, (120, 160)) / len(one.y)
    np.testing.assert_allclose(truth[..., 1], counted, atol=1e-8)


def test_mirrored_is_mirrored_to_the_pixel():
    one, letterbox = disc(1), Letterbox.fitted((60, 80), CANVAS)
    plain, mirrored = View(0, letterbox), View(0, letterbox, mirrored=True)
    np.testing.assert_array_equal(
        plain.picture(one.picture)[:, ::-1], mirrored.picture(one.picture)
    )
    np.testing.assert_array_equal(
        plain.truth(one.y, one.x, 3.0)[:, ::-1], mirrored.truth(one.y, one.x, 3.0)
    )
    np.testing.assert_array_equal(plain.mask()[:, ::-1], mirrored.mask())


def test_the_mask_is_where_the_picture_is():
    for view in batches(augment=None, shuffle=False).views(0):
        picture = view.picture(disc(0).picture)
        np.testing.assert_array_equal(view.mask()[..., 0] > 0, ~np.isnan(picture).any(-1))


def test_points_outside_the_window_go_and_the_rest_keep_their_place():
    letterbox = Letterbox.fitted((40, 40), (32, 32), (10.0, 0.0, 20.0, 20.0))
    y, x = letterbox.points(np.array([9.9, 10.0, 29.9, 30.0]), np.array([5.0, 5.0, 19.9, 5.0]))
    np.testing.assert_allclose(y, [0.0, 31.84], atol=1e-6)
    np.testing.assert_allclose(x, [8.0, 31.84], atol=1e-6)


def test_a_window_no_one_looked_into_is_not_shown():
    one = disc(0)
    draws = Augment(crop=1.0, smallest=0.1)
    for seed in range(40):
        view = draws.draw(0, one, CANVAS, np.random.default_rng(seed))
        assert len(view.letterbox.points(one.y, one.x)[0])


# ---------------------------------------------------------------------- features are cached by view


def test_every_view_is_every_view():
    data = batches().without_windows()
    known = set(data.every_view())
    assert len(known) == 20
    for epoch in range(4):
        data.epoch = epoch
        assert {view for i in range(len(data)) for view in data.views(i)} <= known


# ---------------------------------------------------------------------- the way back


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (33, 200), (64, 96)])
def test_undo_gives_a_density_of_the_picture(size):
    letterbox = Letterbox.fitted(size, CANVAS)
    rng = np.random.default_rng(0)
    canvas = np.full(CANVAS, -1e4)
    top, left, height, width = letterbox.box
    canvas[top : top + height, left : left + width] = rng.normal(size=(height, width))
    back = letterbox.undo(canvas, size)
    assert back.shape == size
    assert back.min() > -100
    assert np.exp(back).sum() == pytest.approx(1)


def test_undo_puts_a_peak_where_it_was():
    size = (90, 120)
    letterbox = Letterbox.fitted(size, CANVAS)
    y, x = letterbox.points(np.array([20.5]), np.array([100.5]))
    rows, columns = np.mgrid[: CANVAS[0], : CANVAS[1]] + 0.5
    canvas = -0.05 * ((rows - y) ** 2 + (columns - x) ** 2)
    peak = np.unravel_index(letterbox.undo(canvas, size).argmax(), size)
    assert np.abs(np.array(peak) - (20, 100)).max() <= 1

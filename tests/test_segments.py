"""Superpixels: labels of a picture, and XRAI's masks."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from scipy import ndimage

from keras_saliency._inputs import segments
from keras_saliency.errors import MethodError

pytestmark = pytest.mark.no_model

needs_skimage = pytest.mark.skipif(find_spec("skimage") is None, reason="needs 'superpixels'")


def _picture(height=48, width=40, channels=3, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(height, width, channels))
    return ndimage.gaussian_filter(drawn, (4, 4, 0))


def _halves():
    picture = np.zeros((48, 40, 3))
    picture[:, 17:] = (0.9, 0.2, 0.1)
    return picture


@needs_skimage
@pytest.mark.parametrize("how", ["slic", "felzenszwalb", 1, 7, 200])
@pytest.mark.parametrize("shape", [(48, 40, 3), (40, 48, 1), (30, 40, 5), (1, 3, 1), (1, 1, 3)])
@pytest.mark.filterwarnings("ignore:Got image with third dimension")
def test_labels_count_without_gaps(how, shape):
    labels = segments.of(how, _picture(*shape))
    assert labels.shape == shape[:2]
    assert labels.dtype == np.int64
    assert set(np.unique(labels)) == set(range(labels.max() + 1))


@needs_skimage
@pytest.mark.parametrize(("how", "count"), [("slic", 50), (7, 7), (20, 20), (1, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_slic_makes_about_as_many_as_asked_for(how, count, seed):
    for picture in (_picture(96, 96, seed=seed), _picture(96, 96, 1, seed), np.ones((96, 96, 3))):
        assert count / 2 < segments.of(how, picture).max() + 1 <= 1.5 * count


@needs_skimage
@pytest.mark.parametrize("how", ["slic", "felzenszwalb"])
def test_segments_keep_to_the_edge_in_the_picture(how):
    labels = segments.of(how, _halves())
    assert not set(labels[:, :17].ravel()) & set(labels[:, 17:].ravel())


@needs_skimage
@pytest.mark.parametrize("how", ["slic", "felzenszwalb"])
def test_the_range_of_the_picture_is_no_matter(how):
    picture = _picture()
    labels = segments.of(how, picture)
    np.testing.assert_array_equal(labels, segments.of(how, 64 * picture - 1024))
    assert labels.max() > 2


@needs_skimage
def test_a_constant_picture_is_no_error():
    constant = np.full((48, 40, 3), 7.0)
    assert segments.of("felzenszwalb", constant).max() == 0
    sizes = np.bincount(segments.of("slic", constant).ravel())
    assert len(sizes) > 25
    assert sizes.max() < 4 * sizes.min()
    assert len(list(segments.felzenszwalb_scales(constant))) == len(segments.SCALES)


def test_a_grid_has_eight_squares_a_side():
    labels = segments.of("grid", np.zeros((16, 24, 3)))
    np.testing.assert_array_equal(labels, np.arange(64).reshape(8, 8).repeat(2, 0).repeat(3, 1))
    np.testing.assert_array_equal(segments.of("grid", np.zeros((1, 3, 1))), [[0, 1, 2]])


def test_labels_of_ones_own_are_counted_anew():
    given = [[7, 7, -5], [3, -1, 9]]
    np.testing.assert_array_equal(segments.of(given, np.zeros((2, 3, 1))), [[1, 1, -1], [0, -1, 2]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((3, 2), int), "Got int64 of shape (3, 2)"),
        (np.zeros((2, 3)), "float64 of shape (2, 3)"),
        (np.full((2, 3), np.nan), "float64"),
        (np.zeros((2, 3), bool), "bool of shape (2, 3)"),
        (np.full((2, 3), -1), "all negative"),
        (np.zeros((1, 2, 3), int), "shape (1, 2, 3)"),
        (None, "object of shape ()"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(MethodError, match=r"Expected labels \(2, 3\)") as error:
        segments.of(labels, np.zeros((2, 3, 1)))
    assert message in str(error.value)


@pytest.mark.parametrize("how", ["slik", 0, -3, True])
def test_other_words_are_refused(how):
    assert not segments.possible(how)
    with pytest.raises(MethodError, match=r"Expected segments: 'slic', 'felzenszwalb', 'grid'"):
        segments.of(how, np.zeros((4, 4, 3)))


@pytest.mark.parametrize("how", ["slic", "felzenszwalb", 12])
def test_without_scikit_image_the_error_says_what_to_install(how, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    picture = np.zeros((4, 4, 3))
    with pytest.raises(MethodError, match=r'pip install "keras-saliency\[superpixels\]"'):
        segments.of(how, picture)
    with pytest.raises(MethodError, match=r'pip install "keras-saliency\[superpixels\]"'):
        next(segments.felzenszwalb_scales(picture))
    assert segments.of("grid", picture).max() == 15  # needs nothing


def test_painting_leaves_what_has_no_segment_at_0():
    labels = np.array([[0, 1, -1], [1, 0, -1]])
    np.testing.assert_array_equal(
        segments.paint(labels, np.array([2.5, -1.0])), [[2.5, -1, 0], [-1, 2.5, 0]]
    )


def test_findings_say_what_is_not_covered():
    assert segments.findings(np.array([[0, 1, 2, 1]])) == ()
    assert segments.findings(np.array([[0, 1, -1, 1]])) == (
        "25.0% of the picture belongs to no segment: it stays, and gets 0",
    )
    assert segments.findings(np.zeros((2, 2), int)) == (
        "there is only one segment: the map cannot show where",
    )


# --------------------------------------------------------------------------------- XRAI's masks


@needs_skimage
@pytest.mark.parametrize("side", [None, 60])
def test_masks_are_those_of_scikit_image_dilated_by_a_disk(side):
    from skimage import morphology, segmentation, transform

    picture, options = _picture(), {"sigma": 0.8, "min_size": 40}
    scaled = picture
    if side:
        scaled = transform.resize(picture, (side, side), order=3, mode="edge", anti_aliasing=True)
    scaled = 2 * (scaled - scaled.min()) / np.ptp(scaled) - 1
    expected = []
    for scale in (50, 300):
        labels = segmentation.felzenszwalb(scaled, scale=scale, **options)
        if side:
            labels = transform.resize(
                labels, picture.shape[:2], order=0, preserve_range=True, anti_aliasing=False
            )
        for label in np.unique(labels):
            expected.append(morphology.dilation(labels == label, morphology.disk(5)))
    masks = list(segments.felzenszwalb_scales(picture, (50, 300), side=side, **options))
    assert len(masks) == len(expected) > 10
    np.testing.assert_array_equal(masks, expected)
    assert masks[0].dtype == bool


@needs_skimage
def test_masks_cover_the_picture_at_every_scale():
    picture = _picture()
    for scale in segments.SCALES:
        undilated = list(segments.felzenszwalb_scales(picture, [scale], dilation=0))
        np.testing.assert_array_equal(np.sum(undilated, axis=0), 1)
    few, many = (len(list(segments.felzenszwalb_scales(picture, [s]))) for s in (1200, 50))
    assert few < many


@needs_skimage
def test_masks_do_not_depend_on_the_range():
    picture = _picture()
    masks, others = (
        list(segments.felzenszwalb_scales(p, [100])) for p in (picture, 64 * picture - 1024)
    )
    np.testing.assert_array_equal(masks, others)

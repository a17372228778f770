"""One rectangle, one answer: (top, left, bottom, right), half open, wherever a box is taken."""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest

from keras_saliency import Box, compare, errors, explain, predict_fixations, targets
from keras_saliency._inputs import geometry
from keras_saliency.metrics import localization

EDGES = {"top": 6, "left": 17, "bottom": 33, "right": 38}  # of 40 rows and 60 columns
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
FORMS = {
    "Box": Box(**EDGES),
    "dict": EDGES,
    "dict in another order": dict(reversed(EDGES.items())),
    "tuple": tuple(EDGES.values()),
    "list": list(EDGES.values()),
    "array": np.array(list(EDGES.values())),
    "floats": tuple(map(float, EDGES.values())),
    "NumPy's numbers": tuple(map(np.int16, EDGES.values())),
}


@pytest.fixture(scope="module")
def prediction():
    return predict_fixations(PHOTO)


@pytest.fixture(scope="module")
def dense():
    inputs = keras.Input((40, 60, 3))
    return keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))


@pytest.mark.parametrize("form", FORMS)
def test_one_rectangle_one_answer(prediction, dense, form):
    box = FORMS[form]
    grid = np.stack(prediction.maps())
    inside = float(grid[0, 6:33, 17:38].sum() / grid.sum())
    assert prediction.expected_fixations(1, box)[0] == pytest.approx(inside, rel=1e-4)
    assert prediction.expected_fixations(1, [box])[0] == pytest.approx(inside, rel=1e-4)
    assert localization.energy_inside(grid, [box])[0] == pytest.approx(inside, rel=1e-4)
    assert localization.energy_inside(grid, [[box]])[0] == pytest.approx(inside, rel=1e-4)
    mask = localization.box_masks([box], (40, 60))[0]
    assert np.argwhere(mask).min(0).tolist() == [6, 17]
    assert np.argwhere(mask).max(0).tolist() == [32, 37]
    x = PHOTO[None].astype("float32")
    result = explain(dense, x, target=targets.Region(box))
    wanted = explain(dense, x, target=targets.Region(mask=mask.astype("float32")))
    np.testing.assert_allclose(result.scores, wanted.scores, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_compare_takes_the_same(form):
    box = {**EDGES, "right": 30, "bottom": 20}
    box = {"Box": Box(**box), "dict": box}.get(form, tuple(box.values()))
    photo = PHOTO[:24, :32]
    options = {"methods": ["gradient"], "metrics": ["energy_inside"], "preprocess": "tf"}
    result = compare(models.flat(), photo, boxes=box, **options)
    grid = result.explanations["gradient"].maps()[0]
    inside = grid[6:20, 17:30].sum() / grid.sum()
    np.testing.assert_allclose(result.values[0, 0, 0], inside, rtol=1e-5)
    several = compare(models.flat(), photo, boxes=[box, box], **options)
    np.testing.assert_allclose(several.values, result.values)


def test_the_law_rejects_its_mutant(prediction, monkeypatch):
    """A reader that takes (left, top, right, bottom) is noticed."""
    read = geometry.read

    def swapped(given, *args, **options):
        top, left, bottom, right = read(given, *args, **options)
        return Box(left, top, right, bottom)

    monkeypatch.setattr(localization, "read", swapped)
    with pytest.raises(AssertionError):
        test_one_rectangle_one_answer(prediction, None, "tuple")


WRONG = {
    "empty": ((5, 5, 5, 9), "is empty"),
    "height and width": ((10, 38, 30, 20), r"is empty.*\(top, left, bottom, right\)"),
    "the old order, past the edge": ((17, 6, 58, 33), r"does not lie in 40 rows.*top=6, left=17"),
    "three numbers": ((1, 2, 3), "no box"),
    "NaN": ((1, 2, 3, np.nan), "finite"),
    "other names": ({"x": 1, "y": 2, "w": 3, "h": 4}, "is no box"),
    "a name too many": ({**EDGES, "label": 3}, "is no box"),
    "text": ({**EDGES, "top": "6"}, "no finite number"),
    "truths": ((True, False, True, True), "no box|shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_box(prediction, name):
    box, said = WRONG[name]
    with pytest.raises(errors.MetricError, match=said):
        localization.box_masks([box], (40, 60))
    if name not in ("three numbers", "truths"):  # a mask of that shape
        with pytest.raises(errors.FixationError, match=said):
            prediction.expected_fixations(1, box)
    with pytest.raises(errors.TargetError):
        targets.Region(box).check((None, 40, 60, 1))
    with pytest.raises(errors.MetricError):
        compare(models.flat(), PHOTO, ["gradient"], [], preprocess="tf", boxes=[box])


def test_a_named_box_may_reach_past_the_picture_in_metrics():
    """Four bare numbers that would fit in the old order are refused; names say what is meant."""
    with pytest.raises(errors.MetricError, match="is it Box"):
        localization.box_masks([(17, 6, 58, 33)], (40, 60))
    result = localization.box_masks([{"top": 17, "left": 6, "bottom": 58, "right": 33}], (40, 60))
    assert result[0, 17:, 6:33].all()
    assert result.sum() == 23 * 27
    assert localization.box_masks([(-9, 1, 99, 99)], (3, 4)).sum() == 9  # fits in neither order


def test_whole_pixels_where_pixels_are_counted(prediction):
    with pytest.raises(errors.FixationError, match="whole numbers"):
        prediction.expected_fixations(1, (0, 0, 1.5, 2))
    with pytest.raises(errors.TargetError, match="whole numbers"):
        targets.Region((0, 0, 1.5, 2))

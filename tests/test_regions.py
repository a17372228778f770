"""Shares of named regions, two designs compared, and both on the command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_predict_fixations import PHOTOS, stand_in

from keras_saliency import Box, compare_designs, errors, fixation, predict_fixations
from keras_saliency.fixation import regions
from keras_saliency.fixation.metrics import scores
from keras_saliency.plot import render_png
from keras_saliency.plot.designs import compared

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)

RNG = np.random.default_rng(1)
A = RNG.integers(0, 256, (40, 60, 3), np.uint8)
B = np.ascontiguousarray(A[:, ::-1])


@pytest.fixture(scope="module")
def model():
    return stand_in()


@pytest.fixture(scope="module")
def predicted(model):
    return predict_fixations(PHOTOS[:2], model)  # 40 by 60 and 90 by 30


# ---------------------------------------------------------------------- shares


def test_shares_are_sums_of_the_density(predicted):
    shares = predicted.shares({"top": (0, 0, 20, 30), "right": Box(20, 5, 40, 30)})
    assert list(shares) == ["top", "right", "elsewhere"]
    for i, density in enumerate(predicted.maps()):
        assert shares["top"][i] == pytest.approx(density[:20, :30].sum(), rel=1e-4)
        assert shares["right"][i] == pytest.approx(density[20:40, 5:30].sum(), rel=1e-4)
    np.testing.assert_allclose(sum(shares.values()), 1)
    same = predicted.expected_fixations(1, (0, 0, 20, 30))
    np.testing.assert_allclose(shares["top"], same, rtol=1e-4)


def test_a_mask_is_as_good_as_a_box_and_each_picture_may_have_its_own(predicted):
    masks = [np.zeros(photo.shape[:2], bool) for photo in PHOTOS[:2]]
    for mask in masks:
        mask[5:11, 2:9] = True
    boxes = {"top": 5, "left": 2, "bottom": 11, "right": 9}
    one, other = predicted.shares({"a": masks}), predicted.shares({"a": boxes})
    np.testing.assert_array_equal(one["a"], other["a"])
    own = predicted.shares({"a": [(0, 0, 40, 60), (0, 0, 45, 30)]})
    assert own["a"][0] == pytest.approx(1)
    assert own["elsewhere"][0] == pytest.approx(0, abs=1e-9)
    assert 0.2 < own["a"][1] < 0.8


def test_regions_that_overlap_are_reported_and_count_twice(predicted):
    with pytest.warns(UserWarning, match=r"picture 0: Regions overlap \('a' and 'b'\)"):
        shares = predicted[0].shares({"a": (0, 0, 40, 40), "b": (0, 20, 40, 60)})
    density = predicted.maps()[0]
    twice = density[:, 20:40].sum()
    assert sum(one[0] for one in shares.values()) == pytest.approx(1 + twice, rel=1e-4)
    assert shares["elsewhere"][0] == pytest.approx(0, abs=1e-9)


def test_regions_that_touch_do_not_overlap(predicted, recwarn):
    predicted[0].shares({"a": (0, 0, 40, 30), "b": (0, 30, 40, 60)})
    assert not recwarn


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 0, 3, 3), "boxes or masks by their names"),
        ({}, "Got an empty dict"),
        ({"top": 0, "left": 0, "bottom": 3, "right": 3}, "Got one box"),
        ({"elsewhere": (0, 0, 3, 3)}, "the name of the rest"),
        ({1: (0, 0, 3, 3)}, "Got the name 1"),
        ({"a": (0, 0, 41, 60)}, r"Region 'a': Box\(top=0, left=0, bottom=41, right=60\) does not"),
        ({"a": np.zeros((3, 3), bool)}, r"Region 'a': Got shape \(3, 3\)"),
        ({"a": "headline"}, "Region 'a'"),
        ({"a": [(0, 0, 3, 3)] * 3}, "Got 3 regions for 1 pictures"),
    ],
)
def test_what_is_no_region_is_refused(predicted, given, message):
    with pytest.raises(errors.FixationError, match=message):
        predicted[0].shares(given)


# ---------------------------------------------------------------------- two designs


def test_a_design_and_itself(model):
    found = compare_designs(A, A, {"a": (0, 0, 20, 30)}, model=model)
    assert (found.similarity, found.cc) == (pytest.approx(1, abs=1e-6), pytest.approx(1, abs=1e-6))
    assert found.shares["a"][0] == found.shares["a"][1]
    np.testing.assert_allclose(found.difference, 0, atol=1e-7)


def test_the_numbers_are_those_of_the_two_densities(model):
    found = compare_designs(A, B, {"a": (0, 0, 20, 30)}, model=model)
    one, other = (predict_fixations(picture, model) for picture in (A, B))
    (p,), (q,) = one.maps(), other.maps()
    np.testing.assert_allclose(found.difference, q - p, atol=1e-7)
    assert found.similarity == pytest.approx(scores.similarity(q, p), rel=1e-5)
    assert found.cc == pytest.approx(scores.cc(q, p), rel=1e-5)
    assert found.similarity == pytest.approx(1 - np.abs(q - p).sum() / 2, rel=1e-4)
    assert found.shares["a"] == (
        one.shares({"a": (0, 0, 20, 30)})["a"][0], other.shares({"a": (0, 0, 20, 30)})["a"][0]
    )  # fmt: skip
    assert repr(found).startswith("<DesignComparison: ")
    known = compare_designs(one, other)  # predictions are taken as they are
    assert (known.similarity, known.shares) == (found.similarity, {})
    np.testing.assert_array_equal(known.difference, found.difference)


def test_each_design_may_have_its_own_boxes(model):
    left, right = {"cup": (0, 0, 40, 30)}, {"cup": (0, 30, 40, 60)}
    apart = compare_designs(A, B, (left, right), model=model)
    assert apart.shares["cup"][0] == compare_designs(A, B, left, model=model).shares["cup"][0]
    assert apart.shares["cup"][1] == compare_designs(A, B, right, model=model).shares["cup"][1]
    assert apart.to_dict()["shares"]["cup"]["change"] == pytest.approx(
        apart.shares["cup"][1] - apart.shares["cup"][0]
    )


def test_another_size_is_resampled_in_the_frame_of_a(model):
    larger = np.asarray(Image.fromarray(A).resize((120, 80), Image.Resampling.NEAREST))
    found = compare_designs(A, larger, model=model)
    assert found.difference.shape == (40, 60)
    assert found.difference.sum() == pytest.approx(0, abs=1e-5)
    assert found.similarity > 0.9


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"b": A[:, :50]}, errors.FixationError, r"Got \(40, 60\) and \(40, 50\) pixels"),
        ({"b": [A, A]}, errors.ImageError, "Got 2"),
        ({"b": "nowhere.png"}, errors.ImageError, "No such file"),
        ({"regions": {"a": (0, 0, 50, 9)}}, errors.FixationError, "Region 'a'"),
        ({"regions": ({"a": (0, 0, 5, 9)}, {"b": (0, 0, 5, 9)})}, errors.FixationError, "'a', 'b'"),
        ({"regions": [{"a": (0, 0, 5, 9)}] * 3}, errors.FixationError, "Got 3 of them"),
        ({"regions": 3}, errors.FixationError, "by their names"),
        ({"model": "nowhere"}, errors.ModelFileError, "No such file"),
    ],
)
def test_what_cannot_be_compared_is_refused(model, options, error, message):
    with pytest.raises(error, match=message):
        compare_designs(**{"a": A, "b": A, "model": model, **options})


def test_predictions_by_two_models_are_refused(model):
    one = predict_fixations(A, model)
    other = dataclasses.replace(one, model_sha256="0" * 64)
    with pytest.raises(errors.FixationError, match="two predictions by one model"):
        compare_designs(one, other)


def test_what_is_saved(model, tmp_path):
    found = compare_designs(A, B, {"a": (0, 0, 20, 30)}, model=model)
    folder = found.save(tmp_path / "deep" / "designs")
    assert {path.name for path in folder.iterdir()} == {
        "figure.png",
        "designs.npz",
        "manifest.json",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["shares"]["a"]["a"] == found.shares["a"][0]
    assert len({row["sha256"] for row in manifest["designs"]}) == 2
    assert set(manifest["checksums"]) == {"figure.png", "designs.npz", "this file"}
    np.testing.assert_array_equal(np.load(folder / "designs.npz")["difference"], found.difference)
    found.save(folder)  # again
    (folder / "mine.txt").write_text("")
    with pytest.raises(errors.SaveError, match="Other files are there"):
        found.save(folder)


def test_the_figure_has_a_bar_for_each_share(model):
    from matplotlib.figure import Figure

    found = compare_designs(A, B, {"a": (0, 0, 20, 30), "b": (10, 0, 40, 60)}, model=model)
    figure = found.plot(figure=Figure())
    images = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_title(loc="left")[:7] for axes in images] == ["A", "B", "B minus"]
    bars = [bar.get_width() for axes in figure.axes for bar in axes.patches]
    assert bars[:6] == [found.shares[n][k] for k in (0, 1) for n in ("a", "b", "elsewhere")]
    assert "overlap" in figure.get_supxlabel()
    plain = compare_designs(A, B, model=model)
    assert len(plain.plot(figure=Figure()).axes) == len(figure.axes) - 1
    assert render_png(compared, plain._drawn())[1:4] == b"PNG"
    with pytest.raises(errors.MethodError, match="percentile"):
        found.plot(percentile=0, figure=Figure())


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("designs")
    stand_in().save(folder / "stand_in.keras")
    for name, pixels in (("a", A), ("b", B)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def designs(run, saved):
    def run_it(*words, verb="designs", files=("a.png", "b.png")):
        model = ("--model", saved / "stand_in.keras")
        return run(verb, *(saved / one for one in files), *model, *words)

    return run_it


def test_designs_as_json(designs, saved, model, here):
    words = ("--region", "cup=0,0,20,30", "--region", "a=b=0,0,40,30:0,30,40,60", "--json")
    status, stdout, stderr = designs(*words)
    assert status == 0, stderr
    row = json.loads(stdout)
    boxes = {"cup": (0, 0, 20, 30), "a=b": (0, 0, 40, 30)}, {"cup": (0, 0, 20, 30),
             "a=b": (0, 30, 40, 60)}  # fmt: skip
    known = compare_designs(saved / "a.png", saved / "b.png", boxes, model=model)
    assert row["similarity"] == pytest.approx(known.similarity, rel=1e-4)
    for name, (a, b) in known.shares.items():
        assert row["shares"][name] == pytest.approx({"a": a, "b": b, "change": b - a}, rel=1e-3)
    assert row["overlaps"] == [["cup", "a=b"]]
    assert [one["name"] for one in row["designs"]] == ["a.png", "b.png"]
    assert Path(row["figure"]).is_file()
    assert "Regions overlap" in stderr


def test_designs_print_the_folder_and_nothing_else(designs, here):
    status, stdout, stderr = designs("--out", "both")
    assert (status, stdout) == (0, "both\n")
    assert stderr.startswith(("0%", "1", "2", "3", "4", "5", "6", "7", "8", "9"))
    assert (here / "both" / "figure.png").is_file()


def test_predict_with_regions(designs, saved, model, here):
    words = ("--region", "cup=0,0,20,30", "--region", "all=0,0,40,60", "--json")
    status, stdout, stderr = designs(*words, verb="predict")
    assert status == 0, stderr
    rows = json.loads(stdout)
    for row in rows:
        prediction = predict_fixations(row["picture"], model)
        with pytest.warns(UserWarning, match="overlap"):
            known = prediction.shares({"cup": (0, 0, 20, 30), "all": (0, 0, 40, 60)})
        assert row["shares"] == pytest.approx({n: v[0] for n, v in known.items()}, abs=1e-5)
        assert row["overlaps"] == [["cup", "all"]]
    assert stderr.count("all 100.0%") == 2
    status, stdout, _ = designs("--json", verb="predict")
    assert json.loads(stdout)[0]["shares"] is None


def test_a_region_outside_one_photo_leaves_the_others(designs, tmp_path, saved, here):
    Image.fromarray(A[:10]).save(tmp_path / "low.png")
    words = ("--region", "cup=0,0,20,30", "--json")
    status, stdout, stderr = designs(*words, verb="predict", files=("a.png", tmp_path / "low.png"))
    assert status == 1
    assert [row["error"] is None for row in json.loads(stdout)] == [True, False]
    assert "Region 'cup'" in stderr


@pytest.mark.parametrize(
    "text", ["cup", "=1,2,3,4", "cup=1,2,3", "cup=1,2,3,x", "cup=1,2,3,4:1,2,3,4:1,2,3,4"]
)
def test_a_mistyped_region_is_a_mistake_on_the_command_line(designs, text):
    status, stdout, stderr = designs("--region", text)
    assert (status, stdout) == (2, "")
    assert "NAME=TOP,LEFT,BOTTOM,RIGHT" in stderr
    assert designs("--region", "cup=1,2,3,4:1,2,3,4", verb="predict")[0] == 2


def test_designs_refuse(designs, refused, saved, tmp_path):
    twice = ("--region", "a=0,0,9,9", "--region", "a=0,0,5,5")
    refused(designs(*twice), "Got two called 'a'", "a name of its own")
    refused(designs(files=("a.png", "nowhere.png")), "nowhere.png", "No such file")
    (tmp_path / "taken").write_text("")
    refused(designs("--out", tmp_path / "taken"), "It is a file", "--out DIR")


def test_names_of_the_room():
    assert fixation.compare_designs is compare_designs
    assert regions.said([]) == ""

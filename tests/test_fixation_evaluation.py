"""evaluate(): the numbers of the metrics room, put together right."""

import csv
import json

import numpy as np
import pytest
from recordings import disc

from keras_saliency import errors
from keras_saliency.fixation import evaluate
from keras_saliency.fixation.metrics import scores
from keras_saliency.fixation.metrics.baselines import centre_bias
from keras_saliency.fixation.scoring import best_and_worst

pytestmark = pytest.mark.no_model

TRAINING = [disc(i) for i in range(8)]
SCORED = [disc(100 + i, split="val") for i in range(6)]


def knowing(recording):
    """A model that is given where people looked, and believes it to nine tenths."""
    return np.log(0.9 * recording.density() + 0.1 / np.prod(recording.size))


def ignorant(recording):
    return np.full(recording.size, -np.log(np.prod(recording.size)))


@pytest.fixture(scope="module")
def result():
    return evaluate(SCORED, TRAINING, knowing, name="knowing")


def means(result, predictor):
    return next(row for row in result.means() if row["predictor"] == predictor)


def test_a_row_for_each_picture_and_predictor(result):
    assert len(result.rows) == 3 * len(SCORED)
    assert {row["predictor"] for row in result.rows} == {"knowing", "centre bias", "humans"}
    row = next(row for row in result.rows if row["predictor"] == "knowing")
    one, log_density = SCORED[0], knowing(SCORED[0])
    bias = centre_bias(TRAINING).log_density(one.size)
    assert row["NSS"] == pytest.approx(scores.nss(np.exp(log_density), one.y, one.x))
    assert row["IG"] == pytest.approx(scores.information_gain(log_density, bias, one.y, one.x))
    away = scores.others(SCORED, 0)
    assert row["sAUC"] == pytest.approx(
        scores.shuffled_auc(np.exp(log_density), one.y, one.x, *away)
    )
    assert row["CC"] == pytest.approx(scores.cc(np.exp(log_density), one.density()))


def test_the_mean_is_over_pictures_not_over_fixations(result):
    rows = [row for row in result.rows if row["predictor"] == "knowing"]
    assert means(result, "knowing")["NSS"] == pytest.approx(np.mean([row["NSS"] for row in rows]))
    assert means(result, "knowing")["pictures"] == len(SCORED)


def test_the_centre_bias_gains_nothing_on_itself(result):
    assert means(result, "centre bias")["IG"] == pytest.approx(0, abs=1e-12)
    assert means(result, "centre bias")["sAUC"] < means(result, "knowing")["sAUC"]


def test_the_share_lies_between_centre_bias_and_humans(result):
    share = means(result, "knowing")["share"]
    low, own, high = (means(result, who) for who in ("centre bias", "knowing", "humans"))
    for key, value in share.items():
        assert value == pytest.approx((own[key] - low[key]) / (high[key] - low[key]))
    nothing = means(evaluate(SCORED, TRAINING, lambda one: centre_bias(TRAINING).log_density(
        one.size), name="bias"), "bias")["share"]  # fmt: skip
    assert nothing["IG"] == pytest.approx(0, abs=1e-9)


def test_a_model_that_knows_nothing_is_seen_to(result):
    flat = means(evaluate(SCORED, TRAINING, ignorant, name="flat", humans=False), "flat")
    assert (flat["NSS"], flat["AUC"], flat["sAUC"], flat["CC"]) == (0, 0.5, 0.5, 0)
    assert flat["IG"] < 0
    assert flat["share"] is None


def test_each_data_set_has_its_own_centre_bias_and_negatives():
    other = [disc(200 + i, size=(40, 90), split="val", dataset="wide") for i in range(5)]
    alone = evaluate(SCORED, TRAINING, knowing, name="m", humans=False)
    both = evaluate([*SCORED, *other], TRAINING, knowing, name="m", humans=False)
    first = [row for row in both.means() if row["dataset"] == "disc"]
    assert first == alone.means()
    assert "fitted on the scored pictures" in both.info["notes"]["centre bias of wide"]


def test_by_category():
    import dataclasses

    halves = [
        dataclasses.replace(one, category="odd" if i % 2 else "even")
        for i, one in enumerate(SCORED)
    ]
    result = evaluate(halves, TRAINING, knowing, name="m", humans=False)
    rows = result.means("category")
    assert [(row["category"], row["pictures"]) for row in rows if row["predictor"] == "m"] == [
        ("even", 3), ("odd", 3),
    ]  # fmt: skip
    assert "| disc | odd | m | 3 |" in result.table("category")


def test_pictures_without_fixations_or_observers():
    import dataclasses

    unseen = dataclasses.replace(SCORED[0], name="unseen", y=np.array([]), x=np.array([]))
    unknown = [dataclasses.replace(one, subject=None) for one in SCORED]
    result = evaluate([*unknown, unseen], TRAINING, knowing, name="m")
    assert result.info["notes"]["left out"] == "1 pictures without a fixation"
    assert {row["predictor"] for row in result.rows} == {"m", "centre bias"}
    with pytest.raises(errors.FixationError, match="None of the 1 recordings has one"):
        evaluate([unseen], TRAINING, knowing)


def test_saved(result, tmp_path):
    figure = best_and_worst(result, SCORED, knowing, count=2)
    folder = result.save(tmp_path / "scores", figure)
    stored = json.loads((folder / "evaluation.json").read_text())
    assert stored["means"] == json.loads(json.dumps(result.means()))
    with (folder / "pictures.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(result.rows)
    assert (folder / "table.md").read_text().strip() == str(result)
    assert (folder / "best_and_worst.png").read_bytes()[1:4] == b"PNG"
    result.save(folder)  # again, over what was there
    assert not (folder / "best_and_worst.png").exists()


def test_the_best_come_first(result):
    gains = [row["IG"] for row in result.ordered()]
    assert gains == sorted(gains, reverse=True)
    assert [row["KLD"] for row in result.ordered("KLD")] == sorted(
        row["KLD"] for row in result.ordered()
    )

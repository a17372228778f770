"""Expected gradients: how references and places are drawn, and what comes of them."""

import keras
import networks
import numpy as np
import pytest
from smooth_twin import CLASSES, X, close, score, slope, smooth

from keras_saliency import explain, methods
from keras_saliency.errors import MethodError
from keras_saliency.methods.expected_gradients import _draws

pytestmark = pytest.mark.filterwarnings("ignore:picture .. attributions miss")  # few samples

REFERENCES = np.random.default_rng(8).normal(size=(5, 9, 7, 2)).astype("float32")


@pytest.mark.parametrize(("references", "samples"), [(1, 8), (5, 15), (5, 17), (20, 7)])
def test_draws_are_spread_evenly(references, samples):
    seen = list(_draws(references, samples, seed=3))
    assert len(seen) == samples
    times = np.bincount([number for number, _ in seen], minlength=references)
    assert np.ptp(times) <= 1
    for number in range(references):
        places = sorted(place for which, place in seen if which == number)
        assert [int(place * len(places)) for place in places] == list(range(len(places)))
    if samples % references == 0:  # all places together have one in each part, too
        assert sorted(int(place * samples) for _, place in seen) == list(range(samples))


def test_draws_are_fair():
    many = [d for seed in range(4000) for d in _draws(3, 4, seed)]
    for number in range(3):
        places = [place for which, place in many if which == number]
        assert len(places) / len(many) == pytest.approx(1 / 3, abs=0.01)
        assert np.histogram(places, 8, (0, 1))[0] / len(places) == pytest.approx(1 / 8, abs=0.015)


def test_expected_gradients_against_a_twin():
    method = methods.ExpectedGradients(samples=12, references=REFERENCES)
    e = explain(smooth(), X, method, target=CLASSES, seed=6)
    draws = list(_draws(5, 12, 6))
    for row, c in enumerate(CLASSES):
        ways = [(X[row] - REFERENCES[n], REFERENCES[n], a) for n, a in draws]
        close(e.attributions[row], np.mean([w * slope(b + a * w, c) for w, b, a in ways], axis=0))
        gap = score(X[row], c) - np.mean([score(REFERENCES[n], c) for n, _ in draws])
        wanted = abs(e.attributions[row].sum(dtype="float64") - gap) / abs(gap)
        assert e.checks[row]["completeness_error"] == pytest.approx(wanted, rel=1e-3)


def test_expected_gradients_on_a_parabola_converge_fast():
    w = np.random.default_rng(1).normal(size=(9, 7, 2)).astype("float32")
    method = methods.ExpectedGradients(samples=320, references=REFERENCES)
    e = explain(networks.quadratic(w, 0.5), X, method, target=0)
    wanted = [np.mean([(x - b) * (w * (x + b) / 2 + 0.5) for b in REFERENCES], axis=0) for x in X]
    away = np.linalg.norm(e.attributions - wanted) / np.linalg.norm(wanted)
    assert away < 2e-3  # independent draws: 0.06


def test_without_references_the_other_pictures_are_taken():
    x = np.concatenate([X, REFERENCES[:2]])
    together = explain(smooth(), x, methods.ExpectedGradients(samples=9), target=1, seed=2)
    for row in (0, 2):
        others = np.delete(x, row, axis=0)
        method = methods.ExpectedGradients(samples=9, references=others)
        alone = explain(smooth(), x[row], method, target=1, seed=2)
        close(together.attributions[row], alone.attributions[0])


@pytest.mark.skipif(keras.config.backend() != "torch", reason="captum explains PyTorch modules")
def test_expected_gradients_against_captum():
    attr, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    model = networks.small_cnn()
    draw = np.random.default_rng(1).normal
    x, data = draw(size=(2, 16, 16, 3)).astype("float32"), draw(size=(4, 16, 16, 3))
    logits = networks.without_softmax(model)
    torch.manual_seed(0)
    wanted = attr.GradientShap(lambda z: logits(z, training=False)).attribute(
        torch.tensor(x),
        baselines=torch.tensor(data.astype("float32")),
        n_samples=1500,
        stdevs=0.0,
        target=torch.tensor([1, 3]),
    )
    method = methods.ExpectedGradients(samples=200, references=data)
    result = explain(model, x, method, target=[1, 3]).attributions
    wanted = wanted.detach().numpy()
    away = np.linalg.norm(result - wanted) / np.linalg.norm(wanted)
    print(f"relative L2 {away:.1e}")
    assert away < 0.06  # captum's own noise: half of it with four times the samples


@pytest.mark.parametrize(
    ("references", "said"),
    [
        (None, "a batch of one.*references="),
        (np.zeros((9, 7, 2)), r"shape \(9, 7, 2\)"),
        (np.zeros((3, 9, 8, 2)), r"shape \(3, 9, 8, 2\)"),
        (np.zeros((0, 9, 7, 2)), r"shape \(0, 9, 7, 2\)"),
        (np.full((1, 9, 7, 2), np.nan), "not finite"),
        ("black", "str of shape"),
    ],
)
def test_references_that_do_not_fit_are_refused(references, said):
    with pytest.raises(MethodError, match=said):
        explain(smooth(), X[0], methods.ExpectedGradients(references=references), target=0)

"""Metrics on tables, whose neighbouring columns mean nothing."""

from __future__ import annotations

import dataclasses
import inspect

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import compare, errors, methods
from keras_saliency.metrics import faithfulness, infidelity, registry

W = np.array([3.0, 0.0, -2.0, 0.0, 1.0, 0.0, 0.5, 0.0, -1.0, 0.0, 2.0, 0.0])


def _rows(count=2):
    return np.random.default_rng(0).normal(size=(count, len(W), 1))


def _score(images, rows):
    return images[..., 0] @ W


def _apart(images, rows):
    """Columns that stand side by side and cancel: a run of both never shows either."""
    return 5 * images[:, ::2, 0].sum(axis=1) - 5 * images[:, 1::2, 0].sum(axis=1)


@pytest.mark.no_model
def test_a_subset_is_not_a_run():
    draw = np.random.default_rng(0)
    drawn = [infidelity._subset((12, 1), draw)[:, 0] for _ in range(400)]
    sizes = [int(one.sum()) for one in drawn]
    assert (min(sizes), max(sizes)) == (1, 6)
    runs = [np.ptp(np.flatnonzero(one)) + 1 == one.sum() for one in drawn if one.sum() > 1]
    assert np.mean(runs) < 0.4
    assert np.any(drawn, axis=0).all()


@pytest.mark.no_model
def test_infidelity_of_subsets_is_0_of_what_explains_a_linear_score():
    x = _rows()
    own = W[:, None] * np.ones_like(x)
    options = {"perturbation": "subset", "samples": 20}
    np.testing.assert_allclose(infidelity.infidelity(_score, x, own, 0.0, **options), 0, atol=1e-20)
    parts = own * x
    both = infidelity.infidelity(_score, x, parts, 0.0, contributions=True, **options)
    np.testing.assert_allclose(both, 0, atol=1e-20)
    assert (infidelity.infidelity(_score, x, -own, 0.0, **options) > 1).all()
    with pytest.raises(errors.MetricError, match="'square' or 'subset'"):
        infidelity.infidelity(_score, x, own, 0.0, perturbation="gaussian", contributions=True)
    with pytest.raises(errors.MetricError, match="subset"):
        infidelity.infidelity(_score, x, own, 0.0, perturbation="subsets")


@pytest.mark.no_model
def test_cells_of_single_features():
    x = np.repeat(_rows(), 2, axis=1)  # 24 columns: 3 in each of 8 cells
    x[:, 1::2] = x[:, ::2]
    own = np.where(np.arange(24) % 2, -5.0, 5.0)[:, None] * x
    each = faithfulness.mu_fidelity(_apart, x, own, 0.0, grid_size="each")
    np.testing.assert_allclose(each, 1.0, atol=1e-9)
    same = faithfulness.mu_fidelity(_apart, x, own, 0.0, grid_size=24)
    np.testing.assert_array_equal(each, same)
    wrong = faithfulness.mu_fidelity(_apart, x, np.abs(own), 0.0, grid_size="each")
    assert (wrong < 0.9).all()
    with pytest.raises(errors.MetricError, match="each"):
        faithfulness.mu_fidelity(_apart, x, own, 0.0, grid_size="every")


@pytest.mark.any_backend
def test_compare_takes_them_for_tables(monkeypatch):
    seen = {}
    for module, name in ((infidelity, "infidelity"), (faithfulness, "mu_fidelity")):
        function = getattr(module, name)

        def noting(score, images, attributions, baselines, *, _of=function, **options):
            seen.setdefault(_of.__name__, []).append(options)
            return _of(score, images, attributions, baselines, **options)

        noting.__signature__ = inspect.signature(function)
        monkeypatch.setattr(module, name, noting)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12,)), L.Dense(4, "tanh"), L.Dense(2)])
    x = _rows()[..., 0].astype("float32")
    gradient = methods.InputXGradient()
    own = dataclasses.replace(registry.get("mu_fidelity"), options={"grid_size": 4})
    for metric in ("infidelity", "mu_fidelity", own):
        compare(model, x, [gradient], metrics=[metric])
    assert seen["infidelity"][-1]["perturbation"] == "subset"
    sizes = [one["grid_size"] for one in seen["mu_fidelity"]]
    assert sizes[0] == "each"
    assert sizes[-1] == 4  # what the caller says counts

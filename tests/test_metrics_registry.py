"""The table of metrics, what all of them refuse, complexity, and the summary of a column."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import planted
import pytest
from planted import score

from keras_saliency import errors, metrics
from keras_saliency.metrics import agreement, curves, inputs, registry, road

pytestmark = pytest.mark.no_model

MAPS = {"right": planted.right(), "wrong": planted.wrong(), "noise": planted.noise()}
ROWS = list(registry.METRICS.values())


def _probability(images, rows):
    return score(images, rows) / 3


def _given(images, maps):
    """Everything that a metric may need, by name."""
    return {
        "score": _probability, "images": images, "maps": maps, "attributions": maps,
        "baselines": 0.0 * images, "attribute": lambda given: given.sum(axis=-1),
        "inside": [planted.BOX] * len(images), "cells": [1] * len(images),
        "maps_of": lambda classes: maps * (1 + 0 * np.reshape(classes, (-1, 1, 1))),
        "classes": [0] * len(images), "count": 3,
    }  # fmt: skip


def _run(metric, given, **options):
    return metric(**{name: given[name] for name in metric.needs}, **options)


# ------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("metric", ROWS, ids=lambda metric: metric.name)
def test_a_row_tells_the_truth(metric):
    text = " ".join(inspect.getdoc(metric.function).split())
    assert f"{'Higher' if metric.higher_is_better else 'Lower'} is better." in text
    assert metric.reference.split("arXiv:")[1] in text
    assert set(metric.options) <= set(metric.takes)
    images = planted.pictures()
    for maps in MAPS.values():
        result = _run(metric, _given(images, maps))
        assert result.shape == (3,)
        assert result.dtype == np.float64
        assert np.isfinite(result).all()
        assert (result >= metric.low).all()
        assert (result <= metric.high).all()


def test_the_direction_is_that_of_belief():
    images = planted.pictures()
    contributions = planted.contributions(images).sum(-1)
    judged = 0
    for metric in ROWS:
        if not {"maps", "attributions"} & set(metric.needs) or metric.name == "grid_pointing_game":
            continue
        if metric.name in ("complexity", "sparseness"):
            right, wrong = contributions, planted.right()
        else:
            right, wrong = contributions, -contributions
        options = {"tolerance": 0} if metric.name == "pointing_game" else {}
        right, wrong = (_run(metric, _given(images, maps), **options) for maps in (right, wrong))
        sign = 1 if metric.higher_is_better else -1
        if metric.name == "increase_in_confidence":  # nothing is surer than the whole patch
            assert (right == wrong).all()
            continue
        assert (sign * right > sign * wrong).all(), metric.name
        judged += 1
    assert judged == 13


def test_needs_and_options_are_those_of_the_function():
    words = set(_given(planted.pictures(), planted.noise()))
    for metric in ROWS:
        assert set(metric.needs) <= words
        assert not set(metric.needs) & set(metric.takes)
        assert metric.name in getattr(metrics, metric.module).__all__
    assert registry.get("road").needs == ("score", "images", "maps")
    assert "steps" in registry.get("deletion").takes
    assert registry.names() == list(registry.METRICS)


def test_options_of_a_row_can_be_overruled():
    given = _given(planted.pictures(), planted.noise())
    infidelity = registry.get("infidelity")
    scaled = _given(planted.pictures(), 9 * planted.noise())
    np.testing.assert_allclose(_run(infidelity, given), _run(infidelity, scaled))
    plain = [_run(infidelity, one, normalize=False) for one in (given, scaled)]
    assert (plain[0] < plain[1]).all()
    opposite = _given(planted.pictures(), -planted.noise())
    either = [_run(infidelity, one, normalize=True) for one in (given, opposite)]
    np.testing.assert_allclose(*either)  # captum's way
    assert (_run(infidelity, given) != _run(infidelity, opposite)).all()


def test_options_that_are_not_there_are_refused():
    metric = dataclasses.replace(registry.get("deletion"), options={"stepz": 3})
    _refused("Did you mean 'steps'", metric.check_options)
    for row in ROWS:
        row.check_options()


def test_a_metric_is_looked_up_by_name():
    assert registry.get("deletion").function is curves.deletion
    assert registry.get(registry.get("road")) is registry.get("road")
    with pytest.raises(errors.MetricError, match="Did you mean 'insertion'"):
        registry.get("insert")
    with pytest.raises(errors.MetricError, match=r"Expected a metric or its name\. Got 3"):
        registry.get(3)


def test_the_package_loads_its_modules_by_name():
    for name in metrics.__all__:
        assert getattr(metrics, name).__doc__
        assert name in dir(metrics)
    with pytest.raises(AttributeError, match="has no attribute 'belief'"):
        _ = metrics.belief


# ------------------------------------------------------------------------------ what is refused


def _refused(match, call, *args, **options):
    with pytest.raises(errors.MetricError, match=match) as caught:
        call(*args, **options)
    assert isinstance(caught.value, ValueError)
    assert all([caught.value.what, caught.value.got, caught.value.fix, caught.value.read])


def _spoilt(array, value=np.nan):
    wrong = np.array(array, float)
    wrong.flat[-1] = value
    return wrong


@pytest.mark.parametrize("metric", ROWS, ids=lambda metric: metric.name)
def test_what_cannot_be_used_is_refused(metric):
    images, maps = planted.pictures(), planted.noise()

    def refused(match, **other):
        _refused(match, _run, metric, {**_given(images, maps), **other})

    if "images" in metric.needs:
        for shape in ((12, 2), (0, 12, 12, 2), (1, 1, 1, 1, 1, 1), ()):
            refused(r"Expected a batch of one or more pictures", images=np.ones(shape))
        if {"maps", "attributions"} & set(metric.needs):  # a single picture is no batch of signals
            refused(r"Got shape \(3, .* image\[None\]", images=np.ones((12, 12, 2)), baselines=0.0)
        refused("Expected pictures to be finite. Got 1 of 864 .* is nan", images=_spoilt(images))
        refused("Expected pictures to be an array of numbers", images=[["a"]])
    for name in {"maps", "attributions"} & set(metric.needs):
        for value in (np.nan, np.inf, -np.inf):
            refused(f"Expected {name} to be finite", **{name: _spoilt(maps, value)})
        refused(f"Expected .*{name}.* Got shape", **{name: maps[0, 0]})
        refused(f"Expected {name} to be an array of numbers", **{name: [[[1, 2], [3]]]})
        if "images" in metric.needs:
            refused(f"Expected {name} of the pictures' size", **{name: maps[:2]})
            refused(f"Expected {name} of the pictures' size", **{name: maps[:, :5]})
    if "baselines" in metric.needs:
        refused("Expected baselines of the pictures' shape", baselines=np.ones((2, 12, 12, 2)))
        refused("Expected baselines of the pictures' shape", baselines="black")
        refused("Expected baselines to be finite", baselines=np.nan)
    if "score" in metric.needs:
        refused(
            "to return a finite number for each of .* Got shape",
            score=lambda i, r: np.ones((len(i), 2)),
        )
        refused(
            "to return a finite number .* with NaN or inf",
            score=lambda i, r: np.full(len(i), np.nan),
        )
        for size in (0, -1, 2.5, "many"):
            given = _given(images, maps)
            _refused("batch_size=", _run, metric, given, batch_size=size)
    if "attribute" in metric.needs:
        refused("Expected attributions of the pictures' size", attribute=lambda given: maps[:2])


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("deletion", {"steps": 0}, "steps=0"),
        ("insertion", {"steps": 145}, "from 1 to 144"),
        ("deletion", {"steps": 2.0}, "steps=2.0"),
        ("road", {"removed": (50, 100)}, "whole number from 1 to 143"),
        ("road", {"removed": (0.1,)}, "whole number from 1 to 143"),
        ("road", {"removed": (101,)}, "removed=101"),
        ("road", {"removed": ()}, "len"),
        ("road", {"removed": 50}, "removed to be percents in a row, such as .* Got removed=50"),
        ("road", {"noise": -1}, "noise=-1"),
        ("sensitivity_n", {"n": 0}, "n=0"),
        ("sensitivity_n", {"n": 144}, "from 1 to 143"),
        ("sensitivity_n", {"n": 1.0}, r"n to be a whole number, or a share .* Got n=1\.0"),
        ("sensitivity_n", {"n": 0.0}, r"n=0\.0"),
        ("sensitivity_n", {"n": math.nan}, "n=nan"),
        ("sensitivity_n", {"n": True}, "n=True"),
        ("sensitivity_n", {"samples": 1}, "samples=1"),
        ("mu_fidelity", {"grid_size": 13}, "from 2 to 12"),
        ("mu_fidelity", {"subset": 0.0}, "in cells"),
        ("mu_fidelity", {"subset": 1.0}, "from 1 to 63"),
        ("infidelity", {"perturbation": "cubes"}, "'square', 'subset', 'gaussian'"),
        (
            "infidelity",
            {"perturbation": "gaussian"},
            "contributions hold. Got perturbation='gaussian'",
        ),
        ("infidelity", {"samples": 0}, "samples=0"),
        ("infidelity", {"normalize": "negative"}, "normalize='negative'"),
        (
            "infidelity",
            {"perturbation": lambda i, g: i[0], "contributions": False},
            r"of shape \(12, 12, 2\)",
        ),
        ("max_sensitivity", {"radius": -1}, "radius=-1"),
        ("average_drop", {"score": lambda i, r: -np.ones(len(i))}, "a lowest score of -1"),
        ("increase_in_confidence", {"score": lambda i, r: -np.ones(len(i))}, "not its logit"),
    ],
)
def test_options_that_cannot_be_used_are_refused(name, options, match):
    given = _given(planted.pictures(), planted.noise())
    own = {key: value for key, value in options.items() if key in given}
    rest = {key: value for key, value in options.items() if key not in given}
    _refused(match, _run, registry.get(name), {**given, **own}, **rest)


def test_other_refusals():
    image, none = np.ones((4, 4, 1)), np.zeros((4, 4), bool)
    _refused("16 of 16 are missing", road.impute, image, ~none)
    _refused("Expected a picture .* mask", road.impute, image, none.astype(int))
    _refused("same shape", agreement.rank_correlation, np.ones((1, 2, 2)), np.ones((1, 2, 3)))
    _refused("11 by 11", agreement.ssim, np.ones((1, 10, 20)), np.ones((1, 10, 20)))
    assert list(inputs.scores(score, iter([]), 8)) == []


# ------------------------------------------------------------------------ complexity and summary


def test_complexity_and_sparseness_have_known_ends():
    one, flat = np.zeros((1, 5, 4)), np.full((1, 5, 4), -0.1)
    one[0, 2, 2] = -3
    for maps in (flat, 0 * flat):
        np.testing.assert_allclose(agreement.complexity(maps), math.log(20))
        assert 0 <= agreement.sparseness(maps)[0] < 1e-12
    assert agreement.complexity(one)[0] == 0
    np.testing.assert_allclose(agreement.sparseness(one), 1 - 1 / 20)


def test_complexity_and_sparseness_know_no_scale():
    maps = planted.noise()
    for run in (agreement.complexity, agreement.sparseness):
        wanted = run(maps)
        for other in (3 * maps, -maps, 1e-310 * maps, 1e300 * maps, maps[:, ::-1], maps[..., None]):
            tolerance = 1e-3 if np.abs(other).max() < 1e-300 else 1e-12  # few digits are left there
            np.testing.assert_allclose(run(other), wanted, rtol=tolerance)
        np.testing.assert_allclose([run(one[None])[0] for one in maps], wanted)
        assert not np.allclose(run(maps**2), wanted)


def test_a_bootstrap_interval_holds_the_mean_as_often_as_it_says():
    generator, held = np.random.default_rng(0), 0
    for seed in range(200):
        values = generator.normal(2.0, 1.0, 40)
        mean, low, high = registry.bootstrap(values, seed=seed, samples=200, level=0.8)
        assert mean == values.mean()
        held += low <= 2.0 <= high
    assert 0.7 < held / 200 < 0.88
    wide = registry.bootstrap(values, level=0.99)
    assert wide.low < registry.bootstrap(values, level=0.5).low
    assert registry.bootstrap(values, seed=1) == registry.bootstrap(values, seed=1)
    assert registry.bootstrap(values, seed=1) != registry.bootstrap(values, seed=2)


def test_a_bootstrap_is_that_of_one_draw_after_the_other(monkeypatch):
    values = np.random.default_rng(5).random(7)
    generator = np.random.default_rng(3)
    means = [values[generator.integers(7, size=7)].mean() for _ in range(1000)]
    wanted = (values.mean(), *np.quantile(means, [0.025, 0.975]))
    assert registry.bootstrap(values, seed=3) == pytest.approx(wanted, rel=1e-12)
    monkeypatch.setattr(registry, "_AT_ONCE", 50)  # seven samples at once
    assert registry.bootstrap(values, seed=3) == pytest.approx(wanted, rel=1e-12)


def test_a_bootstrap_of_little():
    assert registry.bootstrap([3.0]) == (3.0, 3.0, 3.0)
    assert registry.bootstrap([3.0, np.nan]) == (3.0, 3.0, 3.0)
    assert np.isnan(registry.bootstrap([])).all()
    assert np.isnan(registry.bootstrap([np.nan])).all()
    assert type(registry.bootstrap([1, 2]).low) is float
    for values in ([[1.0]], 3.0, [1.0, np.inf]):
        _refused(r"Expected one number per picture, \(B,\)", registry.bootstrap, values)
    _refused("samples=0", registry.bootstrap, [1.0], samples=0)
    _refused("level=2", registry.bootstrap, [1.0], level=2)

"""Every method on models that have nothing to explain: a finding, never NaN without a word."""

from functools import cache

import models
import numpy as np
import pytest
from cases import CASES

from keras_saliency import explain
from keras_saliency.testing import attention

by_case = pytest.mark.parametrize("case", CASES, ids=str)
# That the user is warned is what is tested, in `checks`.
pytestmark = pytest.mark.filterwarnings("ignore:picture", "ignore:.*encountered:RuntimeWarning")


@cache
def _changed(network, how):
    """A network whose head says nothing, whose rectifiers are dead, or that is broken."""
    model = network.chain(name=how)
    new = []
    for variable, values in zip(model.weights, model.get_weights(), strict=True):
        path = variable.path
        if how == "constant" and path.startswith("head/kernel"):
            values = np.zeros_like(values)
        if how == "dead" and path.startswith("bn/gamma"):
            values = np.zeros_like(values)
        if how == "dead" and path.startswith("bn/beta"):
            values = np.full_like(values, -1)
        if how == "broken" and path.startswith("head/kernel"):
            values = np.full_like(values, np.nan)
        new.append(values)
    model.set_weights(new)
    return model


def _explained(case, how):
    return explain(_changed(case.networks, how), np.abs(models.pictures(2)), case.method, target=1)


@by_case
def test_a_score_that_does_not_move(case):
    e = _explained(case, "constant")
    assert np.isfinite(e.values).all()
    # Rollout and EigenCAM look at attention and activations: they have a map all the same.
    said = all(check["findings"] for check in e.checks)
    assert said or case.method.name in ("attention_rollout", "eigen_cam")


@by_case
def test_rectifiers_that_are_all_dead(case):
    if case.networks is attention:
        pytest.skip("its activations are smooth")
    e = _explained(case, "dead")
    assert np.isfinite(e.values).all()
    assert not e.values.any() or all(check["findings"] for check in e.checks)
    assert all(check["findings"] for check in e.checks)


@by_case
def test_a_score_that_is_nan(case):
    e = _explained(case, "broken")
    for check in e.checks:
        assert any("NaN" in finding for finding in check["findings"])

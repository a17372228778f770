"""check_method: what it reports of good methods and bad ones, and its own errors."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
import warnings
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest

from keras_saliency import errors, methods
from keras_saliency.methods import Attribution, Method
from keras_saliency.testing import LAWS, LawResult, check_method, networks

DEMANDING = "exact_on_linear"


@dataclass(frozen=True)
class Squared(Method):
    """The gradient squared: what a user would write, outside the package."""

    family = "gradient"

    power: int = 2

    def attribute(self, engine, seed):
        return Attribution(engine.gradient() ** self.power)


class Signed(Squared):
    """Has negative values, but does not claim them."""

    def to_map(self, attributions):
        return -super().to_map(attributions)


class Raising(Squared):
    def attribute(self, engine, seed):
        raise ZeroDivisionError("no such number")


class Writing(Squared):
    """Writes to the model that it is given."""

    def attribute(self, engine, seed):
        result = super().attribute(engine, seed)
        engine._adapter.model.layers[1].activation = lambda x: x - 1
        return result


def squares(w, x):
    return (w**2).sum(-1)


@pytest.fixture(scope="module")
def of_a_good_one():
    return check_method(Squared(), on_linear=squares)


def test_a_good_method_keeps_every_law(of_a_good_one):
    assert [one.law for one in of_a_good_one] == list(LAWS)
    skipped = {one.law: one.reason for one in of_a_good_one if one.status == "skipped"}
    skipped.pop("channels_first_is_channels_last", None)  # TensorFlow on some processors
    assert skipped == {
        "complete_where_claimed": "complete is False",
        "layer_is_reached_and_reaches": "family is not 'cam'",
    }
    assert all(one.ok and one.error is None for one in of_a_good_one if one.status == "passed")
    assert sum(one.status == "passed" for one in of_a_good_one) >= 14


def test_results_are_plain_and_frozen(of_a_good_one):
    one = of_a_good_one[0]
    assert str(one) == "image_sized_finite_float32: passed"
    assert pickle.loads(pickle.dumps(one)) == one == LawResult(one.law, "passed")
    with pytest.raises(FrozenInstanceError):
        one.status = "failed"


def test_a_wrong_formula_is_a_failure_with_numbers():
    with pytest.raises(errors.LawError) as raised:
        check_method(Squared(3), on_linear=squares, laws=[DEMANDING, "nested_is_flat"])
    error = raised.value
    assert isinstance(error, AssertionError)
    assert error.what == "Expected Squared to keep every law except its expected failures."
    assert error.got.startswith(
        "Got 1 broken, of 2:\n- exact_on_linear: Expected the map on_linear"
    )
    assert "to 0.0001 of the largest value. Got " in error.got
    assert isinstance(error.__cause__, errors.LawError)
    assert "nested_is_flat" not in str(error)


def test_one_error_names_every_broken_law():
    laws = ["unsigned_is_non_negative", "exact_on_linear", "same_seed_same_map"]
    with pytest.raises(errors.LawError, match="Got 2 broken, of 3") as raised:
        check_method(Signed(), on_linear=squares, laws=laws)
    said = str(raised.value)
    assert said.index("- exact_on_linear: ") < said.index("- unsigned_is_non_negative: ")
    assert re.search(
        r"Expected no negative values, since signed is False. Got \d+ of 288, down", said
    )


def test_what_the_method_raises_breaks_the_law():
    (one,) = check_method(Raising(), laws="same_seed_same_map", on_fail=None)
    assert one.status == "failed"
    assert not one.ok
    assert one.reason == "Expected no error. Got ZeroDivisionError: no such number."
    assert isinstance(one.error, ZeroDivisionError)


def test_a_method_that_writes_to_models_spoils_none_of_the_next():
    laws = ["model_left_as_found", "batch_is_singles"]
    results = check_method(Writing(), laws=laws, on_fail=None)
    assert [one.status for one in results] == ["failed", "failed"]  # the first on a shared network
    assert "Got other attributes" in results[1].reason
    assert all(one.status == "passed" for one in check_method(Squared(), laws=laws))


def test_what_this_machine_cannot_run_is_skipped():
    class Elsewhere(Squared):
        def attribute(self, engine, seed):
            if engine._adapter.channels_first:
                raise errors.ModelError("TensorFlow cannot run that on this device.", "", "", "")
            return super().attribute(engine, seed)

    (one,) = check_method(Elsewhere(), laws="channels_first_is_channels_last")
    assert (one.status, one.ok) == ("skipped", True)
    assert one.reason == "TensorFlow runs no channels first on this processor"


def test_expected_failures_carry_their_reason():
    expected = {"unsigned_is_non_negative": "the sign stays on purpose", "batch_is_singles": "x"}
    (one,) = check_method(
        Signed(), laws="unsigned_is_non_negative", expected_failures=expected
    )  # the other is not run
    assert (one.status, one.reason) == ("expected_failure", "the sign stays on purpose")
    assert isinstance(one.error, errors.LawError)


def test_a_law_without_concern_is_no_expected_failure():
    expected = {"complete_where_claimed": "of no concern"}
    (one,) = check_method(Squared(), laws="complete_where_claimed", expected_failures=expected)
    assert one.status == "skipped"


def test_an_unexpected_pass_is_a_failure_as_strict_xfail():
    arguments = {"laws": "same_seed_same_map", "expected_failures": {"same_seed_same_map": "new"}}
    with pytest.raises(errors.LawError, match="Got 1 passed that should be broken, of 1") as raised:
        check_method(Squared(), **arguments)
    assert raised.value.__cause__ is None
    (one,) = check_method(Squared(), **arguments, on_fail=None)
    assert one.status == "unexpected_pass"
    assert one.reason == "Expected it to be broken (new). Got a method that keeps it."
    assert not one.ok


def test_on_fail_warns_or_says_nothing():
    with pytest.warns(UserWarning, match="Got 1 broken, of 1") as caught:
        check_method(Signed(), laws="unsigned_is_non_negative", on_fail="warn")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        check_method(Signed(), laws="unsigned_is_non_negative", on_fail=None)
        check_method(Squared(), laws="unsigned_is_non_negative", on_fail="warn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"laws": "nested_is_flt"}, "No law is called 'nested_is_flt'.*mean 'nested_is_flat'"),
        ({"laws": ["nested_is_flat", 3]}, "No law is called 3"),
        ({"expected_failures": {"batch_is_single": "x"}}, "Did you mean 'batch_is_singles'"),
        ({"expected_failures": {"batch_is_singles": " "}}, "Got {'batch_is_singles': ' '}"),
        ({"expected_failures": ["batch_is_singles"]}, r"Got \['batch_is_singles'\]"),
        ({"on_fail": "shout"}, "No such on_fail: 'shout'. Known: 'raise', 'warn', None"),
        ({"networks": "recurrent"}, "No such networks: 'recurrent'. Known: 'convolution', 'att"),
        ({"networks": []}, r"No such networks: \[\]"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(errors.MethodError, match=message):
        check_method(Squared(), **arguments)
    with pytest.raises(errors.MethodError, match="No method is called 'squared'"):
        check_method("squared")


@pytest.mark.parametrize("law", LAWS)
def test_it_is_parametrized_by_the_names(law):
    """As in the docs: a test for each law, with no helper."""
    check_method(Signed(), laws=law, expected_failures={"unsigned_is_non_negative": "signed"})


@pytest.mark.any_backend
def test_methods_that_need_attention_or_classes():
    laws = ["image_sized_finite_float32", "gradient_free_where_claimed"]
    assert all(
        one.ok for one in check_method("transformer_attribution", networks="attention", laws=laws)
    )
    assert all(one.ok for one in check_method(methods.FinerCam, only_classes=True, laws=laws))
    results = check_method("transformer_attribution", laws=laws, on_fail=None)
    assert [one.status for one in results] == ["failed", "failed"]
    assert results[0].reason.startswith("Expected no error. Got LayerError: ")


def test_a_complete_method_from_another_baseline():
    method = methods.IntegratedGradients(steps=24, baseline=-2.0)
    laws = "complete_where_claimed"
    check_method(method, laws=laws, baseline=lambda x: np.full_like(x, -2))
    with pytest.raises(errors.LawError, match="Expected attributions that sum to the change"):
        check_method(method, laws=laws)


def test_completeness_asks_for_its_check():
    class Complete(Squared):
        complete = True

    with pytest.raises(errors.LawError, match="Got none of the second"):
        check_method(Complete(), laws="complete_where_claimed")


def test_a_cam_has_its_grid_compared_and_names_its_layer():
    def grid(a, v):
        return np.maximum((a * v).sum(-1), 0) / (a.shape[1] * a.shape[2])

    laws = [DEMANDING, "layer_is_reached_and_reaches"]
    results = check_method(methods.GradCam(), on_cam=grid, laws=laws)
    assert [one.status for one in results] == ["passed", "passed"]

    class Nameless(Squared):
        family = "cam"

    with pytest.raises(errors.LawError, match=r"Expected info\['layer'\].*Got None"):
        check_method(Nameless(), laws=laws)


def test_it_leaves_the_random_numbers_of_its_caller():
    np.random.seed(0)
    wanted = np.random.random()
    np.random.seed(0)
    networks.weights.cache_clear()
    check_method(Squared(), laws="same_seed_same_map")
    assert np.random.random() == wanted


def test_a_bar_shows_on_a_terminal(monkeypatch):
    from keras_saliency.testing import check

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    track = check.track
    monkeypatch.setattr(check, "track", lambda *given: track(*given, wait=0))
    check_method(Squared(), laws=["same_seed_same_map", "nested_is_flat"])
    assert "laws of Squared" in sys.stderr.getvalue()


@pytest.mark.any_backend
def test_it_needs_no_pytest_and_the_root_loads_neither():
    code = """
import sys, keras_saliency
assert not {"keras", "keras_saliency.testing"} & set(sys.modules)
assert "testing" in dir(keras_saliency)
(one,) = keras_saliency.testing.check_method("gradient", laws="same_seed_same_map")
print(one, "pytest" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "same_seed_same_map: passed False", run.stderr

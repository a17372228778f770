"""What comes again and again under PyTorch is played back: the same numbers, to the last bit."""

import threading

import cases
import keras
import models
import numpy as np
import pytest
from keras import layers, ops

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch

from keras_saliency import explain, methods
from keras_saliency._backend import torch_purity, torch_recorded
from keras_saliency._backend.torch_recorded import Recorded

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], "float32")


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    """The functions here count their runs, which is no reason against a recording of them."""
    monkeypatch.setattr(torch_purity, "TRUSTED", {*torch_purity.TRUSTED, __name__})


@pytest.fixture
def at_once(monkeypatch):
    """Everything is recorded when it comes for the first time."""
    monkeypatch.setattr(torch_recorded, "AFTER", 0)


class Counted:
    """A function that counts how often Python runs it."""

    def __init__(self, function, variables=list):
        self.runs = 0
        self._function = function
        self.recorded = Recorded(self._run, variables)

    def _run(self, values, *args):
        self.runs += 1
        return self._function(values, *args)

    def __call__(self, *args):
        return keras.tree.map_structure(ops.convert_to_numpy, self.recorded(*args))


def test_what_comes_often_is_recorded_once():
    counted = Counted(lambda values, x: ops.square(x))
    for _ in range(torch_recorded.AFTER + 5):
        np.testing.assert_array_equal(counted(X), X**2)
    assert counted.runs == torch_recorded.AFTER + 1


def test_another_shape_or_type_is_another_run(at_once):
    counted = Counted(lambda values, x: x * x.shape[0])
    for x in (X, X[:1], X.astype("float64"), X, X[:1]):
        result = counted(x)
        np.testing.assert_array_equal(result, x * len(x))
        assert result.dtype == x.dtype
    assert counted.runs == 3 + 3  # once as it is, once recorded


def test_who_asks_for_a_value_runs_as_it_is(at_once):
    def larger(values, x):
        return x * 2 if float(ops.max(x)) > 1 else x

    counted = Counted(larger)
    for x in (X, X / 10, X):
        np.testing.assert_array_equal(counted(x), x * 2 if x.max() > 1 else x)
    assert counted.runs == 4  # and one attempt


def test_who_leaves_for_numpy_runs_as_it_is(at_once):
    counted = Counted(lambda values, x: x + ops.convert_to_tensor(ops.convert_to_numpy(x).max()))
    for x in (X, X / 10, X):
        np.testing.assert_array_equal(counted(x), x + x.max())


@pytest.mark.parametrize("seeded", [False, True])
def test_random_numbers_are_drawn_anew(at_once, seeded):
    seed = keras.random.SeedGenerator(0)
    counted = Counted(
        lambda values, x: x + (keras.random.normal(x.shape, seed=seed) if seeded
                               else torch.randn(x.shape))
    )  # fmt: skip
    assert np.abs(counted(X) - counted(X)).min() > 0


def test_an_error_is_the_functions_own(at_once):
    def broken(values, x):
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        Counted(broken)(X)


def test_new_weights_are_seen(at_once):
    variable = keras.Variable(np.ones(3, "float32"))
    counted = Counted(lambda values, x: x * values[0], lambda: [variable])
    np.testing.assert_array_equal(counted(X), X)
    variable.assign(np.arange(3, dtype="float32"))
    np.testing.assert_array_equal(counted(X), X * np.arange(3))
    with torch.no_grad():
        variable.value.mul_(2)
    np.testing.assert_array_equal(counted(X), X * np.arange(3) * 2)
    variable.value.data.mul_(2)  # which PyTorch itself takes no note of
    np.testing.assert_array_equal(counted(X), X * np.arange(3) * 4)
    assert counted.runs == 2


def test_what_no_one_needs_is_not_computed(at_once):
    ran = []

    class Mode(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            ran.append(function.__name__)
            return function(*args, **(kwargs or {}))

    def wasteful(values, x):
        ops.exp(x)
        changed = ops.copy(x)
        torch.Tensor.mul_(changed[0], 2)  # a view: what is changed in place counts as needed
        return changed

    counted = Counted(wasteful)
    counted(X)
    with Mode():
        result = counted(X)
    np.testing.assert_array_equal(result, X * [[2], [1]])
    assert any("mul_" in name for name in ran)
    assert not any("exp" in name for name in ran)


def test_under_autocast_nothing_is_recorded_or_played_back(at_once):
    def partly(values, x):
        with torch.autocast("cpu", enabled=False):
            exact = torch.matmul(x, x.t())
        return exact, torch.matmul(x, x.t())

    counted = Counted(partly)
    for number in range(3):
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype):
                exact, cast = counted.recorded(X)
            assert (exact.dtype, cast.dtype) == (torch.float32, dtype)
        exact, plain = counted(X)
        np.testing.assert_array_equal(exact, plain)
        assert counted.runs == 2 * (number + 1) + 2


def test_inference_mode_around_us(at_once):
    model, x = models.chain(), models.pictures(1)
    wanted = explain(model, x, target=1).values
    with torch.inference_mode():
        np.testing.assert_array_equal(explain(model, x, target=1).values, wanted)
    assert all(weight.value.requires_grad for weight in model.trainable_variables)


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_every_method_gives_the_same_map(case, monkeypatch):
    """Recorded and not: the same to the last bit, in the networks that the contract takes."""
    result = []
    for after in (10**9, 0):
        monkeypatch.setattr(torch_recorded, "AFTER", after)
        model = case.networks.chain()
        for _ in range(2):  # the second one is played back
            e = explain(model, models.pictures(2), case.method, target=1, seed=3)
        result.append(e)
    np.testing.assert_array_equal(result[0].values, result[1].values)
    np.testing.assert_array_equal(result[0].scores, result[1].scores)


def test_while_one_thread_records_others_run_as_they_are(at_once):
    model, x = models.chain(), models.pictures(2)
    wanted = explain(models.chain(), x, target=1).values
    result, failures = [], []

    def work():
        try:
            result.extend(explain(model, x, target=1).values for _ in range(3))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(result) == 9
    for values in result:
        np.testing.assert_array_equal(values, wanted)


def test_a_layer_that_keeps_a_tensor_keeps_a_true_one(at_once):
    """As rotary embeddings keep the table of the last size."""

    class Keeping(layers.Layer):
        size = None

        def call(self, x):
            if self.size != x.shape[1]:
                self.size = x.shape[1]
                self.table = ops.cos(ops.arange(x.shape[1], dtype="float32"))[:, None, None]
            self.seen = ops.exp(x)
            return x * self.table

    inputs = keras.Input((None, None, 3))
    counting = Keeping()
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(counting(inputs)))
    sizes = [np.ones((1, side, side, 3), "float32") for side in (4, 6)]
    for _ in range(2):
        for x in sizes:
            e = explain(model, x, methods.Gradient(), target=0, preprocess=None)
            slopes = np.cos(np.arange(x.shape[1])) / x.shape[1] ** 2
            np.testing.assert_allclose(e.attributions[0, :, 0, 0], slopes, rtol=1e-5)
    for one in (counting.table, counting.seen):
        assert type(one) is torch.Tensor
    np.testing.assert_allclose(
        model.predict(sizes[0], verbose=0), model(sizes[0]).numpy(force=True)
    )


@pytest.mark.parametrize("how", ["numpy", "caught"])
def test_what_gives_other_numbers_played_back_is_not(at_once, how):
    draw = np.random.default_rng(0)

    def function(values, x):
        if how == "numpy":
            return x + float(draw.normal())
        try:
            large = bool(ops.max(x) > 1)
        except RuntimeError:
            large = False
        return x * 2 if large else x

    counted = Counted(function)
    first, second = counted(X), counted(X)
    if how == "numpy":
        assert np.abs(first - second).min() > 0
    else:
        np.testing.assert_array_equal(second, 2 * X)


def test_a_layer_in_the_model_that_asks_for_a_value(at_once):
    class Asking(layers.Layer):
        def call(self, x):
            return x * 2 if float(ops.max(x)) > 1 else x

    inputs = keras.Input((4, 4, 3))
    outputs = layers.Dense(2, kernel_initializer="ones")(layers.Flatten()(Asking()(inputs)))
    model = keras.Model(inputs, outputs)
    x = np.full((1, 4, 4, 3), 0.5, "float32")
    for scale, slope in ((1, 1), (4, 2), (1, 1)):
        e = explain(model, scale * x, methods.Gradient(), target=0, preprocess=None)
        np.testing.assert_array_equal(e.attributions, np.full(x.shape, slope))

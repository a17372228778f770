"""``vjp`` and ``redirect``, the two words that backward rules are made of, on each backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_saliency import _backend
from keras_saliency.errors import GradientError

BACKEND = _backend.current()
X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], "float32")
Y = np.array([[2.0, 0.5, -1.0], [1.5, -3.0, 2.0]], "float32")


def gradient(function, *args):
    """Score each row by the sum of ``function``; return what came out, and the gradient."""

    def scores(x, *rest):
        output, aux = function(x, *rest)
        return ops.sum(output, axis=-1), aux

    result = BACKEND.value_and_grad(scores, list)(*args)
    return BACKEND.to_numpy(result)


def test_vjp_gives_the_output_and_each_inputs_gradient():
    def body(x, y):
        output, pullback = BACKEND.vjp(lambda a, b: a * a * b, x, y)
        one, other = pullback(y + 1)
        return x, {"output": output, "one": one, "other": other}

    _, aux, _ = gradient(body, X, Y)
    np.testing.assert_allclose(aux["output"], X * X * Y, rtol=1e-6)
    np.testing.assert_allclose(aux["one"], 2 * X * Y * (Y + 1), rtol=1e-6)
    np.testing.assert_allclose(aux["other"], X * X * (Y + 1), rtol=1e-6)


def test_vjp_can_be_pulled_twice():
    def body(x):
        _, pullback = BACKEND.vjp(ops.square, x)
        return x, {"one": pullback(x)[0], "other": pullback(2 * x)[0]}

    _, aux, _ = gradient(body, X)
    np.testing.assert_allclose(aux["one"], 2 * X * X)
    np.testing.assert_allclose(aux["other"], 4 * X * X)


def test_vjp_of_an_input_that_is_not_used_is_0():
    def body(x, y):
        _, pullback = BACKEND.vjp(lambda a, b: 3 * a, x, y)
        return x, dict(zip("ab", pullback(ops.ones_like(x)), strict=True))

    _, aux, _ = gradient(body, X, Y)
    assert (aux["a"] == 3).all()
    assert aux["b"].shape == Y.shape
    assert not aux["b"].any()


def test_vjp_of_the_identity():
    def body(x):
        output, pullback = BACKEND.vjp(lambda a: a, x)
        return x, {"output": output, "back": pullback(x * 2)[0]}

    _, aux, _ = gradient(body, X)
    np.testing.assert_array_equal(aux["back"], 2 * X)


def test_nothing_goes_back_through_vjp_itself():
    """Its output is cut off: only `redirect` says what goes back."""

    def body(x):
        output, _ = BACKEND.vjp(ops.square, x)
        return x + ops.stop_gradient(output), {}

    assert (gradient(body, X)[2] == 1).all()


def test_redirect_leaves_the_output_and_replaces_the_gradient():
    def body(x):
        return BACKEND.redirect(ops.square(x), [x], lambda up: (up * 7,)), {}

    scores, _, back = gradient(body, X)
    np.testing.assert_allclose(scores, (X**2).sum(-1))
    assert (back == 7).all()


def test_redirect_sees_what_comes_from_above():
    def body(x):
        return ops.sin(BACKEND.redirect(2 * x, [x], lambda up: (up + 1,))), {}

    np.testing.assert_allclose(gradient(body, X)[2], np.cos(2 * X) + 1, atol=1e-6)


def test_redirect_to_several_inputs_of_other_shapes():
    def body(both):
        x, probe = both
        back = lambda up: (up * 2, ops.sum(up * x, axis=-1, keepdims=True))  # noqa: E731
        return BACKEND.redirect(x, [x, probe], back) * 5, {}

    probe = np.zeros((2, 1), "float32")
    _, _, (one, other) = gradient(body, (X, probe))
    assert (one == 10).all()
    np.testing.assert_allclose(other, 5 * X.sum(-1, keepdims=True), rtol=1e-6)


def test_redirects_follow_each_other_and_their_inputs_go_on():
    """A rule closes over tensors of the run, also over another vjp of it."""

    def body(x):
        z, pullback = BACKEND.vjp(lambda a: a * a, x)
        first = BACKEND.redirect(z, [x], lambda up: (pullback(up)[0] + z,))
        return BACKEND.redirect(ops.exp(first), [first], lambda up: (up * first,)), {}

    np.testing.assert_allclose(gradient(body, X)[2], X**2 * 2 * X + X**2, rtol=1e-5)


def test_what_stands_before_a_redirect_gets_its_gradient():
    def body(x):
        inner = x * x
        return BACKEND.redirect(ops.relu(inner), [inner], lambda up: (up * 3,)), {}

    np.testing.assert_allclose(gradient(body, X)[2], 6 * X)


def test_redirect_needs_no_gradient():
    run = BACKEND.forward(lambda x: BACKEND.redirect(x * 2, [x], lambda up: (up,)), list)
    np.testing.assert_array_equal(BACKEND.to_numpy(run(X)), 2 * X)


def test_only_probes_may_be_reached():
    """Where nothing reaches the picture its gradient is 0, as long as something reaches a probe."""

    def body(both):
        x, probe = both
        return ops.stop_gradient(x) + probe, {}

    _, _, (one, other) = gradient(body, (X, np.zeros_like(X)))
    assert not one.any()
    assert (other == 1).all()


def test_nothing_reached_is_an_error():
    with pytest.raises(GradientError):
        gradient(lambda x: (ops.stop_gradient(x), {}), X)


def test_weights_are_seen_by_a_rule_that_runs_later():
    layer = keras.layers.Dense(3)
    layer.build((None, 3))
    layer.set_weights([np.arange(9, dtype="float32").reshape(3, 3), np.ones(3, "float32")])

    def scores(x):
        output = layer.call(x)
        kernel = ops.convert_to_tensor(layer.kernel)
        output = BACKEND.redirect(output, [x], lambda up: (ops.matmul(up, kernel * 2),))
        return ops.sum(output, axis=-1), {}

    run = BACKEND.value_and_grad(scores, lambda: layer.variables)
    for factor in (1, 3):  # new weights, same compiled function
        layer.kernel.assign(factor * np.arange(9, dtype="float32").reshape(3, 3))
        _, _, back = BACKEND.to_numpy(run(X))
        kernel = layer.get_weights()[0]
        np.testing.assert_allclose(back, np.ones((2, 3)) @ kernel * 2, rtol=1e-6)


@pytest.mark.skipif(keras.config.backend() != "torch", reason="a copy that only torch makes")
def test_under_torch_no_layout_is_copied_while_we_run():
    from keras.src.backend.torch import nn

    usual, seen = nn._transpose_spatial_inputs, []

    def body(x):
        moved = nn._transpose_spatial_inputs(x)
        seen.append(moved.data_ptr() == x.data_ptr())
        return moved

    x = ops.reshape(ops.arange(24, dtype="float32"), (1, 2, 3, 4))
    result = BACKEND.forward(body, list)(x)
    assert seen == [True]
    np.testing.assert_array_equal(result, usual(x))
    assert nn._transpose_spatial_inputs is usual

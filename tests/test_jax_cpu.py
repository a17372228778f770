"""Convolutions and pools written otherwise for JAX on CPUs: the same numbers and gradients."""

# ruff: noqa: B023  # the functions are called at once

import threading

import keras
import numpy as np
import pytest

if keras.config.backend() != "jax":
    pytest.skip("about JAX", allow_module_level=True)

import jax
from jax import lax

from keras_saliency._backend import jax_cpu

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="about JAX on CPUs")

ROUNDING = 2e-6  # of the largest number, by another order of sums


def _draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _close(result, wanted):
    np.testing.assert_allclose(result, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def _jaxpr(function, *args):
    """What is traced, and what its gradients by all arguments are made of."""

    def total(*args):
        return function(*args).sum()

    return str(jax.make_jaxpr(jax.grad(total, tuple(range(len(args)))))(*args))


def _same(function, *args):
    """The function within the block and without it: value and gradients by all arguments."""

    def rewritten(*args):
        with jax_cpu.rewritten():
            return function(*args)

    wanted, pull = jax.vjp(function, *args)
    result, pulled = jax.vjp(rewritten, *args)
    assert result.dtype == wanted.dtype
    _close(result, wanted)
    upstream = _draw(*wanted.shape, seed=3).astype(wanted.dtype)
    for one, other in zip(pulled(upstream), pull(upstream), strict=True):
        _close(one, other)
    return rewritten


CONVOLUTIONS = {  # side, channels, filters, kernel, strides, options: is it written otherwise?
    "pointwise": (6, 8, 5, (1, 1), 1, {}, True),
    "pointwise strided": (7, 8, 5, (1, 1), 2, {}, True),
    "strided": (9, 8, 5, (3, 3), 2, {"padding": "same"}, True),
    "strided, even side": (8, 8, 5, (3, 3), 2, {"padding": "same"}, True),
    "strided, two ways": (9, 6, 5, (3, 2), (2, 3), {}, True),
    "of a picture": (9, 3, 5, (5, 3), 1, {"padding": "same"}, True),
    "plain": (9, 8, 5, (3, 3), 1, {"padding": "same"}, False),
    "dilated": (9, 3, 5, (3, 3), 1, {"dilation_rate": 2}, False),
    "large": (20, 3, 5, (9, 9), 2, {}, False),
    "groups": (9, 8, 4, (3, 3), 2, {"groups": 2}, False),
    "channels first": (9, 9, 5, (3, 3), 2, {"data_format": "channels_first"}, False),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    side, channels, filters, kernel, strides, options, written = CONVOLUTIONS[name]
    groups = options.get("groups", 1)
    options = {key: value for key, value in options.items() if key != "groups"}

    def function(x, w):
        return keras.ops.conv(x, w, strides, **{"padding": "valid", **options})

    x = _draw(2, side, side if channels != side else channels, channels)
    w = _draw(*kernel, channels // groups, filters, seed=1)
    rewritten = _same(function, x, w)
    assert ("conv_general" not in _jaxpr(rewritten, x, w)) == written
    assert "conv_general" in _jaxpr(function, x, w)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "strides"), [((3, 3), 1), ((3, 3), 2), ((5, 2), 1), ((5, 5), 2)]
)
def test_depthwise_convolutions(kernel, strides, padding):
    def function(x, w):
        return keras.ops.depthwise_conv(x, w, strides, padding)

    x, w = _draw(2, 9, 8, 6), _draw(*kernel, 6, 1, seed=1)
    assert "conv_general" not in _jaxpr(_same(function, x, w), x, w)


def test_a_depth_multiplier_is_left_alone():
    def function(x, w):
        return keras.ops.depthwise_conv(x, w, 1, "same")

    x, w = _draw(2, 5, 5, 3), _draw(3, 3, 3, 2, seed=1)
    assert "conv_general" in _jaxpr(_same(function, x, w), x, w)


def test_one_channel_is_a_convolution_like_others():
    x, w = _draw(2, 5, 5, 1), _draw(3, 3, 1, 4, seed=1)
    _same(lambda x, w: keras.ops.conv(x, w, 1, "same"), x, w)
    _same(lambda x, w: keras.ops.conv(x, w[..., :1], 1, "same"), x, w)


def test_sequences_and_volumes_are_left_alone():
    _same(lambda x, w: keras.ops.conv(x, w, 2), _draw(2, 9, 3), _draw(3, 3, 4, seed=1))
    _same(lambda x, w: keras.ops.conv(x, w, 2), _draw(1, 5, 5, 5, 2), _draw(3, 3, 3, 2, 4, seed=1))


@pytest.mark.parametrize("side", [1, 2])
def test_a_kernel_larger_than_the_picture(side):
    """Keras refuses the empty output, as it does without us."""
    x, w = _draw(1, side, 6, 3), _draw(3, 3, 3, 2, seed=1)
    with jax_cpu.rewritten(), pytest.raises(ValueError, match="empty output"):
        keras.ops.conv(x, w)
    with jax_cpu.rewritten():
        assert keras.ops.max_pool(x, 3, 1).shape == (1, 0, 4, 3)


def test_half_precision_is_left_alone():
    """Sums of halves would be rounded at each step."""
    x, w = _draw(1, 6, 6, 3).astype("float16"), _draw(3, 3, 3, 2, seed=1).astype("float16")

    def rewritten(x, w):
        with jax_cpu.rewritten():
            return keras.ops.conv(x, w, 2)

    assert "conv_general" in _jaxpr(rewritten, x, w)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "strides"), [(2, 2), (3, 2), (3, 1), ((2, 3), (1, 2))])
def test_maxima_over_windows(size, strides, padding):
    def function(x):
        return keras.ops.max_pool(x, size, strides, padding)

    x = _draw(2, 7, 8, 3) - 5  # padding is never the largest
    rewritten = _same(function, x)
    assert "reduce_window" not in _jaxpr(rewritten, x)
    assert "reduce_window" in _jaxpr(function, x)


def test_of_equal_ones_the_first_gets_the_gradient():
    x = np.zeros((1, 4, 4, 1), "float32")
    for size, strides in ((2, 2), (3, 1)):
        _same(lambda x, size=size, strides=strides: keras.ops.max_pool(x, size, strides), x)
    _same(lambda x: keras.ops.max_pool(x, 2, 2), np.maximum(_draw(1, 8, 8, 4), 0))


def test_other_reductions_are_left_alone():
    _same(lambda x: keras.ops.average_pool(x, 2, 2), _draw(1, 6, 6, 2))
    _same(lambda x: keras.ops.max_pool(x, 2, 2), _draw(1, 6, 2))
    _same(lambda x: keras.ops.max_pool(x, 2, 2, data_format="channels_first"), _draw(1, 2, 6, 6))


def test_only_in_this_thread_and_only_for_the_time():
    before = lax.conv_general_dilated, lax.reduce_window
    x, w = _draw(1, 5, 5, 3), _draw(3, 3, 3, 1, seed=1)
    seen = []

    def forward_with_rule():
        seen.append("conv_general" in _jaxpr(lambda x, w: keras.ops.conv(x, w), x, w))

    with jax_cpu.rewritten():
        thread = threading.Thread(target=forward_with_rule)
        thread.start()
        thread.join()
        forward_with_rule()
    forward_with_rule()
    assert seen == [True, False, True]
    assert (lax.conv_general_dilated, lax.reduce_window) == before


@pytest.mark.parametrize("seed", range(2))
def test_over_random_settings_with_what_is_not_finite(seed):
    """Fuzzed against the originals: NaN and infinities spread to the same places."""
    draw = np.random.default_rng(seed)
    for _ in range(5):
        height, width, channels = (int(n) for n in draw.integers(1, 8, 3))
        x = draw.normal(size=(2, height, width, channels)).astype("float32")
        for value in (np.nan, np.inf, -np.inf):
            if draw.random() < 0.5:
                x[tuple(int(draw.integers(n)) for n in x.shape)] = value
        size, stride = (tuple(int(n) for n in draw.integers(1, 4, 2)) for _ in range(2))
        padding = [str(draw.choice(["SAME", "VALID"])), [(0, 0), (1, 2), (0, 1), (0, 0)]]
        padding = padding[draw.integers(2)]
        extra_inputs = padding if isinstance(padding, str) else padding[1:3]
        w = draw.normal(size=(*size, 1, channels)).astype("float32")
        full = draw.normal(size=(*size, channels, 3)).astype("float32")
        numbers = ("NHWC", "HWIO", "NHWC")
        start = float(draw.choice([-np.inf, 0.0, np.nan]))
        dilation = [(1, 1), (2, 1)][int(draw.random() < 0.2)]
        more = {"rhs_dilation": dilation, "dimension_numbers": numbers}
        for function in (
            lambda: lax.reduce_window(x, start, lax.max, (1, *size, 1), (1, *stride, 1), padding),
            lambda: lax.conv_general_dilated(x, full, stride, extra_inputs, **more),
            lambda: lax.conv_general_dilated(
                x, w, stride, extra_inputs, None, dilation, numbers, channels
            ),
        ):
            _alike(function)


def _alike(function):
    wanted = function()
    with jax_cpu.rewritten():
        result = function()
    assert result.dtype == wanted.dtype
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


WINDOWS = {
    "from 0 on": lambda x: lax.reduce_window(x, 0.0, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
    "no strides": lambda x: lax.reduce_window(x, -np.inf, lax.max, (1, 2, 2, 1)),
    "by name": lambda x: lax.reduce_window(
        operand=x, init_value=-np.inf, computation=lax.max, window_dimensions=(1, 2, 2, 1),
        window_strides=(1, 2, 2, 1), padding="SAME", window_dilation=(1, 2, 2, 1),
    ),
    "dilated, by place": lambda x: lax.reduce_window(
        x, -np.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", (1, 2, 2, 1), (1, 1, 2, 1)
    ),
    "whole numbers": lambda x: lax.reduce_window(
        (9 * x).astype("int32"), -5, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    ),
    "pads the batch": lambda x: lax.reduce_window(
        x, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), [(1, 1), (0, 0), (0, 0), (0, 0)]
    ),
    "several at once": lambda x: lax.reduce_window(
        (x, x), (-np.inf, -np.inf), lambda a, b: (lax.max(a[0], b[0]), lax.max(a[1], b[1])),
        (1, 2, 2, 1), (1, 2, 2, 1), "VALID",
    )[0],
    "no window fits": lambda x: lax.reduce_window(
        x, -np.inf, lax.max, (1, 7, 7, 1), (1, 2, 2, 1), "VALID"
    ),
    "groups of pictures": lambda x: lax.conv_general_dilated(
        x, np.ones((1, 1, 3, 2), "float32"), (1, 1), "VALID", None, None,
        ("NHWC", "HWIO", "NHWC"), 1, 2,
    ),
    "a start that is traced": lambda x: jax.jit(
        lambda start: lax.reduce_window(x, start, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    )(-0.5),
    "more exact": lambda x: lax.conv_general_dilated(
        x, np.ones((1, 1, 3, 2), "float32"), (1, 1), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_every_way_of_calling(name):
    x = _draw(2, 5, 6, 3) - 1
    _alike(lambda: WINDOWS[name](x))


def test_what_was_jitted_elsewhere_is_not_shared():
    """A jitted function of the user's own is traced once for us and once for all others."""
    pool = jax.jit(lambda x: keras.ops.max_pool(x, 2, 2))
    x = _draw(1, 4, 4, 2)
    with jax_cpu.rewritten():
        assert "reduce_window" not in str(jax.make_jaxpr(pool)(x))
    assert "reduce_window" in str(jax.make_jaxpr(pool)(x))


def test_an_unknown_keyword_goes_to_jax_as_it_came():
    seen = []

    def original(lhs, rhs, window_strides, padding, future=None):
        seen.append((lhs, rhs, window_strides, padding, future))

    jax_cpu._convolution(original, 1, 2, (1, 1), "SAME", future=5)
    jax_cpu._convolution(original, 1, 2, (1, 1), "SAME")
    assert seen == [(1, 2, (1, 1), "SAME", 5), (1, 2, (1, 1), "SAME", None)]

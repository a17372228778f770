"""Steps of layers that are written otherwise for PyTorch: the same numbers and gradients."""

# ruff: noqa: B023  # the functions are called at once

import keras
import numpy as np
import pytest
from keras import ops

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch

from keras_saliency._backend import torch_layers

ROUNDING = 2e-6  # of the largest number, by another order of sums


def _draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def _close(result, wanted):
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(result.numpy(), wanted.numpy(), rtol=0, atol=ROUNDING * scale)


def _same(function, *args):
    """The function within the block and without it: value, type, and gradients by all arguments."""
    results = []
    for rewritten in (False, True):
        given = [one.clone().requires_grad_(True) for one in args]
        with torch_layers.rewritten() if rewritten else torch.enable_grad():
            output = function(*given)
        upstream = _draw(*output.shape, seed=3).to(output.dtype)
        results.append((output.detach(), *torch.autograd.grad(output, given, upstream)))
    for wanted, result in zip(*results, strict=True):
        assert result.dtype == wanted.dtype
        _close(result, wanted)


def _ran(function, *args):
    """Names of PyTorch's operations that ran within the block."""
    names = []

    class Mode(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            names.append(function.__name__)
            return function(*args, **(kwargs or {}))

    with torch_layers.rewritten(), Mode():
        function(*args)
    return " ".join(names)


CONVOLUTIONS = {  # channels, filters, kernel, strides, options: is it a product?
    "pointwise": (8, 5, (1, 1), 1, {}, True),
    "pointwise strided": (8, 5, (1, 1), 2, {}, True),
    "pointwise strided, same": (8, 5, (1, 1), (2, 3), {"padding": "same"}, True),
    "pointwise to one": (8, 1, (1, 1), 1, {}, True),
    "plain": (8, 5, (3, 3), 1, {"padding": "same"}, False),
    "strided": (8, 5, (3, 2), (2, 1), {"padding": "same"}, False),
    "dilated": (3, 5, (3, 3), 1, {"dilation_rate": 2}, False),
    "groups": (8, 4, (1, 1), 1, {"groups": 2}, False),
    "channels first": (9, 5, (1, 1), 2, {"data_format": "channels_first"}, False),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    channels, filters, kernel, strides, options, product = CONVOLUTIONS[name]
    groups = options.get("groups", 1)
    options = {key: value for key, value in options.items() if key != "groups"}

    def function(x, w):
        return ops.conv(x, w, strides, **{"padding": "valid", **options})

    x, w = (
        _draw(2, 9, 8 if channels != 9 else 9, channels),
        _draw(*kernel, channels // groups, filters, seed=1),
    )
    _same(function, x, w)
    assert ("convolution" not in _ran(function, x, w)) == product


def test_depthwise_and_separable_convolutions():
    x, w, p = _draw(2, 9, 8, 6), _draw(3, 3, 6, 2, seed=1), _draw(1, 1, 12, 4, seed=2)
    _same(lambda x, w: ops.depthwise_conv(x, w, 2, "same"), x, w)
    _same(lambda x, w, p: ops.separable_conv(x, w, p, 1, "same"), x, w, p)


def test_sequences_and_volumes():
    _same(lambda x, w: ops.conv(x, w, 2), _draw(2, 9, 3), _draw(3, 3, 4, seed=1))
    _same(lambda x, w: ops.conv(x, w, 1), _draw(2, 9, 3), _draw(1, 3, 4, seed=1))
    _same(lambda x, w: ops.conv(x, w, 2), _draw(1, 5, 5, 5, 2), _draw(3, 3, 3, 2, 4, seed=1))


def test_a_kernel_that_is_a_view():
    x, w = _draw(2, 6, 6, 4), _draw(5, 4, 3, 3, seed=1)
    _same(lambda x, w: ops.conv(x, w.permute(2, 3, 1, 0), 1), x, w)
    _same(lambda x, w: ops.conv(x, w.permute(2, 3, 1, 0)[:1, :1], 1), x, w)


def test_a_wrong_number_of_channels_is_keras_error():
    with torch_layers.rewritten(), pytest.raises(ValueError, match="channels"):
        ops.conv(_draw(1, 4, 4, 3), _draw(1, 1, 2, 5))


NORMS = {"plain": (True, True), "no scale": (True, False), "no offset": (False, True),
         "neither": (False, False)}  # fmt: skip


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("name", NORMS)
def test_batch_normalisation(name, axis):
    has_offset, has_scale = NORMS[name]
    x, mean = _draw(2, 5, 4, 5) * 3 + 1, _draw(5, seed=1)
    variance = _draw(5, seed=2).abs() + 0.1
    offset = _draw(5, seed=4) if has_offset else None
    scale = _draw(5, seed=5) if has_scale else None

    def function(x):
        return ops.batch_normalization(x, mean, variance, axis, offset, scale, epsilon=1e-3)

    _same(function, x)
    assert ("addcmul" if has_offset else "mul_.Tensor") in _ran(function, x)
    assert "add_.Tensor" not in _ran(function, x)


def test_batch_normalisation_in_half_precision_is_keras():
    x, ones = _draw(2, 4, 4, 3).half(), torch.ones(3).half()
    assert "addcmul" not in _ran(lambda x: ops.batch_normalization(x, ones, ones, -1), x)
    x = x.float()
    assert "addcmul" not in _ran(lambda x: ops.batch_normalization(x, ones, ones, -1), x)


@pytest.mark.parametrize("seed", range(6))
def test_over_random_settings_with_what_is_not_finite(seed):
    """Fuzzed against Keras' own: NaN and infinities spread to the same places."""
    draw = np.random.default_rng(seed)
    for _ in range(15):
        height, width, channels, filters = draw.integers(1, 7, 4)
        side = int(draw.choice([1, 1, 2, 3]))
        x = torch.tensor(draw.normal(size=(2, height, width, channels)).astype("float32"))
        for value in (np.nan, np.inf, -np.inf):
            if draw.random() < 0.4:
                x[tuple(int(draw.integers(n)) for n in x.shape)] = value
        w = torch.tensor(draw.normal(size=(side, side, channels, filters)).astype("float32"))
        w = w.permute(1, 0, 2, 3) if draw.random() < 0.5 else w
        stride = [1, 2, (2, 1), [1, 3]][draw.integers(4)]
        padding = str(draw.choice(["same", "valid"]))
        if padding == "valid" and side > min(height, width):
            continue
        _alike(lambda: ops.conv(x, w, stride, padding))
        scale = torch.tensor(draw.choice([0.0, 1e-30, 1.0, 1e30, -2.0], channels), dtype=x.dtype)
        mean = torch.tensor(draw.choice([0.0, 1e5, -1e10], channels), dtype=x.dtype)
        variance = torch.tensor(draw.choice([0.0, 1.0, 1e-20], channels), dtype=x.dtype)
        offset = scale if draw.random() < 0.5 else None
        for epsilon in (1e-3, 0.0):
            _alike(lambda: ops.batch_normalization(x, mean, variance, -1, offset, scale, epsilon))


def _alike(function):
    wanted = function()
    with torch_layers.rewritten():
        result = function()
    assert result.dtype == wanted.dtype
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["conv", "batch_normalization"])
@pytest.mark.parametrize("how", ["keyword", "too many", "too few"])
def test_what_is_unknown_goes_to_keras_as_it_came(name, how):
    x = _draw(1, 3, 3, 2)
    args = {"keyword": (x, x, x, 1), "too many": (x,) * 9, "too few": (x,)}[how]
    kwargs = {"new": 1} if how == "keyword" else {}
    seen = []
    torch_layers.HANDLERS[name](lambda *a, **k: seen.append((a, k)), *args, **kwargs)
    assert seen[0][1] == kwargs
    assert [id(one) for one in seen[0][0]] == [id(one) for one in args]

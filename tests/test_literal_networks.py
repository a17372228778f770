"""Numbers that can be worked out with a pencil: what each method must give, to the last digit.

``EXACT`` is float32 arithmetic on sums of a few dozen terms: 1e-7 a term, at most 1e-6 seen; 1e-5
leaves a factor of ten.
"""

import contextlib

import keras
import networks
import numpy as np
import pytest
from networks import vector

from keras_saliency import explain, methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare
from keras_saliency.errors import MethodError

pytestmark = pytest.mark.long

EXACT = 1e-5

SIX = {
    "gradient": "gradient",
    "input_x_gradient": "input_x_gradient",
    "integrated_gradients": methods.IntegratedGradients(steps=4),
    "smooth_grad": methods.SmoothGrad(samples=4),
    "grad_cam": methods.GradCam(layer="conv"),
    "occlusion": methods.Occlusion(window=3, stride=1, fill="black"),
}
every_method = pytest.mark.parametrize("method", SIX.values(), ids=SIX)


def close(actual, wanted, tolerance=EXACT):
    """Compare arrays relative to the largest value wanted, so that zeros must be near zero."""
    wanted = np.asarray(wanted, "float64")
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def grid(model, x, layer, target=0):
    """Return Grad-CAM's own grid, before it is upsampled."""
    adapter = Adapter(model)
    engine = Engine(adapter, targets.get(target), prepare(adapter, x))
    return methods.GradCam(layer=layer).attribute(engine, 0).values


def bilinear(one, size):
    """Enlarge (h, w) to size: half-pixel centres, edges repeated. A twin, written apart."""
    result = np.zeros(size)
    (h, w), (rows, columns) = one.shape, size
    for i in range(rows):
        for j in range(columns):
            y = min(max((i + 0.5) * h / rows - 0.5, 0), h - 1)
            x = min(max((j + 0.5) * w / columns - 0.5, 0), w - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            y, x = y - top, x - left
            above = (1 - x) * one[top, left] + x * one[top, right]
            below = (1 - x) * one[bottom, left] + x * one[bottom, right]
            result[i, j] = (1 - y) * above + y * below
    return result


# --- captum's numbers


@pytest.mark.parametrize("network", [networks.relu_net_a, networks.relu_net_b])
def test_integrated_gradients_does_not_care_how_a_function_is_wired(network):
    e = explain(network(), vector(3, 1), methods.IntegratedGradients(baseline=0.0), target=0)
    close(e.attributions[0, 0, :, 0], [1.5, -0.5])
    assert e.checks[0]["completeness_error"] < EXACT


def _total(outputs):
    return keras.ops.sum(outputs, axis=-1)


def test_gradient_through_one_minus_relu():
    x = vector(1, 2, 3, 0, -1, 7)
    e = explain(networks.one_minus_relu(), x, "gradient", target=_total)
    assert e.values[0, 0].tolist() == [0, 0, 0, 1, 1, 0]
    assert e.attributions[0, 0, :, 0].tolist() == [0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [("conv", [[11.25, 13.5], [20.25, 22.5]]), ("relu", [[0, 4], [28, 32.5]])],
)
def test_grad_cam_on_c(layer, wanted):
    model, x = networks.conv_c(), np.arange(16, dtype="float32").reshape(4, 4, 1)
    close(grid(model, x, layer)[0], wanted)
    e = explain(model, x, methods.GradCam(layer=layer), target=0)
    assert e.scores.tolist() == [54]
    close(e.values[0], bilinear(np.array(wanted), (4, 4)))
    assert e.info["layer"] == layer


def test_grad_cam_takes_the_last_map_by_itself():
    x = np.ones((8, 8, 3), "float32")
    assert explain(networks.twin_classes(), x, "grad_cam", target=0).info["layer"] == "conv"


def test_grad_cam_by_itself_passes_over_a_permute():
    x = np.arange(16, dtype="float32").reshape(4, 4, 1)
    assert explain(networks.conv_c(), x, "grad_cam", target=0).info["layer"] == "relu"


def test_grad_cam_cuts_negative_sums():
    # Class 1 weights the only feature map with -1.
    kernel, head = np.ones((3, 3, 1, 1)), np.array([[1, -1]])
    model, x = networks.gap_net(kernel=kernel, head=head), np.ones((8, 8, 1), "float32")
    assert grid(model, x, "conv", 0).min() > 0
    assert not grid(model, x, "conv", 1).any()


@pytest.mark.parametrize(
    ("window", "fill", "wanted"),
    [(1, 0.0, [80, 200, 120]), (1, 10.0, [40, 160, 80]), (2, 10.0, [200, 220, 240])],
)
def test_occlusion_on_m(window, fill, wanted):
    method = methods.Occlusion(window=window, stride=1, fill=fill)
    e = explain(networks.multilayer_m(), vector(20, 50, 30), method, target=0)
    close(e.values[0, 0], wanted)
    assert e.attributions is None


# --- a linear model


@pytest.fixture(scope="module")
def w():
    return np.random.default_rng(1).normal(size=(6, 7, 3)).astype("float32")


@pytest.fixture(scope="module")
def line(w):
    return networks.linear(w, bias=0.7)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(2).normal(size=(2, 6, 7, 3)).astype("float32")


def test_linear_gradient_is_the_weights(line, w, x):
    e = explain(line, x, "gradient", target=0)
    close(e.attributions, np.stack([w, w]))
    close(e.values, np.abs([w, w]).max(-1))
    assert not e.signed


def test_linear_input_x_gradient(line, w, x):
    e = explain(line, x, "input_x_gradient", target=0)
    close(e.attributions, w * x)
    close(e.values, (w * x).sum(-1))
    close(e.scores, (w * x).sum((1, 2, 3)) + 0.7)
    assert e.signed


@pytest.mark.parametrize("steps", [1, 50])
def test_linear_integrated_gradients(line, w, x, steps):
    e = explain(line, x, methods.IntegratedGradients(steps=steps, baseline=0.4), target=0)
    close(e.attributions, w * (x - 0.4))
    close(e.attributions.sum((1, 2, 3)), (w * (x - 0.4)).sum((1, 2, 3)))


def test_linear_occlusion_is_the_window_sum(line, w, x):
    e = explain(line, x, methods.Occlusion(window=1, stride=1, fill=0.4), target=0)
    close(e.values, (w * (x - 0.4)).sum(-1))


@pytest.mark.parametrize("reduce", ["mean", "square", "variance"])
def test_linear_smooth_grad(line, w, x, reduce):
    method = methods.SmoothGrad(samples=3, reduce=reduce)
    flat = pytest.warns(UserWarning, match="0 everywhere")
    with flat if reduce == "variance" else contextlib.nullcontext():
        e = explain(line, x, method, target=0)
    wanted = {"mean": w, "square": w**2, "variance": 0 * w}[reduce]
    np.testing.assert_allclose(e.attributions, np.stack([wanted] * 2), atol=EXACT)


# --- what a picture without content is


def _blurred(images, sigma):
    """A Gaussian over rows, then columns, edges mirrored; cut at 4 sigma. Slow and plain."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for axis in (1, 2):
        width = [(radius, radius) if a == axis else (0, 0) for a in range(4)]
        padded = np.pad(images.astype("float64"), width, mode="reflect")
        moved = [
            np.take(padded, range(i, i + images.shape[axis]), axis) for i in range(len(kernel))
        ]
        images = sum(k * m for k, m in zip(kernel, moved, strict=True))
    return images


def _baselines(x):
    """Name, what the user writes, and the picture it must mean in the model's range (-1..1)."""
    array = np.linspace(-1, 1, x[0].size).reshape(x[0].shape)
    black, white, mean = -np.ones_like(x), np.ones_like(x), x.mean((1, 2), keepdims=True) + 0 * x
    return {
        "black": ("black", black),
        "white": ("white", white),
        "mean": ("mean", mean),
        "blur": ("blur", _blurred(x, 0.1 * 6)),
        "number": (0.25, 0.25 + 0 * x),
        "array": (array, array + 0 * x),
        "one a picture": (x[::-1], x[::-1]),
        "several": (["black", "white", 0.25], (black + white + 0.25) / 3),
    }


NAMES = ["black", "white", "mean", "blur", "number", "array", "one a picture", "several"]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(3).integers(0, 256, (2, 6, 7, 3), dtype="uint8")


def _halves(pixels):
    return pixels / 127.5 - 1


@pytest.mark.parametrize("name", NAMES)
def test_baseline_of_integrated_gradients(line, w, pixels, name):
    x = _halves(pixels.astype("float64"))
    given, meant = _baselines(x)[name]
    method = methods.IntegratedGradients(steps=2, baseline=given)
    e = explain(line, pixels, method, target=0, preprocess=_halves)
    close(e.attributions, w * (x - meant))  # linear: several baselines average to their mean


@pytest.mark.parametrize("name", NAMES[:-1])
def test_fill_of_occlusion(line, w, pixels, name):
    x = _halves(pixels.astype("float64"))
    given, meant = _baselines(x)[name]
    method = methods.Occlusion(window=1, stride=1, fill=given)
    e = explain(line, pixels, method, target=0, preprocess=_halves)
    close(e.values, (w * (x - meant)).sum(-1))


def test_several_baselines_average_the_attributions_not_the_baselines(x):
    model, two = networks.quadratic(np.ones((6, 7, 3))), [0.5, -1.5]
    e = explain(model, x, methods.IntegratedGradients(steps=3, baseline=two), target=0)
    close(e.attributions, np.mean([(x - b) * (x + b) / 2 for b in two], axis=0))


def test_floats_of_unknown_preprocessing_have_black_at_0_and_no_white(line, w, x):
    e = explain(line, x, methods.IntegratedGradients(steps=2, baseline="black"), target=0)
    close(e.attributions, w * x)
    with pytest.raises(MethodError, match="white"):
        explain(line, x, methods.IntegratedGradients(baseline="white"), target=0)


# --- completeness and tolerance=


@pytest.fixture(scope="module")
def smooth():
    draw = np.random.default_rng(4).normal
    return draw(0, 0.2, (9, 7, 2, 4)), draw(0, 1, (4, 3))


def _tanh_forward(weights, x):
    first, second = weights
    return np.tanh(x.reshape(len(x), -1) @ first.reshape(-1, first.shape[-1])) @ second


@pytest.fixture(scope="module")
def curved():
    return np.random.default_rng(5).normal(size=(2, 9, 7, 2)).astype("float32")


def test_integrated_gradients_is_complete(smooth, curved):
    model = networks.tanh_net(*smooth)
    e = explain(model, curved, methods.IntegratedGradients(steps=50, baseline=-0.2), target=[1, 2])
    y, y0 = (_tanh_forward(smooth, v) for v in (curved, np.full_like(curved, -0.2)))
    gap = (y - y0)[[0, 1], [1, 2]]
    np.testing.assert_allclose(e.attributions.sum((1, 2, 3), dtype="float64"), gap, rtol=EXACT)


def _kink_twin(x, steps, at=0.3):
    """IG of ReLU(x1 - at) + x2 from 0: the weight of the points beyond the kink."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (points + 1) / 2, weights / 2
    return np.array([x[0] * weights[points * x[0] > at].sum(), x[1]])


def test_completeness_error_is_relative_to_the_score_gap():
    e = explain(networks.kink(), vector(1, 0.1), methods.IntegratedGradients(steps=3), target=0)
    wanted = _kink_twin([1, 0.1], 3)
    close(e.attributions[0, 0, :, 0], wanted)
    error = abs(wanted.sum() - 0.8) / 0.8
    assert error > 0.02
    assert e.checks[0]["completeness_error"] == pytest.approx(error, rel=1e-4)


def test_tolerance_refines_until_it_is_met_and_only_where_it_must():
    x = np.stack([vector(1, 0.1), vector(0.2, 0.5)])  # the second path never meets the kink
    method = methods.IntegratedGradients(steps=3, tolerance=0.005)
    e = explain(networks.kink(), x, method, target=0)
    steps = 3
    while abs(_kink_twin([1, 0.1], steps).sum() - 0.8) / 0.8 > 0.005:
        steps *= 2
    assert steps > 3
    close(e.attributions[0, 0, :, 0], _kink_twin([1, 0.1], steps))
    assert e.checks[0]["completeness_error"] < 0.005
    close(e.attributions[1, 0, :, 0], _kink_twin([0.2, 0.5], 3))


def test_tolerance_that_cannot_be_met_ends_and_tells(monkeypatch):
    from keras_saliency.methods import integrated_gradients

    monkeypatch.setattr(integrated_gradients, "_MOST_STEPS", 20)  # 3200 take a while
    method = methods.IntegratedGradients(steps=3, tolerance=1e-12)
    e = explain(networks.kink(), vector(1, 0.1), method, target=0)
    close(e.attributions[0, 0, :, 0], _kink_twin([1, 0.1], 12))  # 24 would be too many
    assert e.checks[0]["completeness_error"] > 1e-12


# --- occlusion against loops


def _occlusion_twin(forward, x, fill, window, stride):
    _, height, width, _ = x.shape
    result = np.zeros(x.shape[:3])
    window = min(window[0], height), min(window[1], width)
    for b in range(len(x)):
        times = np.zeros((height, width))
        whole = forward(x[b : b + 1])[0]
        top = 0
        while True:
            left = 0
            while True:
                rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
                covered = x[b].copy()
                covered[rows, columns] = fill[b][rows, columns]
                result[b, rows, columns] += whole - forward(covered[None])[0]
                times[rows, columns] += 1
                if left + window[1] >= width:
                    break
                left += stride[1]
            if top + window[0] >= height:
                break
            top += stride[0]
        result[b] /= np.maximum(times, 1)
    return result


@pytest.mark.parametrize(
    ("window", "stride"),
    [
        (3, 2),
        ((3, 2), (2, 3)),
        ((4, 5), 4),  # neither divides 9 x 7
        ((2, 20), (1, 5)),  # wider than the picture
        (2, 4),  # pixels that no window covers
        (100, None),  # all at once
        (None, None),  # an eighth of 7, rounded up: 1
        (4, None),  # stride: half a window
        (5, 1),
    ],
)
def test_occlusion_twin(smooth, curved, window, stride):
    model = _stored_tanh(smooth)
    fill = _blurred(curved, 0.1 * 7).astype("float32")
    method = methods.Occlusion(window=window, stride=stride, fill="blur")
    e = explain(model, curved, method, target=1, batch_size=5)

    pair = window if isinstance(window, tuple) else (window or 1,) * 2
    cut = min(pair[0], 9), min(pair[1], 7)
    step = stride if isinstance(stride, tuple) else (stride,) * 2
    step = step if stride else tuple(max(1, n // 2) for n in cut)
    wanted = _occlusion_twin(lambda v: _tanh_forward(smooth, v)[:, 1], curved, fill, pair, step)
    # Differences of scores near 2 in float32: 2e-7 each, the drops are about 0.5.
    close(e.values, wanted, 1e-4 if window is None else EXACT)


_models = {}


def _stored_tanh(weights):
    """One model for all windows: compiled once."""
    return _models.setdefault("tanh", networks.tanh_net(*weights))


# --- SmoothGrad against loops


def _noisy(x, samples, noise, seed):
    """As methods/smooth_grad.py says: NumPy, the same for every picture, a share of max - min."""
    copies = []
    for image in x:
        draw = np.random.default_rng(seed)
        scale = noise * (image.max() - image.min())
        noises = [draw.standard_normal(image.shape, "float32") for _ in range(samples)]
        copies.append([(image + scale * one).astype("float32") for one in noises])
    return np.array(copies)


REDUCE = {
    "mean": lambda maps: maps.mean(1),
    "square": lambda maps: (maps**2).mean(1),
    "variance": lambda maps: maps.var(1),  # population variance
}


@pytest.fixture(scope="module")
def parabola(w):
    return networks.quadratic(w)


@pytest.mark.parametrize("reduce", REDUCE)
def test_smooth_grad_twin(parabola, w, x, reduce):
    x = x * np.array([1, 5], "float32").reshape(2, 1, 1, 1)  # ranges that differ
    method = methods.SmoothGrad(samples=5, noise=0.2, reduce=reduce)
    e = explain(parabola, x, method, target=0, seed=3, batch_size=4)
    maps = w * _noisy(x, 5, 0.2, 3).astype("float64")
    close(e.attributions, REDUCE[reduce](maps), 1e-5)
    close(e.values, np.abs(REDUCE[reduce](maps)).max(-1), 1e-5)


def test_smooth_grad_around_integrated_gradients(parabola, w, x):
    base = methods.IntegratedGradients(steps=2, baseline=0.5)
    e = explain(parabola, x, methods.SmoothGrad(base, samples=3), target=0, seed=1)
    noisy = _noisy(x, 3, 0.15, 1).astype("float64")
    close(e.attributions, (w * (noisy - 0.5) * (noisy + 0.5) / 2).mean(1))
    assert e.signed


def test_smooth_grad_around_grad_cam():
    model = networks.twin_classes()
    x = np.random.default_rng(6).uniform(size=(2, 8, 8, 3)).astype("float32")
    base = methods.GradCam(layer="conv")
    e = explain(model, x, methods.SmoothGrad(base, samples=3, reduce="variance"), target=1)
    noisy = _noisy(x, 3, 0.15, 0)
    maps = np.stack([grid(model, one, "conv", 1) for one in noisy]).astype("float64")
    close(e.values, maps.var(1), 1e-4)  # gradients of float32, squared


def test_variance_does_not_cancel(w, x):
    # Gradients near 1000 with a spread of 1: the mean of squares less the square of the mean is
    # 6 % wrong in float32. float32 gradients near 1000 are known to 6e-5, hence 1e-3.
    model = networks.quadratic(np.ones_like(w), slope=1000.0)
    e = explain(model, x, methods.SmoothGrad(samples=8, noise=0.2, reduce="variance"), target=0)
    close(e.attributions, _noisy(x, 8, 0.2, 0).astype("float64").var(1), 1e-3)


def test_another_seed_is_another_noise(parabola, x):
    one, two = (explain(parabola, x, methods.SmoothGrad(samples=2), seed=s).values for s in (0, 1))
    assert np.abs(one - two).max() > 0.01 * np.abs(one).max()


# --- networks that look where we know


@pytest.fixture(scope="module")
def patch():
    return networks.planted_patch(size=12, top=5, left=2, side=4)


@every_method
def test_planted_patch_is_located(patch, method):
    rng = np.random.default_rng(8)
    x = rng.uniform(0, 1, (5, 12, 12, 1))
    x[:, 5:9, 2:6] = rng.uniform(0.8, 1, (5, 4, 4, 1))  # bright: class 0
    e = explain(patch, x.astype("float32"), method)
    assert e.targets == (0,) * 5
    for one in e.values:
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert 5 <= row < 9
        assert 2 <= column < 6
    reach = {"grad_cam": 1, "occlusion": 2}.get(e.info["method"], 0)  # kernel 3, window 3
    outside = np.ones((12, 12), bool)
    outside[5 - reach : 9 + reach, 2 - reach : 6 + reach] = False
    assert not e.values[:, outside].any()


@pytest.fixture(scope="module")
def deaf():
    return networks.ignored_channel()


@every_method
def test_ignored_channel_gets_nothing(deaf, method):
    x = np.random.default_rng(9).uniform(size=(1, 8, 8, 3)).astype("float32")
    e = explain(deaf, x, method, target=1)
    assert e.values.any()
    if e.attributions is not None:
        assert not e.attributions[..., 1].any()
        assert e.attributions[..., 0].any()
    else:
        other = x.copy()
        other[..., 1] = 1 - other[..., 1]
        np.testing.assert_array_equal(explain(deaf, other, method, target=1).values, e.values)


@pytest.fixture(scope="module")
def twins():
    return networks.twin_classes()


@every_method
def test_twin_classes_have_equal_maps(twins, method):
    x = np.random.default_rng(9).uniform(size=(1, 8, 8, 3)).astype("float32")
    first, other, second = (explain(twins, x, method, target=c).values for c in range(3))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6 * first.max())
    assert np.abs(first - other).max() > 0.01 * first.max()


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_grad_cam_is_cam_over_the_area(activation):
    draw = np.random.default_rng(10).normal
    kernel, head = draw(size=(3, 3, 3, 6)), draw(size=(6, 4))
    model = networks.gap_net(kernel=kernel, head=head, activation=activation)
    x = draw(size=(3, 8, 8, 3)).astype("float32")
    maps = keras.Model(model.input, model.get_layer("conv").output).predict(x, verbose=0)
    for c in range(4):
        cam = np.maximum(maps @ head[:, c], 0)
        close(grid(model, x, "conv", c), cam / 64)
    # The logits are the score: in an 8x8 map of an 8x8 picture nothing is upsampled.
    e = explain(model, x, methods.GradCam(layer="conv"), target=2)
    close(e.values, np.maximum(maps @ head[:, 2], 0) / 64)
    close(e.scores, maps.mean((1, 2)) @ head[:, 2])


@pytest.mark.parametrize("size", [(8, 12), (7, 7), (5, 13), (4, 6), (3, 5)])
def test_upsampling_twin(size):
    # Averaging pools of 1 to 3 pixels make maps of any size, larger and not a whole number smaller.
    draw = np.random.default_rng(11)
    x = draw.uniform(size=(1, *size, 1)).astype("float32")
    inputs = keras.Input((*size, 1))
    maps = keras.layers.AveragePooling2D(2, name="pool")(inputs)
    outputs = keras.layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(inputs, outputs)
    e = explain(model, x, methods.GradCam(layer="pool"), target=0)
    small = grid(model, x, "pool")[0]
    assert small.shape == (size[0] // 2, size[1] // 2)
    close(e.values[0], bilinear(small, size), 1e-6)  # float32 of both; 1e-7 seen

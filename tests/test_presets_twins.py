"""``like="pair"`` and the others against each library's algorithm, written again in plain NumPy.

Networks are small enough to be NumPy functions: what is compared shares no line with the package.
"""

import keras
import networks
import numpy as np
import pytest
from keras import layers

from keras_saliency import explain, methods, targets

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:picture .* attributions miss the score gap"),
]

CLOSE = 2e-5  # float32 against float64


def close(actual, wanted, tolerance=CLOSE):
    actual, wanted = np.asarray(actual, "float64"), np.asarray(wanted, "float64")
    assert actual.shape == wanted.shape
    assert np.linalg.norm(wanted) > 0
    assert np.linalg.norm(actual - wanted) <= tolerance * np.linalg.norm(wanted)


def differ(one, other):
    """A preset that could be left out unseen would test nothing."""
    assert np.linalg.norm(one - other) > 1e-3 * np.linalg.norm(other)


# ------------------------------------------------------------------------- paths and perturbations


class Smooth:
    """tanh(x A) B of pictures (9, 8, 2): a Keras model, and the same as NumPy functions."""

    def __init__(self):
        draw = np.random.default_rng(0).normal
        self.first, self.second = draw(0, 0.1, (9, 8, 2, 6)), draw(0, 1, (6, 3))
        self.model = networks.tanh_net(self.first, self.second)
        self.x = draw(0.4, 1, (2, 9, 8, 2)).astype("float32")

    def _hidden(self, x):
        return np.tanh(np.tensordot(x.astype("float32"), self.first, axes=3))

    def score(self, x):
        return self._hidden(x) @ self.second[:, 1]

    def gradient(self, x):
        return self.first @ ((1 - self._hidden(x) ** 2) * self.second[:, 1])

    def explain(self, method, **options):
        return explain(self.model, self.x, method, target=1, **options)

    def check(self, actual, twin, usual):
        close(actual, np.stack([twin(x.astype("float64")) for x in self.x]))
        differ(actual, usual)


@pytest.fixture(scope="module")
def smooth():
    return Smooth()


def pair_integrated_gradients(smooth, x, steps, baseline=0.0):
    points = [baseline + t * (x - baseline) for t in np.linspace(0, 1, steps)]
    return (x - baseline) * sum(map(smooth.gradient, points)) / steps


def test_pair_integrated_gradients(smooth):
    actual = smooth.explain(methods.IntegratedGradients(like="pair")).attributions
    usual = smooth.explain("integrated_gradients").attributions
    smooth.check(actual, lambda x: pair_integrated_gradients(smooth, x, 25), usual)


def pair_guided(smooth, x, steps, fraction=0.25, far=0.02):
    """The path in the authors' words; each move counts with the gradient before the step."""
    point, total = np.zeros(x.shape), np.zeros(x.shape)
    for step in range(steps):
        gradient = smooth.gradient(point)
        size, place = np.abs(gradient), (step + 1) / steps
        low, high = max(place - far, 0) * x, min(place + far, 1) * x
        before = point.copy()
        wanted = np.abs(x).sum() * (1 - place)
        while True:
            behind = np.abs(point) < np.abs(low)
            point[behind] = low[behind]
            gap = np.abs(x - point).sum() - wanted
            if gap < 1e-9:
                break
            size = np.where(point == high, np.inf, size)
            limit = np.quantile(size, fraction, method="lower")
            chosen = (size <= limit) & np.isfinite(size)
            share = gap / np.abs((high - point)[chosen]).sum()
            point[chosen] = high[chosen] if share > 1 else (point + share * (high - point))[chosen]
            if share <= 1:
                break
        total += (point - before) * gradient
    return total


def test_pair_guided_integrated_gradients(smooth):
    options = {"steps": 20, "max_distance": 0.1}
    actual = smooth.explain(methods.GuidedIntegratedGradients(like="pair", **options)).attributions
    usual = smooth.explain(methods.GuidedIntegratedGradients(**options)).attributions
    smooth.check(actual, lambda x: pair_guided(smooth, x, 20, far=0.1), usual)


def blurred(x, sigma):
    """Gaussian blur with nothing outside the picture, kernels cut at four sigma."""
    radius = int(4 * sigma + 0.5)
    if not radius:
        return x
    away = np.arange(-radius, radius + 1)
    kernel = np.exp(-(away**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for axis, side in enumerate(x.shape[:2]):
        distance = np.arange(side)[:, None] - np.arange(side) + radius
        inside = (distance >= 0) & (distance <= 2 * radius)
        weights = np.where(inside, kernel[np.clip(distance, 0, 2 * radius)], 0)
        x = np.moveaxis(np.tensordot(weights, x, axes=(1, axis)), 0, axis)
    return x


def pair_blur(smooth, x, most, steps):
    total = np.zeros(x.shape)
    for step in range(steps):
        sigma = step * most / steps
        rate = (blurred(x, sigma + 0.01) - blurred(x, sigma)) / 0.01
        total -= most / steps * rate * smooth.gradient(blurred(x, sigma))
    return total


def test_pair_blur_integrated_gradients(smooth):
    actual = smooth.explain(
        methods.BlurIntegratedGradients(like="pair", max_sigma=4, steps=12)
    ).attributions
    usual = smooth.explain(methods.BlurIntegratedGradients(max_sigma=4, steps=12)).attributions
    smooth.check(actual, lambda x: pair_blur(smooth, x, 4, 12), usual)


def pair_xrai(smooth, x, masks):
    ends = [end * np.ones(x.shape) for end in (x.min(), x.max())]
    both = [pair_integrated_gradients(smooth, x, 100, end) for end in ends]
    attributions = np.mean(both, axis=0).max(axis=-1)
    result, left = np.zeros(x.shape[:2]), np.ones(x.shape[:2], bool)
    while any((mask & left).any() for mask in masks):
        gains = [attributions[m & left].mean() if (m & left).any() else -np.inf for m in masks]
        best = int(np.argmax(gains))
        result[masks[best] & left] = gains[best]
        left &= ~masks[best]
    result[left] = attributions[left].mean()
    return result


def test_pair_xrai(smooth):
    masks = np.zeros((4, 9, 8), bool)  # they overlap, and leave two rows out
    masks[0, :6, :5], masks[1, 3:7, 2:], masks[2, 2:, 6:], masks[3, :7, :2] = [True] * 4
    actual = smooth.explain(methods.Xrai(like="pair", masks=masks, min_area=1)).values
    assert len(np.unique(actual[0])) > 3
    base = methods.IntegratedGradients(baseline=[-1.0, 2.0])
    usual = smooth.explain(methods.Xrai(base, masks=masks, min_area=1)).values
    smooth.check(actual, lambda x: pair_xrai(smooth, x, masks), usual)


def noisy(x, scale, samples, seed):
    draw = np.random.default_rng(seed).standard_normal
    return [x + scale * draw(x.shape, "float32") for _ in range(samples)]


@pytest.mark.parametrize("library", ["captum", "tf-keras-vis", "pair"])
def test_smooth_grad(smooth, library):
    def twin(x):
        if library == "captum":
            actual = [np.abs(smooth.gradient(z)) for z in noisy(x, 1.0, 5, 3)]
        elif library == "tf-keras-vis":
            actual = [np.abs(smooth.gradient(z)) for z in noisy(x, 0.2 * np.ptp(x), 20, 3)]
        else:
            actual = [smooth.gradient(z) ** 2 for z in noisy(x, 0.15 * np.ptp(x), 25, 3)]
        return np.mean(actual, axis=0)

    e = smooth.explain(methods.SmoothGrad(like=library), seed=3)
    smooth.check(e.attributions, twin, smooth.explain("smooth_grad", seed=3).attributions)
    close(e.values, e.attributions.max(-1))


def test_pair_occlusion(smooth):
    def twin(x, side):
        result = np.zeros(x.shape[:2])
        for top in range(1 + x.shape[0] - side):
            for left in range(1 + x.shape[1] - side):
                window = np.s_[top : top + side, left : left + side]
                covered = x.copy()
                covered[window] = 0
                result[window] += smooth.score(x) - smooth.score(covered)
        return result

    assert methods.Occlusion(like="pair").window == 15
    actual = smooth.explain(methods.Occlusion(like="pair", window=5)).values
    usual = smooth.explain(methods.Occlusion(window=5, stride=1, fill=0.0)).values
    smooth.check(actual, lambda x: twin(x, 5), usual)


# -------------------------------------------------------------------------------------------- CAMs


class Maps:
    """A = ReLU(x K) on every third row and second column, y = sum(A W): 4x6 maps, g = W."""

    def __init__(self):
        draw = np.random.default_rng(1).normal
        self.kernel, self.head = draw(0, 1, (3, 5)), draw(0, 1, (4, 6, 5, 3))
        inputs = keras.Input((12, 12, 3))
        conv = layers.Conv2D(5, 1, strides=(3, 2), use_bias=False, activation="relu", name="maps")
        outputs = layers.Dense(3, use_bias=False)(layers.Flatten()(conv(inputs)))
        self.model = keras.Model(inputs, outputs)
        self.head[..., 1] *= 0.01  # gradients that an epsilon of 1e-6 does not leave alone
        self.model.set_weights([self.kernel[None, None], self.head.reshape(-1, 3)])
        self.g, self.x = self.head[..., 1], draw(0, 1, (2, 12, 12, 3)).astype("float32")

    def maps(self, x):
        return np.maximum(x[::3, ::2] @ self.kernel, 0)

    def score(self, x):
        return (self.maps(x) * self.g).sum()

    def probability(self, x):
        logits = np.tensordot(self.maps(x), self.head, axes=3)
        return np.exp(logits[1]) / np.exp(logits).sum()

    def explain(self, method, target=1):
        return explain(self.model, self.x, method, target=target).values

    def check(self, method, twin, usual, scaled=False, target=1):
        actual = self.explain(method, target)
        if scaled:  # the library scales to 0..1, we never do
            actual = np.stack(list(map(to_one, actual)))
        close(actual, np.stack([twin(x.astype("float64")) for x in self.x]))
        usual = self.explain(usual)
        differ(actual / np.abs(actual).max(), usual / np.abs(usual).max())


@pytest.fixture(scope="module")
def cams():
    return Maps()


def to_one(one):
    one = one - one.min()
    return one / (1e-7 + one.max())


def enlarged(grid, place, size=(12, 12)):
    """Bilinear; ``place(pixel, cells, pixels)`` says where in the grid a pixel's centre lies."""
    rows, columns = (
        [np.clip(place(i, cells, side), 0, cells - 1) for i in range(side)]
        for side, cells in zip(size, grid.shape, strict=True)
    )
    result = np.zeros(size)
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            for a in range(grid.shape[0]):
                for b in range(grid.shape[1]):
                    share = max(0, 1 - abs(y - a)) * max(0, 1 - abs(x - b))
                    result[i, j] += share * grid[a, b]
    return result


def corners(grid):
    return enlarged(grid, lambda i, cells, side: i * (cells - 1) / (side - 1))


def halves(grid):
    return enlarged(grid, lambda i, cells, side: (i + 0.5) * cells / side - 0.5)


def in_pytorch_grad_cam(grid):
    return to_one(halves(to_one(np.maximum(grid, 0))))


def test_tf_keras_vis_cams(cams):
    weights = cams.g.mean((0, 1))
    cams.check(
        methods.GradCam(like="tf-keras-vis"),
        lambda x: corners(np.maximum(cams.maps(x) @ weights, 0)),
        "grad_cam",
    )
    cams.check(
        methods.LayerCam(like="tf-keras-vis"),
        lambda x: corners((cams.maps(x) * np.maximum(cams.g, 0)).sum(-1)),
        "layer_cam",
    )

    def plus_plus(x):
        first = cams.g  # the library has exp(y) times this, which only scales
        alpha = first**2 / (2 * first**2 + first**3 * cams.maps(x).sum((0, 1)))
        alpha /= alpha.sum((0, 1))
        return corners(np.maximum(cams.maps(x) @ (np.maximum(first, 0) * alpha).sum((0, 1)), 0))

    cams.check(methods.GradCamPP(like="tf-keras-vis"), plus_plus, "grad_cam_pp")


def test_pytorch_grad_cam_pp(cams):
    def plus_plus(x):
        divisor = 2 * cams.g**2 + cams.maps(x).sum((0, 1)) * cams.g**3 + 1e-6
        weights = (np.maximum(cams.g, 0) * cams.g**2 / divisor).sum((0, 1))
        return in_pytorch_grad_cam(cams.maps(x) @ weights)

    cams.check(methods.GradCamPP(like="pytorch-grad-cam"), plus_plus, "grad_cam_pp", scaled=True)


def test_pytorch_eigen_cam(cams):
    def component(x):
        flat = cams.maps(x).reshape(-1, 5)
        flat = flat - flat.mean(0)
        direction = np.linalg.eigh(flat.T @ flat)[1][:, -1]
        direction *= np.sign(direction.sum())  # theirs has the sign that LAPACK gives it
        return in_pytorch_grad_cam((flat @ direction).reshape(4, 6))

    cams.check(methods.EigenCam(like="pytorch-grad-cam"), component, "eigen_cam", scaled=True)


def seen_through(cams, x, score):
    masks = [to_one(corners(one)) for one in np.moveaxis(cams.maps(x), -1, 0)]
    return np.array([score(x * mask[..., None]) for mask in masks])


def test_score_cam(cams):
    def pytorch(x):
        scores = np.exp(seen_through(cams, x, cams.score))
        return in_pytorch_grad_cam(cams.maps(x) @ (scores / scores.sum()))

    cams.check(methods.ScoreCam(like="pytorch-grad-cam"), pytorch, "score_cam", scaled=True)
    cams.check(
        methods.ScoreCam(like="tf-keras-vis"),
        lambda x: corners(cams.maps(x) @ seen_through(cams, x, cams.probability)),
        "score_cam",
        target=targets.Class(1, score="probability"),
    )


def test_nearest_takes_the_cell_that_a_pixels_centre_lies_in():
    from keras_saliency.methods.base import enlarge

    actual = enlarge(np.array([[[1.0, 2, 3], [4, 5, 6]]]), (5, 4), "nearest")
    top, bottom = [1, 2, 2, 3], [4, 5, 5, 6]  # centres at 0.375, 1.125, 1.875 and 2.625 cells
    np.testing.assert_array_equal(actual[0], [top, top, bottom, bottom, bottom])

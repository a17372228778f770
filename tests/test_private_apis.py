"""Each private API that is used: where it has moved, a test says so by its name."""

import importlib
import inspect

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_saliency import errors, explain
from keras_saliency._backend import current

BACKEND = keras.config.backend()
X = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")


def located(path):
    """Return what stands at ``module:attribute.attribute``, or fail naming it."""
    module, _, names = path.partition(":")
    try:
        owner = importlib.import_module(module)
        for name in filter(None, names.split(".")):
            owner = getattr(owner, name)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{path} has moved: {error}")
    return owner


KERAS = {  # path: its parameters, where we depend on them
    "keras:layers.Layer._flatten_layers": ["self", "include_self", "recursive"],
    "keras:layers.Layer.rematerialized_call": ["layer_call"],
    "keras:layers.Layer.quantized_call": [],
    "keras:layers.Dense.quantized_call": [],
    "keras.src.backend:nn.relu": ["x"],
    "keras.src.backend:nn.relu6": ["x"],
    "keras.src.backend:nn.leaky_relu": ["x"],
    "keras.src.backend:cast": ["x", "dtype"],
    "keras.src.backend:convert_to_tensor": ["x", "dtype"],
    "keras.src.backend:core.cast": ["x", "dtype"],
    "keras.src.backend:core.convert_to_tensor": ["x", "dtype"],
}
OTHERS = {
    "jax": {
        "jax:core.eval_jaxpr": ["jaxpr", "consts"],
        "jax.custom_derivatives:SymbolicZero": [],
        "jax.lax:conv_general_dilated": ["lhs", "rhs", "window_strides", "padding"],
        "jax.lax:reduce_window": ["operand", "init_value", "computation", "window_dimensions"],
        "jax.lax:conv_dimension_numbers": ["lhs_shape", "rhs_shape", "dimension_numbers"],
        "jax.lax:padtype_to_pads": ["in_shape", "window_shape", "window_strides", "padding"],
        "jax:make_user_context": [],
    },
    "tensorflow": {
        "tensorflow.python.eager.record:record_operation": [
            "op_type", "output_tensors", "input_tensors", "backward_function",
        ],
        "tensorflow.python.eager.record:stop_recording": [],
    },
    "torch": {
        "torch.fx.experimental.proxy_tensor:make_fx": ["f"],
        "torch.utils._python_dispatch:TorchDispatchMode": [],
        "torch.utils._pytree:tree_leaves": ["tree"],
        "torch.overrides:TorchFunctionMode": [],
        "torch:Tag.dynamic_output_shape": [],
        "torch:Tag.data_dependent_output": [],
        "torch:Tag.nondeterministic_seeded": [],
        "torch.ops:aten.index.Tensor._schema.name": [],
        "keras.src.backend.torch.nn:_transpose_spatial_inputs": ["inputs"],
        "keras.src.backend.torch.nn:_transpose_conv_kernel": ["kernel"],
        "keras.src.backend.torch.nn:conv": [
            "inputs", "kernel", "strides", "padding", "data_format", "dilation_rate",
        ],
        "keras.src.backend.torch.nn:batch_normalization": [
            "x", "mean", "variance", "axis", "offset", "scale", "epsilon",
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("path", [*KERAS, *OTHERS[BACKEND]])
def test_it_stands_where_it_is_used(path):
    api = located(path)
    wanted = {**KERAS, **OTHERS[BACKEND]}[path]
    if wanted:
        parameters = list(inspect.signature(api).parameters)
        assert set(wanted) <= set(parameters), f"{path} takes other arguments: {parameters}"


def test_layer_remat_mode():
    layer = layers.Dense(2)
    assert hasattr(layer, "_remat_mode"), "keras Layer._remat_mode has moved"
    with keras.RematScope(mode="full"):
        assert layers.Dense(2)._remat_mode, "keras Layer._remat_mode is not set by RematScope"


def test_keras_call_info_injected():
    """Our errors keep their text when they leave a layer's call."""

    class Raising(layers.Layer):
        def call(self, x):
            raise errors.ImageError("one", "two", "three", "four")

    with pytest.raises(errors.ImageError) as raised:
        Raising()(X)
    assert "Exception encountered" not in str(raised.value), (
        "keras: the attribute _keras_call_info_injected has moved"
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="about TensorFlow")
def test_omit_frequent_tracing_warning():
    import tensorflow as tf

    assert hasattr(tf.function(lambda x: x), "_omit_frequent_tracing_warning"), (
        "tf.function()._omit_frequent_tracing_warning has moved"
    )


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu"])
def test_where_a_rectifier_has_moved_guided_backprop_refuses(name, monkeypatch):
    monkeypatch.delattr(importlib.import_module("keras.src.backend").nn, name)
    with pytest.raises(errors.KerasSaliencyError, match=f"keras.src.backend.nn.{name}"):
        explain(models.chain(), models.pictures(1), "guided_backprop", target=0)


def test_where_sublayers_cannot_be_listed_it_refuses(monkeypatch):
    model = models.chain()
    monkeypatch.delattr(layers.Layer, "_flatten_layers")
    with pytest.raises(errors.ModelError, match="_flatten_layers"):
        explain(model, models.pictures(1), "gradient", target=0)


@pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch")
def test_where_keras_torch_nn_has_moved_layers_run_as_they_are(monkeypatch):
    from keras_saliency._backend import torch_layers

    wanted = explain(models.chain(), models.pictures(1), "gradient", target=0).values
    monkeypatch.setattr(torch_layers, "PRIVATE", "keras.src.backend.torch.no_such_module")
    result = explain(models.chain(), models.pictures(1), "gradient", target=0).values
    np.testing.assert_allclose(result, wanted, atol=1e-6 * np.abs(wanted).max())
    assert current().__name__.endswith("torch")

"""Live oracle: captum on signals, words, tables and several inputs, on the very Keras model."""

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import explain, methods
from keras_saliency.testing import inputs as of

if keras.config.backend() != "torch":
    pytest.skip("captum explains PyTorch modules only", allow_module_level=True)
torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Input Tensor"),
    pytest.mark.filterwarnings("ignore:Setting forward"),
    pytest.mark.filterwarnings("ignore:picture"),
]

SMALL = 1e-5  # relative L2; measured: up to 2e-6


def error(result, wanted):
    result, wanted = np.asarray(result, "float64"), wanted.detach().numpy().astype("float64")
    assert result.shape == wanted.shape
    assert np.linalg.norm(wanted) > 0
    return np.linalg.norm(result - wanted) / np.linalg.norm(wanted)


def _called(model):
    return lambda *x: model(list(x) if len(x) > 1 else x[0], training=False)


@pytest.mark.parametrize("net", ["signal", "lone_signal", "volume", "video", "table"])
def test_gradients_and_paths(net):
    model, x = of.case(net)
    tensor, forward = torch.tensor(x), _called(model)
    wanted = attr.Saliency(forward).attribute(tensor, target=1, abs=False)
    assert error(explain(model, x, "gradient", target=1).attributions, wanted) < SMALL
    wanted = attr.IntegratedGradients(forward).attribute(tensor, target=1, n_steps=20)
    method = methods.IntegratedGradients(steps=20, baseline=0.0)
    assert error(explain(model, x, method, target=1).attributions, wanted) < SMALL


def test_windows_over_a_signal():
    """captum's timeseries case: windows over time, all channels or each of them."""
    model, x = of.case("signal")
    tensor, forward = torch.tensor(x), _called(model)
    occlusion = attr.Occlusion(forward)
    wanted = occlusion.attribute(
        tensor, target=1, sliding_window_shapes=(4, 3), strides=(2, 3), baselines=0.0
    )
    method = methods.Occlusion(window=4, stride=2, fill=0.0)
    result = explain(model, x, method, target=1).values
    assert error(np.repeat(result[..., None], 3, -1), wanted) < SMALL
    wanted = occlusion.attribute(
        tensor, target=1, sliding_window_shapes=(4, 1), strides=(2, 1), baselines=0.0
    )
    method = methods.Occlusion(window=4, stride=2, fill=0.0, channels="apart")
    assert error(explain(model, x, method, target=1).attributions, wanted) < SMALL


def test_features_of_a_table():
    model, x = of.case("table")
    tensor, forward = torch.tensor(x), _called(model)
    wanted = attr.FeatureAblation(forward).attribute(tensor, target=1, baselines=0.0)
    result = explain(model, x, methods.Occlusion(fill=0.0), target=1)
    assert error(result.values, wanted) < SMALL
    exact = methods.KernelShap(fill=0.0)  # 7 features: all coalitions
    wanted = attr.ShapleyValues(forward).attribute(tensor, target=1, baselines=0.0)
    assert abs(wanted.sum(1).detach().numpy() - explain(model, x, exact, target=1).values.sum(1)
               ).max() < 1e-4  # fmt: skip


def test_words_at_their_embedding():
    """captum's text case: integrated gradients at a layer's output."""
    model, x = of.case("tokens")
    embedding = model.layers[0]
    tensor = torch.tensor(x)
    rest = keras.Sequential([keras.Input((12, 6)), *model.layers[1:]])
    vectors = torch.tensor(keras.ops.convert_to_numpy(embedding(tensor)))
    wanted = attr.IntegratedGradients(_called(rest)).attribute(vectors, target=1, n_steps=20)
    method = methods.IntegratedGradients(steps=20, baseline=0.0)
    assert error(explain(model, x, method, target=1).attributions, wanted) < SMALL


def test_two_inputs():
    """captum's multi-input case: one joint path."""
    keras.utils.set_random_seed(0)
    image, age = keras.Input((8, 9, 1), name="image"), keras.Input((3,), name="age")
    maps = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="tanh")(image))
    model = keras.Model([image, age], L.Dense(2)(L.Multiply()([maps, L.Dense(4)(age)])))
    draw = np.random.default_rng(0)
    x = [draw.normal(size=(2, 8, 9, 1)).astype("float32"), draw.normal(size=(2, 3)).astype("f4")]
    wanted = attr.IntegratedGradients(_called(model)).attribute(
        tuple(map(torch.tensor, x)), target=1, n_steps=20
    )
    method = methods.IntegratedGradients(steps=20, baseline=0.0)
    e = explain(model, dict(zip(("image", "age"), x, strict=True)), method, target=1, inputs="all")
    for name, one in zip(("image", "age"), wanted, strict=True):
        assert error(e[name].attributions, one) < SMALL

"""Live oracle for the backward rules: captum on a torch twin with the same weights.

captum changes what goes back at ``torch.nn`` modules, each used once, so it gets a twin made of
them. Errors are relative L2.
"""

import copy
from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

from keras_saliency import explain, methods, targets

if keras.config.backend() != "torch":
    pytest.skip("captum explains PyTorch modules only", allow_module_level=True)
torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")
rules = pytest.importorskip("captum.attr._utils.lrp_rules")
nn = torch.nn

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Input Tensor"),
    pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks"),
    pytest.mark.filterwarnings("ignore:picture 0. attributions miss"),
]
SMALL = 1e-5
TARGET = [1, 3]


def error(result, wanted):
    """Relative L2; the wanted array must hold something."""
    result, wanted = np.asarray(result, "float64"), np.asarray(wanted, "float64")
    assert result.shape == wanted.shape
    assert np.linalg.norm(wanted) > 0
    return np.linalg.norm(result - wanted) / np.linalg.norm(wanted)


ACTIVATIONS = {  # Keras', and torch's
    "relu": (layers.ReLU, nn.ReLU),
    "elu": (layers.ELU, nn.ELU),
    "sigmoid": (lambda: layers.Activation("sigmoid"), nn.Sigmoid),
    "tanh": (lambda: layers.Activation("tanh"), nn.Tanh),
    "leaky": (lambda: layers.LeakyReLU(negative_slope=0.2), lambda: nn.LeakyReLU(0.2)),
    "softplus": (lambda: layers.Activation("softplus"), nn.Softplus),
}


class Twin(nn.Module):
    """Modules in a row; captum's LRP wants no module for the flattening."""

    def __init__(self, *modules):
        super().__init__()
        self.maps, self.head = nn.Sequential(*modules[:5]), nn.Sequential(*modules[5:])

    def forward(self, x):
        return self.head(self.maps(x).flatten(1))


@cache
def pair(activation="relu", bias=True, softmax=False, pool=layers.MaxPooling2D):
    """A network and its twin: two convolutions, a pool, two dense layers, activations between."""
    ours, theirs = ACTIVATIONS[activation]
    inputs = keras.Input((12, 13, 3))
    x = ours()(layers.Conv2D(4, 3, strides=2, use_bias=bool(bias))(inputs))
    x = ours()(layers.Conv2D(5, 2, use_bias=bool(bias))(x))
    x = layers.Flatten()(layers.Permute((3, 1, 2))(pool(2)(x)))
    x = ours()(layers.Dense(7, use_bias=bool(bias))(x))
    x = layers.Dense(5, use_bias=bool(bias))(x)
    model = keras.Model(inputs, layers.Softmax()(x) if softmax else x)
    generator = np.random.default_rng(3)
    values = [generator.normal(0, 0.4, w.shape).astype("float32") for w in model.get_weights()]
    if bias == "positive":
        values = [np.abs(one) if one.ndim == 1 else one for one in values]
    model.set_weights(values)
    torch_pool = nn.MaxPool2d if pool is layers.MaxPooling2D else nn.AvgPool2d
    twin = Twin(
        nn.Conv2d(3, 4, 3, stride=2, bias=bool(bias)), theirs(),
        nn.Conv2d(4, 5, 2, bias=bool(bias)), theirs(),
        torch_pool(2), nn.Linear(20, 7, bias=bool(bias)), theirs(),
        nn.Linear(7, 5, bias=bool(bias)), *([nn.Softmax(dim=1)] if softmax else []),
    )  # fmt: skip
    with torch.no_grad():
        for one, value in zip(twin.parameters(), values, strict=True):
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim]
            one.copy_(torch.tensor(value).permute(axes))
    x, tensor = pictures()
    logits = model(x).detach().numpy()
    np.testing.assert_allclose(twin(tensor).detach().numpy(), logits, atol=1e-5)
    return model, twin


def pictures(seed=0):
    x = np.random.default_rng(seed).normal(size=(2, 12, 13, 3)).astype("float32")
    return x, torch.tensor(x).permute(0, 3, 1, 2).contiguous()


def captum(kind, twin, *args, **options):
    _, tensor = pictures()
    tensor.requires_grad_(True)
    result = getattr(attr, kind)(twin).attribute(tensor, *args, target=TARGET, **options)
    return result.detach().permute(0, 2, 3, 1).numpy()


# --- rectifiers


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("method", "theirs"), [("guided_backprop", "GuidedBackprop"), ("deconvnet", "Deconvolution")]
)
def test_rectifiers(method, theirs, bias):
    model, twin = pair(bias=bias)
    result = explain(model, pictures()[0], method, target=TARGET)
    assert error(result.attributions, captum(theirs, twin)) < SMALL
    assert result.info["rectifiers"] == 3


# --- DeepLIFT


def deep_lift(activation, baseline, pool):
    """Our attributions, captum's, and the gap in score they must sum to."""
    model, twin = pair(activation, pool=pool)
    x, _ = pictures()
    other = pictures(1)[0] if baseline == "other" else np.zeros_like(x)
    result = explain(model, x, methods.DeepLift(baseline=other), target=TARGET)
    wanted = captum("DeepLift", twin, torch.tensor(other).permute(0, 3, 1, 2).contiguous())
    gap = result.scores - explain(model, other, "gradient", target=TARGET).scores
    return result.attributions, wanted, gap


@pytest.mark.parametrize("baseline", [0.0, "other"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deep_lift(activation, baseline):
    result, wanted, _ = deep_lift(activation, baseline, layers.AveragePooling2D)
    assert error(result, wanted) < SMALL


@pytest.mark.parametrize("activation", ["relu", "elu", "leaky", "softplus"])
def test_deep_lift_with_max_pooling(activation):
    result, wanted, _ = deep_lift(activation, 0.0, layers.MaxPooling2D)
    assert error(result, wanted) < SMALL


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_deep_lift_where_maxima_fall(activation):
    """Where a maximum is lower than the baseline's, captum's do not sum to the gap; ours do."""
    result, theirs, gap = deep_lift(activation, "other", layers.MaxPooling2D)
    np.testing.assert_allclose(result.sum((1, 2, 3)), gap, rtol=1e-4)
    assert np.abs(theirs.sum((1, 2, 3)) - gap).max() > 0.01 * np.abs(gap).max()


def test_deep_lift_with_a_softmax_at_the_end():
    """Here captum is no oracle: it subtracts the mean over the whole batch, and sums to nothing.

    Ours takes softmax as e / sum(e) and stays complete.
    """
    model, twin = pair(softmax=True)
    x, _ = pictures()
    target = targets.Class(TARGET, score="probability")
    result = explain(model, x, methods.DeepLift(baseline=0.0), target=target)
    gap = result.scores - explain(model, 0 * x, "gradient", target=target).scores
    np.testing.assert_allclose(result.attributions.sum((1, 2, 3)), gap, rtol=1e-4)
    theirs = captum("DeepLift", twin, torch.zeros(2, 3, 12, 13)).sum((1, 2, 3))
    assert np.abs(theirs - gap).max() > 0.01 * np.abs(gap).max()


# --- LRP


RULES = {  # ours, and captum's
    "epsilon": (methods.LRP("epsilon", epsilon=1e-9), lambda: rules.EpsilonRule(1e-9)),
    "gamma": (methods.LRP("gamma"), lambda: rules.GammaRule(0.25)),
    "z_plus": (methods.LRP("z_plus"), rules.Alpha1_Beta0_Rule),
}


def lrp(name, bias, pool=layers.MaxPooling2D):
    """Our relevance and captum's, on pictures and logits above 0.

    captum's gamma and z+ take weights for contributions, which is so for inputs above 0 only.
    """
    model, twin = pair(bias=bias, pool=pool)
    ours, theirs = RULES[name]
    x, tensor = pictures()
    best = model(np.abs(x)).detach().numpy().argmax(-1).tolist()
    twin = copy.deepcopy(twin)  # captum leaves its rules behind
    for module in twin.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = theirs()
    result = explain(model, np.abs(x), ours, target=best)
    assert result.scores.min() > 0
    wanted = attr.LRP(twin).attribute(tensor.abs().requires_grad_(True), target=best)
    return result.attributions, wanted.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("pool", [layers.MaxPooling2D, layers.AveragePooling2D])
@pytest.mark.parametrize("name", RULES)
def test_lrp_without_biases(name, pool):
    assert error(*lrp(name, False, pool)) < 1e-4


def test_lrp_epsilon_with_biases():
    """Here biases keep their share with both."""
    assert error(*lrp("epsilon", True)) < 1e-4


@pytest.mark.parametrize("epsilon", [1e-6, 0.25, 5.0])
def test_lrp_absolute_epsilon(monkeypatch, epsilon):
    """The number is added as captum adds it; as a share of the outputs it is another rule."""
    ours = methods.LRP("epsilon", epsilon=epsilon, absolute=True)
    monkeypatch.setitem(RULES, "absolute", (ours, lambda: rules.EpsilonRule(epsilon)))
    assert error(*lrp("absolute", True)) < 1e-4
    share = methods.LRP("epsilon", epsilon=epsilon)
    monkeypatch.setitem(RULES, "absolute", (share, lambda: rules.EpsilonRule(epsilon)))
    assert epsilon < 0.1 or error(*lrp("absolute", True)) > 1e-2


def test_lrp_z_plus_with_biases():
    """captum keeps whole biases beside positive weights: the same where biases are positive.

    (With gamma it leaves biases as they are, we favour them as weights are.)
    """
    assert error(*lrp("z_plus", "positive")) < 1e-4
    assert error(*lrp("z_plus", True)) > 1e-2

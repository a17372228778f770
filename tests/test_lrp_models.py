"""Layer-wise relevance propagation on models of every shape: what is seen, named or said."""

import keras
import models
import numpy as np
import pytest
import vits
from keras import layers, ops
from relevance_twin import close, drawn, pictures, relevance_of

from keras_saliency import explain, methods
from keras_saliency._rules import sharing
from keras_saliency.errors import MethodError

EPSILON = sharing.Epsilon()
BOX = methods.LRP("epsilon_gamma_box", first="flat")
SHAPES = ["nested", "sequential", "subclassed", "softmax_layer", "softmax_op", "activation_layer"]


# --- the same network in other clothes


@pytest.mark.parametrize("method", [BOX, methods.LRP("epsilon")], ids=["first", "epsilon"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_a_model(shape, method):
    x = models.pictures(2)
    wanted = explain(models.flat(), x, method, target=1)
    result = explain(getattr(models, shape)(), x, method, target=1)
    close(result.attributions, wanted.attributions)
    assert not result.checks[0]["findings"]


def test_first_is_known_in_a_nested_model_behind_a_kernel():
    """What stands in a model of its own is not first when something stands before it."""
    inputs = keras.Input((6, 6, 2))
    stack = [layers.Conv2D(3, 2), layers.ReLU(), layers.Conv2D(3, 2), layers.Flatten(),
             layers.Dense(2)]  # fmt: skip
    flat = drawn(keras.Sequential([inputs, *stack]))
    middle = keras.Sequential([keras.Input((5, 5, 3)), *stack[1:4]])
    nested = keras.Model(inputs, stack[4](middle(stack[0](inputs))))
    x = pictures((6, 6, 2))
    close(*(explain(one, x, BOX, target=0).attributions for one in (nested, flat)))


def test_a_shared_layer_shares_at_every_call():
    def model(*convs):
        inputs = keras.Input((5, 5, 2))
        x = convs[1](layers.ReLU()(convs[0](inputs)))
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))

    make = lambda: layers.Conv2D(2, 2)  # noqa: E731
    one, two = make(), make()
    shared, apart = drawn(model(one, one)), model(two, make())
    apart.set_weights([*shared.get_weights()[:2] * 2, *shared.get_weights()[2:]])
    x = pictures((5, 5, 2))
    close(*(explain(each, x, BOX, target=0).attributions for each in (shared, apart)))


def splitting(part):
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 2)(inputs)
    if part == "split":
        x = layers.Concatenate()(ops.split(x, 2, axis=-1))
    elif part == "split, first taken":
        x = ops.split(x, 2, axis=-1)[0]
    elif part == "first taken":
        x = x[..., :2]
    x = layers.Conv2D(3, 2)(x)
    return drawn(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))


@pytest.mark.parametrize(("part", "same"), [("split", ""), ("split, first taken", "first taken")])
def test_what_is_behind_a_split_is_not_first(part, same):
    x = pictures((6, 6, 2))
    close(*(explain(splitting(one), x, BOX, target=0).attributions for one in (part, same)))


def test_a_separable_layer_with_a_norm_is_first_once():
    inputs = keras.Input((6, 6, 2))
    kinds = {
        "whole": [layers.SeparableConv2D(3, 2, use_bias=False)],
        "apart": [layers.DepthwiseConv2D(2, use_bias=False), layers.Conv2D(3, 1, use_bias=False)],
    }
    result = []
    for kind in kinds.values():
        tail = [layers.BatchNormalization(), layers.Flatten(), layers.Dense(2)]
        model = drawn(keras.Sequential([inputs, *kind, *tail]))
        result.append(explain(model, pictures((6, 6, 2)), BOX, target=0).attributions)
    close(*result)


def test_first_in_mixed_precision():
    """Casts between layers hide what comes from where, but not that a kernel came before."""

    def model(end):
        inputs = keras.Input((6, 6, 2))
        x = layers.Conv2D(3, 2, dtype="mixed_float16")(inputs)
        x = layers.GlobalAveragePooling2D(dtype="mixed_float16")(layers.ReLU(dtype="float32")(x))
        return drawn(keras.Model(inputs, layers.Dense(2, dtype=end)(x)))

    x = pictures((6, 6, 2))
    result = explain(model("float32"), x, BOX, target=0).attributions
    twin = model("float32")
    plain = keras.Model.from_config(twin.get_config())  # names as they are, one policy
    for layer in plain.layers:
        layer.dtype_policy = keras.dtype_policies.DTypePolicy("float32")
    plain.set_weights(twin.get_weights())
    close(result, explain(plain, x, BOX, target=0).attributions, 2e-2)  # half precision


# --- what a call of somebody's own hides


def _unseen(x):
    """The tensor by itself, which no operation of Keras gave."""
    if not isinstance(x, keras.KerasTensor):
        return x
    raise TypeError("no value")


def test_behind_a_hidden_sum_nothing_is_first():
    class Hides(keras.Model):
        def __init__(self, add):
            super().__init__()
            self.one, self.two = layers.Conv2D(3, 2), layers.Conv2D(3, 2)
            self.add, self.flatten, self.last = add, layers.Flatten(), layers.Dense(2)

        def call(self, x):
            x = self.one(x)
            return self.last(self.flatten(self.two(self.add(x))))

    x, result = pictures((6, 6, 2)), []
    for add in (lambda x: _unseen(x) * 1.0, layers.Identity()):
        model = Hides(add)
        model(x)
        result.append(relevance_of(drawn(model), x, EPSILON, sharing.Flat(), target=0).values)
    close(*result)


# --- what is refused


class Cumulative(layers.Layer):
    def call(self, x):
        return ops.cumsum(x, axis=1)


REFUSED = {
    "LSTM": lambda: [layers.Reshape((12, 6)), layers.LSTM(3)],
    "Cumulative": lambda: [Cumulative(), layers.Flatten()],
    "Lambda": lambda: [layers.Lambda(lambda x: ops.cumsum(x, axis=1)), layers.Flatten()],
}


@pytest.mark.parametrize("method", ["lrp", "deep_lift"])
@pytest.mark.parametrize("name", REFUSED)
def test_the_layer_is_named_in_the_error(name, method):
    model = keras.Sequential([keras.Input((6, 6, 2)), *REFUSED[name](), layers.Dense(2)])
    layer = next(one for one in model.layers if type(one).__name__ == name)
    with pytest.raises(MethodError, match=name) as error:
        explain(model, pictures((6, 6, 2)), method, target=0)
    assert repr(layer.name) in str(error.value)
    assert "integrated_gradients" in error.value.fix


@pytest.mark.parametrize("method", ["lrp", "deep_lift"])
def test_transformers_are_refused(method):
    with pytest.raises(MethodError, match="MultiHeadAttention"):
        explain(vits.flat(), models.pictures(1), method)


def test_attention_is_refused():
    inputs = keras.Input((6, 6, 2))
    x = layers.Reshape((12, 6))(inputs)
    x = layers.MultiHeadAttention(1, 3)(x, x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(MethodError, match="MultiHeadAttention"):
        explain(model, pictures((6, 6, 2)), methods.LRP(), target=0)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_quantised_layers_are_refused():
    model = drawn(keras.Sequential([keras.Input((3, 3, 2)), layers.Flatten(), layers.Dense(4)]))
    model.quantize("int8")
    with pytest.raises(MethodError, match="quantised"):
        explain(model, pictures((3, 3, 2)), methods.LRP(), target=0)


@pytest.mark.parametrize(
    "options",
    [{"rule": "zeta"}, {"first": "zeta"}, {"epsilon": 0.0}, {"epsilon": -1}, {"gamma": "much"}],
)
def test_options_that_are_refused(options):
    with pytest.raises(MethodError, match=next(iter(options))):
        methods.LRP(**options)


# --- odd pictures


def test_nothing_is_divided_by_zero():
    x = np.zeros((2, 12, 12, 3), "float32")
    for rule in ("epsilon", "gamma", "z_plus", "alpha2_beta1"):
        model = drawn(keras.Sequential([
            keras.Input((12, 12, 3)), layers.Conv2D(3, 3, use_bias=False), layers.Flatten(),
            layers.Dense(2)]))  # fmt: skip
        with pytest.warns(UserWarning, match="0 everywhere"):
            e = explain(model, x, methods.LRP(rule), target=0)
        assert not e.attributions.any()
        assert np.isfinite(e.checks[0]["conservation_error"])


def test_batches_are_singles():
    x = np.concatenate([models.pictures(2), 100 * models.pictures(1, seed=4)])
    for method in (methods.LRP("epsilon", epsilon=0.1), BOX):
        together = explain(models.flat(), x, method, target=[0, 1, 2])
        for row in range(3):
            alone = explain(models.flat(), x[row], method, target=row)
            close(together.attributions[row], alone.attributions[0])

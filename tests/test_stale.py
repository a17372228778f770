"""What is compiled is of one structure and one set of attributes; a change is seen."""

import contextlib
import functools
import gc
import types
import warnings
import weakref

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

from keras_saliency import explain, methods
from keras_saliency._graph.configuration import Configuration

COMPILED = keras.config.backend() != "torch"


def _x():
    return np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")


class Scaled(L.Layer):
    """A layer of the user's own, with every kind of attribute."""

    power = 1.0

    def __init__(self):
        super().__init__()
        self.scale, self.table, self.steps = 2.0, np.ones(3, "float32"), [L.ReLU()]
        self.options = {"shift": 0.5}

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return self.scale * ops.sum(self.table) * x**self.power + self.options["shift"]


def _model(*extra):
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((8, 8, 3)),
        L.Conv2D(4, 3),
        *extra,
        L.GlobalAveragePooling2D(),
        L.Dense(3),
    ]
    return keras.Sequential(layers)


def _scaled():
    own = Scaled()
    return _model(own), own


def _set(name, value):
    return lambda model, layer: setattr(layer, name, value)


def _norm():
    norm = L.BatchNormalization()
    return _model(norm), norm


def _leaky():
    leaky = L.LeakyReLU(0.1)
    return _model(leaky), leaky


def _lambda():
    factor = [2.0]
    return _model(L.Lambda(lambda x: x * factor[0])), factor


def _rescale():
    layer = L.Rescaling(1.0)
    return _model(layer), layer


CHANGES = {
    "slope": (_leaky, _set("negative_slope", 0.9)),
    "epsilon": (_norm, _set("epsilon", 3.0)),
    "activation": (
        _scaled,
        lambda m, _: setattr(m.layers[0], "activation", keras.activations.tanh),
    ),
    "padding": (_scaled, lambda m, _: setattr(m.layers[0], "padding", "same")),
    "strides": (_scaled, lambda m, _: setattr(m.layers[0], "strides", (2, 2))),
    "rescaling": (_rescale, _set("scale", 5.0)),
    "number": (_scaled, _set("scale", 3.0)),
    "int for bool": (_scaled, lambda m, one: setattr(one, "scale", -1.0)),
    "array": (_scaled, _set("table", np.full(3, 2.0, "float32"))),
    "array in place": (_scaled, lambda m, one: one.table.__setitem__(0, 7.0)),
    "list": (_scaled, lambda m, one: one.steps.clear()),
    "dict": (_scaled, lambda m, one: one.options.update({"shift": -4.0})),
    "call": (_scaled, lambda m, one: setattr(one, "call", lambda x: x * 9.0)),
    "closure": (_lambda, lambda m, factor: factor.__setitem__(0, 5.0)),
    "add": (_scaled, lambda m, _: m.add(L.Rescaling(7.0))),
    "pop": (_rescale, lambda m, _: (m.pop(), m.add(L.Dense(3, kernel_initializer="ones")))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name):
    make, change = CHANGES[name]
    model, layer = make()
    before = explain(model, _x(), target=1).scores
    change(model, layer)
    after = explain(model, _x(), target=1).scores
    true = np.asarray(ops.convert_to_numpy(model(_x(), training=False)))[:, 1]
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, true, rtol=1e-5)


def test_a_class_attribute_is_seen():
    model, _ = _scaled()
    before = explain(model, _x(), target=1).scores
    try:
        Scaled.power = 2.0
        assert not np.allclose(before, explain(model, _x(), target=1).scores)
    finally:
        Scaled.power = 1.0


class Replaced(keras.Model):
    def __init__(self):
        super().__init__()
        self.block, self.other = L.Rescaling(1.0), L.Rescaling(3.0)
        self.pool = L.GlobalAveragePooling2D()

    def call(self, x):
        return self.pool(self.block(x))


def test_a_replaced_layer_is_seen():
    model = Replaced()
    before = explain(model, _x(), target=1).scores
    model.block = model.other
    after = explain(model, _x(), target=1).scores
    np.testing.assert_allclose(after, 3 * _x().mean((1, 2))[:, 1], rtol=1e-5)
    assert not np.allclose(before, after)


class Weighted:
    def __init__(self, weight):
        self.weight = weight

    def __call__(self, outputs):
        return self.weight * outputs[:, 0]

    def method(self, outputs):
        return self(outputs)


_WEIGHT = 1.0


def _by_global(outputs):
    return _WEIGHT * outputs[:, 0]


@pytest.mark.parametrize("kind", ["attribute", "method", "closure", "default", "global"])
def test_what_a_target_depends_on_is_seen(kind, monkeypatch):
    model, weight = _leaky()[0], [1.0]
    weighted = Weighted(1.0)

    def closed(outputs):
        return weight[0] * outputs[:, 0]

    def defaulted(outputs, weight=1.0):
        return weight * outputs[:, 0]

    target = {"attribute": weighted, "method": weighted.method, "closure": closed,
              "default": defaulted, "global": _by_global}[kind]  # fmt: skip
    one = explain(model, _x(), target=target)
    weighted.weight = weight[0] = 3.0
    defaulted.__defaults__ = (3.0,)
    monkeypatch.setitem(globals(), "_WEIGHT", 3.0)
    other = explain(model, _x(), target=target)
    np.testing.assert_allclose(other.scores, 3 * one.scores, rtol=1e-5)
    np.testing.assert_allclose(other.values, 3 * one.values, rtol=1e-5)


class Counting(L.Layer):
    """Writes down what it does, as layers do for a look at their attention."""

    def __init__(self):
        super().__init__()
        self.runs, self.seen, self.shapes = 0, None, []

    def call(self, x):
        self.runs += 1
        self.seen, _ = x, self.shapes.append(x.shape)
        return 2 * x


@pytest.mark.skipif(not COMPILED, reason="PyTorch runs it each time")
def test_what_a_run_itself_changes_compiles_nothing_anew():
    layer = Counting()
    model = _model(layer)
    explain(model, _x())
    runs = layer.runs
    explain(model, _x())
    assert layer.runs == runs


def test_the_same_configuration_is_recognised_again():
    model, leaky = _leaky()
    calls = []

    def target(outputs):
        calls.append(1)
        return outputs[:, 0]

    explain(model, _x(), target=target)
    leaky.negative_slope = 0.9
    explain(model, _x(), target=target)
    leaky.negative_slope = 0.1
    known = len(calls)
    explain(model, _x(), target=target)
    assert not COMPILED or len(calls) == known


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "integrated_gradients"])
def test_a_warm_call_reads_the_configuration_once(method, monkeypatch):
    model, read, reads = _leaky()[0], Configuration.look, []
    explain(model, _x(), method)
    monkeypatch.setattr(Configuration, "look", lambda *args: reads.append(1) or read(*args))
    explain(model, _x(), method)
    assert len(reads) == 1


class Changing(methods.Gradient):
    """A method of the user's own, which changes the model while it explains it."""

    def attribute(self, engine, seed):
        assert np.isfinite(engine.scores).all()
        engine.layers_by_path["leaky"].negative_slope = 0.9
        return super().attribute(engine, seed)


@pytest.mark.parametrize(
    "around", [lambda one: one, lambda one: methods.SmoothGrad(one, samples=2)], ids=["", "inside"]
)
def test_a_change_by_a_method_itself_is_seen(around):
    model = _model(L.LeakyReLU(0.1, name="leaky"))
    before, result, wanted = (
        explain(model, _x(), around(one), target=1).values
        for one in (methods.Gradient(), Changing(), methods.Gradient())
    )
    np.testing.assert_array_equal(result, wanted)
    assert not np.allclose(before, result)


def test_training_and_predicting_are_no_change():
    model, calls = _leaky()[0], []

    def target(outputs):
        calls.append(1)
        return outputs[:, 0]

    explain(model, _x(), target=target)
    known = len(calls)
    model.compile("sgd", "mse")
    model.fit(_x(), np.zeros((1, 3)), verbose=0)
    model.predict(_x(), verbose=0)
    model.trainable = False
    result = explain(model, _x(), target=target)
    assert result.checks[0]["findings"] == ()
    assert not COMPILED or len(calls) == known


def test_a_stale_predict_is_said():
    model, leaky = _leaky()
    explain(model, _x(), target=1)
    old = model.predict(_x(), verbose=0)[:, 1]
    leaky.negative_slope = 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = explain(model, _x(), target=1)
    stale = np.allclose(model.predict(_x(), verbose=0)[:, 1], old)
    said = [one for one in result.checks[0]["findings"] if "negative_slope" in one]
    assert bool(said) == stale == COMPILED
    model.compile()
    assert not explain(model, _x(), target=1).checks[0]["findings"]


def test_nothing_that_is_known_of_a_model_keeps_it_alive():
    model, own = _scaled()
    back = types.SimpleNamespace(to=model, summary=model.summary)
    own.back = back
    explain(model, _x(), target=Weighted(1.0))
    own.scale = 4.0
    explain(model, _x(), target=Weighted(2.0))
    gone = weakref.ref(model)
    del model, own, back
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("method", ["lrp", "deep_lift", "guided_backprop", "full_grad"])
def test_no_rule_keeps_a_model_alive(method):
    model = keras.Sequential([L.Input((6, 6, 3)), L.Conv2D(2, 3, activation="relu"), L.Flatten()])
    explain(model, _x()[:, :6, :6], method, target=1)
    gone = weakref.ref(model.layers[0])
    del model
    gc.collect()
    assert gone() is None


class Settings:
    power = 1.0


class Gain:
    """A helper with an attribute of its class, a property, and numbers of its own."""

    value = 1.0

    def __init__(self):
        self.calls = 0

    @property
    def doubled(self):
        return 2 * _WEIGHT

    def __call__(self, x):
        return x * self.value * self.doubled


class Powered(keras.losses.Loss):
    def __init__(self):
        super().__init__(reduction=None)
        self.power = 1.0

    def call(self, y_true, y_pred):
        return ops.sum(ops.abs(y_pred - y_true) ** self.power, -1)


module = types.ModuleType("settings")
module.inner = types.ModuleType("settings.inner")


@pytest.fixture
def settings(monkeypatch):
    """Numbers that lie about, as they are before a change."""
    for owner in (Settings, module, module.inner):
        monkeypatch.setattr(owner, "power", 1.0, raising=False)
    monkeypatch.setattr(Gain, "value", 1.0)
    monkeypatch.setitem(globals(), "_WEIGHT", 1.0)


def _partial(how):
    table, steps = {"power": 1.0}, [1.0]

    def powered(outputs, table=None, steps=(1.0,)):
        return outputs[:, 0] * table["power"] * steps[0]

    target = functools.partial(powered, table=table, steps=steps)
    change = {
        "partial, keywords": lambda: target.keywords.update(steps=[3.0]),
        "partial, inside": lambda: table.update(power=3.0),
        "partial, function": lambda: target.__setstate__(
            (lambda outputs, **_: outputs[:, 1] * 3.0, (), target.keywords, {})
        ),
        "partial in a closure": lambda: steps.__setitem__(0, 3.0),
    }[how]
    return (lambda outputs: target(outputs)) if "closure" in how else target, change


def _other(how):
    slope = L.LeakyReLU(0.1)
    other = keras.Sequential([keras.Input((3,)), L.Dense(2), slope, L.Flatten()])
    first, pick = other.layers[0], L.Lambda(lambda x: x[:, 0])

    def change():
        if "slope" in how:
            slope.negative_slope = 0.9
        else:
            first.kernel.assign(first.kernel + 1.0)

    if "is" in how:
        other.add(pick)
        return other, change
    target = first if "a layer" in how else other
    if "partial" in how:
        return functools.partial(lambda model, outputs: ops.sum(model(outputs), -1), other), change
    return (lambda outputs: ops.sum(target(outputs), -1)), change


def _lying_about(how):
    variable, gain, loss = keras.Variable(np.ones(3, "float32")), Gain(), Powered()
    near = Settings
    y = ops.convert_to_tensor(np.full((1, 3), 3.0, "float32"))

    def set_(owner, name="power"):
        return lambda: setattr(owner, name, 3.0)

    return {
        "variable": (lambda o: ops.sum(o * variable, -1), lambda: variable.assign([1.0, 2.0, 3.0])),
        "class": (lambda o: Settings.power * o[:, 1], set_(Settings)),
        "class in a closure": (lambda o: near.power * o[:, 1], set_(Settings)),
        "class of a helper": (lambda o: gain(o)[:, 1], set_(Gain, "value")),
        "global of a property": (lambda o: gain(o)[:, 1], _set_global),
        "module": (lambda o: module.power * o[:, 1], set_(module)),
        "module in a module": (lambda o: module.inner.power * o[:, 1], set_(module.inner)),
        "own loss": (lambda o: loss.call(y, o), set_(loss)),
    }[how]


def _set_global():
    globals()["_WEIGHT"] = 3.0


TARGETS = {
    _partial: ["partial, keywords", "partial, inside", "partial, function", "partial in a closure"],
    _other: ["weights", "slope", "a layer, weights", "in a partial, weights", "is one, weights",
             "is one, slope"],
    _lying_about: ["variable", "class", "class in a closure", "class of a helper",
                   "global of a property", "module", "module in a module", "own loss"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "how"), [(make, how) for make, names in TARGETS.items() for how in names]
)
def test_what_a_target_reaches_is_seen(make, how, settings):
    model = _leaky()[0]
    target, change = make(how)
    for _ in range(10):  # PyTorch records what comes so often
        before = explain(model, _x(), target=target)
    change()
    after = explain(model, _x(), target=target)
    with _no_gradient():
        true = ops.convert_to_numpy(target(model(_x())))
    assert not np.allclose(before.scores, after.scores)
    np.testing.assert_allclose(after.scores, true, rtol=1e-5)


def _no_gradient():
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


class Reaching(L.Layer):
    def __init__(self, how):
        super().__init__()
        self.gain, self.limit = Gain(), keras.constraints.MaxNorm(0.1)
        self.reach = {
            "class": lambda x: x * Settings.power,
            "module": lambda x: x * module.power,
            "class of a helper": self.gain,
            "global of a property": self.gain,
            "constraint": lambda x: x * self.limit(ops.ones((4, 1)))[0, 0],
        }[how]

    def call(self, x):
        return self.reach(x)


REACHED = {
    "class": (lambda layer: setattr(Settings, "power", 3.0), "power of Settings"),
    "module": (lambda layer: setattr(module, "power", 3.0), "power of settings"),
    "class of a helper": (lambda layer: setattr(Gain, "value", 3.0), "value of Gain"),
    "global of a property": (lambda layer: _set_global(), "_WEIGHT of Gain.doubled"),
    "constraint": (lambda layer: setattr(layer.limit, "max_value", 0.3), "max_value of MaxNorm"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", REACHED)
def test_what_a_layer_reaches_is_seen_and_said(how, settings):
    layer = Reaching(how)
    model = _model(layer)
    for _ in range(10):
        before = explain(model, _x(), target=1).scores
    model.predict(_x(), verbose=0)
    change, name = REACHED[how]
    change(layer)
    after = explain(model, _x(), target=1)
    true = np.asarray(ops.convert_to_numpy(model(_x(), training=False)))[:, 1]
    assert not np.allclose(before, after.scores)
    np.testing.assert_allclose(after.scores, true, rtol=1e-5)
    assert any(name in one for one in after.checks[0]["findings"]) == COMPILED


class Remembering(L.Layer):
    """Makes an object at each run, and counts in a class."""

    def __init__(self):
        super().__init__()
        self.gain, self.last, self.scale, self.runs = Gain(), None, 1.0, 0

    def call(self, x):
        self.runs += 1
        self.last = types.SimpleNamespace(shape=x.shape)
        self.gain.calls += 1
        Settings.power = self.runs
        return self.scale * self.gain(x)


@pytest.mark.filterwarnings("ignore")
def test_objects_that_a_run_makes_are_no_configuration(settings):
    layer = Remembering()
    model = _model(layer)
    model.predict(_x(), verbose=0)
    result = [explain(model, _x(), target=1) for _ in range(3)]
    runs = layer.runs
    again = explain(model, _x(), target=1)
    assert not COMPILED or layer.runs == runs
    assert not again.checks[0]["findings"]
    layer.gain.value = 5.0  # beside what is counted
    after = explain(model, _x(), target=1)
    np.testing.assert_allclose(after.values, 5 * result[0].values, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not COMPILED, reason="PyTorch runs it each time")
def test_a_target_of_the_explained_model_itself_compiles_nothing_anew_when_it_is_trained():
    model, calls = _leaky()[0], []
    head = model.layers[-1]

    def target(outputs):
        calls.append(model.name)
        return outputs[:, 0] + ops.sum(head.bias)

    explain(model, _x(), target=target)
    known = len(calls)
    head.bias.assign([1.0, 1.0, 1.0])
    before = explain(model, _x(), target=0).scores
    np.testing.assert_allclose(explain(model, _x(), target=target).scores, before + 3, rtol=1e-5)
    assert len(calls) == known

"""What is said beside a map is what was measured."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import explain, methods, targets

pytestmark = pytest.mark.filterwarnings("ignore")


def against():
    """Class 0 wins by its bias alone: every feature speaks against it."""
    picture = keras.Input((16, 16, 1))
    head = layers.Dense(2)
    features = layers.Conv2D(3, 3, kernel_initializer="ones", activation="relu")(picture)
    model = keras.Model(picture, head(layers.GlobalAveragePooling2D()(features)))
    head.set_weights([np.tile([[-1.0, 1.0]], (3, 1)), np.array([90.0, 0.0])])
    return model


X = np.random.default_rng(0).uniform(0.1, 1.0, (2, 16, 16, 1)).astype("float32")
CUT = ("grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "x_grad_cam", "ablation_cam",
       "guided_grad_cam", methods.FinerCam(similar=1),
       methods.SmoothGrad("grad_cam", 2))  # fmt: skip


def said(model, x, method, **options):
    result = explain(model, x, method, **options)
    return result, [" ".join(one["findings"]) for one in result.checks]


def test_the_score_does_answer_to_the_picture():
    assert explain(against(), X, "gradient").values.any()


@pytest.mark.parametrize("method", CUT, ids=str)
def test_what_is_negative_was_cut_off(method):
    result, messages = said(against(), X, method)
    assert not result.values.any()
    for one in messages:
        assert "ReLU cut that off" in one
        assert "relu=False" in one
        assert one.count("0 everywhere") == 1
        assert "does not answer" not in one


def test_without_the_relu_there_is_a_map():
    result, messages = said(against(), X, methods.GradCam(relu=False))
    assert (result.values < 0).any()
    assert messages == ["", ""]


def test_only_the_picture_with_the_empty_map_is_reported():
    """Both classes on one model: the map of class 1 is not empty."""
    result, messages = said(against(), X, "grad_cam", target=[0, 1])
    assert "cut that off" in messages[0]
    assert result.values[1].any()
    assert messages[1] == ""


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
def test_a_rule_that_lets_nothing_through_beside_a_working_gradient(method):
    result, messages = said(against(), X, method)
    assert not result.values.any()
    assert "although the gradient of the score by the picture is not" in messages[0]


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "grad_cam", "hires_cam"])
def test_a_gradient_that_is_0(method):
    model = against()
    result, messages = said(model, -X, method)  # every ReLU is off
    assert not result.values.any()
    wanted = "the output of layer" if "cam" in method else "the gradient of the score is 0 at this"
    assert wanted in messages[0]


def test_a_saturated_probability():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    model.layers[-1].set_weights([np.tile([[40.0, -40.0]], (16, 1)), np.zeros(2)])
    model = keras.Sequential([model, layers.Softmax()])
    target = targets.TopClass(score="probability")
    _, messages = said(model, X[:, :4, :4], "gradient", target=target)
    assert "the gradient of the score is 0" in messages[0]
    assert "score='logit'" in messages[0]
    assert said(model, X[:, :4, :4], "gradient")[1] == ["", ""]


@pytest.mark.parametrize(
    ("score", "said_"),
    [
        ("overlap", "an overlap is flat where boxes do not meet or are clipped"),
        ("similarity", "an overlap is flat"),
        ("box", "a box that the model clips or rounds does not move"),
        ("probability", "probabilities saturate"),
    ],
)
def test_a_flat_score_of_a_detection_is_explained_as_what_it_is(score, said_):
    """Boxes and classes are constants here, whatever the picture."""
    picture = keras.Input((8, 8, 1))
    flat = layers.Flatten()(picture)
    corners = keras.initializers.Constant([1.0, 1.0, 6.0, 6.0])
    boxes = layers.Dense(4, kernel_initializer="zeros", bias_initializer=corners)(flat)
    boxes = layers.Reshape((1, 4))(boxes)
    classes = layers.Reshape((1, 2))(layers.Dense(2, kernel_initializer="zeros")(flat))
    model = keras.Model(picture, {"boxes": boxes, "classes": layers.Softmax()(classes)})
    box = {"edge": "top"} if score == "box" else {}
    target = targets.Detection(
        boxes="boxes", classes="classes", box=(1, 1, 7, 7), class_=1, score=score, **box
    )
    found, told = said(model, X[:1, :8, :8], "gradient", target=target)
    assert not found.values.any()
    assert said_ in told[0]
    assert ("probabilities" in told[0]) == (score == "probability")
    assert "score='logit'" in told[0]


@pytest.mark.parametrize("method", [methods.Occlusion(window=4, stride=4)], ids=str)
def test_nothing_changes_the_score(method):
    model = keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(2)])
    model.layers[-1].set_weights([np.zeros((256, 2)), np.array([2.0, 1.0])])
    result, messages = said(model, X, method)
    assert not result.values.any()
    assert "no part of the picture that 'occlusion' tried changes the score" in messages[0]


def test_the_sentences_become_warnings():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explain(against(), X[:1], "grad_cam")
    assert any("ReLU cut that off" in str(one.message) for one in caught)


# ---------------------------------------------------------------------- classes and other outputs


def ending(*last, loss=None):
    body = [keras.Input((16, 16, 1)), layers.Conv2D(4, 3, activation="relu"), *last]
    model = keras.Sequential(body)
    if loss is not None:
        model.compile(loss=loss)
    return model


class Subclassed(keras.Model):
    """A body and a head that its call puts together."""

    def __init__(self, how):
        super().__init__()
        self.body = layers.Conv2D(4, 3, activation="relu")
        self.pool, self.head, self.how = layers.GlobalAveragePooling2D(), layers.Dense(3), how

    def call(self, x):
        features = self.body(x)
        if self.how == "headless":
            return ops.mean(features, axis=(1, 2))
        values = self.head(self.pool(features))
        return values / ops.norm(values, axis=-1, keepdims=True) if self.how == "unit" else values


D, F, G = layers.Dense, layers.Flatten, layers.GlobalAveragePooling2D
CLASSES = {
    "softmax": lambda: ending(F(), D(3, activation="softmax")),
    "sigmoid": lambda: ending(F(), D(1, activation="sigmoid")),
    "logits": lambda: ending(F(), D(3)),
    "logits, compiled": lambda: ending(
        F(), D(3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ),
    "carried": lambda: ending(F(), D(3), layers.Dropout(0.5), layers.Activation("linear")),
    "convolution, pooled": lambda: ending(layers.Conv2D(3, 1), G()),
    "convolution of one place, flattened": lambda: ending(layers.Conv2D(3, 14), F()),
    "nested": lambda: keras.Sequential(
        [keras.Input((16, 16, 1)), ending(G(), D(3)), layers.Reshape((3,))]
    ),
    "subclassed": lambda: Subclassed("classes"),
}
NO_CLASSES = {  # whether a finding says so
    "one number": (lambda: ending(F(), D(1)), False),
    "several numbers": (lambda: ending(F(), D(3), loss="mse"), False),
    "several numbers, robust": (lambda: ending(F(), D(3), loss=keras.losses.Huber()), False),
    "several numbers, nested": (
        lambda: keras.Sequential([keras.Input((16, 16, 1)), ending(F(), D(3), loss="mae")]),
        False,
    ),
    "features": (lambda: ending(G()), True),
    "features, flattened": (lambda: ending(layers.Conv2D(2, 3), F()), True),
    "features, maximum": (lambda: ending(layers.GlobalMaxPooling2D()), True),
    "features, nested": (lambda: keras.Sequential([keras.Input((16, 16, 1)), ending(G())]), True),
    "rectified": (lambda: ending(F(), D(3, activation="relu")), True),
    "normalised": (lambda: ending(F(), D(3), layers.LayerNormalization()), True),
    "unit length": (lambda: ending(F(), D(3), layers.UnitNormalization()), True),
    "features, subclassed": (lambda: Subclassed("headless"), True),
    "unit length, subclassed": (lambda: Subclassed("unit"), True),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_probabilities(name):
    keras.utils.set_random_seed(0)
    result, messages = said(CLASSES[name](), X, "gradient")
    assert result.probabilities is not None
    assert result.title().startswith("class ")
    assert "(p = " in result.title()
    assert "nothing shows" not in messages[0]


@pytest.mark.parametrize("name", NO_CLASSES)
def test_other_outputs_have_none(name):
    keras.utils.set_random_seed(0)
    make, finds = NO_CLASSES[name]
    result, messages = said(make(), X, "gradient")
    assert result.probabilities is None
    assert result.title().startswith("output ")
    assert "p = " not in result.title()
    assert "logit" not in result.title()
    assert ("nothing shows that outputs are classes" in messages[0]) == finds


K = keras.losses
CROSS = K.CategoricalCrossentropy(from_logits=True)
NUMBERS = ("MSE", "mape", "msle", "log_cosh", "huber", "poisson", "MeanSquaredError",
           "cosine_similarity", K.Poisson(), K.LogCosh(name="mine"), K.MeanSquaredError,
           K.mean_absolute_error, K.Circle(), ["mse"], [K.Huber()])  # fmt: skip
OF_CLASSES = ("categorical_crossentropy", "hinge", K.CategoricalHinge(), K.KLDivergence, [CROSS],
              lambda true, said: ops.mean(ops.abs(true - said)))  # fmt: skip


@pytest.mark.parametrize("loss", [*NUMBERS, *OF_CLASSES], ids=str)
def test_a_loss_says_whether_outputs_are_numbers(loss):
    result = explain(ending(G(), D(3), loss=loss), X, "gradient")
    assert (result.probabilities is None) == any(loss is one for one in NUMBERS)


class TwoHeads(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.box, self.kind = F(), D(4), D(3)

    def call(self, x):
        x = self.flat(x)
        return {"box": self.box(x), "kind": self.kind(x)}


def two_heads(form, loss):
    """A model with boxes and classes, the outputs in a list, or in a dict whose order is other."""
    picture = keras.Input((16, 16, 1))
    x = F()(picture)
    if form == "subclassed":
        model = TwoHeads()
        model(np.zeros((1, 16, 16, 1), "float32"))
    else:
        outputs = [D(4, name="box")(x), D(3, name="kind")(x)]
        if form == "dict":
            outputs = {"kind": outputs[1], "box": outputs[0]}
        model = keras.Model(picture, outputs)
        if form == "nested":
            model.compile("sgd", loss)
            return keras.Model(picture, model(picture))
    model.compile("sgd", loss)
    return model


BY_NAME = {"box": "mse", "kind": CROSS}


@pytest.mark.parametrize(
    ("form", "loss"),
    [("list", ["mse", CROSS]), ("list", ("mse", None)), ("list", BY_NAME), ("dict", BY_NAME),
     ("dict", {"box": K.Huber}), ("subclassed", BY_NAME), ("nested", ["mse", CROSS])],
)  # fmt: skip
def test_each_output_has_its_own_loss(form, loss):
    model = two_heads(form, loss)
    names = (0, 1) if form == "nested" else ("box", "kind")
    box, kind = (explain(model, X, target=targets.TopClass(output=name)) for name in names)
    assert box.probabilities is None
    assert box.title().startswith("output ")
    assert kind.probabilities is not None


def test_an_output_that_was_named_is_no_finding():
    keras.utils.set_random_seed(0)
    result, messages = said(ending(G()), X, "gradient", target=2)
    assert (result.labels, result.targets) == (("output 2", "output 2"), (2, 2))
    assert "nothing shows" not in " ".join(messages)

"""Models as people have them: each kind gives the map of its plain twin."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_saliency import errors, explain, methods, targets

BACKEND = keras.config.backend()


def same(one, other, tolerance=1e-5):
    np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max(), rtol=0)


def cosine(one, other):
    one, other = one.ravel().astype("float64"), other.ravel().astype("float64")
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
@pytest.mark.parametrize(
    "make",
    [
        models.logits,
        models.sequential,
        models.subclassed,
        models.nested,
        models.softmax_layer,
        models.softmax_op,
        models.activation_layer,
    ],
)
def test_every_shape_of_a_network_gives_the_logits_map(make, method):
    x = models.pictures(2)
    plain = explain(models.flat(), x, method, target=3)
    e = explain(make(), x, method, target=3)
    same(e.values, plain.values)
    same(e.scores, plain.scores)


def test_scores_of_every_kind():
    x = models.pictures(2)
    logits = keras.ops.convert_to_numpy(models.logits()(x)).astype("float64")
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for model in (models.flat(), models.logits(), models.softmax_layer()):
        for score, wanted in (
            ("logit", logits),
            ("probability", p),
            ("log_probability", np.log(p)),
        ):
            e = explain(model, x, target=targets.Class(3, score=score))
            same(e.scores, wanted[:, 3])
            same(e.probabilities, p[:, 3])


def test_a_saturated_softmax_still_has_a_logit_gradient():
    model = models.chain()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 500, bias])
    x = models.pictures(1)
    assert explain(model, x).probabilities[0] > 0.999
    assert np.abs(explain(model, x).values).max() > 1


@pytest.mark.parametrize("form", ["activation", "layer"])
def test_sigmoid_head(form):
    body = models.chain(last=None)
    head = layers.Activation("sigmoid")(body.output)
    model = {"activation": models.chain(last="sigmoid"), "layer": keras.Model(body.input, head)}[
        form
    ]
    x = models.pictures(2)
    e = explain(model, x, target=1)
    same(e.values, explain(models.logits(), x, target=1).values)
    same(e.probabilities, 1 / (1 + np.exp(-e.scores)))


def test_softmax_hidden_in_a_subclass_is_refused_not_guessed():
    class Hidden(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return keras.ops.softmax(self.dense(keras.ops.mean(x, axis=(1, 2))))

    model = Hidden()
    x = models.pictures(2)
    with pytest.raises(errors.TargetError, match="look like probabilities"):
        explain(model, x)
    with pytest.raises(errors.TargetError, match="look like probabilities"):
        explain(model, x, target=targets.Margin(0, 1))
    e = explain(model, x, target=lambda y: keras.ops.log(y[:, 1]))
    assert e.values.any()


def test_sequential_that_is_not_built():
    model = keras.Sequential(
        [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )
    e = explain(model, models.pictures(2))
    assert e.values.shape == (2, models.SIZE, models.SIZE)
    assert e.values.any()


def test_subclassed_that_was_never_called():
    e = explain(models._Subclassed(), models.pictures(2), "grad_cam")
    assert e.values.shape == (2, models.SIZE, models.SIZE)


@pytest.fixture(scope="module")
def siamese():
    """Two pictures through one shared tower; the score is weighted towards the first."""
    keras.utils.set_random_seed(1)
    tower = layers.Conv2D(4, 3, activation="tanh", name="tower")
    left, right = (keras.Input((models.SIZE, models.SIZE, 3), name=n) for n in ("left", "right"))
    pool = layers.GlobalAveragePooling2D(name="pool")
    both = layers.Concatenate()([pool(tower(left)), pool(tower(right))])
    return keras.Model([left, right], layers.Dense(2, name="head")(both), name="siamese")


def test_several_inputs_the_first_named_is_explained(siamese):
    x = models.pictures(2)
    a, b = x[:1], x[1:]
    by_dict = explain(siamese, {"left": a, "right": b}, target=0)
    by_tuple = explain(siamese, (a, b), target=0)
    other = explain(siamese, {"right": b, "left": a}, target=0)
    same(by_tuple.values, by_dict.values)
    assert cosine(other.values, by_dict.values) < 0.99
    same(other.scores, by_dict.scores)

    # By hand: only the given input moves.
    step = np.zeros_like(b)
    step[0, 5, 5, 1] = 1e-2
    up, down = (keras.ops.convert_to_numpy(siamese([a, b + s]))[0, 0] for s in (step, -step))
    assert (
        abs((up - down) / 2e-2 - other.attributions[0, 5, 5, 1])
        < 1e-3 * np.abs(other.attributions).max() + 1e-4
    )


@pytest.mark.parametrize("method", [methods.Occlusion(4, 4), methods.SmoothGrad(samples=3)])
def test_several_inputs_with_every_kind_of_method(siamese, method):
    x = models.pictures(4)
    together = explain(siamese, {"left": x[:2], "right": x[2:]}, method, target=1)
    alone = explain(siamese, {"left": x[1], "right": x[3]}, method, target=1)
    same(together.values[1:], alone.values)


def test_of_a_shared_layer_the_call_counts_that_saw_the_picture(siamese):
    x, calls = models.pictures(2), set()
    for explained, other in (("left", "right"), ("right", "left")):
        given = {explained: x[:1], other: x[1:]}
        by_itself, by_path = (
            explain(siamese, given, methods.GradCam(layer=name), target=0)
            for name in (None, "tower")
        )
        path, number = by_itself.info["layer"].split("@")
        assert (path, by_path.info["layer"]) == ("tower", by_itself.info["layer"])
        named = explain(siamese, given, methods.GradCam(layer=f"tower@{number}"), target=0)
        same(by_path.values, named.values)
        same(by_itself.values, named.values)
        with pytest.raises(errors.LayerError, match="does not depend on the explained input"):
            explain(siamese, given, methods.GradCam(layer=f"tower@{1 - int(number)}"), target=0)
        calls.add(number)
    assert calls == {"0", "1"}
    with pytest.raises(errors.LayerError, match="called 2 times"):
        explain(siamese, given, methods.GradCam(layer="tower@2"))


def test_side_input_that_is_no_picture():
    image, meta = (
        keras.Input((models.SIZE, models.SIZE, 3), name="image"),
        keras.Input((2,), name="meta"),
    )
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(image), meta])
    model = keras.Model({"image": image, "meta": meta}, layers.Dense(3)(x))
    pictures, numbers = models.pictures(2), np.array([[1, 2], [3, 4]], "float32")
    both = explain(model, {"meta": numbers, "image": pictures}, target=0)
    one = explain(model, {"image": pictures[1], "meta": numbers[1]}, target=0)
    same(both.scores[1:], one.scores)
    with pytest.raises(
        errors.InputError, match=r"Expected 2 inputs of model .*Got one ndarray for all"
    ):
        explain(model, pictures)
    with pytest.raises(errors.InputError, match="Did you mean 'meta'"):
        explain(model, {"image": pictures, "mets": numbers})
    with pytest.raises(errors.InputError, match="Got 1 rows"):
        explain(model, {"image": pictures, "meta": numbers[:1]})


@pytest.mark.parametrize("struct", ["dict", "tuple"])
def test_subclassed_with_several_inputs(struct):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv, self.head = layers.Conv2D(3, 3, activation="tanh"), layers.Dense(2)

        def call(self, inputs):
            image, meta = (inputs["image"], inputs["meta"]) if struct == "dict" else inputs
            return self.head(keras.ops.mean(self.conv(image), axis=(1, 2)) * meta)

    model, x = Two(), models.pictures(2)
    meta = np.array([[1, 1, 1], [0, 0, 0]], "float32")
    given = {"image": x, "meta": meta} if struct == "dict" else (x, meta)
    for method in ("gradient", "grad_cam"):
        with pytest.warns(UserWarning, match="picture 1: the map is 0 everywhere"):
            e = explain(model, given, method, target=0)
        assert e.values.shape == (2, models.SIZE, models.SIZE)
        assert not e.values[1].any()


@pytest.mark.parametrize("struct", ["list", "dict"])
def test_several_outputs_must_be_named(struct):
    body = models.chain(last=None)
    pool = body.get_layer("pool").output
    small, large = layers.Dense(2, name="small")(pool), layers.Dense(4, name="large")(pool)
    outputs = [small, large] if struct == "list" else {"small": small, "large": large}
    model = keras.Model(body.input, outputs)
    x = models.pictures(1)
    with pytest.raises(errors.TargetError, match=r"2 outputs.*TopClass\(output="):
        explain(model, x)
    with pytest.raises(errors.TargetError, match="No single output is called 'huge'"):
        explain(model, x, target=targets.Class(0, output="huge"))
    e = explain(model, x, target=targets.Class(3, output="large"))
    twin = explain(keras.Model(body.input, large), x, target=3)
    same(e.values, twin.values)
    small = keras.Model(body.input, small)
    top = explain(model, x, "grad_cam", target=targets.TopClass(output="small"))
    same(top.values, explain(small, x, "grad_cam").values)


@pytest.mark.parametrize(
    ("policy", "least"), [("mixed_float16", 0.999), ("mixed_bfloat16", 0.98), ("float64", 0.99999)]
)
def test_dtype_policies(policy, least):
    keras.config.set_dtype_policy(policy)
    try:
        model = models.chain(name=policy)
    finally:
        keras.config.set_dtype_policy("float32")
    x = models.pictures(2)
    for method in ("gradient", "grad_cam"):
        e, plain = (explain(m, x, method, target=3) for m in (model, models.flat()))
        assert e.values.dtype == np.float32
        assert cosine(e.values, plain.values) >= least


def test_int8_quantised():
    model = models.chain(name="int8")
    x = models.pictures(2)
    before = explain(model, x, target=3)
    with warnings.catch_warnings(action="ignore"):  # "InputLayer has no quantize", and so on
        model.quantize("int8")
    after = explain(model, x, target=3)  # quantised since: the compiled function is a new one
    assert cosine(after.values, before.values) > 0.99
    wanted = keras.ops.convert_to_numpy(model(x))
    same(explain(model, x, target=targets.Class(2, score="probability")).scores, wanted[:, 2], 1e-5)
    assert cosine(explain(model, x, "grad_cam", target=3).values,
                  explain(models.flat(), x, "grad_cam", target=3).values) > 0.99  # fmt: skip


def test_picture_input_without_channel_axis():
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten(), layers.Dense(3)])
    w = model.get_weights()[0]
    x = np.random.default_rng(0).random((2, 28, 28, 1)).astype("float32")
    with pytest.raises(errors.ModelError, match=r"\(time, channels\) or a picture"):
        explain(model, x, target=1)
    e = explain(model, x, target=1, kind="picture")
    same(e.attributions[0], w[:, 1].reshape(28, 28))
    single = explain(model, x[0, ..., 0], target=1, kind="picture")
    same(single.values[0], np.abs(w[:, 1]).reshape(28, 28))


def test_fully_convolutional_takes_any_size():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(inputs)))
    for size in (9, 14):
        x = np.random.default_rng(0).random((1, size, size + 2, 3)).astype("float32")
        assert explain(model, x).values.shape == (1, size, size + 2)


def test_weights_are_read_anew_at_each_call():
    model = models.chain(name="changing")
    x = models.pictures(1)
    before = explain(model, x, target=0)
    model.set_weights([2 * w if w.ndim == 2 else w for w in model.get_weights()])
    same(explain(model, x, target=0).values, 2 * before.values)


def test_after_fit_and_predict():
    """JAX donates the variables' buffers in fit and predict."""
    model = models.chain(name="fitted")
    x = models.pictures(4)
    explain(model, x)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, np.array([0, 1, 2, 3]), epochs=1, verbose=0)
    model.predict(x, verbose=0)
    e = explain(model, x, target=targets.Class(1, score="probability"))
    same(e.scores, keras.ops.convert_to_numpy(model(x))[:, 1])


def test_inference_mode_whatever_the_layers():
    inputs = keras.Input((models.SIZE, models.SIZE, 3))
    x = layers.Dropout(0.9)(layers.GaussianNoise(1.0)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    x = models.pictures(1)
    np.testing.assert_array_equal(explain(model, x).values, explain(model, x).values)


def test_remat_layers_are_tapped():
    with keras.RematScope(mode="full"):
        model = models.chain(name="remat")
    x = models.pictures(1)
    for method in ("gradient", "grad_cam"):
        same(explain(model, x, method, target=1).values,
             explain(models.flat(), x, method, target=1).values)  # fmt: skip


def test_two_threads_explain_one_model():
    """And a third predicts meanwhile, and sees probabilities."""
    model, x = models.chain(name="threaded"), models.pictures(2)
    wanted = {m: explain(model, x, m, target=1).values for m in ("gradient", "grad_cam")}
    probabilities = keras.ops.convert_to_numpy(model(x))
    fresh = models.chain(name="threaded")  # nothing compiled yet
    results, failures = [], []

    def work(task):
        try:
            for _ in range(4):
                results.append(task())
        except Exception as error:
            failures.append(error)

    tasks = [lambda m=m: (m, explain(fresh, x, m, target=1).values) for m in wanted]
    tasks.append(lambda: ("predict", keras.ops.convert_to_numpy(fresh(x))))
    threads = [threading.Thread(target=work, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(results) == 12
    for name, value in results:
        same(value, probabilities if name == "predict" else wanted[name])
    assert all("call" not in layer.__dict__ for layer in fresh.layers)


def test_the_cache_lets_models_go():
    def use():
        model = models.chain(name="short-lived")
        own = lambda outputs: outputs[:, 0] + 0 * model(models.pictures(1))[0, 0]  # noqa: E731
        for method in ("gradient", "grad_cam"):
            explain(model, models.pictures(1), method)
        explain(model, models.pictures(1), target=own)
        return weakref.ref(model)

    reference = use()
    keras.backend.clear_session(free_memory=False)
    gc.collect()
    assert reference() is None


def test_the_second_call_traces_nothing():
    calls = []

    class Counting(layers.Layer):
        def call(self, x):
            calls.append(1)
            return x

    body = models.chain()
    model = keras.Model(body.input, body.layers[-1](Counting()(body.layers[-2].output)))
    explain(model, models.pictures(2))
    traced = len(calls)
    model.set_weights([w + 0.01 for w in model.get_weights()])
    explain(model, models.pictures(2, seed=5))
    explain(model, models.pictures(2), target=targets.TopClass())
    if BACKEND == "torch":
        assert len(calls) > traced  # eager: it runs at every call
    else:
        assert len(calls) == traced
    explain(model, models.pictures(2), target=1)
    traced = len(calls)
    explain(model, models.pictures(2), target=[2, 3])  # another class: the same function
    assert BACKEND == "torch" or len(calls) == traced


def test_models_of_other_kinds_are_refused():
    for item in (object(), lambda x: x, layers.Dense(2)):
        with pytest.raises(errors.ModelError, match="Expected a Keras 3 model"):
            explain(item, models.pictures(1))
    vector = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(errors.InputError, match=r"Expected a row of finite numbers"):
        explain(vector, models.pictures(1))


def test_integer_input_has_no_gradient():
    inputs = keras.Input((models.SIZE, models.SIZE, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    picture = np.random.default_rng(0).integers(0, 255, (models.SIZE, models.SIZE, 3), "uint8")
    with pytest.raises(errors.GradientError, match="integer input"):
        explain(model, picture)
    assert explain(model, picture, methods.Occlusion(4)).values.any()


def test_sigmoids_on_the_way_are_left_alone():
    """An LSTM's cell and a squeeze-and-excite gate use theirs inside."""
    inputs = keras.Input((models.SIZE, models.SIZE, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 4))(gate)])
    x = layers.Reshape((-1, 4))(x)
    x = layers.LSTM(3, activation="sigmoid")(x)
    logits = layers.Dense(2)(x)
    plain = keras.Model(inputs, logits)
    soft = keras.Model(inputs, layers.Softmax()(logits))
    z = models.pictures(1)
    same(explain(soft, z, target=1).values, explain(plain, z, target=1).values)

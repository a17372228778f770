"""How a preprocessing is known, and floats that it cannot have made of pixels."""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest
from initializers import no_random_kernels
from keras import layers, ops

from keras_saliency import errors, explain
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs import preprocessing
from keras_saliency._inputs.batch import prepare
from keras_saliency._inputs.preprocessing import Preprocess

SIZE = models.SIZE
PIXELS = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype("uint8")
REFUSED = pytest.raises(errors.PreprocessError)


def halves(x):
    return x / 127.5 - 1


def standardised(x):
    return (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)


def head(x):
    return layers.Dense(3)(layers.GlobalAveragePooling2D()(x))


def net(begin, shape=(SIZE, SIZE, 3), **options):
    """A network that does ``begin`` before its first weights."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, head(layers.Conv2D(4, 3)(begin(inputs))), **options)


def known(model, **seen):
    result = preprocessing.resolve("auto", model, **seen)
    return result and result.name


# ------------------------------------------------------------- floats that are pixels


def tensor(array):
    return ops.convert_to_tensor(array)


FORMS = {
    "float32": lambda x: x.astype("float32"),
    "float64": lambda x: x.astype("float64"),
    "float16": lambda x: x.astype("float16"),
    "batch": lambda x: x[None].astype("float32"),
    "list": lambda x: [x.astype("float32")] * 2,
    "tensor": lambda x: tensor(x.astype("float32")),
    "resized": lambda x: x * np.float32(0.997) + np.float32(0.3),
    "one of two": lambda x: np.stack([halves(x.astype("float32")), x.astype("float32")]),
}


@pytest.mark.parametrize(
    "preprocess", ["tf", "torch", "caffe", halves, Preprocess(halves), standardised]
)
@pytest.mark.parametrize("form", FORMS)
def test_float_pixels_are_refused_with_the_line_that_helps(form, preprocess):
    adapter = Adapter(models.flat())
    with pytest.raises(errors.PreprocessError, match=r"astype\(\"uint8\"\)"):
        prepare(adapter, FORMS[form](PIXELS), preprocess)
    # That line helps.
    mended = np.asarray(PIXELS.astype("float32")).round().astype("uint8")
    assert prepare(adapter, mended, preprocess).images.shape == (1, SIZE, SIZE, 3)


def test_wide_floats_are_refused_where_the_model_rescales():
    adapter = Adapter(net(layers.Rescaling(1 / 255)))
    with pytest.raises(errors.PreprocessError, match=r"0\.\.255.*Got float32 values in 0\.\.65025"):
        prepare(adapter, np.linspace(0, 65025, PIXELS.size, dtype="float32").reshape(PIXELS.shape))
    given = PIXELS.astype("float32")  # floats 0..255 are right here
    np.testing.assert_array_equal(prepare(adapter, given).images[0], given)
    assert prepare(adapter, given).findings == ((),)


@pytest.mark.parametrize("preprocess", ["tf", "torch", "caffe", halves, standardised])
def test_preprocessed_floats_are_taken_and_so_is_noise(preprocess):
    adapter = Adapter(models.flat())
    ready = prepare(adapter, PIXELS, preprocess).images
    batch = prepare(adapter, ready, preprocess)
    np.testing.assert_array_equal(batch.images, ready)
    assert batch.findings == ((),)
    assert batch.preprocessed.startswith("given as floats")
    noise = np.random.default_rng(1).normal(size=ready.shape).astype("float32")
    assert prepare(adapter, ready + noise, preprocess).images.shape == ready.shape


@pytest.mark.parametrize(
    "preprocess",
    [None, "auto", lambda x: x[:, :12] / 1, Preprocess()],
    ids=["none", "not known", "of one size", "pixels"],
)
def test_where_the_range_is_not_known_floats_are_taken(preprocess):
    given = PIXELS / np.float32(255)
    assert prepare(Adapter(models.flat()), given, preprocess).findings == ((),)


@pytest.mark.parametrize(
    ("begin", "picture", "said"),
    [
        (layers.Rescaling(1 / 255), PIXELS / np.float32(255), r"0\.\.1, but pixels 0\.\.255"),
        (layers.Rescaling(1 / 255), (PIXELS > 99).astype("uint8"), "uint8 values are 0 and 1"),
    ],
)
def test_suspicious_numbers_are_a_finding(begin, picture, said):
    with pytest.warns(UserWarning, match=said):
        e = explain(net(begin), picture, target=0)
    assert "255" in e.checks[0]["findings"][0]


@pytest.mark.parametrize("made", ["tf", "torch", "caffe"])
def test_numbers_below_0_are_no_pixels(made):
    adapter = Adapter(net(layers.Rescaling(1 / 255)))
    given = preprocessing.resolve(made, adapter.model)(PIXELS[None])
    with pytest.raises(
        errors.PreprocessError, match=r"pixels 0\.\.255 become 0\.\.255.*values in -"
    ):
        prepare(adapter, given)
    np.testing.assert_array_equal(prepare(adapter, given, None).images, given)
    enlarged = PIXELS.astype("float32") * 1.2 - 25  # beyond its edges, as cubic kernels go
    np.testing.assert_array_equal(prepare(adapter, enlarged).images[0], enlarged)


def test_dark_float_pixels_for_caffe_are_a_finding():
    dark = (PIXELS * np.float32(0.31)).astype("float32")
    (said,) = prepare(Adapter(models.flat()), dark, "caffe").findings
    assert "none is below 0" in said[0]


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (PIXELS.astype("int32"), r"astype\('uint8'\)"),
        (PIXELS.astype("int64"), r"astype\('uint8'\)"),
        (PIXELS.astype("uint16") * 257, "scale"),
        (PIXELS > 99, r"astype\('uint8'\) \* 255"),
    ],
)
def test_whole_numbers_that_are_no_uint8_are_refused(array, line):
    with pytest.raises(errors.ImageError, match=line):
        prepare(Adapter(models.flat()), array, "tf")


# ------------------------------------------------------------- what the model does itself

RESCALES = {
    "Rescaling": layers.Rescaling(1 / 255),
    "operations": lambda x: x / 127.5 - 1,
    "mobilenet_v2": keras.applications.mobilenet_v2.preprocess_input,
    "vgg16": lambda x: keras.applications.vgg16.preprocess_input(x, data_format="channels_last"),
    "densenet": lambda x: keras.applications.densenet.preprocess_input(
        x, data_format="channels_last"
    ),
    "Lambda": layers.Lambda(lambda x: x / 255),
    "after augmentation": lambda x: layers.RandomContrast(0.5)(layers.RandomFlip()(x)) / 255,
    "after resizing": lambda x: layers.Rescaling(1 / 255)(layers.Resizing(8, 8)(x)),
    "normalised": layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3),
    "nested": lambda x: net(layers.Rescaling(1 / 127.5, offset=-1)).layers[1](x),
}
UNCLEAR = {
    "nothing": lambda x: x,
    "made for 0..1": lambda x: x * 2 - 1,
    "made for 0..1, only moved": lambda x: x - 0.5,
    "made for -1..1": lambda x: (x + 1) / 2,
    "ImageNet's mean of 0..1": layers.Normalization(mean=[0.485] * 3, variance=[0.05] * 3),
    "made for 0..1, a third of its grey": lambda x: ops.mean(x, -1, keepdims=True) * 0.3,
    "made for 0..1, a quarter of its sums": lambda x: layers.AveragePooling2D(2)(x) * 0.25,
    "clipped at 1": lambda x: ops.clip(x, 0, 1),
    "clipped at 1 in a layer": layers.ReLU(max_value=1),
    "clipped at 1 in a function": layers.Lambda(lambda x: ops.clip(x, -1, 1)),
    "saturated": layers.Activation("tanh"),
    "rooted": ops.sqrt,
    "only flipped": lambda x: ops.flip(x, axis=-1),
    "its own mean": lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True),
    "batch normalised": layers.BatchNormalization(),
    "not adapted": layers.Normalization(),
    "after weights": lambda x: layers.Rescaling(1 / 255)(layers.Conv2D(3, 1)(x)),
}


@pytest.mark.parametrize("begin", RESCALES)
def test_what_happens_before_the_first_weights_is_known(begin):
    model = net(RESCALES[begin])
    assert known(model) == "none (the model rescales)"
    np.testing.assert_array_equal(prepare(Adapter(model), PIXELS).images[0], PIXELS)


@pytest.mark.parametrize("begin", UNCLEAR)
def test_what_is_not_proven_is_refused(begin):
    with pytest.raises(errors.PreprocessError, match=r"preprocess=lambda x: x / 255"):
        prepare(Adapter(net(UNCLEAR[begin])), PIXELS)


class Subclassed(keras.Model):
    def __init__(self, begin):
        super().__init__()
        self.begin, self.tail = begin, net(lambda x: x)

    def call(self, x):
        return self.tail(self.begin(x))


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("begin", ["operations", "Rescaling"])
def test_a_call_of_its_own_is_followed(begin, built):
    model = Subclassed(RESCALES[begin])
    if built:
        model(np.zeros((1, SIZE, SIZE, 3), "float32"))
    np.testing.assert_array_equal(prepare(Adapter(model), PIXELS).images[0], PIXELS)
    with REFUSED:
        prepare(Adapter(Subclassed(lambda x: x + 0)), PIXELS)


@pytest.mark.parametrize("begin", ["clipped at 1", "saturated"])
def test_a_call_of_its_own_that_saturates_is_refused(begin):
    with REFUSED:
        prepare(Adapter(Subclassed(UNCLEAR[begin])), PIXELS)


def test_a_sequential_that_is_not_built_is_followed():
    rest = [layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    batch = prepare(Adapter(keras.Sequential([layers.Rescaling(1 / 255), *rest])), PIXELS)
    np.testing.assert_array_equal(batch.images[0], PIXELS)
    with REFUSED:
        prepare(Adapter(keras.Sequential(rest)), PIXELS)


def test_a_layer_that_rescales_on_the_way_from_another_input_does_not_count():
    first, second = keras.Input((SIZE, SIZE, 3), name="a"), keras.Input((SIZE, SIZE, 3), name="b")
    maps = [layers.Conv2D(4, 3)(one) for one in (first, layers.Rescaling(1 / 255)(second))]
    model = keras.Model([first, second], head(layers.Add()(maps)))
    zeros = np.zeros((1, SIZE, SIZE, 3), "float32")
    with REFUSED:
        prepare(Adapter(model), {"a": PIXELS, "b": zeros})
    batch = prepare(Adapter(model), {"b": PIXELS, "a": zeros})
    assert batch.preprocessed == "none (the model rescales)"


def test_two_branches_that_disagree_are_refused():
    inputs = keras.Input((SIZE, SIZE, 3))
    maps = [layers.Conv2D(4, 3)(one) for one in (inputs, inputs / 255)]
    with REFUSED:
        prepare(Adapter(keras.Model(inputs, head(layers.Add()(maps)))), PIXELS)


def test_a_normalisation_adapted_later_is_seen():
    normalise = layers.Normalization()
    model = net(normalise)
    assert known(model) is None
    normalise.adapt(np.stack([PIXELS, 255 - PIXELS]).astype("float32"))
    assert known(model) == "none (the model rescales)"


# ------------------------------------------------------------- known by its layers


def application(name, **options):
    with no_random_kernels():
        build = getattr(keras.applications, name)
        given = {"weights": None, "include_top": False, "input_shape": (32, 32, 3), **options}
        return build(**given)


@pytest.fixture(scope="module")
def backbone():
    return application("MobileNet", alpha=0.25)


# Names of layers are the same on every backend, and these take seconds to build.
ONCE = pytest.mark.skipif(keras.config.backend() != "torch", reason="on PyTorch alone")
MINE = "keras.applications.mobilenet (known by its layers)"


@pytest.mark.parametrize(
    ("name", "options", "module"),
    [
        ("VGG16", {}, "vgg16"),
        ("ResNet50", {}, "resnet"),
        ("ResNet50V2", {}, "resnet_v2"),
        ("MobileNetV2", {"alpha": 0.35}, "mobilenet_v2"),
        pytest.param("DenseNet121", {}, "densenet", marks=ONCE),
        pytest.param("Xception", {"input_shape": (71, 71, 3)}, "xception", marks=ONCE),
    ],
)
def test_networks_of_keras_applications_are_known_by_their_layers(name, options, module):
    model = application(name, **options)
    batch = prepare(Adapter(model), np.full((*model.input_shape[1:],), 7, "uint8"))
    assert batch.preprocessed == f"keras.applications.{module} (known by its layers)"
    function = getattr(keras.applications, module).preprocess_input
    wanted = function(np.full(batch.images.shape, 7, "float32"), data_format="channels_last")
    np.testing.assert_allclose(batch.images, wanted, rtol=1e-5)


def test_a_backbone_is_known_wherever_it_is(backbone):
    inputs = keras.Input((32, 32, 3))
    flipped = layers.RandomFlip()(inputs)
    for model in (
        keras.Model(backbone.input, head(backbone.output), name="model_1"),
        keras.Sequential([keras.Input((32, 32, 3)), backbone, layers.Flatten(), layers.Dense(3)]),
        keras.Model(inputs, head(backbone(flipped)), name="x"),
    ):
        assert known(model) == MINE
    rescaled = keras.Model(inputs, head(backbone(layers.Rescaling(1 / 127.5, offset=-1)(inputs))))
    assert known(rescaled) == "none (the model rescales)"
    twice = keras.Model(inputs, head(backbone(inputs * 2 - 1)))
    assert known(twice) is None


@pytest.mark.parametrize(
    "name",
    ["vgg16", "resnet50", "mobilenetv2_1.00_224", "efficientnetb0", "efficientnet_lite0",
     "convnext_tiny"],
)  # fmt: skip
def test_a_name_proves_nothing(name):
    with pytest.raises(errors.PreprocessError, match=name):
        prepare(Adapter(net(lambda x: x, name=name)), PIXELS)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        pytest.param("EfficientNetV2B0", marks=ONCE),
        pytest.param("ConvNeXtTiny", marks=ONCE),
    ],
)
def test_networks_built_not_to_rescale_are_refused(name):
    picture = np.zeros((32, 32, 3), "uint8")
    with REFUSED:
        prepare(Adapter(application(name, include_preprocessing=False)), picture)
    model = application(name)
    assert prepare(Adapter(model), picture).preprocessed == "none (the model rescales)"


def test_class_names_are_those_of_the_network_s_own_top():
    own = application("MobileNet", alpha=0.25, include_top=True, classes=1000)
    assert preprocessing.class_names(own)[967] == "espresso"
    body = application("MobileNet", alpha=0.25)
    other = keras.Model(body.input, layers.Dense(1000)(body.output[:, 0, 0]), name=own.name)
    assert preprocessing.class_names(other) is None
    x = keras.Input((8,))
    assert preprocessing.class_names(keras.Model(x, layers.Dense(1000)(x), name="vgg16")) is None


# ------------------------------------------------------------- keras_hub


CONVERTERS = {
    "crop": {},
    "stretch": {"crop_to_aspect_ratio": False},
    "pad": {"crop_to_aspect_ratio": False, "pad_to_aspect_ratio": True},
    "nearest": {"interpolation": "nearest"},
    "antialias": {"antialias": True},
    "by channel": {"scale": [0.01, 0.02, 0.005], "offset": [-1.0, 0.0, 2.0]},
    "as they are": {"image_size": None},
}


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub")


def vgg(hub):
    return hub.models.VGGBackbone(stackwise_num_repeats=[1], stackwise_num_filters=[4])


def vit(hub):
    return hub.models.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=8, num_layers=1, num_heads=1, hidden_dim=4, mlp_dim=4
    )


def task(hub, backbone, converter=None):
    keras.utils.set_random_seed(3)
    converter = {"image_size": (16, 16), "scale": 1 / 255, "offset": -0.3, **(converter or {})}
    preprocessor = hub.models.ImageClassifierPreprocessor(
        image_converter=hub.layers.ImageConverter(**converter)
    )
    is_vit = isinstance(backbone, hub.models.ViTBackbone)
    build = hub.models.ViTImageClassifier if is_vit else hub.models.ImageClassifier
    return build(backbone=backbone, num_classes=3, preprocessor=preprocessor)


@pytest.mark.parametrize("converter", CONVERTERS)
def test_a_keras_hub_task_gives_the_score_of_its_predict(hub, converter):
    classifier = task(hub, vgg(hub), CONVERTERS[converter])
    adapter = Adapter(classifier)
    for height, width in ((20, 33), (31, 18)):
        picture = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype("uint8")
        batch = prepare(adapter, picture)
        scores = ops.convert_to_numpy(classifier(batch.images, training=False))
        wanted = classifier.predict(picture[None], verbose=0)
        np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-6)
        assert "keras_hub" in batch.preprocessed
        assert batch.geometries[0].undo(batch.images[0, ..., 0]).shape == (height, width)


@pytest.mark.parametrize("converter", ["crop", "stretch", "pad"])
def test_a_keras_hub_map_comes_back_where_the_picture_was(hub, converter):
    adapter = Adapter(task(hub, vgg(hub), {**CONVERTERS[converter], "image_size": (32, 24)}))
    for height, width in ((96, 200), (150, 64)):
        # A smooth picture survives the way there and back.
        y, x = np.mgrid[:height, :width]
        picture = np.repeat((20 + y + x / 2).astype("uint8")[..., None], 3, axis=-1)
        batch = prepare(adapter, picture)
        back = (batch.geometries[0].undo(batch.images[0, ..., 0]) + 0.3) * 255
        inside = back[height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8]
        wanted = picture[height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8, 0]
        np.testing.assert_allclose(inside, wanted, atol=3)


def test_explain_a_keras_hub_task(hub):
    classifier = task(hub, vit(hub))
    picture = np.random.default_rng(1).integers(0, 256, (20, 33, 3)).astype("uint8")
    e = explain(classifier, picture, target=2)
    wanted = classifier.predict(picture[None], verbose=0)[0, 2]
    np.testing.assert_allclose(e.scores, [wanted], rtol=1e-4)
    assert e.maps()[0].shape == (20, 33)
    assert e.labels == ("class 2",)


def test_what_a_keras_hub_task_does_not_say_is_refused(hub):
    picture = np.zeros((20, 33, 3), "uint8")
    classifier = task(hub, vgg(hub))
    floats = np.random.default_rng(1).uniform(0, 255, (16, 16, 3)).astype("float32")
    with pytest.raises(errors.PreprocessError, match="uint8"):
        prepare(Adapter(classifier), floats)
    with pytest.raises(errors.ImageError, match=r"Expected shape \(16, 16, 3\)"):
        prepare(Adapter(classifier), np.zeros((20, 33, 3), "float32"))
    classifier.preprocessor = None
    with REFUSED:
        prepare(Adapter(classifier), picture)
    classifier.preprocessor = layers.Rescaling(1 / 255)
    with pytest.raises(errors.PreprocessError, match="Rescaling"):
        prepare(Adapter(classifier), picture)
    assert prepare(Adapter(classifier), floats, None).images.shape == (1, 16, 16, 3)
    fixed = task(hub, vit(hub), {"image_size": (24, 24)})
    with pytest.raises(errors.PreprocessError, match=r"image_size = \(16, 16\)"):
        prepare(Adapter(fixed), picture)


def test_an_attribute_called_preprocessor_is_no_keras_hub_task():
    class Own(Subclassed):
        def __init__(self):
            super().__init__(layers.Rescaling(1 / 255))
            self.preprocessor = self.begin

    assert prepare(Adapter(Own()), PIXELS).preprocessed == "none (the model rescales)"

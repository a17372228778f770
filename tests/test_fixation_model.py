"""The encoder-decoder: what goes in, what comes out, and that it survives saving."""

import json

import keras
import numpy as np
import pytest
import tiny_encoder
from initializers import no_random_kernels

from keras_saliency import errors
from keras_saliency._io import folders
from keras_saliency.fixation import FixationModel, load_model, save_model
from keras_saliency.fixation.layers import EMPTY, CentreBias, LogDensity, Pixels, Smoothing

BUILD = {"encoder": "tiny", "decoder": "readout", "filters": 16}


@pytest.fixture(scope="module", autouse=True)
def _tiny():
    tiny_encoder.register()
    yield
    del tiny_encoder.ENCODERS["tiny"]


def small(seed=0, shape=(64, 96, 3), **build):
    """A small network with a small encoder; kernels drawn in NumPy: JAX takes long to draw them."""
    with no_random_kernels():
        model = FixationModel(**{**BUILD, **build}, input_shape=shape, weights=None)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if len(variable.shape) == 4:
            fan_in = np.prod(variable.shape[:2]) * (
                1 if "depthwise" in variable.path else variable.shape[2]
            )
            variable.assign(rng.normal(0, np.sqrt(2 / fan_in), variable.shape).astype("float32"))
    return model


@pytest.fixture(scope="module")
def model():
    return small(shape=(None, None, 3))


def picture(height=64, width=96, seed=0, padding=0):
    x = np.random.default_rng(seed).uniform(0, 255, (1, height, width, 3)).astype("float32")
    if padding:
        x[:, :padding] = np.nan
    return x


def predict(model, x):
    return np.asarray(model.predict_on_batch(x), np.float64)


def call(layer, *arrays):
    result = layer(*(keras.ops.convert_to_tensor(array) for array in arrays))
    return keras.tree.map_structure(keras.ops.convert_to_numpy, result)


# ---------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("size", [(64, 96), (96, 32)])
def test_a_log_density_over_the_picture(model, size, padding):
    result = predict(model, picture(*size, padding=padding))
    assert result.shape == (1, *size, 1)
    assert np.exp(result).sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(result).all()
    assert (result[:, :padding] <= EMPTY / 2).all()


def test_the_picture_decides(model):
    one, other = (predict(model, picture(seed=seed)) for seed in (0, 1))
    assert np.abs(one - other).max() > 1e-3


def test_pixels_may_be_integers(model):
    x = picture().astype("uint8")
    np.testing.assert_allclose(predict(model, x), predict(model, x.astype("float32")), atol=1e-5)


@pytest.mark.parametrize("encoder", ["resnet50", "vgg16", "efficientnet_lite0", "mobilenet_v2"])
def test_every_encoder(encoder):
    with no_random_kernels():
        built = FixationModel(encoder, input_shape=(64, 96, 3), weights="blank", filters=8)
    assert built.output_shape == (None, 64, 96, 1)
    assert built.input_shape == (None, 64, 96, 3)
    strides = [64 // tap.shape[1] for tap in built.get_layer("encoder").outputs]
    assert strides == [8, 16, 32]


def test_the_one_this_package_was_asked_for():
    with no_random_kernels():
        built = FixationModel(weights=None)
    assert built.input_shape == (None, 512, 512, 3)
    assert built.output_shape == (None, 512, 512, 1)
    assert built.get_layer("encoder").count_params() == 23_587_712  # ResNet-50 without its top


def test_the_plain_decoder():
    built = small(decoder="plain", filters=(16, 8, 8, 4, 4))
    assert built.get_layer("decoder").get_layer("saliency").activation is keras.activations.sigmoid
    assert np.exp(predict(built, picture())).sum() == pytest.approx(1, abs=1e-5)
    with no_random_kernels():
        full = FixationModel("vgg16", "plain", input_shape=(64, 64, 3), weights=None)
    stages = [full.get_layer("decoder").get_layer(f"stage{i}").filters for i in range(1, 6)]
    assert stages == [1024, 512, 256, 128, 64]


# ---------------------------------------------------------------------- its layers


def test_pixels_prepare_as_keras_applications_do():
    from keras_saliency.fixation.encoder_decoder import ENCODERS
    from keras_saliency.pretrained import preprocess_input

    applications = keras.applications
    wanted = {
        "resnet50": applications.resnet50.preprocess_input,
        "vgg16": applications.vgg16.preprocess_input,
        "mobilenet_v2": applications.mobilenet_v2.preprocess_input,
        "efficientnet_lite0": preprocess_input,
    }
    x = picture()
    for name, prepare in wanted.items():
        result, mask = call(Pixels(**ENCODERS[name].pixels), x)
        np.testing.assert_allclose(result, prepare(x.copy()), rtol=1e-5, atol=1e-4)
        assert mask.all()


def test_padding_looks_like_the_mean_colour():
    result, mask = call(Pixels((10.0, 20.0, 30.0), 0.5), picture(padding=16))
    assert not result[:, :16].any()
    assert not mask[:, :16].any()
    assert mask[:, 16:].all()


def test_the_centre_bias_lies_on_the_picture_not_on_the_canvas():
    layer = CentreBias(nodes=5)
    logits = np.zeros((1, 64, 96, 1), "float32")
    mask = np.zeros((1, 64, 96, 1), "float32")
    mask[:, 30:62, 8:72] = 1
    result = call(layer, logits, mask)[0, ..., 0]
    inside = result[30:62, 8:72]
    np.testing.assert_allclose(inside, inside[::-1, ::-1], atol=1e-5)
    alone = call(layer, logits[:, :32, :64], np.ones((1, 32, 64, 1), "float32"))[0, ..., 0]
    np.testing.assert_allclose(inside, alone, atol=1e-5)
    assert alone.argmax() in (15 * 64 + 31, 15 * 64 + 32, 16 * 64 + 31, 16 * 64 + 32)


def test_smoothing_is_a_gaussian_and_keeps_constants():
    layer = Smoothing(sigma=1.5)
    mask = np.ones((1, 24, 24, 1), "float32")
    flat = call(layer, np.full_like(mask, 3.0), mask)
    np.testing.assert_allclose(flat, 3.0, rtol=1e-5)
    point = np.zeros_like(mask)
    point[0, 12, 12] = 1
    result = call(layer, point, mask)[0, ..., 0]
    reach = np.arange(24) - 12
    row = np.exp(-0.5 * (reach / 1.5) ** 2) * (np.abs(reach) <= 6)
    np.testing.assert_allclose(result, np.outer(row, row) / row.sum() ** 2, atol=1e-6)


def test_smoothing_reads_nothing_from_padding():
    layer = Smoothing(sigma=1.5)
    maps = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype("float32")
    mask = np.ones_like(maps)
    mask[:, :6] = 0
    other = np.where(mask > 0, maps, 99.0).astype("float32")
    np.testing.assert_allclose(call(layer, maps, mask), call(layer, other, mask), atol=1e-5)


def test_log_density_is_a_masked_log_softmax():
    logits = np.random.default_rng(0).normal(size=(2, 4, 6, 1)).astype("float32")
    mask = np.ones_like(logits)
    mask[1, :2] = 0
    result = call(LogDensity(), logits, mask).astype(np.float64)
    np.testing.assert_allclose(np.exp(result).sum((1, 2, 3)), 1, rtol=1e-5)
    renormalised = logits[1, 2:] - np.log(np.exp(logits[1, 2:].astype(np.float64)).sum())
    np.testing.assert_allclose(result[1, 2:], renormalised, atol=1e-5)


# ---------------------------------------------------------------------- saved and loaded


def test_a_keras_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(again, picture()), predict(model, picture()))


def test_a_folder(model, tmp_path):
    save_model(model, tmp_path / "m", {**BUILD, "input_shape": [None, None, 3]}, note="hello")
    again = load_model(tmp_path / "m", input_shape=(64, 96, 3))
    assert again.input_shape == (None, 64, 96, 3)
    # Kernels were stored in half precision.
    np.testing.assert_allclose(predict(again, picture()), predict(model, picture()), atol=0.05)
    save_model(model, tmp_path / "exact", {**BUILD, "input_shape": [64, 96, 3]}, dtype="float32")
    exact = predict(load_model(tmp_path / "exact"), picture())
    np.testing.assert_allclose(exact, predict(model, picture()), atol=1e-6)


def test_the_embedded_one_knows_its_size():
    assert load_model().input_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    "broken", ["missing", "truncated", "altered", "another", "schema", "no json"]
)
def test_what_is_no_model_is_reported(model, tmp_path, broken):
    folder = tmp_path / "m"
    save_model(model, folder, {**BUILD, "input_shape": [64, 96, 3]})
    text = (folder / "model.json").read_text()
    if broken == "missing":
        (folder / "weights.npz").unlink()
        message = "missing or broken"
    elif broken == "truncated":
        data = (folder / "weights.npz").read_bytes()
        (folder / "weights.npz").write_bytes(data[: len(data) // 2])
        message = "missing or broken"
    elif broken == "altered":
        (folder / "model.json").write_text(text.replace('"filters": 16', '"filters": 24'))
        message = "checksum does not match"
    elif broken == "another":  # a manifest that is whole, beside weights that it does not describe
        content, sums = folders.opened(json.loads(text))
        content["build"]["filters"] = 24
        (folder / "model.json").write_text(json.dumps(folders.sealed(content, sums)))
        message = "another model's"
    elif broken == "schema":
        later = {**json.loads(text), "schema_version": 99}
        (folder / "model.json").write_text(json.dumps(later))
        message = "schema version 99"
    else:
        (folder / "model.json").write_text("{")
        message = "cannot be read"
    with no_random_kernels(), pytest.raises(errors.ModelFileError, match=message):
        load_model(folder)


@pytest.mark.parametrize("source", ["nowhere", "nowhere/model.keras"])
def test_no_model_at_all(tmp_path, source):
    with pytest.raises(errors.ModelFileError, match="No such file"):
        load_model(tmp_path / source)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    built = small()
    variable = built.get_layer("decoder").get_layer("coarse").kernel
    variable.assign(np.full(variable.shape, 1e6, "float32"))  # infinite in half precision
    with pytest.raises(errors.FixationModelError, match="that are finite in float16"):
        save_model(built, tmp_path / "m", BUILD)
    assert not (tmp_path / "m").exists()


# ---------------------------------------------------------------------- other ways to run


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = small()
    finally:
        keras.config.set_dtype_policy("float32")
    result = predict(mixed, picture(padding=16))
    assert mixed.output.dtype == "float32"
    assert np.exp(result).sum() == pytest.approx(1, abs=1e-4)
    exact = predict(small(), picture(padding=16))
    assert np.corrcoef(np.exp(result).ravel(), np.exp(exact).ravel())[0, 1] > 0.98


# ---------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "resnet5"}, "Did you mean 'resnet50'"),
        ({"decoder": "unet"}, "Known: readout, plain"),
        ({"input_shape": (500, 512, 3)}, "multiples of 32"),
        ({"input_shape": (512, 512, 1)}, "3 channels"),
        ({"encoder": "vgg16", "input_shape": (64, 64, 3), "depth": 3}, r"\['depth'\]: .*argument"),
        ({"encoder": "vgg16", "decoder": "plain", "filters": (8, 8)}, "five stages"),
    ],
)
def test_what_cannot_be_built_is_reported(arguments, message):
    with no_random_kernels(), pytest.raises(errors.FixationModelError, match=message):
        FixationModel(**{"weights": None, **arguments})


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_an_encoders_weights_from_a_file(tmp_path):
    with no_random_kernels():
        network = keras.applications.MobileNetV2(
            include_top=False, weights=None, input_shape=(64, 64, 3)
        )
        first = network.layers[1].kernel
        first.assign(np.full(first.shape, 0.5, "float32"))
        network.save_weights(tmp_path / "net.weights.h5")
        options = {"input_shape": (64, 64, 3), "filters": 8}
        built = FixationModel("mobilenet_v2", weights=tmp_path / "net.weights.h5", **options)
        kernel = built.get_layer("encoder").layers[1].kernel
        assert keras.ops.convert_to_numpy(kernel).min() == 0.5
        with pytest.raises(errors.ModelFileError, match=r"Cannot load .*Keras reports"):
            FixationModel("vgg16", weights=tmp_path / "net.weights.h5", **options)
        with pytest.raises(errors.ModelFileError, match="No such file"):
            FixationModel("vgg16", weights=tmp_path / "none.h5", **options)

"""The live page: what it computes, and the command that serves it, without the page."""

from __future__ import annotations

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers as L
from test_predict_fixations import stand_in

from keras_saliency import app, errors, explain, methods, predict_fixations, targets
from keras_saliency.app import session as computed
from keras_saliency.app.session import PREDICTED, Session
from keras_saliency.cli import main

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(4)
PHOTO = RNG.integers(0, 256, (40, 60, 3), np.uint8)


def classifier():
    keras.utils.set_random_seed(1)
    above_0 = keras.initializers.RandomUniform(0.1, 1.0)  # so that no CAM is 0 everywhere
    return keras.Sequential([
        keras.Input((16, 16, 3)), L.Rescaling(1 / 255),
        L.Conv2D(4, 3, activation="softplus", name="conv"), L.GlobalAveragePooling2D(name="pool"),
        L.Dense(3, kernel_initializer=above_0, name="top"),
    ], name="classifier")  # fmt: skip


def dense():
    keras.utils.set_random_seed(2)
    return keras.Sequential([
        keras.Input((16, 16, 3)), L.Rescaling(1 / 255), L.Conv2D(4, 3, 2, padding="same",
        activation="tanh", name="conv"), L.Conv2D(2, 3, padding="same", name="map"),
    ], name="dense")  # fmt: skip


@pytest.fixture(scope="module")
def session():
    return Session({"classes": classifier(), "dense": dense()}, fixation_model=stand_in())


def test_a_look_is_what_explain_and_predict_fixations_return(session):
    look = session.look(PHOTO, "classes", ("gradient", "grad_cam"), 2, "conv")
    model = session.model("classes")
    known = [explain(model, PHOTO, m, target=2) for m in ("gradient", methods.GradCam("conv"))]
    for one, other in zip(look.explanations, known, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.info["method"], one.targets) == (other.info["method"], other.targets)
    assert look.explanations[1].info["layer"] == "conv"
    gaze = predict_fixations(PHOTO, session._fixation_model)
    np.testing.assert_array_equal(look.gaze.log_density, gaze.log_density)
    predicted = session.look(PHOTO, "classes", ("gradient", "gradient"))
    assert len(predicted.explanations) == 1
    assert predicted.explanations[0].targets == explain(model, PHOTO).targets


def test_a_click_explains_the_pixel_of_a_dense_output(session):
    assert session.shape("dense").output == (8, 8)
    look = session.look(PHOTO, "dense", ("gradient",), 1, at=(0, 59))
    known = explain(session.model("dense"), PHOTO, target=targets.Pixel(0, 7, 1))
    np.testing.assert_array_equal(look.explanations[0].values, known.values)
    assert not np.array_equal(
        known.values, session.look(PHOTO, "dense", ("gradient",), 1).explanations[0].values
    )


@pytest.mark.parametrize(
    ("at", "wanted"),
    [((0, 0), (0, 0)), ((39, 59), (3, 5)), (None, (2, 3)), ((9, 10), (0, 1)), ((500, -3), (3, 0))],
)
def test_the_output_under_a_pixel(at, wanted):
    assert computed.pixel(at, (40, 60), (4, 6)) == wanted


def test_what_can_be_chosen(session):
    shape = session.shape("classes")
    assert shape.classes == (("the predicted class", PREDICTED), ("0", 0), ("1", 1), ("2", 2))
    assert "conv" in shape.layers
    assert shape.output is None
    assert session.shape("dense").classes[0] == ("the strongest channel", PREDICTED)
    assert session.names == ["classes", "dense"]
    assert {"grad_cam", "gradient", "rise"} <= set(computed.of_pictures())


def test_a_model_is_loaded_when_it_is_first_chosen():
    made = []

    def load():
        made.append(classifier())
        return made[-1]

    session = Session({"later": load})
    assert not made
    assert session.model("later") is session.model("later") is made[0]
    assert len(made) == 1
    with pytest.raises(errors.InputError, match="one or more models"):
        Session({})


def test_agreement_is_1_with_itself_and_0_by_chance(session):
    gaze = predict_fixations(PHOTO, session._fixation_model)
    density = gaze.maps()[0]
    one = explain(session.model("classes"), PHOTO)

    class Of:
        signed = False

        def __init__(self, values, signed=False):
            self.values, self.signed = values, signed

        def maps(self):
            return [self.values]

    itself = computed.agreement(Of(density), gaze)
    assert itself["cc"] == pytest.approx(1, abs=1e-6)
    standard = (density - density.mean()) / density.std()
    assert itself["nss"] == pytest.approx((standard * density).sum(), rel=1e-4)
    assert computed.agreement(Of(-density, True), gaze)["cc"] == pytest.approx(1, abs=1e-6)
    assert computed.agreement(Of(-density), gaze)["cc"] == pytest.approx(-1, abs=1e-6)
    assert computed.agreement(Of(np.ones_like(density)), gaze) == {"cc": 0.0, "nss": 0.0}
    assert set(computed.agreement(one, gaze)) == {"cc", "nss"}


def test_an_overlay_without_opacity_is_the_picture():
    values = RNG.random((40, 60)).astype("float32")
    np.testing.assert_array_equal(computed.overlay(PHOTO, values, opacity=0.0), PHOTO)
    strong = computed.overlay(PHOTO, values, opacity=1.0)
    assert np.abs(strong.astype(int) - PHOTO).mean() > 20
    unmarked = computed.overlay(PHOTO, np.where(values > 0.5, values, 0), opacity=1.0)
    np.testing.assert_array_equal(unmarked[values <= 0.5], PHOTO[values <= 0.5])
    grey = computed.overlay(PHOTO[..., :1], values - 0.5, True)
    assert grey.shape == (40, 60, 3)
    large = computed.overlay(np.zeros((1800, 900, 3), np.uint8), np.ones((1800, 900)))
    assert large.shape == (900, 450, 3)


def test_the_bundle_holds_figures_and_manifests(session, tmp_path):
    look = session.look(PHOTO, "classes", ("gradient", "grad_cam"))
    with zipfile.ZipFile(computed.bundle(look, tmp_path)) as file:
        names = set(file.namelist())
        numbers = json.loads(file.read("saliency/agreement.json"))
        manifest = json.loads(file.read("saliency/gradient/manifest.json"))
    for folder in ("gradient", "grad_cam", "people"):
        assert {f"saliency/{folder}/figure.png", f"saliency/{folder}/manifest.json"} <= names
    assert numbers == {"gradient": look.agreement[0], "grad_cam": look.agreement[1]}
    assert manifest["method"] == "gradient"


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keras_saliency.app.page", None)
    with pytest.raises(errors.InputError, match=r"pip install 'keras-saliency\[app\]'"):
        app.serve({"mine": classifier()}, block=False)
    with pytest.raises(errors.InputError, match="port=0"):
        app.serve({"mine": classifier()}, port=0)


def test_the_command_serves_the_models_that_are_named(monkeypatch, tmp_path, capsys):
    served = []
    monkeypatch.setattr(app, "serve", lambda models, **options: served.append((models, options)))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        classifier().save(tmp_path / folder / "mine.keras")
    paths = [str(tmp_path / folder / "mine.keras") for folder in ("one", "two")]
    words = ["app", "--model", paths[0], "--preprocess", "none", "--port", "7999", "--no-browser"]
    assert main(words) == 0
    (models, options), *_ = served
    assert options == {"preprocess": None, "port": 7999, "open_browser": False}
    assert [(name, model.name) for name, model in models.items()] == [("mine.keras", "classifier")]
    assert main([*words, "--model", paths[1]]) == 0
    models = served[-1][0]
    assert list(models) == paths  # both files are called mine.keras
    assert Session(models).model(paths[1]).name == "classifier"
    assert main(["app", "--model", str(tmp_path / "no.keras")]) == 1
    assert "No such file" in capsys.readouterr().err
    assert len(served) == 2

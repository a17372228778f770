"""``like="captum"`` and the others: what it sets, the laws, and captum itself under PyTorch."""

import copy
import dataclasses
import pickle

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_saliency import errors, explain, methods
from keras_saliency.cli import parsing
from keras_saliency.methods.base import PresetMixin

LIBRARIES = {"captum", "tf-keras-vis", "pytorch-grad-cam", "pair"}
PRESETS = [
    (kind, library)
    for kind in methods.classes().values()
    if issubclass(kind, PresetMixin)
    for library in kind.presets
]

_QUARTERS = np.stack([np.kron(one, np.ones((6, 6))) > 0 for one in np.eye(4).reshape(4, 2, 2)])


# ------------------------------------------------------------------------------------ the mechanism


@pytest.mark.parametrize(("kind", "library"), PRESETS)
def test_a_preset_is_options_and_nothing_else(kind, library):
    assert library in LIBRARIES
    made, usual = kind(like=library), kind()
    options = {one.name: one.default for one in dataclasses.fields(kind)}
    for name, value in kind.presets[library].items():
        assert name in options
        assert getattr(made, name) == value
        assert value != options[name], "a preset says only what differs"
    for name in options.keys() - kind.presets[library].keys() - {"like"}:
        one, other = getattr(made, name), getattr(usual, name)
        assert one == other or name == "base"
    assert made.parameters()["like"] == library


def test_what_is_given_counts():
    make = methods.IntegratedGradients
    assert make(like="pair").steps == 25
    assert make(like="pair", steps=7).steps == 7
    assert make(like="pair", steps=50).steps == 50  # also where it is our default
    assert make(50, like="pair").steps == 50
    assert make(50, like="pair").quadrature == "even"
    assert make(like="pair", baseline="black").baseline == "black"
    assert make().baseline == "black"


def test_copies_stay_what_they_are():
    one = methods.IntegratedGradients(like="pair", steps=50)
    assert dataclasses.replace(one, steps=9) == methods.IntegratedGradients(9, like="pair")
    assert dataclasses.replace(one, baseline=1.0).steps == 50
    for same in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert same == one
        assert same.parameters() == one.parameters()


def test_a_copy_is_no_way_to_another_library():
    """dataclasses.replace gives every option, so the new name would be all that changes."""
    make, pair = methods.IntegratedGradients, methods.IntegratedGradients(like="pair")
    for one in (pair, make(), pickle.loads(pickle.dumps(pair))):
        with pytest.raises(errors.MethodError, match=r"like='captum'.* with all other options too"):
            dataclasses.replace(one, like="captum")
    assert dataclasses.replace(pair, like=None) == make(25, 0.0, quadrature="even")
    again = dataclasses.replace(dataclasses.replace(pair, steps=9), tolerance=0.1)
    assert again == make(9, tolerance=0.1, like="pair")
    assert (repr(again.like), again.like) == ("'pair'", "pair")
    assert methods.Gradient(like="captum").absolute
    with pytest.raises(errors.MethodError, match="all other options"):
        dataclasses.replace(methods.Gradient(), like="captum")


@pytest.mark.parametrize("kind", [methods.HiResCam, methods.InputXGradient, methods.RISE])
def test_a_method_without_presets_says_so(kind):
    with pytest.raises(errors.MethodError, match=f"{kind.__name__} has no presets.*migrating.md"):
        kind(like="captum")
    with pytest.raises(TypeError, match="likes"):
        kind(likes=3)


@pytest.mark.filterwarnings("ignore:picture")
def test_xrai_by_its_options_is_that_of_its_preset():
    options = {"ends": "picture", "channels": "max", "steps": 100, "quadrature": "even"}
    rest = {"masks": _QUARTERS, "min_area": 1}
    own, pair = methods.Xrai(**options, **rest), methods.Xrai(like="pair", **rest)
    x = models.pictures(1)
    result, wanted = (explain(models.flat(), x, one) for one in (own, pair))
    np.testing.assert_array_equal(result.values, wanted.values)
    assert {"like", *options} <= wanted.info["parameters"].keys()
    few = explain(models.flat(), x, methods.Xrai(like="pair", steps=2, **rest))
    assert (few.values != wanted.values).any()
    assert (
        "completeness_error" not in wanted.checks[0]
    )  # the largest of channels adds up to nothing


@pytest.mark.parametrize("like", ["tf-keras-vis", "Captum", "", 3, ["pair"]])
def test_unknown_libraries_are_refused(like):
    with pytest.raises(errors.MethodError, match=r"like to be one of .'captum', 'pair'."):
        methods.Occlusion(like=like)


def test_options_are_still_checked():
    with pytest.raises(errors.MethodError, match="steps to be"):
        methods.IntegratedGradients(like="pair", steps=0)
    for make, option in [
        (methods.IntegratedGradients, "quadrature"),
        (methods.GuidedIntegratedGradients, "quadrature"),
        (methods.BlurIntegratedGradients, "spacing"),
        (methods.BlurIntegratedGradients, "edges"),
        (methods.BlurIntegratedGradients, "quadrature"),
        (methods.GradCam, "interpolation"),
        (methods.ScoreCam, "mask_interpolation"),
        (methods.Occlusion, "reduce"),
        (methods.Xrai, "ends"),
        (methods.Xrai, "channels"),
        (methods.Xrai, "steps"),
        (methods.Xrai, "quadrature"),
        (methods.GradCamPP, "epsilon"),
    ]:
        with pytest.raises(errors.MethodError, match=f"{option} to be"):
            make(**{option: "other"})


def test_a_base_by_name_goes_along():
    assert methods.SmoothGrad(like="captum").base == methods.Gradient(like="captum")
    assert methods.SmoothGrad("occlusion", like="tf-keras-vis").base == methods.Occlusion()
    given = methods.IntegratedGradients(steps=3)
    assert methods.SmoothGrad(given, like="pair").base is given
    assert methods.Xrai("integrated_gradients", like="pair").base.steps == 25


def test_the_manifest_tells_a_method_inside():
    parameters = methods.SmoothGrad(methods.IntegratedGradients(steps=3)).parameters()
    assert parameters["base"] == "integrated_gradients"
    assert parameters["base_parameters"] == methods.IntegratedGradients(steps=3).parameters()
    for usual in (methods.SmoothGrad(), methods.SmoothGrad("grad_cam")):
        assert "base_parameters" not in usual.parameters()  # the name says it all
    deep = methods.SmoothGrad(methods.Xrai(methods.IntegratedGradients(like="pair")))
    inner = deep.parameters()["base_parameters"]["base_parameters"]
    assert (inner["like"], inner["steps"]) == ("pair", 25)
    filled = methods.SmoothGrad(methods.Occlusion(fill=np.zeros((2, 2, 3)))).parameters()
    assert filled["base_parameters"]["fill"].shape == (2, 2, 3)


@pytest.mark.filterwarnings("ignore:picture .* attributions miss the score gap")
def test_the_manifest_and_the_command_line_know():
    method = parsing.method("integrated_gradients", [("like", "pair"), ("steps", "3")])
    assert method == methods.IntegratedGradients(3, like="pair")
    parameters = explain(models.logits(), models.pictures(1), method).info["parameters"]
    assert parameters["like"] == "pair"
    assert (parameters["steps"], parameters["baseline"], parameters["quadrature"]) == (
        3,
        0.0,
        "even",
    )


# ------------------------------------------------------------------------------------ captum itself

SMALL = 2e-6  # relative L2, both in float32


class Captum:
    """A network in Keras and as PyTorch modules, which captum's hooks need, channels first."""

    def __init__(self):
        import torch

        if keras.config.backend() != "torch":
            pytest.skip("captum explains PyTorch modules only")
        self.torch, self.attr = torch, pytest.importorskip("captum.attr")
        inputs = keras.Input((12, 12, 3))
        x = layers.Conv2D(4, 3, activation="relu", padding="same", name="first")(inputs)
        x = layers.Conv2D(5, 2, strides=2, activation="relu", name="last")(x)
        x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
        self.model = keras.Model(inputs, layers.Dense(3)(x))
        draw = np.random.default_rng(2).normal
        self.model.set_weights([draw(0, 0.3, w.shape) for w in self.model.get_weights()])
        self.x, self.classes = draw(0, 1, (2, 12, 12, 3)).astype("float32"), [0, 2]
        self.twin = self._twin(*map(torch.tensor, self.model.get_weights()))
        logits = self.twin(self._first(self.x)).detach()
        np.testing.assert_allclose(logits, self.model(self.x).detach(), rtol=1e-4, atol=1e-5)

    def _twin(self, *weights):
        nn, torch = self.torch.nn, self.torch

        class Twin(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 2, 2)
                self.wide, self.head = nn.Linear(180, 8), nn.Linear(8, 3)
                self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()

            def forward(self, x):
                x = self.relu2(self.last(self.relu1(self.first(x))))
                x = x.permute(0, 2, 3, 1).flatten(1)
                return self.head(self.relu3(self.wide(x)))

        twin = Twin()
        kernels = [
            w.permute(3, 2, 0, 1) if w.ndim == 4 else w.T if w.ndim == 2 else w for w in weights
        ]
        with torch.no_grad():
            for parameter, kernel in zip(twin.parameters(), kernels, strict=True):
                parameter.copy_(kernel)
        return twin.eval()

    def _first(self, x):
        return self.torch.tensor(x.transpose(0, 3, 1, 2))

    def run(self, kind, *made_with, **options):
        """Return what captum finds in the twin, channels last."""
        tensor, target = self._first(self.x), self.torch.tensor(self.classes)
        made = getattr(self.attr, kind)(self.twin, *made_with)
        result = made.attribute(tensor, target=target, **options)
        return result.detach().permute(0, 2, 3, 1).numpy()

    def explain(self, method, **options):
        return explain(self.model, self.x, method, target=self.classes, **options)

    def check(self, method, wanted, usual, of="attributions"):
        result, other = (getattr(self.explain(one), of) for one in (method, usual))
        size = np.linalg.norm(wanted)
        assert result.shape == wanted.shape
        assert np.linalg.norm(result - wanted) <= SMALL * size
        assert np.linalg.norm(other - wanted) > 1e-3 * size  # else the preset does nothing


@pytest.fixture(scope="module")
def captum():
    return Captum()


captums = pytest.mark.filterwarnings("ignore:Input Tensor 0", "ignore:Setting", "ignore:picture")


@captums
def test_captum_gradient(captum):
    captum.check(methods.Gradient(like="captum"), captum.run("Saliency"), "gradient")


@captums
def test_captum_smooth_grad(captum, monkeypatch):
    torch, draw = captum.torch, np.random.default_rng(0)
    noise = np.stack([draw.standard_normal(captum.x.shape[1:], "float32") for _ in range(5)] * 2)
    ours = torch.tensor(noise.transpose(0, 3, 1, 2).astype("float32"))
    monkeypatch.setattr(torch, "normal", lambda mean, deviation: deviation * ours)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(captum.twin))
    result = tunnel.attribute(captum._first(captum.x), target=torch.tensor(captum.classes))
    wanted = result.detach().permute(0, 2, 3, 1).numpy()
    captum.check(methods.SmoothGrad(like="captum"), wanted, "smooth_grad")


@captums
def test_captum_baselines(captum, monkeypatch):
    """0 in the model's input, whatever black is there."""
    pixels = np.random.default_rng(5).integers(0, 256, (2, 12, 12, 3), dtype="uint8")
    monkeypatch.setattr(captum, "x", (pixels / 128 - 1).astype("float32"))
    for kind, method in [
        ("IntegratedGradients", methods.IntegratedGradients),
        ("DeepLift", methods.DeepLift),
    ]:
        wanted = captum.run(kind)
        result, usual = (
            explain(
                captum.model,
                pixels,
                one,
                target=captum.classes,
                preprocess=lambda x: x / 128 - 1,
            ).attributions
            for one in (method(like="captum"), method())
        )
        assert np.linalg.norm(result - wanted) <= 10 * SMALL * np.linalg.norm(wanted)
        assert np.linalg.norm(usual - wanted) > 0.1 * np.linalg.norm(wanted)


@captums
def test_captum_occlusion(captum):
    wanted = captum.run("Occlusion", sliding_window_shapes=(3, 4, 4))[..., 0]
    preset, usual = methods.Occlusion(4, like="captum"), methods.Occlusion(4)
    captum.check(preset, wanted, usual, of="values")


@captums
def test_captum_lrp(captum):
    captum.check(methods.LRP(like="captum"), captum.run("LRP"), "lrp")


@captums
def test_captum_grad_cam(captum):
    result = captum.run("LayerGradCam", captum.twin.relu2)[..., 0]
    assert (result < 0).any()
    wanted = result.repeat(2, axis=1).repeat(2, axis=2)  # LayerAttribution.interpolate, nearest
    e = captum.explain(methods.GradCam("last", like="captum"))
    assert e.signed
    captum.check(methods.GradCam("last", like="captum"), wanted, methods.GradCam("last"), "values")


@captums
def test_captum_guided_grad_cam(captum):
    wanted = captum.run("GuidedGradCam", captum.twin.relu2)
    make = methods.GuidedGradCam
    captum.check(
        make(methods.GradCam("last"), like="captum"), wanted, make(methods.GradCam("last"))
    )


# -------------------------------------------------------------------------------------------- maps

CHEAP = {
    methods.SmoothGrad: {"samples": 3},
    methods.IntegratedGradients: {"steps": 4},
    methods.GuidedIntegratedGradients: {"steps": 4},
    methods.BlurIntegratedGradients: {"steps": 4},
    methods.Xrai: {"masks": _QUARTERS, "min_area": 1, "steps": 4},
    methods.Occlusion: {"window": 8, "stride": 4},
}


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(("kind", "library"), PRESETS)
def test_what_options_could_break(kind, library):
    """The laws that depend on options; the contract proves the others of the methods' defaults."""
    method, x = kind(like=library, **CHEAP.get(kind, {})), models.pictures()
    whole, small, alone = (
        explain(models.flat(), given, method, batch_size=size)
        for given, size in ((x, 8), (x, 1), (x[1], 8))
    )
    assert whole.values.shape == x.shape[:3]
    assert whole.values.dtype == np.float32
    assert np.isfinite(whole.values).all()
    assert whole.values.any()
    assert whole.signed or (whole.values >= 0).all()
    rounding = 1e-5 * np.abs(whole.values).max()
    np.testing.assert_allclose(small.values, whole.values, rtol=0, atol=rounding)
    np.testing.assert_allclose(alone.values, whole.values[1:2], rtol=0, atol=rounding)

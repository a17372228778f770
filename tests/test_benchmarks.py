"""The benchmarks themselves: what they refuse, what they print, and that a small run runs."""

from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import cases, contenders, report
from benchmarks.cases import Case
from benchmarks.contenders import BY_HAND, OURS
from benchmarks.run import Runner
from benchmarks.studies import cost
from benchmarks.workers import JobFailed

pytestmark = pytest.mark.long

BACKEND = keras.config.backend()

# ------------------------------------------------------------------------------------ equal answers


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(2, 6, 6))


def test_answers_that_agree(maps):
    result = cases.require(maps * 1.005, maps, "case")
    assert result.cosine > 0.9999999
    assert result.relative_l2 == pytest.approx(0.005)


@pytest.mark.parametrize(
    "change",
    [
        lambda maps: -maps,
        lambda maps: maps * 1.02,
        lambda maps: maps * np.nan,
        lambda maps: maps * 0,
        lambda maps: maps[:, :5],
        lambda maps: maps * np.array([1, -1])[:, None, None],  # one picture of two
    ],
)
def test_other_answers_are_refused(maps, change):
    with pytest.raises(cases.Disagreement, match="ours beside theirs"):
        cases.require(change(maps), maps, "ours beside theirs")


def test_terms(maps):
    from keras_saliency.methods.base import enlarge

    large = {how: 3 * enlarge(maps, (24, 24), how) - 1 for how in ("bilinear", "corners")}
    assert cases.compare("map", large["bilinear"], maps, "")["compared"].startswith("enlarged")
    assert cases.compare("corners", large["corners"], maps, "")["cosine"] > 0.9999
    assert cases.compare("sizes", abs(maps), maps, "")["least_cosine"] == 0.9999
    for terms, answer in [
        ("map", large["corners"]),
        ("corners", large["bilinear"]),
        ("sizes", maps),
        ("another quadrature", maps * np.array([1, -1])[:, None, None]),  # one picture of two
        ("another quadrature", maps * np.nan),
        ("another enlargement", large["bilinear"][:, ::-1]),
    ]:
        with pytest.raises(cases.Disagreement):
            cases.compare(terms, answer, maps, "")


def test_another_backend_may_round_otherwise(maps):
    assert cases.compare("equal", maps * 1.02, maps, "", other_backend=True)["cosine"] > 0.9999
    for change, other in [(1.02, False), (1.05, True), (-1, True)]:
        with pytest.raises(cases.Disagreement):
            cases.compare("equal", maps * change, maps, "", other_backend=other)


def test_drawn_answers_must_agree_as_two_draws_of_the_reference_do(maps):
    draw = np.random.default_rng(1).normal
    one, other, theirs, fourth = (maps + draw(0, 0.7, maps.shape) for _ in range(4))
    result = cases.compare("drawn", theirs, one, "", other)
    assert result["least_cosine"] == pytest.approx(
        cases.measure(other, one, "").cosine - cases.SPREAD
    )
    with pytest.raises(cases.Disagreement):
        cases.compare("drawn", fourth - maps, one, "", other)
    with pytest.raises(cases.Disagreement):
        cases.compare("drawn", 5 * theirs, one, "", other)  # a sum, no mean


# ------------------------------------------------------------------------------------ which cases


def test_the_usual_cases_are_few():
    usual = cases.chosen()
    assert len(usual) == len(set(usual)) == 10
    assert Case("ResNet50", "smooth_grad", 1) in usual
    assert {case.method for case in usual} == {*cases.METHODS} - {"rise"}


def test_what_is_named_replaces_its_part():
    assert cases.chosen(["VGG16"], ["rise"], [1, 32]) == [
        Case("VGG16", "rise", 1),
        Case("VGG16", "rise", 32),
    ]
    assert {case.batch for case in cases.chosen(batches=[4])} == {1, 4}  # fixations: always 1
    assert cases.chosen(methods=["fixations"]) == [Case("embedded", "fixations", 1)]
    assert len(cases.chosen(everything=True)) == 5 * 6 * 3 + 1
    assert {case.network for case in cases.chosen(quick=True)} == {"tiny"}


def test_every_peer_can_be_installed():
    packages = {one.package for one in contenders.CONTENDERS} - {None}
    assert packages == contenders.RECIPES.keys()
    names = [one.name for one in contenders.CONTENDERS]
    assert len(names) == len(set(names))


# ------------------------------------------------------------------------------------ one case


class Pool:
    """Contenders without processes: by name, what they answer or the error they raise."""

    def __init__(self, replies):
        self.replies, self.asked, self.import_seconds = replies, [], {}

    def end_all_but(self, needed):
        self.import_seconds = dict.fromkeys(needed, 1.5)

    def do(self, contender, job, **given):
        self.asked.append((contender.name, job))
        reply = self.replies[contender.name]
        if job == "write_subject":
            Path(given["path"]).write_text("")
        if job in ("prepare", "again"):
            if isinstance(reply, str):
                raise JobFailed(reply)
            np.save(given["answer"], reply)
        return {
            "prepare": {
                "resident_mb": 100.0,
                "device_mb": None,
                "settings": "",
                "compared": "equal",
            },
            "warm_up": {"above_model_mb": 20.0},
            "call": {"by hand (jax)": 6.0, "by hand (torch)": 2.0}.get(contender.name, 3.0),
            "describe": {"cpu": "one"},
        }.get(job)


def test_who_fails_or_disagrees_gets_no_time(maps, tmp_path):
    pool = Pool(
        {
            "by hand (jax)": maps,
            "by hand (torch)": maps,
            "keras-saliency (jax)": maps,
            "keras-saliency (torch)": maps,
            "by hand (torch, torch.nn)": maps * 1.001,
            "captum (torch)": -maps,
            "captum (torch, torch.nn)": "Traceback\nValueError: no",
        }
    )
    entered = contenders.chosen((BY_HAND, OURS, "captum"), ("jax", "torch"))
    case = Case("tiny", "gradient", 2)
    result = {
        row["contender"]: row for row in Runner(pool, [case], entered, 32, tmp_path).rows(case, 3)
    }
    assert list(result) == list(pool.replies)
    ours = result["keras-saliency (torch)"]
    assert ours["rounds"] == [3.0] * 3
    assert ours["ratios"][BY_HAND] == {"q1": 1.5, "median": 1.5, "q3": 1.5}
    assert result["keras-saliency (jax)"]["ratios"][BY_HAND]["median"] == 0.5
    assert ours["agreement"]["with"] == "by hand (torch)"
    assert (ours["above_model_mb"], ours["import_seconds"]) == (20.0, 1.5)
    assert "cosine -1.0" in result["captum (torch)"]["error"]
    assert result["captum (torch, torch.nn)"]["error"].endswith("ValueError: no")
    timed = {name for name, job in pool.asked if job == "call"}
    assert timed == {*list(pool.replies)[:5]}


# ------------------------------------------------------------------------------------ for real


def every_layer():
    """A network of every layer that has a module, its activations and paddings uneven."""
    from keras import Input, Model, layers

    inputs = Input((13, 12, 3))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(inputs)
    x = layers.Rescaling(1.5, offset=-0.2)(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)  # (7, 6), of both signs
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    x, y = (layers.MaxPooling2D(3, strides=2, padding="same")(each) for each in (x, y))  # (4, 3)
    x = layers.Add()([x, layers.Activation("relu")(y)])
    x = layers.Conv2D(8, 2, groups=2, use_bias=False, name="conv")(
        layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    )  # (4, 4)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    pooled = layers.Dense(5, activation="gelu")(layers.Reshape((8,))(pooled))
    flat = layers.Dense(5)(layers.Flatten()(layers.Dropout(0.5)(x)))
    return Model(inputs, layers.Dense(4)(layers.Add()([pooled, flat])))


@pytest.mark.skipif(BACKEND != "torch", reason="the twin is made of torch.nn modules")
def test_twin_of_torch_modules():
    from benchmarks.contenders import torch_modules

    model = every_layer()
    draw = np.random.default_rng(0).uniform
    model.set_weights([draw(0.1, 1, each.shape) - 0.4 * (each.ndim > 1) for each in
                       model.get_weights()])  # fmt: skip
    pictures = draw(-1, 1, (3, 13, 12, 3)).astype("float32")
    logits = model.predict(pictures, verbose=0)
    twin = torch_modules.converted(model)
    torch_modules.require_same(twin, pictures, logits)
    with pytest.raises(torch_modules.NotConvertible, match="logits"):
        torch_modules.require_same(twin, pictures, logits[:, ::-1])
    x = torch_modules.to_tensor(pictures, gradient=True)
    twin(x)[:, 2].sum().backward()
    from keras_saliency import explain

    ours = explain(model, pictures, target=2).attributions
    cases.require(torch_modules.to_numpy(x.grad), ours, "twin beside explain()")
    inputs = keras.Input((4, 4, 3))
    unknown = keras.Model(inputs, keras.layers.LayerNormalization()(inputs))
    with pytest.raises(torch_modules.NotConvertible, match="LayerNormalization"):
        torch_modules.converted(unknown)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    from benchmarks.networks import Loaded, Subject, write

    path = str(tmp_path_factory.mktemp("subject") / "tiny.npz")
    write("tiny", 32, 2, path)
    return Subject(Loaded(path), 2)


@pytest.mark.parametrize("method", ["gradient", "smooth_grad", "integrated_gradients"])
def test_programs_by_hand(method, subject):
    """Every loop of every backend gives what explain() gives."""
    from benchmarks.contenders import handwritten, ours

    reference, result = handwritten.entry(method, subject), ours.entry(method, subject)
    again = [reference.again()] if reference.again else []
    cases.compare(result.terms, result.call(), reference.call(), method, *again)
    if again:
        assert np.linalg.norm(again[0] - reference.call()) > 0
    if BACKEND == "torch":
        from benchmarks.contenders import torch_modules

        without_keras = torch_modules.load()(method, subject).call()
        cases.require(without_keras, reference.call(), method)  # the same random numbers


def test_a_warm_call_goes_through_few_files():
    files, *_ = cost.entered("grad_cam")
    assert len(files) <= (21 if BACKEND == "torch" else 18), files


def test_a_small_run(tmp_path, capsys):
    file = tmp_path / "run.jsonl"
    words = ["run", "--quick", "--libraries", OURS, BY_HAND, "--backends", BACKEND]
    words += ["--methods", "grad_cam", "occlusion", "--json", str(file)]
    assert command.main(words) == 0, capsys.readouterr().out
    result = report.read([file])
    assert len(result) == 4
    for one in result.values():
        assert len(one["rounds"]) == 2
        assert one["above_model_mb"] >= 0
        assert one["first_seconds"] > 0
        assert one["machine"]["versions"]["keras"] == keras.__version__
    assert "failed or disagreed: 0" in capsys.readouterr().out
    assert "tiny" in report.markdown(result.values())

"""The benchmarks themselves: what they refuse, what they print, and that a small run runs."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import agreement, answers, cases, contenders, environments, report, rows
from benchmarks.cases import Case
from benchmarks.contenders import BY_HAND, OURS
from benchmarks.stage import Stage
from benchmarks.worker import JobFailed

BACKEND = keras.config.backend()
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"

# ------------------------------------------------------------------------------------ equal answers


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(2, 6, 6))


def test_answers_that_agree(maps):
    found = agreement.require(maps * 1.005, maps, "case")
    assert found.cosine > 0.9999999
    assert found.relative_l2 == pytest.approx(0.005)


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
    with pytest.raises(agreement.Disagreement, match="ours beside theirs"):
        agreement.require(change(maps), maps, "ours beside theirs")


def test_terms(maps):
    from keras_saliency.methods.base import enlarge

    large = {how: 3 * enlarge(maps, (24, 24), how) - 1 for how in ("bilinear", "corners")}
    assert answers.compare("map", large["bilinear"], maps, "")["compared"].startswith("enlarged")
    assert answers.compare("corners", large["corners"], maps, "")["cosine"] > 0.9999
    assert answers.compare("sizes", abs(maps), maps, "")["least_cosine"] == 0.9999
    for terms, answer in [
        ("map", large["corners"]),
        ("corners", large["bilinear"]),
        ("sizes", maps),
        ("another quadrature", maps * np.array([1, -1])[:, None, None]),  # one picture of two
        ("another quadrature", maps * np.nan),
        ("another enlargement", large["bilinear"][:, ::-1]),
    ]:
        with pytest.raises(agreement.Disagreement):
            answers.compare(terms, answer, maps, "")


def test_another_backend_may_round_otherwise(maps):
    assert answers.compare("equal", maps * 1.02, maps, "", other_backend=True)["cosine"] > 0.9999
    for change, other in [(1.02, False), (1.05, True), (-1, True)]:
        with pytest.raises(agreement.Disagreement):
            answers.compare("equal", maps * change, maps, "", other_backend=other)


def test_drawn_answers_must_agree_as_two_draws_of_the_reference_do(maps):
    draw = np.random.default_rng(1).normal
    one, other, theirs, nobodys = (maps + draw(0, 0.7, maps.shape) for _ in range(4))
    found = answers.compare("drawn", theirs, one, "", other)
    assert found["least_cosine"] == pytest.approx(
        agreement.measure(other, one, "").cosine - answers.SPREAD
    )
    with pytest.raises(agreement.Disagreement):
        answers.compare("drawn", nobodys - maps, one, "", other)
    with pytest.raises(agreement.Disagreement):
        answers.compare("drawn", 5 * theirs, one, "", other)  # a sum, no mean


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
    assert packages == environments.RECIPES.keys()
    names = [one.name for one in contenders.CONTENDERS]
    assert len(names) == len(set(names))


# ------------------------------------------------------------------------------------ one case


class Crew:
    """Contenders without processes: by name, what they answer or the error they raise."""

    def __init__(self, replies):
        self.replies, self.asked, self.import_seconds = replies, [], {}

    def keep(self, needed):
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
    crew = Crew(
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
    found = {
        row["contender"]: row for row in Stage(crew, [case], entered, 32, tmp_path).rows(case, 3)
    }
    assert list(found) == list(crew.replies)
    ours = found["keras-saliency (torch)"]
    assert ours["rounds"] == [3.0] * 3
    assert ours["ratios"][BY_HAND] == {"q1": 1.5, "median": 1.5, "q3": 1.5}
    assert found["keras-saliency (jax)"]["ratios"][BY_HAND]["median"] == 0.5
    assert ours["agreement"]["with"] == "by hand (torch)"
    assert (ours["above_model_mb"], ours["import_seconds"]) == (20.0, 1.5)
    assert "cosine -1.0" in found["captum (torch)"]["error"]
    assert found["captum (torch, torch.nn)"]["error"].endswith("ValueError: no")
    timed = {name for name, job in crew.asked if job == "call"}
    assert timed == {*list(crew.replies)[:5]}


# ------------------------------------------------------------------------------------ tables


def row(contender, library, seconds, **more):
    ratio = {"q1": 1.0, "median": 1.05, "q3": 1.1}
    return {
        "benchmark": "run", "network": "ResNet50", "method": "gradient", "batch": 1, "side": 224,
        "contender": contender, "library": library, "backend": "torch", "form": "Keras model",
        "rounds": seconds, "seconds": {"q1": 0.1, "median": float(np.median(seconds)), "q3": 0.3},
        "ratios": {BY_HAND: ratio, OURS: ratio}, "import_seconds": 2.0, "load_seconds": 1.0,
        "first_seconds": 0.5, "above_model_mb": 99.6,
        "machine": {
            "cpu": "a processor", "cores": 2, "device": "cpu", "date": "2026-11-22 10:00",
            "commit": "0123456789", "dirty": False, "versions": {"keras": "3.15.1"},
        },
        **more,
    }  # fmt: skip


@pytest.fixture
def lines(tmp_path):
    def write(name, *found):
        path = tmp_path / name
        path.write_text("".join(json.dumps(one) + "\n" for one in found))
        return str(path)

    return write


def example():
    return [
        row("by hand (torch)", BY_HAND, [0.2, 0.2]),
        row("keras-saliency (torch)", OURS, [0.0213, 0.0213]),
        row("captum (torch, torch.nn)", "captum", [0.5, 0.5], form="torch.nn", settings="all"),
        {**row("torch-cam (torch)", "torch-cam", [1.0]), "error": "Traceback\nOSError: no file"},
    ]


REPORT = """\
Measured on 2 cores of a processor; 2026-11-22; commit 0123456; keras 3.15.1. Answers were \
compared before any clock started. `python -m benchmarks run --json FILE` and \
`python -m benchmarks report FILE` do it again.

This package on each backend: milliseconds of a warm call, and how many times as long as a \
program written by hand for that backend it takes (median and quartiles of interleaved rounds; \
below 1 is faster).

| network | method | pictures | PyTorch ms | PyTorch of by hand |
| --- | --- | --- | --- | --- |
| ResNet50 | gradient | 1 | 21.3 | 1.05 (1.00–1.10) |

Other libraries, each in the setting that is best for it: how many times as long as this package \
on the same backend, and the memory above the loaded model.

| network | method | pictures | library | on | ms | of ours | MB | ours MB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| ResNet50 | gradient | 1 | captum | PyTorch, torch.nn | 500 | 1.05 (1.00–1.10) | 100 | 100 |

Settings. captum (torch, torch.nn): gradient (all).

Starting, on one picture's gradient: seconds to import, to load the network, and of the first \
call, which traces and compiles.

ResNet50:

| contender | import s | load s | first call s | warm ms |
| --- | --- | --- | --- | --- |
| by hand (torch) | 2.0 | 1.0 | 0.5 | 200 |
| keras-saliency (torch) | 2.0 | 1.0 | 0.5 | 21.3 |
| captum (torch, torch.nn) | 2.0 | 1.0 | 0.5 | 500 |

Not in the tables, because it failed or gave another answer:

- ResNet50, gradient, 1 picture: torch-cam (torch): OSError: no file
"""


def test_report(lines, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before {report.BEGIN} old {report.END} after")
    words = ["report", lines("run", *example()), "--readme", str(readme), "--out", str(tmp_path)]
    assert command.main(words) == 0
    assert capsys.readouterr().out == REPORT
    assert readme.read_text() == f"before {report.BEGIN}\n\n{REPORT}\n{report.END} after"
    for name in ("backends.png", "peers.png"):
        assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.parametrize(
    "text", ["", report.BEGIN, f"{report.END} {report.BEGIN}", 2 * f"{report.BEGIN}{report.END}"]
)
def test_a_file_without_its_marks_stays(text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="each once"):
        report.put_into(path, "new")
    assert path.read_text() == text


def test_older_files_are_read():
    found = rows.read([RESULTS / "warm-2cpu.jsonl"])
    assert len(found) == 2 * 3 * 2 * 2
    assert "| ResNet50 | gradient | 8 | 1465 | 1.03 (1.01–1.06) |" in report.markdown(
        found.values()
    )


# ------------------------------------------------------------------------------------ two runs

COMPARED = """\
case                                          contender                              before      after   ratio      quartiles
ResNet50, gradient, 1 picture                 by hand (torch)                           200        202   1.010    1.000-1.020
ResNet50, gradient, 1 picture                 keras-saliency (torch)                    300        450   1.500    1.483-1.517  SLOWER
ResNet50, gradient, 1 picture                 captum (torch)                                                                   none after
slower than 1.1 times: 1
"""  # noqa: E501


def test_compare(lines, capsys):
    hand, ours = [0.198, 0.2, 0.204], [0.295, 0.3, 0.305]
    old = lines(
        "old",
        row("by hand (torch)", BY_HAND, hand),
        row("keras-saliency (torch)", OURS, ours),
        row("captum (torch)", "captum", [1.0]),
    )
    new = lines(
        "new",
        row("by hand (torch)", BY_HAND, [0.2, 0.202, 0.204]),
        row("keras-saliency (torch)", OURS, [0.445, 0.45, 0.455]),
    )
    assert command.main(["compare", old, new]) == 1
    assert capsys.readouterr().out == COMPARED
    assert command.main(["compare", old, new, "--threshold", "1.6"]) == 0
    assert "moved" in capsys.readouterr().out
    assert command.main(["compare", old, old]) == 0
    assert "moved" not in capsys.readouterr().out


def test_compare_relative_to_by_hand(lines, capsys):
    slow = 3 * np.array([0.2, 0.202, 0.204])  # a slower machine, not a slower program
    old = lines(
        "old",
        row("by hand (torch)", BY_HAND, [0.2, 0.202, 0.204]),
        row("keras-saliency (torch)", OURS, [0.3, 0.303, 0.306]),
    )
    new = lines(
        "new",
        row("by hand (torch)", BY_HAND, slow.tolist()),
        row("keras-saliency (torch)", OURS, (1.5 * slow).tolist()),
    )
    assert command.main(["compare", old, new]) == 1
    assert command.main(["compare", old, new, "--relative"]) == 0
    assert "keras-saliency (torch)                  1.500      1.500" in capsys.readouterr().out


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
    from benchmarks import native

    model = every_layer()
    draw = np.random.default_rng(0).uniform
    model.set_weights([draw(0.1, 1, each.shape) - 0.4 * (each.ndim > 1) for each in
                       model.get_weights()])  # fmt: skip
    pictures = draw(-1, 1, (3, 13, 12, 3)).astype("float32")
    logits = model.predict(pictures, verbose=0)
    twin = native.converted(model)
    native.require_same(twin, pictures, logits)
    with pytest.raises(native.NotConvertible, match="logits"):
        native.require_same(twin, pictures, logits[:, ::-1])
    x = native.to_tensor(pictures, gradient=True)
    twin(x)[:, 2].sum().backward()
    from keras_saliency import explain

    ours = explain(model, pictures, target=2).attributions
    agreement.require(native.to_numpy(x.grad), ours, "twin beside explain()")
    inputs = keras.Input((4, 4, 3))
    unknown = keras.Model(inputs, keras.layers.LayerNormalization()(inputs))
    with pytest.raises(native.NotConvertible, match="LayerNormalization"):
        native.converted(unknown)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    from benchmarks.subject import Loaded, Subject, write

    path = str(tmp_path_factory.mktemp("subject") / "tiny.npz")
    write("tiny", 32, 2, path)
    return Subject(Loaded(path), 2)


@pytest.mark.parametrize("method", ["gradient", "smooth_grad", "integrated_gradients"])
def test_programs_by_hand(method, subject):
    """Every loop of every backend gives what explain() gives."""
    from benchmarks.contenders import by_hand, ours

    reference, found = by_hand.entry(method, subject), ours.entry(method, subject)
    again = [reference.again()] if reference.again else []
    answers.compare(found.terms, found.call(), reference.call(), method, *again)
    if again:
        assert np.linalg.norm(again[0] - reference.call()) > 0
    if BACKEND == "torch":
        from benchmarks.contenders import by_hand_modules

        without_keras = by_hand_modules.entry(method, subject).call()
        agreement.require(without_keras, reference.call(), method)  # the same random numbers


def test_a_small_run(tmp_path, capsys):
    file = tmp_path / "run.jsonl"
    words = ["run", "--quick", "--libraries", OURS, BY_HAND, "--backends", BACKEND]
    words += ["--methods", "grad_cam", "occlusion", "--json", str(file)]
    assert command.main(words) == 0, capsys.readouterr().out
    found = rows.read([file])
    assert len(found) == 4
    for one in found.values():
        assert len(one["rounds"]) == 2
        assert one["above_model_mb"] >= 0
        assert one["first_seconds"] > 0
        assert one["machine"]["versions"]["keras"] == keras.__version__
    assert "failed or disagreed: 0" in capsys.readouterr().out
    assert "tiny" in report.markdown(found.values())

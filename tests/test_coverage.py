"""The coverage table: its program, its page, and that each oracle rejects a wrong map."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from benchmarks import measuring
from benchmarks.studies import coverage, coverage_families, coverage_oracles, tables
from benchmarks.studies.coverage_families import Family
from benchmarks.studies.coverage_witness import Wrong
from keras_saliency import errors, explain
from keras_saliency._inputs.preprocessing import Preprocess

pytestmark = pytest.mark.long

BACKEND = keras.config.backend()


def test_a_small_run_and_going_on(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    words = ["--backends", BACKEND, "--out", str(out), "--methods", "gradient", "grad_cam"]
    words += ["--families", "Normalization", "UNet, one pixel"]
    assert coverage.main(words) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert coverage.main(words) == 0  # nothing is left to do
    assert len(out.read_text().splitlines()) == len(rows) == 4
    assert {row["verdict"] for row in rows} == {"ok"}, rows
    assert rows[1]["layer"] == "last"
    assert rows[0]["machine"]["commit"]
    capsys.readouterr()
    assert tables.main(["coverage", str(out)]) == 0
    assert "| Normalization | ok |  | ok |" in capsys.readouterr().out


# ------------------------------------------------------------------------------------ the page


def row(family, method, verdict, backend="torch", **more):
    machine = {
        "cpu": "a processor", "date": "2026-11-29 06:00", "commit": "0123456789", "dirty": True,
        "versions": {"keras": "3.15.1", "keras-hub": "0.32.0", "torch": "2.13.0"},
    }  # fmt: skip
    return {
        "benchmark": "coverage", "backend": backend, "family": family, "method": method,
        "verdict": verdict, "machine": machine, **more,
    }  # fmt: skip


PAGE = """\
Measured on one core of a processor. jax: 2026-11-29 06:00, commit 0123456 with changes; \
keras 3.15.1, keras-hub 0.32.0. torch: 2026-11-29 06:00, commit 0123456 with changes; \
keras 3.15.1, keras-hub 0.32.0, torch 2.13.0.

| backend | ok | finding | missing | refused | crash | wrong |
| --- | --- | --- | --- | --- | --- | --- |
| jax | 1 | 0 | 0 | 0 | 0 | 0 |
| torch | 2 | 1 | 0 | 2 | 1 | 2 |

| family | gradient | paths | CAM | rectified | relevance | attention | perturbation |
| --- | --- | --- | --- | --- | --- | --- | --- |
| VGG | ok |  | ok; **X** (P) grad_cam |  | –; ~ full_grad |  | **!** |
| ResNet |  |  | **X** |  |  |  |  |

### Wrong

- layer block5: it does not change with the picture — VGG, ResNet: `grad_cam`

### Crashed

- KeyError: 7 — VGG: `rise`

### Refused, and why

- It cannot go back through Add (layer 'one'): no rule. — VGG: `deep_lift`, `lrp`

### Findings

- misses 12% — VGG: `full_grad`

### The layer a CAM takes by itself

| family | layer |  |
| --- | --- | --- |
| VGG | `block5` | **X** |
| ResNet | `conv4` | **X** |
"""


def test_the_page(tmp_path, capsys):
    rows = [
        row("ResNet", "grad_cam", "wrong", layer="conv4", why="layer conv4: it does not change "
            "with the picture"),
        row("VGG", "gradient", "ok"),
        row("VGG", "grad_cam", "ok", layer="block5"),  # measured again below
        row("VGG", "grad_cam", "wrong", layer="block5", why="layer block5: it does not change "
            "with the picture"),
        row("VGG", "grad_cam", "ok", "jax", layer="block5"),
        row("VGG", "hires_cam", "ok", layer="block5"),
        row("VGG", "full_grad", "finding", why="misses 12%"),
        row("VGG", "rise", "crash", why="KeyError: 7"),
        row("VGG", "lrp", "refused", found="It cannot go back through Add (layer 'two'): no rule."),
        row("VGG", "deep_lift", "refused", got="It cannot go back through Add (layer 'one'): "
            "no rule."),
    ]  # fmt: skip
    rows_file, page = tmp_path / "rows.jsonl", tmp_path / "coverage.md"
    rows_file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    begin, end = measuring.BEGIN, measuring.END
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    assert tables.main(["coverage", str(rows_file), "--docs", str(page)]) == 1
    assert capsys.readouterr().out == PAGE
    assert page.read_text() == f"before\n{begin}\n\n{PAGE}\n{end}\nafter\n"


# ------------------------------------------------------------------------------------ the oracles


@pytest.fixture(scope="module")
def small():
    """A network, its witness and a picture."""
    return coverage.prepared(
        next(one for one in coverage_families.FAMILIES if one.name == "Normalization")
    )


@pytest.fixture(scope="module")
def explained(small):
    """What `explain` gives for a method, each computed once."""
    known = {}

    def run(name):
        if name not in known:
            method = coverage_oracles.method(name, small["witness"])
            preprocess = Preprocess(None, name="none")
            known[name] = explain(small["model"], small["pixels"], method, preprocess=preprocess)
        return known[name]

    return run


def scaled(result, factor):
    """The same map and attributions, larger."""
    more = None if result.attributions is None else result.attributions * np.float32(factor)
    return replace(result, values=result.values * np.float32(factor), attributions=more)


PLANTED = {
    "score": ("gradient", lambda e: replace(e, scores=e.scores * 1.01)),
    "numbers: not finite": ("rise", lambda e: without_findings(scaled(e, np.nan))),
    "numbers: 0 everywhere": ("score_cam", lambda e: scaled(e, 0)),
    "numbers: shape": ("rise", lambda e: replace(e, values=e.values[:, 1:])),
    "gradient: 0.05 ": ("gradient", lambda e: scaled(e, 1.05)),
    "gradient: 2 ": ("input_x_gradient", lambda e: scaled(e, -1)),
    "gradient: 0.1 ": ("integrated_gradients", lambda e: scaled(e, 1.1)),
    "gradient: 1.": ("smooth_grad", lambda e: replace(e, attributions=e.attributions[:, ::-1])),
    "gradient: less": ("full_grad", lambda e: scaled(e, 0.1)),
    "gap: misses 50%": ("idgi", lambda e: scaled(e, 0.5)),
    "gap: misses 200%": ("deep_lift", lambda e: scaled(e, -1)),
    "gap: misses .*, and conservation_error says": ("lrp", lambda e: scaled(e, 0.8)),
    "gap: misses [6-9].%": ("lrp", lambda e: with_its_error(scaled(e, 0.2))),
    "cam: 0.1": ("grad_cam", lambda e: scaled(e, 1.1)),
    "cam: .* of the map": ("eigen_cam", lambda e: replace(e, values=e.values[:, :, ::-1])),
    "drops: 0.1 ": ("occlusion", lambda e: scaled(e, 0.9)),
    "drops: .* away": ("kernel_shap", lambda e: replace(e, values=e.values[:, ::-1])),
}


def with_its_error(result):
    """Say truly how much of the score is missing."""
    missed = abs(float(result.attributions.sum()) - float(result.scores[0]))
    error = missed / abs(float(result.scores[0]))
    return replace(result, checks=({**result.checks[0], "conservation_error": error},))


def without_findings(result):
    return replace(result, checks=({**result.checks[0], "findings": ()},))


@pytest.mark.parametrize("reason", PLANTED)
def test_a_planted_wrong_map_is_rejected(reason, small, explained):
    name, change = PLANTED[reason]
    result = explained(name)
    coverage_oracles.check(name, result, small["witness"])
    with pytest.raises(Wrong, match=f"^{reason}"):
        coverage_oracles.check(name, without_findings(change(result)), small["witness"])


def test_a_reported_gap_is_a_finding(small, explained):
    reported = replace(scaled(explained("idgi"), 0.5), checks=({"findings": ("misses it",)},))
    coverage_oracles.check("idgi", reported, small["witness"])


class _Text(layers.Layer):
    """Sixteen places that no picture went into."""

    def call(self, x):
        ones = keras.ops.ones_like(x[:, :1, :1])
        return ones * keras.ops.reshape(keras.ops.arange(16.0), (1, 4, 4, 1))


def _many_ways(activation):
    """A network with layers of every kind that a CAM must not take, and some that it may."""
    inputs = keras.Input((32, 32, 3))
    early = layers.Conv2D(4, 5, strides=2, padding="same", activation="relu", name="early")(inputs)
    x = early
    for number in range(4):
        x = layers.Conv2D(6, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    late = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="late")(x)
    layers_of_another = layers.Conv2D(6, 3, name="another")(late)
    turned = layers.Permute((2, 1, 3), name="turned")(late)
    x = layers.Conv2D(6, 1, activation="relu", name="after")(turned)
    tokens = layers.Reshape((64, 6))(late)
    weights = layers.Softmax(name="weights")(layers.Dot((2, 2))([tokens, tokens]))
    heads = layers.Reshape((1, 64, 64), name="heads")(weights)
    mixed = layers.Dot((2, 1))([weights, tokens])
    text = _Text(name="text")(late)
    score = [
        layers.GlobalAveragePooling2D()(x),
        layers.GlobalAveragePooling1D()(mixed),
        layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(heads)),
        layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(text)),
    ]
    outputs = layers.Dense(4, name="head")(layers.Concatenate()(score))
    return keras.Model(inputs, [outputs, layers.GlobalAveragePooling2D()(layers_of_another)])


def _first(outputs):
    return outputs[0][:, 0]


LAYERS = {
    "late": "",
    "turned": "not the picture's",
    "weights": "rows add up to 1|not the picture's",
    "heads": "rows add up to 1",
    "another": "the score does not depend on it",
    "text": "it does not change with the picture",
    "head": "is no map",
    "early": "come after it",
    "nowhere": "did not run",
}


@pytest.fixture(scope="module")
def many():
    return coverage.prepared(Family("many", "keras", _many_ways, 32, target=_first))["witness"]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_no_map_on_the_way_is_rejected(name, many):
    if not LAYERS[name]:
        coverage_oracles._layer(name, many, ())
        return
    with pytest.raises(Wrong, match=LAYERS[name]):
        coverage_oracles._layer(name, many, ())
    if name == "early":  # it may be, if that is reported
        coverage_oracles._layer(name, many, (f"layer {name!r} is early: 60% of the kernels",))


def test_watching_leaves_the_network_as_it_was(many):
    before = [dict(vars(one)) for one in many.layers.values()]
    _ = many.maps
    assert all("call" not in vars(one) for one in many.layers.values())
    assert [set(one) for one in before] == [set(vars(one)) for one in many.layers.values()]


# ------------------------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [
        (errors.LayerError("A layer.", "None.", "Name one.", "help(explain)"), "refused"),
        (RuntimeError("backend"), "crash"),
    ],
)
def test_what_is_raised(raised, verdict, small, monkeypatch):
    def fail(*args, **options):
        raise raised

    monkeypatch.setattr("keras_saliency.explain", fail)
    result = coverage.judged(small["model"], small["witness"], small["pixels"], "gradient")
    assert result["verdict"] == verdict


def test_a_wrong_map_gets_its_row(small, explained, monkeypatch):
    wrong = scaled(explained("gradient"), 2)
    monkeypatch.setattr("keras_saliency.explain", lambda *args, **options: wrong)
    result = coverage.judged(small["model"], small["witness"], small["pixels"], "gradient")
    assert result["verdict"] == "wrong"
    assert result["why"].startswith("gradient: 1 ")


def test_a_process_that_dies_is_a_crash(tmp_path, monkeypatch):
    class Dying:
        alive = False

        def __init__(self, *args, **options):
            pass

        def do(self, function, limit, **arguments):
            if function.endswith("machine"):
                return {"date": "today"}
            raise coverage.JobFailed(f"The process died in {function} with status -11")

        def close(self):
            pass

    monkeypatch.setattr(coverage, "Worker", Dying)
    out = tmp_path / "rows.jsonl"
    words = ["--backends", BACKEND, "--families", "VGG", "--methods", "lrp", "rise", "--out"]
    assert coverage.main([*words, str(out)]) == 0
    assert [(one["method"], one["verdict"]) for one in coverage.read(out)] == [
        ("lrp", "crash"),
        ("rise", "crash"),
    ]


def test_families_have_their_own_names():
    names = [one.name for one in coverage_families.FAMILIES]
    assert len(names) == len(set(names))

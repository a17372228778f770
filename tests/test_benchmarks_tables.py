"""What `python -m benchmarks report` and `compare` print of rows that were made by hand."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import report, studies
from benchmarks.contenders import BY_HAND, OURS
from benchmarks.measuring import BEGIN, END, put_into
from benchmarks.studies import tables

pytestmark = pytest.mark.long

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def test_the_overview_lists_every_verb_and_study(capsys):
    assert command.main([]) == 0
    overview = capsys.readouterr().out
    assert overview.count("\n") < 30
    words = {line.split()[0] for line in overview.splitlines() if line.startswith("  ")}
    folder = Path(studies.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    parts = {name for name in modules if name.startswith("coverage_")}
    assert words == {*command.VERBS, *modules} - parts
    assert command.main(["cost"]) == 2
    assert "benchmarks.studies.NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("study", "words"),
    [("cost", ["memory"]), ("cost", ["batch_size"]), ("cost", ["path"]),
     ("streams", ["folder"]), ("streams", ["ray"]), ("fixations", ["speed"]),
     ("fixations", ["baselines"]), ("quality", []), ("kinds", []), ("coverage", []),
     ("tables", []), ("fuzz_pictures", []), ("fuzz_storage", [])],
)  # fmt: skip
def test_every_study_has_its_help(study, words, capsys):
    module = importlib.import_module(f"benchmarks.studies.{study}")
    with pytest.raises(SystemExit) as ended:
        module.main([*words, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(
        f"usage: python -m {' '.join([module.__name__, *words])} "
    )


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
    def write(name, *rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
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

| network | method | pictures | PyTorch ms | PyTorch / hand-written |
| --- | --- | --- | --- | --- |
| ResNet50 | gradient | 1 | 21.3 | 1.05 (1.00–1.10) |

Other libraries, each in the setting that is best for it: how many times as long as this package \
on the same backend, and the memory above the loaded model.

| network | method | pictures | library | on | ms | theirs / ours | MB | ours MB |
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
    readme.write_text(f"before {BEGIN} old {END} after")
    words = ["report", lines("run", *example()), "--readme", str(readme), "--out", str(tmp_path)]
    assert command.main(words) == 0
    assert capsys.readouterr().out == REPORT
    assert readme.read_text() == f"before {BEGIN}\n\n{REPORT}\n{END} after"
    for name in ("backends.png", "peers.png"):
        assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", 2 * f"{BEGIN}{END}"])
def test_a_file_without_its_marks_stays(text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="each once"):
        put_into(path, "new")
    assert path.read_text() == text


def test_older_files_are_read():
    rows = report.read([RESULTS / "warm-2cpu.jsonl"])
    assert len(rows) == 2 * 3 * 2 * 2
    assert "| ResNet50 | gradient | 8 | 1465 | 1.03 (1.01–1.06) |" in report.markdown(rows.values())


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


def scored(network, method, hits, energy):
    return {"network": network, "method": method, "hits": hits, "energy": energy}


def test_the_best_method_comes_first(tmp_path, capsys):
    rows = [
        scored("", "centre", 17.0, 0.6),
        scored("mobilenet_v2", "gradient", 16.0, 0.5),
        scored("squeezenet_v1_1", "gradient", 12.0, 0.25),
        scored("mobilenet_v2", "lrp", 17.6, 0.8),
        scored("squeezenet_v1_1", "lrp", 19.0, 0.7),
        {"network": "mobilenet_v2", "method": "attention_rollout", "refused": "why"},
    ]
    rows_file, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    rows_file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert tables.main(["quality", str(rows_file), "--docs", str(page)]) == 0
    output = capsys.readouterr().out
    assert (
        output
        == """\
| method | MobileNetV2 hits | MobileNetV2 energy | SqueezeNet hits | SqueezeNet energy |
| --- | --- | --- | --- | --- |
| `lrp` | 18 | 0.80 | 19 | 0.70 |
| *a blob in the centre* | 17 | 0.60 | 17 | 0.60 |
| `gradient` | 16 | 0.50 | 12 | 0.25 |

Refused by these networks: attention_rollout.
"""
    )
    assert page.read_text() == f"before\n{BEGIN}\n\n{output}\n{END}\nafter\n"

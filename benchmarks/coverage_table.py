"""The rows of `benchmarks.coverage` as a table a person can read.

    python -m benchmarks.coverage_table benchmarks/results/coverage.jsonl --docs docs/coverage.md

--docs replaces what stands between the two marks of `benchmarks.report` in that file. The exit
status is 1 where a cell is wrong or crashed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.coverage import read
from benchmarks.families import FAMILIES
from benchmarks.worker import BACKENDS

GROUPS = {
    "gradient": ("gradient", "input_x_gradient", "smooth_grad"),
    "paths": ("integrated_gradients", "expected_gradients", "guided_integrated_gradients",
              "blur_integrated_gradients", "idgi", "xrai"),
    "CAM": ("grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "x_grad_cam", "eigen_cam",
            "score_cam", "ablation_cam", "finer_cam"),
    "rectified": ("guided_backprop", "deconvnet", "guided_grad_cam"),
    "relevance": ("lrp", "deep_lift", "full_grad"),
    "attention": ("attention_rollout", "transformer_attribution"),
    "perturbation": ("occlusion", "rise", "lime", "kernel_shap", "shapley_sampling"),
}  # fmt: skip
SIGNS = {"ok": "ok", "finding": "~", "missing": "?", "refused": "–", "crash": "**!**",
         "wrong": "**X**"}  # fmt: skip
_WORST = tuple(SIGNS)  # from best to worst
_SHORT = {"jax": "J", "tensorflow": "T", "torch": "P"}

Row = dict[str, Any]


def markdown(rows: list[Row]) -> str:
    """Return counts, the table, what is wrong, refusals, findings and CAM layers."""
    order = {family.name: number for number, family in enumerate(FAMILIES)}
    rows = sorted(rows, key=lambda row: (order.get(row["family"], 999), row["method"]))
    parts = [_where(rows), _counts(rows), _table(rows)]
    for verdict, title in (("wrong", "Wrong"), ("crash", "Crashed")):
        if found := [row for row in rows if row["verdict"] == verdict]:
            parts += [f"### {title}", _reasons(found, lambda row: row["why"])]
    if found := [row for row in rows if row["verdict"] == "refused"]:
        parts += ["### Refused, and why", _reasons(found, lambda row: row["found"])]
    if found := [row for row in rows if row["verdict"] == "finding"]:
        parts += ["### Findings", _reasons(found, lambda row: row["why"])]
    parts += ["### The layer a CAM takes by itself", _layers(rows)]
    return "\n\n".join(parts) + "\n"


def _where(rows: list[Row]) -> str:
    said = []
    for backend in BACKENDS:
        machines = [
            row["machine"] for row in rows if row["backend"] == backend and "machine" in row
        ]
        if machines:
            one = max(machines, key=lambda machine: machine["date"])
            versions = one["versions"]
            names = ("keras", "keras-hub", backend, "numpy")
            listed = ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
            changed = " with changes" if one["dirty"] else ""
            said.append(f"{backend}: {one['date']}, commit {one['commit'][:7]}{changed}; {listed}")
    cpus = dict.fromkeys(row["machine"]["cpu"] for row in rows if "machine" in row)
    return f"Measured on one core of {', '.join(cpus)}. " + ". ".join(said) + "."


def _counts(rows: list[Row]) -> str:
    by = Counter((row["backend"], row["verdict"]) for row in rows)
    lines = [
        [backend, *(str(by[backend, verdict]) for verdict in SIGNS)]
        for backend in BACKENDS
        if any(row["backend"] == backend for row in rows)
    ]
    return report.table(["backend", *SIGNS], lines)


def _table(rows: list[Row]) -> str:
    cells: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        cells[row["family"], row["method"]][row["backend"]] = row["verdict"]
    families = list(dict.fromkeys(row["family"] for row in rows))
    lines = [
        [family, *(_cell(family, group, cells) for group in GROUPS.values())] for family in families
    ]
    return report.table(["family", *GROUPS], lines)


def _cell(family: str, group: Iterable[str], cells: dict[tuple[str, str], dict[str, str]]) -> str:
    """Return what a group of methods comes to: the usual sign, and methods that differ from it."""
    signs = {method: _sign(cells[family, method]) for method in group if cells[family, method]}
    if not signs:
        return ""
    by_sign: dict[str, list[str]] = defaultdict(list)
    for method, sign in signs.items():
        by_sign[sign].append(method)
    if len(by_sign) == 1:
        return next(iter(by_sign))
    usual = max(by_sign, key=lambda sign: (len(by_sign[sign]), sign == "ok"))
    others = [f"{sign} {', '.join(names)}" for sign, names in by_sign.items() if sign != usual]
    return "; ".join([usual, *others])


def _sign(verdicts: dict[str, str]) -> str:
    """Return the worst of the backends' verdicts, and on which ones where they differ."""
    worst = max(verdicts.values(), key=_WORST.index)
    there = [_SHORT[one] for one in BACKENDS if verdicts.get(one) == worst]
    return SIGNS[worst] + ("" if len(there) == len(verdicts) else f" ({''.join(there)})")


def _reasons(rows: list[Row], why: Callable[[Row], str]) -> str:
    """Return each reason once, with an example's own names and numbers, and where it is seen."""
    by: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by[_alike(why(row))].append(row)
    lines = []
    for found in sorted(by.values(), key=len, reverse=True):
        said = re.sub(r"Function\(.*?>\)", "a callable", why(found[0]).replace("\n", " "))[:300]
        lines.append(f"- {said} — {_families(found)}: {_names(row['method'] for row in found)}")
    return "\n".join(lines)


def _alike(reason: str) -> str:
    """Return a reason without the names and numbers that are a family's own."""
    reason = re.sub(r"Function\(.*>\)", "a callable", reason)
    reason = re.sub(r"'[^']*'|layer \S+:", "'...'", reason)
    return re.sub(r"-?\d[\d.e+-]*", "0", reason)


def _families(rows: list[Row]) -> str:
    names = list(dict.fromkeys(row["family"] for row in rows))
    if len(names) > 12:
        return f"{len(names)} families ({', '.join(names[:3])}, ...)"
    return ", ".join(names)


def _names(methods: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(methods))


def _layers(rows: list[Row]) -> str:
    """Return the layers that CAMs took, by family; several where methods or backends differ."""
    lines = []
    for family in dict.fromkeys(row["family"] for row in rows):
        own = [row for row in rows if row["family"] == family and row.get("layer")]
        taken = list(dict.fromkeys(row["layer"] for row in own))
        verdicts = {row["verdict"] for row in own if "layer " in row.get("why", "")}
        wrong = "**X**" if "wrong" in verdicts else ""
        if taken:
            lines.append([family, ", ".join(f"`{name}`" for name in taken), wrong])
    return report.table(["family", "layer", ""], lines)


def main(words: list[str] | None = None) -> int:
    """Print the table, or put it where it belongs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage_table", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="JSON lines of benchmarks.coverage")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table there")
    asked = parser.parse_args(words)
    rows = read(asked.file)
    text = markdown(rows)
    print(text, end="")
    if asked.docs:
        report.put_into(asked.docs, text)
    return int(any(row["verdict"] in ("wrong", "crash") for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""The rows of `benchmarks.studies.coverage` or `quality` as Markdown, for the docs.

    python -m benchmarks.studies.tables coverage benchmarks/results/coverage.jsonl \\
        --docs docs/coverage.md
    python -m benchmarks.studies.tables quality benchmarks/results/quality-2cpu.jsonl \\
        --docs docs/compare.md

--docs replaces what is between ``<!-- benchmarks: begin -->`` and ``end`` in that page. The
exit status is 1 where a cell of coverage is wrong or crashed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks import BACKENDS, make_parser
from benchmarks.measuring import Row, markdown_table, put_into, read_lines
from benchmarks.studies.coverage import read
from benchmarks.studies.coverage_families import FAMILIES

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

TITLES = {"efficientnet_lite0": "EfficientNet-Lite0", "mobilenet_v2": "MobileNetV2",
          "squeezenet_v1_1": "SqueezeNet"}  # fmt: skip
_LEAST = {"centre": "*a blob in the centre*", "area": "*a uniform map*"}


def coverage(rows: list[Row]) -> str:
    """Return counts, the table, what is wrong, refusals, findings and CAM layers."""
    order = {family.name: number for number, family in enumerate(FAMILIES)}
    rows = sorted(rows, key=lambda row: (order.get(row["family"], 999), row["method"]))
    parts = [_where(rows), _counts(rows), _table(rows)]
    for verdict, title in (("wrong", "Wrong"), ("crash", "Crashed")):
        if matching := [row for row in rows if row["verdict"] == verdict]:
            parts += [f"### {title}", _reasons(matching, lambda row: row["why"])]
    if matching := [row for row in rows if row["verdict"] == "refused"]:
        parts += ["### Refused, and why", _reasons(matching, lambda row: row["got"])]
    if matching := [row for row in rows if row["verdict"] == "finding"]:
        parts += ["### Findings", _reasons(matching, lambda row: row["why"])]
    parts += ["### The layer a CAM takes by itself", _layers(rows)]
    return "\n\n".join(parts) + "\n"


def _where(rows: list[Row]) -> str:
    sentences = []
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
            sentences.append(
                f"{backend}: {one['date']}, commit {one['commit'][:7]}{changed}; {listed}"
            )
    cpus = dict.fromkeys(row["machine"]["cpu"] for row in rows if "machine" in row)
    return f"Measured on one core of {', '.join(cpus)}. " + ". ".join(sentences) + "."


def _counts(rows: list[Row]) -> str:
    by = Counter((row["backend"], row["verdict"]) for row in rows)
    lines = [
        [backend, *(str(by[backend, verdict]) for verdict in SIGNS)]
        for backend in BACKENDS
        if any(row["backend"] == backend for row in rows)
    ]
    return markdown_table(["backend", *SIGNS], lines)


def _table(rows: list[Row]) -> str:
    cells: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        cells[row["family"], row["method"]][row["backend"]] = row["verdict"]
    families = list(dict.fromkeys(row["family"] for row in rows))
    lines = [
        [family, *(_cell(family, group, cells) for group in GROUPS.values())] for family in families
    ]
    return markdown_table(["family", *GROUPS], lines)


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
    for matching in sorted(by.values(), key=len, reverse=True):
        reason = re.sub(r"Function\(.*?>\)", "a callable", why(matching[0]).replace("\n", " "))[
            :300
        ]
        lines.append(
            f"- {reason} — {_families(matching)}: {_names(row['method'] for row in matching)}"
        )
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
    return markdown_table(["family", "layer", ""], lines)


def quality(rows: list[Row]) -> str:
    """Return hits and energy of every method on every network, by their mean hits and energy."""
    networks = [name for name in TITLES if any(row["network"] == name for row in rows)]
    scored = [row for row in rows if "hits" in row]
    by_method: dict[str, dict[str, Row]] = {}
    for row in scored:
        by_method.setdefault(row["method"], {})[row["network"]] = row

    def place(method: str) -> list[float]:
        matching = by_method[method].values()
        return [-float(np.mean([row[what] for row in matching])) for what in ("hits", "energy")]

    def cells(method: str, network: str) -> list[str]:
        row = by_method[method].get(network) or by_method[method].get("")
        return [f"{row['hits']:.0f}", f"{row['energy']:.2f}"] if row else ["", ""]

    heads = ["method", *(f"{TITLES[n]} {what}" for n in networks for what in ("hits", "energy"))]
    lines = [
        [_LEAST.get(method, f"`{method}`"), *(cell for n in networks for cell in cells(method, n))]
        for method in sorted(by_method, key=place)
    ]
    refused = sorted({row["method"] for row in rows if "refused" in row})
    note = f"Refused by these networks: {', '.join(refused)}." if refused else ""
    return "\n\n".join(filter(None, [markdown_table(heads, lines), note])) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Print the table, or put it into a page."""
    parser = make_parser(".studies.tables", __doc__)
    parser.add_argument("study", choices=("coverage", "quality"), help="what the rows are of")
    parser.add_argument("file", type=Path, help="its JSON lines")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table into this page")
    args = parser.parse_args(argv)
    rows = read(args.file) if args.study == "coverage" else read_lines(args.file)
    text = coverage(rows) if args.study == "coverage" else quality(rows)
    print(text, end="")
    if args.docs:
        put_into(args.docs, text)
    return int(any(row.get("verdict") in ("wrong", "crash") for row in rows))


if __name__ == "__main__":
    sys.exit(main())

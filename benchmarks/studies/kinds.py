"""Every method on every kind of input: does it locate what was planted, or why does it refuse?

    KERAS_BACKEND=jax python -m benchmarks.studies.kinds --out benchmarks/results/kinds.jsonl \\
        --docs docs/kinds_coverage.md

Run it once for each backend. A row a cell: ``ok``, where the largest attribution lies at the
planted block; ``elsewhere``; ``refused``, with the error's sentences; ``crash``. --docs writes
the table of all rows in the file.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks import BACKENDS, make_parser
from benchmarks.measuring import Row, read_lines

NAMES = {
    "picture": "picture (H, W)", "signal": "signal (T, C)", "lone_signal": "signal (T,)",
    "volume": "volume", "video": "video", "tokens": "tokens", "table": "table",
}  # fmt: skip
_REACH = 3
_SIGNS = {"ok": "ok", "elsewhere": "~", "refused": "–", "crash": "**!**"}


def cell(name: str, method: str) -> tuple[str, str]:
    """Return the verdict on a method for a kind of input, and its reason."""
    from keras_saliency import errors, explain
    from keras_saliency.methods.base import classes
    from keras_saliency.testing import inputs

    model, x, block = inputs.planted(name)
    options = inputs.options(method)
    if method == "expected_gradients":
        depth = (model.layers[0].output_dim,) if name == "tokens" else ()
        options["references"] = np.zeros((2, *x.shape[1:], *depth))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = explain(model, x, classes()[method](**options), target=0)
    except errors.KerasSaliencyError as error:
        return "refused", f"{error.what} {error.got}"
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    values = np.abs(result.values[0])
    near = np.zeros(values.shape, bool)
    near[tuple(slice(max(0, one.start - _REACH), one.stop + _REACH) for one in block)] = True
    return ("ok" if near.flat[values.argmax()] else "elsewhere"), ""


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown: a line a method, and the reasons of what is refused."""
    cells: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        cells[row["method"], row["input"]][row["backend"]] = row
    methods = sorted({row["method"] for row in rows})
    lines = [f"| method | {' | '.join(NAMES.values())} |", f"|---|{'---|' * len(NAMES)}"]
    reasons: dict[str, set[str]] = defaultdict(set)
    for method in methods:
        shown = []
        for name in NAMES:
            verdicts = {b: row["verdict"] for b, row in cells[method, name].items()}
            signs = [_SIGNS[verdicts[b]] if b in verdicts else "?" for b in BACKENDS]
            shown.append(signs[0] if len(set(signs)) == 1 else "/".join(signs))
            for row in cells[method, name].values():
                if row["verdict"] in ("refused", "crash"):
                    reasons[_short(row)].add(method)
        lines.append(f"| `{method}` | {' | '.join(shown)} |")
    refusals = [f"- {why}: {', '.join(f'`{one}`' for one in sorted(refused))}"
                for why, refused in sorted(reasons.items())]  # fmt: skip
    return "\n".join([*lines, "", "What is refused, and why:", "", *refusals])


def _short(row: Row) -> str:
    if "is for" in row["why"]:
        return f"has no meaning for {NAMES[row['input']]}"
    why = row["why"].split(". ")[1 if "backward rule" in row["why"] else 0].rstrip(".")
    return re.sub(r" \(layer '[^']*'\)| model '[^']*'|Method '[^']*' ", "", why)


_PAGE = """# Every method on every kind of input

Made by `python -m benchmarks.studies.kinds`. A small network of each kind has positive weights,
and its input is 0 but for a block: **ok** says that the largest attribution lies there, **~** that
it lies elsewhere, **–** that the method refuses. One sign stands for JAX, TensorFlow and PyTorch
alike; three stand in this order. **~** is expected of a deconvolution, and of the contrast of two
classes; Keras draws other weights on each backend.

{table}
"""


def main(argv: list[str] | None = None) -> int:
    """Run all cells on the backend in use."""
    from keras_saliency import methods
    from keras_saliency.testing import inputs

    parser = make_parser(".studies.kinds", __doc__)
    add = parser.add_argument
    add("--out", type=Path, default=Path("benchmarks/results/kinds.jsonl"), metavar="FILE")
    add("--docs", type=Path, metavar="PAGE")
    args = parser.parse_args(argv)
    backend = os.environ.get("KERAS_BACKEND", "jax")
    old = read_lines(args.out) if args.out.exists() else []
    rows = [row for row in old if row["backend"] != backend]
    for name in inputs.INPUTS:
        for method in methods.names():
            verdict, why = cell(name, method)
            rows.append({"backend": backend, "input": name, "method": method,
                         "verdict": verdict, "why": why})  # fmt: skip
            print(backend, name, method, verdict, why[:80], flush=True)
    args.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if args.docs:
        args.docs.write_text(_PAGE.format(table=table(rows)), encoding="utf-8")
    return int(any(row["verdict"] == "crash" for row in rows))


if __name__ == "__main__":
    sys.exit(main())

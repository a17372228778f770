"""The rows of `benchmarks.quality` as a table, best method first.

    python -m benchmarks.quality_table benchmarks/results/quality-2cpu.jsonl --docs docs/compare.md

--docs replaces what stands between the two marks of `benchmarks.report` in that file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report

TITLES = {"efficientnet_lite0": "EfficientNet-Lite0", "mobilenet_v2": "MobileNetV2",
          "squeezenet_v1_1": "SqueezeNet"}  # fmt: skip
_LEAST = {"centre": "*a blob in the centre*", "area": "*a uniform map*"}

Row = dict[str, Any]


def markdown(rows: list[Row]) -> str:
    """Return hits and energy of every method on every network, by their mean hits and energy."""
    networks = [name for name in TITLES if any(row["network"] == name for row in rows)]
    scored = [row for row in rows if "hits" in row]
    by_method: dict[str, dict[str, Row]] = {}
    for row in scored:
        by_method.setdefault(row["method"], {})[row["network"]] = row

    def place(method: str) -> list[float]:
        found = by_method[method].values()
        return [-float(np.mean([row[what] for row in found])) for what in ("hits", "energy")]

    def cells(method: str, network: str) -> list[str]:
        row = by_method[method].get(network) or by_method[method].get("")
        return [f"{row['hits']:.0f}", f"{row['energy']:.2f}"] if row else ["", ""]

    heads = ["method", *(f"{TITLES[n]} {what}" for n in networks for what in ("hits", "energy"))]
    lines = [
        [_LEAST.get(method, f"`{method}`"), *(cell for n in networks for cell in cells(method, n))]
        for method in sorted(by_method, key=place)
    ]
    refused = sorted({row["method"] for row in rows if "refused" in row})
    said = f"Refused by these networks: {', '.join(refused)}." if refused else ""
    return "\n\n".join(filter(None, [report.table(heads, lines), said])) + "\n"


def main(words: list[str] | None = None) -> int:
    """Print the table, or put it where it belongs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="JSON lines of benchmarks.quality")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table there")
    asked = parser.parse_args(words)
    text = markdown([json.loads(line) for line in asked.file.read_text("utf-8").splitlines()])
    print(text, end="")
    if asked.docs:
        report.put_into(asked.docs, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

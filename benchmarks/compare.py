"""Two runs against each other: cases that became slower by more than the clock's noise.

    python -m benchmarks compare before.jsonl after.jsonl --threshold 1.1

A ratio is that of every round after with every round before: median and quartiles. A case has
moved where all of the middle half lies above 1, or below it. Between two runs the machine may have
changed its speed: --relative compares the ratios to the hand-written program of the same run
instead, which that does not change.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks import make_parser, report
from benchmarks.contenders import BY_HAND
from benchmarks.measuring import Row, Seconds, Table, milliseconds, quartiles
from benchmarks.report import Key

_COLUMNS = (
    ("case", -44), ("contender", -34), ("before", 9), ("after", 9), ("ratio", 6),
    ("quartiles", 13), ("", -8),
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 1 where something became slower beyond the threshold."""
    parser = make_parser(" compare", __doc__)
    parser.add_argument("old", type=Path, help="JSON lines of a run")
    parser.add_argument("new", type=Path, help="JSON lines of a later run")
    parser.add_argument("--threshold", type=float, default=1.1, help="a larger ratio is an error")
    parser.add_argument(
        "--relative", action="store_true", help="divide by the times of hand-written programs"
    )
    args = parser.parse_args(argv)

    old, new = (report.read([path]) for path in (args.old, args.new))
    _warn_of_other_machines(old, new)
    table, slower = Table(_COLUMNS), 0
    for key in {**old, **new}:
        before, after = (_times(key, run, args.relative) for run in (old, new))
        name = report.case(old.get(key) or new[key]), key[-1]
        if before is None or after is None:
            missing = [w for w, one in (("before", before), ("after", after)) if one is None]
            table.line(*name, "", "", "", "", f"none {' and '.join(missing)}")
            continue
        change = quartiles(np.divide.outer(after, before).ravel().tolist())
        moved = change["q1"] > 1 or change["q3"] < 1
        bad = moved and change["median"] > args.threshold
        slower += bad
        word = "SLOWER" if bad else "moved" if moved else ""
        show = (lambda value: f"{value:.3f}") if args.relative else milliseconds
        table.line(
            *name,
            show(float(np.median(before))),
            show(float(np.median(after))),
            f"{change['median']:.3f}",
            f"{change['q1']:.3f}-{change['q3']:.3f}",
            word,
        )
    print(f"slower than {args.threshold:g} times: {slower}")
    return 1 if slower else 0


def _times(key: Key, run: dict[Key, Row], relative: bool) -> Seconds | None:
    """Return the rounds of a row, or their ratios to the hand-written program's."""
    row = run.get(key)
    if row is None or "error" in row:
        return None
    if not relative:
        return row["rounds"]
    reference = run.get((*key[:-1], f"{BY_HAND} ({row['backend']})"))
    if reference is None or "error" in reference:
        return None
    return [one / other for one, other in zip(row["rounds"], reference["rounds"], strict=True)]


def _warn_of_other_machines(old: dict[Key, Row], new: dict[Key, Row]) -> None:
    """Warn where the two runs were on other machines or other versions."""
    for what in ("cpu", "cores", "threads", "device", "versions"):
        seen = [
            {row["backend"]: row["machine"].get(what) for row in run.values() if "machine" in row}
            for run in (old, new)
        ]
        for backend in seen[0].keys() & seen[1].keys():
            if seen[0][backend] != seen[1][backend]:
                print(f"not the same {what} on {backend}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

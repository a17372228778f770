"""The run: contenders against each other, case by case, in interleaved rounds.

    python -m benchmarks run --json benchmarks/results/suite-2cpu.jsonl
    python -m benchmarks run --networks VGG16 --methods gradient grad_cam --batches 1 32
    python -m benchmarks run --libraries keras-saliency "by hand" --backends torch --quick

Without --all the usual cases are run, in about 35 minutes on 2 cores: MobileNetV2 and ResNet50 with
gradient (1 and 8 pictures) and Grad-CAM, ResNet50 with SmoothGrad and integrated gradients,
MobileNetV2 with occlusion, and predict_fixations(). Every contender is a process. Before a clock
starts, all have returned their result and it was equal; then each is called once a round, in
random order. What comes before is not counted: one call that tells how much memory it takes, then
nine more or as many as go into five seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import cases, contenders, environments
from benchmarks.crew import Crew
from benchmarks.networks import NAMES, SIDE
from benchmarks.stage import Stage
from benchmarks.table import JsonLines, Table, milliseconds
from benchmarks.worker import BACKENDS

_REFERENCES = {contenders.OURS, contenders.BY_HAND}
_COLUMNS = (
    ("network", -17), ("method", -20), ("batch", 5), ("contender", -34), ("ms", 8),
    ("quartiles", 15), ("/ by hand", 10), ("/ ours", 8), ("cosine", 9), ("first s", 8),
    ("MB", 6),
)  # fmt: skip


def parsed(words: list[str] | None) -> argparse.Namespace:
    """Return the parsed arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    networks = (*NAMES, cases.EMBEDDED, "tiny")
    parser.add_argument("--libraries", nargs="+", choices=contenders.LIBRARIES, default=())
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=())
    parser.add_argument("--networks", nargs="+", choices=networks, default=())
    parser.add_argument("--methods", nargs="+", choices=cases.METHODS, default=())
    parser.add_argument("--batches", nargs="+", type=int, default=())
    parser.add_argument("--rounds", type=int, help=f"instead of {cases.ROUNDS}")
    parser.add_argument("--side", type=int, help=f"of the pictures; {SIDE}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    parser.add_argument("--all", action="store_true", help="all networks, methods and batches")
    parser.add_argument("--quick", action="store_true", help="a tiny network: does it run?")
    parser.add_argument("--limit", type=float, default=1800, help="seconds a call may take")
    parser.add_argument("--environments", type=Path, default=environments.FOLDER)
    asked = parser.parse_args(words)
    if asked.libraries and not _REFERENCES & set(asked.libraries):
        parser.error(f"--libraries needs one of {sorted(_REFERENCES)}, to compare with")
    return asked


def main(words: list[str] | None = None) -> int:
    """Run all cases; return 1 where a contender failed or disagreed."""
    asked = parsed(words)
    chosen = cases.chosen(asked.networks, asked.methods, asked.batches, asked.all, asked.quick)
    entered = contenders.chosen(tuple(asked.libraries), tuple(asked.backends))
    side = asked.side or (32 if asked.quick else SIDE)
    table, lines, failed, started = Table(_COLUMNS), JsonLines(asked.json), 0, time.time()
    with (
        Crew(asked.environments, asked.limit) as crew,
        tempfile.TemporaryDirectory(prefix="benchmarks-") as folder,
    ):
        stage = Stage(crew, chosen, entered, side, Path(folder))
        for case in chosen:
            rounds = asked.rounds or (2 if asked.quick else cases.ROUNDS[case.method])
            for row in stage.rows(case, rounds):
                lines.write(row)
                _print(table, row)
                failed += "error" in row
    took = (time.time() - started) / 60
    print(f"{len(chosen)} cases in {took:.1f} minutes; failed or disagreed: {failed}")
    return 1 if failed else 0


def _print(table: Table, row: dict[str, Any]) -> None:
    where = row["network"], row["method"], row["batch"], row["contender"]
    if "error" in row:
        table.line(*where, "failed", "", "", "", "", "", "")
        return
    seconds, agreed = row["seconds"], row["agreement"]
    table.line(
        *where,
        milliseconds(seconds["median"]),
        f"{milliseconds(seconds['q1'])}-{milliseconds(seconds['q3'])}",
        *(
            f"{row['ratios'][library]['median']:.3f}" if library in row["ratios"] else ""
            for library in (contenders.BY_HAND, contenders.OURS)
        ),
        f"{agreed['cosine']:.6f}" if agreed else "is it",
        f"{row['first_seconds']:.2f}",
        f"{row['above_model_mb']:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())

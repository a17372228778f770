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
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BACKENDS, cases, contenders, make_parser, measuring
from benchmarks.cases import DRAWN, FIXATIONS, Case, Disagreement
from benchmarks.contenders import Contender
from benchmarks.measuring import JsonLines, Row, Table, milliseconds
from benchmarks.networks import NAMES, SIDE
from benchmarks.workers import JobFailed, WorkerPool

_REFERENCES = {contenders.OURS, contenders.BY_HAND}
_COLUMNS = (
    ("network", -17), ("method", -20), ("batch", 5), ("contender", -34), ("ms", 8),
    ("quartiles", 15), ("/ by hand", 10), ("/ ours", 8), ("cosine", 9), ("first s", 8),
    ("MB", 6),
)  # fmt: skip
Results = dict[Contender, Row]  # a row with "error" takes no further part


class Runner:
    """Runs one case after another: prepare, compare the results, then time them in turns.

    Args:
        pool: The contenders' processes.
        cases: All that will be run, so that a process that is needed no more can go.
        contenders: All that take part.
        side: Of the pictures.
        folder: For files that are not needed afterwards.
    """

    def __init__(
        self,
        pool: WorkerPool,
        cases: list[Case],
        contenders: list[Contender],
        side: int,
        folder: Path,
    ) -> None:
        """Run nothing yet."""
        self._pool, self._cases, self._contenders = pool, cases, contenders
        self._side, self._folder = side, folder
        self._order = random.Random(0)

    def rows(self, case: Case, rounds: int) -> list[Row]:
        """Return a row a contender: its times, or why there are none."""
        entered = self._entered(case)
        later = self._cases[self._cases.index(case) :]
        self._pool.end_all_but({one for each in later for one in self._entered(each)})
        results = {one: self._row(case, one) for one in entered}
        self._each(results, lambda one, row: row.update(self._prepare(case, one)))
        self._compare(case, results)
        self._each(results, self._warm_up)
        for _ in range(rounds):
            left = _left(results)
            shuffled = {one: results[one] for one in self._order.sample(left, len(left))}
            self._each(shuffled, lambda one, row: row["rounds"].append(self._pool.do(one, "call")))
        self._each(results, lambda one, row: row.update(machine=self._pool.do(one, "describe")))
        for one in _left(results):
            results[one].update(_times(one, results))
        return list(results.values())

    def _entered(self, case: Case) -> list[Contender]:
        return [one for one in self._contenders if one.takes(case.network, case.method)]

    def _row(self, case: Case, contender: Contender) -> Row:
        return {
            "benchmark": "run",
            "network": case.network,
            "method": case.method,
            "batch": case.batch,
            "side": 512 if case.method == FIXATIONS else self._side,
            "contender": contender.name,
            "library": contender.library,
            "backend": contender.backend,
            "form": contender.form,
            "rounds": [],
        }

    @staticmethod
    def _each(results: Results, job: Callable[[Contender, Row], None]) -> None:
        """Do a job for every contender that is left; where it fails, the row reports it."""
        for one in _left(results):
            try:
                job(one, results[one])
            except (JobFailed, Disagreement) as error:
                results[one]["error"] = str(error).strip()
                last = results[one]["error"].splitlines()[-1]
                print(f"{one.name}: {last}", file=sys.stderr, flush=True)

    # --------------------------------------------------------------------------- before the clock

    def _prepare(self, case: Case, contender: Contender) -> Row:
        path = None if case.method == FIXATIONS else self._subject(case)
        answer = str(self._answer(contender))
        args = {"method": case.method, "batch": case.batch, "path": path, "answer": answer}
        prepared = self._pool.do(contender, "prepare", **args)
        return {**prepared, "import_seconds": self._pool.import_seconds[contender]}

    def _subject(self, case: Case) -> str:
        """Return the file of the case's network, written by the fastest contender."""
        path = self._folder / f"{case.network}.npz"
        if not path.exists():
            for old in self._folder.glob("*.npz"):
                old.unlink()
            count = max(each.batch for each in self._cases if each.network == case.network)
            args = {"network": case.network, "side": self._side, "count": count}
            # Nothing is compiled for one run on PyTorch; the names are in the right order.
            writer = max(self._entered(case), key=lambda one: one.backend)
            self._pool.do(writer, "write_subject", **args, path=str(path))
        return str(path)

    def _answer(self, contender: Contender) -> Path:
        return self._folder / f"answer-{self._contenders.index(contender)}.npy"

    def _warm_up(self, contender: Contender, row: Row) -> None:
        before = {name: row[name] for name in ("resident_mb", "device_mb")}
        row.update(self._pool.do(contender, "warm_up", **before))

    # --------------------------------------------------------------------------- equal answers

    def _compare(self, case: Case, results: Results) -> None:
        """Hold every answer against that of the same backend's reference, and these together."""
        references: dict[str, Contender] = {}  # by backend; the first is used for all
        redrawn: list[np.ndarray] = []

        def compare(one: Contender, row: Row) -> None:
            if not references:
                if not one.is_reference:
                    raise Disagreement("There is no reference left to compare with.")
                references[one.backend] = one
                row["agreement"] = None
                if case.method in DRAWN:
                    path = self._folder / "again.npy"
                    self._pool.do(one, "again", answer=str(path))
                    redrawn.append(np.load(path))
                return
            first = next(iter(references.values()))
            reference = first if redrawn else references.get(one.backend, first)
            answer, expected = (np.load(self._answer(each)) for each in (one, reference))
            what = f"beside {reference.name}"
            other = reference.backend != one.backend
            drawn = redrawn[0] if redrawn else None
            agreed = cases.compare(row["compared"], answer, expected, what, drawn, other)
            row["agreement"] = {"with": reference.name, **agreed}
            if one.is_reference:
                references.setdefault(one.backend, one)

        self._each(results, compare)


def _left(results: Results) -> list[Contender]:
    return [one for one, row in results.items() if "error" not in row]


def _times(contender: Contender, results: Results) -> Row:
    """Return quartiles of seconds, and of ratios to the two references of the same backend."""
    rounds = results[contender]["rounds"]
    ratios = {
        other.library: measuring.quartiles(measuring.ratios(rounds, results[other]["rounds"]))
        for other in _left(results)
        if other.is_reference and other.backend == contender.backend
    }
    return {"seconds": measuring.quartiles(rounds), "ratios": ratios}


# ------------------------------------------------------------------------------ the command line


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the parsed arguments."""
    parser = make_parser(" run", __doc__)
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
    parser.add_argument("--environments", type=Path, default=contenders.FOLDER)
    args = parser.parse_args(argv)
    if args.libraries and not _REFERENCES & set(args.libraries):
        parser.error(f"--libraries needs one of {sorted(_REFERENCES)}, to compare with")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run all cases; return 1 where a contender failed or disagreed."""
    args = parse_arguments(argv)
    chosen = cases.chosen(args.networks, args.methods, args.batches, args.all, args.quick)
    entered = contenders.chosen(tuple(args.libraries), tuple(args.backends))
    side = args.side or (32 if args.quick else SIDE)
    table, lines, failed, started = Table(_COLUMNS), JsonLines(args.json), 0, time.time()
    with (
        WorkerPool(args.environments, args.limit) as pool,
        tempfile.TemporaryDirectory(prefix="benchmarks-") as folder,
    ):
        runner = Runner(pool, chosen, entered, side, Path(folder))
        for case in chosen:
            rounds = args.rounds or (2 if args.quick else cases.ROUNDS[case.method])
            for row in runner.rows(case, rounds):
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
        f"{agreed['cosine']:.6f}" if agreed else "reference",
        f"{row['first_seconds']:.2f}",
        f"{row['above_model_mb']:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())

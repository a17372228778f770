"""One case after another: prepare everybody, compare the answers, then clock them in turns."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import answers, timing
from benchmarks.agreement import Disagreement
from benchmarks.cases import DRAWN, FIXATIONS, Case
from benchmarks.contenders import Contender
from benchmarks.crew import Crew
from benchmarks.worker import JobFailed

Row = dict[str, Any]
Found = dict[Contender, Row]  # a row with "error" takes no further part


class Stage:
    """Where cases are run.

    Args:
        crew: The processes.
        cases: All that will be run, so that a process that is needed no more can go.
        contenders: Everybody.
        side: Of the pictures.
        folder: For files that are not needed afterwards.
    """

    def __init__(
        self, crew: Crew, cases: list[Case], contenders: list[Contender], side: int, folder: Path
    ) -> None:
        """Run nothing yet."""
        self._crew, self._cases, self._contenders = crew, cases, contenders
        self._side, self._folder = side, folder
        self._order = random.Random(0)

    def rows(self, case: Case, rounds: int) -> list[Row]:
        """Return a row a contender: its times, or why there are none."""
        entered = self._entered(case)
        later = self._cases[self._cases.index(case) :]
        self._crew.keep({one for each in later for one in self._entered(each)})
        found = {one: self._row(case, one) for one in entered}
        self._each(found, lambda one, row: row.update(self._prepare(case, one)))
        self._compare(case, found)
        self._each(found, self._warm_up)
        for _ in range(rounds):
            left = _left(found)
            shuffled = {one: found[one] for one in self._order.sample(left, len(left))}
            self._each(shuffled, lambda one, row: row["rounds"].append(self._crew.do(one, "call")))
        self._each(found, lambda one, row: row.update(machine=self._crew.do(one, "describe")))
        for one in _left(found):
            found[one].update(_times(one, found))
        return list(found.values())

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
    def _each(found: Found, job: Callable[[Contender, Row], None]) -> None:
        """Do a job for everybody who is left; where it fails, the row says so."""
        for one in _left(found):
            try:
                job(one, found[one])
            except (JobFailed, Disagreement) as error:
                found[one]["error"] = str(error).strip()
                last = found[one]["error"].splitlines()[-1]
                print(f"{one.name}: {last}", file=sys.stderr, flush=True)

    # --------------------------------------------------------------------------- before the clock

    def _prepare(self, case: Case, contender: Contender) -> Row:
        path = None if case.method == FIXATIONS else self._subject(case)
        answer = str(self._answer(contender))
        asked = {"method": case.method, "batch": case.batch, "path": path, "answer": answer}
        found = self._crew.do(contender, "prepare", **asked)
        return {**found, "import_seconds": self._crew.import_seconds[contender]}

    def _subject(self, case: Case) -> str:
        """Return the file of the case's network, written by whom it costs least."""
        path = self._folder / f"{case.network}.npz"
        if not path.exists():
            for old in self._folder.glob("*.npz"):
                old.unlink()
            count = max(each.batch for each in self._cases if each.network == case.network)
            asked = {"network": case.network, "side": self._side, "count": count}
            # Nothing is compiled for one run on PyTorch; the names are in the right order.
            writer = max(self._entered(case), key=lambda one: one.backend)
            self._crew.do(writer, "write_subject", **asked, path=str(path))
        return str(path)

    def _answer(self, contender: Contender) -> Path:
        return self._folder / f"answer-{self._contenders.index(contender)}.npy"

    def _warm_up(self, contender: Contender, row: Row) -> None:
        before = {name: row[name] for name in ("resident_mb", "device_mb")}
        row.update(self._crew.do(contender, "warm_up", **before))

    # --------------------------------------------------------------------------- equal answers

    def _compare(self, case: Case, found: Found) -> None:
        """Hold every answer against that of the same backend's reference, and these together."""
        references: dict[str, Contender] = {}  # by backend; the first is everybody's
        again: list[np.ndarray] = []

        def compare(one: Contender, row: Row) -> None:
            if not references:
                if not one.is_reference:
                    raise Disagreement("There is no reference left to compare with.")
                references[one.backend] = one
                row["agreement"] = None
                if case.method in DRAWN:
                    path = self._folder / "again.npy"
                    self._crew.do(one, "again", answer=str(path))
                    again.append(np.load(path))
                return
            first = next(iter(references.values()))
            reference = first if again else references.get(one.backend, first)
            answer, wanted = (np.load(self._answer(each)) for each in (one, reference))
            what = f"beside {reference.name}"
            other = reference.backend != one.backend
            drawn = again[0] if again else None
            agreed = answers.compare(row["compared"], answer, wanted, what, drawn, other)
            row["agreement"] = {"with": reference.name, **agreed}
            if one.is_reference:
                references.setdefault(one.backend, one)

        self._each(found, compare)


def _left(found: Found) -> list[Contender]:
    return [one for one, row in found.items() if "error" not in row]


def _times(contender: Contender, found: Found) -> Row:
    """Return quartiles of seconds, and of ratios to the two references of the same backend."""
    rounds = found[contender]["rounds"]
    ratios = {
        other.library: timing.quartiles(timing.ratios(rounds, found[other]["rounds"]))
        for other in _left(found)
        if other.is_reference and other.backend == contender.backend
    }
    return {"seconds": timing.quartiles(rounds), "ratios": ratios}

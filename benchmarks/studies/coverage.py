"""Correctness of every method on every family of keras.applications and keras_hub and backend.

    python -m benchmarks.studies.coverage --backends torch --out benchmarks/results/coverage.jsonl
    python -m benchmarks.studies.tables coverage FILE --docs docs/coverage.md

A row a cell: ``ok``; ``finding`` (it ran and reports a fault); ``refused`` (a
`KerasSaliencyError`, whose message is stored); ``wrong`` (an oracle of `coverage_oracles` rejects
it); ``crash`` (any other exception, or the process died or hung). Cells that the file has already
are not run again: an interrupted run resumes. keras_hub is an extra
(``pip install -e ".[benchmarks]"``); without it its families are ``missing``, as are cells where
an oracle itself fails.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BACKENDS, make_parser
from benchmarks.measuring import Row, describe_machine, read_lines
from benchmarks.studies import coverage_families as families
from benchmarks.studies.coverage_families import FAMILIES, Family
from benchmarks.workers import JobFailed, Worker

LIMIT = 900.0  # seconds for one cell, the family's first included: it builds and compiles
_SETTINGS = {  # small networks: threads and optimising compilers cost more than they save
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}


def main(argv: list[str] | None = None) -> int:
    """Run all cells that the file lacks."""
    from keras_saliency import methods

    parser = make_parser(".studies.coverage", __doc__)
    names = [one.name for one in FAMILIES]
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--families", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--methods", nargs="+", default=methods.names(), metavar="NAME")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one cell")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/coverage.jsonl"), metavar="FILE"
    )
    args = parser.parse_args(argv)
    for backend in args.backends:
        known = {(r["backend"], r["family"], r["method"]) for r in read(args.out)}
        cells = [
            (family, method)
            for family in args.families
            for method in args.methods
            if (backend, family, method) not in known
        ]
        _run(backend, cells, args.out, args.limit)
    return 0


def read(path: Path) -> list[Row]:
    """Return the rows of a file, later ones instead of earlier ones of the same cell."""
    rows = read_lines(path) if path.exists() else []
    for row in rows:
        if "found" in row:  # its name in older files
            row["got"] = row.pop("found")
    return list({(r["backend"], r["family"], r["method"]): r for r in rows}.values())


def _run(backend: str, cells: list[tuple[str, str]], out: Path, limit: float) -> None:
    """Run cells of one backend in a process that is started anew when it dies."""
    worker: Worker | None = None
    where = None
    for family, method in cells:
        started = time.perf_counter()
        if worker is None or not worker.alive:
            worker = Worker(backend, settings=_SETTINGS)
            where = worker.do("benchmarks.studies.coverage:machine", limit)
        try:
            row = worker.do("benchmarks.studies.coverage:cell", limit, family=family, method=method)
        except JobFailed as error:
            first, *rest = str(error).strip().splitlines()
            last = rest[-1] if rest else ""
            ended = "died in" in first or "took longer" in first
            why = f"{first} {last[:200]}" if ended else f"the oracle failed: {last}"
            row = {"verdict": "crash" if ended else "missing", "why": why}
        cell = {"benchmark": "coverage", "backend": backend, "family": family, "method": method}
        cell |= {**row, "seconds": round(time.perf_counter() - started, 2)}
        if where is not None:  # once a process
            cell, where = {**cell, "machine": where}, None
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(cell) + "\n")
        why = cell.get("why", "")
        print(
            f"{backend:<10} {family:<26} {method:<28} {cell['verdict']:<8} {why[:120]}", flush=True
        )
    if worker is not None:
        worker.close()


# ------------------------------------------------------------------------------- in the process

_current: dict[str, Any] = {}  # the family at work: one at a time


def machine() -> Row:
    """Return what this process runs on."""
    return describe_machine()


def cell(family: str, method: str) -> Row:
    """Return the row of one family and method on this backend."""
    if _current.get("name") != family:
        _current.clear()
        gc.collect()
        _current.update(name=family, **_prepared(next(f for f in FAMILIES if f.name == family)))
    if why := _current.get("missing"):
        return {"verdict": "missing", "why": why}
    if why := _current.get("broken"):
        return {"verdict": "crash", "why": why}
    return judged(_current["model"], _current["witness"], _current["pixels"], method)


def _prepared(family: Family) -> dict[str, Any]:
    if family.origin == "keras_hub":
        try:
            import keras_hub  # noqa: F401
        except ImportError:
            return {"missing": 'pip install -e ".[benchmarks]" brings keras_hub'}
    try:
        return prepared(family)
    except Exception as error:
        return {"broken": f"the network cannot be built: {_short(error)}"}


def prepared(family: Family) -> dict[str, Any]:
    """Return a family's network, a witness on its twin that ends with logits, and the picture."""
    import keras

    from benchmarks.networks import no_random_kernels
    from benchmarks.studies.coverage_oracles import Witness

    pixels = picture(family.side)
    some = family.scale(
        np.stack([np.roll(pixels[0], k * 5, (0, 1)) // (1 + k % 2) for k in range(8)])
    )
    with no_random_kernels():
        keras.utils.clear_session()  # so that both have the same layers' names
        twin = model = family.build(None)
        if family.target is None:
            keras.utils.clear_session()
            model = family.build("softmax")
    families.draw(twin, family.given(some))
    if model is not twin:
        model.set_weights(twin.get_weights())
    return {
        "model": model,
        "witness": Witness(family, twin, family.scale(pixels)),
        "pixels": pixels,
    }


def picture(side: int) -> np.ndarray:
    """Return one picture (1, side, side, 3) uint8: smooth shapes with grain, alike at no corner."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in random.uniform(0, 3, (9, 3))]
    smooth = np.stack(waves, -1).reshape(side, side, 3, 3).mean(-1)
    pixels = 127 + 100 * smooth + random.normal(0, 20, smooth.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)[None]


def judged(model: Any, witness: Any, pixels: np.ndarray, name: str) -> Row:
    """Return the verdict on one method: what `explain` gives, held against the oracles."""
    from benchmarks.studies import coverage_verdicts as verdicts
    from benchmarks.studies.coverage_oracles import Wrong
    from keras_saliency import explain
    from keras_saliency._inputs.preprocessing import Preprocess
    from keras_saliency.errors import KerasSaliencyError

    family = witness.family
    preprocess = Preprocess(None if family.raw else families.centred, name="coverage")

    def explained(method: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return explain(
                model,
                family.given(pixels),
                method,
                target=family.target,
                preprocess=preprocess,
            )

    method = verdicts.method(name, witness)
    try:
        result = explained(method)
        few = verdicts.only_few(result)
        more = verdicts.finer(method) if few else None
        finer = None if more is None else explained(more)
    except KerasSaliencyError as error:
        return {"verdict": "refused", "why": str(error), "got": error.got}
    except Exception as error:
        return {"verdict": "crash", "why": _short(error), "trace": traceback.format_exc()[-2000:]}
    row = {"layer": str(result.info["layer"])} if "layer" in result.info else {}
    try:
        verdicts.check(name, result, witness)
    except Wrong as error:
        return {"verdict": "wrong", "why": str(error), **row}
    findings = "; ".join(result.checks[0]["findings"])
    if few and (finer is None or verdicts.is_better(finer, result)):
        return {"verdict": "ok", "few": findings, **row}
    if findings:
        return {"verdict": "finding", "why": findings, **row}
    return {"verdict": "ok", **row}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


if __name__ == "__main__":
    sys.exit(main())

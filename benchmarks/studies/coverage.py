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
_WIDTH = 1.0  # of the middle of a convolution, in squared pixels
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
    from benchmarks.studies.coverage_witness import Witness

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
    draw(twin, family.given(some))
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
    from benchmarks.studies import coverage_oracles as oracles
    from benchmarks.studies.coverage_witness import Wrong
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

    method = oracles.method(name, witness)
    try:
        result = explained(method)
        few = oracles.only_few(result)
        more = oracles.finer(method) if few else None
        finer = None if more is None else explained(more)
    except KerasSaliencyError as error:
        return {"verdict": "refused", "why": str(error), "got": error.got}
    except Exception as error:
        return {"verdict": "crash", "why": _short(error), "trace": traceback.format_exc()[-2000:]}
    row = {"layer": str(result.info["layer"])} if "layer" in result.info else {}
    try:
        oracles.check(name, result, witness)
    except Wrong as error:
        return {"verdict": "wrong", "why": str(error), **row}
    findings = "; ".join(result.checks[0]["findings"])
    if few and (finer is None or oracles.is_better(finer, result)):
        return {"verdict": "ok", "few": findings, **row}
    if findings:
        return {"verdict": "finding", "why": findings, **row}
    return {"verdict": "ok", **row}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


# ------------------------------------------------------------------------------ random weights


def draw(model: Any, given: Any, seed: int = 0) -> None:
    """Give a network random weights, the same on every backend, near its own where they matter.

    Kernels by their fan-in (He et al. 2015); vectors (biases, norms' statistics and scales, layer
    scales) stay near what they start with, tiny layer scales near 0.5 so that no block is idle.
    Batch norms' offsets are near 1, so that most rectifiers are on: with 0, rounding errors grow
    from layer to layer, and alone moved the gradient of InceptionV3 by a quarter of its size.

    Args:
        model: The network.
        given: Inputs whose statistics batch norms take.
        seed: Of the weights.
    """
    import keras

    random = np.random.default_rng(seed)
    offsets = {norm.beta.path for norm in _batch_norms(model) if norm.center}
    for variable in model.variables:
        shape, path = tuple(variable.shape), variable.path
        if "float" not in keras.backend.standardize_dtype(variable.dtype) or "seed" in path:
            continue
        start = np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
        noise = random.normal(size=shape)
        if path.endswith(("moving_variance", "/variance")):
            value = 1 + 0.3 * np.abs(noise)
        elif len(shape) < 2:
            still = np.abs(start).max(initial=0)
            value = (0.5 if 0 < still < 0.01 else start) + 0.05 * noise + (variable.path in offsets)
        else:
            value = noise * (2 / _fan_in(path, shape)) ** 0.5 * _centre(shape)
        variable.assign(value.astype(np.float32))
    _calibrate(model, given)


def _calibrate(model: Any, given: Any) -> None:
    """Let batch norms take the statistics of these inputs; without, signals fade or explode."""
    norms = _batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        model(given, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batch_norms(model: Any) -> list[Any]:
    import keras

    whole = model._flatten_layers(include_self=False)
    return [one for one in whole if isinstance(one, keras.layers.BatchNormalization)]


def _centre(shape: tuple[int, ...]) -> Any:
    """Return what makes the middle of a convolution count more, of mean square 1.

    As in trained networks; else no late map of a small picture would know where anything is.
    """
    if len(shape) != 4 or max(shape[:2]) == 1:
        return 1.0
    down, right = (np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / _WIDTH) for n in shape[:2])
    window = (down[:, None] * right)[:, :, None, None]
    return window / np.sqrt((window**2).mean())


def _fan_in(path: str, shape: tuple[int, ...]) -> int:
    kind = path.rsplit("/", 1)[-1]
    if "embed" in path and "kernel" not in kind:
        return 50 * 2  # a standard deviation of 0.14, for tokens and positions
    if "depthwise" in path and len(shape) == 4:
        return int(np.prod(shape[:2]))
    if len(shape) == 3 and any(word in path for word in ("query", "key", "value")):
        return int(shape[0])  # (width, heads, width of a head)
    return max(1, int(np.prod(shape[:-1])))


if __name__ == "__main__":
    sys.exit(main())

"""Time and memory of ``explain()`` by ``batch_size``: why the default is what it is.

    python -m benchmarks.studies.micro_batch --pictures 32 --sizes 8 32 --json sizes.jsonl

Sizes are timed in interleaved rounds of one process; each peak of memory is that of a process of
its own, with what the loaded model took before the first call beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import BACKENDS, measuring, networks
from benchmarks.rows import JsonLines, Table, milliseconds
from benchmarks.worker_pool import JobFailed, Worker

_COLUMNS = (
    ("backend", -10), ("model", -11), ("pictures", 8), ("batch_size", 10), ("ms/picture", 10),
    ("ratio", 6), ("quartiles", 12), ("peak MB", 8), ("above model", 11),
)  # fmt: skip


def measure(model: str, pictures: int, sizes: list[int], rounds: int) -> dict[str, Any]:
    """Time the sizes against each other; runs in a worker."""
    calls = {str(size): _call(model, pictures, size) for size in sizes}
    return {"rounds": measuring.interleaved(calls, rounds), "machine": measuring.describe_machine()}


def peak(model: str, pictures: int, size: int) -> dict[str, float]:
    """Return the peak of memory in MB after two calls, and what of it the calls added."""
    call = _call(model, pictures, size)
    before = measuring.peak_mb()
    call()
    call()
    return {"peak_mb": measuring.peak_mb(), "above_model_mb": measuring.peak_mb() - before}


def _call(model: str, pictures: int, size: int) -> Any:
    from keras_saliency import explain

    network, images = networks.network(model), networks.pictures(model, pictures)
    return lambda: explain(network, images, batch_size=size).attributions


def main(argv: list[str] | None = None) -> int:
    """Run all backends; return 1 where one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.micro_batch", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--model", choices=networks.NAMES, default="ResNet50")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 32], help="first: ratio 1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    table, lines = Table(_COLUMNS), JsonLines(args.json)
    case = {"model": args.model, "pictures": args.pictures}
    for backend in args.backends:
        try:
            with Worker(backend) as worker:
                result = worker.do(
                    "benchmarks.studies.micro_batch:measure",
                    **case,
                    sizes=args.sizes,
                    rounds=args.rounds,
                )
            for size in args.sizes:
                with Worker(backend) as worker:
                    memory = worker.do("benchmarks.studies.micro_batch:peak", **case, size=size)
                row = _row({"backend": backend, **case, "batch_size": size}, args, result, memory)
                lines.write(row)
                _print(table, row)
        except JobFailed as error:
            print(f"{backend}: {error}", file=sys.stderr)
            return 1
    return 0


def _row(
    case: dict[str, Any],
    args: argparse.Namespace,
    result: dict[str, Any],
    memory: dict[str, float],
) -> dict[str, Any]:
    seconds = result["rounds"][str(case["batch_size"])]
    reference = result["rounds"][str(args.sizes[0])]
    return {
        "benchmark": "micro_batch",
        **case,
        "seconds": measuring.quartiles(seconds),
        "ratio": measuring.quartiles(measuring.ratios(seconds, reference)),
        **memory,
        "rounds": seconds,
        "machine": result["machine"],
    }


def _print(table: Table, row: dict[str, Any]) -> None:
    table.line(
        row["backend"],
        row["model"],
        row["pictures"],
        row["batch_size"],
        milliseconds(row["seconds"]["median"] / row["pictures"]),
        f"{row['ratio']['median']:.3f}",
        f"{row['ratio']['q1']:.3f}-{row['ratio']['q3']:.3f}",
        f"{row['peak_mb']:.0f}",
        f"{row['above_model_mb']:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())

"""Pictures a second through Ray Data with one actor and with two, on this machine.

    python -m benchmarks.studies.ray_scaling --pictures 256 --json ray_scaling.jsonl

MobileNetV2 with random weights at 224x224, gradients, one CPU an actor. Rounds with one and two
actors alternate. Loading the model is part of a run, as it is for a user; the time from the first
result to the last is reported separately.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BACKENDS, measuring
from benchmarks.rows import JsonLines, Table
from benchmarks.worker_pool import JobFailed, Worker


def _network() -> Any:
    from benchmarks import networks

    return networks.network("MobileNetV2")


def measure(pictures: int, actors: int) -> dict[str, Any]:
    """Explain a data set once in a cluster of this process, and say how long it took."""
    import ray

    from keras_saliency.ray import explain

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        draw = np.random.default_rng(0)
        rows = [
            {"image": draw.integers(0, 256, (224, 224, 3), np.uint8), "id": i}
            for i in range(pictures)
        ]
        ds = ray.data.from_items(rows, override_num_blocks=max(8, pictures // 16))
        times, ids, began = [], [], time.perf_counter()
        maps = explain(ds, _network, batch_size=4, preprocess="tf", concurrency=actors)
        for row in maps.iter_rows():
            times.append(time.perf_counter() - began)
            ids.append(row["id"])
    finally:
        ray.shutdown()
    if sorted(ids) != list(range(pictures)):
        raise ValueError("pictures were lost or doubled")
    # Results come in blocks; the first block's time is loading and compiling.
    first = sum(one <= times[0] + 0.05 for one in times)
    return {
        "seconds": times[-1],
        "first_after": times[0],
        "per_second_then": (pictures - first) / (times[-1] - times[0]),
        "machine": measuring.describe_machine(),
    }


def main(argv: list[str] | None = None) -> int:
    """Run all backends with one actor and with two."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.ray_scaling", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    table = Table((("backend", -10), ("actors", 6), ("seconds", 8), ("first after", 11),
                   ("pictures/s then", 15)))  # fmt: skip
    lines = JsonLines(args.json)
    for backend in args.backends:
        results: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
        for _ in range(args.rounds):
            for actors, runs in results.items():
                try:
                    with Worker(backend) as worker:
                        arguments = {"pictures": args.pictures, "actors": actors}
                        runs.append(
                            worker.do("benchmarks.studies.ray_scaling:measure", **arguments)
                        )
                except JobFailed as error:
                    print(f"{backend}, {actors} actors: {error}", file=sys.stderr)
                    return 1
                lines.write(
                    {"benchmark": "ray", "backend": backend, "actors": actors,
                     "pictures": args.pictures, **runs[-1]}
                )  # fmt: skip
        for actors, runs in results.items():
            middle = {
                name: statistics.median(one[name] for one in runs)
                for name in ("seconds", "first_after", "per_second_then")
            }
            table.line(
                backend,
                actors,
                f"{middle['seconds']:.1f}",
                f"{middle['first_after']:.1f}",
                f"{middle['per_second_then']:.1f}",
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Peak memory of methods that look at a picture very often, against one micro-batch of gradients.

    python -m benchmarks.studies.memory --json benchmarks/results/memory.jsonl

Each case is a process of its own: the most memory it has had, less what it had with the network
loaded and everything imported. MobileNetV2 with random weights at 224x224, one picture, micro-batch
8. ``gradient`` explains eight pictures at once, so it holds one full micro-batch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import BACKENDS, measuring
from benchmarks.rows import JsonLines, Table
from benchmarks.worker_pool import JobFailed, Worker

AIM = 1.5  # times one micro-batch of gradients
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient": ("Gradient", {}),
    "integrated_gradients, 300 steps": ("IntegratedGradients", {"steps": 300}),
    "rise, 4000 masks": ("RISE", {"masks": 4000}),
    "score_cam, 1280 channels": ("ScoreCam", {}),
    "ablation_cam, 1280 channels": ("AblationCam", {}),
    "smooth_grad, 200 samples": ("SmoothGrad", {"samples": 200}),
}
_COLUMNS = (("backend", -10), ("case", -32), ("MB", 6), ("ratio", 6), ("seconds", 8))


def measure(kind: str, options: dict[str, Any], count: int) -> dict[str, Any]:
    """Run a method once in this process, and say what it took."""
    import time

    from benchmarks import networks
    from keras_saliency import explain, methods

    model, pictures = networks.network("MobileNetV2"), networks.pictures("MobileNetV2", count)
    method = getattr(methods, kind)(**options)
    before, started = measuring.resident_mb(), time.perf_counter()
    explain(model, pictures, method)
    return {
        "megabytes": measuring.peak_mb() - before,
        "seconds": time.perf_counter() - started,
        "machine": measuring.describe_machine(),
    }


def main(argv: list[str] | None = None) -> int:
    """Run all cases; return 1 where one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.memory", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    table, lines, above = Table(_COLUMNS), JsonLines(args.json), 0
    for backend in args.backends:
        one_batch = 0.0
        for name, (kind, options) in CASES.items():
            arguments: dict[str, Any] = {
                "kind": kind,
                "options": options,
                "count": 8 if name == "gradient" else 1,
            }
            try:
                with Worker(backend) as worker:
                    result = worker.do("benchmarks.studies.memory:measure", **arguments)
            except JobFailed as error:
                print(f"{backend}, {name}: {error}", file=sys.stderr)
                return 1
            one_batch = one_batch or result["megabytes"]
            ratio = result["megabytes"] / one_batch
            above += ratio > AIM
            lines.write(
                {"benchmark": "memory", "backend": backend, "case": name, "ratio": ratio, **result}
            )
            table.line(
                backend,
                name,
                f"{result['megabytes']:.0f}",
                f"{ratio:.2f}",
                f"{result['seconds']:.0f}",
            )
    print(f"above {AIM}: {above}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

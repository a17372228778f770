"""Fixation models at 512x512: predicting with the embedded one, building and training ResNet-50.

    python -m benchmarks.studies.fixations --backends jax tensorflow torch --json fixations.jsonl

Each row is a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BACKENDS, measuring
from benchmarks.rows import JsonLines, Table, milliseconds
from benchmarks.worker_pool import JobFailed, Worker

SIDE = 512
_COLUMNS = (
    ("backend", -10), ("task", -28), ("first s", 8), ("warm ms", 8), ("quartiles ms", 14),
    ("peak MB", 8),
)  # fmt: skip
_TASKS = {
    "predict": "embedded, predict_fixations",
    "predict_mirror": "embedded, with mirror=True",
    "resnet50_predict": "ResNet-50, predict",
    "resnet50_train": "ResNet-50, one training step",
}


def predict(rounds: int, mirror: bool = False) -> dict[str, Any]:
    """Time predict_fixations() on a picture of 512x512, loading included in the first call."""
    from keras_saliency import predict_fixations

    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    return _timed(lambda: predict_fixations(picture, mirror=mirror).maps(), rounds)


def predict_mirror(rounds: int) -> dict[str, Any]:
    """Likewise, averaged over the mirror image."""
    return predict(rounds, mirror=True)


def resnet50_predict(rounds: int) -> dict[str, Any]:
    """Time the forward pass of the ResNet-50 encoder-decoder, building included in the first."""
    model = None

    def call() -> Any:
        nonlocal model
        model = model or _resnet50()
        return model.predict_on_batch(_picture())

    return _timed(call, rounds)


def resnet50_train(rounds: int) -> dict[str, Any]:
    """Time a step of training all of it on one picture, building included in the first."""
    from keras_saliency.fixation import FixationLoss

    truth = np.zeros((1, SIDE, SIDE, 2), np.float32)
    truth[:, 200:300, 200:300] = 1e-4
    model = None

    def call() -> Any:
        nonlocal model
        if model is None:
            model = _resnet50()
            model.compile("adam", FixationLoss())
        return model.train_on_batch(_picture(), truth)

    return _timed(call, rounds)


def _resnet50() -> Any:
    from keras_saliency.fixation import FixationModel

    return FixationModel("resnet50", weights=None)


def _picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)


def _timed(call: Any, rounds: int) -> dict[str, Any]:
    started = time.perf_counter()
    call()
    first = time.perf_counter() - started
    seconds = measuring.interleaved({"call": call}, rounds)["call"]
    return {
        "first_seconds": first,
        "rounds": seconds,
        "peak_mb": measuring.peak_mb(),
        "machine": measuring.describe_machine(),
    }


def main(argv: list[str] | None = None) -> int:
    """Run all tasks; return 1 where one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.fixations", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--tasks", nargs="+", choices=_TASKS, default=list(_TASKS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    table, lines = Table(_COLUMNS), JsonLines(args.json)
    for backend in args.backends:
        for task in args.tasks:
            try:
                with Worker(backend) as worker:
                    result = worker.do(f"benchmarks.studies.fixations:{task}", rounds=args.rounds)
            except JobFailed as error:
                print(f"{backend}, {task}: {error}", file=sys.stderr)
                return 1
            seconds = measuring.quartiles(result["rounds"])
            lines.write({"benchmark": "fixations", "backend": backend, "task": task,
                         "seconds": seconds, **result})  # fmt: skip
            table.line(
                backend,
                _TASKS[task],
                f"{result['first_seconds']:.1f}",
                milliseconds(seconds["median"]),
                f"{milliseconds(seconds['q1'])}-{milliseconds(seconds['q3'])}",
                f"{result['peak_mb']:.0f}",
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

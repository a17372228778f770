"""What a call of ``explain()`` costs: memory, time by ``batch_size``, the files it goes through.

    python -m benchmarks.studies.cost memory --json benchmarks/results/memory.jsonl
    python -m benchmarks.studies.cost batch_size --pictures 32 --sizes 8 32 --json sizes.jsonl
    KERAS_BACKEND=jax python -m benchmarks.studies.cost path grad_cam

memory      Peak memory of methods that look at a picture very often, against one micro-batch of
            gradients. Each case is a process of its own: the most memory it has had, less what it
            had with the network loaded and everything imported. MobileNetV2 with random weights at
            224x224, one picture, micro-batch 8. ``gradient`` explains eight pictures at once, so it
            holds one full micro-batch.
batch_size  Why the default is what it is. Sizes are timed in interleaved rounds of one process;
            each peak of memory is that of a process of its own, with what the loaded model took
            before the first call beside it.
path        Each file of the package that a warm call enters, in the order in which it is first
            entered.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from benchmarks import BACKENDS, choose, make_parser, measuring, networks
from benchmarks.measuring import JsonLines, Table, milliseconds
from benchmarks.workers import JobFailed, Worker

_HERE = "benchmarks.studies.cost"

# ------------------------------------------------------------------------------------------- memory

AIM = 1.5  # times one micro-batch of gradients
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient": ("Gradient", {}),
    "integrated_gradients, 300 steps": ("IntegratedGradients", {"steps": 300}),
    "rise, 4000 masks": ("RISE", {"masks": 4000}),
    "score_cam, 1280 channels": ("ScoreCam", {}),
    "ablation_cam, 1280 channels": ("AblationCam", {}),
    "smooth_grad, 200 samples": ("SmoothGrad", {"samples": 200}),
}
_MEMORY_COLUMNS = (("backend", -10), ("case", -32), ("MB", 6), ("ratio", 6), ("seconds", 8))


def memory_of(kind: str, options: dict[str, Any], count: int) -> dict[str, Any]:
    """Run a method once in this process, and return what it took."""
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


def memory(argv: list[str]) -> int:
    """Run all cases; return 1 where one failed."""
    parser = make_parser(".studies.cost memory", __doc__)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    table, lines, above = Table(_MEMORY_COLUMNS), JsonLines(args.json), 0
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
                    result = worker.do(f"{_HERE}:memory_of", **arguments)
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


# -------------------------------------------------------------------------------------- batch_size

_SIZE_COLUMNS = (
    ("backend", -10), ("model", -11), ("pictures", 8), ("batch_size", 10), ("ms/picture", 10),
    ("ratio", 6), ("quartiles", 12), ("peak MB", 8), ("above model", 11),
)  # fmt: skip


def times_by_size(model: str, pictures: int, sizes: list[int], rounds: int) -> dict[str, Any]:
    """Time the sizes against each other; runs in a worker."""
    calls = {str(size): _call(model, pictures, size) for size in sizes}
    return {"rounds": measuring.interleaved(calls, rounds), "machine": measuring.describe_machine()}


def peak_of_size(model: str, pictures: int, size: int) -> dict[str, float]:
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


def batch_size(argv: list[str]) -> int:
    """Run all backends; return 1 where one failed."""
    parser = make_parser(".studies.cost batch_size", __doc__)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--model", choices=networks.NAMES, default="ResNet50")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 32], help="first: ratio 1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    table, lines = Table(_SIZE_COLUMNS), JsonLines(args.json)
    case = {"model": args.model, "pictures": args.pictures}
    for backend in args.backends:
        try:
            with Worker(backend) as worker:
                result = worker.do(
                    f"{_HERE}:times_by_size",
                    **case,
                    sizes=args.sizes,
                    rounds=args.rounds,
                )
            for size in args.sizes:
                with Worker(backend) as worker:
                    memory = worker.do(f"{_HERE}:peak_of_size", **case, size=size)
                row = _size_row(
                    {"backend": backend, **case, "batch_size": size}, args, result, memory
                )
                lines.write(row)
                _print_size(table, row)
        except JobFailed as error:
            print(f"{backend}: {error}", file=sys.stderr)
            return 1
    return 0


def _size_row(
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


def _print_size(table: Table, row: dict[str, Any]) -> None:
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


# -------------------------------------------------------------------------------------------- path


def entered(method: str, warm: int = 12) -> tuple[list[str], int, int]:
    """Return the files of a warm call, its functions and its moves between files."""
    import keras
    from keras import layers

    import keras_saliency

    root = Path(keras_saliency.__file__).parent
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    picture = np.random.default_rng(0).normal(size=(32, 32, 3)).astype("float32")
    for _ in range(warm):  # PyTorch replays a run from the ninth on
        keras_saliency.explain(model, picture, method)
    files: dict[str, None] = {}
    functions: Counter[Any] = Counter()
    moves, last = 0, ""

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal moves, last
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(str(root)):
            return
        name = str(Path(file).relative_to(root))
        files.setdefault(name)
        functions[frame.f_code] += 1
        moves += name != last
        last = name

    sys.setprofile(watch)
    try:
        keras_saliency.explain(model, picture, method)
    finally:
        sys.setprofile(None)
    return list(files), len(functions), moves


def path(argv: list[str]) -> int:
    """Print the path of a call."""
    parser = make_parser(".studies.cost path", __doc__)
    parser.add_argument("method", nargs="?", default="grad_cam", help="as explain() has it")
    method = parser.parse_args(argv).method
    files, functions, moves = entered(method)
    print(*files, sep="\n")
    print(f"{method}: {len(files)} files, {functions} functions, {moves} moves between files")
    return 0


def main(argv: list[str]) -> int:
    """Run what the first word names."""
    mains = {"memory": memory, "batch_size": batch_size, "path": path}
    return choose(".studies.cost", __doc__, mains, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Streams of pictures: into a folder, killed and resumed; through Ray Data with one actor and two.

    python -m benchmarks.studies.streams folder --pictures 10000 --json stream.jsonl
    python -m benchmarks.studies.streams ray --pictures 256 --json ray_scaling.jsonl

folder  Ten thousand pictures, killed twice by SIGKILL at random moments, and resumed. Each run is a
        process of its own. One runs to its end and reports how much memory it has at ten points;
        another is killed twice. What the two have written must be the same, complete, and nothing
        twice. The network is tiny and the pictures are made on the spot (32x32): what is measured
        is the stream.
ray     Pictures a second on this machine: MobileNetV2 with random weights at 224x224, gradients,
        one CPU an actor. Rounds with one and two actors alternate. Loading the model is part of a
        run, as it is for a user; the rate after the first result is reported separately.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BACKENDS, choose, make_parser, measuring
from benchmarks.measuring import JsonLines, Table
from benchmarks.workers import JobFailed, Worker

# ------------------------------------------------------------------------------------------- folder

_SIDE = 32
_PART = 64


def run(folder: str, pictures: int, batch_size: int) -> dict[str, Any]:
    """Write an archive in this process and return how it went."""
    import keras

    from keras_saliency import Explainer

    keras.utils.set_random_seed(0)
    image = keras.Input((_SIDE, _SIDE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv1")(image)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="conv2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(10, name="head")(x), name="tiny")
    memory: list[float] = []

    def made() -> Iterator[np.ndarray]:
        for number in range(pictures):
            if number % max(1, pictures // 10) == 0 and number:
                memory.append(measuring.resident_mb())
            draw = np.random.default_rng(number)
            yield draw.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        memory.append(measuring.resident_mb())

    started = time.perf_counter()
    explainer = Explainer(model, preprocess=lambda x: x / 255, batch_size=batch_size)
    archive = explainer.write(made(), folder, part_size=_PART)
    seconds = time.perf_counter() - started
    return {"records": len(archive), "seconds": seconds, "memory_mb": memory}


class _Run:
    """A process that writes an archive."""

    def __init__(self, args: argparse.Namespace, backend: str, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.studies.streams", "folder", "--into", str(folder),
             "--pictures", str(args.pictures), "--batch-size", str(args.batch_size)],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def parts(self) -> int:
        """Return how many parts are there."""
        return len(list(self.folder.glob("part-*")))

    def killed(self, at: int, after: float) -> bool:
        """Kill it some seconds after a number of parts are there; whether it was not done yet."""
        while self.parts() < at and self._process.poll() is None:
            time.sleep(0.005)
        time.sleep(after)
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait() == -signal.SIGKILL

    def result(self) -> dict[str, Any]:
        """Wait for its end and return what it prints."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit(f"a run ended with {self._process.returncode}")
        return json.loads(output.splitlines()[-1])


def compared(whole: Path, resumed: Path, pictures: int) -> dict[str, Any]:
    """Return what differs between an archive written at once and one written in three runs."""
    from keras_saliency._results.archive import Archive

    rows: Counter[str] = Counter()
    for part in resumed.glob("part-*"):
        content = json.loads((part / "rows.json").read_text(encoding="utf-8"))
        rows.update(row["key"] for row in content["rows"])
    one, other = Archive(whole), Archive(resumed)
    # Both are in the order of the stream, so each is read part by part.
    gaps = [float(np.abs(a.values - b.values).max()) for a, b in zip(one, other, strict=True)]
    left = {path.name for path in resumed.iterdir() if not path.name.startswith("part-")}
    return {
        "missing": pictures - len(rows),
        "doubled": sum(count > 1 for count in rows.values()),
        "same_keys": one.keys == other.keys,
        "largest_difference": max(gaps),
        "leftovers": sorted(left - {"manifest.json", ".lock"}),
    }


def measure(args: argparse.Namespace, backend: str, folder: Path) -> dict[str, Any]:
    """Run once at once, and once with two kills."""
    draw = random.Random(args.seed)
    whole = _Run(args, backend, folder / "whole").result()
    parts = -(-args.pictures // _PART)
    kills = []
    for low, high in ((0.1, 0.45), (0.5, 0.85)):
        killed = _Run(args, backend, folder / "killed")
        at = int(parts * draw.uniform(low, high))
        if not killed.killed(at, draw.uniform(0, 0.1)):
            raise SystemExit("a run was over before it could be killed: take more --pictures")
        left = [path.name for path in (folder / "killed").glob(".part-*")]
        kills.append({"parts": killed.parts(), "unfinished": len(left)})
    last = _Run(args, backend, folder / "killed").result()
    return {
        "pictures": args.pictures,
        "seconds": whole["seconds"],
        "memory_mb": whole["memory_mb"],
        "memory_mb_of_the_last_run": last["memory_mb"],
        "kills": kills,
        **compared(folder / "whole", folder / "killed", args.pictures),
    }


def folder(argv: list[str]) -> int:
    """Run all backends; return 1 where something is missing, doubled or different."""
    parser = make_parser(".studies.streams folder", __doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    parser.add_argument("--into", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.into:
        print(json.dumps(run(args.into, args.pictures, args.batch_size)))
        return 0

    table = Table((("backend", -10), ("pictures/s", 10), ("MB at ten points", -60),
                   ("killed at parts", -16), ("missing", 7), ("doubled", 7),
                   ("difference", 10)))  # fmt: skip
    lines, wrong = JsonLines(args.json), 0
    for backend in args.backends:
        with tempfile.TemporaryDirectory() as room:
            outcome = measure(args, backend, Path(room))
        bad = (
            outcome["missing"]
            or outcome["doubled"]
            or outcome["leftovers"]
            or not outcome["same_keys"]
        )
        wrong += bool(bad) or outcome["largest_difference"] > 1e-5
        lines.write({"benchmark": "stream", "backend": backend, **outcome, **_where()})
        table.line(
            backend,
            f"{outcome['pictures'] / outcome['seconds']:.0f}",
            " ".join(f"{one:.0f}" for one in outcome["memory_mb"]),
            " ".join(str(one["parts"]) for one in outcome["kills"]),
            outcome["missing"],
            outcome["doubled"],
            f"{outcome['largest_difference']:.1e}",
        )
    print(f"wrong: {wrong}")
    return int(bool(wrong))


def _where() -> dict[str, Any]:
    return {"machine": {"cores": len(os.sched_getaffinity(0)), **measuring.commit()}}


# --------------------------------------------------------------------------------------------- ray


def _network() -> Any:
    from benchmarks import networks

    return networks.network("MobileNetV2")


def through_ray(pictures: int, actors: int) -> dict[str, Any]:
    """Explain a data set once in a cluster of this process, and return how long it took."""
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


def with_ray(argv: list[str]) -> int:
    """Run all backends with one actor and with two."""
    parser = make_parser(".studies.streams ray", __doc__)
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
                            worker.do("benchmarks.studies.streams:through_ray", **arguments)
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


def main(argv: list[str]) -> int:
    """Run what the first word names."""
    return choose(".studies.streams", __doc__, {"folder": folder, "ray": with_ray}, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

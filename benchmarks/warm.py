"""The warm ``explain(model, x)`` against a hand-written compiled gradient of the same model.

    python -m benchmarks.warm --backends jax torch --models ResNet50 --batches 1 8 --json warm.jsonl

The ratio is the median, with quartiles, of the ratios of the rounds. The aim is 1.2 at most.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import agreement, machine, networks, timing
from benchmarks.table import JsonLines, Table, milliseconds
from benchmarks.worker import BACKENDS, JobFailed, Worker

AIM = 1.2
_COLUMNS = (
    ("backend", -10), ("model", -11), ("batch", 5), ("explain ms", 10), ("by hand ms", 10),
    ("forward ms", 10), ("ratio", 6), ("quartiles", 12), ("of minima", 9), ("cosine", 9),
    ("rel L2", 8), ("first s", 7), ("by hand", 7),
)  # fmt: skip


def measure(model: str, batch: int, rounds: int) -> dict[str, Any]:
    """Time one case; runs in a worker.

    Returns:
        ``agreement``, ``first`` and ``rounds`` (seconds, by contestant) and ``machine``.

    Raises:
        Disagreement: explain() and the hand-written gradient differ.
    """
    from benchmarks import handwritten
    from keras_saliency import explain

    network, images = networks.network(model), networks.pictures(model, batch)
    gradient, forward = handwritten.native(networks.twin(model))
    contestants = {
        "forward": lambda: forward(images),  # first: it pays what a process pays once
        "explain": lambda: explain(network, images).attributions,
        "handwritten": lambda: gradient(images)[1],
    }
    answers = {}

    def keep(name):
        answers[name] = contestants[name]()

    first = {name: timing.once(lambda name=name: keep(name)) for name in contestants}
    agreed = agreement.require(answers["explain"], answers["handwritten"], f"{model}, {batch}")
    answers.clear()
    return {
        "agreement": asdict(agreed),
        "first": first,
        "rounds": timing.interleaved(contestants, rounds),
        "machine": machine.describe(),
    }


def _rows(case: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row a contestant, each complete in itself."""
    rows = []
    for name, seconds in found["rounds"].items():
        reference = found["rounds"]["handwritten"]
        rows.append(
            {
                "benchmark": "warm",
                **case,
                "contestant": name,
                "seconds": timing.quartiles(seconds),
                "ratio": timing.quartiles(timing.ratios(seconds, reference)),
                "ratio_of_minima": min(seconds) / min(reference),
                "first_seconds": found["first"][name],
                "agreement": found["agreement"] if name == "explain" else None,
                "rounds": seconds,
                "machine": found["machine"],
            }
        )
    return rows


def _print(table: Table, rows: list[dict[str, Any]]) -> None:
    by_name = {row["contestant"]: row for row in rows}
    ours = by_name["explain"]
    names = ("explain", "handwritten", "forward")
    table.line(
        ours["backend"],
        ours["model"],
        ours["batch"],
        *(milliseconds(by_name[name]["seconds"]["median"]) for name in names),
        f"{ours['ratio']['median']:.3f}",
        f"{ours['ratio']['q1']:.3f}-{ours['ratio']['q3']:.3f}",
        f"{ours['ratio_of_minima']:.3f}",
        f"{ours['agreement']['cosine']:.7f}",
        f"{ours['agreement']['relative_l2']:.1e}",
        f"{ours['first_seconds']:.2f}",
        f"{by_name['handwritten']['first_seconds']:.2f}",
    )


def main(words: list[str] | None = None) -> int:
    """Run all cases; return 1 where a contestant failed or disagreed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warm", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument(
        "--models", nargs="+", choices=networks.NAMES, default=["MobileNetV2", "ResNet50"]
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    asked = parser.parse_args(words)

    table, lines, slow = Table(_COLUMNS), JsonLines(asked.json), 0
    for backend in asked.backends:
        with Worker(backend) as worker:
            for model in asked.models:
                for batch in asked.batches:
                    try:
                        found = worker.do(
                            "benchmarks.warm:measure",
                            model=model, batch=batch, rounds=asked.rounds,
                        )  # fmt: skip
                    except JobFailed as error:
                        print(f"{backend}, {model}, {batch}: {error}", file=sys.stderr)
                        return 1
                    rows = _rows({"backend": backend, "model": model, "batch": batch}, found)
                    for row in rows:
                        lines.write(row)
                    _print(table, rows)
                    slow += any(
                        row["contestant"] == "explain" and row["ratio"]["median"] > AIM
                        for row in rows
                    )
        where = found["machine"]
    print(
        f"{where['cpu']}, {where['cores']} cores, {asked.rounds} rounds, commit "
        f"{where['commit'][:7]}{' and changes' if where['dirty'] else ''}; above {AIM}: {slow}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A pytest plugin: the CPU seconds (user) of each test, setup and child processes included.

``CPU_TIMES=/tmp/times python -m tests -p tests.cpu_times`` writes them into a folder; ``python -m
tests.cpu_times /tmp/times`` prints the most expensive files and tests. CPU time is steadier than
the clock on a busy machine.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_last = 0.0


def _cpu() -> float:
    times = os.times()
    return times.user + times.children_user  # where memory is short, the system's is of paging


def _charge(name: str) -> None:
    """Charge what was spent since the last call to this name."""
    global _last
    now = _cpu()
    folder = Path(os.environ["CPU_TIMES"])
    folder.mkdir(parents=True, exist_ok=True)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    with (folder / f"{backend}-{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, now - _last]) + "\n")
    _last = now


def pytest_collection_finish(session):
    _charge("imports and collection")


def pytest_runtest_logreport(report):
    """Reported after setup, call and teardown of each test."""
    _charge(report.nodeid)


def table(folder: Path, rows: int = 30) -> str:
    """Return the most expensive files, and the most expensive tests (all parameters together)."""
    totals: dict[str, dict[str, dict[str, float]]] = {"file": {}, "test": {}}
    backends = ("tensorflow", "jax", "torch")
    everything = dict.fromkeys(backends, 0.0)
    for path in sorted(folder.glob("*.jsonl")):
        backend = path.stem.partition("-")[0]
        for name, seconds in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            everything[backend] += seconds
            test = name.partition("[")[0].removeprefix("tests/")
            for kind, key in (("file", test.partition("::")[0]), ("test", test)):
                row = totals[kind].setdefault(key, dict.fromkeys(backends, 0.0))
                row[backend] += seconds
    lines = []
    for kind, by_name in totals.items():
        lines.append(f"{kind:<75}{'sum':>8}" + "".join(f"{one:>12}" for one in backends))
        ranked = sorted(by_name.items(), key=lambda item: -sum(item[1].values()))[:rows]
        for name, row in [("everything", everything), *ranked]:
            numbers = "".join(f"{row[one]:>12.1f}" for one in backends)
            lines.append(f"{name:<75}{sum(row.values()):>8.1f}{numbers}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30))

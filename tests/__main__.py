"""Run the whole suite once on each installed backend: ``python -m tests [pytest arguments]``.

Keras binds to one backend a process, so there are as many processes as backends; they run side by
side where there are cores, each line of their output behind its backend's name. The last line
counts all tests; the exit status is 0 only if every one passed on every backend.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")


def run(backend: str, arguments: list[str], folder: str) -> Counter[str]:
    """Run pytest under one backend and return how many tests passed, failed and were skipped."""
    report = Path(folder) / f"{backend}.xml"
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads starve each other on few cores
        "MPLBACKEND": "Agg",
        # Tests build the same small networks again and again, some in processes of their own.
        "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, "-u", "-m", "pytest", f"--junitxml={report}", *arguments]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            print(f"{backend:<10}  {line}", end="", flush=True)
    status = process.returncode
    counts: Counter[str] = Counter()
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            passed = int(suite.get("tests", 0)) - failed - skipped
            counts.update(passed=passed, failed=failed, skipped=skipped)
    if status and not counts["failed"]:
        counts["failed"] += 1  # pytest itself did not get through
    return counts


def main() -> int:
    """Run every backend; say what is missing."""
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        installed = [backend for backend in BACKENDS if find_spec(backend) is not None]
        for backend in set(BACKENDS) - set(installed):
            print(f"{backend:<10}  not installed, counted as failed", flush=True)
            total["failed"] += 1
        # Compiling, which is most of the work, takes one core.
        with ThreadPoolExecutor(max_workers=max(1, min(2, os.cpu_count() or 1))) as pool:
            for counts in pool.map(lambda one: run(one, sys.argv[1:], folder), installed):
                total += counts
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())

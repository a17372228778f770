"""Run the suite once on each installed backend: ``python -m tests [--long] [pytest arguments]``.

Keras binds to one backend a process, so each backend has processes of its own, two for each where
no tests are named; one more runs side by side than there are cores, since each waits at times. Each
line of output stands behind its backend's name. Tests marked ``no_model`` run under one backend; so
do those marked ``any_backend``, but on all with ``--long``, which also runs those marked ``long``.
The last line counts all tests; the exit status is 0 only if every one passed on every backend.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import count
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")  # the slowest first
LONGEST = (  # in this order they are dealt so that a backend's processes take about as long
    "contract", "kinds", "seen_calls", "transformers", "lrp_options", "lrp", "cam_positions",
    "backward_models", "fixation_training", "kinds_of_models", "stale", "models", "lrp_models",
    "cam_layer", "bad_models",
)  # fmt: skip
TESTS = Path(__file__).parent
_numbers = count()


def run(
    backend: str, arguments: list[str], folder: str, long: bool
) -> tuple[Counter[str], list[str]]:
    """Run pytest under one backend.

    Returns:
        How many tests passed, failed and were skipped; and a line for each that failed.
    """
    report = Path(folder) / f"{backend}{next(_numbers)}.xml"
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads starve each other on few cores
        "MPLBACKEND": "Agg",
        "TESTS_COMPILE_LESS": "" if long else "1",  # conftest.py
        # Compiling takes longer than running anything here: half of JAX's time is saved.
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true "
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
        # Tests build the same small networks again and again, some in processes of their own.
        "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, "-u", "-m", "pytest", "--disable-warnings", f"--junitxml={report}"]
    with subprocess.Popen(
        [*command, *arguments],
        env=environment,
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            print(f"{backend:<10}  {line}", end="", flush=True)
    status = process.returncode
    counts: Counter[str] = Counter()
    failures = []
    if report.exists():
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            outcomes = {child.tag for child in case}
            failed = bool(outcomes & {"failure", "error"})
            counts["failed" if failed else "skipped" if "skipped" in outcomes else "passed"] += 1
            if failed:
                failures.append(f"{backend:<10}  {case.get('classname')}::{case.get('name')}")
    nothing_chosen = status == 5  # all that was named is marked to be left out here
    if status and not nothing_chosen and not failures:
        counts["failed"] += 1
        failures.append(f"{backend:<10}  pytest stopped with status {status}")
    return counts, failures


def halves() -> list[list[str]]:
    """Return the files of tests in two parts that take about as long."""
    longest = [f"test_{name}.py" for name in LONGEST]
    others = sorted({path.name for path in TESTS.glob("test_*.py")} - set(longest))
    dealt = [str(TESTS / name) for name in (*longest, *others)]
    return [sorted(dealt[::4] + dealt[3::4]), sorted(dealt[1::4] + dealt[2::4])]


def jobs(installed: list[str], arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Return the processes to start: a backend and pytest's arguments for each.

    A file of tests is never split: its tests share what they build.
    """
    long = "--long" in arguments
    arguments = [one for one in arguments if one != "--long"]
    named = any(Path(one.partition("::")[0]).exists() for one in arguments)
    parts: list[list[str]] = [[]] if named else halves()
    listed = []
    for backend in installed:
        # What runs no model runs on the backend that takes the least time.
        wanted = [] if long else ["not long"]
        if backend != installed[-1]:
            wanted += ["not no_model"] if long else ["not no_model", "not any_backend"]
        marks = ["-m", " and ".join(wanted)] if wanted else []
        listed += [(backend, [*marks, *arguments, *part]) for part in parts]
    return listed


def main(arguments: list[str]) -> int:
    """Run every backend; say what is missing."""
    started = time.perf_counter()
    total: Counter[str] = Counter()
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        installed = [backend for backend in BACKENDS if find_spec(backend) is not None]
        for backend in set(BACKENDS) - set(installed):
            failed.append(f"{backend:<10}  not installed, counted as failed")
            total["failed"] += 1
        # Compiling, which is most of the work, takes one core.
        with ThreadPoolExecutor(max_workers=min(4, (os.cpu_count() or 1) + 1)) as pool:
            for counts, lines in pool.map(
                lambda one: run(*one, folder, long="--long" in arguments),
                jobs(installed, arguments),
            ):
                total += counts
                failed += lines
    minutes, seconds = divmod(round(time.perf_counter() - started), 60)
    print("", *failed, sep="\n")
    print(
        f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped "
        f"in {minutes} min {seconds} s"
    )
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Processes: one for each backend or contender, which imports Keras once and then does jobs.

Keras takes its backend from the environment when it is imported, so every backend needs a process
of its own. A job is a function named ``"module:function"`` with arguments and a result in JSON.
The jobs of a contender are below: load, prepare one case, and call it on demand.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measuring
from benchmarks.contenders import Contender, Entry, MakeEntry, NotInstalled, python_for
from benchmarks.networks import Loaded, Subject, write

_ROOT = Path(__file__).resolve().parent.parent
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Several processes share one GPU: none may take all of its memory at the start.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


class JobFailed(Exception):
    """A job raised; the message is its traceback."""


class Worker:
    """A process that runs on one backend until the block ends."""

    def __init__(
        self,
        backend: str,
        python: str | Path = sys.executable,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process.

        Args:
            backend: Of Keras.
            python: The interpreter, which may be that of another environment.
            settings: More environment variables.
        """
        environment = {**_QUIET, **os.environ, "KERAS_BACKEND": backend, **(settings or {})}
        # TensorFlow logs a lot; its log is shown if the process dies.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (lives with us)
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.workers"],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def do(self, function: str, limit: float | None = None, **arguments: Any) -> Any:
        """Return what ``module:function`` gives for these arguments in the process.

        Args:
            function: The job.
            limit: Seconds after which the process is killed.
            arguments: For the function.

        Raises:
            JobFailed: It raised, took too long, or the process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([function, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise JobFailed(self._why_it_died(function)) from None
        if limit is not None and not select.select([self._process.stdout], [], [], limit)[0]:
            self._process.kill()
            self._process.wait()
            raise JobFailed(f"{function} took longer than {limit:.0f} s.")
        line = self._process.stdout.readline()
        if not line:
            raise JobFailed(self._why_it_died(function))
        result, error = json.loads(line)
        if error:
            raise JobFailed(error)
        return result

    def _why_it_died(self, function: str) -> str:
        status = self._process.wait()
        self._log.seek(0)
        output = self._log.read()[-2000:]
        return f"The process died in {function} with status {status}:\n{output}"

    @property
    def alive(self) -> bool:
        """Whether the process can do another job."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead, and left words unread
            self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_JOBS = "benchmarks.workers"  # looked up there: in the process, this file is also ``__main__``


class WorkerPool:
    """One process a contender.

    Args:
        environments: The folder of peers' environments.
        limit: Seconds that one job may take.
    """

    def __init__(self, environments: Path, limit: float) -> None:
        """Start nothing yet."""
        self._environments, self._limit = environments, limit
        self._workers: dict[Contender, Worker] = {}
        self._broken: dict[Contender, str] = {}  # tried once
        self.import_seconds: dict[Contender, float] = {}

    def do(self, contender: Contender, job: str, **arguments: Any) -> Any:
        """Return what a contender's process gives for a job below.

        Raises:
            JobFailed: It cannot be installed or imported, it raised, took too long or died.
        """
        worker = self._workers.get(contender)
        if worker is not None and not worker.alive:
            self._workers.pop(contender).close()
            worker = None
        if worker is None:
            worker = self._started(contender)
        return worker.do(f"{_JOBS}:{job}", self._limit, **arguments)

    def _started(self, contender: Contender) -> Worker:
        if contender in self._broken:
            raise JobFailed(self._broken[contender])
        try:
            python = python_for(contender.package, self._environments)
        except NotInstalled as error:
            self._broken[contender] = str(error)
            raise JobFailed(str(error)) from None
        worker = Worker(contender.backend, python)
        module = f"benchmarks.contenders.{contender.module}"
        try:
            started = worker.do(f"{_JOBS}:start", self._limit, module=module, load=contender.load)
        except JobFailed as error:
            self._broken[contender] = str(error)
            worker.close()
            raise
        self._workers[contender] = worker
        self.import_seconds[contender] = started["import_seconds"]
        return worker

    def end_all_but(self, needed: Iterable[Contender]) -> None:
        """End all other processes: memory is what runs out first."""
        for contender in self._workers.keys() - set(needed):
            self._workers.pop(contender).close()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all_but(())


# ------------------------------------------------------------------------- in a contender's process


_WARM_CALLS, _WARM_SECONDS = 10, 5.0  # whichever comes first: some compile what comes again
_PAUSE = 0.02  # seconds, in which threads of the process that was called before fall asleep

_make_entry: MakeEntry | None = None
_loaded: dict[str, Loaded] = {}  # one at a time: memory is what runs out first
_entry: Entry | None = None


def start(module: str, load: str) -> dict[str, float]:
    """Import a contender with everything that it needs, and return how long that took.

    Keras counts for all, also where it only brings the network.
    """
    global _make_entry
    started = time.perf_counter()
    importlib.import_module("keras")
    _make_entry = getattr(importlib.import_module(module), load)()
    return {"import_seconds": time.perf_counter() - started}


def write_subject(network: str, side: int, count: int, path: str) -> None:
    """Write a network, pictures and classes for all contenders."""
    write(network, side, count, path)


def prepare(method: str, batch: int, path: str | None, answer: str) -> dict[str, Any]:
    """Load what a case needs, make the first call and store its result.

    Args:
        method: What is timed.
        batch: How many pictures.
        path: The file of the network; None where the method brings its own.
        answer: Where the answer goes, an ``.npy`` file.

    Returns:
        ``load_seconds``, ``first_seconds`` (tracing and compiling among them), what memory there
        was before it and how much it took, and the contender's ``settings`` and ``compared``.
    """
    global _entry
    assert _make_entry is not None
    _entry = None
    if path is not None and path not in _loaded:
        _loaded.clear()
        _forget()
        _loaded[path] = Loaded(path)
    _forget()
    started = time.perf_counter()
    subject = Subject(_loaded[path], batch) if path is not None else None
    _entry = _make_entry(method, subject)
    loaded = time.perf_counter() - started
    _forget()
    before, on_device = measuring.resident_mb(), measuring.device_mb()
    measuring.reset_peak()
    started = time.perf_counter()
    result = _entry.call()
    first = time.perf_counter() - started
    with Path(answer).open("wb") as file:
        np.save(file, result)
    return {
        "load_seconds": loaded,
        "first_seconds": first,
        "resident_mb": before,
        "device_mb": on_device,
        "first_above_model_mb": measuring.peak_since_reset_mb() - before,
        "settings": _entry.settings,
        "compared": _entry.terms,
    }


def again(answer: str) -> None:
    """Write what other random numbers give."""
    assert _entry is not None
    assert _entry.again is not None
    with Path(answer).open("wb") as file:
        np.save(file, _entry.again())


def warm_up(resident_mb: float, device_mb: float | None) -> dict[str, float | None]:
    """Call once, return how much memory that took above the loaded model, and call until warm.

    Args:
        resident_mb: What there was before the first call; less counts where something that loading
            left behind was given back since.
        device_mb: What there was on a GPU; None without one.
    """
    assert _entry is not None
    _forget()
    least = min(resident_mb, measuring.resident_mb())
    measuring.reset_peak()
    measuring.reset_device_peak()
    _entry.call()
    result: dict[str, float | None] = {"above_model_mb": measuring.peak_since_reset_mb() - least}
    started, calls = time.perf_counter(), 2
    while calls < _WARM_CALLS and time.perf_counter() - started < _WARM_SECONDS:
        _entry.call()
        calls += 1
    on_device = measuring.device_peak_mb()
    if on_device is not None and device_mb is not None:
        result["device_above_model_mb"] = on_device - device_mb
    return result


def describe() -> dict[str, Any]:
    """Return what a row says about the machine."""
    return measuring.describe_machine()


def call() -> float:
    """Return the seconds of one call."""
    assert _entry is not None
    time.sleep(_PAUSE)
    return measuring.seconds_of(_entry.call)


def _forget() -> None:
    """Give memory that is no longer used back to the system, where it takes it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no result
    measuring.commit()
    for line in sys.stdin:
        function, arguments = json.loads(line)
        module, _, name = function.partition(":")
        try:
            answer = [getattr(importlib.import_module(module), name)(**arguments), None]
        except Exception:
            answer = [None, traceback.format_exc()]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()

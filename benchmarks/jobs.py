"""The process of a contender: load, prepare one case, and call it on demand."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measuring
from benchmarks.contenders import Entry
from benchmarks.networks import Loaded, Subject, write

_WARM_CALLS, _WARM_SECONDS = 10, 5.0  # whichever comes first: some compile what comes again
_PAUSE = 0.02  # seconds, in which threads of the process that was called before fall asleep

_make_entry: Callable[[str, Subject | None], Entry] | None = None
_loaded: dict[str, Loaded] = {}  # one at a time: memory is what runs out first
_entry: Entry | None = None


def start(module: str, entry: str) -> dict[str, float]:
    """Import a contender's module, with everything that it needs, and say how long that took.

    Keras counts for all, also where it only brings the network.
    """
    global _make_entry
    started = time.perf_counter()
    importlib.import_module("keras")
    _make_entry = getattr(importlib.import_module(module), entry)
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
    """Call once, and say how much memory that took above the loaded model; then call until warm.

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

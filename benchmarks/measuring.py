"""What a row is measured with: the clock, the memory, and the machine with its versions."""

from __future__ import annotations

import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Seconds = list[float]


def seconds_of(function: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0
) -> dict[str, Seconds]:
    """Call every contender once a round, in a new random order each round.

    Contenders return what they compute as NumPy arrays, so that no device is still at work when
    the clock stops. One round before the clock starts is not counted.
    """
    for function in contenders.values():
        function()
    order = random.Random(seed)
    seconds: dict[str, Seconds] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in order.sample(list(contenders), len(contenders)):
            seconds[name].append(seconds_of(contenders[name]))
    return seconds


def quartiles(values: Seconds) -> dict[str, float]:
    """Return the first quartile, the median and the third quartile, by name."""
    return dict(
        zip(("q1", "median", "q3"), np.percentile(values, (25, 50, 75)).tolist(), strict=True)
    )


def ratios(contender: Seconds, reference: Seconds) -> Seconds:
    """Return, for each round, how many times as long as the reference the contender took."""
    return [ours / theirs for ours, theirs in zip(contender, reference, strict=True)]


# -------------------------------------------------------------------------------------- the machine


_PACKAGES = (
    "keras-saliency", "keras", "keras-hub", "numpy", "jax", "jaxlib", "tensorflow",
    "tensorflow-cpu", "torch",
    "captum", "grad-cam", "torchcam", "tf-keras-vis", "xplique", "saliency",
)  # fmt: skip
_SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")


def describe_machine() -> dict[str, Any]:
    """Return CPU, cores, threads, device, versions and commit, as this process sees them."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 2),
        **_threads_and_device(),
        "environment": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "versions": {"python": platform.python_version(), **_versions()},
        **commit(),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _threads_and_device() -> dict[str, Any]:
    """Return how many threads one operation may use, and what it runs on."""
    import keras

    cores = len(os.sched_getaffinity(0))
    match keras.config.backend():
        case "jax":
            import jax

            return {"threads": cores, "device": jax.devices()[0].device_kind}
        case "tensorflow":
            import tensorflow as tf

            threads = tf.config.threading.get_intra_op_parallelism_threads()
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices()
            return {"threads": threads or cores, "device": devices[0].device_type.lower()}
        case "torch":
            import torch

            device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
            return {"threads": torch.get_num_threads(), "device": device}
        case other:
            raise ValueError(f"no threads known for backend {other!r}")


def _versions() -> dict[str, str]:
    result = {}
    for name in _PACKAGES:
        try:
            result[name] = version(name)
        except PackageNotFoundError:
            continue
    return result


@cache
def commit() -> dict[str, Any]:
    """Return the commit, and whether the package differed from it, at the first call.

    A worker reads it before it imports the package: the commit may change during a long run.
    """
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": bool(_git("status", "--porcelain", "--", "keras_saliency")),
    }


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def peak_mb() -> float:
    """Return the most memory this process has had, in MB."""
    unit = 20 if sys.platform == "darwin" else 10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << unit)


def resident_mb() -> float:
    """Return the memory this process has now, in MB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def reset_peak() -> None:
    """Forget the most memory that this process has had; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_since_reset_mb() -> float:
    """Return the most memory in MB since the last `reset_peak`; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


# ----------------------------------------------------------------------------------- a GPU's memory


def reset_device_peak() -> None:
    """Forget the most memory that there has been; JAX cannot."""
    import keras

    match keras.config.backend():
        case "torch":
            import torch

            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
        case "tensorflow":
            import tensorflow as tf

            if tf.config.list_logical_devices("GPU"):
                tf.config.experimental.reset_memory_stats("GPU:0")


def device_mb() -> float | None:
    """Return the memory in MB that is taken now; None without a GPU."""
    return _device_megabytes("current")


def device_peak_mb() -> float | None:
    """Return the most memory in MB since `reset_device_peak`; None without a GPU."""
    return _device_megabytes("peak")


def _device_megabytes(what: str) -> float | None:
    import keras

    taken: int | None = None
    match keras.config.backend():
        case "torch":
            import torch

            if torch.cuda.is_available():
                now, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
                taken = now if what == "current" else most
        case "tensorflow":
            import tensorflow as tf

            if tf.config.list_logical_devices("GPU"):
                taken = tf.config.experimental.get_memory_info("GPU:0")[what]
        case "jax":
            import jax

            stats = jax.devices()[0].memory_stats() or {}
            taken = stats.get("bytes_in_use" if what == "current" else "peak_bytes_in_use")
    return None if taken is None else taken / (1 << 20)
